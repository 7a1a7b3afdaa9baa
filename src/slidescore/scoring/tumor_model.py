"""A study's tumor model on a cell table: which probability the tumor rule sees. No pixels, no training library."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit

from slidescore.assay import Assay, TumorModel
from slidescore.cells.table import floats, replace_column
from slidescore.errors import AssayError
from slidescore.scoring.cell_features import FEATURES, LEAST_PROBABILITY, cell_features, settled_cells


def model_probability(cells: pa.Table, model: TumorModel, mpp: float) -> NDArray[np.float32]:
    """Return the probability of every cell to be a tumor cell; float32, (N,).

    Parameters
    ----------
    cells
        All cells of a slide: neighbours are features, so a part of them gives other numbers.
    model
        What `slidescore train tumor` made.
    mpp
        um per level-0 pixel.

    Raises
    ------
    AssayError
        If the model needs a feature that this version does not know.
    """
    unknown = [name for name in model.features if name not in FEATURES]
    if unknown:
        raise AssayError(
            f"this version has no feature '{unknown[0]}'", where="tumor.model", remedy="train the model again"
        )
    values = cell_features(cells, mpp, model.features)
    decision = np.full(cells.num_rows, model.intercept)
    # Feature by feature: a matrix product may add up in another order where there are more rows.
    for column, (mean, scale, coefficient) in enumerate(
        zip(model.means, model.scales, model.coefficients, strict=True)
    ):
        standard = (values[:, column] - mean) / scale
        decision += coefficient * np.where(np.isnan(standard), 0.0, standard)
    probability: NDArray[np.float64] = expit(model.calibration.slope * decision + model.calibration.intercept)
    # Exactly 0 and 1 are kept for what an annotation settled.
    return np.clip(probability, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY).astype(np.float32)


def judged_cells(cells: pa.Table, assay: Assay, mpp: float) -> pa.Table:
    """Return the cells with the tumor_probability that the assay's rule looks at.

    Without a tumor model it is the one in the table. With one it is the model's, but for the cells whose type an
    annotation settled. The table as measured stays what is stored, so that another model can still be tried on it.
    """
    if assay.tumor.model is None or cells.num_rows == 0:
        return cells
    stored = floats(cells, "tumor_probability")
    probability = np.where(settled_cells(cells), stored, model_probability(cells, assay.tumor.model, mpp))
    return replace_column(cells, "tumor_probability", pa.array(probability, pa.float32()))


def refuse_other_cells(assay: Assay, segmenter_digest: str) -> None:
    """Refuse a tumor model for cells that another segmenter found than the one it was trained on.

    Raises
    ------
    AssayError
        If they differ.
    """
    model = assay.tumor.model
    if model is not None and model.segmenter_digest != segmenter_digest:
        raise AssayError(
            f"was trained on cells of segmenter {model.segmenter_digest}, and these are of {segmenter_digest}",
            where="tumor.model",
            remedy="score the labelled slides with this segmenter and train again",
        )
