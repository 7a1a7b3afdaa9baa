"""Shares with exact intervals, held against the phase I report and statsmodels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.cohort.proportions import clopper_pearson, difference, proportion, wilson
from slidescore.cohort.quiet_fit import quiet


@pytest.mark.parametrize(
    ("k", "n", "written"),
    [
        (9, 24, "37.5 (18.8-59.4)"),
        (15, 24, "62.5 (40.6-81.2)"),
        (16, 54, "29.6 (18.0-43.6)"),
        (24, 54, "44.4 (30.9-58.6)"),
    ],
)
def test_intervals_of_the_phase_one_report(k, n, written):
    found = proportion(k, n)
    assert f"{100 * found.share:.1f} ({100 * found.low:.1f}-{100 * found.high:.1f})" == written


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 12), (1, 1), (12, 12), (3, 12), (56, 432)])
def test_clopper_pearson_is_that_of_statsmodels(k, n):
    with quiet():
        from statsmodels.stats.proportion import proportion_confint
    assert clopper_pearson(k, n) == pytest.approx(proportion_confint(k, n, method="beta"), nan_ok=False)


def test_nobody_and_everybody_have_closed_ends():
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(1 - 0.025**0.1))
    assert clopper_pearson(10, 10) == (pytest.approx(0.025**0.1), 1.0)


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_what_is_no_share_is_refused(k, n):
    with pytest.raises(ValueError, match="is no share"):
        clopper_pearson(k, n)


def test_without_patients_there_is_no_share():
    found = proportion(0, 0)
    assert (found.share, found.low, found.high) == (None, None, None)


@pytest.mark.parametrize("counts", [(9, 24, 16, 54), (0, 10, 10, 10), (21, 162, 23, 168), (5, 5, 5, 5)])
def test_the_difference_is_newcombes(counts):
    with quiet():
        from statsmodels.stats.proportion import confint_proportions_2indep

        expected = confint_proportions_2indep(*counts, method="newcomb", compare="diff")
    found = difference(*counts)
    assert found.estimate == pytest.approx(counts[0] / counts[1] - counts[2] / counts[3])
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert -1 <= found.low <= found.estimate <= found.high <= 1


def test_fisher_of_the_derived_split_of_fortress():
    # science.md section 2: 21/162 against 23/168 gives a plain Fisher p of 0.87.
    assert difference(21, 162, 23, 168).p == pytest.approx(0.87, abs=0.005)


def test_an_empty_group_gives_a_reason():
    found = difference(0, 0, 3, 10)
    assert found.estimate is None
    assert "no patient" in found.reason


@pytest.mark.parametrize(
    ("n_true", "n", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]
)
def test_intervals_are_those_of_newcombe_1998(n_true: int, n: int, low: float, high: float) -> None:
    """Table I of Newcombe 1998, Stat. Med. 17:857, the score method without continuity correction."""
    assert wilson(n_true, n) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 400), st.data())
def test_an_interval_holds_its_share_and_stays_between_none_and_all(n: int, data: st.DataObject) -> None:
    n_true = data.draw(st.integers(0, n))
    low, high = wilson(n_true, n)
    assert 0 <= low <= n_true / n + 1e-12
    assert n_true / n - 1e-12 <= high <= 1
    other_low, other_high = wilson(n - n_true, n)
    assert (1 - other_high, 1 - other_low) == pytest.approx((low, high))
