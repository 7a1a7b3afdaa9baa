"""Scores of a set of cells: a slide, a region, a TMA core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.assay import Assay, Compartment
from slidescore.cells.table import replace_column
from slidescore.scoring.bins import BinCounts, cell_bins, correct_bins, count_bins
from slidescore.scoring.selection import counted_cells, strict_tumor_cells, tumor_cells

CONTROL = "annotation: control"
"""Why a cell of control tissue does not count, where nothing else takes it out."""
COMPARTMENTS: tuple[Compartment, ...] = ("nucleus", "cytoplasm", "membrane", "cell")


@dataclass(frozen=True, slots=True)
class Scores:
    """What the measurements of a set of cells amount to under one assay.

    Attributes
    ----------
    n_cells, n_tumor_cells
        Cells that are not excluded, and the tumor cells among them.
    counts
        Bins of the tumor cells in the assay's compartment.
    n_fallback
        Tumor cells whose compartment was too small, binned by the whole cell.
    h_by_compartment
        H-score of the tumor cells in each compartment.
    h_all_cells
        H-score over all cells that are not excluded, tumor or not.
    h_strict
        H-score over the cells whose tumor_probability reaches tumor.strict_probability; None where no cell's does,
        above all where nothing tells tumor cells from others.
    h_without_exclusions
        H-score of the tumor cells with the excluded ones counted in; cells that an annotation took out stay out.
    """

    n_cells: int
    n_tumor_cells: int
    counts: BinCounts
    n_fallback: int
    h_by_compartment: dict[Compartment, float | None]
    h_all_cells: float | None
    h_strict: float | None
    h_without_exclusions: float | None

    def value(self, scale: str) -> float | None:
        """Return the score on `scale`, which is `h_score` or `percent_positive`."""
        return self.counts.percent_positive if scale == "percent_positive" else self.counts.h_score


def score_cells(
    cells: pa.Table,
    assay: Assay,
    *,
    only: NDArray[np.bool_] | None = None,
    corrected_bins: NDArray[np.int8] | None = None,
) -> Scores:
    """Score a cell table.

    Parameters
    ----------
    cells
        Rows of `slidescore.cells.table.CELL_SCHEMA`.
    assay
        Thresholds, tumor rule and compartment.
    only
        bool, (N,), to score a subset such as one region.
    corrected_bins
        int8, (N,), bins in the assay's compartment that reviewers gave, -1 where the measurement holds. A cell so
        binned is no fallback, and its bins in the other compartments stay.
    """
    if only is not None:
        cells = cells.filter(pa.array(only))
        corrected_bins = None if corrected_bins is None else corrected_bins[only]
    tumor, counted = tumor_cells(cells, assay), counted_cells(cells)
    scored = tumor & counted
    bins = {name: cell_bins(cells, assay, name) for name in COMPARTMENTS}
    if corrected_bins is not None:
        bins[assay.score.compartment] = correct_bins(*bins[assay.score.compartment], corrected_bins)
    own_bins, fallback = bins[assay.score.compartment]
    return Scores(
        n_cells=int(counted.sum()),
        n_tumor_cells=int(scored.sum()),
        counts=count_bins(own_bins[scored]),
        n_fallback=int((fallback & scored).sum()),
        h_by_compartment={name: count_bins(each[scored]).h_score for name, (each, _) in bins.items()},
        h_all_cells=count_bins(own_bins[counted]).h_score,
        h_strict=count_bins(own_bins[strict_tumor_cells(cells, assay) & counted]).h_score,
        h_without_exclusions=count_bins(own_bins[tumor & ~_annotated_out(cells)]).h_score,
    )


def _annotated_out(cells: pa.Table) -> NDArray[np.bool_]:
    annotated = pc.fill_null(pc.starts_with(cells.column("excluded"), "annotation"), False)
    out: NDArray[np.bool_] = annotated.to_numpy(zero_copy_only=False)
    return out


def control_cells(cells: pa.Table, name: str) -> NDArray[np.bool_]:
    """Return which cells belong to a control area and are not taken out for another reason; bool, (N,)."""
    found = pc.and_(pc.equal(cells.column("excluded"), CONTROL), pc.equal(cells.column("region"), name))
    own: NDArray[np.bool_] = pc.fill_null(found, False).to_numpy(zero_copy_only=False)
    return own


def score_control(cells: pa.Table, assay: Assay, name: str) -> Scores:
    """Score on-slide control tissue: every cell of it counts, whatever the tumor rule says of such cells elsewhere.

    Parameters
    ----------
    cells
        Rows of `slidescore.cells.table.CELL_SCHEMA`.
    assay
        Thresholds and compartment.
    name
        Of the control area.
    """
    own = cells.filter(pa.array(control_cells(cells, name)))
    own = replace_column(own, "excluded", pa.nulls(own.num_rows, pa.string()))
    own = replace_column(own, "tumor_probability", pa.array(np.ones(own.num_rows, np.float32)))
    return score_cells(own, assay)
