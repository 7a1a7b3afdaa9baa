"""What every figure must keep: drawn without a warning, its text as text, no text cut off or over another."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.text import Text

from slidescore.report.plots.style import svg_bytes

SVG_DPI = 72
EDGE_PX = 3.0
"""By which a text may reach over the edge of the picture: it was laid out for another renderer's letters."""
PAGE_INCHES = 6.7
"""Text width of an A4 page."""


def check_figure(figure: Figure) -> list[str]:
    """Draw a figure, and check that its text is text and whole; returns its texts."""
    figure.set_dpi(SVG_DPI)
    svg = svg_bytes(figure, "figure")
    source = svg.decode()
    assert "<text" in source, "text stays text"
    assert all(name not in source for name in ("dc:date", "Matplotlib"))
    whole = figure.bbox
    for text in _shown(figure):
        box = text.get_window_extent()
        assert box.x0 >= whole.x0 - EDGE_PX, text
        assert box.x1 <= whole.x1 + EDGE_PX, text
        assert box.y0 >= whole.y0 - EDGE_PX, text
        assert box.y1 <= whole.y1 + EDGE_PX, text
    assert figure.bbox_inches.width <= PAGE_INCHES
    return [text.get_text() for text in _shown(figure)]


def overlaps(figure: Figure, said: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of texts, among those that hold one of `said`, whose boxes overlap; the figure has been drawn."""
    own = [text for text in _shown(figure) if any(word in text.get_text() for word in said)]
    boxes = [(text.get_text(), text.get_window_extent()) for text in own]
    return [(a, b) for k, (a, box) in enumerate(boxes) for b, other in boxes[k + 1 :] if box.overlaps(other)]


def _shown(figure: Figure) -> list[Text]:
    found: list[Text] = [*figure.texts]
    for axes in figure.axes:
        found += [*axes.texts, axes.title, axes._left_title, axes._right_title]  # type: ignore[attr-defined]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            # Ticks beyond the ends of an axis exist, but are not drawn.
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            found += [axis.label, *(tick.label1 for tick in ticks)]
    return [text for text in found if text.get_visible() and text.get_text().strip()]
