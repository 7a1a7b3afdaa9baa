"""From basins to outlines, and from many candidates to the ones that stand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.cells.boxes import bounding_boxes
from slidescore.cells.candidates import Candidates, cut_at_steepest, group_pixels, keep_strongest, solidity_of

SIDE = 50


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.indices((SIDE, SIDE))
    return np.hypot(columns - x, rows - y) <= radius


def random_labels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, rng.integers(1, 7), rng.integers(1, 12, 2)).astype(np.int32)


@given(st.integers(0, 2**30))
def test_pixels_are_grouped_by_label(seed):
    labels = random_labels(seed)
    n = int(labels.max())
    order, starts = group_pixels(labels.ravel(), n)
    for k in range(1, n + 1):
        assert order[starts[k] : starts[k + 1]].tolist() == np.flatnonzero(labels == k).tolist()


@given(st.integers(0, 2**30))
def test_boxes_hold_their_label_tightly(seed):
    labels = random_labels(seed)
    # One label more than there are: it has no pixel and an empty box.
    n = int(labels.max()) + 1
    boxes = bounding_boxes(labels, n)
    for k in range(1, n + 1):
        rows, columns = np.nonzero(labels == k)
        y0, x0, y1, x1 = boxes[k]
        if len(rows):
            assert (y0, x0, y1, x1) == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        else:
            assert y1 <= y0


def test_solidity_is_the_share_of_the_hull():
    square, half = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    square[5:15, 5:15] = 1
    half[5:15, 5:15] = np.tri(10)
    notched = square.copy()
    notched[8:12, 5:10] = 0
    assert solidity_of(square) == solidity_of(half) == 1.0
    assert solidity_of(notched) == pytest.approx(0.8)


def cut(channel: np.ndarray, seed_at: tuple[int, int] = (25, 25)) -> np.ndarray:
    """Cut one basin, the whole image, at its steepest level."""
    smooth = cv2.GaussianBlur(channel.astype(np.float32), (0, 0), 1.4)
    gradient = np.hypot(*np.gradient(smooth)).astype(np.float32)
    seeds = np.zeros((SIDE, SIDE), np.int32)
    seeds[seed_at] = 1
    return cut_at_steepest(smooth, gradient, np.ones_like(seeds), seeds, edge_fraction=0.4)


@pytest.mark.parametrize("radius", [6, 9, 14])
def test_pale_and_dark_nuclei_are_outlined_alike(radius):
    areas = [(cut(0.03 + contrast * disc(25, 25, radius)) == 1).sum() for contrast in (0.05, 0.2, 0.8)]
    assert np.ptp(areas) <= 0.02 * areas[0]
    # Within half a micrometre at 0.5 um/px.
    assert np.sqrt(areas[0] / np.pi) == pytest.approx(radius, abs=1.0)


def test_only_the_part_with_the_seed_stays_and_its_holes_are_filled():
    ring = disc(20, 20, 9) & ~disc(20, 20, 2)
    labels = cut(0.5 * (ring | disc(40, 40, 6)), (20, 13))
    assert labels[20, 20] == 1
    assert labels[40, 40] == 0


def test_no_basin_no_nucleus():
    none = np.zeros((SIDE, SIDE), np.int32)
    plane = np.zeros((SIDE, SIDE), np.float32)
    assert not cut_at_steepest(plane, plane, none, none, edge_fraction=0.4).any()


def test_a_flat_basin_does_not_fail():
    assert cut(np.full((SIDE, SIDE), 0.2)).max() <= 1


def candidates(*found: tuple[np.ndarray, float]) -> Candidates:
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, (mask, _) in enumerate(found, start=1):
        labels[mask] = number
    return Candidates(labels, np.array([strength for _, strength in found], np.float32))


def test_of_two_channels_that_see_one_nucleus_the_stronger_stands():
    weak, strong = disc(25, 25, 9), disc(26, 25, 7)
    labels = keep_strongest([candidates((weak, 0.2)), candidates((strong, 0.3))], max_overlap=0.3, min_area_px=20)
    np.testing.assert_array_equal(labels == 1, strong)
    assert labels.max() == 1


def test_a_small_overlap_goes_to_the_stronger_and_both_stand():
    weak, strong = disc(16, 25, 9), disc(32, 25, 9)
    labels = keep_strongest([candidates((weak, 0.2)), candidates((strong, 0.3))], max_overlap=0.3, min_area_px=20)
    np.testing.assert_array_equal(labels == 1, strong)
    np.testing.assert_array_equal(labels == 2, weak & ~strong)


def test_a_large_weak_candidate_does_not_swallow_a_small_strong_one():
    weak, strong = disc(25, 25, 20), disc(25, 25, 6)
    labels = keep_strongest([candidates((weak, 0.2)), candidates((strong, 0.3))], max_overlap=0.3, min_area_px=20)
    np.testing.assert_array_equal(labels == 1, strong)


def test_what_is_left_too_small_falls():
    strong, weak = disc(25, 25, 9), disc(25, 25, 3) | disc(37, 25, 4)
    kept = keep_strongest([candidates((strong, 0.3)), candidates((weak, 0.2))], max_overlap=0.5, min_area_px=20)
    assert kept.max() == 2
    dropped = keep_strongest([candidates((strong, 0.3)), candidates((weak, 0.2))], max_overlap=0.5, min_area_px=60)
    assert dropped.max() == 1


@given(st.integers(0, 2**30))
def test_labels_run_without_gaps_and_the_order_of_equal_channels_decides_ties(seed):
    rng = np.random.default_rng(seed)
    found = [
        candidates(
            *[(disc(*rng.uniform(5, 45, 2), rng.uniform(3, 9)), float(rng.choice([0.1, 0.2]))) for _ in range(4)]
        )
        for _ in range(2)
    ]
    labels = keep_strongest(found, max_overlap=0.3, min_area_px=10)
    assert set(np.unique(labels)) - {0} == set(range(1, int(labels.max()) + 1))
    np.testing.assert_array_equal(labels, keep_strongest(found, max_overlap=0.3, min_area_px=10))
