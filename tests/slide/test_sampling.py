from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slide.drawn import Pixels, drop_tiles, halved, noise, write_pyramid
from slidescore.slide import AnalysisGrid, ArrayReader, SlideReader, open_slide, plan_grid, read_analysis

SNAP = 0.02


def whole(reader: SlideReader, grid: AnalysisGrid) -> tuple[Pixels, np.ndarray]:
    return read_analysis(reader, grid, 0, 0, grid.width_px, grid.height_px)


def reference(pixels: Pixels, factor: float, row: int, column: int) -> np.ndarray:
    """The mean over one analysis pixel, in floating point."""
    total, area = np.zeros(3), 0.0
    y0, y1, x0, x1 = row * factor, (row + 1) * factor, column * factor, (column + 1) * factor
    for y in range(math.floor(y0), math.ceil(y1)):
        for x in range(math.floor(x0), math.ceil(x1)):
            weight = (min(y1, y + 1) - max(y0, y)) * (min(x1, x + 1) - max(x0, x))
            if weight > 0:
                total += weight * pixels[y, x, :3]
                area += weight
    return total / area


class TestPlan:
    def levels(self) -> ArrayReader:
        blank = np.full((512, 512, 3), 255, np.uint8)
        return ArrayReader(blank, levels=[blank[: 512 // d, : 512 // d] for d in (2, 4, 16)])

    @pytest.mark.parametrize(
        ("mpp", "wanted", "level", "factor"),
        [
            (0.25, 0.25, 0, 1),
            (0.25, 0.5, 1, 1),
            (0.25, 0.75, 1, 1.5),
            (0.25, 1.0, 2, 1),
            (0.25, 3.0, 2, 3),
            (0.25, 8.0, 3, 2),
            (0.5, 0.5, 0, 1),
            (0.5022, 0.5, 0, 1),
            (0.4985, 0.5, 0, 1),
            (0.2456, 0.5, 1, 1),
            (0.2522, 0.5, 1, 1),
            (0.33, 0.5, 0, 0.5 / 0.33),
        ],
    )
    def test_the_nearest_finer_level_is_read(self, mpp: float, wanted: float, level: int, factor: float) -> None:
        grid = plan_grid(self.levels(), mpp, wanted, SNAP)
        assert grid.level == level
        assert grid.factor == pytest.approx(factor)
        assert grid.analysis_mpp == pytest.approx(mpp * grid.px_to_l0)
        assert abs(grid.analysis_mpp / wanted - 1) <= SNAP + 1e-9
        assert not grid.upsampled
        assert grid.width_px == math.ceil(512 / grid.level_downsample / factor)

    def test_a_coarse_slide_is_upsampled(self) -> None:
        grid = plan_grid(self.levels(), 1.0, 0.5, SNAP)
        assert grid.upsampled
        assert (grid.level, grid.factor, grid.width_px) == (0, 0.5, 1024)
        assert grid.px_to_l0 == 0.5

    def test_the_last_pixel_may_be_cut(self) -> None:
        reader = ArrayReader(noise(5, 7))
        grid = plan_grid(reader, 0.25, 0.5, SNAP)
        assert (grid.width_px, grid.height_px) == (3, 4)
        valid = whole(reader, grid)[1]
        assert valid[:3, :2].all()
        assert not valid[3].any()
        assert not valid[:, 2].any()

    def test_one_pixel_is_one_pixel(self) -> None:
        reader = ArrayReader(noise(1, 1))
        assert whole(reader, plan_grid(reader, 0.5, 0.5, SNAP))[1].all()
        grid = plan_grid(reader, 0.5, 8.0, SNAP)
        assert (grid.width_px, grid.height_px) == (1, 1)
        assert not whole(reader, grid)[1].any()

    @pytest.mark.parametrize(("mpp", "wanted"), [(0.0, 0.5), (-1.0, 0.5), (0.5, 0.0), (0.001, 10.0)])
    def test_senseless_resolutions_are_refused(self, mpp: float, wanted: float) -> None:
        with pytest.raises(ValueError, match=r"positive|coarser"):
            plan_grid(ArrayReader(noise(4, 4)), mpp, wanted, SNAP)

    def test_region_covers_the_pixels(self) -> None:
        grid = plan_grid(ArrayReader(noise(100, 100)), 0.3, 0.5, SNAP)
        region = grid.region(3, 6, 4, 5)
        assert region.x == 5
        assert region.x_end == math.ceil(7 * 0.5 / 0.3)
        assert region.y == 10
        assert region.y_end == math.ceil(11 * 0.5 / 0.3)


class TestAverage:
    @pytest.mark.parametrize("factor", [1.0, 2.0, 3.0, 7.0, 32.0])
    def test_whole_factors_are_box_means_rounded_half_to_even(self, factor: float) -> None:
        pixels = noise(96, 64)
        reader = ArrayReader(pixels)
        rgb, valid = whole(reader, plan_grid(reader, 0.25, 0.25 * factor, SNAP))
        f = int(factor)
        h, w = 64 // f, 96 // f
        boxes = pixels[: h * f, : w * f].reshape(h, f, w, f, 3).sum(axis=(1, 3), dtype=np.int64)
        np.testing.assert_array_equal(rgb[:h, :w], np.rint(boxes / (f * f)))
        assert valid[:h, :w].all()

    @pytest.mark.parametrize("factor", [0.4, 0.5, 0.77, 1.3, 1.515, 2.5, 5.9])
    def test_fractions_are_area_weighted(self, factor: float) -> None:
        pixels = noise(41, 37)
        reader = ArrayReader(pixels)
        grid = plan_grid(reader, 1.0, factor, 0.0)
        rgb, valid = whole(reader, grid)
        assert valid.any()
        for row, column in np.argwhere(valid):
            assert np.abs(rgb[row, column] - reference(pixels, factor, row, column)).max() <= 0.75

    @pytest.mark.parametrize(("upper", "lower", "mean"), [(1, 0, 0), (1, 2, 2), (254, 255, 254), (252, 255, 254)])
    def test_exact_halves_go_to_the_even_number(self, upper: int, lower: int, mean: int) -> None:
        pixels = np.full((2, 2, 3), lower, np.uint8)
        pixels[0] = upper
        for factor in (2, 1.9999):
            reader = ArrayReader(pixels)
            assert read_analysis(reader, plan_grid(reader, 1, factor, 0.0), 0, 0, 1, 1)[0].tolist() == [[[mean] * 3]]

    @given(value=st.integers(0, 255), factor=st.floats(0.3, 40))
    @settings(max_examples=60, deadline=None)
    def test_a_constant_image_stays_constant(self, value: int, factor: float) -> None:
        reader = ArrayReader(np.full((80, 90, 3), value, np.uint8))
        rgb, valid = whole(reader, plan_grid(reader, 1.0, factor, SNAP))
        assert valid.any()
        assert (rgb[valid] == value).all()

    @given(seed=st.integers(0, 10_000), factor=st.floats(0.3, 6))
    @settings(max_examples=40, deadline=None)
    def test_the_mean_is_kept(self, seed: int, factor: float) -> None:
        pixels = noise(72, 60, seed=seed)
        reader = ArrayReader(pixels)
        grid = plan_grid(reader, 1.0, factor, 0.0)
        rgb, valid = whole(reader, grid)
        rows, columns = valid.any(axis=1).sum(), valid.any(axis=0).sum()
        mean = rgb[:rows, :columns].mean(axis=(0, 1))
        height, width = rows * grid.factor, columns * grid.factor
        weights_y = np.clip(height - np.arange(60), 0, 1)
        weights_x = np.clip(width - np.arange(72), 0, 1)
        expected = np.einsum("y,x,yxc->c", weights_y, weights_x, pixels.astype(float)) / (height * width)
        # Rounding averages out: 0.29 / sqrt(n) is its standard error, plus the fixed point's share.
        assert np.abs(mean - expected).max() <= 6 * 0.29 / math.sqrt(rows * columns) + 0.05

    @pytest.mark.parametrize("value", [0, 255])
    def test_the_largest_factor_does_not_overflow(self, value: int) -> None:
        reader = ArrayReader(np.full((2000, 2000, 3), value, np.uint8))
        for wanted in (2000.0, 1999.9):
            rgb, valid = read_analysis(reader, plan_grid(reader, 1.0, wanted, 0.0), 0, 0, 1, 1)
            assert rgb.tolist() == [[[value] * 3]]
            assert valid.all()


class TestTransparency:
    @pytest.mark.parametrize("factor", [1.0, 2.0, 1.5, 0.5])
    def test_pixels_that_touch_a_hole_are_white_and_not_valid(self, factor: float) -> None:
        pixels = noise(24, 24, channels=4)
        pixels[6, 9] = (0, 0, 0, 0)
        reader = ArrayReader(pixels)
        rgb, valid = whole(reader, plan_grid(reader, 1.0, factor, 0.0))
        for row, column in np.ndindex(valid.shape):
            touches = row * factor < 7 and (row + 1) * factor > 6 and column * factor < 10 and (column + 1) * factor > 9
            assert valid[row, column] != touches
        assert (rgb[~valid] == 255).all()

    @pytest.mark.parametrize("factor", [1.0, 2.0, 1.7])
    def test_the_colour_of_transparent_pixels_does_not_matter(self, factor: float) -> None:
        black, white = noise(24, 24, channels=4), noise(24, 24, channels=4)
        black[5:11, 3:14] = 0
        white[5:11, 3:14] = (255, 255, 255, 0)
        grids = [plan_grid(ArrayReader(p), 1.0, factor, 0.0) for p in (black, white)]
        results = [whole(ArrayReader(p), g) for p, g in zip((black, white), grids, strict=True)]
        np.testing.assert_array_equal(results[0][0], results[1][0])
        np.testing.assert_array_equal(results[0][1], results[1][1])

    def test_translucent_pixels_do_not_count(self) -> None:
        pixels = noise(4, 1, channels=4)
        pixels[0, :, 3] = (255, 250, 249, 1)
        reader = ArrayReader(pixels)
        assert whole(reader, plan_grid(reader, 0.5, 0.5, SNAP))[1].tolist() == [[True, True, False, False]]

    @pytest.mark.parametrize("factor", [1.0, 2.0, 1.5])
    def test_rectangles_may_reach_outside(self, factor: float) -> None:
        pixels = noise(20, 16)
        reader = ArrayReader(pixels)
        grid = plan_grid(reader, 1.0, factor, 0.0)
        rgb, valid = whole(reader, grid)
        outer_rgb, outer_valid = read_analysis(reader, grid, -3, -2, grid.width_px + 8, grid.height_px + 7)
        inner = (slice(2, 2 + grid.height_px), slice(3, 3 + grid.width_px))
        np.testing.assert_array_equal(outer_rgb[inner], rgb)
        np.testing.assert_array_equal(outer_valid[inner], valid)
        assert outer_valid.sum() == valid.sum()
        assert (outer_rgb[~outer_valid] == 255).all()

    @pytest.mark.parametrize("corner", [(-50, 0), (0, -50), (50, 0), (0, 50), (10**7, 10**7)])
    def test_rectangles_may_lie_outside(self, corner: tuple[int, int]) -> None:
        reader = ArrayReader(noise(20, 16))
        rgb, valid = read_analysis(reader, plan_grid(reader, 0.5, 0.5, SNAP), *corner, 30, 30)
        assert rgb.shape == (30, 30, 3)
        assert not valid.any()
        assert (rgb == 255).all()

    def test_missing_tiles_are_never_black(self, tmp_path: Path) -> None:
        pixels = np.full((256, 256, 3), 200, np.uint8)
        path = write_pyramid(tmp_path / "missing.tiff", [pixels])
        drop_tiles(path, [5, 10])
        with open_slide(path) as reader:
            rgb, valid = whole(reader, plan_grid(reader, 0.25, 0.5, SNAP))
        assert (~valid).sum() == 2 * 32 * 32
        assert (rgb[valid] == 200).all()
        assert (rgb[~valid] == 255).all()


class TestOneGrid:
    """A rectangle holds what any larger rectangle holds there, bit for bit."""

    @given(
        factor=st.one_of(st.floats(0.3, 6), st.integers(1, 6).map(float)),
        x=st.integers(-5, 60),
        y=st.integers(-5, 60),
        width=st.integers(1, 30),
        height=st.integers(1, 30),
    )
    @settings(max_examples=150, deadline=None)
    def test_cutting_is_reading(self, factor: float, x: int, y: int, width: int, height: int) -> None:
        pixels = noise(150, 130, channels=4)
        pixels[40:60, 70:80, 3] = 0
        reader = ArrayReader(pixels)
        grid = plan_grid(reader, 1.0, factor, SNAP)
        large_rgb, large_valid = read_analysis(reader, grid, -5, -5, 100, 100)
        rgb, valid = read_analysis(reader, grid, x, y, width, height)
        cut = (slice(y + 5, y + 5 + height), slice(x + 5, x + 5 + width))
        np.testing.assert_array_equal(rgb, large_rgb[cut])
        np.testing.assert_array_equal(valid, large_valid[cut])

    @given(
        wanted=st.sampled_from([1.0, 2.0, 2.4, 4.0, 8.0]),
        x=st.integers(0, 500),
        y=st.integers(0, 500),
        size=st.integers(1, 64),
    )
    @settings(max_examples=60, deadline=None)
    def test_also_where_level_pixels_fall_between_level_0_pixels(
        self, odd_pyramid: SlideReader, wanted: float, x: int, y: int, size: int
    ) -> None:
        assert not odd_pyramid.level_downsamples[1].is_integer()
        grid = plan_grid(odd_pyramid, 1.0, wanted, SNAP)
        rgb, valid = whole(odd_pyramid, grid)
        x, y = min(x, grid.width_px - 1), min(y, grid.height_px - 1)
        width, height = min(size, grid.width_px - x), min(size, grid.height_px - y)
        part_rgb, part_valid = read_analysis(odd_pyramid, grid, x, y, width, height)
        np.testing.assert_array_equal(part_rgb, rgb[y : y + height, x : x + width])
        np.testing.assert_array_equal(part_valid, valid[y : y + height, x : x + width])

    @pytest.fixture(scope="class")
    @staticmethod
    def odd_pyramid(tmp_path_factory: pytest.TempPathFactory) -> SlideReader:
        pixels = noise(1007, 1003)
        path = write_pyramid(tmp_path_factory.mktemp("odd") / "odd.tiff", [pixels, halved(pixels)])
        return open_slide(path)

    def test_interpolated_seams_are_valid(self, odd_pyramid: SlideReader) -> None:
        grid = plan_grid(odd_pyramid, 1.0, 2.0, SNAP)
        assert grid.level == 1
        assert whole(odd_pyramid, grid)[1][:-2, :-2].all()

    def test_threads_change_nothing(self, odd_pyramid: SlideReader) -> None:
        grid = plan_grid(odd_pyramid, 1.0, 1.7, SNAP)
        rgb, _ = whole(odd_pyramid, grid)
        corners = [(x, y) for x in range(0, 500, 60) for y in range(0, 500, 60)]
        with ThreadPoolExecutor(6) as pool:
            tiles = list(pool.map(lambda c: read_analysis(odd_pyramid, grid, *c, 60, 60)[0], corners))
        for (x, y), tile in zip(corners, tiles, strict=True):
            np.testing.assert_array_equal(tile, rgb[y : y + 60, x : x + 60])
