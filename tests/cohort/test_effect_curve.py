"""Effects in windows along the score."""

from __future__ import annotations

import numpy as np
import pytest

from slidescore.cohort.effect_curve import LEAST_WINDOW, response_curve, survival_curve, windows
from slidescore.cohort.proportions import clopper_pearson, difference
from slidescore.cohort.survival import kaplan_meier

FEW = 99
"""Permutations; enough for what these tests ask."""


def drawn(n=200, seed=2):
    draw = np.random.default_rng(seed)
    score, treated = draw.uniform(0, 300, n).round(1), np.arange(n) % 2 == 0
    responder = draw.random(n) < np.where(treated & (score > 150), 0.7, 0.2)
    months = draw.exponential(np.where(treated & (score > 150), 12.0, 4.0)).round(1)
    return score, treated, responder, np.minimum(months, 14), months <= 14


def test_windows_slide_over_all_patients_and_keep_ties_together():
    score = np.repeat(np.arange(30.0), 5)
    found = windows(score)
    assert np.any(found, axis=0).all()
    assert all(window.sum() >= 38 for window in found)
    for window in found:
        assert set(score[window]).isdisjoint(score[~window])
    assert windows(np.arange(2.0 * LEAST_WINDOW - 1)) == []
    assert len(windows(np.ones(100))) == 1


def test_each_point_is_the_comparison_of_its_window():
    score, treated, responder, _, _ = drawn()
    curve = response_curve(score, responder, treated, 1, FEW)
    inside = (score >= curve.window_low[3]) & (score <= curve.window_high[3])
    one, other = responder[inside & treated], responder[inside & ~treated]
    expected = difference(int(one.sum()), len(one), int(other.sum()), len(other))
    point = (curve.estimate[3], curve.low[3], curve.high[3])
    assert point == (expected.estimate, expected.low, expected.high)
    assert curve.n[3] == inside.sum()
    assert (curve.axis, curve.reference, curve.percent) == ("difference of response rates, percentage points", 0.0, 100)


def test_a_planted_step_is_seen_and_noise_is_not():
    score, treated, responder, months, event = drawn()
    assert response_curve(score, responder, treated, 1, FEW).p < 0.02
    found = survival_curve(score, months, event, treated, 6.0, 1, FEW)
    assert found.estimate[0] > 0.7
    assert found.estimate[-1] < 0.6
    assert found.log_axis
    assert found.p < 0.05
    draw = np.random.default_rng(3)
    assert response_curve(score, draw.random(200) < 0.3, treated, 1, FEW).p > 0.05


def test_without_arms_the_curve_is_the_rate_itself():
    score, _, responder, months, event = drawn()
    curve = response_curve(score, responder, None, 1, FEW)
    inside = (score >= curve.window_low[0]) & (score <= curve.window_high[0])
    low, high = clopper_pearson(int(responder[inside].sum()), int(inside.sum()))
    assert (curve.estimate[0], curve.low[0], curve.high[0]) == (responder[inside].mean(), low, high)
    assert curve.reference is None
    landmark = survival_curve(score, months, event, None, 6.0, 1, FEW)
    assert landmark.estimate[0] == kaplan_meier(months[inside], event[inside]).at(6.0)[0]
    assert landmark.effect == "share without event at 6 months"


def test_the_permutation_p_is_a_p():
    score, treated, responder, _, _ = drawn()
    p = response_curve(score, responder, treated, 1, FEW).p
    assert p == response_curve(score, responder, treated, 1, FEW).p
    assert 1 / (1 + FEW) <= p <= 1


@pytest.mark.parametrize("n", [0, 10, 39])
def test_too_few_patients_give_a_reason(n):
    score, treated, responder, months, event = (each[:n] for each in drawn())
    assert "fewer than 40 patients" in response_curve(score, responder, treated, 1, FEW).reason
    assert "fewer than 40 patients" in survival_curve(score, months, event, treated, 6.0, 1, FEW).reason


def test_without_events_there_is_no_curve():
    score, treated, _, months, _ = drawn()
    found = survival_curve(score, months, np.zeros(200, bool), treated, 6.0, 1, FEW)
    assert found.reason == "no window holds enough events or follow-up"


def test_a_rate_that_never_changes_has_no_p():
    score, treated, _, _, _ = drawn()
    found = response_curve(score, np.zeros(200, bool), treated, 1, FEW)
    assert found.p is None
    assert (found.estimate == 0).all()
