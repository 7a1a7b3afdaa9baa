"""The one style of all figures: type, greys, the colours of the bins; those of the report pages (`tokens.css`).

Figures are matplotlib's, made without pyplot, so nothing is shared between two of them. Colours are the page's light
ones; `PAGE_COLORS` says which of the page's names each has, so that a page can have its figures follow a dark screen.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Floats = NDArray[np.float64]

INK: Final = "#1a1a1a"
QUIET: Final = "#5a5a5a"
HAIR: Final = "#d8d8d8"
PANEL: Final = "#ffffff"
BAR: Final = "#9aa4a6"
ACCENT: Final = "#006a6a"
FAIL: Final = "#b00020"
BAND: Final = "#ebebeb"
"""Interval bands and the like, behind everything."""
BIN_COLORS: Final = ("#5a5ab4", "#ffd700", "#e19632", "#c83232")
"""Bins 0, 1+, 2+, 3+, as QuPath draws them."""
PAGE_COLORS: Final = {
    INK: "--ink", QUIET: "--quiet", HAIR: "--hair", PANEL: "--panel", BAR: "--bar", ACCENT: "--accent",
    FAIL: "--fail", BAND: "--band",
}  # fmt: skip
"""The page's name of each grey and accent; bins look the same on every page."""

WIDTH_MM: Final = 170.0
"""Text width of an A4 page with 20 mm margins."""
MM_PER_INCH: Final = 25.4
PNG_DPI: Final = 200
TEXT_PT: Final = 8.0
SMALL_PT: Final = 7.0
LINE_PT: Final = 1.0
DOT_PT: Final = 4.0
"""Diameter of a dot."""

_SETTINGS: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    # Comes with matplotlib, so figures are alike everywhere; its figures are of one width.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "font.size": TEXT_PT,
    "axes.titlesize": TEXT_PT, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 8.0,
    "axes.labelsize": TEXT_PT, "axes.labelcolor": INK, "axes.labelpad": 4.0,
    "axes.edgecolor": QUIET, "axes.linewidth": 0.6, "axes.facecolor": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.unicode_minus": True,
    "xtick.labelsize": SMALL_PT, "ytick.labelsize": SMALL_PT, "xtick.color": QUIET, "ytick.color": QUIET,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "xtick.major.size": 3.0, "ytick.major.size": 3.0, "xtick.minor.visible": False, "ytick.minor.visible": False,
    "text.color": INK, "text.parse_math": False,
    "grid.color": HAIR, "grid.linewidth": 0.5, "lines.linewidth": LINE_PT,
    "figure.facecolor": PANEL, "savefig.facecolor": PANEL,
    "figure.constrained_layout.h_pad": 0.06, "figure.constrained_layout.w_pad": 0.06,
    "figure.constrained_layout.hspace": 0.03, "figure.constrained_layout.wspace": 0.03,
    "svg.fonttype": "none", "path.simplify": False,
}  # fmt: skip

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a drawing function draw in this style, whatever matplotlib's settings are; they are as before after it."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context():
            _settle()
            return draw(*args, **kwargs)

    return drawn


def new_figure(width_mm: float = WIDTH_MM, height_mm: float = 90.0) -> Figure:
    """Make an empty figure whose parts find room for their labels by themselves."""
    figure = Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def svg_bytes(figure: Figure, name: str) -> bytes:
    """Draw a figure as SVG whose text is text; the same figure and name give the same bytes.

    Parameters
    ----------
    figure
        What to draw.
    name
        Of the figure; the names inside the picture hang on it.
    """
    # No date and no program: the bytes depend on the figure alone.
    return _drawn(figure, {"svg.hashsalt": name}, format="svg", metadata={"Date": None, "Creator": None})


def png_bytes(figure: Figure) -> bytes:
    """Draw a figure as PNG at 200 dpi; the same figure gives the same bytes."""
    return _drawn(figure, {}, format="png", dpi=PNG_DPI, metadata={"Software": None})


def say_n(axes: Axes, text: str) -> None:
    """Write n, and what is missing, over the right end of a plot, where every figure has it."""
    axes.set_title(text, loc="right", fontsize=SMALL_PT, fontweight="normal", color=QUIET)


def counted(n: int, unit: str) -> str:
    """Write a number of things: `1 slide`, `12 slides`; `unit` is the plural."""
    return f"{n:,} {unit[:-1] if n == 1 and unit.endswith('s') else unit}"


def write_notes(axes: Axes, notes: Sequence[str], *, right: bool = True, top: bool = True) -> None:
    """Write lines into a corner of a plot."""
    if notes:
        axes.annotate(
            "\n".join(notes), (float(right), float(top)), xycoords="axes fraction",
            xytext=(-4 if right else 4, -4 if top else 4), textcoords="offset points",
            ha="right" if right else "left", va="top" if top else "bottom", fontsize=SMALL_PT, linespacing=1.5,
        )  # fmt: skip


def spread(places: Sequence[float], gap: float, low: float = -math.inf) -> list[float]:
    """Move places apart, as little as it takes for `gap` between any two; in the order given.

    Neighbours that stand too close are set out evenly about their common middle, none below `low`.
    """
    order = sorted(range(len(places)), key=lambda k: places[k])
    groups: list[list[int]] = []
    middle: list[float] = []
    for k in order:
        groups.append([k])
        middle.append(places[k])
        while len(groups) > 1:
            room = gap * (len(groups[-2]) + len(groups[-1])) / 2
            if middle[-1] - middle[-2] >= room:
                break
            last = groups.pop()
            groups[-1] += last
            middle.pop()
            middle[-1] = sum(places[k] for k in groups[-1]) / len(groups[-1])
    moved = [0.0] * len(places)
    for own, center in zip(groups, middle, strict=True):
        for place, k in enumerate(own):
            moved[k] = center + gap * (place - (len(own) - 1) / 2)
    return [max(moved[k], low + gap * order.index(k)) for k in range(len(moved))]


def short_label(text: str, most: int = 32) -> str:
    """Cut a long name in its middle; names of slides differ at both ends. Odd characters become a dot."""
    clean = "".join(letter if letter.isprintable() else "·" for letter in text)
    head = (most - 1) // 2
    return clean if len(clean) <= most else f"{clean[:head]}…{clean[head + 1 - most :]}"


def say_nothing(figure: Figure, text: str) -> Figure:
    """Write into an empty figure why it is empty."""
    figure.text(0.5, 0.5, text, ha="center", va="center", color=QUIET)
    return figure


def _settle() -> None:
    # Reading the backend would choose one, and load pyplot for it.
    mpl.rcParams.update({key: value for key, value in mpl.rcParamsDefault.items() if key != "backend"})
    mpl.rcParams.update(_SETTINGS)


def _drawn(figure: Figure, settings: dict[Any, Any], **how: Any) -> bytes:
    target = io.BytesIO()
    with mpl.rc_context():
        _settle()
        mpl.rcParams.update(settings)
        figure.savefig(target, **how)
    return target.getvalue()
