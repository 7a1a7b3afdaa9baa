"""The grid on which tiles of a slide are asked for: whole powers of two of level-0 px, from its top left corner.

Tile (k, column, row) covers 256 * 2**k level-0 px a side; k = 0 is the slide's own resolution, k_max the whole slide in
one tile. A tile at the slide's end is cut: it has as many pixels as begin inside the slide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TILE_PX: Final = 256
"""Side of a tile in its own pixels."""


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Which tiles there are of one slide.

    Attributes
    ----------
    width_l0, height_l0
        Size of the slide in level-0 px.
    k_min
        Finest tiles that hold more than enlarged pixels: 0, or more where the pixels are coarser than the slide's.
    """

    width_l0: int
    height_l0: int
    k_min: int = 0

    @property
    def k_max(self) -> int:
        """Coarsest tiles: the whole slide in one."""
        longer = max(self.width_l0, self.height_l0, 1)
        return max(self.k_min, (-(-longer // TILE_PX) - 1).bit_length())

    def tile_size_px(self, k: int, column: int, row: int) -> tuple[int, int] | None:
        """Give width and height of a tile in its own pixels; None where there is no such tile."""
        if not self.k_min <= k <= self.k_max or column < 0 or row < 0:
            return None
        across, down = -(-self.width_l0 >> k), -(-self.height_l0 >> k)
        width, height = min(TILE_PX, across - column * TILE_PX), min(TILE_PX, down - row * TILE_PX)
        return (width, height) if width > 0 and height > 0 else None
