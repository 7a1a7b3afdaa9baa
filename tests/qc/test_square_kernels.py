"""The loops that measure squares count what numpy counts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slidescore.qc.square_kernels import (
    GREY_STEPS,
    MAX_GREY,
    by_square,
    count_clipped,
    difference_histograms,
    sum_blocks,
    sum_pixels,
)
from slidescore.qc.stain_counts import (
    ACROSS_BINS,
    ALONG_BINS,
    ANGLE_LOW,
    ANGLE_STEP,
    CHROMOGEN_ALONG,
    CHROMOGEN_MOD,
    LENGTH_BINS,
    LENGTH_STEP_MOD,
    NEUTRAL_OFF,
    RED_ACROSS,
    STAINED_MOD,
    block_colours,
    count_colours,
)

seeds = st.integers(0, 2**30)


@given(seeds, st.sampled_from([1, 2, 3, 4]))
def test_blocks_are_sums_of_their_pixels(seed, side):
    rng = np.random.default_rng(seed)
    rows, columns = 2 * rng.integers(1, 5, 2)
    rgb = rng.integers(0, 256, (rows * side, columns * side, 3), dtype=np.uint8)
    usable = rng.random(rgb.shape[:2]) < 0.97
    sums, whole = sum_pixels(rgb, usable, side)
    parted = rgb.reshape(rows, side, columns, side, 3).astype(np.int32)
    np.testing.assert_array_equal(sums, parted.sum(axis=(1, 3)))
    np.testing.assert_array_equal(whole, usable.reshape(rows, side, columns, side).all(axis=(1, 3)))
    assert (sums.dtype, whole.dtype) == (np.int32, np.bool_)
    # Blocks of blocks are blocks of twice the side.
    for joined, expected in zip(sum_blocks(sums, whole), sum_pixels(rgb, usable, 2 * side), strict=True):
        np.testing.assert_array_equal(joined, expected)
    limit = int(rng.integers(0, 120)) * side**2
    clipped = by_square((sums.min(axis=-1) <= limit) & whole, 2).sum(axis=-1)
    np.testing.assert_array_equal(count_clipped(sums, whole, 2, limit), clipped)


@given(seeds, st.sampled_from([1, 4, 9]))
def test_differences_are_those_of_all_pairs_in_a_square(seed, pixels):
    rng = np.random.default_rng(seed)
    side = 6
    sums = rng.integers(0, MAX_GREY * pixels + 1, (2 * side, side, 3)).astype(np.int32)
    whole = rng.random(sums.shape[:2]) < 0.9
    lags = np.array([1, 4])
    counts = difference_histograms(sums, whole, side, lags, pixels)
    for square in range(2):
        light = sums[square * side : (square + 1) * side] @ np.array([1, 2, 1])
        there = whole[square * side : (square + 1) * side]
        for number, lag in enumerate(lags):
            across = abs(light[:, lag:] - light[:, :-lag])[there[:, lag:] & there[:, :-lag]]
            down = abs(light[lag:] - light[:-lag])[there[lag:] & there[:-lag]]
            bins = np.concatenate([across, down]) // pixels
            expected = np.bincount(bins, minlength=MAX_GREY * GREY_STEPS + 1)
            np.testing.assert_array_equal(counts[square, 0, number], expected)


@given(seeds)
def test_colours_are_counted_as_masks_count_them(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 2))
    described = np.stack(
        [rng.integers(low, high, shape) for low, high in [(0, 4000), (0, 900), (0, 900), *[(-9500, 9500)] * 7]]
    ).astype(np.int16)
    whole, counted = rng.random((2, *shape)) < 0.9
    colours = block_colours(described, whole)
    found = count_colours(colours, counted, 14.0)
    used = counted & whole
    stained = used & (colours.length_mod >= STAINED_MOD)
    along, across, off = (each[stained].astype(np.int64) for each in (colours.along, colours.across, colours.off))
    red = across < RED_ACROSS

    def by_angle(angles, bins):
        return np.bincount(np.clip((angles - ANGLE_LOW) // ANGLE_STEP, 0, bins - 1), minlength=bins)

    lengths = np.clip(colours.length_mod[used].astype(np.int64) // LENGTH_STEP_MOD, 0, LENGTH_BINS - 1)
    np.testing.assert_array_equal(found.length, np.bincount(lengths, minlength=LENGTH_BINS))
    np.testing.assert_array_equal(found.along, by_angle(along, ALONG_BINS))
    np.testing.assert_array_equal(found.across, by_angle(across, ACROSS_BINS))
    np.testing.assert_array_equal(found.red_along, by_angle(along[red], ALONG_BINS))
    chromogen = (colours.length_mod[stained] >= CHROMOGEN_MOD) & (along >= CHROMOGEN_ALONG)
    singles = [stained, colours.neutral_off[stained] <= NEUTRAL_OFF, chromogen, (off >= 1400) & ~red]
    assert found.singles.tolist() == [int(each.sum()) for each in singles]
    h, d, a = (
        each[stained].astype(np.int64) for each in (colours.to_hematoxylin_mod, colours.to_dab_mod, colours.aside_mod)
    )
    products = [h * h, d * d, a * a, h * d, h * a, d * a]
    assert found.moments.tolist() == [int(each.sum()) for each in products]
    assert {each.dtype for each in (found.length, found.along, found.singles, found.moments)} == {np.dtype(np.int64)}
