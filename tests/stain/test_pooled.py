"""Stain vectors from several controls: planted ones come back, and what cannot be told says why."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import phantom as ph
from slidescore.stain import StainVectors, angle_degrees
from slidescore.stain.pooled import (
    ControlBlocks,
    PooledStains,
    SlideStains,
    StainLimits,
    pool_controls,
    solve_control,
)

FIXED = StainVectors((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), "fixed")
LIMITS = StainLimits(min_od=0.15, max_turn_degrees=12.0, max_residual_od=0.1, min_blocks=2000)
TURNED = ph.stain_vectors(ph.PhantomSpec(hematoxylin_turn_deg=-5.0, dab_turn_deg=6.0, turn_azimuth_deg=60.0))


def blocks(
    seed: int, *, positive: bool, vectors: NDArray[np.float64] = TURNED, n: int = 20_000, dab_od: float = 0.8
) -> ControlBlocks:
    """Blocks of nuclei and cytoplasm: hematoxylin in a third of them, DAB in half where positive, and some noise."""
    rng = np.random.default_rng(seed)
    nuclear = rng.random(n) < 0.35
    hematoxylin = np.where(nuclear, rng.uniform(0.15, 0.6, n), rng.uniform(0.02, 0.06, n))
    stained = (rng.random(n) < 0.5) & ~nuclear
    dab = np.where(stained, rng.uniform(0.1, dab_od, n), 0.0) if positive else rng.uniform(0.0, 0.03, n)
    density = np.outer(hematoxylin, vectors[0]) + np.outer(dab, vectors[1])
    return ControlBlocks(density + rng.normal(0, 0.006, (n, 3)), density[::4] + 0.0, positive)


def off_degrees(found: tuple[float, float, float] | None, planted: NDArray[np.float64]) -> float:
    assert found is not None
    return angle_degrees(np.array(found), planted)


def solved(*seeds: int, positive: bool) -> list[SlideStains]:
    return [solve_control(blocks(seed, positive=positive), FIXED, LIMITS) for seed in seeds]


def test_a_positive_control_tells_both_stains() -> None:
    [found] = solved(1, positive=True)
    assert off_degrees(found.hematoxylin, TURNED[0]) < 2
    assert off_degrees(found.dab, TURNED[1]) < 1.5
    assert found.hematoxylin_reason == found.dab_reason == ""
    assert found.residual_od is not None
    assert found.residual_od < 0.01


def test_a_negative_control_tells_hematoxylin_alone_whatever_its_background() -> None:
    [found] = solved(2, positive=False)
    assert off_degrees(found.hematoxylin, TURNED[0]) < 1
    assert (found.dab, found.dab_reason) == (None, "negative control")


def test_pooled_vectors_are_those_planted() -> None:
    pooled = pool_controls([*solved(1, 2, 3, positive=True), *solved(4, 5, positive=False)], FIXED)
    assert off_degrees(pooled.vectors.hematoxylin, TURNED[0]) < 1
    assert off_degrees(pooled.vectors.dab, TURNED[1]) < 1.5
    assert (pooled.n_hematoxylin, pooled.n_dab) == (2, 3)
    assert (pooled.hematoxylin_reason, pooled.dab_reason) == ("", "")
    assert pooled.dab_spread_degrees is not None
    assert pooled.dab_spread_degrees < 0.5


def test_one_odd_control_moves_little() -> None:
    odd = solve_control(blocks(6, positive=True, vectors=FIXED.matrix[:2]), FIXED, LIMITS)
    assert off_degrees(odd.dab, TURNED[1]) > 4
    pooled = pool_controls([*solved(1, 2, 3, 4, positive=True), odd], FIXED)
    assert off_degrees(pooled.vectors.dab, TURNED[1]) < 1.5


def test_every_control_has_the_same_weight() -> None:
    large = solve_control(blocks(6, positive=True, vectors=FIXED.matrix[:2], n=200_000), FIXED, LIMITS)
    pooled = pool_controls([*solved(1, 2, positive=True), large], FIXED)
    assert off_degrees(pooled.vectors.dab, TURNED[1]) < 2


def test_without_negative_controls_hematoxylin_comes_from_the_positive_ones() -> None:
    pooled = pool_controls(solved(1, 2, positive=True), FIXED)
    assert pooled.n_hematoxylin == 2
    assert off_degrees(pooled.vectors.hematoxylin, TURNED[0]) < 2


def test_a_trace_of_debris_on_a_negative_control_is_left_out() -> None:
    given = blocks(7, positive=False)
    rng = np.random.default_rng(8)
    coarse = given.coarse.copy()
    debris = rng.random(len(coarse)) < 0.01
    coarse[debris] = rng.uniform(0.3, 0.6, (int(debris.sum()), 1)) * np.array([0.2, 0.5, 0.85])
    found = solve_control(ControlBlocks(given.fine, coarse, False), FIXED, LIMITS)
    assert off_degrees(found.hematoxylin, TURNED[0]) < 1.5


def test_a_positive_control_without_dab_says_so() -> None:
    given = blocks(9, positive=False)
    found = solve_control(ControlBlocks(given.fine, given.coarse, True), FIXED, LIMITS)
    assert found.dab is None
    assert found.dab_reason == "only 0 blocks of DAB, at least 2000"


def test_a_negative_control_full_of_dab_says_so() -> None:
    given = blocks(10, positive=True)
    found = solve_control(ControlBlocks(given.fine, given.coarse, False), FIXED, LIMITS)
    assert found.hematoxylin is None
    assert "of its stained blocks are DAB" in found.hematoxylin_reason


def test_too_little_tissue_says_so() -> None:
    found = solve_control(blocks(11, positive=True, n=500), FIXED, LIMITS)
    assert found.dab_reason.startswith("only ")
    assert found.dab_reason.endswith("stained blocks, at least 2000")


def test_a_stain_that_turns_too_far_is_not_believed() -> None:
    far = ph.stain_vectors(ph.PhantomSpec(dab_turn_deg=14.0, turn_azimuth_deg=90.0))
    found = solve_control(blocks(12, positive=True, vectors=far), FIXED, LIMITS)
    assert found.dab is None
    assert found.dab_reason.startswith("turns 1")
    assert found.hematoxylin is not None


def test_colours_of_a_third_stain_are_not_believed() -> None:
    given = blocks(13, positive=True)
    rng = np.random.default_rng(1)
    eosin = np.outer(rng.uniform(0.2, 1.0, len(given.fine)), [0.07, 0.99, 0.11])
    found = solve_control(ControlBlocks(given.fine + eosin, given.coarse, True), FIXED, LIMITS)
    assert found.dab is None
    assert "residual" in found.dab_reason or "turns" in found.dab_reason


@pytest.mark.parametrize("positive", [True, False])
def test_a_stain_that_nobody_tells_keeps_its_vector(positive: bool) -> None:
    pooled = pool_controls([solve_control(blocks(14, positive=positive, n=100), FIXED, LIMITS)], FIXED)
    assert pooled.vectors.matrix == pytest.approx(FIXED.matrix)
    assert pooled.hematoxylin_reason.startswith("only")
    assert pooled.dab_reason == (pooled.hematoxylin_reason if positive else "no such control")
    assert pooled.dab_spread_degrees is None


def test_several_reasons_are_counted() -> None:
    few = [solve_control(blocks(seed, positive=True, n=100), FIXED, LIMITS) for seed in (1, 2, 3)]
    pooled: PooledStains = pool_controls(few, FIXED)
    assert pooled.dab_reason.startswith("none of 3 controls tells it; of the first: only")
