"""Cell numbers and values as text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.audit.runs import MAX_CELLS, count_runs, format_lengths, format_runs, parse_lengths, parse_runs
from slidescore.errors import InputError


@pytest.mark.parametrize(
    ("ids", "text"),
    [([5, 6, 7, 8, 9, 12], "5-9,12"), ([0], "0"), ([3, 4], "3-4"), ([1, 3, 5], "1,3,5"), ([10**9], "1000000000")],
)
def test_numbers_in_a_row_are_a_run(ids, text):
    assert format_runs(np.array(ids)) == text
    assert parse_runs(text).tolist() == ids
    assert count_runs(text) == len(ids)


def test_values_in_a_row_are_counted():
    assert format_lengths(np.array([0, 0, 0, 0, 2], np.int8)) == "0*4,2"
    assert parse_lengths("0*4,2", 5).tolist() == [0, 0, 0, 0, 2]


@given(st.sets(st.one_of(st.integers(0, 60), st.integers(0, 10**9)), min_size=1))
def test_runs_come_back_as_they_were(ids):
    rising = np.array(sorted(ids))
    text = format_runs(rising)
    assert parse_runs(text).tolist() == rising.tolist()
    assert count_runs(text) == len(ids)


@given(st.lists(st.integers(0, 3), min_size=1))
def test_values_come_back_as_they_were(values):
    text = format_lengths(np.array(values, np.int8))
    back = parse_lengths(text, len(values))
    assert (back.tolist(), back.dtype) == (values, np.int8)


@pytest.mark.parametrize(
    "text",
    ["", "5-", "-5", "5-9,", "9-5", "5-5", "05", "5,5", "5,4", "5-9,9", "5-9,10", "3,4", "5 -9", "5-9-12", "x", "٥",
     "1e3", "1.0", "+1", "9999999999999", "1-999999999999"],
)  # fmt: skip
def test_numbers_in_any_other_form_are_refused(text):
    with pytest.raises(InputError):
        parse_runs(text)


@pytest.mark.parametrize("text", ["", "0*1", "0*0", "0,0", "0*2,0", "0*02", "10", "0*", "*2", "0*3", "x", "0*2,٣"])
def test_values_in_any_other_form_are_refused(text):
    with pytest.raises(InputError):
        parse_lengths(text, 2)


def test_more_numbers_than_allowed_are_refused_before_they_are_made():
    assert len(parse_runs(f"1-{MAX_CELLS}")) == MAX_CELLS
    for text in (f"0-{MAX_CELLS}", "0-999999999999"):
        with pytest.raises(InputError, match=r"more than 200,000 cells"):
            parse_runs(text)
