"""Which squares are excluded, and why: measures against the assay's limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from slidescore.assay.left_of_wall import Artifacts
from slidescore.cells.table import floats, replace_column
from slidescore.qc.squares import MEASURES, SquareMeasures, SquarePlan

REASONS: tuple[str, ...] = (
    "",
    "qc: black",
    "qc: ink",
    "qc: pigment",
    "qc: bubble or edge",
    "qc: fold",
    "qc: out of focus",
)
"""Why a square is excluded, by code; 0 means it is not. The first that applies is given."""
BLACK, INK, PIGMENT, GREY, FOLD, FOCUS = range(1, len(REASONS))
JOIN = "; "
"""Between an annotation that takes a cell out and the reason of its square."""


@dataclass(frozen=True, slots=True)
class TileSquares:
    """The squares that hold tissue of one tile's core.

    Attributes
    ----------
    number
        int64, (N,), of the square in the slide's grid.
    tissue_um2
        float64, (N,): tissue to be scored that square and core share; 0 where there is only control tissue.
    reason
        int8, (N,), index into `REASONS`.
    measures
        float32, (N, len(MEASURES)): those of the whole square, NaN where they could not be told.
    """

    number: NDArray[np.int64]
    tissue_um2: NDArray[np.float64]
    reason: NDArray[np.int8]
    measures: NDArray[np.float32]


def no_squares() -> TileSquares:
    """Return the squares of a tile of which nothing is known."""
    return TileSquares(
        np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int8), np.zeros((0, len(MEASURES)), np.float32)
    )


def judge_squares(measures: SquareMeasures, limits: Artifacts) -> NDArray[np.int8]:
    """Return why each square is excluded, where enough is known; int8, (rows, columns), index into `REASONS`."""
    # Comparisons with NaN are false, so that a square of which too little is known stays in.
    floor = measures.hematoxylin_floor_od
    tests = (
        (FOCUS, measures.sharpness < limits.min_sharpness),
        # No part of the tissue is pale: it lies double, or there is blue ink on it through which it stays sharp.
        (INK, floor >= limits.ink_min_hematoxylin_od),
        (FOLD, (floor >= limits.fold_min_hematoxylin_od) & (measures.sharpness < limits.fold_max_sharpness)),
        (GREY, measures.grey_fraction > limits.max_grey_fraction),
        (PIGMENT, measures.pigment_fraction > limits.max_pigment_fraction),
        (INK, measures.ink_fraction > limits.max_ink_fraction),
        (BLACK, measures.black_fraction > limits.max_black_fraction),
    )
    reasons = np.zeros(measures.sharpness.shape, np.int8)
    for code, applies in tests:
        reasons[applies] = code
    return reasons


def paint_reasons(
    reasons: NDArray[np.int8],
    plan: SquarePlan,
    origin_px: tuple[int, int],
    x_px: int,
    y_px: int,
    shape: tuple[int, int],
) -> NDArray[np.int8]:
    """Spread the reasons of a window of squares over the pixels of a rectangle in it; int8, `shape` (H, W).

    Parameters
    ----------
    reasons
        int8, (rows, columns), of squares from `origin_px` (x, y) on.
    x_px, y_px
        First pixel of the rectangle.
    """
    rows = (np.arange(y_px, y_px + shape[0]) - origin_px[1]) // plan.side_px
    columns = (np.arange(x_px, x_px + shape[1]) - origin_px[0]) // plan.side_px
    return reasons[rows][:, columns]


def excluded_squares(tiles: Iterable[TileSquares]) -> dict[int, str]:
    """Return the reason of each excluded square, by its number."""
    found: dict[int, str] = {}
    for squares in tiles:
        out = np.flatnonzero(squares.reason)
        found.update(zip(squares.number[out].tolist(), (REASONS[code] for code in squares.reason[out]), strict=True))
    return found


def mark_cells(cells: pa.Table, plan: SquarePlan, l0_per_px: float, excluded: dict[int, str]) -> pa.Table:
    """Write into the column `excluded` why a cell's square is; what an annotation says stays in front.

    Parameters
    ----------
    cells
        The slide's cells.
    plan
        The grid.
    l0_per_px
        Level-0 pixels per analysis pixel.
    excluded
        Reason by number of square.
    """
    if not excluded or cells.num_rows == 0:
        return cells
    x_px, y_px = (floats(cells, name).astype(np.float64) / l0_per_px for name in ("x", "y"))
    of_square = [excluded.get(number) for number in plan.number_at(x_px, y_px).tolist()]
    drawn = cells.column("excluded").to_pylist()
    joined = [
        reason if said is None else said if reason is None else said + JOIN + reason
        for said, reason in zip(drawn, of_square, strict=True)
    ]
    return replace_column(cells, "excluded", pa.array(joined, pa.string()))


def excluded_boxes(tiles: pa.Table, side_l0: float, columns: int) -> list[shapely.Polygon]:
    """Return the excluded squares as boxes in level-0 px, each once, by number.

    Parameters
    ----------
    tiles
        The ledger of tiles.
    side_l0
        Side of a square in level-0 px.
    columns
        Squares in a row of the grid.
    """
    reasons = pc.list_flatten(tiles.column("square_excluded").combine_chunks())
    number = pc.list_flatten(tiles.column("square").combine_chunks())
    out = np.unique(number.filter(pc.is_valid(reasons)).to_numpy(zero_copy_only=False))
    x, y = (out % columns) * side_l0, (out // columns) * side_l0
    boxes: list[shapely.Polygon] = shapely.box(x, y, x + side_l0, y + side_l0).tolist()
    return boxes
