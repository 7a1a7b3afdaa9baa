"""Densities of labelled cells or controls, and the thresholds fitted between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from slidescore.report.page import show_estimate
from slidescore.report.plots.style import (
    BAND,
    BAR,
    BIN_COLORS,
    HAIR,
    INK,
    QUIET,
    SMALL_PT,
    WIDTH_MM,
    Floats,
    new_figure,
    say_nothing,
    spread,
    styled,
)

ROW_MM: Final = 20.0
FRAME_MM: Final = 34.0
LABEL_SHARE: Final = 0.17
"""Of the axis that a threshold's label takes."""
BEYOND: Final = 1.1
"""The axis goes on so far past the last threshold."""
TAIL: Final = 0.999
"""Share of the cells that the axis shows at least."""


@styled
def draw_threshold_fit(
    edges: Floats,
    counts: NDArray[np.int64],
    *,
    thresholds: Floats,
    low: Floats,
    high: Floats,
    old_thresholds: Floats | None = None,
    labels: Sequence[str] = ("0", "1+", "2+", "3+"),
    axis: str = "DAB OD",
) -> Figure:
    """Draw a histogram for each bin, and the thresholds with their intervals through all of them.

    Parameters
    ----------
    edges
        float64, (m + 1,).
    counts
        int64, (K, m): cells labelled with each bin; (1, m) with labels ("cells",) where cells have no label.
    thresholds, low, high
        float64, (k,): fitted thresholds with their intervals (NaN: none).
    old_thresholds
        Those of the assay that the fit began from: dotted.
    labels
        Of the K histograms.
    axis
        Name of the density.
    """
    k = len(counts)
    total = counts.sum(axis=0)
    if not total.any():
        return say_nothing(new_figure(height_mm=FRAME_MM), "no cell to show")
    figure = new_figure(WIDTH_MM, FRAME_MM + ROW_MM * k)
    rows = list(np.atleast_1d(figure.subplots(k, 1, sharex=True)))
    middle, width = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    last = int(np.searchsorted(np.cumsum(total), TAIL * total.sum()))
    old = np.array([]) if old_thresholds is None else old_thresholds
    beyond = [BEYOND * each for each in (*thresholds, *old)]
    right = max([float(edges[min(last + 2, len(edges) - 1)]), *beyond])
    left = float(edges[max(int(np.flatnonzero(total)[0]) - 1, 0)])
    for row, (axes, own, label) in enumerate(zip(rows, counts, labels, strict=True)):
        color = BIN_COLORS[row] if k == len(BIN_COLORS) else BAR
        axes.bar(middle, own, width=width, color=color, linewidth=0)
        for value, begin, end in zip(thresholds, low, high, strict=True):
            if np.isfinite(begin) and np.isfinite(end):
                axes.axvspan(begin, end, color=BAND, linewidth=0, zorder=0)
            axes.axvline(value, color=INK, linewidth=0.9)
        for value in old:
            axes.axvline(value, color=QUIET, linewidth=0.8, linestyle=":")
        axes.text(
            1.01, 0.5, f"{label}\nn = {int(own.sum()):,}", transform=axes.transAxes, va="center",
            fontsize=SMALL_PT + 0.5, linespacing=1.4,
        )  # fmt: skip
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_color(HAIR if row < k - 1 else QUIET)
        axes.tick_params(bottom=row == k - 1)
        axes.set_ylim(0, max(float(own.max()) * 1.08, 1.0))
    rows[0].set_xlim(left, right)
    for value, place, begin, end in zip(
        thresholds, spread([float(each) for each in thresholds], LABEL_SHARE * (right - left)), low, high, strict=True
    ):
        rows[0].annotate(
            show_estimate(value, begin, end, 3).replace(" (", "\n("), (place, 1), xycoords=("data", "axes fraction"),
            xytext=(0, 4), textcoords="offset points", ha="center", va="bottom", fontsize=SMALL_PT, linespacing=1.35,
        )  # fmt: skip
    note = "; dotted: before" if len(old) else ""
    rows[-1].set_xlabel(f"{axis} (thresholds with 95 % intervals{note})")
    return figure
