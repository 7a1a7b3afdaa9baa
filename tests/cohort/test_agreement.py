"""Statistics of agreement against published examples, independent libraries and their own definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score, confusion_matrix, recall_score

from slidescore.cohort import agreement
from slidescore.cohort.agreement import (
    bias,
    concordance,
    confusion,
    exact_agreement,
    icc_2_1,
    lower_limit,
    mean_absolute_error,
    sensitivity,
    spearman,
    specificity,
    upper_limit,
    weighted_kappa,
)

JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=np.float64
)
"""Shrout and Fleiss 1979, table 2: six targets, four judges."""
PEAK_FLOW = np.array(
    [
        [494, 512], [395, 430], [516, 520], [434, 428], [476, 500], [557, 600], [413, 364], [442, 380], [650, 658],
        [433, 445], [417, 432], [656, 626], [267, 260], [478, 477], [178, 259], [423, 350], [427, 451],
    ],
    dtype=np.float64,
)  # fmt: skip
"""Bland and Altman 1986, table 1: first readings of the large and of the mini peak flow meter, l/min."""
PAIRED = (icc_2_1, concordance, weighted_kappa, exact_agreement, spearman, bias, lower_limit, upper_limit)
EVERY = (*PAIRED, mean_absolute_error)


def once(statistic, ratings):
    ratings = np.asarray(ratings, dtype=np.float64)
    return float(statistic(ratings, np.ones((1, len(ratings))))[0])


def noisy_pairs(n=60, seed=3):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(20, 260, n)
    return np.round(np.stack([truth + rng.normal(0, 20, n), truth + rng.normal(9, 30, n)], axis=1))


def test_icc_of_shrout_and_fleiss():
    assert once(icc_2_1, JUDGES) == pytest.approx(0.29, abs=0.005)
    # From the mean squares printed there: 11.24, 32.49 and 1.02.
    assert once(icc_2_1, JUDGES) == pytest.approx(
        (11.24 - 1.02) / (11.24 + 3 * 1.02 + 4 * (32.49 - 1.02) / 6), abs=1e-3
    )


def test_icc_agrees_with_the_analysis_of_variance_of_another_library():
    ols = pytest.importorskip("statsmodels.formula.api").ols
    from pandas import DataFrame
    from statsmodels.stats.anova import anova_lm

    for ratings in (JUDGES, noisy_pairs(12)):
        n, k = ratings.shape
        rows, columns = np.indices(ratings.shape)
        data = DataFrame({"y": ratings.ravel(), "slide": rows.ravel(), "rater": columns.ravel()})
        rows_ms, columns_ms, rest_ms = anova_lm(ols("y ~ C(slide) + C(rater)", data).fit())["mean_sq"]
        expected = (rows_ms - rest_ms) / (rows_ms + (k - 1) * rest_ms + k * (columns_ms - rest_ms) / n)
        assert once(icc_2_1, ratings) == pytest.approx(expected, abs=1e-12)


def test_limits_of_bland_and_altman():
    # There: bias -2.1, standard deviation 38.8 l/min.
    assert once(bias, PEAK_FLOW) == pytest.approx(-2.1, abs=0.05)
    assert (once(upper_limit, PEAK_FLOW) - once(lower_limit, PEAK_FLOW)) / 2 / 1.96 == pytest.approx(38.8, abs=0.05)
    differences = PEAK_FLOW[:, 0] - PEAK_FLOW[:, 1]
    expected = differences.mean() - 1.96 * differences.std(ddof=1)
    assert once(lower_limit, PEAK_FLOW) == pytest.approx(expected, abs=1e-9)


def test_concordance_is_precision_times_accuracy():
    x, y = PEAK_FLOW.T
    ratio, shift = x.std() / y.std(), (x.mean() - y.mean()) / np.sqrt(x.std() * y.std())
    accuracy = 2 / (ratio + 1 / ratio + shift**2)  # C_b of Lin 1989
    assert once(concordance, PEAK_FLOW) == pytest.approx(stats.pearsonr(x, y).statistic * accuracy, abs=1e-12)
    # As other packages give it for these readings.
    assert once(concordance, PEAK_FLOW) == pytest.approx(0.943, abs=0.0005)


def test_concordance_of_a_pure_shift_follows_by_hand():
    # Means 2 and 3, both variances 2/3, covariance 2/3.
    assert once(concordance, [[1, 2], [2, 3], [3, 4]]) == pytest.approx((4 / 3) / (4 / 3 + 1), abs=1e-12)


def test_kappa_agrees_with_another_library():
    rng = np.random.default_rng(5)
    for _ in range(20):
        first = rng.integers(0, 4, 50)
        second = np.clip(first + rng.integers(-1, 2, 50), 0, 3)
        expected = cohen_kappa_score(first, second, weights="quadratic", labels=range(4))
        assert once(weighted_kappa, np.stack([first, second], axis=1)) == pytest.approx(expected, abs=1e-12)


def test_kappa_of_two_classes_is_the_plain_one():
    # Fleiss' textbook form by hand: 40 of 50 agree, expected by chance 0.5 * 0.6 + 0.5 * 0.4.
    pairs = [[1, 1]] * 20 + [[1, 0]] * 5 + [[0, 1]] * 5 + [[0, 0]] * 20
    assert once(weighted_kappa, pairs) == pytest.approx((0.8 - 0.5) / 0.5, abs=1e-12)


def test_spearman_agrees_with_another_library_with_and_without_ties():
    for ratings in (noisy_pairs(), np.round(noisy_pairs() / 40), JUDGES[:, :2]):
        assert once(spearman, ratings) == pytest.approx(stats.spearmanr(*ratings.T).statistic, abs=1e-12)


def test_shares_of_yes_and_no():
    ratings = np.array([[1, 1]] * 7 + [[0, 1]] * 3 + [[1, 0]] * 2 + [[0, 0]] * 6, dtype=np.float64)
    assert once(sensitivity, ratings) == pytest.approx(recall_score(ratings[:, 1], ratings[:, 0]))
    assert once(specificity, ratings) == pytest.approx(recall_score(ratings[:, 1], ratings[:, 0], pos_label=0))
    assert once(exact_agreement, ratings) == pytest.approx(13 / 18)
    assert once(mean_absolute_error, ratings) == pytest.approx(5 / 18)


def test_confusion_counts_first_by_second():
    classes = np.array([[0, 0], [1, 2], [1, 2], [3, 0]])
    assert (confusion(classes, 4) == confusion_matrix(*classes.T, labels=range(4))).all()
    assert confusion(np.empty((0, 2), np.int64), 4).sum() == 0


@pytest.mark.parametrize("statistic", EVERY)
def test_a_weight_is_so_many_slides(statistic):
    ratings = np.round(noisy_pairs(15) / 80)
    weights = np.random.default_rng(1).integers(0, 4, (6, 15)).astype(np.float64)
    together = statistic(ratings, weights)
    for row, found in zip(weights, together, strict=True):
        assert found == pytest.approx(once(statistic, np.repeat(ratings, row.astype(int), axis=0)), abs=1e-9)


@pytest.mark.parametrize("statistic", EVERY)
def test_points_of_the_scale_do_not_matter_beyond_rounding(statistic):
    ratings = noisy_pairs() + 1e4
    assert once(statistic, ratings) == pytest.approx(once(statistic, noisy_pairs()), abs=1e-6)


def test_perfect_agreement():
    ratings = np.repeat(noisy_pairs()[:, :1], 2, axis=1)
    for statistic in (icc_2_1, concordance, spearman, exact_agreement):
        assert once(statistic, ratings) == pytest.approx(1, abs=1e-9)
    for statistic in (bias, lower_limit, upper_limit, mean_absolute_error):
        assert once(statistic, ratings) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("statistic", [icc_2_1, concordance, weighted_kappa, spearman])
def test_what_does_not_vary_has_no_coefficient(statistic):
    assert np.isnan(once(statistic, [[80.1, 80.1]] * 7))
    assert np.isnan(once(statistic, [[80.1, 80.1]]))


def test_one_slide_has_no_limits_and_no_slide_has_nothing():
    assert np.isnan(once(lower_limit, [[10, 20]]))
    assert once(bias, [[10, 20]]) == -10
    assert np.isnan(once(sensitivity, [[1, 0], [0, 0]]))
    assert all(np.isnan(statistic(JUDGES[:, :2], np.zeros((1, 6)))[0]) for statistic in (bias, exact_agreement))


def test_every_public_statistic_is_looked_at():
    public = {
        name for name, value in vars(agreement).items() if callable(value) and value.__module__ == agreement.__name__
    }
    named = {each.__name__ for each in (*EVERY, sensitivity, specificity, confusion)}
    assert {name for name in public if not name.startswith("_")} == named
