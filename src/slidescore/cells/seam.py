"""The seam pass: one cell is one row, whichever tiles saw it.

A cell belongs to the tile whose core holds its centroid. Two tiles can outline the same border cell a little
differently, so that both claim it (a duplicate) or neither does (a gap). Both are put right here, once for the whole
slide, in an order that depends on positions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slidescore.cells.table import empty_cells, floats, join_cells, replace_column


@dataclass(frozen=True, slots=True)
class TileCells:
    """Cells that one tile saw near enough to matter.

    Attributes
    ----------
    owned
        Cells whose centroid lies in the tile's core.
    near_seam
        bool, (owned.num_rows,), which of them lie close to the core's border.
    shadows
        Cells close outside the core's border, which a neighbour should own; their `tile` is that neighbour.
    """

    owned: pa.Table
    near_seam: NDArray[np.bool_]
    shadows: pa.Table


@dataclass(frozen=True, slots=True)
class Joined:
    """All cells of a slide, and what the seam pass did."""

    cells: pa.Table
    n_merged: int
    n_restored: int


def join_tiles(tiles: Sequence[TileCells], *, duplicate_um: float, mpp: float) -> Joined:
    """Join the cells of all tiles.

    Parameters
    ----------
    tiles
        In any order.
    duplicate_um
        Two cells of different tiles whose centroids are nearer than this are one cell.
    mpp
        Micrometres per level-0 pixel.
    """
    everything = pa.concat_tables([empty_cells(), *(tile.owned for tile in tiles)])
    near = np.concatenate([np.zeros(0, dtype=bool), *(tile.near_seam for tile in tiles)])
    dropped = _find_duplicates(everything, near, duplicate_um / mpp)
    kept = everything.select(["x", "y", "nucleus_area_um2"]).filter(pa.array(~dropped))
    restored = _find_gaps(kept, [tile.shadows for tile in tiles], duplicate_um, mpp)
    wanted = np.concatenate([~dropped, np.ones(restored.num_rows, dtype=bool)])
    return Joined(join_cells([everything, restored], wanted), int(dropped.sum()), restored.num_rows)


def _positions(cells: pa.Table) -> NDArray[np.float64]:
    return np.stack([floats(cells, "x"), floats(cells, "y")], axis=1).astype(np.float64)


def _find_duplicates(cells: pa.Table, near: NDArray[np.bool_], reach_l0: float) -> NDArray[np.bool_]:
    """Mark the second of every two cells that are one: the one of the later tile goes."""
    dropped = np.zeros(cells.num_rows, dtype=bool)
    rows = np.flatnonzero(near)
    if len(rows) == 0:
        return dropped
    tile = cells.column("tile").to_numpy()[rows]
    xy = _positions(cells)[rows]
    pairs = cKDTree(xy).query_pairs(reach_l0, output_type="ndarray")
    # Pairs in the order of (tile, y, x), so that chains of three resolve the same way in every run.
    rank = np.empty(len(rows), dtype=np.int64)
    rank[np.lexsort((xy[:, 0], xy[:, 1], tile))] = np.arange(len(rows))
    ordered = sorted((min(rank[a], rank[b]), max(rank[a], rank[b]), a, b) for a, b in pairs if tile[a] != tile[b])
    for _, _, a, b in ordered:
        first, second = (a, b) if rank[a] < rank[b] else (b, a)
        if not dropped[rows[first]]:
            dropped[rows[second]] = True
    return dropped


def _find_gaps(kept: pa.Table, shadows: list[pa.Table], duplicate_um: float, mpp: float) -> pa.Table:
    """Return the shadows that no owned cell answers to.

    A shadow is answered when a cell's centroid lies within `duplicate_um` of it, or within the radius of either
    nucleus: then the tiles saw the same matter, only cut another way. Any cell may answer: the owner of a shadow at
    the seam's very limit may lie just beyond it.
    """
    parts = [table for table in shadows if table.num_rows]
    if not parts:
        return empty_cells()
    # (tile, y, x) again: the first of several shadows of one cell stands.
    candidates = join_cells(parts)
    radius = _radius_um(candidates)
    xy = _positions(candidates)
    settled_xy, settled_radius = _positions(kept), _radius_um(kept)
    answered = np.zeros(len(xy), dtype=bool)
    if len(settled_xy):
        reach = max(duplicate_um, float(radius.max()), float(settled_radius.max())) / mpp
        for i, neighbours in enumerate(cKDTree(settled_xy).query_ball_point(xy, reach)):
            distance = np.hypot(*(settled_xy[neighbours] - xy[i]).T) * mpp
            limit = np.maximum(np.maximum(settled_radius[neighbours], radius[i]), duplicate_um)
            answered[i] = bool((distance < limit).any())
    open_rows = np.flatnonzero(~answered)
    accepted: list[int] = []
    for i in open_rows.tolist():
        others = xy[accepted]
        distance = np.hypot(*(others - xy[i]).T) * mpp if accepted else np.empty(0)
        if not (distance < max(duplicate_um, float(radius[i]))).any():
            accepted.append(i)
    restored = candidates.take(pa.array(accepted, pa.int64()))
    return replace_column(restored, "cell_id", pa.array(np.zeros(len(accepted), dtype=np.int64)))


def _radius_um(cells: pa.Table) -> NDArray[np.float64]:
    return np.sqrt(floats(cells, "nucleus_area_um2").astype(np.float64) / np.pi)
