from __future__ import annotations

import numpy as np
import pytest

from slide.drawn import noise
from slidescore.slide import averaging


@pytest.mark.parametrize("factor", range(1, 12))
def test_both_kernels_agree_on_whole_factors(factor: int) -> None:
    pixels = noise(12 * factor, 7 * factor, channels=4)
    pixels[factor, 2 * factor, 3] = 0
    blocks = averaging.average_blocks(pixels, factor, 250)
    unit = 4096
    edges = [np.arange(n + 1, dtype=np.int64) * factor * unit for n in (12, 7)]
    areas = averaging.average_area(pixels, edges[0], edges[1], unit, 250)
    np.testing.assert_array_equal(blocks[0], areas[0])
    np.testing.assert_array_equal(blocks[1], areas[1])
    assert not blocks[1].all()


def test_every_sum_is_rounded_half_to_even() -> None:
    """All the sums that four values can have, each against numpy's rounding."""
    sums = np.arange(4 * 255 + 1)
    values = np.stack([np.clip(sums - 255 * n, 0, 255) for n in range(4)], axis=-1).astype(np.uint8)
    rgba = np.full((2, 2 * len(sums), 4), 255, np.uint8)
    for n in range(4):
        rgba[n // 2, n % 2 :: 2, :3] = values[:, n, None]
    rgb, _ = averaging.average_blocks(rgba, 2, 250)
    np.testing.assert_array_equal(rgb[0, :, 0], np.rint(sums / 4))


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("size", [(8, 6), (33, 7), (1, 1)])
def test_what_is_opaque_is_averaged_as_anything_else(factor: int, size: tuple[int, int]) -> None:
    pixels = noise(size[0] * factor, size[1] * factor, channels=4, seed=factor)
    plain = np.empty((size[1], size[0], 3), np.uint8)
    averaging._average_blocks(pixels, factor, 250, plain, np.empty(plain.shape[:2], np.bool_))
    np.testing.assert_array_equal(averaging.average_opaque(pixels, factor), plain)
    rgb, valid = averaging.average_blocks(pixels, factor, 250)
    np.testing.assert_array_equal(rgb, plain)
    assert valid.all()
    pixels[..., 3] = noise(size[0] * factor, size[1] * factor)[..., 0]
    np.testing.assert_array_equal(averaging.average_opaque(pixels, factor), plain)


def test_rows_that_are_cut_out_of_others_are_averaged_too() -> None:
    pixels = noise(21, 15, channels=4)
    np.testing.assert_array_equal(
        averaging.average_opaque(pixels[1:14, 2:19], 2), averaging.average_opaque(pixels[1:14, 2:19].copy(), 2)
    )


def test_every_sum_of_opaque_pixels_is_rounded_half_to_even() -> None:
    sums = np.arange(4 * 255 + 1)
    rgbx = np.zeros((2, 2 * len(sums), 4), np.uint8)
    for n in range(4):
        rgbx[n // 2, n % 2 :: 2] = np.clip(sums - 255 * n, 0, 255)[:, None]
    for channel in range(3):
        np.testing.assert_array_equal(averaging.average_opaque(rgbx, 2)[0, :, channel], np.rint(sums / 4))
