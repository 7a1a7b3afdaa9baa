from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidescore.errors import InputError
from slidescore.scoring.squares import count_squares, squares_from_lists, squares_to_lists

CELL = st.tuples(st.floats(0, 20_000, width=32), st.floats(0, 20_000, width=32), st.integers(0, 3))
"""x and y in level-0 px, and the bin."""


def count(cells, mpp=0.25, square_um=512.0):
    x, y, bins = (list(column) for column in zip(*cells, strict=True)) if cells else ([], [], [])
    return count_squares(x, y, np.array(bins, np.int8), mpp=mpp, square_um=square_um)


@settings(max_examples=60, deadline=None)
@given(cells=st.lists(CELL, max_size=60), mpp=st.sampled_from([0.2528, 0.25, 0.5]))
def test_counts_are_those_of_counting_cell_by_cell(cells, mpp):
    squares = count(cells, mpp)
    slow = Counter()
    for x, y, each in cells:
        slow[int(y * mpp // 512.0), int(x * mpp // 512.0), each] += 1
    places = sorted({key[:2] for key in slow})
    assert squares.places.tolist() == [[column, row] for row, column in places]
    assert squares.counts.tolist() == [[slow[row, column, each] for each in range(4)] for row, column in places]
    assert (squares.places.dtype, squares.counts.dtype) == (np.int64, np.float64)
    assert squares.total.tolist() == [sum(each == which for *_, each in cells) for which in range(4)]


@settings(max_examples=30, deadline=None)
@given(cells=st.lists(CELL, min_size=1, max_size=60), seed=st.integers(0, 99))
def test_order_of_the_cells_changes_nothing(cells, seed):
    mixed = [cells[index] for index in np.random.default_rng(seed).permutation(len(cells))]
    assert squares_to_lists(count(mixed)) == squares_to_lists(count(cells))


def test_squares_begin_at_the_slide_and_are_half_open():
    squares = count([(0, 0, 0), (2047.75, 0, 1), (2048, 0, 2), (0, 2048, 3)])
    assert squares_to_lists(squares) == [[0, 0, 1, 1, 0, 0], [1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1]]


def test_bins_do_not_change_which_squares_there_are():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 9000, (2, 500))
    one, two = (count_squares(x, y, rng.integers(0, 4, 500), mpp=0.25, square_um=256) for _ in range(2))
    assert np.array_equal(one.places, two.places)
    assert np.array_equal(one.counts.sum(axis=1), two.counts.sum(axis=1))


def test_no_cells_are_no_squares():
    squares = count([])
    assert (squares.n_squares, squares.total.tolist(), squares_to_lists(squares)) == (0, [0, 0, 0, 0], [])
    assert squares_from_lists([]).places.shape == (0, 2)


def test_lists_come_back_from_json_in_any_order():
    rows = [[0, 0, 1, 2, 3, 4], [7, 0, 0, 0, 0.25, 9], [2, 1, 5, 0, 0, 0]]
    squares = squares_from_lists(json.loads(json.dumps(rows[::-1])))
    assert squares_to_lists(squares) == rows
    assert [type(n) for n in squares_to_lists(squares)[0]] == [int] * 6


@pytest.mark.parametrize(
    "rows",
    [
        [[0, 0, 1, 2, 3]],
        [[0, 0, 1, 2, 3, 4], [1, 1, 2]],
        [[0, 0, 1, 2, 3, 4]] * 2,
        [[0, 0, 1, -2, 3, 4]],
        [[0.5, 0, 1, 2, 3, 4]],
        [[0, 0, 1, 2, 3, float("nan")]],
        [[0, 0, 1], [2, 3, 4]],
        [["a", 0, 1, 2, 3, 4]],
        [7],
    ],
    ids=["short", "ragged", "twice", "negative", "half a place", "nan", "halves", "text", "no row"],
)
def test_lists_that_are_no_squares_are_refused(rows):
    with pytest.raises(InputError, match="squares"):
        squares_from_lists(rows)
