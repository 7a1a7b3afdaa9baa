"""Which cell a label means: the one that a person pointed at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slidescore.cells.table import floats, unpack_outlines
from slidescore.errors import InputError
from slidescore.training.labels import Label

REACH_UM = 5.0
"""A label outside every cell means the nearest one whose centroid is at most this far: cells are matched at 5 um."""
MAX_CELL_RADIUS_UM = 25.0
"""No outline is farther from its centroid: a nucleus of 20 um radius, grown by 5 um."""
CANDIDATES = 16
"""Cells nearest to a label whose outlines are asked."""


@dataclass(frozen=True, slots=True)
class MatchedLabels:
    """The cells of one slide that labels mean.

    Attributes
    ----------
    rows
        Rows of the cell table, int64, (N,), ascending, each once.
    is_tumor
        bool, (N,).
    labels
        The label of each row.
    lost
        Labels without a cell.
    """

    rows: NDArray[np.int64]
    is_tumor: NDArray[np.bool_]
    labels: tuple[Label, ...]
    lost: tuple[Label, ...]


def match_labels(labels: Iterable[Label], cells: pa.Table, mpp: float) -> MatchedLabels:
    """Find the cell that each label means.

    A label means the cell whose nucleus holds it, else the one whose outline does, else the nearest centroid within
    `REACH_UM`. Of several such cells it is the one with the nearest centroid.

    Raises
    ------
    InputError
        If a cell is labelled both tumor and not.
    """
    labels = list(labels)
    centers = np.stack([floats(cells, "x"), floats(cells, "y")], axis=1).astype(np.float64)
    tree = cKDTree(centers) if len(centers) else None
    chosen: dict[int, Label] = {}
    lost = []
    for label in labels:
        row = _cell_at(label, tree, cells, centers, mpp)
        if row is None:
            lost.append(label)
        elif row in chosen and chosen[row].is_tumor != label.is_tumor:
            raise InputError(
                f"is on the same cell as the label '{chosen[row].class_name}' ({chosen[row].place})",
                where=f"{label.place}: label '{label.class_name}'",
                remedy="a cell has one class: remove one of the two",
            )
        else:
            chosen.setdefault(row, label)
    rows = sorted(chosen)
    found = tuple(chosen[row] for row in rows)
    is_tumor = np.array([label.is_tumor for label in found], dtype=np.bool_)
    return MatchedLabels(np.array(rows, dtype=np.int64), is_tumor, found, tuple(lost))


def _cell_at(
    label: Label, tree: cKDTree | None, cells: pa.Table, centers: NDArray[np.float64], mpp: float
) -> int | None:
    if tree is None:
        return None
    reach_px = max(MAX_CELL_RADIUS_UM, REACH_UM) / mpp
    distances, rows = tree.query((label.x_l0, label.y_l0), k=CANDIDATES, distance_upper_bound=reach_px)
    near = [int(row) for row, distance in zip(rows, distances, strict=True) if np.isfinite(distance)]
    if not near:
        return None
    few = cells.take(pa.array(near))
    for outlines in ("nucleus_outline", "cell_outline"):
        starts, points = unpack_outlines(few.column(outlines))
        for k, row in enumerate(near):
            ring = points[starts[k] : starts[k + 1]] + centers[row]
            if _inside(ring, label.x_l0, label.y_l0):
                return row
    return near[0] if distances[0] * mpp <= REACH_UM else None


def _inside(ring: NDArray[np.float64], x: float, y: float) -> bool:
    """Whether a point lies in a ring of points, (K, 2), by the even-odd rule."""
    x0, y0 = ring.T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    crosses = (y0 <= y) != (y1 <= y)
    with np.errstate(divide="ignore", invalid="ignore"):
        right = x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
    return bool(np.count_nonzero(crosses & right) % 2)
