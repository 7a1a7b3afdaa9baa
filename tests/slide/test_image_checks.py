"""Plain images: no changed byte of a PNG, and no damaged code of a JPEG, becomes a pixel."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from slide.drawn import noise
from slidescore.errors import SlideOpenError
from slidescore.slide import open_slide


def smooth(width: int, height: int) -> Any:
    return cv2.resize(noise(width // 16, height // 16), (width, height), interpolation=cv2.INTER_CUBIC)


def refused(path: Path) -> str | None:
    try:
        open_slide(path).close()
    except SlideOpenError as error:
        return error.message
    return None


def test_every_flipped_bit_of_a_png_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(smooth(64, 48)).save(path)
    content = path.read_bytes()
    for at in range(8, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        assert refused(path), at


def test_a_png_that_claims_too_much_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(noise(8, 8)).save(path)
    content = path.read_bytes()
    header = struct.pack(">II", 1_000_000, 1_000_000) + content[24:29]
    path.write_bytes(content[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + content[33:])
    assert "1000000 x 1000000 pixels are more than a plain image may have" in (refused(path) or "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content[:-12], "ends before its last chunk"),
        (lambda content: content[:8] + content[33:], "does not begin with a header"),
        (lambda content: content[:33] + content[-12:], "holds no pixels"),
        (lambda content: content[:33] + b"\xff\xff\xff\xff" + content[37:], "ends within a chunk"),
    ],
)
def test_a_png_must_be_whole(tmp_path: Path, change: Any, words: str) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(noise(8, 8)).save(path)
    path.write_bytes(change(path.read_bytes()))
    assert words in (refused(path) or "")


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_decodes_only_with_a_warning_is_refused(tmp_path: Path, progressive: bool) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth(256, 256)).save(path, progressive=progressive)
    assert refused(path) is None
    content = path.read_bytes()
    start = content.index(b"\xff\xda") + 20
    path.write_bytes(content[:start] + bytes(40) + content[start + 40 :])
    assert "JPEG: " in (refused(path) or "")
    path.write_bytes(content[:-20] + content[-2:])
    assert "JPEG: " in (refused(path) or "")


@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_damaged_jpeg_pieces_of_a_plain_tiff_are_refused(tmp_path: Path, tile: Any) -> None:
    """OpenSlide leaves stripped TIFFs alone, and tifffile's decoder only warns."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smooth(128, 128), photometric="rgb", compression="jpeg", rowsperstrip=64, tile=tile)
    assert refused(path) is None
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0].aspage()
        middle = page.dataoffsets[1] + page.databytecounts[1] // 2
    content = path.read_bytes()
    path.write_bytes(content[:middle] + b"\xff\xd9" + content[middle + 2 :])
    if tile is None:
        assert "JPEG: " in (refused(path) or "")
    else:
        with open_slide(path) as reader, pytest.raises(SlideOpenError):
            reader.read_region((0, 0), 0, (128, 128))


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", None])
def test_a_strip_that_is_too_short_is_never_filled_up(tmp_path: Path, compression: Any) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smooth(64, 64), photometric="rgb", compression=compression, rowsperstrip=16)
    assert refused(path) is None
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].aspage().tags["StripByteCounts"]
        tag.overwrite([tag.value[0] // 2, *tag.value[1:]])
    assert refused(path)


def test_pixels_of_a_jpeg_are_not_changed_by_the_check(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth(100, 60)).save(path, quality=90)
    with open_slide(path) as reader, Image.open(path) as image:
        np.testing.assert_array_equal(reader.read_region((0, 0), 0, (100, 60))[..., :3], np.array(image))
