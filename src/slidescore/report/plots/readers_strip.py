"""The machine's score of each slide with its interval, and beside it what each reader gave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from slidescore.report.plots.style import (
    ACCENT,
    BAR,
    DOT_PT,
    HAIR,
    INK,
    PANEL,
    QUIET,
    SMALL_PT,
    WIDTH_MM,
    Floats,
    counted,
    new_figure,
    say_n,
    say_nothing,
    short_label,
    styled,
)

MOST_LABELS: Final = 60
"""Rows that still fit on a page with their names."""
ROW_MM: Final = 4.2
DENSE_MM: Final = 180.0
"""Height of the rows where they have no names."""
FRAME_MM: Final = 26.0
SHAPES: Final = ("^", "s", "D", "v", "P", "X")
"""Of the readers, in their order; more readers than shapes share the last."""
LEGEND_COLUMNS: Final = 3
LEGEND_ROW_MM: Final = 5.0
NAME_LETTERS: Final = 28
"""Of a reader in the legend."""


@styled
def draw_readers_strip(
    labels: Sequence[str],
    machine: Floats,
    low: Floats,
    high: Floats,
    readers: Mapping[str, Floats],
    *,
    cutoff: float | None = None,
    axis: str = "H-score",
    limits: tuple[float, float] = (0.0, 300.0),
) -> Figure:
    """Draw a row a slide, in falling order of the machine's score; slides without one stand below.

    Parameters
    ----------
    labels
        Names of the slides; written where they are 60 or fewer.
    machine, low, high
        float64, (n,): the machine's score and the interval within the slide; NaN where there is none.
    readers
        Scores of each reader, float64, (n,), NaN where a reader gave none. Slides without any score are left out.
    cutoff
        Drawn as a line.
    axis, limits
        Name and ends of the scale.
    """
    scores = np.stack([machine, *readers.values()])
    shown = np.flatnonzero(np.isfinite(scores).any(axis=0))
    if not len(shown):
        return say_nothing(new_figure(height_mm=FRAME_MM), f"none of {counted(len(labels), 'slides')} has a score")
    # Equal scores by name, so that the order of a table changes nothing; -1 puts slides without a score lowest.
    order = np.array(sorted(shown.tolist(), key=lambda k: (np.nan_to_num(machine[k], nan=-1.0), labels[k])))
    n, places = len(order), np.arange(len(order))
    named = n <= MOST_LABELS
    legend_mm = LEGEND_ROW_MM * (1 + math.ceil(len(scores) / LEGEND_COLUMNS))
    figure = new_figure(WIDTH_MM, FRAME_MM + legend_mm + (ROW_MM * n if named else DENSE_MM))
    axes = figure.add_subplot()
    if named:
        axes.hlines(places, *limits, color=HAIR, linewidth=0.5, zorder=0)
    axes.hlines(places, low[order], high[order], color=BAR, linewidth=2.0 if named else 0.8)
    size = DOT_PT if named else DOT_PT / 2
    for number, (reader, values) in enumerate(readers.items()):
        shape = SHAPES[min(number, len(SHAPES) - 1)]
        axes.plot(
            values[order], places, shape, markersize=size, color=QUIET, markerfacecolor=PANEL, mew=0.8,
            label=short_label(reader, NAME_LETTERS), clip_on=False,
        )  # fmt: skip
    axes.plot(machine[order], places, "o", markersize=size, color=INK, label="machine", clip_on=False)
    if cutoff is not None:
        axes.axvline(cutoff, color=ACCENT, linewidth=1.2, zorder=0.5)
        axes.annotate(
            f"cut-off {cutoff:g}", (cutoff, 0), xycoords=("data", "axes fraction"), xytext=(3, 3),
            textcoords="offset points", color=ACCENT, fontsize=SMALL_PT, bbox={"fc": PANEL, "ec": "none", "pad": 0.5},
        )  # fmt: skip
    axes.set_ylim(-1.6, n - 0.4)
    axes.set_xlim(*limits)
    axes.set_xlabel(axis)
    axes.grid(axis="x", color=HAIR)
    if named:
        axes.set_yticks(places, [short_label(labels[k]) for k in order])
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{counted(n, 'slides')}, by the machine's {axis}")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside lower center", ncols=LEGEND_COLUMNS, frameon=False, fontsize=SMALL_PT)
    unscored = int(np.isnan(machine[order]).sum())
    parts = [f"n = {counted(n, 'slides')}", f"{unscored} without a score of the machine" if unscored else ""]
    say_n(axes, ", ".join(filter(None, parts)))
    return figure
