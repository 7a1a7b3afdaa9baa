"""Cutting the analysis grid into tiles: a core that owns its cells, and a halo that lets them be seen whole.

A core is the part of a place of a regular grid that holds tissue, so that ragged tissue does not cost what the glass
around it would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.slide import AnalysisGrid
from slidescore.tissue import TissueMask

STEP_PX = 128
"""Sides of cores are multiples of this, counted from the corner of a tile's place, unless the place ends before: the
fewer sizes, the fewer times a network is made ready for another one."""
STRIP_COLUMNS = 8
"""Tiles are scored in strips of so many columns: the reader then still keeps what lies under a tile and the one below
it, however wide the slide is, also where its own tiles are large or level 0 is not averaged."""


@dataclass(frozen=True, slots=True)
class TileSpec:
    """One tile's core, in analysis pixels of the slide's grid.

    `index` counts all places of the grid row by row, tissue or not, so it depends on nothing but the grid.
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
        Side of a place in the grid, which a core fills or lies in, and width of the halo around a core; analysis
        pixels.
    columns
        Places in a row of the whole grid.
    origin_px
        Where the first place begins; (0, 0) but in tests of invariance.
    """

    tiles: tuple[TileSpec, ...]
    core_px: int
    halo_px: int
    columns: int
    origin_px: tuple[int, int]

    def in_strips(self) -> list[TileSpec]:
        """List the tiles strip by strip, each row by row: neighbours come soon after one another."""
        return sorted(self.tiles, key=lambda spec: (spec.index % self.columns // STRIP_COLUMNS, spec.index))

    def index_at(self, x_px: NDArray[np.float64], y_px: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the tile whose half-open place holds each point (analysis pixels); int32, (N,)."""
        column = np.floor((x_px - self.origin_px[0]) / self.core_px).astype(np.int32)
        row = np.floor((y_px - self.origin_px[1]) / self.core_px).astype(np.int32)
        return row * np.int32(self.columns) + column


def plan_tiles(
    grid: AnalysisGrid,
    tissue: TissueMask,
    *,
    core_px: int,
    halo_um: float,
    margin_um: float = 0.0,
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
        Side of a place in the grid of tiles in analysis pixels.
    halo_um
        Width of the halo.
    margin_um
        Tissue outside a place and this near counts too when its core is cut to the tissue. With the width of a seam,
        the cores of neighbours meet wherever a cell may lie across their border.
    origin_px
        Shift of the tile grid, at most 0 in each axis and more than -core_px.
    """
    x0, y0 = origin_px
    columns = math.ceil((grid.width_px - x0) / core_px)
    rows = math.ceil((grid.height_px - y0) / core_px)
    margin_px = math.ceil(margin_um / grid.analysis_mpp)
    tiles = []
    for row in range(rows):
        for column in range(columns):
            left, top = x0 + column * core_px, y0 + row * core_px
            x, y = max(left, 0), max(top, 0)
            width = min(left + core_px, grid.width_px) - x
            height = min(top + core_px, grid.height_px) - y
            place = TileSpec(row * columns + column, x, y, width, height)
            if _window(place, 0, grid, tissue)[0].any():
                tiles.append(_cut_to_tissue(place, margin_px, grid, tissue))
    return TilePlan(tuple(tiles), core_px, math.ceil(halo_um / grid.analysis_mpp), columns, origin_px)


def _cut_to_tissue(place: TileSpec, margin_px: int, grid: AnalysisGrid, tissue: TissueMask) -> TileSpec:
    """Leave of a place with tissue the smallest rectangle, in steps, that holds it and what lies on its rim."""
    window, left, top = _window(place, margin_px, grid, tissue)
    columns, rows = left + np.flatnonzero(window.any(axis=0)), top + np.flatnonzero(window.any(axis=1))
    scale = grid.px_to_l0 / tissue.l0_per_px
    x, width = _in_steps(int(columns[0]) / scale, int(columns[-1] + 1) / scale, place.x_px, place.width_px)
    y, height = _in_steps(int(rows[0]) / scale, int(rows[-1] + 1) / scale, place.y_px, place.height_px)
    return TileSpec(place.index, x, y, width, height)


def _in_steps(first_px: float, end_px: float, place_px: int, side_px: int) -> tuple[int, int]:
    """Widen a stretch to steps of its place, along one axis, and cut it to the place; returns start and length."""
    last_step = (side_px - 1) // STEP_PX
    first = min(max(math.floor((first_px - place_px) / STEP_PX), 0), last_step) * STEP_PX
    end = min(max(math.ceil((end_px - place_px) / STEP_PX) * STEP_PX, first + 1), side_px)
    return place_px + first, end - first


def _window(
    place: TileSpec, margin_px: int, grid: AnalysisGrid, tissue: TissueMask
) -> tuple[NDArray[np.bool_], int, int]:
    """Cut the mask to a place and its margin; also returns the first x and y of the cut, in pixels of the mask."""
    scale = grid.px_to_l0 / tissue.l0_per_px
    x, y = math.floor((place.x_px - margin_px) * scale), math.floor((place.y_px - margin_px) * scale)
    x, y = max(x, 0), max(y, 0)
    x_end = math.ceil((place.x_px + place.width_px + margin_px) * scale)
    y_end = math.ceil((place.y_px + place.height_px + margin_px) * scale)
    return tissue.tissue[y:y_end, x:x_end], x, y
