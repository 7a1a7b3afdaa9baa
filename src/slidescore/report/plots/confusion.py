"""How often two readers agree on a class: counts in a square table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from slidescore.report.plots.style import BAR, HAIR, INK, QUIET, SMALL_PT, new_figure, say_n, styled

SQUARE_MM: Final = 17.0
FRAME_MM: Final = 34.0
LEAST_SHOWN: Final = 0.005
DEEPEST: Final = 0.75
"""Opacity of a square that holds all of its row; the number on it stays readable."""


@styled
def draw_confusion(
    counts: NDArray[np.int64],
    *,
    row_name: str,
    column_name: str,
    labels: Sequence[str] = ("0", "1+", "2+", "3+"),
    unit: str = "slides",
) -> Figure:
    """Draw counts: number and percent of the row in each square, sums at the rims, agreement outlined.

    Parameters
    ----------
    counts
        int64, (K, K), rows by columns.
    row_name, column_name
        Who gave the classes.
    labels
        Of the K classes.
    unit
        What is counted, in the plural.
    """
    k = len(labels)
    side = FRAME_MM + SQUARE_MM * (k + 1)
    figure = new_figure(side + FRAME_MM / 2, side)
    axes = figure.add_subplot()
    row_sums, total = counts.sum(axis=1), int(counts.sum())
    for row in range(k):
        for column in range(k):
            n, of_row = int(counts[row, column]), int(row_sums[row])
            share = n / of_row if of_row else 0.0
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=BAR, alpha=DEEPEST * share, linewidth=0))
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor="none", edgecolor=HAIR, linewidth=0.6))
            axes.text(column + 0.5, row + 0.5, f"{n:,}", ha="center", va="bottom" if n else "center")
            if n:
                axes.text(column + 0.5, row + 0.58, _percent(share), ha="center", va="top", fontsize=SMALL_PT)
    for same in range(k):
        axes.add_patch(Rectangle((same, same), 1, 1, facecolor="none", edgecolor=INK, linewidth=1.2))
        axes.text(k + 0.5, same + 0.5, f"{int(row_sums[same]):,}", ha="center", va="center", color=QUIET)
        axes.text(same + 0.5, k + 0.5, f"{int(counts[:, same].sum()):,}", ha="center", va="center", color=QUIET)
    axes.text(k + 0.5, k + 0.5, f"{total:,}", ha="center", va="center", color=QUIET)
    axes.set_xlim(0, k + 1)
    axes.set_ylim(k + 1, 0)
    axes.set_aspect("equal")
    axes.set_xticks(np.arange(k + 1) + 0.5, [*labels, "all"])
    axes.set_yticks(np.arange(k + 1) + 0.5, [*labels, "all"])
    axes.tick_params(length=0, top=False, labelsize=SMALL_PT + 1)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(column_name)
    axes.set_ylabel(row_name)
    agreed = int(np.trace(counts))
    say_n(axes, f"n = {total:,} {unit}" + (f", {100 * agreed / total:.0f} % alike" if total else ""))
    return figure


def _percent(share: float) -> str:
    """Write a share above 0; one that only rounds to 0 is not 0."""
    return f"{100 * share:.0f} %" if share >= LEAST_SHOWN else "<1 %"
