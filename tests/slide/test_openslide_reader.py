from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openslide
import pytest

from slide.contract import Opened, ReaderContract
from slide.drawn import drop_tiles, halved, noise, write_pyramid
from slidescore.errors import SlideOpenError
from slidescore.geometry import Region
from slidescore.slide.openslide_reader import OpenSlideReader, _stated_bounds, _stated_mpp, check_library_version


class TestPyramid(ReaderContract):
    backend = "openslide"

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Opened]:
        pixels = noise(200, 144)
        levels = [pixels, halved(pixels), halved(halved(pixels))]
        with OpenSlideReader(write_pyramid(tmp_path / "three levels é.tiff", levels)) as reader:
            yield Opened(reader, levels, (0.25, 0.25))


class TestOneLevelWithoutResolution(ReaderContract):
    backend = "openslide"

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Opened]:
        pixels = noise(131, 77)
        with OpenSlideReader(write_pyramid(tmp_path / "one.tiff", [pixels], mpp=None)) as reader:
            yield Opened(reader, [pixels], None)


def test_missing_tiles_are_transparent(tmp_path: Path) -> None:
    pixels = noise(256, 192)
    path = write_pyramid(tmp_path / "missing.tiff", [pixels])
    drop_tiles(path, [1, 6])
    with OpenSlideReader(path) as reader:
        rgba = reader.read_region((0, 0), 0, (256, 192))
    alpha = np.full((192, 256), 255, np.uint8)
    alpha[:64, 64:128] = 0
    alpha[64:128, 128:192] = 0
    np.testing.assert_array_equal(rgba[..., 3], alpha)
    np.testing.assert_array_equal(rgba[alpha == 255, :3], pixels[alpha == 255])


@pytest.mark.parametrize("version", ["4.0.0", "3.4.1", "4.0.0.14", "4"])
def test_old_libraries_are_refused(version: str) -> None:
    with pytest.raises(SlideOpenError, match=r"CVE-2026-48977.*CVE-2026-54604.*openslide-bin>=4\.0\.1\.1"):
        check_library_version(version)


@pytest.mark.parametrize("version", ["4.0.1", "4.0.10", "4.1.0", "5.0"])
def test_newer_libraries_are_accepted(version: str) -> None:
    check_library_version(version)


def test_the_loaded_library_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tiff", [noise(64, 64)])
    monkeypatch.setattr(openslide, "__library_version__", "4.0.0")
    with pytest.raises(SlideOpenError, match="not safe"):
        OpenSlideReader(path)


def test_a_damaged_tile_is_an_error_of_ours(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "damaged.tiff", [noise(256, 192)])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = b"\x55" * 4000
    path.write_bytes(content)
    with OpenSlideReader(path) as reader:
        with pytest.raises(SlideOpenError) as caught:
            reader.read_region((0, 0), 0, (256, 192))
        # OpenSlide's errors are sticky.
        with pytest.raises(SlideOpenError):
            reader.read_region((0, 0), 0, (1, 1))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in caught.value.message


def test_associated_images_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError

    monkeypatch.setattr(openslide.lowlevel, "read_associated_image", refuse)
    monkeypatch.setattr(openslide.OpenSlide, "associated_images", property(refuse))
    with OpenSlideReader(write_pyramid(tmp_path / "a.tiff", [noise(64, 64)])) as reader:
        assert reader.dimensions == (64, 64)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (("0.25", "0.26"), (0.25, 0.26)),
        (("0.25", None), None),
        ((None, None), None),
        (("nan", "0.25"), None),
        (("inf", "0.25"), None),
        (("0", "0.25"), None),
        (("-0.25", "-0.25"), None),
        (("0,25", "0,25"), None),
    ],
)
def test_resolution_is_taken_only_when_both_axes_state_it(
    stated: tuple[str | None, str | None], expected: tuple[float, float] | None
) -> None:
    names = ("openslide.mpp-x", "openslide.mpp-y")
    assert _stated_mpp({n: v for n, v in zip(names, stated, strict=True) if v is not None}) == expected


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ((10, 20, 30, 40), Region(10, 20, 30, 40)),
        ((0, 0, 100, 80), None),
        ((-5, 0, 50, 80), Region(0, 0, 45, 80)),
        ((90, 70, 50, 50), Region(90, 70, 10, 10)),
        ((200, 200, 50, 50), None),
    ],
)
def test_bounds(stated: tuple[int, int, int, int], expected: Region | None) -> None:
    names = ("x", "y", "width", "height")
    properties = {f"openslide.bounds-{n}": str(v) for n, v in zip(names, stated, strict=True)}
    assert _stated_bounds(properties, (100, 80)) == expected
    assert _stated_bounds({}, (100, 80)) is None
