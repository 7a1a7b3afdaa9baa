"""The search for a cut-off: its adjusted p against counting every order, published values and simulated null trials."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from slidescore.cohort.cut_resampling import choose_cut, nested_binary, nested_survival
from slidescore.cohort.cutpoint import (
    allowed_cuts,
    chi_square_at,
    exact_p,
    log_rank_scores,
    miller_siegmund,
    score_statistic,
    search_binary,
    search_survival,
)
from slidescore.cohort.survival import observed_minus_expected


@pytest.mark.parametrize(("z", "published"), [(2.8, 0.096), (3.2, 0.033)])
def test_miller_and_siegmund(z, published):
    assert round(miller_siegmund(z), 3) == published


def test_the_exact_p_counts_every_order_of_the_patients():
    n, k, cuts = 12, 4, np.array([2, 3, 5, 6, 9, 10])
    for largest in (1.2, 3.0, 4.6875, 6.0):
        reached = 0
        for responders in combinations(range(n), k):
            below = np.array([sum(r < cut for r in responders) for cut in cuts])
            reached += chi_square_at(below, cuts, n, k).max() >= largest - 1e-9
        assert exact_p(largest, n, k, cuts) == pytest.approx(reached / comb(n, k))


def test_the_statistic_is_pearsons():
    score = np.arange(20.0)
    responder = score > 12
    responder[3] = True
    found = search_binary(score, responder)
    for cut, value in zip(found.cuts, found.statistic, strict=True):
        table = [[(responder & (score >= cut)).sum(), (~responder & (score >= cut)).sum()]]
        table += [[(responder & (score < cut)).sum(), (~responder & (score < cut)).sum()]]
        assert value == pytest.approx(chi2_contingency(table, correction=False).statistic)
    assert found.best == 13
    assert found.p_naive < found.p_adjusted < 0.01
    assert found.critical > 3.84


def test_the_adjusted_p_is_near_miller_and_siegmund_without_ties():
    draw = np.random.default_rng(4)
    found = search_binary(draw.random(330), draw.random(330) < 0.3)
    assert found.p_adjusted == pytest.approx(miller_siegmund(found.statistic.max() ** 0.5), abs=0.06)


def test_ties_stay_together_and_ten_percent_lie_on_each_side():
    score = np.array([1, 1, 1, 2, 2, 3, 3, 3, 3, 9], float)
    np.testing.assert_array_equal(allowed_cuts(score), [3, 5, 9])
    assert set(allowed_cuts(np.arange(100.0))) == set(range(10, 91))
    assert len(allowed_cuts(np.ones(10))) == 0


def test_rows_in_any_order_give_the_same_search():
    draw = np.random.default_rng(5)
    score, months, event = draw.integers(0, 30, 60) * 10.0, draw.exponential(5, 60).round(0), draw.random(60) < 0.6
    order = draw.permutation(60)
    first, second = (
        search_survival(score, months, event, 1),
        search_survival(score[order], months[order], event[order], 1),
    )
    assert (first.best, first.p_adjusted) == (second.best, second.p_adjusted)
    first, second = search_binary(score, event), search_binary(score[order], event[order])
    assert (first.best, first.p_adjusted) == (second.best, second.p_adjusted)


def test_log_rank_scores_sum_to_the_excess_of_events():
    draw = np.random.default_rng(6)
    months, event, high = draw.exponential(5, 80).round(1), draw.random(80) < 0.7, draw.random(80) < 0.4
    excess, _ = observed_minus_expected(high.astype(np.int64), 2, months, event)
    scores = log_rank_scores(months, event)
    assert scores[high].sum() == pytest.approx(excess[1])
    assert scores.sum() == pytest.approx(0)


def test_the_score_statistic_of_responders_is_almost_pearsons():
    hit = np.array([0, 1, 0, 0, 1, 1, 1, 0, 1, 1], float)
    cuts = np.array([2, 5, 8])
    expected = chi_square_at(np.cumsum(hit)[cuts - 1], cuts, 10, 6)
    np.testing.assert_allclose(score_statistic(hit, cuts), expected * 9 / 10)


def test_of_equally_good_cuts_search_and_resampling_take_the_same_lowest_one():
    score = np.arange(20.0)
    responder = np.isin(np.arange(20), [0, 1, 2, 3, 16, 17, 18, 19])
    found = search_binary(score, responder)
    largest = found.cuts[np.isclose(found.statistic, found.statistic.max())]
    assert len(largest) == 2
    assert found.best == choose_cut(score, responder.astype(float)) == largest[0]


def test_a_survival_search_finds_a_planted_cut():
    draw = np.random.default_rng(7)
    score = draw.uniform(0, 300, 200)
    months = draw.exponential(np.where(score > 180, 3.0, 9.0))
    found = search_survival(score, np.minimum(months, 12), months <= 12, 1)
    assert found.best == pytest.approx(180, abs=15)
    assert found.p_naive < found.p_adjusted == pytest.approx(1 / 10_001)
    nested = nested_survival(score, np.minimum(months, 12), months <= 12, 1)
    assert 2 < nested.held_out < 4.5
    assert nested.cut_low <= nested.cut_median <= nested.cut_high
    assert nested.cut_median == pytest.approx(180, abs=20)


def test_the_held_out_effect_of_noise_is_smaller_than_the_apparent_one():
    draw = np.random.default_rng(8)
    apparent, held_out = [], []
    for number in range(12):
        nested = nested_binary(draw.random(60), draw.random(60) < 0.3, number)
        apparent.append(abs(nested.apparent))
        held_out.append(nested.held_out)
    assert np.mean(apparent) > 0.2
    assert abs(np.mean(held_out)) < 0.1
    assert nested_binary(np.arange(40.0), np.arange(40) > 20, 3).held_out > 0.8


@pytest.mark.parametrize(
    ("score", "responder", "reason"),
    [
        (np.arange(10.0), np.zeros(10, bool), "there is no responder"),
        (np.arange(10.0), np.ones(10, bool), "every patient is a responder"),
        (np.ones(10), np.arange(10) < 3, "no score leaves 10 % of the patients on each side"),
        (np.zeros(0), np.zeros(0, bool), "there is no responder"),
    ],
)
def test_where_there_is_nothing_to_search_there_is_a_reason(score, responder, reason):
    found = search_binary(score, responder)
    assert (found.best, found.p_naive, found.p_adjusted, found.reason) == (None, None, None, reason)
    assert nested_binary(score, responder, 1) is None


def test_survival_without_events_gives_a_reason():
    found = search_survival(np.arange(9.0), np.ones(9), np.zeros(9, bool), 1)
    assert (found.p_adjusted, found.reason) == (None, "there is no event")
    assert nested_survival(np.arange(9.0), np.ones(9), np.zeros(9, bool), 1) is None


def test_follow_up_that_is_the_same_for_all_gives_a_reason():
    found = search_survival(np.arange(9.0), np.full(9, 3.0), np.ones(9, bool), 1)
    assert (found.p_adjusted, found.reason) == (None, "all patients have the same follow-up")
    assert nested_survival(np.arange(9.0), np.full(9, 3.0), np.ones(9, bool), 1) is None
