"""How much an H-score hangs on the tumor rule: other limits, and lymphocytes among the cells that count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.cells.table import floats
from slidescore.cells.types import LYMPHOCYTE
from slidescore.scoring.bins import cell_bins, correct_bins, count_bins
from slidescore.scoring.selection import cell_types, counted_cells, likely_tumor_cells, tumor_cells


@dataclass(frozen=True, slots=True)
class AtLimit:
    """H-score (None without cells) and number of the counted cells with tumor_probability >= `probability`."""

    probability: float
    n: int
    h: float | None


@dataclass(frozen=True, slots=True)
class WithLymphocytes:
    """H-score if lymphocytes made up `fraction` of the cells that count; None where either has no H-score."""

    fraction: float
    h: float | None


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """H-scores, in the assay's compartment, of other choices of cells.

    Attributes
    ----------
    limits
        Under rule `probability`, at each of the assay's `tumor.sensitivity.probabilities`.
    n_lymphocytes, h_lymphocytes
        Of the counted cells that are taken for lymphocytes; None where nothing tells them, or there are none.
    contaminated
        At each of the assay's `tumor.sensitivity.lymphocyte_fractions`.
    """

    limits: tuple[AtLimit, ...]
    n_lymphocytes: int | None
    h_lymphocytes: float | None
    contaminated: tuple[WithLymphocytes, ...]


def tumor_sensitivity(
    cells: pa.Table, assay: Assay, corrected_bins: NDArray[np.int8] | None = None
) -> Sensitivity | None:
    """Score other choices of cells; None where nothing tells tumor cells from others.

    Parameters
    ----------
    cells
        Rows of `slidescore.cells.table.CELL_SCHEMA`, with the tumor_probability that the rule looks at.
    assay
        Thresholds, tumor rule, compartment, and which other choices.
    corrected_bins
        int8, (N,), bins that reviewers gave, -1 where the measurement holds.

    Notes
    -----
    Counted cells of which a share f are lymphocytes have H = (1 - f) H_others + f H_lymphocytes, for H is a mean over
    cells; the others are the cells that the rule counts, without those that are taken for lymphocytes.
    """
    probability = floats(cells, "tumor_probability")
    # Exactly 0 or 1 is an annotation's word, about some cells only.
    if not ((probability > 0) & (probability < 1)).any():
        return None
    bins, fallback = cell_bins(cells, assay, assay.score.compartment)
    if corrected_bins is not None:
        bins, _ = correct_bins(bins, fallback, corrected_bins)
    counted = counted_cells(cells)

    def h_of(chosen: NDArray[np.bool_]) -> float | None:
        return count_bins(bins[chosen & counted]).h_score

    limits = []
    for limit in assay.tumor.sensitivity.probabilities:
        chosen = likely_tumor_cells(cells, limit)
        limits.append(AtLimit(limit, int((chosen & counted).sum()), h_of(chosen)))
    told = not bool(np.isnan(floats(cells, "lymphocyte_probability")).all())
    lymphocytes = cell_types(cells, assay) == LYMPHOCYTE
    # Under rule `all` lymphocytes count as well; the mixture begins without them.
    h_others, h_lymphocytes = h_of(tumor_cells(cells, assay) & ~lymphocytes), h_of(lymphocytes)
    return Sensitivity(
        limits=tuple(limits),
        n_lymphocytes=int((lymphocytes & counted).sum()) if told else None,
        h_lymphocytes=h_lymphocytes,
        contaminated=tuple(
            WithLymphocytes(fraction, _mixed(h_others, h_lymphocytes, fraction))
            for fraction in assay.tumor.sensitivity.lymphocyte_fractions
        ),
    )


def _mixed(h_others: float | None, h_lymphocytes: float | None, fraction: float) -> float | None:
    if h_others is None or h_lymphocytes is None:
        return None
    return (1.0 - fraction) * h_others + fraction * h_lymphocytes
