"""Tiles decoded as they lie in the file against OpenSlide, bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantom_write import write_svs
from slide.contract import Opened, ReaderContract
from slide.drawn import Pixels, noise, write_pyramid
from slide.jpeg_tiff import Coding, area_halves, coloured, write_jpeg_tiff
from slidescore.errors import SlideOpenError
from slidescore.slide import open_slide, plan_grid, read_analysis
from slidescore.slide import tiled_reader as tiled_module
from slidescore.slide.openslide_reader import OpenSlideReader
from slidescore.slide.reader import SlideReader
from slidescore.slide.tiled_reader import TiledReader

SNAP = 0.03


def three_levels(width: int = 456, height: int = 344, seed: int = 0) -> list[Pixels]:
    """Sizes that four divides, so that every level's pixels fall on whole level-0 pixels; no tile ends with them."""
    pixels = coloured(width, height, seed)
    return [pixels, area_halves(pixels, 2), area_halves(pixels, 4)]


def tiles_of(path: Path) -> TiledReader:
    reader = open_slide(path)
    assert reader.fallback == ""
    assert isinstance(reader, TiledReader)
    return reader


class TestTiles(ReaderContract):
    backend = "tiles"

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Opened]:
        path = write_jpeg_tiff(tmp_path / "three levels é.tiff", three_levels())
        with OpenSlideReader(path) as slow:
            sizes = enumerate(slow.level_dimensions)
            levels = [slow.read_region((0, 0), level, size)[..., :3] for level, size in sizes]
        with tiles_of(path) as reader:
            yield Opened(reader, levels, (0.25, 0.25))


FILES = {
    "420": {},
    "422": {"coding": Coding("422")},
    "444": {"coding": Coding("444", quality=95)},
    "tables apart": {"coding": Coding(apart=True)},
    "tables apart and bare": {"coding": Coding("444", apart=True, bare=True)},
    "rgb": {"coding": Coding(rgb=True)},
    "rgb, bare": {"coding": Coding(rgb=True, bare=True, apart=True)},
    "rgb that claims to be JFIF": {"coding": Coding(rgb=True, jfif=True)},
    "rgb that TIFF calls YCbCr": {"coding": Coding(rgb=True, lies=True)},
    "bare": {"coding": Coding(bare=True)},
    "gaps": {"missing": [(0, 0), (0, 9), (1, 3), (2, 1)]},
    "aperio": {"aperio": True, "coding": Coding(rgb=True, bare=True, apart=True)},
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[TiledReader, OpenSlideReader]]]:
    """Each kind of file, opened by either reader."""
    folder, opened = tmp_path_factory.mktemp("tiles"), {}
    for name, options in FILES.items():
        path = write_jpeg_tiff(folder / f"{name}.tiff", three_levels(), **options)
        opened[name] = tiles_of(path), OpenSlideReader(path)
    odd = coloured(459, 347, seed=1)
    path = write_svs(folder / "odd.svs", odd, 0.25, levels=(1, 4), tile=64)
    opened["odd"] = tiles_of(path), OpenSlideReader(path)
    yield opened
    for readers in opened.values():
        for reader in readers:
            reader.close()


@pytest.mark.parametrize("name", [*FILES, "odd"])
def test_it_says_what_openslide_says(pairs: dict[str, tuple[SlideReader, SlideReader]], name: str) -> None:
    fast, slow = pairs[name]
    for what in ("vendor", "dimensions", "level_count", "level_dimensions", "level_downsamples", "mpp", "bounds"):
        assert getattr(fast, what) == getattr(slow, what)
    assert dict(fast.properties) == dict(slow.properties)
    assert fast.icc_profile == slow.icc_profile
    assert (fast.backend, slow.backend) == ("tiles", "openslide")


