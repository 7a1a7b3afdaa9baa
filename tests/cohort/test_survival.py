"""Curves and log-rank tests, held against a published example, lifelines and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest

from slidescore.cohort.quiet_fit import quiet
from slidescore.cohort.survival import kaplan_meier, log_rank, number_at_risk

# Remission of leukemia, weeks (Freireich et al., Blood 21 (1963) 699): 6-mercaptopurine and placebo.
TREATED = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35], float)
TREATED_EVENT = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], bool)
PLACEBO = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], float)


def drawn(n=150, seed=1):
    draw = np.random.default_rng(seed)
    return draw.exponential(5, n).round(1), draw.random(n) < 0.7, draw.integers(0, 3, n), draw.integers(0, 4, n)


def test_the_published_leukemia_example():
    curve = kaplan_meier(TREATED, TREATED_EVENT)
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {week: round(curve.at(week)[0], 3) for week in published} == published
    assert curve.median[0] == 23
    both = np.concatenate([TREATED, PLACEBO])
    event = np.concatenate([TREATED_EVENT, np.ones(21, bool)])
    found = log_rank(np.repeat([0, 1], 21), both, event)
    assert (found.chi_square, found.df) == (pytest.approx(16.79, abs=0.005), 1)


def test_curve_band_and_median_are_those_of_lifelines():
    months, event, _, _ = drawn()
    with quiet():
        from lifelines import KaplanMeierFitter
        from lifelines.utils import median_survival_times

        fitted = KaplanMeierFitter().fit(months, event)
        ends = median_survival_times(fitted.confidence_interval_).to_numpy()[0]
    curve = kaplan_meier(months, event)
    at = fitted.survival_function_.index.to_numpy()
    place = np.searchsorted(curve.months, at, side="right") - 1
    np.testing.assert_allclose(curve.survival[place], fitted.survival_function_.to_numpy()[:, 0], atol=1e-12)
    inside = np.isfinite(curve.low[place])
    expected = fitted.confidence_interval_.to_numpy()[inside]
    np.testing.assert_allclose(np.column_stack([curve.low, curve.high])[place][inside], expected, atol=1e-12)
    assert curve.median == (fitted.median_survival_time_, *ends)
    assert curve.at_risk[0] == curve.n == 150
    np.testing.assert_array_equal(number_at_risk(months, curve.months), curve.at_risk)


@pytest.mark.parametrize("n", range(2, 121, 2))
def test_half_of_the_patients_is_half_whatever_the_rounding(n):
    assert kaplan_meier(np.arange(1.0, n + 1), np.ones(n, bool)).median[0] == n / 2


@pytest.mark.parametrize("stratified", [False, True])
def test_log_rank_is_that_of_statsmodels(stratified):
    months, event, group, stratum = drawn()
    with quiet():
        from statsmodels.duration.survfunc import survdiff

        chi_square, p = survdiff(months, event.astype(int), group, strata=stratum if stratified else None)
    found = log_rank(group, months, event, stratum if stratified else None)
    assert (found.chi_square, found.p, found.df) == (pytest.approx(chi_square), pytest.approx(p), 2)


def test_when_all_are_censored_there_is_a_curve_but_no_test():
    months, _, group, _ = drawn(20)
    censored = np.zeros(20, bool)
    curve = kaplan_meier(months, censored)
    assert (curve.survival == 1).all()
    assert np.isnan(curve.low).all()
    assert curve.median == (None, None, None)
    assert log_rank(group, months, censored).reason == "no event was seen"


def test_one_group_cannot_be_compared():
    months, event, _, _ = drawn(20)
    assert log_rank(np.zeros(20, np.int64), months, event).reason == "only one group holds patients"


def test_events_after_the_other_group_has_left_say_nothing():
    found = log_rank(np.array([0, 0, 1, 1]), np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True]))
    assert found.p is None
    assert "two groups" in found.reason


def test_survival_is_unknown_after_the_last_follow_up_unless_nobody_is_left():
    censored = kaplan_meier(np.array([1.0, 2.0]), np.array([True, False]))
    assert np.isnan(censored.at(3.0)[0])
    dead = kaplan_meier(np.array([1.0, 2.0]), np.array([True, True]))
    assert dead.at(3.0)[0] == 0


def test_an_event_at_time_zero_counts():
    curve = kaplan_meier(np.array([0.0, 1.0, 2.0, 3.0]), np.array([True, False, True, False]))
    assert curve.months[0] == 0
    assert curve.survival[0] == pytest.approx(0.75)
