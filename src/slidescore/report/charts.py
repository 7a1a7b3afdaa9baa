"""Charts as inline SVG: no plotting library, colours from the page's style so that they follow light and dark.

Every chart says its numbers in text as well: colour only repeats what position and label say. Charts take numbers,
never tables or files, and return markup whose every text is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from slidescore.report.page import NOTHING, show_number, show_percent, show_score
from slidescore.report.svg import WIDTH, line, polyline, rect, svg, text
from slidescore.scoring import BIN_NAMES
from slidescore.scoring.bins import BIN_SIGNS

STRIP_WIDTH: Final = 1200
SMALL_WIDTH: Final = 120
HISTOGRAM_STEP_OD: Final = 0.02
HISTOGRAM_END_OD: Final = 1.5
MAX_H: Final = 300.0

_INSIDE_LABEL_PX: Final = 26.0
_LABEL_WIDTH_PX: Final = 62.0
_TICK_STEPS: Final = (1, 2, 5)
_MAX_TICKS: Final = 4
_X_TICKS: Final = 10
_LABEL_STEP_PX: Final = 15.0
_SERIES_STYLES: Final = 4
"""Line styles of page.css; the label at a line's end tells those apart that share one."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One slide on the cohort's strip: its score, its interval if there is one, and its name."""

    value: float
    low: float | None
    high: float | None
    name: str


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart: its name and its points in the order of x; points whose y is NaN are left out."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class ReliabilityPoint:
    """Cells that were given about the same probability: its mean, the share that came true, and its interval."""

    predicted: float
    observed: float
    low: float
    high: float
    n: int


def draw_bin_bar(counts: Sequence[int]) -> Markup:
    """Draw the four bins as one stacked bar with counts and percentages below."""
    total = sum(counts)
    parts = _stack(counts, WIDTH, 24) if total else [rect("empty", 0.5, 0.5, WIDTH - 1, 23)]
    x = 0.0
    for number, count in enumerate(counts):
        width = WIDTH * count / total if total else 0.0
        if width >= _INSIDE_LABEL_PX:
            parts.append(text(x + width / 2, 16, BIN_SIGNS[number], f"on-bin{number}", "middle"))
        x += width
    for number, (name, count) in enumerate(zip(BIN_NAMES, counts, strict=True)):
        left = WIDTH / len(counts) * number
        share = show_percent(100 * count / total) if total else NOTHING
        parts += [rect(f"bin{number}", left, 36, 10, 10), text(left + 16, 45, name)]
        parts.append(text(left + 16, 63, f"{show_number(count)} ({share})", "quiet"))
    return svg(68, f"Tumor cells by bin, n = {show_number(total)}", parts)


def draw_small_bin_bar(counts: Sequence[int]) -> Markup:
    """Draw the four bins as a bar for a table row; the numbers are in its title."""
    words = ", ".join(f"{name} {show_number(count)}" for name, count in zip(BIN_NAMES, counts, strict=True))
    return svg(12, words, _stack(counts, SMALL_WIDTH, 12), width=SMALL_WIDTH, style="small-chart")


def draw_histogram(
    dab_od: NDArray[np.float32], thresholds: tuple[float, float, float], compartment: str, statistic: str
) -> Markup:
    """Draw how DAB optical density is distributed over cells, with the thresholds between the bins.

    Parameters
    ----------
    dab_od
        float32, (N,), one value a counted tumor cell; NaN is left out. What lies beyond the axis is in its end bars.
    thresholds
        DAB OD at which 1+, 2+ and 3+ begin.
    compartment, statistic
        What the values are, for the axis.
    """
    _, counts = od_histogram(dab_od)
    n_bars = len(counts)
    left, top, width, height = 48.0, 34.0, WIDTH - 58.0, 130.0
    scale, bar_width = width / HISTOGRAM_END_OD, width / n_bars
    step = _tick_step(int(counts.max(initial=0)))
    peak = max(step, -(-int(counts.max(initial=0)) // step) * step)
    parts = [text(left - 6, 12, "cells", "quiet", "end")]
    for n in range(0, peak + 1, step):
        y = top + height * (1 - n / peak)
        parts += [line("grid", left, y, left + width, y), text(left - 6, y + 4, show_number(n), "quiet", "end")]
    for k in np.flatnonzero(counts):
        number = int(np.searchsorted(thresholds, (k + 0.5) * HISTOGRAM_STEP_OD, side="right"))
        bar = height * float(counts[k]) / peak
        parts.append(rect(f"bin{number}", left + float(k) * bar_width, top + height - bar, bar_width - 0.6, bar))
    for quarter in range(int(HISTOGRAM_END_OD * 4) + 1):
        parts.append(text(left + quarter / 4 * scale, top + height + 16, f"{quarter / 4:g}", "quiet", "middle"))
    last_end = -1.0
    for name, od in zip(BIN_NAMES[1:], thresholds, strict=True):
        x = left + min(od, HISTOGRAM_END_OD) * scale
        raised = x + 3 < last_end  # a label that would run into the one before it goes one line up
        y = top - 18 if raised else top - 4
        last_end = last_end if raised else x + _LABEL_WIDTH_PX
        parts += [line("threshold", x, y - 8, x, top + height), text(x + 3, y, f"{name} ≥ {od:g}", "quiet")]
    title = f"DAB optical density, {compartment} ({statistic})"
    parts.append(text(left + width / 2, top + height + 36, title, "", "middle"))
    return svg(round(top + height + 42), f"{title}, n = {show_number(int(counts.sum()))} tumor cells", parts)


def od_histogram(dab_od: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Count optical densities in bars of `HISTOGRAM_STEP_OD` from 0; NaN is left out.

    Parameters
    ----------
    dab_od
        float32, (N,); what lies beyond the axis is in its end bars.

    Returns
    -------
    edges : numpy.ndarray
        float64, (bars + 1,), where the bars begin and end.
    counts : numpy.ndarray
        int64, (bars,).
    """
    values = dab_od[~np.isnan(dab_od)]
    n_bars = round(HISTOGRAM_END_OD / HISTOGRAM_STEP_OD)
    edges = (np.arange(n_bars + 1) * HISTOGRAM_STEP_OD).astype(np.float64)
    # Compared as float32, as bins are, so that a bar and its cells' bin agree.
    bars = np.searchsorted(edges[1:-1].astype(np.float32), values, side="right")
    return edges, np.bincount(bars, minlength=n_bars).astype(np.int64)


