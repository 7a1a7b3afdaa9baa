from __future__ import annotations

import numpy as np
import pytest

from slide.drawn import Pixels, noise
from slidescore.geometry import Region
from slidescore.slide import ArrayReader, plan_grid, plan_thumbnail, read_analysis, read_thumbnail, thumbnail


class Counting(ArrayReader):
    """Notes what is read."""

    def __init__(self, pixels: Pixels, bounds: Region | None = None) -> None:
        super().__init__(pixels, bounds=bounds)
        self.areas: list[int] = []
        self.corners: list[tuple[int, int]] = []

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> Pixels:
        self.areas.append(size[0] * size[1])
        self.corners.append(location)
        return super().read_region(location, level, size)


@pytest.mark.parametrize("wanted", [2.0, 8.0, 5.3, 0.7])
@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_leave_no_trace(monkeypatch: pytest.MonkeyPatch, wanted: float, threads: int) -> None:
    monkeypatch.setattr(thumbnail, "_BLOCK_PX", 50)
    reader = Counting(noise(313, 211))
    grid = plan_grid(reader, 1.0, wanted, 0.0)
    rgb, valid = read_thumbnail(reader, grid, threads=threads)
    assert len(reader.areas) > 1
    assert max(reader.areas) <= 52 * 52
    expected_rgb, expected_valid = read_analysis(reader, grid, 0, 0, grid.width_px, grid.height_px)
    np.testing.assert_array_equal(rgb, expected_rgb)
    np.testing.assert_array_equal(valid, expected_valid)


def test_only_the_scanned_area_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnail, "_BLOCK_PX", 64)
    pixels = np.zeros((512, 512, 4), np.uint8)
    pixels[200:260, 300:420] = (90, 60, 30, 255)
    everything, bounded = Counting(pixels), Counting(pixels, bounds=Region(300, 200, 120, 60))
    grid = plan_grid(bounded, 1.0, 4.0, 0.0)
    results = [read_thumbnail(reader, grid) for reader in (everything, bounded)]
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert results[1][1].sum() == 15 * 30
    assert len(bounded.areas) < len(everything.areas) / 4


@pytest.mark.parametrize(("size", "max_px", "expected"), [((1000, 500), 100, (100, 50)), ((60, 40), 100, (60, 40))])
def test_a_thumbnail_has_the_wanted_size(size: tuple[int, int], max_px: int, expected: tuple[int, int]) -> None:
    grid = plan_thumbnail(ArrayReader(noise(*size)), 0.25, max_px)
    assert (grid.width_px, grid.height_px) == expected
