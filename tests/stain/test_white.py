"""White is what clear glass looks like, or 255 with a word about it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.stain import DEFAULT_WHITE, brightest_common_rgb, measure_white

GLASS = np.array([[240, 238, 230], [242, 240, 232], [250, 250, 250]], np.uint8)


def test_white_is_the_median_of_each_channel():
    white = measure_white(GLASS, min_pixels=3, min_intensity=200)
    assert (white.rgb, white.source, white.n_pixels) == ((242.0, 240.0, 232.0), "glass", 3)


def test_too_little_glass_is_not_believed():
    white = measure_white(GLASS, min_pixels=4, min_intensity=200)
    assert (white.rgb, white.source, white.n_pixels) == (DEFAULT_WHITE, "255", 3)


def test_dark_glass_is_not_believed_in_any_channel():
    assert measure_white(GLASS, min_pixels=1, min_intensity=232).source == "glass"
    assert measure_white(GLASS, min_pixels=1, min_intensity=233).source == "255"


def test_no_pixel_at_all():
    none = np.empty((0, 3), np.uint8)
    assert measure_white(none, min_pixels=1, min_intensity=0).rgb == DEFAULT_WHITE
    assert brightest_common_rgb(none) == DEFAULT_WHITE


@given(st.integers(0, 255), st.integers(1, 300))
def test_a_plain_image_is_its_own_brightest_colour(value, n):
    assert brightest_common_rgb(np.full((n, 3), value, np.uint8)) == pytest.approx((max(value, 1),) * 3)


def test_a_few_hot_pixels_are_not_common():
    pixels = np.full((1000, 3), 230, np.uint8)
    pixels[:5] = 255
    assert brightest_common_rgb(pixels) == (230.0, 230.0, 230.0)
