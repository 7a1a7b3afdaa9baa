"""Tiles of the review grid against what the readers give, at every scale and at every edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from classical_assay import classical_assay
from report.made_cells import make_cells
from slide.jpeg_tiff import area_halves, coloured, write_jpeg_tiff
from slidescore.errors import SlideOpenError
from slidescore.geometry import Region
from slidescore.qc.overlay import prepare_cells
from slidescore.report.overlay_pyramid import MISSING_COLOUR, write_overlay
from slidescore.review import pixel_source
from slidescore.review.pixel_source import PixelSource, open_overlay_pixels, open_slide_pixels
from slidescore.review.tile_grid import TILE_PX
from slidescore.slide import ArrayReader, open_slide
from slidescore.slide.averaging import average_blocks


def whole(source: PixelSource, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All tiles of one k, put together."""
    width, height = -(-source.grid.width_l0 >> k), -(-source.grid.height_l0 >> k)
    rgb, valid = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.bool_)
    for row in range(-(-height // TILE_PX)):
        for column in range(-(-width // TILE_PX)):
            size = source.grid.tile_size_px(k, column, row)
            place = np.s_[row * TILE_PX : row * TILE_PX + size[1], column * TILE_PX : column * TILE_PX + size[0]]
            rgb[place], valid[place] = source.read_tile(k, column, row)
    return rgb, valid


def block_means(rgba: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The plain way: means over whole blocks, and what is missing in its colour; blocks that the end cuts are."""
    factor = 1 << k
    height, width = rgba.shape[:2]
    padded = np.zeros((-(-height // factor) * factor, -(-width // factor) * factor, 4), np.uint8)
    padded[:height, :width] = rgba
    rgb, valid = average_blocks(padded, factor, 250)
    rgb[~valid] = MISSING_COLOUR
    return rgb, valid


def opaque(rgb: np.ndarray) -> np.ndarray:
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


class TestPixels:
    def test_a_flat_array_gives_its_own_pixels_and_their_block_means(self) -> None:
        pixels = coloured(700, 530)
        source = PixelSource(lambda: ArrayReader(pixels))
        assert source.grid.k_max == 2
        for k in range(3):
            rgb, valid = whole(source, k)
            expected = block_means(opaque(pixels), k)
            assert np.array_equal(rgb, expected[0])
            assert np.array_equal(valid, expected[1])

    @pytest.mark.parametrize("tile", [64, 240, 256])
    def test_a_jpeg_pyramid_gives_what_read_region_gives_level_by_level(self, tmp_path: Path, tile: int) -> None:
        level = coloured(2080, 1360)
        path = write_jpeg_tiff(tmp_path / "a.tiff", [level, area_halves(level, 4), area_halves(level, 16)], tile=tile)
        source = open_slide_pixels(path)
        with open_slide(path) as reader:
            assert reader.backend == "tiles"
            for number, k in ((0, 0), (1, 2), (2, 4)):
                direct = reader.read_region((0, 0), number, reader.level_dimensions[number])
                assert np.array_equal(whole(source, k)[0], direct[..., :3])
                if k + 1 <= source.grid.k_max:
                    assert np.array_equal(whole(source, k + 1)[0], block_means(direct, 1)[0])
        source.close()

    def test_holes_and_what_lies_outside_the_bounds_have_the_viewers_own_colour(self) -> None:
        pixels = opaque(coloured(600, 600))
        pixels[100:300, 50:280] = 0
        bounds = Region(0, 0, 600, 400)
        pixels[400:] = 0
        source = PixelSource(lambda: ArrayReader(pixels, bounds=bounds))
        for k in range(2):
            rgb, valid = whole(source, k)
            expected, held = block_means(pixels, k)
            assert np.array_equal(valid, held)
            assert np.array_equal(rgb, expected)
        assert tuple(whole(source, 0)[0][200, 100]) == MISSING_COLOUR

    def test_far_tiles_are_means_of_the_whole_picture(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pixel_source, "FAR_PX", 400)
        pixels = opaque(coloured(3000, 1700))
        pixels[:200, 2600:] = 0
        source = PixelSource(lambda: ArrayReader(pixels))
        assert source.grid.k_max == 4
        for k in (3, 4):
            rgb, valid = whole(source, k)
            expected, held = block_means(pixels, k)
            assert np.array_equal(valid, held)
            # A mean of rounded means.
            assert np.abs(rgb.astype(int) - expected).max() <= 1

    def test_much_of_a_level_is_read_in_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pixels = coloured(1500, 1100)
        at_once = PixelSource(lambda: ArrayReader(pixels))
        monkeypatch.setattr(pixel_source, "BLOCK_PX", 300)
        in_parts = PixelSource(lambda: ArrayReader(pixels))
        for k in range(4):
            assert np.array_equal(whole(at_once, k)[0], whole(in_parts, k)[0])

    def test_levels_that_are_no_whole_fraction_still_lie_in_their_place(self) -> None:
        # 1001 / 4 is 250.25: the level has 250, and says 4.004. And a level of a third is none of the grid's scales.
        rng = np.random.default_rng(0)
        pixels = np.repeat(np.repeat(rng.integers(0, 256, (91, 91, 3), np.uint8), 11, 0), 11, 1)
        quarter = area_halves(pixels, 4)
        third = area_halves(pixels, 3)
        exact = PixelSource(lambda: ArrayReader(pixels))
        for level, most in ((quarter, 0.5), (third, 15)):
            source = PixelSource(lambda level=level: ArrayReader(pixels, levels=[level]))
            got, want = whole(source, 2)[0][:240, :240].astype(int), whole(exact, 2)[0][:240, :240].astype(int)
            assert np.abs(got - want).mean() < most
            for shifted in (got[:, 1:] - want[:, :-1], got[:, :-1] - want[:, 1:]):
                assert np.abs(shifted).mean() > 1.5 * most

    @pytest.mark.parametrize("tile", [(0, 3, 0), (0, 0, 3), (5, 0, 0), (-1, 0, 0)])
    def test_a_tile_that_is_none_is_refused(self, tile: tuple[int, int, int]) -> None:
        source = PixelSource(lambda: ArrayReader(coloured(700, 530)))
        with pytest.raises(ValueError, match="no tile"):
            source.read_tile(*tile)


class Broken(ArrayReader):
    """Cannot read what touches its left half; its errors stick, as OpenSlide's."""

    n_open = 0

    def __init__(self, pixels: np.ndarray) -> None:
        super().__init__(pixels)
        self.failed = False
        Broken.n_open += 1

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> np.ndarray:
        if self.failed or location[0] < 256:
            self.failed = True
            raise SlideOpenError("cannot be decoded")
        return super().read_region(location, level, size)

    def close(self) -> None:
        Broken.n_open -= 1
        super().close()


class TestErrors:
    def test_what_cannot_be_read_is_missing_and_the_rest_goes_on(self) -> None:
        pixels = coloured(512, 512)
        source = PixelSource(lambda: Broken(pixels))
        for _ in range(2):
            rgb, valid = source.read_tile(0, 0, 0)
            assert not valid.any()
            assert (rgb == MISSING_COLOUR).all()
            rgb, valid = source.read_tile(0, 1, 0)
            assert valid.all()
            assert np.array_equal(rgb, pixels[:256, 256:])
        source.close()
        assert Broken.n_open == 0

    def test_a_slide_that_is_gone_is_missing_pixels(self, tmp_path: Path) -> None:
        readers = [ArrayReader(coloured(300, 300))]

        def open_once() -> ArrayReader:
            if not readers:
                raise SlideOpenError("no such file")
            return readers.pop()

        source = PixelSource(open_once)
        with pytest.raises(ZeroDivisionError), source._readers.reader():
            raise ZeroDivisionError
        assert not source.read_tile(0, 0, 0)[1].any()

    def test_a_file_that_is_no_slide_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tiff"
        path.write_bytes(b"II*\0 nothing")
        with pytest.raises(SlideOpenError):
            open_slide_pixels(path)


class TestOverlay:
    @pytest.fixture
    def overlay(self, tmp_path: Path) -> Path:
        pixels = np.full((1200, 1600, 3), 230, np.uint8)
        pixels[400:800, 800:1200] = (60, 60, 160)
        cells = prepare_cells(make_cells([], []), classical_assay())
        write_overlay(tmp_path / "overlay.tiff", ArrayReader(pixels), 0.253, 1.0, cells, tile=256)
        return tmp_path / "overlay.tiff"

    def record(self, width: int = 1600, height: int = 1200) -> dict[str, dict[str, float]]:
        return {"slide": {"width": width, "height": height, "mpp": 0.253}}

    def test_it_lies_where_the_slide_lay(self, overlay: Path) -> None:
        source = open_overlay_pixels(overlay, self.record())
        assert source.kind == "overlay"
        assert (source.grid.width_l0, source.grid.height_l0, source.grid.k_min) == (1600, 1200, 2)
        for k in (2, 3):
            dark = whole(source, k)[0][..., 0] < 145
            rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
            edges = np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]) * 2**k
            assert np.abs(edges - (400, 800, 800, 1200)).max() <= 2**k
        source.close()

    def test_that_of_another_slide_is_refused(self, overlay: Path) -> None:
        with pytest.raises(SlideOpenError, match="not of this slide"):
            open_overlay_pixels(overlay, self.record(width=1500))

    def test_a_missing_one_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SlideOpenError):
            open_overlay_pixels(tmp_path / "overlay.tiff", self.record())
