"""One slide's cells for the review: found by place, and judged under an assay and corrections."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.audit.region_cells import cells_inside
from slidescore.cells.table import floats
from slidescore.errors import RunFolderError
from slidescore.qc.cell_drawing import Outlines, cells_near, prepare_buckets
from slidescore.review.cell_columns import MEASURED, WORDS, Part, read_measured, read_outlines
from slidescore.review.preview import Thresholds3, preview_assay
from slidescore.review.seen_cells import SeenCells, see_cells
from slidescore.scoring import Corrections, Scores, score_cells
from slidescore.scoring.tumor_model import judged_cells

NEAR_UM: Final = 6.0
"""A click this near to a cell's centre means that cell, where it hits no outline: half a cell's width."""
SEEN_KEPT: Final = 3
"""Judgements kept: under the assay, with a reviewer's last edit, and as a preview."""
_LEAST_POINTS: Final = 3


class SlideCells:
    """One slide's cells; any number of threads may ask. Arrays are in order of cell_id, a cell's row number.

    Parameters
    ----------
    path
        The slide's cells.parquet, which outlines are read from when they are asked for.
    table
        See below.
    mpp
        um per level-0 px.
    assay
        The run's.

    Attributes
    ----------
    table
        Measurements of CELL_SCHEMA without the outlines, NaN for what was not measured, tumor_probability as the
        assay's rule sees it (a tumor model's where it has one): what score_cells takes.
    x_l0, y_l0
        float32, (N,), centroids in level-0 px.
    buckets
        Which cells lie where.
    """

    def __init__(self, path: Path, table: pa.Table, mpp: float, assay: Assay) -> None:
        self.table, self.mpp, self.assay = table, mpp, assay
        self.x_l0, self.y_l0 = floats(table, "x"), floats(table, "y")
        self._path = path
        self.buckets = prepare_buckets(self.x_l0, self.y_l0)
        self._outlines: dict[Part, Outlines] = {}
        self._reading = threading.Lock()
        self._seen: OrderedDict[tuple[int, Thresholds3 | None], tuple[Corrections | None, SeenCells]] = OrderedDict()
        self._judging = threading.Lock()

    @property
    def n(self) -> int:
        """How many cells there are."""
        return len(self.x_l0)

    @property
    def nbytes(self) -> int:
        """Memory that is held, outlines included where they are."""
        held = self.table.nbytes + self.buckets.members.nbytes + self.buckets.starts.nbytes
        for outlines in list(self._outlines.values()):
            # A view into an array says how much of it is seen, not how much is held.
            points = outlines.points if outlines.points.base is None else outlines.points.base
            held += outlines.starts.nbytes + outlines.box.nbytes + points.nbytes
        return int(held + sum(seen.nbytes for _, seen in list(self._seen.values())))

    def seen(self, corrections: Corrections | None = None, thresholds: Thresholds3 | None = None) -> SeenCells:
        """Judge all cells; the last few answers are kept, by the identity of `corrections`.

        Parameters
        ----------
        corrections
            What reviewers changed; keep the object while it holds, a new one is judged anew.
        thresholds
            Thresholds of the scored compartment in place of the assay's.

        Raises
        ------
        InputError
            Thresholds do not rise.
        """
        key = id(corrections), thresholds
        with self._judging:
            kept = self._seen.get(key)
            if kept is None:
                # With the corrections, so that no others can come to have their id.
                kept = self._seen[key] = (
                    corrections,
                    see_cells(self.table, preview_assay(self.assay, thresholds), corrections),
                )
                while len(self._seen) > SEEN_KEPT:
                    self._seen.popitem(last=False)
            self._seen.move_to_end(key)
        return kept[1]

    def scores(self, thresholds: Thresholds3 | None = None) -> Scores:
        """Score all cells as the machine left them by `score_cells` itself: what make_call wants.

        Raises
        ------
        InputError
            Thresholds do not rise.
        """
        return score_cells(self.table, preview_assay(self.assay, thresholds))

    def ids_in(self, ring: NDArray[np.float64]) -> NDArray[np.int64]:
        """Find the cells whose centroid lies inside a drawn outline, as a region of a review does; int64, rising.

        Parameters
        ----------
        ring
            float64, (K, 2), corners x, y in level-0 px; closed by itself.
        """
        near = cells_near(self.buckets, *ring.min(axis=0), *ring.max(axis=0), reach_l0=0.0)
        inside = cells_inside(ring, self.x_l0[near].astype(np.float64), self.y_l0[near].astype(np.float64))
        return np.sort(near[inside]).astype(np.int64)

    def ids_in_box(self, x0_l0: float, y0_l0: float, x1_l0: float, y1_l0: float) -> NDArray[np.int64]:
        """Find the cells whose centroid lies in a half-open rectangle; int64, rising."""
        near = cells_near(self.buckets, x0_l0, y0_l0, x1_l0, y1_l0, reach_l0=0.0)
        x, y = self.x_l0[near], self.y_l0[near]
        return np.sort(near[(x >= x0_l0) & (x < x1_l0) & (y >= y0_l0) & (y < y1_l0)]).astype(np.int64)

    def cell_at(self, x_l0: float, y_l0: float) -> int | None:
        """Find the cell whose outline holds a point, else the nearest whose centroid is within 6 um; None if none.

        Where outlines overlap, it is the one whose centroid is nearest.

        Raises
        ------
        RunFolderError
            Outlines are not in memory, and cells.parquet is gone or damaged.
        """
        outlines = self.outlines("cell")
        reach_l0 = max(float(outlines.reach_l0), NEAR_UM / self.mpp)
        near = cells_near(self.buckets, x_l0, y_l0, x_l0, y_l0, reach_l0=reach_l0)
        dx, dy = x_l0 - self.x_l0[near].astype(np.float64), y_l0 - self.y_l0[near].astype(np.float64)
        nearest = np.argsort(np.hypot(dx, dy), kind="stable")
        near, dx, dy = near[nearest], dx[nearest], dy[nearest]
        box = outlines.box[near]
        within = (dx >= box[:, 0]) & (dx <= box[:, 2]) & (dy >= box[:, 1]) & (dy <= box[:, 3])
        for cell in near[within].tolist():
            ring = self.outline(cell, "cell")
            if len(ring) >= _LEAST_POINTS and shapely.intersects_xy(shapely.Polygon(ring), x_l0, y_l0):
                return int(cell)
        is_near = near.size > 0 and np.hypot(dx[0], dy[0]) * self.mpp <= NEAR_UM
        return int(near[0]) if is_near else None

    def measures(self, cell_id: int) -> dict[str, float | str | None]:
        """Give a cell's row of `table` by column name; None for what was not measured.

        Raises
        ------
        IndexError
            There is no such cell.
        """
        row: dict[str, float | str | None] = {}
        for name in MEASURED:
            value = self.table.column(name)[cell_id].as_py()
            row[name] = None if np.isnan(value) else value
        return row | {name: self.table.column(name)[cell_id].as_py() for name in WORDS}

    def outline(self, cell_id: int, part: Part) -> NDArray[np.float64]:
        """Give an outline in level-0 px; float64, (K, 2), open, empty where there is none.

        Raises
        ------
        RunFolderError
            Outlines are not in memory, and cells.parquet is gone or damaged.
        """
        outlines = self.outlines(part)
        points = outlines.points[outlines.starts[cell_id] : outlines.starts[cell_id + 1]].astype(np.float64)
        points += np.array([self.x_l0[cell_id], self.y_l0[cell_id]])
        return points

    def outlines(self, part: Part) -> Outlines:
        """Give all outlines; the first who asks for them waits until they are read.

        Raises
        ------
        RunFolderError
            cells.parquet is gone or damaged.
        """
        with self._reading:
            found = self._outlines.get(part)
            if found is None:
                found = read_outlines(self._path, part)
                if len(found.starts) != self.n + 1:
                    raise RunFolderError("is not the table that was there before", where=self._path.name)
                self._outlines[part] = found
        return found

    def let_outlines_go(self) -> None:
        """Free the outlines; they are read again when asked for."""
        self._outlines.clear()


def load_cells(folder: Path, record: Mapping[str, Any], assay: Assay) -> SlideCells:
    """Read a slide's cells from its folder in a run, without the outlines.

    Raises
    ------
    RunFolderError
        cells.parquet is missing or damaged.
    """
    path, mpp = folder / "cells.parquet", float(record["slide"]["mpp"])
    return SlideCells(path, judged_cells(read_measured(path), assay, mpp), mpp, assay)
