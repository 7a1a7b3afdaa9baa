from __future__ import annotations

import time

import numpy as np
import pytest

from slidescore.review.rings import MOST_CROSSINGS, is_tangled


def circle(n: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * 1000


def zigzag(teeth: int) -> np.ndarray:
    """A line up and down across the x axis, closed along the axis: each tooth crosses it once."""
    x = np.arange(teeth + 1, dtype=float)
    up_and_down = np.stack([x, np.where(np.arange(teeth + 1) % 2, 1.0, -1.0)], axis=1)
    return np.concatenate([up_and_down, [[teeth + 1.0, 0.0], [-1.0, 0.0]]])


@pytest.mark.parametrize(
    "ring", [circle(3), circle(1000), circle(1000)[::-1], np.array([[0.0, 0], [1, 1], [1, 0], [0, 1]])]
)
def test_what_a_hand_draws_is_no_tangle(ring: np.ndarray) -> None:
    assert not is_tangled(ring)


def test_crossings_are_counted() -> None:
    assert not is_tangled(zigzag(MOST_CROSSINGS))
    assert is_tangled(zigzag(MOST_CROSSINGS + 1))


def test_points_that_repeat_cross_nothing() -> None:
    assert not is_tangled(np.zeros((5000, 2)))
    assert not is_tangled(np.repeat(circle(50), 20, axis=0))


def test_a_tangle_is_seen_at_once() -> None:
    ring = np.random.default_rng(1).uniform(0, 1e4, (5000, 2))
    begun = time.process_time()
    assert is_tangled(ring)
    assert time.process_time() - begun < 1