@pytest.mark.parametrize("name", [*FILES, "odd"])
@given(data=st.data())
@settings(max_examples=25)
def test_any_region_of_any_level_is_the_same(
    pairs: dict[str, tuple[SlideReader, SlideReader]], name: str, data: st.DataObject
) -> None:
    fast, slow = pairs[name]
    level = data.draw(st.integers(0, fast.level_count - 1))
    whole = data.draw(st.booleans())
    step = round(fast.level_downsamples[level]) if whole else 1
    x, y = (data.draw(st.integers(-90 // step, size // step + 20)) * step for size in fast.dimensions)
    size = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300))
    np.testing.assert_array_equal(fast.read_region((x, y), level, size), slow.read_region((x, y), level, size))


@pytest.mark.parametrize("name", [*FILES, "odd"])
@given(data=st.data())
@settings(max_examples=25)
def test_any_window_of_any_grid_is_the_same(
    pairs: dict[str, tuple[SlideReader, SlideReader]], name: str, data: st.DataObject
) -> None:
    fast, slow = pairs[name]
    grid = plan_grid(slow, 0.25, data.draw(st.sampled_from([0.2, 0.25, 0.5, 0.6, 0.75, 1.0, 2.0, 8.0])), SNAP)
    assert plan_grid(fast, 0.25, grid.analysis_mpp, SNAP) == grid
    x, y = data.draw(st.integers(-20, grid.width_px)), data.draw(st.integers(-20, grid.height_px))
    size = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 200))
    for got, expected in zip(
        read_analysis(fast, grid, x, y, *size), read_analysis(slow, grid, x, y, *size), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def test_openslide_is_left_alone_where_it_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels())
    with tiles_of(path) as reader:
        monkeypatch.setattr(reader, "read_by_openslide", None)
        for level, size in enumerate(reader.level_dimensions):
            assert reader.read_region((0, 0), level, size)[..., 3].all()
        grid = plan_grid(reader, 0.25, 0.5, SNAP)
        assert read_analysis(reader, grid, 0, 0, grid.width_px, grid.height_px)[1].all()


def test_a_halo_costs_no_second_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", [coloured(512, 512)])
    n_tiles, original, calls = 64, tiled_module.decode_into, []

    def counted(codes: bytes, pixels: Pixels, *, halved: bool = False) -> None:
        calls.append(threading.get_ident())
        original(codes, pixels, halved=halved)

    with tiles_of(path) as reader, ThreadPoolExecutor(4) as pool:
        monkeypatch.setattr(tiled_module, "decode_into", counted)
        grid = plan_grid(reader, 0.25, 0.5, SNAP)
        corners = [(x, y) for y in range(-16, 256, 64) for x in range(-16, 256, 64)]
        list(pool.map(lambda corner: read_analysis(reader, grid, *corner, 96, 96), corners))
    assert len(calls) == n_tiles


def damage(path: Path, tile: int) -> None:
    """Spoil the codes of one tile of level 0 so that a decoder notices."""
    with tiles_of(path) as reader:
        level = reader.levels[0]
        assert level is not None
        begin, count = int(level.offsets[tile]), int(level.counts[tile])
    content = bytearray(path.read_bytes())
    middle = begin + count // 2
    content[middle : begin + count - 2] = b"\xff\xd9" * ((begin + count - 2 - middle) // 2) + b"\x00" * (
        (begin + count - 2 - middle) % 2
    )
    path.write_bytes(content)


