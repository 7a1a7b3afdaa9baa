"""A core summed up in one pass: what masks and numpy count, to the last bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slidescore.pipeline.tile_sums import Core, sum_core
from slidescore.stain.histograms import HISTOGRAM_BINS, HISTOGRAM_LOW_OD, HISTOGRAM_STEP_OD

SIDE, BLOCK = 4, 5
POSITIVE_OD = 0.1


def made_core(seed: int) -> Core:
    """A core that begins within a square, with any share of everything, and some strange densities."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 14, 2))
    flags = rng.random((4, *shape)) < rng.choice([0.0, 0.3, 0.9, 1.0], (4, 1, 1))
    dab = rng.normal(0.2, 0.4, shape).astype(np.float32)
    # On the edges of bins, and far beyond the last ones.
    dab[rng.random(shape) < 0.2] = np.float32(rng.integers(-60, 60) * 0.01)
    dab[rng.random(shape) < 0.05] = rng.choice([-7.0, 9.0])
    first = rng.integers(0, SIDE, 2)
    row, column = ((np.arange(n) + begin) // SIDE for n, begin in zip(shape, first, strict=True))
    reasons = (rng.integers(0, 5, (row[-1] + 1, column[-1] + 2)) * rng.integers(0, 2)).astype(np.int8)
    blocks = [(np.arange(n) + begin) // BLOCK + 3 for n, begin in zip(shape, rng.integers(0, BLOCK, 2), strict=True)]
    drawn = flags[0] & flags[1] if rng.random() < 0.5 else None
    hematoxylin = rng.choice(np.array([0.0, 0.1, 0.3], np.float32), shape)
    return Core(
        flags[0], drawn, flags[2], flags[3].astype(np.int32) * 7, hematoxylin, dab, row, column, reasons, *blocks
    )  # fmt: skip


def histogram(values):
    bins = np.floor((values - HISTOGRAM_LOW_OD) / HISTOGRAM_STEP_OD).astype(np.int64)
    return np.bincount(np.clip(bins, 0, HISTOGRAM_BINS - 1), minlength=HISTOGRAM_BINS).astype(np.int32)


@given(st.integers(0, 2**30))
def test_a_core_is_summed_up_as_masks_do_it(seed):
    core = made_core(seed)
    sums = sum_core(core, POSITIVE_OD)
    reasons = core.reasons[core.row][:, core.column]
    artifact = core.valid & (reasons > 0)
    drawn = np.zeros_like(core.wanted) if core.drawn is None else core.drawn
    excluded = drawn | (core.wanted & artifact)
    scored = core.wanted & core.valid & ~excluded
    missing = core.wanted & ~core.valid & ~excluded
    assert sums.pixels == tuple(int(mask.sum()) for mask in (core.wanted, scored, excluded, missing))
    counted = np.bincount(reasons[core.wanted & ~drawn], minlength=128)
    np.testing.assert_array_equal(sums.by_reason, counted)
    place = core.row[:, None] * core.reasons.shape[1] + core.column[None, :]
    by_square = np.bincount(place[core.wanted], minlength=core.reasons.size)
    np.testing.assert_array_equal(sums.by_square.ravel(), by_square)
    positive = scored & (core.hematoxylin_od >= POSITIVE_OD)
    of_blocks = {}
    for row, column in np.ndindex(core.block_row[-1] + 1, core.block_column[-1] + 1):
        inside = (core.block_row == row)[:, None] & (core.block_column == column)
        if (scored & inside).any():
            of_blocks[column, row] = [histogram(core.dab_od[mask & inside]) for mask in (scored, positive)]
    assert list(zip(sums.blocks.column.tolist(), sums.blocks.row.tolist(), strict=True)) == list(of_blocks)
    np.testing.assert_array_equal(
        sums.blocks.histograms, np.array(list(of_blocks.values())).reshape(-1, 2, HISTOGRAM_BINS)
    )
    assert sums.blocks.histograms.dtype == np.int32
    np.testing.assert_array_equal(sums.blocks.total, [histogram(core.dab_od[mask]) for mask in (scored, positive)])
    background = core.dab_od[scored & (core.cells == 0)]
    assert sums.background_dab_od == (float(np.median(background)) if background.size else None)
