"""Cells and areas made ready for drawing: flat arrays and an index, prepared once for a slide.

A slide holds a million cells and is drawn tile by tile, so the cells that touch a tile must be found without looking at
the others. Coordinates are level-0 px with 0 at the outer edge of the first pixel, as QuPath's; its centre lies at 0.5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.cells.table import floats, unpack_outlines
from slidescore.scoring import cell_bins, counted_cells, tumor_cells

OTHER_KIND: Final = 4
EXCLUDED_KIND: Final = 5

_BUCKET_L0: Final = 512


@dataclass(frozen=True, slots=True)
class CellDrawing:
    """Cells ready to be drawn, in the order of their table.

    Attributes
    ----------
    x_l0, y_l0
        float32, (N,), centroids.
    kind
        uint8, (N,): 0 to 3 for the bin of a counted tumor cell, `OTHER_KIND`, or `EXCLUDED_KIND`.
    outlines
        What is drawn around them.
    buckets
        Which cells lie where.
    """

    x_l0: NDArray[np.float32]
    y_l0: NDArray[np.float32]
    kind: NDArray[np.uint8]
    outlines: Outlines
    buckets: Buckets


@dataclass(frozen=True, slots=True)
class Outlines:
    """Outlines of cells.

    Attributes
    ----------
    starts, points
        int64, (N + 1,), into int8 or int16, (M, 2): outline as dx, dy in level-0 px from the centroid; may be empty.
    box
        int16, (N, 4): least dx, least dy, greatest dx, greatest dy of the outline.
    reach_l0
        Greatest distance of an outline point from its centroid, along x or y.
    """

    starts: NDArray[np.int64]
    points: NDArray[np.int8] | NDArray[np.int16]
    box: NDArray[np.int16]
    reach_l0: int


@dataclass(frozen=True, slots=True)
class Buckets:
    """Cells sorted into squares of `_BUCKET_L0` level-0 px.

    Attributes
    ----------
    members
        int32, (N,): numbers of the cells, by row, then column of their square.
    starts
        int64, (rows * columns + 1,): where each square's cells begin in `members`.
    columns, rows
        Number of squares across and down.
    """

    members: NDArray[np.int32]
    starts: NDArray[np.int64]
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class AreaDrawing:
    """Areas ready to be drawn: valid polygons in level-0 px, and a tree to find them by."""

    polygons: NDArray[np.object_]
    tree: shapely.STRtree


def prepare_cells(cells: pa.Table, assay: Assay, *, outline: Literal["cell", "nucleus"] = "cell") -> CellDrawing:
    """Prepare a cell table for drawing under one assay's bins and tumor rule.

    Parameters
    ----------
    cells
        Rows of `slidescore.cells.table.CELL_SCHEMA`.
    assay
        Gives thresholds, compartment and tumor rule.
    outline
        Which outline is drawn.
    """
    bins, _ = cell_bins(cells, assay, assay.score.compartment)
    kind = np.where(tumor_cells(cells, assay), bins, OTHER_KIND).astype(np.uint8)
    kind[~counted_cells(cells)] = EXCLUDED_KIND
    x, y = floats(cells, "x"), floats(cells, "y")
    outlines = prepare_outlines(*unpack_outlines(cells.column(f"{outline}_outline")))
    return CellDrawing(x, y, kind, outlines, prepare_buckets(x, y))


def prepare_outlines(starts: NDArray[np.int64], points: NDArray[np.int8] | NDArray[np.int16]) -> Outlines:
    """Bound the outlines; arguments as in `Outlines`."""
    boxes = np.zeros((len(starts) - 1, 4), np.int16)
    some = np.flatnonzero(np.diff(starts))
    if some.size:
        boxes[some, :2] = np.minimum.reduceat(points, starts[some])
        boxes[some, 2:] = np.maximum.reduceat(points, starts[some])
    return Outlines(starts, points, boxes, int(np.abs(boxes.astype(np.int32)).max(initial=0)))


def prepare_buckets(x_l0: NDArray[np.float32], y_l0: NDArray[np.float32]) -> Buckets:
    """Sort cells into squares by their centroids; those left of or above the slide go to its first ones."""
    column, row = (np.maximum(values // _BUCKET_L0, 0).astype(np.int32) for values in (x_l0, y_l0))
    columns, rows = int(column.max(initial=0)) + 1, int(row.max(initial=0)) + 1
    bucket = row * columns + column
    counts = np.bincount(bucket, minlength=rows * columns)
    return Buckets(
        members=np.argsort(bucket, kind="stable").astype(np.int32),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        columns=columns,
        rows=rows,
    )


def prepare_areas(geometries: Iterable[shapely.Geometry], *, merge: bool = False) -> AreaDrawing:
    """Prepare polygons and multipolygons (level-0 px) for drawing; other geometries draw nothing.

    Parameters
    ----------
    geometries
        Areas, with or without holes.
    merge
        Whether areas that touch become one, as the squares of a mask should.
    """
    valid = shapely.make_valid(np.array(list(geometries), dtype=object))
    parts = shapely.get_parts(np.atleast_1d(shapely.union_all(valid) if merge else valid))
    parts = shapely.get_parts(parts)  # a collection may hold multipolygons
    polygons = parts[(shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)]
    return AreaDrawing(polygons, shapely.STRtree(polygons))


def cells_near(
    buckets: Buckets, x0_l0: float, y0_l0: float, x1_l0: float, y1_l0: float, *, reach_l0: float
) -> NDArray[np.int32]:
    """Find the cells in the squares that a rectangle, widened by `reach_l0`, touches; int32, square by square."""
    first_column, first_row = (max(0, int((value - reach_l0) // _BUCKET_L0)) for value in (x0_l0, y0_l0))
    last_column = min(buckets.columns - 1, int((x1_l0 + reach_l0) // _BUCKET_L0))
    last_row = min(buckets.rows - 1, int((y1_l0 + reach_l0) // _BUCKET_L0))
    if first_column > last_column or first_row > last_row:
        return np.empty(0, np.int32)
    first = np.arange(first_row, last_row + 1) * buckets.columns + first_column
    starts, stops = buckets.starts[first], buckets.starts[first + last_column - first_column + 1]
    return np.concatenate([buckets.members[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)])
