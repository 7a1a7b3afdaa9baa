"""Scores of a set of cells: a slide, a region, a TMA core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.assay import Assay, Compartment, Scale, Score
from slidescore.cells.table import replace_column
from slidescore.scoring.bins import BinCounts, cell_bins, correct_bins, count_bins
from slidescore.scoring.schemes import score_counts
from slidescore.scoring.selection import counted_cells, strict_tumor_cells, tumor_cells

CONTROL = "annotation: control"
"""Why a cell of control tissue does not count, where nothing else takes it out."""
COMPARTMENTS: tuple[Compartment, ...] = ("nucleus", "cytoplasm", "membrane", "cell")


@dataclass(frozen=True, slots=True)
class Scores:
    """What the measurements of a set of cells amount to under one assay.

    Attributes
    ----------
    settings
        The assay's score block: the scheme and compartment of the call, and what schemes declare.
    n_cells, n_tumor_cells
        Cells that are not excluded, and the tumor cells among them.
    n_fallback
        Tumor cells whose compartment was too small, binned by the whole cell.
    counts_by_compartment
        Bins of the tumor cells in each compartment.
    h_all_cells
        H-score over all cells that are not excluded, tumor or not.
    h_strict
        H-score over the cells whose tumor_probability reaches tumor.strict_probability; None where no cell's does,
        above all where nothing tells tumor cells from others.
    h_without_exclusions
        H-score of the tumor cells with the excluded ones counted in; cells that an annotation took out stay out.
    pixel
        Pixels of all tissue with hematoxylin only, at 1+, 2+ and 3+, float64 (4,), by the thresholds of each
        compartment; None where pixels are not counted, as of a region.
    """

    settings: Score
    n_cells: int
    n_tumor_cells: int
    n_fallback: int
    counts_by_compartment: dict[Compartment, BinCounts]
    h_all_cells: float | None
    h_strict: float | None
    h_without_exclusions: float | None
    pixel: Mapping[Compartment, NDArray[np.float64]] | None = field(default=None, compare=False)

    @property
    def counts(self) -> BinCounts:
        """Bins of the tumor cells in the assay's compartment."""
        return self.counts_by_compartment[self.settings.compartment]

    @property
    def h_by_compartment(self) -> dict[Compartment, float | None]:
        """H-score of the tumor cells in each compartment; None without cells."""
        return {name: counts.h_score for name, counts in self.counts_by_compartment.items()}

    def value(self, scale: Scale, compartment: Compartment | None = None) -> float | None:
        """Return the score on `scale`; None where nothing was counted.

        Parameters
        ----------
        scale
            Name of a scheme.
        compartment
            Whose bins, or for `pixel_h_score` whose thresholds; None for the assay's.
        """
        name = compartment or self.settings.compartment
        if scale == "pixel_h_score":
            counts = None if self.pixel is None else self.pixel[name]
        else:
            counts = self.counts_by_compartment[name].array
        value = float("nan") if counts is None else float(score_counts(scale, counts, self.settings))
        return None if np.isnan(value) else value


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
    binned = bin_cells(cells, assay, only=only, corrected_bins=corrected_bins)
    cells, own_bins = binned.cells, binned.bins[assay.score.compartment]
    return Scores(
        settings=assay.score,
        n_cells=int(binned.counted.sum()),
        n_tumor_cells=int(binned.scored.sum()),
        n_fallback=int((binned.fallback & binned.scored).sum()),
        counts_by_compartment={name: count_bins(each[binned.scored]) for name, each in binned.bins.items()},
        h_all_cells=count_bins(own_bins[binned.counted]).h_score,
        h_strict=count_bins(own_bins[strict_tumor_cells(cells, assay) & binned.counted]).h_score,
        h_without_exclusions=count_bins(own_bins[binned.tumor & ~_annotated_out(cells)]).h_score,
    )


@dataclass(frozen=True, slots=True, eq=False)
class BinnedCells:
    """Cells with what an assay and reviewers say of each.

    Attributes
    ----------
    cells
        The cells themselves, n of them.
    tumor, counted
        bool, (n,): tumor cells, and cells that are not excluded.
    bins
        int8, (n,), by compartment.
    fallback
        bool, (n,): cells whose compartment of the assay was too small, binned by the whole cell.
    """

    cells: pa.Table
    tumor: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    bins: dict[Compartment, NDArray[np.int8]]
    fallback: NDArray[np.bool_]

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Cells that scores are of: tumor cells that are not excluded; bool, (n,)."""
        return self.tumor & self.counted


def bin_cells(
    cells: pa.Table,
    assay: Assay,
    *,
    only: NDArray[np.bool_] | None = None,
    corrected_bins: NDArray[np.int8] | None = None,
) -> BinnedCells:
    """Put the cells into bins, in every compartment; takes what `score_cells` takes."""
    if only is not None:
        cells = cells.filter(pa.array(only))
        corrected_bins = None if corrected_bins is None else corrected_bins[only]
    found = {name: cell_bins(cells, assay, name) for name in COMPARTMENTS}
    own = assay.score.compartment
    if corrected_bins is not None:
        found[own] = correct_bins(*found[own], corrected_bins)
    bins = {name: each for name, (each, _) in found.items()}
    return BinnedCells(cells, tumor_cells(cells, assay), counted_cells(cells), bins, found[own][1])


def _annotated_out(cells: pa.Table) -> NDArray[np.bool_]:
    annotated = pc.fill_null(pc.starts_with(cells.column("excluded"), "annotation"), False)
    out: NDArray[np.bool_] = annotated.to_numpy(zero_copy_only=False)
    return out


def control_cells(cells: pa.Table, name: str) -> NDArray[np.bool_]:
    """Return which cells belong to a control area and are not taken out for another reason; bool, (N,)."""
    found = pc.and_(pc.equal(cells.column("excluded"), CONTROL), pc.equal(cells.column("region"), name))
    own: NDArray[np.bool_] = pc.fill_null(found, False).to_numpy(zero_copy_only=False)
    return own


def control_table(cells: pa.Table, name: str) -> pa.Table:
    """Return the cells of a control area as tumor cells that count, whatever the tumor rule says of such cells."""
    own = cells.filter(pa.array(control_cells(cells, name)))
    own = replace_column(own, "excluded", pa.nulls(own.num_rows, pa.string()))
    return replace_column(own, "tumor_probability", pa.array(np.ones(own.num_rows, np.float32)))
