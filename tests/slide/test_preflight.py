from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import pytest
import tifffile

from slide.drawn import drop_tiles, halved, noise, write_pyramid
from slidescore.errors import SlideOpenError
from slidescore.slide import open_slide
from slidescore.slide.preflight import check_tiff


def pyramid(path: Path) -> Path:
    pixels = noise(256, 256)
    return write_pyramid(path, [pixels, halved(pixels)])


def overwrite(path: Path, tag: str, value: Any, page: int = 0) -> None:
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[page].aspage().tags[tag].overwrite(value)


def test_whole_pyramids_pass(tmp_path: Path) -> None:
    path = pyramid(tmp_path / "a.tiff")
    check_tiff(path)
    drop_tiles(path, [0, 3, 15])
    check_tiff(path)


@pytest.mark.parametrize("page", [0, 1])
def test_tiles_past_the_end_of_the_file(tmp_path: Path, page: int) -> None:
    path = pyramid(tmp_path / "a.tiff")
    with tifffile.TiffFile(path) as tiff:
        offsets = list(tiff.pages[page].aspage().dataoffsets)
    offsets[1] = 0xFFFFFFF0
    overwrite(path, "TileOffsets", offsets, page)
    with pytest.raises(SlideOpenError, match=r"ends before 1 of (16|4) tiles"):
        open_slide(path)


@pytest.mark.parametrize("side", [0, 8, 1 << 20, 0xFFFFFFFF])
def test_senseless_tile_sizes(tmp_path: Path, side: int) -> None:
    path = pyramid(tmp_path / "a.tiff")
    content = path.read_bytes()
    entry = struct.pack("<HHI", 323, 4, 1) + struct.pack("<I", 64)
    short = struct.pack("<HHI", 323, 3, 1) + struct.pack("<HH", 64, 0)
    changed = struct.pack("<HHI", 323, 4, 1) + struct.pack("<I", side)
    content = content.replace(entry, changed, 1).replace(short, changed, 1)
    path.write_bytes(content)
    with pytest.raises(SlideOpenError):
        open_slide(path)


def test_tables_shorter_than_the_image(tmp_path: Path) -> None:
    path = pyramid(tmp_path / "a.tiff")
    overwrite(path, "ImageWidth", 20_000)
    with pytest.raises(SlideOpenError, match="tables list 16 of"):
        open_slide(path)


def test_a_damaged_label_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise(64, 64), tile=(64, 64), photometric="rgb")
        writer.write(noise(32, 32), photometric="rgb", metadata=None)
    overwrite(path, "StripOffsets", 0xFFFFFFF0, page=1)
    with open_slide(path) as reader:
        assert reader.read_region((0, 0), 0, (64, 64))[..., 3].all()


def test_a_claim_of_a_million_pixels_a_side_is_refused_at_once(tmp_path: Path) -> None:
    side, tile = 1_000_000, 256
    n_tiles = (-(-side // tile)) ** 2
    tags = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 7), (262, 3, 2), (277, 3, 1), (322, 3, tile)]
    tags.append((323, 3, tile))
    start = 16 + 8 + 20 * (len(tags) + 2) + 8
    content = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(tags) + 2)
    for number, kind, value in tags:
        content += struct.pack("<HHQQ", number, kind, 1, value)
    content += struct.pack("<HHQQ", 324, 16, n_tiles, start) + struct.pack(
        "<HHQQ", 325, 4, n_tiles, start + 8 * n_tiles
    )
    path = tmp_path / "huge.tiff"
    with path.open("wb") as file:
        file.write(content + bytes(8))
        file.truncate(start + 12 * n_tiles)
    began = time.perf_counter()
    with pytest.raises(SlideOpenError, match="claims 1000000 x 1000000 pixels"):
        open_slide(path)
    assert time.perf_counter() - began < 10


def test_other_files_pass(tmp_path: Path) -> None:
    for name, content in (("a.svs", b"text"), ("b.tif", b"II*\0" + b"\xff" * 50), ("c.tif", b"MM\0*")):
        (tmp_path / name).write_bytes(content)
        check_tiff(tmp_path / name)
