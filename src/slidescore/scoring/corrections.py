"""What reviewers changed about cells, and the cell table that follows from it. The measurements stay as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.cells.table import floats, replace_column
from slidescore.scoring.scores import CONTROL

AS_MEASURED = -1
"""Stands in `Corrections` where no reviewer changed a cell."""
REVIEWED_OUT = "annotation: review"
"""Why a cell does not count that a reviewer took out."""


@dataclass(frozen=True, slots=True, eq=False)
class Corrections:
    """What reviewers changed, one entry a cell in the order of the cell table; -1 is as the machine says.

    Attributes
    ----------
    bins
        int8, (N,): bin 0 to 3 in the assay's compartment.
    tumor
        int8, (N,): 1 a tumor cell, 0 another one.
    counted
        int8, (N,): 1 counts, 0 does not.
    """

    bins: NDArray[np.int8]
    tumor: NDArray[np.int8]
    counted: NDArray[np.int8]

    @property
    def corrected(self) -> NDArray[np.bool_]:
        """Cells of which a reviewer said anything, also where it is what the machine says; bool, (N,)."""
        said: NDArray[np.bool_] = (self.bins >= 0) | (self.tumor >= 0) | (self.counted >= 0)
        return said

    @property
    def n_corrected(self) -> int:
        """How many cells a reviewer said anything of."""
        return int(np.count_nonzero(self.corrected))


def no_corrections(n: int) -> Corrections:
    """Return the corrections of `n` cells that nobody changed."""
    bins, tumor, counted = (np.full(n, AS_MEASURED, dtype=np.int8) for _ in range(3))
    return Corrections(bins, tumor, counted)


def corrected_cells(cells: pa.Table, corrections: Corrections) -> pa.Table:
    """Return the cell table as reviewers see it; its bins are the business of `score_cells`.

    Parameters
    ----------
    cells
        Rows of `slidescore.cells.table.CELL_SCHEMA` as the assay's rule sees them, see `judged_cells`; columns that no
        score needs may be missing.
    corrections
        One entry a row.

    Notes
    -----
    A tumor state is written as tumor_probability 1 or 0, which under every rule is what a person settled. Control
    tissue never counts: a cell of it stays what it is.
    """
    table = cells
    if (corrections.tumor >= 0).any():
        settled = np.where(corrections.tumor >= 0, corrections.tumor, floats(cells, "tumor_probability"))
        table = replace_column(table, "tumor_probability", pa.array(settled.astype(np.float32), from_pandas=True))
    if (corrections.counted >= 0).any():
        reasons = cells.column("excluded")
        # Also where its square is excluded: "annotation: control; qc: ink".
        free = pc.invert(pc.fill_null(pc.starts_with(reasons, CONTROL), False))
        taken_out = pc.and_(free, pa.array(corrections.counted == 0))
        put_back = pc.and_(free, pa.array(corrections.counted == 1))
        reasons = pc.if_else(taken_out, pa.scalar(REVIEWED_OUT, reasons.type), reasons)
        reasons = pc.if_else(put_back, pa.scalar(None, reasons.type), reasons)
        table = replace_column(table, "excluded", reasons)
    return table
