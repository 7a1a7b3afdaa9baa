"""The pixel H-score: what the H-score counts in cells, counted in pixels of tissue.

For membrane markers it agreed better with pathologists than cell-based scores did (Ram et al. 2021, DOI
10.1371/journal.pone.0245638). It knows no cells: its denominator is every pixel with either stain, of tumor and of
everything else that is tissue.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.assay.model import Score
from slidescore.scoring.positives import count_all, sum_intensity
from slidescore.scoring.squares import SquareCounts
from slidescore.stain.histograms import HISTOGRAM_BINS, count_below

Counts = NDArray[np.float64]
Thresholds = tuple[float, float, float]

BLOCK_UM = 512.0
"""Side of the blocks by which the pixel pass keeps histograms, on a grid from the slide's origin.

It is fixed, for the pass must not hang on the assay's right half: where `interval.square_um` is another length, the
interval of the pixel score is still made of blocks of 512 um.
"""


def pixel_h_score(counts: Counts, score: Score) -> Counts:
    """Return the pixel H-score, 0 to 300: 100 (P1 + 2 P2 + 3 P3) / (P1 + P2 + P3 + P of hematoxylin only).

    Parameters
    ----------
    counts
        float64, (..., 4): pixels with hematoxylin below the 1+ threshold, and pixels at 1+, 2+ and 3+.
    score
        Not asked; here for the sake of schemes that declare more.

    Returns
    -------
    values
        float64, (...,); NaN where there are no pixels.

    Notes
    -----
    Concept of Ram et al. 2021; formula as in the program pyhscore.
    """
    total = count_all(counts)
    values: Counts = np.divide(100.0 * sum_intensity(counts), total, out=np.full(total.shape, np.nan), where=total > 0)
    return values


def pixel_squares(tiles: pa.Table, thresholds: Thresholds) -> SquareCounts:
    """Count the pixels of a slide by blocks of 512 um.

    Parameters
    ----------
    tiles
        Rows of tiles.parquet.
    thresholds
        DAB OD at which 1+, 2+ and 3+ begin; one between the edges of a histogram's bins cuts its bin linearly.

    Returns
    -------
    squares
        The blocks that hold pixels with either stain: hematoxylin only, 1+, 2+ and 3+.
    """
    places, histograms = block_histograms(tiles)
    counts = _count(histograms, thresholds)
    held = counts.sum(axis=-1) > 0
    return SquareCounts(places[held], counts[held])


def block_histograms(tiles: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Add up the histograms of each block over the tiles that share it.

    Parameters
    ----------
    tiles
        Rows of tiles.parquet.

    Returns
    -------
    places
        int64, (M, 2): column and row of each block, sorted by row, then column.
    histograms
        int64, (M, 2, HISTOGRAM_BINS): DAB of all scored pixels of the block, and of those with hematoxylin.
    """
    column, row, values = (
        pc.list_flatten(tiles.column(name).combine_chunks()).to_numpy(zero_copy_only=False)
        for name in ("block_column", "block_row", "block_histograms")
    )
    places = np.stack([row, column], axis=1).astype(np.int64)
    unique, owner = np.unique(places, axis=0, return_inverse=True)
    histograms = np.zeros((len(unique), 2, HISTOGRAM_BINS), np.int64)
    np.add.at(histograms, owner.reshape(-1), values.reshape(-1, 2, HISTOGRAM_BINS))
    return unique[:, ::-1].copy(), histograms


def _count(histograms: NDArray[np.int64], thresholds: Thresholds) -> Counts:
    below = [count_below(histograms, threshold) for threshold in thresholds]
    dab = np.stack([each[:, 0] for each in below], axis=-1)
    whole = histograms[:, 0].sum(axis=-1, dtype=np.float64)
    return np.stack([below[0][:, 1], dab[:, 1] - dab[:, 0], dab[:, 2] - dab[:, 1], whole - dab[:, 2]], axis=-1)
