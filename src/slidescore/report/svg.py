"""The parts of an SVG picture as markup: every text is escaped, and colours come from the page's style.

Coordinates are px from the top left corner; `style` is the name of a class of the page's style.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

WIDTH: Final = 560
"""Usual width of a chart in px."""


def polyline(style: str, places: Sequence[tuple[float, float]]) -> Markup:
    """Draw a line through points."""
    points = " ".join(f"{x:.2f},{y:.2f}" for x, y in places)
    return Markup('<polyline class="{}" points="{}"></polyline>').format(style, points)


def rect(style: str, x: float, y: float, width: float, height: float) -> Markup:
    """Draw a rectangle."""
    return Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
        style, x, y, width, height
    )


def line(style: str, x1: float, y1: float, x2: float, y2: float, title: str = "") -> Markup:
    """Draw a line; `title` is what a pointer over it shows."""
    inside = Markup("<title>{}</title>").format(title) if title else ""
    return Markup('<line class="{}" x1="{:.2f}" y1="{:.2f}" x2="{:.2f}" y2="{:.2f}">{}</line>').format(
        style, x1, y1, x2, y2, inside
    )


def text(x: float, y: float, content: str, style: str = "", anchor: str = "start") -> Markup:
    """Write a text; `anchor` is start, middle or end."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        style, x, y, anchor, content
    )


def svg(height: int, title: str, parts: Sequence[Markup], *, width: int = WIDTH, style: str = "chart") -> Markup:
    """Put the parts of a picture together; `title` says in words what it shows."""
    return Markup(
        '<svg class="{}" role="img" viewBox="0 0 {} {}" width="{}" height="{}"><title>{}</title>{}</svg>'
    ).format(style, width, height, width, height, title, Markup("").join(parts))
