"""Tiles decoded as they lie in the file against OpenSlide, bit for bit."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagecodecs import jpeg8_encode
from PIL import Image

from phantom_write import write_svs
from slide.contract import Opened, ReaderContract
from slide.drawn import Pixels, noise, write_pyramid
from slide.jpeg_tiff import Coding, area_halves, coloured, put_tile, write_jpeg_tiff
from slidescore.errors import SlideOpenError
from slidescore.slide import open_slide, plan_grid, read_analysis
from slidescore.slide import tiled_reader as tiled_module
from slidescore.slide.openslide_reader import OpenSlideReader
from slidescore.slide.reader import SlideReader
from slidescore.slide.tiled_reader import TiledReader

SNAP = 0.03
OPEN_FILES = Path("/proc/self/fd")


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


def ycc(side: int, **options: str) -> bytes:
    """The codes of a square picture."""
    wanted = {"colorspace": "rgb", "outcolorspace": "ycbcr", "subsampling": "420"} | options
    return bytes(jpeg8_encode(coloured(side, side), level=80, **wanted))


def by_pillow(mode: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(coloured(64, 64)).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def without_end(codes: bytes) -> bytes:
    return codes[:-2]


def with_extra_bytes(codes: bytes) -> bytes:
    """What damage to the codes ends in: OpenSlide, which stops at the last pixel, never sees it."""
    return codes[:-2] + bytes(30) + codes[-2:]


STRANGE = {
    "twice the size": lambda: ycc(128),
    "four times the size": lambda: ycc(256),
    "a pixel less": lambda: ycc(63),
    "half the size": lambda: ycc(32),
    "grey": lambda: by_pillow("L"),
    "four colours": lambda: by_pillow("CMYK"),
    "no end": lambda: without_end(ycc(64)),
    "extra bytes": lambda: with_extra_bytes(ycc(64)),
    "12 bits": lambda: ycc(64).replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
    "cut in its head": lambda: ycc(64)[:300],
    "no start": lambda: b"\xff\xd0" + ycc(64)[2:],
    "far too many bytes": lambda: ycc(64) + bytes(1 << 18),
    "an unknown Adobe marker": lambda: b"\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x07" + ycc(64)[2:],
    "a wrong restart": lambda: by_pillow("RGB", restart_marker_blocks=2).replace(b"\xff\xd3", b"\xff\xd5"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_tile_that_is_none_is_an_error_and_never_pixels(tmp_path: Path, name: str) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", [coloured(448, 320)])
    put_tile(path, 9, STRANGE[name]())
    with tiles_of(path) as reader:
        for read in (reader.read_region, reader.read_tiles):
            with pytest.raises(SlideOpenError):
                read((128, 64), 0, (64, 64))
        for decode in ("exact", "half"):
            grid = plan_grid(reader, 0.25, 0.5, SNAP, decode)
            with pytest.raises(SlideOpenError):
                read_analysis(reader, grid, 60, 30, 20, 20)
            assert read_analysis(reader, grid, 0, 0, 60, 30)[1].all()


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_blocks": 2}, {"quality": 95}])
def test_a_tile_that_is_coded_otherwise_is_read_all_the_same(tmp_path: Path, options: dict[str, object]) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", [coloured(448, 320)])
    put_tile(path, 9, by_pillow("RGB", **options) + b"what follows the end does not count")
    with tiles_of(path) as fast, OpenSlideReader(path) as slow:
        expected = slow.read_region((100, 40), 0, (100, 100))
        got = fast.read_tiles((100, 40), 0, (100, 100))
        assert got is not None
        np.testing.assert_array_equal(got, expected)


def test_a_slide_whose_tiles_all_carry_extra_bytes_is_openslide_s(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", [coloured(64, 64)])
    put_tile(path, 0, with_extra_bytes(ycc(64)))
    assert "cannot be decoded" in reads_like_openslide(path)


def test_one_damaged_tile_among_those_compared_leaves_the_reader_and_is_an_error(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels())
    put_tile(path, 0, with_extra_bytes(ycc(64)))
    with tiles_of(path) as reader:
        with pytest.raises(SlideOpenError, match="extraneous"):
            reader.read_region((0, 0), 0, (64, 64))
        assert reader.read_region((64, 0), 0, (64, 64)).all()


def test_a_file_that_is_cut_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", [coloured(448, 320)])
    with tiles_of(path) as reader:
        level = reader.levels[0]
        assert level is not None
        os.truncate(path, int(level.offsets[20]) + 50)
        assert reader.read_region((0, 0), 0, (64, 64)).all()
        for tile in (20, 21):
            x, y = tile % 7 * 64, tile // 7 * 64
            with pytest.raises(SlideOpenError):
                reader.read_region((x, y), 0, (64, 64))
            half = plan_grid(reader, 0.25, 0.5, SNAP, "half")
            with pytest.raises(SlideOpenError, match="ends within a tile"):
                read_analysis(reader, half, x // 2, y // 2, 32, 32)


def test_another_file_in_its_place_is_not_mixed_in(tmp_path: Path) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels())
    with tiles_of(path) as reader:
        expected = reader.read_region((64, 0), 0, (64, 64))
        handles = [reader._idle.pop()]
        write_jpeg_tiff(tmp_path / "b.tiff", three_levels(seed=3)).replace(path)
        np.testing.assert_array_equal(reader.read_region((64, 0), 0, (64, 64)), expected)
        with pytest.raises(SlideOpenError, match="another file"):
            reader.read_region((1, 0), 1, (64, 64))
        handles[0].close()


def open_files() -> int:
    return len(list(OPEN_FILES.iterdir()))


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="counts what this process holds open")
def test_no_file_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels())
    put_tile(path, 9, ycc(32))
    before = open_files()
    with tiles_of(path) as reader, pytest.raises(SlideOpenError):
        reader.read_region((64, 64), 0, (64, 64))
    assert open_files() == before

    def breaks(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(tiled_module, "decode_into", breaks)
    with pytest.raises(MemoryError):
        open_slide(path)
    assert open_files() == before


def test_closing_waits_for_those_that_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels())
    reader, begun, go_on, original = tiles_of(path), threading.Event(), threading.Event(), tiled_module.decode_into
    expected = reader.read_region((0, 0), 0, (128, 128))

    def slow(codes: bytes, pixels: Pixels, *, halved: bool = False) -> None:
        begun.set()
        assert go_on.wait(10)
        original(codes, pixels, halved=halved)

    monkeypatch.setattr(tiled_module, "decode_into", slow)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(reader.read_region, (0, 0), 0, (128, 128))
        assert begun.wait(10)
        reader.close()
        with pytest.raises(ValueError, match="closed"):
            reader.read_region((0, 0), 0, (1, 1))
        go_on.set()
        np.testing.assert_array_equal(reading.result(10), expected)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(reader._file)


def test_large_tiles_are_openslide_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jpeg_tiff(tmp_path / "a.tiff", three_levels())
    monkeypatch.setattr("slidescore.slide.jpeg_levels._MAX_TILE_PIXELS", 64 * 63)
    assert "large" in reads_like_openslide(path)
