"""An effect as it changes with the score, with its band (STEPP: Bonetti and Gelber 2004, Biostatistics 5:465)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from slidescore.report.plots.rates import LOG_TICKS, MOST_RATIO
from slidescore.report.plots.style import (
    ACCENT,
    BAND,
    BAR,
    HAIR,
    INK,
    QUIET,
    SMALL_PT,
    Floats,
    new_figure,
    say_n,
    say_nothing,
    styled,
)

HEIGHT_MM: Final = 85.0
COUNTS_MM: Final = 24.0


@styled
def draw_effect_curve(
    score: Floats,
    effect: Floats,
    low: Floats,
    high: Floats,
    *,
    axis: str,
    score_axis: str = "H-score",
    reference: float | None = None,
    log_axis: bool = False,
    patients: Floats | None = None,
    counts: Sequence[int] | None = None,
    overall: float | None = None,
    band_name: str = "95 % interval",
) -> Figure:
    """Draw an effect against the score.

    Parameters
    ----------
    score
        Middle of each window, float64, (n,), rising.
    effect, low, high
        float64, (n,); NaN where a window has no estimate.
    axis, score_axis
        Names of the effect and of the score.
    reference
        No effect: a line.
    log_axis
        Whether the effect is a ratio.
    patients
        Scores of the patients, (k,): ticks at the foot, and n.
    counts
        Patients in each window, (n,): a strip below.
    overall
        The effect in all patients: a dashed line.
    band_name
        What the band is.
    """
    known = np.isfinite(effect)
    if not known.any():
        return say_nothing(new_figure(height_mm=COUNTS_MM), "no window has enough patients for an estimate")
    if counts is None:
        figure = new_figure(height_mm=HEIGHT_MM)
        axes, below = figure.add_subplot(), None
    else:
        figure = new_figure(height_mm=HEIGHT_MM + COUNTS_MM)
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[HEIGHT_MM, COUNTS_MM])
    if log_axis:
        _make_log(axes, np.concatenate([effect, low, high]), reference or 1.0)
    axes.fill_between(score, low, high, color=BAND, linewidth=0, zorder=0)
    axes.plot(score, effect, color=INK, linewidth=1.4)
    if known.sum() == 1:
        axes.errorbar(score, effect, yerr=np.abs(np.stack([effect - low, high - effect])), fmt="o", color=INK)
    for value, name, style in ((reference, "no effect", "-"), (overall, "all patients", "--")):
        if value is not None:
            axes.axhline(value, color=QUIET if style == "-" else ACCENT, linestyle=style, linewidth=0.8, zorder=1)
            axes.text(
                1.01, value, name, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL_PT,
                color=QUIET if style == "-" else ACCENT,
            )  # fmt: skip
    if patients is not None:
        axes.plot(
            patients, np.zeros(len(patients)), "|", transform=axes.get_xaxis_transform(), color=INK, markersize=8,
            mew=0.5, alpha=0.6, clip_on=False,
        )  # fmt: skip
    axes.set_ylabel(axis)
    axes.grid(axis="y", color=HAIR)
    n = "" if patients is None else f"n = {len(patients):,} patients, one tick each; "
    say_n(axes, f"{n}band: {band_name}")
    bottom = axes if below is None else below
    bottom.set_xlabel(score_axis)
    if below is not None and counts is not None:
        below.fill_between(score, np.asarray(counts), color=BAR, linewidth=0, step="mid")
        below.set_ylim(bottom=0)
        below.set_ylabel("patients in\nwindow")
        below.yaxis.get_major_locator().set_params(nbins=3, integer=True)
    return figure


def _make_log(axes: Axes, values: Floats, reference: float) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(LOG_TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    shown = values[np.isfinite(values)]
    shown = np.clip(shown, reference / MOST_RATIO, reference * MOST_RATIO)
    axes.set_ylim(min(shown.min(), reference / 2) / 1.2, max(shown.max(), reference * 2) * 1.2)
