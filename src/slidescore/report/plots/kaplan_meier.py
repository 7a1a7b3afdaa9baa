"""Survival curves with interval bands and the numbers at risk (Kaplan and Meier 1958, J. Am. Stat. Assoc. 53:457)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from slidescore.report.plots.style import (
    ACCENT,
    BIN_COLORS,
    HAIR,
    INK,
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
    write_notes,
)

LINES: Final = (
    (INK, "-"), (ACCENT, (0, (5, 2))), (INK, (0, (1, 1.5))), (ACCENT, "-"), (BIN_COLORS[3], "-"),
    (BIN_COLORS[3], (0, (5, 2))),
)  # fmt: skip
"""Colour and dashes of the groups; a piece of the line stands before its label."""
KEY_PLACES: Final = (1.01, 1.045)
"""Of the axis: where the piece of line before a label lies."""
CURVES_MM: Final = 85.0
RISK_ROW_MM: Final = 5.0
FRAME_MM: Final = 16.0
RISK_PAD_PT: Final = 16.0
"""Between a group's name and its number at time 0, which is centered on the axis."""
BAND_ALPHA: Final = 0.12
LABEL_SHARE: Final = 0.055
"""Of the axis that a label takes."""


@dataclass(frozen=True, slots=True)
class SurvivalCurve:
    """One group's curve; arrays are float64 and of one length, the first time is 0."""

    label: str
    times: Floats
    survival: Floats
    """0 to 1, from each time on."""
    low: Floats
    """Ends of the 95 % interval; NaN where there is none."""
    high: Floats
    censored: Floats
    """Times of censored patients, (k,), in any order."""
    at_risk: Sequence[int]
    """Patients at risk at each of `risk_times`."""


@styled
def draw_kaplan_meier(
    curves: Sequence[SurvivalCurve],
    *,
    risk_times: Sequence[float],
    time_axis: str,
    survival_axis: str,
    notes: Sequence[str] = (),
) -> Figure:
    """Draw groups as steps with bands, censored patients as ticks, numbers at risk under the axis.

    Parameters
    ----------
    curves
        One to six groups, in the order of their labels.
    risk_times
        When patients at risk are counted, rising from 0.
    time_axis, survival_axis
        Names of the axes: "months from randomisation", "progression-free survival".
    notes
        Lines in the upper right corner, such as "log-rank P = 0.03".

    Raises
    ------
    ValueError
        If there are more groups than can be told apart.
    """
    if len(curves) > len(LINES):
        raise ValueError(f"{len(curves)} curves cannot be told apart, at most {len(LINES)} can")
    if not curves:
        return say_nothing(new_figure(height_mm=FRAME_MM), "no group to show")
    heights = [CURVES_MM, RISK_ROW_MM * len(curves)]
    figure = new_figure(WIDTH_MM, sum(heights) + FRAME_MM)
    axes, risk = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    end = max(float(curve.times[-1]) for curve in curves)
    for curve, (color, dashes) in zip(curves, LINES, strict=False):
        axes.fill_between(curve.times, curve.low, curve.high, step="post", color=color, alpha=BAND_ALPHA, linewidth=0)
        axes.step(curve.times, curve.survival, where="post", color=color, linestyle=dashes, linewidth=1.3)
        step = np.searchsorted(curve.times, curve.censored, side="right") - 1
        axes.plot(curve.censored, curve.survival[step], "|", color=color, markersize=5, mew=0.8)
    labels = spread([float(curve.survival[-1]) for curve in curves], LABEL_SHARE, low=LABEL_SHARE / 2)
    beside = axes.get_yaxis_transform()
    for curve, (color, dashes), place in zip(curves, LINES, labels, strict=False):
        axes.plot(KEY_PLACES, (place, place), transform=beside, color=color, linestyle=dashes, lw=1.3, clip_on=False)
        axes.text(KEY_PLACES[1] + 0.01, place, short_label(curve.label), transform=beside, color=color, va="center")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, max(end, float(risk_times[-1])))
    axes.set_xticks(list(risk_times))
    axes.tick_params(labelbottom=True)
    axes.set_ylabel(survival_axis)
    axes.set_xlabel(time_axis)
    axes.grid(axis="y", color=HAIR)
    write_notes(axes, notes)
    say_n(axes, f"n = {sum(int(curve.at_risk[0]) for curve in curves):,} patients")
    risk.set_title("at risk", fontsize=SMALL_PT, fontweight="normal", color=QUIET, pad=2)
    for row, curve in enumerate(curves):
        for time, n in zip(risk_times, curve.at_risk, strict=True):
            risk.text(time, row, f"{n:,}", ha="center", va="center", fontsize=SMALL_PT)
    risk.set_yticks(range(len(curves)), [short_label(curve.label) for curve in curves])
    risk.set_ylim(len(curves) - 0.4, -0.6)
    risk.tick_params(length=0, labelbottom=False, pad=RISK_PAD_PT)
    for spine in risk.spines.values():
        spine.set_visible(False)
    return figure