def draw_compartments(
    h_by_compartment: Mapping[str, tuple[float | None, float | None, float | None]],
    scored: str,
    cutoff: float | None,
    cutoff_label: str = "",
) -> Markup:
    """Draw the H-score of each compartment; the cut-off stands only at the compartment that it belongs to.

    Parameters
    ----------
    h_by_compartment
        Score, and the ends of its interval where it has one.
    scored
        The assay's compartment.
    cutoff, cutoff_label
        Where the cut-off stands, and what it says.
    """
    left, top, row = 96.0, 18.0, 26.0
    width = WIDTH - left - 56.0
    bottom = top + row * len(h_by_compartment)
    parts = []
    for h in (0, 100, 200, 300):
        x = left + width * h / MAX_H
        parts += [line("grid", x, top, x, bottom), text(x, bottom + 15, str(h), "quiet", "middle")]
    for number, (name, (value, low, high)) in enumerate(h_by_compartment.items()):
        y, own = top + row * number, name == scored
        parts += [
            text(0, y + 17, name, "strong" if own else ""),
            rect("bar-scored" if own else "bar", left, y + 5, width * (value or 0.0) / MAX_H, 12),
            text(WIDTH, y + 17, show_score(value, 1), "strong" if own else "", "end"),
        ]
        if low is not None and high is not None:
            parts += _whisker(left + width * low / MAX_H, left + width * high / MAX_H, y + 21)
        if own and cutoff is not None:
            x = left + width * cutoff / MAX_H
            before = cutoff > MAX_H / 2
            parts += [
                line("threshold", x, 0, x, y + 1),
                line("cutoff", x, y + 1, x, y + 25),
                text(x - 5 if before else x + 5, 11, cutoff_label, "quiet", "end" if before else "start"),
            ]
    words = ", ".join(f"{name} {show_score(value, 1)}" for name, (value, _, _) in h_by_compartment.items())
    return svg(round(bottom + 20), f"H-score by compartment: {words}", parts)


