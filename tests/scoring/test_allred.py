"""The Allred score after QuPath's rule, on tables of counts worked out by hand and on every edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.assay.model import Score
from slidescore.scoring.allred import allred, proportion_score

SCORE = Score(scheme="allred", compartment="nucleus", irs_intensity="modal")


@pytest.mark.parametrize(
    ("positive", "total", "expected"),
    [
        (0, 50, 0), (1, 1_000_000, 1), (9, 1000, 1), (99, 10_000, 1),
        (1, 100, 2), (10, 1000, 2), (3, 300, 2), (99, 1000, 2),
        (1, 10, 3), (7, 70, 3), (333, 1000, 3), (33, 100, 3),
        (1, 3, 4), (334, 1000, 4), (29, 87, 4), (666, 1000, 4),
        (2, 3, 5), (667, 1000, 5), (58, 87, 5), (1, 1, 5),
    ],
)  # fmt: skip
def test_proportion_scores_begin_where_they_should(positive, total, expected):
    assert proportion_score(np.array([total - positive, positive, 0, 0], float)) == expected


@given(st.integers(1, 10**7))
def test_edges_hold_for_every_number_of_cells(k):
    for top, bottom, begins in ((1, 100, 2), (1, 10, 3), (1, 3, 4), (2, 3, 5)):
        positive, total = top * k, bottom * k
        assert proportion_score(np.array([total - positive, positive, 0, 0], float)) == begins
        below = proportion_score(np.array([total - positive + 1, positive - 1, 0, 0], float))
        assert below == (begins - 1 if positive > 1 else 0)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((100, 0, 0, 0), 0),
        ((999, 1, 0, 0), 2),      # 0.1 %: 1; weak: 1
        ((99, 0, 0, 1), 5),       # 1 %: 2; strong: 3
        ((90, 10, 0, 0), 4),      # 10 %: 3; weak: 1
        ((90, 0, 10, 0), 5),      # 10 %: 3; moderate: 2
        ((200, 0, 0, 100), 7),    # a third: 4; strong: 3
        ((100, 200, 0, 0), 6),    # two thirds: 5; weak: 1
        ((100, 100, 100, 0), 6),  # two thirds: 5; mean 1.5: 1
        ((10, 10, 20, 0), 6),     # 75 %: 5; mean 5/3 is not above it: 1
        ((10, 10, 21, 0), 7),     # one more: 2
        ((10, 0, 20, 10), 7),     # 75 %: 5; mean 7/3 is not above it: 2
        ((10, 0, 20, 11), 8),     # one more: 3
        ((25, 25, 25, 25), 7),    # 75 %: 5; mean 2: 2
        ((0, 0, 0, 7), 8),
    ],
)  # fmt: skip
def test_scores_by_hand(counts, expected):
    assert allred(np.array(counts, float), SCORE) == expected


@given(st.lists(st.integers(0, 500), min_size=4, max_size=4).filter(any))
def test_one_does_not_occur(counts):
    value = allred(np.array(counts, float), SCORE)
    assert float(value) in {0, 2, 3, 4, 5, 6, 7, 8}
    assert (value == 0) == (sum(counts[1:]) == 0)
