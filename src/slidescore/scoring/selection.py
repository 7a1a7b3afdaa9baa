"""Which cells are tumor cells, of which type the others are, and which cells count.

A tumor_probability of exactly 0 or 1 was settled by an annotation of class Other or Tumor; what a network or a tumor
model says lies strictly between the two. So annotations hold under every rule.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.cells.table import floats
from slidescore.cells.types import LYMPHOCYTE, OTHER, STROMAL, TUMOR


def tumor_cells(cells: pa.Table, assay: Assay) -> NDArray[np.bool_]:
    """Return which cells are tumor cells under the assay's rule; bool, (N,).

    With rule `all` every cell is, unless an annotation of class Other gave it probability 0. With rule `probability` a
    cell is tumor when tumor_probability >= tumor.min_probability; a cell that nothing decided is not.
    """
    probability = floats(cells, "tumor_probability")
    if assay.tumor.rule == "all":
        return np.isnan(probability) | (probability > 0)
    return probability >= np.float32(assay.tumor.min_probability)


def strict_tumor_cells(cells: pa.Table, assay: Assay) -> NDArray[np.bool_]:
    """Return which cells are tumor cells beyond doubt, tumor_probability >= tumor.strict_probability; bool, (N,)."""
    strict: NDArray[np.bool_] = floats(cells, "tumor_probability") >= np.float32(assay.tumor.strict_probability)
    return strict


def cell_types(cells: pa.Table, assay: Assay) -> NDArray[np.int8]:
    """Return the type of each cell as an index into `slidescore.cells.types.CELL_TYPES`; int8, (N,).

    Tumor is what the assay's rule says. Of the rest each cell takes the likeliest of lymphocyte, stromal and other,
    other having the probability that the three stored ones leave; a cell without probabilities is other.
    """
    columns = ("tumor_probability", "lymphocyte_probability", "stromal_probability")
    tumor, lymphocyte, stromal = (np.nan_to_num(floats(cells, name), nan=0.0) for name in columns)
    rest = np.stack([lymphocyte, stromal, 1.0 - tumor - lymphocyte - stromal], axis=1)
    likeliest = np.array([LYMPHOCYTE, STROMAL, OTHER], dtype=np.int8)[np.argmax(rest, axis=1)]
    return np.where(tumor_cells(cells, assay), np.int8(TUMOR), likeliest).astype(np.int8)


def counted_cells(cells: pa.Table) -> NDArray[np.bool_]:
    """Return which cells are not excluded; bool, (N,)."""
    counted: NDArray[np.bool_] = pc.is_null(cells.column("excluded")).to_numpy(zero_copy_only=False)
    return counted
