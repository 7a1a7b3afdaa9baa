"""Counts of bins on the squares of a fixed grid: what an interval is drawn from, and enough to draw it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slidescore.errors import InputError
from slidescore.scoring.bins import N_BINS

N_PLACE = 2
"""Numbers that place a square: its column and its row."""
COLUMN_BITS = 32
"""Of the number that stands for a square while cells are counted; its row has the others."""
FIRST_COLUMN = 1 << (COLUMN_BITS - 1)
"""Added to a column there, so that one left of the origin is no neighbour of the row before."""


@dataclass(frozen=True, slots=True)
class SquareCounts:
    """Bins of the counted cells (or pixels) in each square that holds any.

    Attributes
    ----------
    places
        int64, (M, 2): column and row of each square, sorted by row, then column; no place twice.
    counts
        float64, (M, 4): how many are in bin 0, 1+, 2+ and 3+.
    """

    places: NDArray[np.int64]
    counts: NDArray[np.float64]

    @property
    def n_squares(self) -> int:
        """Squares that hold anything."""
        return len(self.places)

    @property
    def total(self) -> NDArray[np.float64]:
        """Counts of all squares together; float64, (4,)."""
        total: NDArray[np.float64] = self.counts.sum(axis=0)
        return total


def count_squares(x_l0: ArrayLike, y_l0: ArrayLike, bins: ArrayLike, *, mpp: float, square_um: float) -> SquareCounts:
    """Count bins on a grid of squares that begins at the slide's origin.

    Neither tiles nor the order of the cells change the result, so every compartment of the same cells gives the same
    places in the same order.

    Parameters
    ----------
    x_l0, y_l0
        Centroids in level-0 px, (N,). They are taken as float32, the precision in which cells are stored.
    bins
        Whole numbers 0 to 3, (N,).
    mpp
        Of level 0, um/px.
    square_um
        Side of a square, `interval.square_um` of the assay.
    """
    columns, rows = (_square_numbers(values, mpp, square_um) for values in (x_l0, y_l0))
    # One number a square, in the order of rows, then columns: a million cells are sorted in a tenth of a second.
    keys, square = np.unique((rows << COLUMN_BITS) + columns + FIRST_COLUMN, return_inverse=True)
    counts = np.bincount(square * N_BINS + np.asarray(bins, np.int64), minlength=len(keys) * N_BINS)
    places = np.stack([(keys & (2 * FIRST_COLUMN - 1)) - FIRST_COLUMN, keys >> COLUMN_BITS], axis=1)
    return SquareCounts(places, counts.reshape(-1, N_BINS).astype(np.float64))


def _square_numbers(position_l0: ArrayLike, mpp: float, square_um: float) -> NDArray[np.int64]:
    position_um = np.asarray(position_l0, np.float32).astype(np.float64) * mpp
    return np.floor(position_um / square_um).astype(np.int64)


def _sum_places(columns: NDArray[np.int64], rows: NDArray[np.int64], counts: NDArray[np.float64]) -> SquareCounts:
    by_row, square = np.unique(np.stack([rows, columns], axis=1), axis=0, return_inverse=True)
    sums = np.zeros((len(by_row), N_BINS))
    np.add.at(sums, square.reshape(-1), counts)
    held = sums.sum(axis=1) > 0
    return SquareCounts(np.ascontiguousarray(by_row[held, ::-1]), sums[held])


def squares_to_lists(squares: SquareCounts) -> list[list[int | float]]:
    """Write squares as `[[column, row, n0, n1, n2, n3], ...]`; whole numbers become ints."""
    return [
        [*place, *(int(n) if float(n).is_integer() else float(n) for n in counts)]
        for place, counts in zip(squares.places.tolist(), squares.counts.tolist(), strict=True)
    ]


def squares_from_lists(rows: Iterable[Sequence[int | float]]) -> SquareCounts:
    """Read what `squares_to_lists` wrote; rows may come in any order.

    Raises
    ------
    InputError
        If a row is not six numbers, its place no whole numbers, a count negative or endless, or a place comes twice.
    """
    try:
        listed = [tuple(row) for row in rows]
        table = np.array(listed or np.zeros((0, N_PLACE + N_BINS)), dtype=np.float64)
    except (TypeError, ValueError):
        table = np.zeros(0)
    if table.shape[1:] != (N_PLACE + N_BINS,):
        raise InputError("squares must be rows of column, row, n0, n1, n2, n3")
    if not np.isfinite(table).all() or (table[:, N_PLACE:] < 0).any() or (table[:, :N_PLACE] % 1 != 0).any():
        raise InputError("squares hold a number that is no place or no count")
    places = table[:, :N_PLACE].astype(np.int64)
    if len(np.unique(places, axis=0)) != len(places):
        raise InputError("squares hold a place twice")
    return _sum_places(places[:, 0], places[:, 1], table[:, N_PLACE:])
