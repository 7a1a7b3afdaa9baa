"""One method against another, with the line of identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from slidescore.report.plots.style import (
    ACCENT,
    BAR,
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
    styled,
    write_notes,
)

WIDTH_MM: Final = 110.0
HEIGHT_MM: Final = 112.0


@styled
def draw_agreement(
    first: Floats,
    second: Floats,
    *,
    first_name: str,
    second_name: str,
    limits: tuple[float, float] = (0.0, 300.0),
    second_low: Floats | None = None,
    second_high: Floats | None = None,
    cutoff: float | None = None,
    marked: NDArray[np.bool_] | None = None,
    marked_name: str = "",
    notes: Sequence[str] = (),
) -> Figure:
    """Draw second (up) against first (right).

    Parameters
    ----------
    first, second
        float64, (n,). Pairs with a NaN are left out and counted on the figure.
    first_name, second_name
        Names of the axes, with the scale.
    limits
        Ends of both axes.
    second_low, second_high
        Intervals of `second`, float64, (n,), NaN where there is none.
    cutoff
        Drawn on both axes.
    marked, marked_name
        bool, (n,): points drawn open, such as EQUIVOCAL ones, and what they are.
    notes
        Lines written under the plot, such as "ICC(2,1) 0.91 (0.84 to 0.95)".
    """
    whole = np.isfinite(first) & np.isfinite(second)
    figure = new_figure(WIDTH_MM, HEIGHT_MM)
    if not whole.any():
        return say_nothing(figure, f"none of {counted(len(whole), 'pairs')} is complete")
    axes = figure.add_subplot()
    axes.plot(limits, limits, color=QUIET, linewidth=0.8)
    axes.annotate(
        "identity", (limits[1], limits[1]), xytext=(-6, -14), textcoords="offset points", color=QUIET,
        fontsize=SMALL_PT, ha="right", va="top", rotation=45, rotation_mode="anchor",
    )  # fmt: skip
    if cutoff is not None:
        axes.axhline(cutoff, color=ACCENT, linewidth=0.8)
        axes.axvline(cutoff, color=ACCENT, linewidth=0.8)
        axes.annotate(
            f"cut-off {cutoff:g}", (cutoff, limits[0]), xytext=(3, 3), textcoords="offset points", color=ACCENT,
            fontsize=SMALL_PT,
        )  # fmt: skip
    if second_low is not None and second_high is not None:
        barred = whole & np.isfinite(second_low) & np.isfinite(second_high)
        axes.vlines(first[barred], second_low[barred], second_high[barred], color=BAR, linewidth=0.8)
    open_dots = np.zeros(len(whole), bool) if marked is None else marked
    for kind, face in ((whole & ~open_dots, INK), (whole & open_dots, PANEL)):
        axes.plot(
            first[kind], second[kind], "o", markersize=DOT_PT, color=INK, markerfacecolor=face, mew=0.8, clip_on=False
        )
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_box_aspect(1)
    axes.set_xlabel(first_name)
    axes.set_ylabel(second_name)
    axes.grid(color=HAIR)
    write_notes(axes, notes, right=False)
    missing = len(whole) - int(whole.sum())
    parts = [f"n = {counted(int(whole.sum()), 'pairs')}", f"{missing} incomplete" if missing else ""]
    if (whole & open_dots).any() and marked_name:
        parts.append(f"open: {marked_name} ({(whole & open_dots).sum()})")
    say_n(axes, ", ".join(filter(None, parts)))
    return figure
