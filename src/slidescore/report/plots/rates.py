"""Rates and effects of groups, one row each, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from slidescore.report.page import MINUS, show_estimate
from slidescore.report.plots.style import (
    DOT_PT,
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
    styled,
)

ROW_MM: Final = 6.0
FRAME_MM: Final = 28.0
HUNDRED: Final = 100.0
LOG_TICKS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
MOST_RATIO: Final = 50.0
"""An interval that reaches further from the reference is cut, with an arrow: one tiny stratum must not flatten all."""
MARGIN: Final = 0.08
"""Of the axis, left free at its ends."""
COLUMN_GAP_PT: Final = 8.0
LETTER_WIDTH: Final = 0.58
"""Of a letter, as a share of its height, about."""


@styled
def draw_rates(
    labels: Sequence[str],
    events: Sequence[int],
    totals: Sequence[int],
    rate: Floats,
    low: Floats,
    high: Floats,
    *,
    axis: str = "response rate, %",
    counts_head: str = "events/n",
) -> Figure:
    """Draw rates with their intervals, in the order given; each row says `9/24` and `37.5 (18.8 to 59.4)`.

    Parameters
    ----------
    labels
        Names of the groups.
    events, totals
        Patients with the event, and all of them.
    rate, low, high
        In percent, 0 to 100, float64, (n,); NaN for a group without patients.
    axis
        Name of the axis, with its unit.
    counts_head
        Head of the column of counts.
    """
    if not labels:
        return say_nothing(new_figure(height_mm=FRAME_MM), "no group to show")
    axes = _rows(labels)
    _draw_intervals(axes, rate, low, high, (0.0, HUNDRED))
    axes.set_xlim(0, HUNDRED)
    axes.set_xlabel(f"{axis} (95 % interval)")
    counts = [f"{n}/{total}" for n, total in zip(events, totals, strict=True)]
    written = [show_estimate(*row, 1) for row in zip(rate, low, high, strict=True)]
    _write_columns(axes, [(counts_head, counts), ("%", written)])
    say_n(axes, f"n = {sum(totals):,}")
    return axes.get_figure(root=True)  # type: ignore[return-value]


@styled
def draw_forest(
    labels: Sequence[str],
    estimate: Floats,
    low: Floats,
    high: Floats,
    *,
    axis: str,
    reference: float = 1.0,
    log_axis: bool = True,
    counts: Sequence[str] | None = None,
    counts_head: str = "n",
    bold: Sequence[bool] | None = None,
    favours: tuple[str, str] | None = None,
    digits: int = 2,
) -> Figure:
    """Draw effects with intervals, in the order given, say strata and then all of them (`bold`).

    Parameters
    ----------
    labels
        Names of the rows.
    estimate, low, high
        float64, (n,); a row of NaN says `–`.
    axis
        Name of the effect, such as "hazard ratio, HIGH to LOW".
    reference
        No effect.
    log_axis
        Whether the axis is logarithmic, as ratios need; then estimates are above 0.
    counts, counts_head
        Text beside each row, such as "42 (18)", and its head.
    bold
        Rows written bold.
    favours
        What lies left and right of the reference.
    digits
        Decimals of the estimates beside the rows.
    """
    if not labels:
        return say_nothing(new_figure(height_mm=FRAME_MM), "no stratum to show")
    axes = _rows(labels, bold)
    ends = _ends(np.concatenate([estimate, low, high]), reference, log_axis=log_axis)
    axes.axvline(reference, color=QUIET, linewidth=0.8)
    if log_axis:
        axes.set_xscale("log")
        ticks = [tick for tick in LOG_TICKS if ends[0] <= tick <= ends[1]]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _draw_intervals(axes, estimate, low, high, ends)
    axes.set_xlim(*ends)
    sides = "" if favours is None else f"\n← {favours[0]}    {favours[1]} →"
    axes.set_xlabel(f"{axis} (95 % interval){sides}", linespacing=1.6)
    written = [show_estimate(*row, digits) for row in zip(estimate, low, high, strict=True)]
    columns = [("estimate", written)] if counts is None else [(counts_head, list(counts)), ("estimate", written)]
    _write_columns(axes, columns, bold)
    return axes.get_figure(root=True)  # type: ignore[return-value]


def _rows(labels: Sequence[str], bold: Sequence[bool] | None = None) -> Axes:
    figure = new_figure(WIDTH_MM, FRAME_MM + ROW_MM * len(labels))
    axes = figure.add_subplot()
    axes.set_yticks(range(len(labels)), [short_label(label, 40) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelsize=SMALL_PT + 0.5)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=HAIR)
    for text, strong in zip(axes.get_yticklabels(), bold or (), strict=False):
        text.set_fontweight("bold" if strong else "normal")
    return axes


def _draw_intervals(axes: Axes, value: Floats, low: Floats, high: Floats, ends: tuple[float, float]) -> None:
    """Draw dots and bars; what reaches over an end of the axis gets an arrow there."""
    for row, (middle, left, right) in enumerate(zip(value, low, high, strict=True)):
        if np.isfinite(left) or np.isfinite(right):
            shown = np.clip([left, right], *ends)
            axes.plot(shown, [row, row], color=INK, linewidth=1.2, solid_capstyle="butt")
            for beyond, end, marker in ((left < ends[0], ends[0], "<"), (right > ends[1], ends[1], ">")):
                if beyond:
                    axes.plot([end], [row], marker, color=INK, markersize=DOT_PT, clip_on=False)
        if np.isfinite(middle) and ends[0] <= middle <= ends[1]:
            axes.plot([middle], [row], "o", color=INK, markersize=DOT_PT + 1, clip_on=False)


def _ends(values: Floats, reference: float, *, log_axis: bool) -> tuple[float, float]:
    """Choose the ends of an effect's axis: all of it, but no further than MOST_RATIO from the reference."""
    known = values[np.isfinite(values)]
    if not log_axis:
        low, high = min(reference, *known, reference), max(reference, *known, reference)
        margin = MARGIN * (high - low) or 1.0
        return float(low - margin), float(high + margin)
    known = np.clip(known, reference / MOST_RATIO, reference * MOST_RATIO)
    low = min(known.min(initial=reference), reference / 2)
    high = max(known.max(initial=reference), reference * 2)
    margin = (high / low) ** MARGIN
    return float(low / margin), float(high * margin)


def _write_columns(axes: Axes, columns: list[tuple[str, list[str]]], bold: Sequence[bool] | None = None) -> None:
    """Write columns of text right of the plot, each as wide as its longest text."""
    offset = COLUMN_GAP_PT
    for head, texts in columns:
        width = LETTER_WIDTH * SMALL_PT * max(len(text) for text in (head, *texts))
        for row, text in enumerate(texts):
            axes.annotate(
                text.replace("-", MINUS), (1, row), xycoords=("axes fraction", "data"), xytext=(offset + width, 0),
                textcoords="offset points", ha="right", va="center", fontsize=SMALL_PT,
                fontweight="bold" if bold and bold[row] else "normal",
            )  # fmt: skip
        axes.annotate(
            head, (1, -0.6), xycoords=("axes fraction", "data"), xytext=(offset + width, 2), textcoords="offset points",
            ha="right", va="bottom", fontsize=SMALL_PT, color=QUIET,
        )  # fmt: skip
        offset += width + COLUMN_GAP_PT
