"""Which cells are tumor cells, and which cells count."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.cells.table import floats


def tumor_cells(cells: pa.Table, assay: Assay) -> NDArray[np.bool_]:
    """Return which cells are tumor cells under the assay's rule; bool, (N,).

    With rule `all` every cell is, unless an annotation of class Other gave it probability 0. With rule `probability` a
    cell is tumor when tumor_probability >= tumor.min_probability; a cell that nothing decided is not.
    """
    probability = floats(cells, "tumor_probability")
    if assay.tumor.rule == "all":
        return np.isnan(probability) | (probability >= np.float32(assay.tumor.min_probability))
    return probability >= np.float32(assay.tumor.min_probability)


def counted_cells(cells: pa.Table) -> NDArray[np.bool_]:
    """Return which cells are not excluded; bool, (N,)."""
    counted: NDArray[np.bool_] = pc.is_null(cells.column("excluded")).to_numpy(zero_copy_only=False)
    return counted
