"""Counts by square: those of the cells that are scored, whatever else lies there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.scoring import COMPARTMENTS, score_cells
from slidescore.scoring.cell_squares import cell_squares

OD = [0.1, 0.3, 0.5, 0.7]


def test_squares_hold_the_scored_cells_of_every_compartment(assay, make_cells):
    # At 0.5 um/px a square of 512 um is 1024 px wide.
    cells = make_cells(
        OD * 2, x=np.array([0, 1023, 1024, 2047, 0, 5, 9, 3000], np.float32), dab_od_nucleus=[0.7] * 8,
        excluded=[None] * 4 + ["blur"] + [None] * 3, tumor_probability=[None] * 5 + [0.0, None, None],
    )  # fmt: skip
    squares = cell_squares(cells, assay, 0.5)
    assert list(squares) == list(COMPARTMENTS)
    assert squares["cytoplasm"].places.tolist() == [[0, 0], [1, 0], [2, 0]]
    assert squares["cytoplasm"].counts.tolist() == [[1, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1]]
    assert squares["nucleus"].counts.tolist() == [[0, 0, 0, 3], [0, 0, 0, 2], [0, 0, 0, 1]]
    scores = score_cells(cells, assay)
    for name, each in squares.items():
        assert each.total.tolist() == scores.counts_by_compartment[name].array.tolist()


def test_corrected_bins_are_counted_in_the_assays_compartment(assay, make_cells):
    bins = np.array([3, -1, 0, -1], np.int8)
    squares = cell_squares(make_cells(OD), assay, 0.5, corrected_bins=bins)
    assert squares["cytoplasm"].counts.tolist() == [[1, 1, 0, 2]]
    assert squares["membrane"].counts.tolist() == [[1, 1, 1, 1]]
    [only] = cell_squares(make_cells(OD), assay, 0.5, corrected_bins=bins, compartments=("membrane",))
    assert only == "membrane"


def test_no_cells_lie_in_no_square(assay, make_cells):
    squares = cell_squares(make_cells([]), assay, 0.5)
    assert [each.n_squares for each in squares.values()] == [0] * 4


@given(st.lists(st.tuples(st.integers(0, 9000), st.sampled_from(OD)), min_size=1, max_size=40), st.integers(0, 2**30))
def test_the_order_of_cells_means_nothing(assay, make_cells, drawn, seed):
    order = np.random.default_rng(seed).permutation(len(drawn))
    first, second = (
        cell_squares(
            make_cells([drawn[k][1] for k in ids], x=np.array([drawn[k][0] for k in ids], np.float32)), assay, 0.25
        )["cell"]
        for ids in (range(len(drawn)), order)
    )
    np.testing.assert_array_equal(first.places, second.places)
    np.testing.assert_array_equal(first.counts, second.counts)


def test_a_subset_has_its_own_squares(assay, make_cells):
    cells = make_cells(OD, x=np.array([0, 2000, 4000, 6000], np.float32))
    only = np.array([True, False, True, False])
    squares = cell_squares(cells, assay, 0.5, only=only)["cytoplasm"]
    assert squares.places.tolist() == [[0, 0], [3, 0]]
    assert squares.total.tolist() == pytest.approx([1, 0, 1, 0])
