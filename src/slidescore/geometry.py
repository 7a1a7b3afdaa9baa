"""Regions in level-0 pixels (origin top left, x right, y down).

A level-0 pixel is a pixel of the slide's largest level. Anything in another frame carries that frame in its name
(`_px` for analysis pixels, `_um` for micrometres).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """A half-open rectangle in level-0 pixels: [x, x + width) by [y, y + height)."""

    x: int
    y: int
    width: int
    height: int

    @property
    def x_end(self) -> int:
        """First column right of the region."""
        return self.x + self.width

    @property
    def y_end(self) -> int:
        """First row below the region."""
        return self.y + self.height

    def intersects(self, other: Region) -> bool:
        """Whether the two rectangles share at least one pixel."""
        across = min(self.x_end, other.x_end) - max(self.x, other.x)
        down = min(self.y_end, other.y_end) - max(self.y, other.y)
        return across > 0 and down > 0
