from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest
import shapely
import tifffile
from imagecodecs import imread

from classical_assay import classical_assay
from report.made_cells import make_cells, scattered_cells
from slidescore.geometry import Region
from slidescore.qc.overlay import BIN_COLOURS, prepare_cells
from slidescore.report.overlay_pyramid import MISSING_COLOUR, small_jpeg, write_overlay, write_thumbnail
from slidescore.slide import ArrayReader

ASSAY = classical_assay()
NO_CELLS = prepare_cells(make_cells([], []), ASSAY)
PINK = (230, 200, 210)


def tinted(width: int, height: int, *, alpha: int = 255) -> np.ndarray:
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[:] = (*PINK, alpha)
    return pixels


def opened(path: Path, level: int = 0) -> np.ndarray:
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))


class TestOverlay:
    def test_openslide_reads_levels_and_resolution(self, tmp_path: Path) -> None:
        path = tmp_path / "overlay.tiff"
        stated = write_overlay(path, ArrayReader(tinted(2600, 1400), mpp=0.5), 0.5, 1.0, NO_CELLS, tile=256)
        assert stated == 1.0
        with openslide.OpenSlide(path) as slide:
            assert slide.level_dimensions == ((1300, 700), (650, 350), (325, 175), (163, 88))
            assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(1.0)
            assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(1.0)
            assert slide.properties["openslide.vendor"] == "generic-tiff"
        with tifffile.TiffFile(path) as tiff:
            assert [page.subfiletype for page in tiff.pages] == [0, 1, 1, 1]
            assert [page.get_resolution("CENTIMETER")[0] for page in tiff.pages] == [10_000, 5000, 2500, 1250]
            assert {page.tags["Software"].value for page in tiff.pages} == {"slidescore"}
            assert not any(tag.name in ("DateTime", "ImageDescription") for page in tiff.pages for tag in page.tags)

    def test_the_same_input_gives_the_same_bytes_for_any_threads(self, tmp_path: Path) -> None:
        cells = prepare_cells(scattered_cells(300, 1800, 1500), ASSAY)
        pixels = np.random.default_rng(0).integers(120, 255, (1500, 1800, 3), np.uint8)
        contents = []
        for number, threads in enumerate((1, 1, 3)):
            path = tmp_path / f"{number}.tiff"
            write_overlay(path, ArrayReader(pixels), 0.5, 1.0, cells, tile=256, threads=threads)
            contents.append(path.read_bytes())
        assert contents[0] == contents[1] == contents[2]

    def test_outlines_are_found_again_at_their_place_on_every_level(self, tmp_path: Path) -> None:
        path = tmp_path / "overlay.tiff"
        cells = make_cells([(1000.0, 600.0)], [0.9], half=120)
        write_overlay(path, ArrayReader(tinted(2048, 1024)), 0.5, 1.0, prepare_cells(cells, ASSAY), tile=256)
        for level in range(3):
            rgb = opened(path, level)[..., :3].astype(int)
            red = rgb[..., 1] < PINK[1] - 130 / 2**level
            columns, rows = np.flatnonzero(red.any(axis=0)), np.flatnonzero(red.any(axis=1))
            assert columns[0] == pytest.approx(440 / 2**level, abs=1)
            assert columns[-1] == pytest.approx(560 / 2**level, abs=1)
            assert rows[0] == pytest.approx(240 / 2**level, abs=1)
            assert rows[-1] == pytest.approx(360 / 2**level, abs=1)
        assert np.abs(opened(path)[300, 440, :3].astype(int) - BIN_COLOURS[3]).max() < 40

    def test_missing_pixels_are_light_and_never_black(self, tmp_path: Path) -> None:
        pixels = tinted(1000, 900)
        pixels[200:700, 300:1000] = 0  # transparent black, as MRXS readers give
        path = tmp_path / "overlay.tiff"
        write_overlay(path, ArrayReader(pixels, bounds=Region(0, 0, 1000, 800)), 1.0, 1.0, NO_CELLS, tile=256)
        with openslide.OpenSlide(path) as slide:
            levels = slide.level_count
        for level in range(levels):
            rgba = opened(path, level)
            assert rgba[..., :3].min() > 180
            assert (rgba[..., 3] == 255).all()
        assert np.abs(opened(path)[400, 600, :3].astype(int) - MISSING_COLOUR).max() <= 2

    def test_a_slide_coarser_than_the_overlay_keeps_its_own_resolution(self, tmp_path: Path) -> None:
        path = tmp_path / "overlay.tiff"
        assert write_overlay(path, ArrayReader(tinted(300, 200)), 2.0, 1.0, NO_CELLS) == 2.0
        with openslide.OpenSlide(path) as slide:
            assert slide.dimensions == (300, 200)
            assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(2.0)

    def test_odd_sizes_and_one_pixel(self, tmp_path: Path) -> None:
        for width, height in ((1, 1), (513, 511), (1025, 3)):
            path = tmp_path / f"{width}.tiff"
            write_overlay(path, ArrayReader(tinted(width, height)), 1.0, 1.0, NO_CELLS)
            rgba = opened(path)
            assert rgba.shape[:2] == (height, width)
            assert np.abs(rgba[..., :3].astype(int) - PINK).max() <= 4

    def test_a_coarse_overlay_shows_dots(self, tmp_path: Path) -> None:
        path = tmp_path / "overlay.tiff"
        cells = prepare_cells(make_cells([(1000.0, 600.0)], [0.9]), ASSAY)
        write_overlay(path, ArrayReader(tinted(2048, 1024)), 0.5, 4.0, cells)
        rgb = opened(path)[..., :3].astype(int)
        assert rgb[75, 125, 1] < 160

    def test_excluded_areas_are_hatched(self, tmp_path: Path) -> None:
        path = tmp_path / "overlay.tiff"
        box = shapely.box(100, 100, 300, 300)
        write_overlay(path, ArrayReader(tinted(512, 512)), 1.0, 1.0, NO_CELLS, [box])
        dark = opened(path)[..., :3].max(axis=2) < 150
        assert dark[110:290, 110:290].mean() == pytest.approx(1 / 12, abs=0.03)
        assert not dark[:95].any()


class TestThumbnail:
    def test_it_is_small_shows_bins_and_is_repeatable(self, tmp_path: Path) -> None:
        cells = prepare_cells(make_cells([(2000, 1000), (1000, 500)], [0.9, 0.1]), ASSAY)
        contents = []
        for number in range(2):
            path = tmp_path / f"{number}.png"
            write_thumbnail(path, ArrayReader(tinted(4096, 2048)), 0.5, cells, max_px=1024)
            contents.append(path.read_bytes())
        assert contents[0] == contents[1]
        rgb = imread(contents[0]).astype(int)
        assert rgb.shape == (512, 1024, 3)
        assert rgb[250, 500, 0] > rgb[250, 500, 2] + 80
        assert rgb[125, 250, 2] > rgb[125, 250, 0] + 10

    def test_missing_pixels_are_light(self, tmp_path: Path) -> None:
        write_thumbnail(tmp_path / "t.png", ArrayReader(np.zeros((300, 300, 4), np.uint8)), 0.5, NO_CELLS)
        assert (imread((tmp_path / "t.png").read_bytes()) == MISSING_COLOUR).all()

    def test_small_jpeg_keeps_the_shape(self, tmp_path: Path) -> None:
        write_thumbnail(tmp_path / "t.png", ArrayReader(tinted(1200, 300)), 0.5, NO_CELLS)
        small = imread(small_jpeg((tmp_path / "t.png").read_bytes(), 96))
        assert small.shape == (24, 96, 3)
