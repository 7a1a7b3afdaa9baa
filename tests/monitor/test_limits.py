from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from slidescore.monitor.limits import (
    CUSUM_ALLOWANCE,
    CUSUM_LIMIT,
    FALSE_ALARM_A_BATCH,
    LEVEY_JENNINGS_SHARE,
    Baseline,
    cusum,
    deviates,
    make_baseline,
    place_limits,
)
from slidescore.monitor.measures import MEASURES, floor_degrees, share_of_degrees

USUAL = Baseline(0.5, 0.02, 20)


def test_a_baseline_needs_twenty_slides_and_a_spread() -> None:
    values = np.concatenate([np.linspace(0, 1, 20), [np.nan] * 5])
    found = make_baseline(values, 0.01)
    assert found is not None
    assert (found.mean, found.n) == (0.5, 20)
    assert found.sd == pytest.approx(np.std(values[:20], ddof=1))
    assert make_baseline(values[1:], 0.01) is None
    flat = make_baseline(np.full(20, 238.0), 1.0)
    assert flat is not None
    assert flat.sd == 1.0, "whole numbers do not make the next step of one an alarm"


def test_deviates_are_standard_normal_although_mean_and_sd_are_estimated() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(4000):
        usual = make_baseline(rng.normal(size=20), 1e-9)
        assert usual is not None
        found.append(deviates(rng.normal(size=1), usual)[0])
    assert stats.kstest(found, "norm").pvalue > 0.01
    assert np.isnan(deviates(np.array([np.nan]), USUAL)).all()
    assert deviates(np.array([1e9, -1e9]), USUAL).tolist() == [8.0, -8.0]


def test_limits_are_students_for_one_more_slide_shared_among_charts_and_slides() -> None:
    limits = place_limits(USUAL, 5)
    assert limits == place_limits(USUAL, 20), "smaller batches change nothing"
    assert (limits.low + limits.high) / 2 == pytest.approx(0.5)
    t = (limits.high - 0.5) / (0.02 * math.sqrt(1 + 1 / 20))
    beyond = 2 * stats.t.sf(t, 19) * 20 * len(MEASURES)
    assert beyond == pytest.approx(FALSE_ALARM_A_BATCH * LEVEY_JENNINGS_SHARE)
    assert limits.cusum == CUSUM_LIMIT
    larger = place_limits(USUAL, 100)
    assert larger.high > limits.high
    assert larger.cusum > limits.cusum
    surer = place_limits(Baseline(0.5, 0.02, 200), 20)
    assert surer.high < limits.high


def test_the_sums_are_those_of_the_table_in_textbooks() -> None:
    # A tabular CUSUM by hand: allowance 1.75.
    q = np.array([1.0, 3.0, np.nan, 3.0, -1.0, -4.0])
    up, down = cusum(q)
    np.testing.assert_allclose(up, [0, 1.25, 1.25, 2.5, 0, 0])
    np.testing.assert_allclose(down, [0, 0, 0, 0, 0, 2.25])
    assert cusum(q[:1], (2.0, 3.0))[0].tolist() == [1.25]


@given(st.lists(st.floats(-5, 5) | st.just(math.nan), max_size=30), st.integers(0, 30))
def test_sums_are_never_negative_mirror_each_other_and_go_on(values: list[float], cut: int) -> None:
    q = np.array(values, float)
    up, down = cusum(q)
    turned_up, turned_down = cusum(-q)
    np.testing.assert_array_equal(up, turned_down)
    np.testing.assert_array_equal(down, turned_up)
    assert (up >= 0).all()
    assert (up <= np.cumsum(np.nan_to_num(np.maximum(q - CUSUM_ALLOWANCE, 0))) + 1e-9).all()
    if 0 < cut < len(q):
        later = cusum(q[cut:], (up[cut - 1], down[cut - 1]))
        np.testing.assert_array_equal(np.stack(later), np.stack([up[cut:], down[cut:]]))


@given(st.integers(0, 5000))
def test_the_floor_comes_back_from_degrees(positive: int) -> None:
    assert share_of_degrees(floor_degrees(positive, 5000)) == pytest.approx(positive / 5000, abs=1e-12)


def test_the_floor_spreads_alike_near_zero_and_far_from_it() -> None:
    rng = np.random.default_rng(0)
    spreads = [np.std([floor_degrees(int(k), 400) for k in rng.binomial(400, p, 2000)]) for p in (0.02, 0.1, 0.4)]
    np.testing.assert_allclose(spreads, math.degrees(0.5 / math.sqrt(400)), rtol=0.1)
