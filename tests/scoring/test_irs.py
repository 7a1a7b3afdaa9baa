"""The immunoreactive score on tables of counts, worked out by hand, and on every edge of its classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.assay.model import Score
from slidescore.scoring.irs import irs, percent_class
from slidescore.scoring.positives import mean_intensity, modal_intensity

MODAL = Score(scheme="irs", compartment="cytoplasm", irs_intensity="modal")
MEAN = Score(scheme="irs", compartment="cytoplasm", irs_intensity="mean_of_positives")


@pytest.mark.parametrize(
    ("positive", "total", "expected"),
    [
        (0, 1, 0), (0, 1000, 0), (1, 1_000_000, 1), (99, 1000, 1), (999_999, 10_000_000, 1),
        (1, 10, 2), (3, 30, 2), (100, 1000, 2), (101, 1000, 2), (1, 2, 2), (500, 1000, 2), (7, 14, 2),
        (501, 1000, 3), (500_001, 1_000_000, 3), (505, 1000, 3), (4, 5, 3), (800, 1000, 3), (12, 15, 3),
        (801, 1000, 4), (805, 1000, 4), (800_001, 1_000_000, 4), (1, 1, 4),
    ],
)  # fmt: skip
def test_percent_classes_end_where_they_should(positive, total, expected):
    assert percent_class(np.array([total - positive, 0, positive, 0], float)) == expected


@given(st.integers(2, 10**7))
def test_edges_hold_for_every_number_of_cells(tenth):
    """10, 50 and 80 % of ten times as many cells are whole numbers, which a division need not give back."""
    n = 10 * tenth
    for share, below, on, above in ((1, 1, 2, 2), (5, 2, 2, 3), (8, 3, 3, 4)):
        for more, expected in ((-1, below), (0, on), (1, above)):
            positive = share * tenth + more
            assert percent_class(np.array([n - positive, positive, 0, 0], float)) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((9, 0, 0, 0), 0), ((0, 9, 0, 0), 1), ((0, 0, 9, 0), 2), ((0, 0, 0, 9), 3),
        # Means of 5/3 and 7/3 exactly are not above them.
        ((0, 1, 2, 0), 1), ((0, 1, 2, 1), 2), ((0, 2, 0, 1), 1), ((5, 10, 20, 0), 1), ((0, 9, 20, 0), 2),
        ((0, 0, 2, 1), 2), ((0, 1, 0, 2), 2), ((0, 0, 20, 11), 3), ((0, 0, 1, 1), 3), ((0, 1, 0, 1), 2),
    ],
)  # fmt: skip
def test_mean_intensity_is_cut_at_five_and_seven_thirds(counts, expected):
    assert mean_intensity(np.array(counts, float)) == expected


@given(st.integers(1, 10**7))
def test_a_mean_on_its_edge_is_never_above_it(k):
    assert mean_intensity(np.array([3, k, 2 * k, 0], float)) == 1
    assert mean_intensity(np.array([3, k, 2 * k + 1, 0], float)) == 2
    assert mean_intensity(np.array([3, 0, 2 * k, k], float)) == 2
    assert mean_intensity(np.array([3, 0, 2 * k, k + 1], float)) == 3


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((9, 0, 0, 0), 0), ((0, 0, 0, 0), 0), ((99, 1, 0, 0), 1), ((0, 5, 6, 4), 2), ((0, 5, 4, 6), 3),
        # Of equals the weaker one.
        ((0, 5, 5, 0), 1), ((0, 5, 0, 5), 1), ((0, 4, 5, 5), 2), ((0, 5, 5, 5), 1),
    ],
)  # fmt: skip
def test_modal_intensity_is_the_commonest_positive_bin(counts, expected):
    assert modal_intensity(np.array(counts, float)) == expected


@pytest.mark.parametrize(
    ("counts", "mean", "modal"),
    [
        ((100, 0, 0, 0), 0, 0),
        ((95, 5, 0, 0), 1, 1),      # 5 %: class 1, weak
        ((95, 0, 0, 5), 3, 3),      # class 1, strong
        ((90, 4, 3, 3), 4, 2),      # 10 %: class 2; mean 1.9, commonest 1+
        ((50, 20, 10, 20), 4, 2),   # 50 %: class 2; mean 2.0; a tie of 1+ and 3+
        ((40, 10, 20, 30), 6, 9),   # 60 %: class 3; mean 140/60 = 7/3 is moderate, commonest 3+
        ((40, 10, 19, 31), 9, 9),   # one cell more at 3+: above 7/3
        ((20, 60, 10, 10), 3, 3),   # 80 %: class 3; mean 1.375
        ((19, 20, 20, 41), 8, 12),  # 81 %: class 4; mean 183/81 = 2.26, commonest 3+
        ((0, 0, 100, 0), 8, 8),
        ((0, 0, 0, 100), 12, 12),
        ((0, 100, 0, 0), 4, 4),
    ],
)  # fmt: skip
def test_scores_by_hand(counts, mean, modal):
    table = np.array(counts, float)
    assert (irs(table, MEAN), irs(table, MODAL)) == (mean, modal)


@given(st.lists(st.integers(0, 500), min_size=4, max_size=4).filter(any), st.sampled_from([MEAN, MODAL]))
def test_only_products_occur(counts, score):
    value = irs(np.array(counts, float), score)
    assert float(value) in {0, 1, 2, 3, 4, 6, 8, 9, 12}
    assert (value == 0) == (sum(counts[1:]) == 0)
