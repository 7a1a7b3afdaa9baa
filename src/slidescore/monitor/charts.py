"""The charts of a set of slides, and which batches they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from slidescore.monitor.limits import (
    ENOUGH,
    MIN_BASELINE,
    Baseline,
    Limits,
    cusum,
    deviates,
    make_baseline,
    place_limits,
)
from slidescore.monitor.measures import MEASURES, Measure, Values

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MonitoredSlide:
    """One slide of the series.

    Attributes
    ----------
    run, slide_id, file, batch
        Names; the run's is that of its folder.
    role
        control_positive, control_negative or sample.
    baseline
        Whether its batch is of the baseline.
    values
        By measure; None where it has none.
    why
        By measure, why it has none.
    """

    run: str
    slide_id: str
    file: str
    batch: str
    role: str
    baseline: bool
    values: Values
    why: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A measure over all slides in their order.

    Attributes
    ----------
    measure
        What is charted.
    baseline, reference
        What the first later batch was compared with, and what the last one was: the baseline, joined by batches that no
        chart held, to 60 slides.
    limits
        Of the last batch.
    values, low, high
        float64, (n,): the measure and the limits of each slide; limits are NaN in the baseline.
    up, down
        float64, (n,): both sums of the CUSUM, in SD; NaN in the baseline, and where there is no value.
    beyond, summed
        bool, (n,): slides beyond the Levey-Jennings limits, and at which a sum is beyond its own.
    """

    measure: Measure
    baseline: Baseline
    reference: Baseline
    limits: Limits
    values: Floats
    low: Floats
    high: Floats
    up: Floats
    down: Floats
    beyond: NDArray[np.bool_]
    summed: NDArray[np.bool_]

    @property
    def alarms(self) -> NDArray[np.bool_]:
        """Slides at which either alarms, bool, (n,)."""
        return self.beyond | self.summed


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm: the first slide of a batch at which a chart is beyond a limit.

    Attributes
    ----------
    batch, slide
        Where; the slide is its place in the series.
    measure
        Which chart.
    kind
        `limits` or `cusum`.
    value, mean
        The measure at that slide, and in the baseline.
    direction
        `up` or `down`.
    n_slides
        Slides of the batch at which it is beyond.
    """

    batch: str
    slide: int
    measure: Measure
    kind: str
    value: float
    mean: float
    direction: str
    n_slides: int


def draw_up_charts(slides: Sequence[MonitoredSlide]) -> tuple[list[Chart], dict[str, str]]:
    """Chart every measure that the baseline has enough of.

    Parameters
    ----------
    slides
        In their order, slides of a batch together.

    Returns
    -------
    charts
        In the order of `MEASURES`.
    left_out
        By measure, why it is not charted.
    """
    baseline = np.array([slide.baseline for slide in slides])
    drafts: list[_Draft] = []
    left_out: dict[str, str] = {}
    for measure in MEASURES:
        found = [slide.values.get(measure.name) for slide in slides]
        values = np.array([np.nan if value is None else value for value in found])
        usual = make_baseline(values[baseline], measure.least_sd)
        if usual is None:
            left_out[measure.name] = _why_not(measure, slides, values, baseline)
        else:
            drafts.append(_Draft(measure, usual, values, baseline))
    places = [[place for place, _ in own] for _, own in groupby(enumerate(slides), key=lambda each: each[1].batch)]
    judged = [np.array(own) for own in places if not slides[own[0]].baseline]
    largest = max(map(len, judged), default=0)
    for draft in drafts:
        draft.place(largest)
    for own in judged:
        alarmed = [draft.judge(own) for draft in drafts]
        if not any(alarmed):
            for draft in drafts:
                draft.join(own, largest)
    return [draft.chart() for draft in drafts], left_out


class _Draft:
    """A chart while its batches are judged, one after another."""

    def __init__(self, measure: Measure, usual: Baseline, values: Floats, baseline: NDArray[np.bool_]) -> None:
        self._measure, self._baseline, self._reference, self._values = measure, usual, usual, values
        self._known = values[baseline]
        self._limits = place_limits(usual, 0)
        self._judged_by, self._judged_within = usual, self._limits
        self._low, self._high, self._up, self._down = (np.full(len(values), np.nan) for _ in range(4))
        self._beyond, self._summed = np.zeros(len(values), bool), np.zeros(len(values), bool)
        self._sums = (0.0, 0.0)

    def place(self, largest: int) -> None:
        """Place the limits for batches of at most so many slides."""
        self._limits = place_limits(self._reference, largest)

    def judge(self, own: NDArray[np.int64]) -> bool:
        """Judge the slides of a batch; returns whether one is an alarm."""
        values, limits = self._values[own], self._limits
        self._judged_by, self._judged_within = self._reference, limits
        up, down = cusum(deviates(values, self._reference), self._sums)
        known = np.isfinite(values)
        self._low[own], self._high[own] = limits.low, limits.high
        self._up[own], self._down[own] = np.where(known, up, np.nan), np.where(known, down, np.nan)
        self._beyond[own] = known & ((values < limits.low) | (values > limits.high))
        self._summed[own] = known & (np.maximum(up, down) > limits.cusum)
        # The batch is held and looked at; the next one is judged by its own slides.
        self._sums = (0.0, 0.0) if self._summed[own].any() else (float(up[-1]), float(down[-1]))
        return bool((self._beyond[own] | self._summed[own]).any())

    def join(self, own: NDArray[np.int64], largest: int) -> None:
        """Let a batch that no chart held join the reference, unless that has enough slides."""
        if self._reference.n >= ENOUGH:
            return
        self._known = np.concatenate([self._known, self._values[own]])
        grown = make_baseline(self._known, self._measure.least_sd)
        assert grown is not None
        self._reference = grown
        self.place(largest)

    def chart(self) -> Chart:
        """Return the chart."""
        return Chart(
            self._measure, self._baseline, self._judged_by, self._judged_within, self._values, self._low, self._high,
            self._up, self._down, self._beyond, self._summed,
        )  # fmt: skip


def list_alarms(charts: Sequence[Chart], slides: Sequence[MonitoredSlide]) -> list[Alarm]:
    """List the alarms, one for each chart, kind and batch, in the order of the slides."""
    found = []
    for chart in charts:
        for kind, beyond in (("limits", chart.beyond), ("cusum", chart.summed)):
            by_batch: dict[str, list[int]] = {}
            for slide in np.flatnonzero(beyond).tolist():
                by_batch.setdefault(slides[slide].batch, []).append(slide)
            for batch, places in by_batch.items():
                first = places[0]
                value, usual = float(chart.values[first]), chart.baseline.mean
                upwards = value > chart.high[first] if kind == "limits" else chart.up[first] > chart.down[first]
                found.append(
                    Alarm(
                        batch, first, chart.measure, kind, value, usual, "up" if upwards else "down", len(places)
                    )
                )  # fmt: skip
    order = {measure.name: number for number, measure in enumerate(MEASURES)}
    return sorted(found, key=lambda alarm: (alarm.slide, order[alarm.measure.name], alarm.kind))


def _why_not(measure: Measure, slides: Sequence[MonitoredSlide], values: Floats, baseline: NDArray[np.bool_]) -> str:
    """Say why a measure has no chart: too few slides of the baseline have it, and what most of the others lack."""
    n, of = int(np.isfinite(values[baseline]).sum()), int(baseline.sum())
    reasons = [slide.why.get(measure.name, "") for slide in slides if slide.baseline]
    common = max(sorted(set(filter(None, reasons))), key=reasons.count, default="")
    text = f"{n} of {of} baseline slides have it, at least {MIN_BASELINE} are needed"
    return f"{text}; {common}" if common else text
