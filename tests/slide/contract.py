"""What every backend must do. A backend's test subclasses `ReaderContract` and gives `opened`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from slide.drawn import Pixels, padded
from slidescore.slide import SlideReader


@dataclass
class Opened:
    """A reader and the pixels of each of its levels."""

    reader: SlideReader
    levels: list[Pixels]
    mpp: tuple[float, float] | None


def assert_same_pixels(got: Pixels, expected: Pixels) -> None:
    """Compare RGBA, not caring about the colour of transparent pixels."""
    assert got.dtype == np.uint8
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got[..., 3], expected[..., 3])
    seen = expected[..., 3] > 0
    np.testing.assert_array_equal(got[seen], expected[seen])


class ReaderContract:
    backend: str

    def test_says_what_it_is(self, opened: Opened) -> None:
        reader = opened.reader
        assert reader.backend == self.backend
        assert reader.vendor
        assert isinstance(reader.icc_profile, bool)
        assert all(isinstance(k, str) and isinstance(v, str) for k, v in reader.properties.items())
        if opened.mpp is None:
            assert reader.mpp is None
        else:
            assert reader.mpp == pytest.approx(opened.mpp, rel=1e-3)

    def test_sizes(self, opened: Opened) -> None:
        reader = opened.reader
        sizes = [(level.shape[1], level.shape[0]) for level in opened.levels]
        assert reader.level_count == len(sizes)
        assert list(reader.level_dimensions) == sizes
        assert reader.dimensions == sizes[0]
        assert reader.level_downsamples[0] == 1.0
        for downsample, (width, height) in zip(reader.level_downsamples, sizes, strict=True):
            assert downsample == pytest.approx((sizes[0][0] / width + sizes[0][1] / height) / 2)

    def test_reads_each_level_whole(self, opened: Opened) -> None:
        for level, pixels in enumerate(opened.levels):
            height, width = pixels.shape[:2]
            got = opened.reader.read_region((0, 0), level, (width, height))
            assert_same_pixels(got, padded(pixels, 0, 0, width, height))

    def test_location_is_in_level_0_pixels(self, opened: Opened) -> None:
        for level, downsample in enumerate(opened.reader.level_downsamples):
            got = opened.reader.read_region((round(6 * downsample), round(4 * downsample)), level, (9, 5))
            assert_same_pixels(got, padded(opened.levels[level], 6, 4, 9, 5))

    def test_size_is_width_then_height(self, opened: Opened) -> None:
        assert opened.reader.read_region((0, 0), 0, (7, 3)).shape == (3, 7, 4)

    @pytest.mark.parametrize("corner", [(-5, -3), (-5, 10), (10, -3)])
    def test_alpha_is_0_before_the_slide(self, opened: Opened, corner: tuple[int, int]) -> None:
        assert_same_pixels(opened.reader.read_region(corner, 0, (12, 9)), padded(opened.levels[0], *corner, 12, 9))

    def test_alpha_is_0_past_the_slide(self, opened: Opened) -> None:
        for level, downsample in enumerate(opened.reader.level_downsamples):
            height, width = opened.levels[level].shape[:2]
            location = (round((width - 4) * downsample), round((height - 2) * downsample))
            got = opened.reader.read_region(location, level, (10, 10))
            assert_same_pixels(got, padded(opened.levels[level], width - 4, height - 2, 10, 10))

    @pytest.mark.parametrize("corner", [(100_000, 0), (0, 100_000), (-1000, -1000)])
    def test_alpha_is_0_far_away(self, opened: Opened, corner: tuple[int, int]) -> None:
        assert not opened.reader.read_region(corner, 0, (4, 4))[..., 3].any()

    def test_empty_size(self, opened: Opened) -> None:
        assert opened.reader.read_region((0, 0), 0, (0, 5)).shape == (5, 0, 4)

    def test_refuses_senseless_requests(self, opened: Opened) -> None:
        with pytest.raises(ValueError, match="level"):
            opened.reader.read_region((0, 0), opened.reader.level_count, (1, 1))
        with pytest.raises(ValueError, match="level"):
            opened.reader.read_region((0, 0), -1, (1, 1))
        with pytest.raises(ValueError, match="negative"):
            opened.reader.read_region((0, 0), 0, (-1, 1))
        # ... and goes on working.
        assert opened.reader.read_region((0, 0), 0, (1, 1))[0, 0, 3] == 255

    def test_many_threads_share_one_reader(self, opened: Opened) -> None:
        height, width = opened.levels[0].shape[:2]
        corners = [(x, y) for y in range(-8, height, 17) for x in range(-8, width, 23)] * 3

        def read(corner: tuple[int, int]) -> Pixels:
            return opened.reader.read_region(corner, 0, (23, 17))

        with ThreadPoolExecutor(8) as pool:
            for corner, got in zip(corners, pool.map(read, corners), strict=True):
                assert_same_pixels(got, padded(opened.levels[0], *corner, 23, 17))

    def test_closes_twice_and_reads_no_more(self, opened: Opened) -> None:
        with opened.reader as reader:
            assert reader is opened.reader
        opened.reader.close()
        with pytest.raises(ValueError, match="closed"):
            opened.reader.read_region((0, 0), 0, (1, 1))