def draw_small_interval(
    value: float, low: float | None, high: float | None, cutoff: float | None, end: float, title: str
) -> Markup:
    """Draw one score with its interval and the cut-off on an axis from 0 to `end`, for a table row."""
    scale = (SMALL_WIDTH - 2) / end
    parts = [line("axis", 1, 12, SMALL_WIDTH - 1, 12)]
    if low is not None and high is not None:
        parts.append(rect("interval", 1 + low * scale, 3, (high - low) * scale, 6))
    parts.append(line("tick", 1 + value * scale, 0, 1 + value * scale, 12))
    if cutoff is not None:
        parts.append(line("cutoff", 1 + cutoff * scale, 0, 1 + cutoff * scale, 15))
    return svg(15, title, parts, width=SMALL_WIDTH, style="small-chart")


def draw_strip(ticks: Sequence[Tick], cutoff: float | None, cutoff_label: str, axis: str, end: float) -> Markup:
    """Draw the scores of a cohort on one axis, a tick a slide with its interval, and the cut-off.

    Parameters
    ----------
    ticks
        The slides that have a score.
    cutoff, cutoff_label
        Where the cut-off stands, and what it says.
    axis
        Title of the axis.
    end
        Its end; it begins at 0.
    """
    left, base = 10.0, 52.0
    width = STRIP_WIDTH - 2 * left
    parts = [line("axis", left, base, left + width, base)]
    for value in np.linspace(0, end, 7 if end == MAX_H else 6).tolist():
        x = left + width * value / end
        parts += [line("axis", x, base, x, base + 4), text(x, base + 17, f"{value:g}", "quiet", "middle")]
    for tick in ticks:
        x = left + width * tick.value / end
        if tick.low is not None and tick.high is not None:
            x_low = left + width * tick.low / end
            parts.append(rect("interval", x_low, base - 17, width * (tick.high - tick.low) / end, 8))
        parts.append(line("tick", x, base - 26, x, base, f"{tick.name}: {show_score(tick.value, 1)}"))
    if cutoff is not None:
        x = left + width * cutoff / end
        before = cutoff > end / 2
        parts += [
            line("cutoff", x, 2, x, base + 4),
            text(x - 5 if before else x + 5, 12, cutoff_label, "quiet", "end" if before else "start"),
        ]
    parts.append(text(left + width / 2, base + 36, axis, "", "middle"))
    title = f"{axis}, n = {show_number(len(ticks))} slides"
    return svg(round(base + 42), title, parts, width=STRIP_WIDTH, style="chart strip")


