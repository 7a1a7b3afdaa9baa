"""Differences of two methods against their means (Bland and Altman 1986, Lancet 327:307)."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from slidescore.report.page import MINUS, show_estimate
from slidescore.report.plots.style import (
    BAND,
    DOT_PT,
    HAIR,
    INK,
    PANEL,
    QUIET,
    SMALL_PT,
    Floats,
    counted,
    new_figure,
    say_n,
    say_nothing,
    spread,
    styled,
)

Triple = tuple[float, float, float]
"""Estimate, lower and upper end of its interval; NaN ends where there is none."""

HEIGHT_MM: Final = 95.0
LABEL_SHARE: Final = 0.12
"""Of the axis that a label of two lines takes."""
MARGIN_SHARE: Final = 0.08
LEAST_MARGIN: Final = 1.0
"""Where all differences are alike."""


@styled
def draw_bland_altman(
    first: Floats,
    second: Floats,
    *,
    first_name: str,
    second_name: str,
    bias: Triple,
    lower: Triple,
    upper: Triple,
    unit: str = "H-score",
    marked: NDArray[np.bool_] | None = None,
    marked_name: str = "",
) -> Figure:
    """Draw first - second against the mean of both; bias and limits of agreement are written at their lines.

    Parameters
    ----------
    first, second
        float64, (n,). Pairs with a NaN are left out and counted on the figure.
    first_name, second_name
        What they are, such as "machine" and "reader 2".
    bias, lower, upper
        Mean difference and 95 % limits of agreement, each with its interval.
    unit
        Name of the scale.
    marked, marked_name
        bool, (n,): points drawn open, such as EQUIVOCAL ones, and what they are.
    """
    whole = np.isfinite(first) & np.isfinite(second)
    figure = new_figure(height_mm=HEIGHT_MM)
    if not whole.any():
        return say_nothing(figure, f"none of {counted(len(whole), 'pairs')} is complete")
    difference, mean = (first - second)[whole], ((first + second) / 2)[whole]
    open_dots = np.zeros(len(mean), bool) if marked is None else marked[whole]
    axes = figure.add_subplot()
    axes.axhline(0, color=HAIR, linewidth=0.8)
    lines = [("lower limit", lower, "--"), ("bias", bias, "-"), ("upper limit", upper, "--")]
    lines = [line for line in lines if np.isfinite(line[1][0])]
    for _, (value, low, high), style in lines:
        if np.isfinite(low) and np.isfinite(high):
            axes.axhspan(low, high, color=BAND, linewidth=0, zorder=0)
        axes.axhline(value, color=INK if style == "-" else QUIET, linestyle=style, linewidth=0.9)
    for kind, face in ((~open_dots, INK), (open_dots, PANEL)):
        axes.plot(mean[kind], difference[kind], "o", markersize=DOT_PT, color=INK, markerfacecolor=face, mew=0.8)
    ends = np.concatenate([difference, [0.0], *(np.array(triple) for _, triple, _ in lines)])
    bottom, top = np.nanmin(ends), np.nanmax(ends)
    margin = MARGIN_SHARE * (top - bottom) or LEAST_MARGIN
    axes.set_ylim(bottom - margin, top + margin)
    gap = LABEL_SHARE * (top - bottom + 2 * margin)
    for (name, triple, _), place in zip(lines, spread([triple[0] for _, triple, _ in lines], gap), strict=True):
        estimate, interval = _written(triple)
        axes.text(
            1.015, place, f"{name} {estimate}\n{interval}", transform=axes.get_yaxis_transform(), va="center",
            fontsize=SMALL_PT, linespacing=1.35,
        )  # fmt: skip
    axes.set_xlabel(f"mean of {first_name} and {second_name}, {unit}")
    axes.set_ylabel(f"{first_name} {MINUS} {second_name}, {unit}")
    missing = len(whole) - int(whole.sum())
    parts = [f"n = {counted(len(mean), 'pairs')}", f"{missing} incomplete" if missing else ""]
    if open_dots.any() and marked_name:
        parts.append(f"open: {marked_name} ({open_dots.sum()})")
    say_n(axes, ", ".join(filter(None, parts)))
    return figure


def _written(triple: Triple) -> tuple[str, str]:
    value, _, rest = show_estimate(*triple, 1).partition(" ")
    return value, rest
