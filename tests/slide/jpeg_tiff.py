"""Writes small tiled JPEG pyramids of every kind that scanners do: with and without tables apart, RGB and YCbCr."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from imagecodecs import jpeg8_encode

from slide.drawn import Pixels, drop_tiles

SAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}
_TABLES = (0xDB, 0xC4)
_APP0, _APP14, _SOS = 0xE0, 0xEE, 0xDA
APERIO = "Aperio Image Library v12.0.15 \r\n{w}x{h} [0,0 {w}x{h}] (64x64) JPEG/RGB Q=80|AppMag = 40|MPP = 0.25"


@dataclass(frozen=True)
class Coding:
    """How the tiles of a file are coded.

    `apart` puts the tables into a tag of their own, `bare` leaves JFIF and Adobe markers out, `jfif` puts a JFIF marker
    before codes of RGB; with `lies` the TIFF calls them YCbCr.
    """

    sampling: str = "420"
    rgb: bool = False
    apart: bool = False
    bare: bool = False
    jfif: bool = False
    lies: bool = False
    quality: int = 80


def coloured(width: int, height: int, seed: int = 0) -> Pixels:
    """Smooth patches of colour with some noise and hard edges: what JPEG is good and bad at."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 9 + 2, width // 9 + 2, 3), dtype=np.uint8)
    rgb = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    rgb[: height // 2, : width // 3] = (250, 20, 128)
    return np.clip(rgb + rng.integers(-12, 13, rgb.shape), 0, 255).astype(np.uint8)


def area_halves(pixels: Pixels, factor: int) -> Pixels:
    """The mean of blocks; pixels that fill no block are left out."""
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    return cv2.resize(pixels[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)


def write_jpeg_tiff(
    path: Path,
    levels: Sequence[Pixels],
    coding: Coding = Coding(),
    *,
    tile: int = 64,
    aperio: bool = False,
    missing: Sequence[tuple[int, int]] = (),
    **options: Any,
) -> Path:
    """Write a pyramid that OpenSlide opens; `missing` are (level, tile) that the file forgets."""
    height, width = levels[0].shape[:2]
    with tifffile.TiffWriter(path) as writer:
        for number, level in enumerate(levels):
            pieces = list(_pieces(level, coding, tile))
            tables = pieces[0][1] if coding.apart else None
            writer.write(
                iter([piece for piece, _ in pieces]),
                shape=level.shape,
                dtype=np.uint8,
                tile=(tile, tile),
                photometric="ycbcr",
                compression="jpeg",
                subsampling=None if coding.rgb else SAMPLING[coding.sampling],
                jpegtables=tables,
                subfiletype=1 if number else 0,
                resolution=None if number else (1e4 / 0.25, 1e4 / 0.25),
                resolutionunit=None if number else "CENTIMETER",
                description=APERIO.format(w=width, h=height) if aperio and not number else None,
                metadata=None,
                software=False,
                **options,
            )
    if coding.rgb and not coding.lies:
        with tifffile.TiffFile(path, mode="r+") as tiff:
            for page in tiff.pages:
                page.aspage().tags["PhotometricInterpretation"].overwrite(2)
    for number, index in missing:
        drop_tiles(path, [index], number)
    return path


def put_tile(path: Path, tile: int, codes: bytes) -> None:
    """Put other codes in place of a tile of level 0, at the end of the file."""
    end = path.stat().st_size
    with path.open("ab") as file:
        file.write(codes)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name, value in (("TileOffsets", end), ("TileByteCounts", len(codes))):
            tag = tiff.pages.first.tags[name]
            tag.overwrite([value if number == tile else old for number, old in enumerate(tag.value)])


def _pieces(level: Pixels, coding: Coding, tile: int) -> Iterator[tuple[bytes, bytes]]:
    """The codes of each tile, row by row, and the tables that were taken out of them."""
    height, width = level.shape[:2]
    padded = np.pad(level, ((0, -height % tile), (0, -width % tile), (0, 0)), mode="edge")
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            square = np.ascontiguousarray(padded[y : y + tile, x : x + tile])
            out = "rgb" if coding.rgb else "ycbcr"
            sampling = "444" if coding.rgb else coding.sampling
            codes = jpeg8_encode(
                square, level=coding.quality, colorspace="rgb", outcolorspace=out, subsampling=sampling
            )
            yield _rewritten(bytes(codes), coding)


def _rewritten(codes: bytes, coding: Coding) -> tuple[bytes, bytes]:
    """Take tables and markers out of a JPEG."""
    kept, tables, at = b"\xff\xd8", b"\xff\xd8", 2
    if coding.jfif:
        kept += b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    while codes[at + 1] != _SOS:
        marker, length = codes[at + 1], int.from_bytes(codes[at + 2 : at + 4], "big")
        segment = codes[at : at + 2 + length]
        if coding.apart and marker in _TABLES:
            tables += segment
        elif not ((coding.bare or coding.jfif) and marker in (_APP0, _APP14)):
            kept += segment
        at += 2 + length
    return kept + codes[at:], tables + b"\xff\xd9"