def draw_lines(series: Sequence[Series], *, x_axis: str, y_axis: str, end: float | None = None) -> Markup:
    """Draw lines from 0 upwards, each labelled at its end with its name and last value.

    Parameters
    ----------
    series
        Values that are not negative; a series without a finite point is left out.
    x_axis, y_axis
        Titles of the axes, with units. x is whole numbers.
    end
        End of the y axis; by default a round number above all values.
    """
    drawn = [Series(each.name, [point for point in each.points if np.isfinite(point[1])]) for each in series]
    drawn = [each for each in drawn if each.points]
    left, top, width, height = 40.0, 24.0, WIDTH - 190.0, 210.0
    xs = [x for each in drawn for x, _ in each.points] or [0.0]
    first, last = min(xs), max(xs)
    ticks = _value_ticks(max((y for each in drawn for _, y in each.points), default=0.0) if end is None else end)
    x_scale, y_scale = width / max(last - first, 1.0), height / (end or ticks[-1])
    bottom = top + height
    parts = [text(0, 12, y_axis, "quiet")]
    for value in ticks:
        y = bottom - value * y_scale
        parts += [line("grid", left, y, left + width, y), text(left - 6, y + 4, f"{value:g}", "quiet", "end")]
    step = max(1, -(-round(last - first) // _X_TICKS))
    for value in range(round(first), round(last) + 1, step):
        parts.append(text(left + (value - first) * x_scale, bottom + 16, f"{value}", "quiet", "middle"))
    parts.append(text(left + width / 2, bottom + 36, x_axis, "", "middle"))
    places_of = [
        [(left + (x - first) * x_scale, bottom - min(y, end or y) * y_scale) for x, y in each.points] for each in drawn
    ]
    labels_y = _spread([places[-1][1] for places in places_of], bottom)
    for number, (each, places, label_y) in enumerate(zip(drawn, places_of, labels_y, strict=True)):
        style = f"line{number % _SERIES_STYLES}"
        parts.append(polyline(style, places))
        if len(places) == 1:
            parts.append(line(style, places[0][0] - 4, places[0][1], places[0][0] + 4, places[0][1]))
        parts.append(line("grid", places[-1][0] + 2, places[-1][1], left + width + 12, label_y))
        parts.append(text(left + width + 15, label_y + 4, f"{each.name} {each.points[-1][1]:.2f}"))
    words = ", ".join(f"{each.name} {each.points[-1][1]:.3g}" for each in drawn)
    return svg(round(bottom + 42), f"{y_axis} by {x_axis}; at the end {words or 'nothing'}", parts)


def draw_reliability(points: Sequence[ReliabilityPoint], predicted: str, observed: str) -> Markup:
    """Draw how often what was predicted came true; on the diagonal predictions are right.

    Parameters
    ----------
    points
        From the least to the most probable.
    predicted, observed
        Titles of the axes.
    """
    left, top, side = 48.0, 24.0, 300.0
    bottom = top + side
    parts = [text(0, 12, observed, "quiet")]
    for fifth in range(6):
        at = side * fifth / 5
        parts += [
            line("grid", left, bottom - at, left + side, bottom - at),
            text(left - 6, bottom - at + 4, f"{fifth / 5:g}", "quiet", "end"),
            text(left + at, bottom + 16, f"{fifth / 5:g}", "quiet", "middle"),
        ]
    parts += [
        line("threshold", left, bottom, left + side, top),
        text(left + side + 6, top + 4, "as predicted", "quiet"),
        text(left + side / 2, bottom + 36, predicted, "", "middle"),
    ]
    for each in points:
        x, y = left + side * each.predicted, bottom - side * each.observed
        title = f"predicted {each.predicted:.2f}, observed {each.observed:.2f}, n = {show_number(each.n)}"
        parts.append(line("tick", x, bottom - side * each.low, x, bottom - side * each.high, title))
        parts.append(rect("bar-scored", x - 3.5, y - 3.5, 7, 7))
    n = show_number(sum(each.n for each in points))
    return svg(round(bottom + 42), f"{observed} by {predicted}, n = {n} cells", parts)


def _whisker(x_low: float, x_high: float, y: float) -> list[Markup]:
    """Draw an interval as a line with ends."""
    ends = [line("whisker", x, y - 2, x, y + 2) for x in (x_low, x_high)]
    return [line("whisker", x_low, y, x_high, y), *ends]


def _stack(counts: Sequence[int], width: float, height: float) -> list[Markup]:
    total, x, parts = sum(counts), 0.0, []
    for number, count in enumerate(counts):
        if count:
            parts.append(rect(f"bin{number}", x, 0, width * count / total, height))
            x += width * count / total
    return parts


def _tick_step(peak: int) -> int:
    """Choose a round step that cuts an axis from 0 to `peak` into at most `_MAX_TICKS`."""
    power = 1
    while True:
        for factor in _TICK_STEPS:
            if peak <= _MAX_TICKS * power * factor:
                return power * factor
        power *= 10


def _value_ticks(peak: float) -> list[float]:
    """Choose round values from 0 to at least `peak`, five at most."""
    if peak <= 0:
        return [0.0, 1.0]
    # In thousandths of the next power of ten, so that whole steps serve.
    unit = 10.0 ** (np.ceil(np.log10(peak)) - 3)
    counted = int(np.ceil(peak / unit - 1e-9))
    step = _tick_step(counted)
    return [float(f"{n * unit:.12g}") for n in range(0, -(-counted // step) * step + 1, step)]


def _spread(places_px: Sequence[float], bottom_px: float) -> list[float]:
    """Move labels apart by as little as keeps each readable, and none below the axis."""
    order = sorted(range(len(places_px)), key=places_px.__getitem__)
    spread = list(places_px)
    for above, below in pairwise(order):
        spread[below] = max(spread[below], spread[above] + _LABEL_STEP_PX)
    limit = bottom_px
    for number in reversed(order):
        spread[number] = min(spread[number], limit)
        limit = spread[number] - _LABEL_STEP_PX
    return spread
