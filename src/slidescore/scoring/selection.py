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
    cell is tumor when tumor_probability >= tumor.min_probability, and not where such an annotation gave it 0; a cell
    that nothing decided is not.
    """
    probability = floats(cells, "tumor_probability")
    if assay.tumor.rule == "all":
        return np.isnan(probability) | (probability > 0)
    return _at_least(probability, assay.tumor.min_probability)


def strict_tumor_cells(cells: pa.Table, assay: Assay) -> NDArray[np.bool_]:
    """Return which cells are tumor cells beyond doubt, tumor_probability >= tumor.strict_probability; bool, (N,)."""
    return _at_least(floats(cells, "tumor_probability"), assay.tumor.strict_probability)


def likely_tumor_cells(cells: pa.Table, least: float) -> NDArray[np.bool_]:
    """Return which cells are tumor cells under rule `probability` with another limit than the assay's; bool, (N,)."""
    return _at_least(floats(cells, "tumor_probability"), least)


def _at_least(probability: NDArray[np.float32], least: float) -> NDArray[np.bool_]:
    """Compare in the precision of the table; what an annotation settled as Other, exactly 0, is never enough."""
    enough: NDArray[np.bool_] = (probability > 0) & (probability >= np.float32(least))
    return enough


def cell_types(cells: pa.Table, assay: Assay) -> NDArray[np.int8]:
    """Return the type of each cell as an index into `slidescore.cells.types.CELL_TYPES`; int8, (N,).

    With rule `probability` tumor is what the rule says, and of the rest each cell takes the likeliest of lymphocyte,
    stromal and other. Rule `all` says that every cell counts, not what it is: there each cell takes the likeliest of
    all four. Other has the probability that the three stored ones leave; a cell without probabilities is other.
    """
    columns = ("tumor_probability", "lymphocyte_probability", "stromal_probability")
    tumor, lymphocyte, stromal = (np.nan_to_num(floats(cells, name), nan=0.0) for name in columns)
    rest = np.stack([lymphocyte, stromal, 1.0 - tumor - lymphocyte - stromal], axis=1)
    likeliest = np.array([LYMPHOCYTE, STROMAL, OTHER], dtype=np.int8)[np.argmax(rest, axis=1)]
    is_tumor = tumor >= rest.max(axis=1) if assay.tumor.rule == "all" else tumor_cells(cells, assay)
    return np.where(is_tumor, np.int8(TUMOR), likeliest).astype(np.int8)


def counted_cells(cells: pa.Table) -> NDArray[np.bool_]:
    """Return which cells are not excluded; bool, (N,)."""
    counted: NDArray[np.bool_] = pc.is_null(cells.column("excluded")).to_numpy(zero_copy_only=False)
    return counted
