"""A control over the slides in their order: Levey-Jennings chart, and the CUSUM below it.

Levey and Jennings 1950, Am. J. Clin. Pathol. 20:1059; Page 1954, Biometrika 41:100.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from slidescore.report.page import MINUS
from slidescore.report.plots.style import (
    ACCENT,
    BAR,
    DOT_PT,
    FAIL,
    HAIR,
    INK,
    PANEL,
    QUIET,
    SMALL_PT,
    WIDTH_MM,
    Floats,
    new_figure,
    say_n,
    say_nothing,
    short_label,
    spread,
    styled,
)

CHART_MM: Final = 62.0
CUSUM_MM: Final = 38.0
FRAME_MM: Final = 14.0
SD_ALPHAS: Final = ((3, 0.14), (2, 0.16), (1, 0.18))
"""Bands of 3, 2 and 1 SD, one over another, and their opacity."""
LABEL_SHARE: Final = 0.075
"""Of the chart's axis that a label takes."""
CUSUM_LABEL_SHARE: Final = 0.11
LETTER_PT: Final = 4.4
"""Width of a letter of a batch's name."""
BATCH_LETTERS: Final = 18
MARGIN: Final = 0.06
POINTS_A_MM: Final = 72 / 25.4
PLOT_MM: Final = 130.0
"""Width of the plot itself, about."""
FEW_SLIDES: Final = 150
"""Up to so many each dot has room."""


@styled
def draw_control_chart(
    values: Floats,
    batches: Sequence[str],
    *,
    axis: str,
    mean: float,
    sd: float,
    limit_low: Floats,
    limit_high: Floats,
    baseline: NDArray[np.bool_],
    alarms: NDArray[np.bool_],
    cusum_up: Floats,
    cusum_down: Floats,
    cusum_limit: float,
) -> Figure:
    """Draw values by slide with bands of 1, 2 and 3 SD and limits, and both sums with theirs.

    Parameters
    ----------
    values
        float64, (n,), in the order of the slides; NaN where a slide was not measured.
    batches
        Of each slide; slides of a batch stand together.
    axis
        Name of the measure, with its unit.
    mean, sd
        Of the slides that the last one is compared with.
    limit_low, limit_high
        float64, (n,): beyond them a slide is an alarm; NaN where there is none, as in the baseline.
    baseline
        bool, (n,): slides that the others are compared with; drawn open.
    alarms
        bool, (n,): slides at which a chart alarms; ringed.
    cusum_up, cusum_down
        float64, (n,): sums of what exceeds the mean upwards and downwards, in SD, 0 and above; NaN where none is kept.
    cusum_limit
        Beyond it a sum is an alarm.
    """
    known = np.isfinite(values)
    if not known.any():
        return say_nothing(new_figure(height_mm=FRAME_MM * 2), "measured on no slide")
    n, places = len(values), np.arange(1, len(values) + 1)
    figure = new_figure(WIDTH_MM, CHART_MM + CUSUM_MM + FRAME_MM)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[CHART_MM, CUSUM_MM])
    low, high = _ends(values, [mean - 3 * sd, mean + 3 * sd], limit_low, limit_high)
    for times, alpha in SD_ALPHAS:
        axes.axhspan(mean - times * sd, mean + times * sd, color=BAR, alpha=alpha, linewidth=0, zorder=0)
    axes.axhline(mean, color=INK, linewidth=0.8, zorder=1)
    lines = [(mean, f"mean {mean:.4g}", INK)]
    lines += [(mean + times * sd, f"{times:+d} SD".replace("-", MINUS), QUIET) for times in (-2, 2)]
    for limit in (limit_low, limit_high):
        axes.step(places, limit, where="mid", color=FAIL, linestyle="--", linewidth=0.8)
        if np.isfinite(limit).any():
            last = float(limit[np.isfinite(limit)][-1])
            lines.append((last, f"limit {last:.4g}", FAIL))
    for line, place in zip(lines, spread([line[0] for line in lines], LABEL_SHARE * (high - low)), strict=True):
        axes.text(
            1.01, place, line[1], transform=axes.get_yaxis_transform(), color=line[2], fontsize=SMALL_PT, va="center"
        )
    size = DOT_PT if n <= FEW_SLIDES else DOT_PT / 2
    for kind, face in ((known & ~baseline, INK), (known & baseline, PANEL)):
        axes.plot(places[kind], values[kind], "o", markersize=size, color=INK, markerfacecolor=face, mew=0.8)
    axes.plot(
        places[known & alarms], values[known & alarms], "o", markersize=DOT_PT + 5, color=FAIL, mfc="none", mew=1.2
    )
    axes.set_ylim(low, high)
    axes.set_ylabel(axis)
    top = _top(cusum_limit, cusum_up, cusum_down)
    ends = [(cusum_limit, f"limit {cusum_limit:.3g}", FAIL)]
    for sums, name, color in ((cusum_down, "down", ACCENT), (cusum_up, "up", INK)):
        below.plot(places, sums, color=color, linewidth=1.0, marker="o", markersize=1.6)
        if np.isfinite(sums).any():
            ends.append((float(sums[np.isfinite(sums)][-1]), name, color))
    below.axhline(cusum_limit, color=FAIL, linestyle="--", linewidth=0.8)
    for end, place in zip(ends, spread([end[0] for end in ends], CUSUM_LABEL_SHARE * top, low=0.0), strict=True):
        below.text(
            1.01, place, end[1], transform=below.get_yaxis_transform(), color=end[2], fontsize=SMALL_PT, va="center"
        )
    below.set_ylim(0, top)
    below.set_ylabel("CUSUM, SD")
    below.set_xlabel("slide, in the order of the batches")
    below.set_xlim(0.2, n + 0.8)
    below.xaxis.get_major_locator().set_params(integer=True)
    _mark_batches(axes, below, batches)
    missing = n - int(known.sum())
    parts = [
        f"n = {int(known.sum())}", f"{missing} not measured" if missing else "",
        f"open: {int((known & baseline).sum())} of the baseline" if (known & baseline).any() else "",
        f"ringed: {int((known & alarms).sum())} with an alarm" if (known & alarms).any() else "no alarm",
    ]  # fmt: skip
    say_n(below, ", ".join(filter(None, parts)))
    return figure


def _mark_batches(axes: Axes, below: Axes, batches: Sequence[str]) -> None:
    """Draw lines between batches and write their names above, as many as fit side by side."""
    start, taken_to = 0, -np.inf
    for name, slides in groupby(batches):
        size = len(list(slides))
        if start:
            for each in (axes, below):
                each.axvline(start + 0.5, color=HAIR, linewidth=0.8, zorder=0.5)
        label = short_label(name, BATCH_LETTERS)
        middle, scale = start + 0.5 + size / 2, PLOT_MM * POINTS_A_MM / len(batches)
        half = len(label) * LETTER_PT / 2
        if middle * scale - half > taken_to:
            axes.text(
                middle, 1.01, label, transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=SMALL_PT,
                color=QUIET,
            )  # fmt: skip
            taken_to = middle * scale + half
        start += size


def _ends(*shown: Floats | list[float]) -> tuple[float, float]:
    known = np.concatenate(shown)
    low, high = float(np.nanmin(known)), float(np.nanmax(known))
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def _top(limit: float, *sums: Floats) -> float:
    known = np.concatenate([each[np.isfinite(each)] for each in sums])
    return 1.15 * max(limit, float(known.max(initial=0.0)))
