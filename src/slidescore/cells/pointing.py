"""Which cell a place on the slide means: the one that a person pointed at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slidescore.cells.table import floats, unpack_outlines

REACH_UM = 5.0
"""A place outside every cell means the nearest one whose centroid is at most this far: cells are matched at 5 um."""
MAX_CELL_RADIUS_UM = 25.0
"""No outline is farther from its centroid: a nucleus of 20 um radius, grown by 5 um."""
CANDIDATES = 16
"""Cells nearest to a place whose outlines are asked."""


@dataclass(frozen=True, slots=True)
class CellIndex:
    """The cells of one slide, made to be asked for places.

    Attributes
    ----------
    cells
        Rows of `slidescore.cells.table.CELL_SCHEMA`.
    centers
        float64, (N, 2): centroids in level-0 px.
    tree
        Of the centroids; None without cells.
    mpp
        Micrometres per level-0 pixel.
    """

    cells: pa.Table
    centers: NDArray[np.float64]
    tree: cKDTree | None
    mpp: float

    def at(self, x_l0: float, y_l0: float) -> int | None:
        """Return the row of the cell that a place means, or None.

        That is the cell whose nucleus holds it, else the one whose outline does, else the nearest centroid within
        `REACH_UM`. Of several such cells it is the one with the nearest centroid.
        """
        if self.tree is None:
            return None
        reach_px = max(MAX_CELL_RADIUS_UM, REACH_UM) / self.mpp
        distances, rows = self.tree.query((x_l0, y_l0), k=CANDIDATES, distance_upper_bound=reach_px)
        near = [int(row) for row, distance in zip(rows, distances, strict=True) if np.isfinite(distance)]
        if not near:
            return None
        few = self.cells.take(pa.array(near))
        for outlines in ("nucleus_outline", "cell_outline"):
            starts, points = unpack_outlines(few.column(outlines))
            for k, row in enumerate(near):
                ring = points[starts[k] : starts[k + 1]] + self.centers[row]
                if _inside(ring, x_l0, y_l0):
                    return row
        return near[0] if distances[0] * self.mpp <= REACH_UM else None


def index_cells(cells: pa.Table, mpp: float) -> CellIndex:
    """Make the cells of one slide ready to be asked for places."""
    centers = np.stack([floats(cells, "x"), floats(cells, "y")], axis=1).astype(np.float64)
    return CellIndex(cells, centers, cKDTree(centers) if len(centers) else None, mpp)


def _inside(ring: NDArray[np.float64], x: float, y: float) -> bool:
    """Whether a point lies in a ring of points, (K, 2), by the even-odd rule."""
    x0, y0 = ring.T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    crosses = (y0 <= y) != (y1 <= y)
    with np.errstate(divide="ignore", invalid="ignore"):
        right = x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
    return bool(np.count_nonzero(crosses & right) % 2)
