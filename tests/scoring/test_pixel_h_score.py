"""The pixel H-score: its formula, and the pixels it counts in the histograms of tiles.parquet."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from slidescore.scoring.pixel_h_score import block_histograms, pixel_h_score, pixel_squares
from slidescore.stain.histograms import HISTOGRAM_BINS, HISTOGRAM_LOW_OD, HISTOGRAM_STEP_OD

THRESHOLDS = (0.2, 0.4, 0.6)
LISTS = pa.schema([(name, pa.list_(pa.int32())) for name in ("block_column", "block_row", "block_histograms")])


def counted(values: list[float]) -> np.ndarray:
    """The histogram of densities in the middles of bins."""
    bins = np.floor((np.array(values) - HISTOGRAM_LOW_OD) / HISTOGRAM_STEP_OD).astype(np.int64)
    return np.bincount(bins, minlength=HISTOGRAM_BINS)


def ledger(*tiles: dict[tuple[int, int], tuple[list[float], list[float]]]) -> pa.Table:
    """Tiles, each with the DAB of all pixels and of those with hematoxylin by block (column, row)."""
    rows = [
        {
            "block_column": [column for column, _ in tile],
            "block_row": [row for _, row in tile],
            "block_histograms": [n for pair in tile.values() for values in pair for n in counted(values).tolist()],
        }
        for tile in tiles
    ]
    return pa.Table.from_pylist(rows, schema=LISTS)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((10, 0, 0, 0), 0.0),
        ((0, 0, 0, 7), 300.0),
        ((1, 1, 1, 1), 150.0),
        # 100 x (20 + 2 x 10 + 3 x 5) / 100.
        ((65, 20, 10, 5), 55.0),
        ((0.5, 0.25, 0.25, 0), 75.0),
    ],
)
def test_the_formula(assay, counts, expected):
    assert pixel_h_score(np.array(counts, float), assay.score) == pytest.approx(expected)


def test_many_at_once_and_none_without_pixels(assay):
    values = pixel_h_score(np.array([[[1, 1, 1, 1]], [[0, 0, 0, 0]]], float), assay.score)
    assert values.shape == (2, 1)
    np.testing.assert_array_equal(values, [[150.0], [np.nan]])


def test_pixels_without_dab_count_only_with_hematoxylin_and_those_with_dab_always():
    dab = [-0.095, 0.105, 0.105, 0.305, 0.505, 0.705, 2.995]
    tiles = ledger({(0, 0): (dab, [0.105, 0.705])})
    np.testing.assert_array_equal(pixel_squares(tiles, THRESHOLDS).total, [1, 1, 1, 2])


def test_thresholds_between_edges_cut_a_bin_linearly():
    tiles = ledger({(0, 0): ([0.305] * 10, [])})
    np.testing.assert_allclose(pixel_squares(tiles, (0.2, 0.303, 0.6)).total, [0, 3, 7, 0])


def test_tiles_that_share_a_block_are_added_up_in_the_order_of_rows():
    one = {(3, 1): ([0.305], [0.105]), (3, 0): ([0.505], [])}
    other = {(2, 1): ([0.705], []), (3, 1): ([0.305, 0.505], [])}
    squares = pixel_squares(ledger(one, {}, other), THRESHOLDS)
    assert squares.places.tolist() == [[3, 0], [2, 1], [3, 1]]
    assert squares.counts.tolist() == [[0, 0, 1, 0], [0, 0, 0, 1], [1, 2, 1, 0]]
    assert squares.total.tolist() == [1, 2, 2, 1]
    again = pixel_squares(ledger(other, one), THRESHOLDS)
    np.testing.assert_array_equal(again.counts, squares.counts)


def test_blocks_whose_pixels_hold_neither_stain_are_left_out():
    squares = pixel_squares(ledger({(0, 0): ([0.105], []), (1, 0): ([0.305], [])}), THRESHOLDS)
    assert squares.places.tolist() == [[1, 0]]


def test_a_slide_without_a_scored_pixel_has_no_blocks():
    for tiles in (ledger(), ledger({}), pa.Table.from_pylist([dict.fromkeys(LISTS.names)], schema=LISTS)):
        assert block_histograms(tiles)[1].shape == (0, 2, HISTOGRAM_BINS)
        assert pixel_squares(tiles, THRESHOLDS).total.tolist() == [0, 0, 0, 0]
