"""Cells as reviewers see them: judged under an assay and their corrections, and counted, all by the scoring code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.qc.cell_drawing import EXCLUDED_KIND, OTHER_KIND
from slidescore.scoring import (
    BinCounts,
    Corrections,
    cell_bins,
    correct_bins,
    corrected_cells,
    count_bins,
    counted_cells,
    tumor_cells,
)


@dataclass(frozen=True, slots=True, eq=False)
class SeenCells:
    """All cells under one assay and one set of corrections, in order of cell_id.

    Attributes
    ----------
    bins
        int8, (N,): bin 0 to 3 in the assay's compartment.
    tumor, counted
        bool, (N,): whether a cell is a tumor cell, and whether it counts.
    fallback
        bool, (N,): whether the compartment was too small, so that the whole cell was binned.
    kind
        uint8, (N,): 0 to 3 for the bin of a counted tumor cell, qc.cell_drawing.OTHER_KIND or EXCLUDED_KIND.
    corrected
        bool, (N,): whether a reviewer set its bin or whether it is a tumor cell.
    """

    bins: NDArray[np.int8]
    tumor: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    fallback: NDArray[np.bool_]
    kind: NDArray[np.uint8]
    corrected: NDArray[np.bool_]

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        parts = (self.bins, self.tumor, self.counted, self.fallback, self.kind, self.corrected)
        return sum(part.nbytes for part in parts)


@dataclass(frozen=True, slots=True)
class CellCounts:
    """Cells of an area: `n_cells` that count, tumor cells among them and their bins, and those that do not count."""

    n_cells: int
    n_tumor_cells: int
    n_excluded: int
    bins: BinCounts


def see_cells(table: pa.Table, assay: Assay, corrections: Corrections | None = None) -> SeenCells:
    """Judge cells under an assay and what reviewers changed.

    Parameters
    ----------
    table
        Cells as the assay's tumor rule sees them.
    assay
        Thresholds, compartment and tumor rule.
    corrections
        One entry a row.
    """
    cells = table if corrections is None else corrected_cells(table, corrections)
    bins, fallback = cell_bins(cells, assay, assay.score.compartment)
    corrected = np.zeros(table.num_rows, np.bool_)
    if corrections is not None:
        bins, fallback = correct_bins(bins, fallback, corrections.bins)
        corrected = (corrections.bins >= 0) | (corrections.tumor >= 0)
    tumor, counted = tumor_cells(cells, assay), counted_cells(cells)
    kind = np.where(tumor, bins, OTHER_KIND).astype(np.uint8)
    kind[~counted] = EXCLUDED_KIND
    return SeenCells(bins, tumor, counted, fallback, kind, corrected)


def count_cells(seen: SeenCells, ids: NDArray[np.int64] | None = None) -> CellCounts:
    """Count all cells, or some; the same numbers as `score_cells`, sooner."""
    which: Any = slice(None) if ids is None else ids
    counted = seen.counted[which]
    bins = count_bins(seen.bins[which][seen.tumor[which] & counted])
    n_cells = int(np.count_nonzero(counted))
    return CellCounts(n_cells, bins.total, len(counted) - n_cells, bins)
