"""A whole slide, seen from afar."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt

from slidescore.slide.reader import SlideReader
from slidescore.slide.sampling import AnalysisGrid, plan_grid, read_analysis

# Side of the squares that are read at once, in pixels of the level: 64 MB of RGBA.
_BLOCK_PX: Final = 4096


def plan_thumbnail(reader: SlideReader, mpp: float, max_px: int) -> AnalysisGrid:
    """Plan a grid whose longer side is about `max_px` pixels, or the slide's own when it is smaller."""
    return plan_grid(reader, mpp, mpp * max(1.0, max(reader.dimensions) / max_px), 0.0)


def read_thumbnail(
    reader: SlideReader, grid: AnalysisGrid, *, threads: int = 1
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Read a whole (coarse) grid, in blocks, so that memory does not grow with the slide's levels.

    Parameters
    ----------
    reader, grid
        The slide and a coarse grid of it.
    threads
        How many blocks are read at once; changes only the time.

    Returns
    -------
    rgb : numpy.ndarray
        uint8, (grid.height_px, grid.width_px, 3); white where not valid.
    valid : numpy.ndarray
        bool, (grid.height_px, grid.width_px).

    Raises
    ------
    SlideOpenError
        The pixels cannot be decoded.
    """
    rgb = np.full((grid.height_px, grid.width_px, 3), 255, np.uint8)
    valid = np.zeros((grid.height_px, grid.width_px), np.bool_)
    side = max(1, math.floor(_BLOCK_PX / grid.factor))
    bounds = reader.bounds

    def read_block(corner: tuple[int, int]) -> None:
        x, y = corner
        width, height = min(side, grid.width_px - x), min(side, grid.height_px - y)
        if bounds is None or bounds.intersects(grid.region(x, y, width, height)):
            block = read_analysis(reader, grid, x, y, width, height)
            rgb[y : y + height, x : x + width], valid[y : y + height, x : x + width] = block

    corners = [(x, y) for y in range(0, grid.height_px, side) for x in range(0, grid.width_px, side)]
    if threads == 1:
        for corner in corners:
            read_block(corner)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(read_block, corners):
                pass
    return rgb, valid
