"""Water from each seed takes what it reaches first, and never crosses the mask."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.cells.flooding import STEP_OD, flood


def random_field(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heights on few levels, so that there are plateaus; seeds; a mask with holes."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 12, 2))
    height = (rng.integers(0, rng.integers(2, 30), shape) * 0.05).astype(np.float32)
    seeds = np.zeros(shape, np.int32)
    for label in range(1, int(rng.integers(1, 5))):
        seeds[rng.integers(0, shape[0]), rng.integers(0, shape[1])] = label
    return height, seeds, rng.random(shape) < 0.85


def lowest_dips(height: np.ndarray, mask: np.ndarray, start: np.ndarray) -> np.ndarray:
    """For each pixel the best height that a path from `start` inside the mask never goes below; -inf if none."""
    best = np.full(height.shape, -np.inf)
    queue = []
    for y, x in np.argwhere(start & mask):
        best[y, x] = height[y, x]
        heapq.heappush(queue, (-height[y, x], y, x))
    while queue:
        level, y, x = heapq.heappop(queue)
        if -level < best[y, x]:
            continue
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < height.shape[0] and 0 <= u < height.shape[1] and mask[v, u]:
                dip = min(-level, height[v, u])
                if dip > best[v, u]:
                    best[v, u] = dip
                    heapq.heappush(queue, (-dip, v, u))
    return best


@given(st.integers(0, 2**30))
def test_every_pixel_goes_to_a_seed_from_which_the_way_dips_least(seed):
    height, seeds, mask = random_field(seed)
    labels = flood(height, seeds, mask)
    dips = {label: lowest_dips(height, mask, seeds == label) for label in range(1, int(seeds.max()) + 1)}
    best = np.max([np.full(height.shape, -np.inf), *dips.values()], axis=0)
    np.testing.assert_array_equal(labels > 0, best > -np.inf)
    for y, x in np.argwhere(labels > 0):
        assert dips[labels[y, x]][y, x] >= best[y, x] - STEP_OD


@given(st.integers(0, 2**30))
def test_seeds_keep_their_pixels_and_nothing_leaves_the_mask(seed):
    height, seeds, mask = random_field(seed)
    labels = flood(height, seeds, mask)
    kept = (seeds > 0) & mask
    np.testing.assert_array_equal(labels[kept], seeds[kept])
    assert not labels[~mask].any()


@given(st.integers(0, 2**30), st.integers(0, 9), st.integers(0, 9))
def test_a_basin_is_the_same_wherever_its_tile_begins(seed, down, right):
    height, seeds, mask = random_field(seed)
    rng = np.random.default_rng(seed)
    around = ((down, 3), (right, 2))
    # A strip without mask parts the field from other seeds, which flood at the same heights.
    other = np.pad(rng.integers(0, 9, height.shape) * 0.05, around).astype(np.float32)
    other[down : down + height.shape[0], right : right + height.shape[1]] = height
    elsewhere = np.pad(np.zeros_like(seeds), around)
    elsewhere[down : down + height.shape[0], right : right + height.shape[1]] = seeds
    used = np.pad(mask, around)
    if down > 1:
        elsewhere[0, 0], used[0] = 9, True
    labels = flood(other, elsewhere, used)[down : down + height.shape[0], right : right + height.shape[1]]
    np.testing.assert_array_equal(labels, flood(height, seeds, mask))


def test_two_hills_part_at_the_valley():
    height = np.array([[0.5, 0.4, 0.3, 0.1, 0.3, 0.6, 0.5]], np.float32)
    seeds = np.array([[1, 0, 0, 0, 0, 2, 0]], np.int32)
    labels = flood(height, seeds, np.ones((1, 7), bool))[0].tolist()
    assert labels[:3] == [1, 1, 1]
    assert labels[4:] == [2, 2, 2]


@pytest.mark.parametrize("value", [-5.0, 0.0, 3.5])
def test_heights_beyond_the_range_flood_too(value):
    seeds = np.zeros((4, 4), np.int32)
    seeds[1, 1] = 7
    assert (flood(np.full((4, 4), value, np.float32), seeds, np.ones((4, 4), bool)) == 7).all()


def test_no_seed_no_water():
    assert not flood(np.ones((4, 4), np.float32), np.zeros((4, 4), np.int32), np.ones((4, 4), bool)).any()
