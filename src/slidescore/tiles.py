"""Cutting the analysis grid into tiles: a core that owns its cells, and a halo that lets them be seen whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.slide import AnalysisGrid
from slidescore.tissue import TissueMask


@dataclass(frozen=True, slots=True)
class TileSpec:
    """One tile's core, in analysis pixels of the slide's grid.

    `index` counts all tiles of the grid row by row, tissue or not, so it depends on nothing but the grid.
    """

    index: int
    x_px: int
    y_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class TilePlan:
    """How a slide is tiled.

    Attributes
    ----------
    tiles
        Tiles whose core holds tissue, by index.
    core_px, halo_px
        Side of a core and width of the halo around it, in analysis pixels.
    columns
        Tiles in a row of the whole grid.
    origin_px
        Where the first core begins; (0, 0) but in tests of invariance.
    """

    tiles: tuple[TileSpec, ...]
    core_px: int
    halo_px: int
    columns: int
    origin_px: tuple[int, int]

    def index_at(self, x_px: NDArray[np.float64], y_px: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the tile whose half-open core holds each point (analysis pixels); int32, (N,)."""
        column = np.floor((x_px - self.origin_px[0]) / self.core_px).astype(np.int32)
        row = np.floor((y_px - self.origin_px[1]) / self.core_px).astype(np.int32)
        return row * np.int32(self.columns) + column


def plan_tiles(
    grid: AnalysisGrid,
    tissue: TissueMask,
    *,
    core_px: int,
    halo_um: float,
    origin_px: tuple[int, int] = (0, 0),
) -> TilePlan:
    """List the tiles that hold tissue.

    Parameters
    ----------
    grid
        The slide's analysis grid.
    tissue
        The tissue to cover.
    core_px
        Side of a core in analysis pixels.
    halo_um
        Width of the halo.
    origin_px
        Shift of the tile grid, at most 0 in each axis and more than -core_px.
    """
    x0, y0 = origin_px
    columns = math.ceil((grid.width_px - x0) / core_px)
    rows = math.ceil((grid.height_px - y0) / core_px)
    tiles = []
    for row in range(rows):
        for column in range(columns):
            left, top = x0 + column * core_px, y0 + row * core_px
            x, y = max(left, 0), max(top, 0)
            width = min(left + core_px, grid.width_px) - x
            height = min(top + core_px, grid.height_px) - y
            spec = TileSpec(row * columns + column, x, y, width, height)
            if _holds_tissue(spec, grid, tissue):
                tiles.append(spec)
    return TilePlan(tuple(tiles), core_px, math.ceil(halo_um / grid.analysis_mpp), columns, origin_px)


def _holds_tissue(spec: TileSpec, grid: AnalysisGrid, tissue: TissueMask) -> bool:
    scale = grid.px_to_l0 / tissue.l0_per_px
    x, y = math.floor(spec.x_px * scale), math.floor(spec.y_px * scale)
    x_end, y_end = math.ceil((spec.x_px + spec.width_px) * scale), math.ceil((spec.y_px + spec.height_px) * scale)
    return bool(tissue.tissue[y:y_end, x:x_end].any())
