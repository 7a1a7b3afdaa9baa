"""A cut-point search: the statistic at each cut, what it must reach, and which cuts resamples choose."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from slidescore.report.plots.style import (
    ACCENT,
    BAR,
    FAIL,
    HAIR,
    INK,
    QUIET,
    SMALL_PT,
    Floats,
    new_figure,
    say_n,
    say_nothing,
    spread,
    styled,
)

HEIGHT_MM: Final = 75.0
RESAMPLES_MM: Final = 35.0
RESAMPLE_BINS: Final = 40
LABEL_SHARE: Final = 0.07
"""Of the axis that a label takes."""


@styled
def draw_cutpoint(
    cutoffs: Floats,
    statistic: Floats,
    *,
    chosen: float,
    statistic_axis: str,
    score_axis: str = "H-score",
    naive_critical: float | None = None,
    corrected_critical: float | None = None,
    resampled: Floats | None = None,
) -> Figure:
    """Draw the statistic at each candidate with both critical values; below it which cuts resamples chose.

    Parameters
    ----------
    cutoffs, statistic
        float64, (n,): candidates, rising, and the statistic at each (NaN: none).
    chosen
        The cut with the largest statistic.
    statistic_axis, score_axis
        Names of the axes.
    naive_critical, corrected_critical
        What the statistic must reach at one cut fixed beforehand, and at the best of all cuts.
    resampled
        Cuts chosen in resamples, (k,).
    """
    if not np.isfinite(statistic).any():
        return say_nothing(new_figure(height_mm=RESAMPLES_MM), "no candidate cut has enough patients on both sides")
    if resampled is not None and len(resampled):
        figure = new_figure(height_mm=HEIGHT_MM + RESAMPLES_MM)
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[HEIGHT_MM, RESAMPLES_MM])
    else:
        figure = new_figure(height_mm=HEIGHT_MM)
        axes = below = figure.add_subplot()
    axes.plot(cutoffs, statistic, color=INK, linewidth=1.0, marker="o", markersize=2)
    lines = [
        (naive_critical, "one cut, fixed before", QUIET, "--"),
        (corrected_critical, "best of all cuts", FAIL, "-"),
    ]
    drawn = [(value, name, color, style) for value, name, color, style in lines if value is not None]
    top = max([float(np.nanmax(statistic)), *(line[0] for line in drawn)]) * 1.12
    places = spread([line[0] for line in drawn], LABEL_SHARE * top)
    for (value, name, color, style), place in zip(drawn, places, strict=True):
        axes.axhline(value, color=color, linestyle=style, linewidth=0.9)
        axes.text(
            1.01, place, f"5 %: {name}", transform=axes.get_yaxis_transform(), color=color, fontsize=SMALL_PT,
            va="center",
        )  # fmt: skip
    axes.axvline(chosen, color=ACCENT, linewidth=1.0)
    axes.annotate(
        f"largest at {chosen:.4g}", (chosen, 1), xycoords=("data", "axes fraction"), xytext=(3, -2),
        textcoords="offset points", color=ACCENT, fontsize=SMALL_PT, va="top",
    )  # fmt: skip
    axes.set_ylim(0, top)
    axes.set_ylabel(statistic_axis)
    axes.grid(axis="y", color=HAIR)
    say_n(axes, f"n = {int(np.isfinite(statistic).sum())} candidate cuts; exploratory")
    below.set_xlabel(score_axis)
    if resampled is not None and len(resampled):
        below.hist(resampled, bins=RESAMPLE_BINS, range=_range(cutoffs), color=BAR)
        below.axvline(chosen, color=ACCENT, linewidth=1.0)
        below.set_ylabel("resamples")
        say_n(below, f"cuts chosen in {len(resampled):,} resamples")
    return figure


def _range(cutoffs: Floats) -> tuple[float, float]:
    low, high = float(np.min(cutoffs)), float(np.max(cutoffs))
    return (low, high) if high > low else (low - 1, high + 1)
