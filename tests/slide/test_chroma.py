from __future__ import annotations

import cv2
import numpy as np
import pytest

from slide.drawn import Pixels
from slide.jpeg_tiff import coloured
from slidescore.slide.chroma import SMOOTHED, smooth_colours


def plainly(rgb: Pixels, across: bool, down: bool) -> np.ndarray:
    """The same with brightness and colour differences of any precision."""
    brightness = (rgb * [0.299, 0.587, 0.114]).sum(axis=-1, keepdims=True)
    padded = np.pad(rgb - brightness, ((1, 1), (1, 1), (0, 0)), mode="edge")
    blurred = (padded[:, :-2] + 6 * padded[:, 1:-1] + padded[:, 2:]) / 8 if across else padded[:, 1:-1]
    blurred = (blurred[:-2] + 6 * blurred[1:-1] + blurred[2:]) / 8 if down else blurred[1:-1]
    return np.clip(brightness + blurred, 0, 255)


@pytest.mark.parametrize("sampling", SMOOTHED)
def test_it_is_the_plain_formula_but_for_rounding(sampling: str) -> None:
    # Pastels: saturated colours are clipped on the way.
    rgb = (coloured(64, 48) // 4 + 100).astype(np.uint8)
    expected = plainly(rgb, *SMOOTHED[sampling])
    before = rgb.copy()
    smooth_colours(rgb, *SMOOTHED[sampling])
    off = rgb - expected
    assert np.abs(off).max() <= 3
    assert np.abs(off.mean()) < 0.1
    assert np.abs(rgb.astype(int) - before).max() > 2


def test_grey_stays_as_it_is() -> None:
    grey = cv2.cvtColor(coloured(32, 32)[..., 0], cv2.COLOR_GRAY2RGB)
    smooth = grey.copy()
    smooth_colours(smooth, True, True)
    np.testing.assert_array_equal(smooth, grey)


@pytest.mark.parametrize("sampling", SMOOTHED)
@pytest.mark.parametrize(("width", "height"), [(128, 128), (120, 40), (33, 7), (1, 5), (5, 1)])
def test_every_pixel_is_rounded_half_to_even_wherever_it_lies(
    sampling: tuple[int, int], width: int, height: int
) -> None:
    # OpenCV's own filter rounds the last columns of odd widths otherwise.
    rgb = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    colours = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    across, down = ((1, 6, 1) if wanted else (0, 8, 0) for wanted in SMOOTHED[sampling])
    padded = np.pad(colours.astype(int), ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = sum(weight * padded[k : k + height] for k, weight in enumerate(down))
    sums = sum(weight * rows[:, k : k + width] for k, weight in enumerate(across))
    colours[..., 1:] = np.rint(sums / 64)[..., 1:]
    smooth_colours(rgb, *SMOOTHED[sampling])
    np.testing.assert_array_equal(rgb, cv2.cvtColor(colours, cv2.COLOR_YCrCb2RGB))
