from __future__ import annotations

import numpy as np
import pytest

from slide.contract import Opened, ReaderContract
from slide.drawn import halved, noise
from slidescore.geometry import Region
from slidescore.slide import ArrayReader


class TestRgb(ReaderContract):
    backend = "array"

    @pytest.fixture
    def opened(self) -> Opened:
        pixels = noise(90, 70)
        levels = [pixels, halved(pixels), halved(halved(pixels))]
        return Opened(ArrayReader(pixels, mpp=0.25, levels=levels[1:]), levels, (0.25, 0.25))


class TestRgba(ReaderContract):
    backend = "array"

    @pytest.fixture
    def opened(self) -> Opened:
        pixels = noise(61, 83, channels=4)
        pixels[20:40, 10:30, 3] = 0
        return Opened(ArrayReader(pixels), [pixels], None)


def test_axes_may_differ_and_bounds_are_kept() -> None:
    bounds = Region(2, 3, 4, 5)
    reader = ArrayReader(noise(20, 20), mpp=(0.25, 0.5), bounds=bounds, vendor="mirax")
    assert reader.mpp == (0.25, 0.5)
    assert reader.bounds == bounds
    assert reader.vendor == "mirax"


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_refuses_other_arrays(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="need uint8"):
        ArrayReader(pixels)


def test_a_read_is_a_copy() -> None:
    pixels = noise(10, 10, channels=4)
    before = pixels.copy()
    ArrayReader(pixels).read_region((0, 0), 0, (10, 10))[:] = 0
    np.testing.assert_array_equal(pixels, before)
