from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.training.metrics import NO_COUNTS, Counts, detection_counts, mask_counts, match_centers, type_counts

POINTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=5)


def best_by_trial(true_um: np.ndarray, found_um: np.ndarray, radius_um: float) -> tuple[int, float]:
    """Most pairs within reach and the least total distance of so many, by trying every way."""
    if len(true_um) > len(found_um):
        true_um, found_um = found_um, true_um
    best = (0, 0.0)
    for chosen in permutations(range(len(found_um)), len(true_um)):
        away = np.hypot(*(true_um - found_um[list(chosen)]).T)
        # Any subset of a way may be left out; only pairs within reach are worth taking.
        near = away[away <= radius_um]
        best = max(best, (len(near), -float(near.sum())))
    return best


@given(POINTS, POINTS)
def test_matches_are_one_to_one_most_and_shortest(true: list, found: list) -> None:
    true_um, found_um = (np.array(points, np.float64).reshape(-1, 2) for points in (true, found))
    pairs = match_centers(true_um, found_um)
    assert len(set(pairs[:, 0].tolist())) == len(set(pairs[:, 1].tolist())) == len(pairs)
    away = np.hypot(*(true_um[pairs[:, 0]] - found_um[pairs[:, 1]]).T)
    assert (away <= 5.0).all()
    n, total = best_by_trial(true_um, found_um, 5.0)
    assert len(pairs) == n
    assert -away.sum() == pytest.approx(total, abs=1e-9)


def test_a_match_reaches_five_micrometers_and_no_further() -> None:
    here = np.zeros((1, 2))
    assert detection_counts(here, np.array([[3.0, 4.0]])) == Counts(1, 1, 1)
    assert detection_counts(here, np.array([[3.0, 4.01]])) == Counts(0, 1, 1)
    assert detection_counts(here, here) == Counts(1, 1, 1)


def test_counts_add_up_and_divide() -> None:
    total = Counts(3, 4, 6) + Counts(1, 4, 2)
    assert total == Counts(4, 8, 8)
    assert (total.precision, total.recall, total.f1) == (0.5, 0.5, 0.5)
    assert Counts(2, 4, 3).f1 == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))
    assert (NO_COUNTS.precision, NO_COUNTS.recall, NO_COUNTS.f1) == (1.0, 1.0, 1.0)
    assert (Counts(0, 3, 0).precision, Counts(0, 3, 0).recall, Counts(0, 3, 0).f1) == (1.0, 0.0, 0.0)
    assert (Counts(0, 0, 3).precision, Counts(0, 0, 3).recall, Counts(0, 0, 3).f1) == (0.0, 1.0, 0.0)


def test_types_match_among_their_own() -> None:
    true_um = np.array([[0.0, 0.0], [20.0, 0.0], [40.0, 0.0]])
    found_um = true_um + 1
    true_types, found_types = np.array([0, 0, 1], np.int8), np.array([0, 1, 1], np.int8)
    assert type_counts(true_um, true_types, found_um, found_types, 0) == Counts(1, 2, 1)
    assert type_counts(true_um, true_types, found_um, found_types, 1) == Counts(1, 1, 2)
    assert type_counts(true_um, true_types, found_um, found_types, 2) == NO_COUNTS


def test_masks_match_by_their_overlap() -> None:
    true, found = np.zeros((2, 40, 40), np.int32)
    true[0:10, 0:10], true[20:30, 0:10], true[0:10, 20:30] = 1, 2, 3
    found[0:10, 0:9] = 2  # IoU 0.9
    found[20:30, 5:15] = 1  # 50 of 150
    found[0:5, 20:30] = 3  # exactly one half is not above it
    found[30:40, 30:40] = 4
    assert mask_counts(true, found) == Counts(1, 3, 4)
    assert mask_counts(true, found, min_iou=0.49) == Counts(2, 3, 4)
    assert mask_counts(true, np.zeros_like(true)) == Counts(0, 3, 0)
    assert mask_counts(np.zeros_like(true), found) == Counts(0, 0, 4)
    assert mask_counts(true, true) == Counts(3, 3, 3)
