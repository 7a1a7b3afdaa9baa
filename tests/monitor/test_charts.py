from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from slidescore.monitor.charts import Chart, MonitoredSlide, draw_up_charts, list_alarms
from slidescore.monitor.limits import ENOUGH
from slidescore.monitor.measures import CONTROL_DAB_OD, WHITE_LEVEL

OD, WHITE = CONTROL_DAB_OD.name, WHITE_LEVEL.name


def series(batches: Sequence[Sequence[float | None]], white: float = 238.0) -> list[MonitoredSlide]:
    """Slides of batches; the first is the baseline."""
    return [
        MonitoredSlide(
            "run", f"s{number}-{k}", f"{number}-{k}.svs", f"batch {number}", "sample", number == 0,
            {OD: value, WHITE: white}, {} if value is not None else {OD: "no positive control tissue"},
        )
        for number, batch in enumerate(batches)
        for k, value in enumerate(batch)
    ]  # fmt: skip


def usual(n: int, seed: int = 0) -> list[float]:
    """Values whose mean is 0.5 and whose SD is 0.02, to the digit."""
    drawn = np.random.default_rng(seed).normal(size=n)
    return (0.5 + 0.02 * (drawn - drawn.mean()) / drawn.std(ddof=1)).tolist()


def chart_of(slides: Sequence[MonitoredSlide]) -> Chart:
    charts, _ = draw_up_charts(slides)
    return next(chart for chart in charts if chart.measure is CONTROL_DAB_OD)


def test_nothing_alarms_at_the_mean() -> None:
    slides = series([usual(20), [0.5] * 10, [0.5] * 10])
    chart = chart_of(slides)
    assert not chart.alarms.any()
    assert (chart.baseline.mean, chart.baseline.sd) == (pytest.approx(0.5), pytest.approx(0.02))
    assert np.isnan(chart.low[:20]).all()
    assert np.isnan(chart.up[:20]).all()
    assert list_alarms([chart], slides) == []


def test_one_wild_slide_is_beyond_the_limits() -> None:
    slides = series([usual(20), [0.5, 0.9, 0.5]])
    alarms = list_alarms([chart_of(slides)], slides)
    assert [(alarm.kind, alarm.direction, alarm.slide, alarm.n_slides) for alarm in alarms][-1] == (
        "limits",
        "up",
        21,
        1,
    )
    assert {alarm.batch for alarm in alarms} == {"batch 1"}


def test_a_shift_is_summed_and_says_its_direction() -> None:
    slides = series([usual(60), [0.5 * 0.85] * 5])
    chart = chart_of(slides)
    assert not chart.beyond.any()
    (alarm,) = list_alarms([chart], slides)
    assert (alarm.kind, alarm.direction, alarm.mean) == ("cusum", "down", pytest.approx(0.5))
    assert alarm.slide <= 62


def test_sums_go_on_over_batches_and_begin_again_after_a_held_one() -> None:
    paler = 0.5 - 0.02 * 3.2
    chart = chart_of(series([usual(60), [0.5, paler], [paler, paler, paler], [0.5, 0.5]]))
    assert chart.summed.tolist()[60:] == [False, False, False, False, True, False, False] or chart.summed[61:65].any()
    first = int(np.flatnonzero(chart.summed)[0])
    assert first in (62, 63, 64), "in the second batch, with what the first one left"
    assert (chart.down[65:] == 0).all()


def test_a_small_reference_grows_by_batches_in_control_and_by_no_other() -> None:
    slides = series([usual(20), usual(10, 1), [0.9] * 10, usual(10, 2), usual(30, 3), usual(10, 4)])
    chart = chart_of(slides)
    reach = chart.high - chart.low
    starts = [20, 30, 40, 50, 80]
    assert reach[20] > reach[30], "10 more slides"
    assert reach[30] == reach[40], "a held batch does not join"
    assert reach[40] > reach[50] > reach[80]
    assert chart.baseline.n == 20
    assert chart.reference.n == 70 >= ENOUGH
    for start in starts:
        assert len(set(reach[start : start + 10])) == 1, "one batch, one pair of limits"


def test_a_reference_of_enough_slides_stays() -> None:
    chart = chart_of(series([usual(60), [0.51] * 20, [0.51] * 20]))
    assert chart.reference == chart.baseline
    assert len(set(chart.high[60:])) == 1


def test_slides_without_the_measure_change_nothing() -> None:
    without = series([[*usual(20), None], [0.45, None, 0.45], [None, 0.45]])
    chart = chart_of(without)
    known = np.isfinite(chart.values)
    plain = chart_of(series([usual(20), [0.45, 0.45], [0.45]]))
    np.testing.assert_array_equal(chart.down[known], plain.down)
    np.testing.assert_array_equal(chart.alarms[known], plain.alarms)
    assert np.isnan(chart.down[~known]).all()


def test_what_is_not_charted_says_why() -> None:
    charts, left_out = draw_up_charts(series([[*usual(19), None, None], [0.5]]))
    assert [chart.measure for chart in charts] == [WHITE_LEVEL]
    assert left_out[OD] == "19 of 21 baseline slides have it, at least 20 are needed; no positive control tissue"


def test_whole_numbers_that_never_change_alarm_at_no_small_step() -> None:
    slides = series([usual(20), [0.5] * 10])
    moved = [
        MonitoredSlide(s.run, s.slide_id, s.file, s.batch, s.role, s.baseline, {**s.values, WHITE: 237.0}, s.why)
        if not s.baseline
        else s
        for s in slides
    ]
    charts, _ = draw_up_charts(moved)
    white = next(chart for chart in charts if chart.measure is WHITE_LEVEL)
    assert white.baseline.sd == WHITE_LEVEL.least_sd
    assert not white.alarms.any()
