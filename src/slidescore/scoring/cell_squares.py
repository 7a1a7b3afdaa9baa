"""Where scored cells and stained pixels lie: counts by the squares that intervals draw again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.assay import Assay, Compartment
from slidescore.cells.table import floats
from slidescore.scoring.pixel_h_score import pixel_squares
from slidescore.scoring.scores import COMPARTMENTS, bin_cells
from slidescore.scoring.squares import SquareCounts, count_squares


def cell_squares(
    cells: pa.Table,
    assay: Assay,
    mpp: float,
    *,
    only: NDArray[np.bool_] | None = None,
    corrected_bins: NDArray[np.int8] | None = None,
    compartments: tuple[Compartment, ...] = COMPARTMENTS,
) -> dict[Compartment, SquareCounts]:
    """Count the bins of the scored tumor cells by squares of the assay's `interval.square_um`.

    Parameters
    ----------
    cells, assay, only, corrected_bins
        As `score_cells` takes them; the counts of all squares together are its `counts_by_compartment`.
    mpp
        um per level-0 pixel.
    compartments
        Which to count.

    Returns
    -------
    dict
        By compartment; the squares are the same ones in each, for the cells are.
    """
    binned = bin_cells(cells, assay, only=only, corrected_bins=corrected_bins)
    x_l0, y_l0 = (floats(binned.cells, axis)[binned.scored] for axis in ("x", "y"))
    return {
        name: count_squares(x_l0, y_l0, binned.bins[name][binned.scored], mpp=mpp, square_um=assay.interval.square_um)
        for name in compartments
    }


def pixel_blocks(tiles: pa.Table, assay: Assay) -> dict[Compartment, SquareCounts]:
    """Count the stained pixels of a slide by blocks, by the thresholds of each compartment; of equal ones only once.

    Parameters
    ----------
    tiles
        Rows of tiles.parquet.
    assay
        Its thresholds.
    """
    thresholds = {name: assay.bins.of(name) for name in COMPARTMENTS}
    counted = {each: pixel_squares(tiles, each) for each in dict.fromkeys(thresholds.values())}
    return {name: counted[each] for name, each in thresholds.items()}
