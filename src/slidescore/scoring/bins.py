"""From measurements to bins: pure arithmetic on the cell table, milliseconds a slide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.assay import Assay, Compartment
from slidescore.cells.table import floats

N_BINS = 4
BIN_NAMES = ("Negative", "1+", "2+", "3+")
"""Names of the bins, as QuPath spells them."""
BIN_SIGNS = ("0", "1+", "2+", "3+")
"""The bins where there is little room, and as classes of one overall intensity."""


@dataclass(frozen=True, slots=True)
class BinCounts:
    """How many cells are in bin 0, 1+, 2+ and 3+. The counts are the state; scores are views of them."""

    n0: int
    n1: int
    n2: int
    n3: int

    @property
    def total(self) -> int:
        """All counted cells."""
        return self.n0 + self.n1 + self.n2 + self.n3

    @property
    def array(self) -> NDArray[np.float64]:
        """The four counts; float64, (4,)."""
        return np.array([self.n0, self.n1, self.n2, self.n3], dtype=np.float64)

    @property
    def h_score(self) -> float | None:
        """H-score, 0 to 300: 100 (n1 + 2 n2 + 3 n3) / n, as QuPath's getHScore; None without cells."""
        return 100.0 * (self.n1 + 2 * self.n2 + 3 * self.n3) / self.total if self.total else None

    @property
    def percent_positive(self) -> float | None:
        """Percent of cells at 1+ or above; None without cells."""
        return 100.0 * (self.n1 + self.n2 + self.n3) / self.total if self.total else None


def bin_values(values: NDArray[np.float32], thresholds: tuple[float, float, float]) -> NDArray[np.int8]:
    """Return the bin (0..3) of each value; int8, (N,). A value on a threshold belongs to the upper bin.

    Notes
    -----
    Thresholds are compared as float32, the precision in which measurements are stored, so that a stored 0.2 is on the
    threshold 0.2.
    """
    return np.searchsorted(np.asarray(thresholds, dtype=np.float32), values, side="right").astype(np.int8)


def cell_bins(cells: pa.Table, assay: Assay, compartment: Compartment) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Return the bin of every cell by one compartment, and which cells fell back to the whole cell.

    A compartment too small to measure is null; such a cell is binned by `cell` with the thresholds of `cell`.
    """
    values = floats(cells, f"dab_od_{compartment}")
    bins = bin_values(values, assay.bins.of(compartment))
    fallback = np.isnan(values)
    if fallback.any():
        # A cell of which nothing could be measured shows no DAB; searching for NaN would put it into 3+.
        whole = np.nan_to_num(floats(cells, "dab_od_cell")[fallback], nan=0.0)
        bins[fallback] = bin_values(whole, assay.bins.of("cell"))
    return bins, fallback


def correct_bins(
    bins: NDArray[np.int8], fallback: NDArray[np.bool_], corrected: NDArray[np.int8]
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Return what `cell_bins` gave with the bins that reviewers set; -1 in `corrected`, int8 (N,), leaves a cell."""
    said = corrected >= 0
    return np.where(said, corrected, bins).astype(np.int8), fallback & ~said


def count_bins(bins: NDArray[np.int8]) -> BinCounts:
    """Count the cells in each bin."""
    n0, n1, n2, n3 = (int(n) for n in np.bincount(bins, minlength=N_BINS)[:N_BINS])
    return BinCounts(n0, n1, n2, n3)
