"""Tiny slides for the tests of this room: lossless, so that what is read can be compared bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> Pixels:
    """Random colours; opaque where there is alpha."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    if channels == 4:
        pixels[..., 3] = 255
    return pixels


def halved(pixels: Pixels) -> Pixels:
    """Every second pixel: a level of half the size, rounded down."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    return np.ascontiguousarray(pixels[: 2 * height : 2, : 2 * width : 2])


def write_pyramid(path: Path, levels: Sequence[Pixels], mpp: float | None = 0.25, tile: int = 64) -> Path:
    """Write a tiled pyramid that OpenSlide opens as generic-tiff."""
    with tifffile.TiffWriter(path) as writer:
        for number, level in enumerate(levels):
            writer.write(
                level,
                tile=(tile, tile),
                photometric="rgb",
                compression="zlib",
                subfiletype=1 if number else 0,
                resolution=None if mpp is None or number else (1e4 / mpp, 1e4 / mpp),
                resolutionunit=None if mpp is None or number else "CENTIMETER",
                metadata=None,
            )
    return path


def drop_tiles(path: Path, indices: Sequence[int], page: int = 0) -> None:
    """Make a TIFF forget some of its tiles, as scanners do for areas they did not scan."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages[page].aspage().tags
        for name in ("TileByteCounts", "TileOffsets"):
            values = list(tags[name].value)
            for index in indices:
                values[index] = 0
            tags[name].overwrite(values)


def padded(pixels: Pixels, x: int, y: int, width: int, height: int) -> Pixels:
    """What any reader must give for a rectangle: RGBA, all zero outside."""
    out = np.zeros((height, width, 4), np.uint8)
    for row in range(height):
        for column in range(width):
            if 0 <= y + row < pixels.shape[0] and 0 <= x + column < pixels.shape[1]:
                value = pixels[y + row, x + column]
                out[row, column] = (*value[:3], value[3] if len(value) == 4 else 255)
    return out