def test_a_damaged_tile_costs_what_touches_it_and_is_told_in_openslide_s_words(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", [coloured(448, 320)])
    damage(path, 9)  # x 128 to 192, y 64 to 128
    with tiles_of(path) as fast:
        for x, y in [(0, 0), (120, 60), (128, 64), (191, 127), (192, 64), (128, 128), (64, 64), (-10, -10)]:
            for size in [(1, 1), (20, 20), (64, 64)]:
                with OpenSlideReader(path) as slow:
                    try:
                        expected, words = slow.read_region((x, y), 0, size), ""
                    except SlideOpenError as error:
                        expected, words = None, str(error)
                hit = x < 192 and x + size[0] > 128 and y < 128 and y + size[1] > 64
                assert bool(words) == hit
                if hit:
                    with pytest.raises(SlideOpenError) as caught:
                        fast.read_region((x, y), 0, size)
                    assert str(caught.value) == words
                else:
                    np.testing.assert_array_equal(fast.read_region((x, y), 0, size), expected)
        grid = plan_grid(fast, 0.25, 0.5, SNAP)
        with pytest.raises(SlideOpenError, match="OpenSlide"):
            read_analysis(fast, grid, 60, 30, 20, 20)
        with OpenSlideReader(path) as slow:
            rgb, valid = read_analysis(slow, grid, 100, 0, 60, 100)
        assert valid.all()
        np.testing.assert_array_equal(read_analysis(fast, grid, 100, 0, 60, 100)[0], rgb)


def test_threads_do_not_catch_one_another_s_errors(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", [coloured(448, 320)])
    damage(path, 9)
    with tiles_of(path) as fast:

        def read(corner: tuple[int, int]) -> bool:
            try:
                fast.read_region(corner, 0, (64, 64))
            except SlideOpenError:
                return False
            return True

        corners = [(x, y) for y in range(0, 320, 64) for x in range(0, 448, 64)] * 6
        with ThreadPoolExecutor(8) as pool:
            came = dict.fromkeys(corners, True)
            for corner, whole in zip(corners, pool.map(read, corners), strict=True):
                assert whole == (corner != (128, 64))
            assert len(came) == 35


def test_halved_windows_are_near_the_exact_ones_and_valid_alike(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels(459, 347)[:1], missing=[(0, 5)])
    with tiles_of(path) as reader:
        exact = plan_grid(reader, 0.25, 0.5, SNAP)
        half = plan_grid(reader, 0.25, 0.5, SNAP, "half")
        assert (exact.halved, half.halved) == (False, True)
        (rgb, valid), (near, near_valid) = (
            read_analysis(reader, grid, -3, -3, grid.width_px + 6, grid.height_px + 6) for grid in (exact, half)
        )
        np.testing.assert_array_equal(valid, near_valid)
        off = np.abs(rgb.astype(int) - near)[valid]
        assert 0 < off.mean() < 4
        assert (near[~valid] == 255).all()
        quarter = plan_grid(reader, 0.25, 1.0, SNAP, "half")
        assert quarter.halved
        twice, _ = read_analysis(reader, quarter, 0, 0, 40, 40)
        once, _ = read_analysis(reader, half, 0, 0, 80, 80)
        np.testing.assert_array_equal(twice, np.rint(once.reshape(40, 2, 40, 2, 3).mean(axis=(1, 3))))


def test_what_cannot_be_halved_is_planned_exactly(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels()[:1])
    with tiles_of(path) as fast, OpenSlideReader(path) as slow:
        for wanted in (0.25, 0.6, 0.75):
            assert not plan_grid(fast, 0.25, wanted, SNAP, "half").halved
        assert not plan_grid(slow, 0.25, 0.5, SNAP, "half").halved


def test_a_damaged_tile_cannot_be_halved(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", [coloured(448, 320)])
    damage(path, 9)
    with tiles_of(path) as reader:
        half = plan_grid(reader, 0.25, 0.5, SNAP, "half")
        with pytest.raises(SlideOpenError, match="JPEG"):
            read_analysis(reader, half, 60, 30, 20, 20)
        assert read_analysis(reader, half, 0, 0, 60, 30)[1].all()


def test_halving_that_is_planned_must_be_done(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels()[:1])
    with tiles_of(path) as fast, OpenSlideReader(path) as slow:
        half = plan_grid(fast, 0.25, 0.5, SNAP, "half")
        with pytest.raises(SlideOpenError, match="no longer"):
            read_analysis(slow, half, 0, 0, 10, 10)


def reads_like_openslide(path: Path) -> str:
    """Open a file, compare it with OpenSlide, and return why OpenSlide reads it; empty where it does not."""
    with open_slide(path) as reader, OpenSlideReader(path) as slow:
        assert reader.backend == ("openslide" if reader.fallback else "tiles")
        size = slow.dimensions
        np.testing.assert_array_equal(reader.read_region((0, 0), 0, size), slow.read_region((0, 0), 0, size))
        return reader.fallback


def test_other_formats_say_nothing(tmp_path: Path) -> None:
    with open_slide(write_pyramid(tmp_path / "a.tiff", [noise(128, 128)])) as reader:
        assert (reader.backend, reader.fallback) == ("openslide", "")


def test_pixels_that_differ_leave_the_slide_to_openslide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels())
    original = tiled_module.decode_into

    def otherwise(codes: bytes, pixels: Pixels, *, halved: bool = False) -> None:
        original(codes, pixels, halved=halved)
        pixels[5, 5, 1] ^= 1

    monkeypatch.setattr(tiled_module, "decode_into", otherwise)
    assert reads_like_openslide(path) == "pixels of level 0 differ from OpenSlide's"


def test_codes_that_only_one_decoder_takes_leave_the_slide_to_openslide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels())

    def never(codes: bytes, pixels: Pixels, *, halved: bool = False) -> None:
        raise SlideOpenError("JPEG: not taken")

    monkeypatch.setattr(tiled_module, "decode_into", never)
    assert "differ" in reads_like_openslide(path)


def test_missing_tiles_of_aperio_files_are_openslide_s(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.svs", three_levels(), aperio=True, missing=[(0, 3)])
    assert "missing" in reads_like_openslide(path)


def test_two_pages_of_one_size_are_openslide_s(tmp_path: Path) -> None:
    pixels = three_levels()[0]
    path = write_jpeg_tiff(tmp_path / "a.tiff", [pixels, pixels])
    assert "2 tiled pages are of the size of level 0" in reads_like_openslide(path)


def test_the_first_gap_and_the_last_tile_are_compared(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels()[:1], missing=[(0, 0), (0, 41)])
    assert reads_like_openslide(path) == ""
