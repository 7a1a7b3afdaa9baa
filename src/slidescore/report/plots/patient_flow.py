"""Where patients went on their way into an analysis: one box a step, and beside the arrow who was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from slidescore.report.plots.style import HAIR, INK, PANEL, QUIET, SMALL_PT, new_figure, say_nothing, styled

STEP_MM: Final = 17.0
FRAME_MM: Final = 6.0
BOX_HEIGHT: Final = 0.52
"""Of a step."""
BOX_WIDTH: Final = 0.42
"""Of the figure."""
CENTER: Final = 0.24
BRANCH: Final = 0.022
"""Of the figure: how far left of the boxes a branch runs."""


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One box: how many are left, of what; `lost` says who left on the way here, one line each."""

    label: str
    n: int
    lost: tuple[str, ...] = ()
    after: int | None = None
    """The row of the box that these came from, where that is not the one above: an endpoint beside another."""


@styled
def draw_patient_flow(steps: Sequence[FlowStep]) -> Figure:
    """Draw the steps from above down."""
    if not steps:
        return say_nothing(new_figure(height_mm=FRAME_MM), "no patient")
    figure = new_figure(height_mm=FRAME_MM + STEP_MM * len(steps))
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(steps) - 0.5, -0.5)
    for row, step in enumerate(steps):
        axes.add_patch(
            FancyBboxPatch(
                (CENTER - BOX_WIDTH / 2, row - BOX_HEIGHT / 2), BOX_WIDTH, BOX_HEIGHT,
                boxstyle="round,pad=0,rounding_size=0.02", facecolor=PANEL, edgecolor=QUIET, linewidth=0.8,
                mutation_aspect=len(steps),
            )
        )  # fmt: skip
        axes.text(CENTER, row, f"{step.label}\nn = {step.n:,}", ha="center", va="center", linespacing=1.4)
        if not row:
            continue
        if step.after is not None and step.after != row - 1:
            _draw_branch(axes, step, row, step.after)
            continue
        axes.annotate(
            "", (CENTER, row - BOX_HEIGHT / 2), (CENTER, row - 1 + BOX_HEIGHT / 2),
            arrowprops={"arrowstyle": "->", "color": INK, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        if step.lost:
            axes.plot([CENTER, CENTER + BOX_WIDTH / 2 + 0.03], [row - 0.5, row - 0.5], color=HAIR, linewidth=0.8)
            axes.text(
                CENTER + BOX_WIDTH / 2 + 0.05, row - 0.5, "\n".join(step.lost), va="center", fontsize=SMALL_PT,
                color=QUIET, linespacing=1.4,
            )  # fmt: skip
    return figure


def _draw_branch(axes: Axes, step: FlowStep, row: int, after: int) -> None:
    """Draw an arrow down the left side, past the boxes between, and who left beside the box."""
    left = CENTER - BOX_WIDTH / 2
    axes.plot([left, left - BRANCH, left - BRANCH], [after, after, row], color=INK, linewidth=0.8)
    axes.annotate(
        "", (left, row), (left - BRANCH, row),
        arrowprops={"arrowstyle": "->", "color": INK, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip
    axes.text(
        CENTER + BOX_WIDTH / 2 + 0.05, row, "\n".join(step.lost), va="center", fontsize=SMALL_PT, color=QUIET,
        linespacing=1.4,
    )  # fmt: skip
