"""Which levels of a slide are JPEG tiles that a decoder can be given as they lie in the file, and where each tile lies.

The directories come from `slidescore.slide.tiff_structure`, the levels from OpenSlide; here the two are brought
together. What is not plain is refused, and OpenSlide goes on alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from slidescore.errors import SlideOpenError
from slidescore.slide.jpeg_heads import head_of
from slidescore.slide.reader import SlideReader
from slidescore.slide.tiff_structure import Entry, TiffStructure, read_structure

_APERIO: Final = "aperio"
_PHILIPS: Final = "philips"
VENDORS: Final = frozenset({"generic-tiff", _APERIO, _PHILIPS})
"""Formats of OpenSlide whose levels are single TIFF directories of tiles side by side, in OpenSlide's spelling."""

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 256, 257, 258, 259, 262, 277, 284
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS, _JPEG_TABLES = 322, 323, 324, 325, 347
_JPEG: Final = 7
_RGB, _YCBCR = 2, 6
_CHUNKY: Final = 1
_COLOURS, _BITS_A_COLOUR = 3, 8
_MAX_TABLES_BYTES: Final = 1 << 16
_MAX_LEVELS: Final = 64
"""More than any pyramid has: each is looked at on opening."""
_MAX_TILE_PIXELS: Final = 1 << 22
"""2048 x 2048: larger ones would not be kept by the cache, and be decoded anew for each window."""


@dataclass(frozen=True, slots=True)
class JpegLevel:
    """The tiles of one level.

    Attributes
    ----------
    width, height
        Size of the level in its own pixels; tiles may reach past it.
    downsample
        Level-0 px per pixel of the level.
    tile_width, tile_height
        Size of a tile in pixels.
    columns, rows
        How many tiles lie side by side and on top of one another.
    offsets, counts
        uint64, (rows * columns,), row by row: where each tile's codes begin in the file, and how many bytes they are;
        0 bytes for a tile that the file does not hold.
    head
        What is put before the codes of each tile: see `slidescore.slide.jpeg_heads.head_of`.
    """

    width: int
    height: int
    downsample: int
    tile_width: int
    tile_height: int
    columns: int
    rows: int
    offsets: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint64]
    head: bytes


def find_jpeg_levels(path: Path, slide: SlideReader) -> tuple[JpegLevel | None, ...] | None:
    """Find the tiles of a slide's levels.

    Parameters
    ----------
    path
        The slide's file, which has passed `slidescore.slide.preflight`.
    slide
        The same file, opened by OpenSlide.

    Returns
    -------
    tuple of JpegLevel or None, or None
        One entry a level, finest first; None for a level that only OpenSlide can read alike: it is no JPEG, or its
        pixels do not fall on whole level-0 pixels, between which OpenSlide interpolates. None altogether where the
        slide is of another format.

    Raises
    ------
    SlideOpenError
        The finest level is JPEG tiles, but something about the file is unusual; the message says what.
    """
    if slide.vendor not in VENDORS:
        return None
    with path.open("rb") as file:
        structure = read_structure(file)
        if structure is None or structure.is_ndpi:
            return None
        tiled = [tags for tags in structure.directories if _TILE_OFFSETS in tags]
        if not tiled or structure.number(tiled[0], _COMPRESSION, 1) != _JPEG:
            return None
        directories = _directories(structure, tiled, slide)
        levels = tuple(
            _level(structure, tags, size, downsample)
            for tags, size, downsample in zip(directories, slide.level_dimensions, slide.level_downsamples, strict=True)
        )
        if levels[0] is None:
            raise SlideOpenError("its JPEG tiles are very large, or not three colours of 8 bits, stored together")
        if slide.vendor == _APERIO and any(_has_gaps(structure, tags) for tags in directories):
            raise SlideOpenError("tiles are missing, which OpenSlide fills from other levels")
        return levels


def _directories(
    structure: TiffStructure, tiled: Sequence[Mapping[int, Entry]], slide: SlideReader
) -> list[Mapping[int, Entry]]:
    """Find the directory of each level: that of its size; in Philips files, whose levels are padded, in their order."""
    sizes = [(structure.number(tags, _WIDTH, 0), structure.number(tags, _LENGTH, 0)) for tags in tiled]
    if slide.vendor == _PHILIPS:
        padded = zip(sizes, slide.level_dimensions, strict=False)
        if len(tiled) != slide.level_count or any(w < x or h < y for (w, h), (x, y) in padded):
            raise SlideOpenError(f"{len(tiled)} tiled pages for {slide.level_count} levels")
        return list(tiled)
    if slide.level_count > _MAX_LEVELS:
        raise SlideOpenError(f"{slide.level_count} levels")
    found = []
    for number, size in enumerate(slide.level_dimensions):
        fit = [tags for tags, stored in zip(tiled, sizes, strict=True) if stored == size]
        if len(fit) != 1:
            raise SlideOpenError(f"{len(fit)} tiled pages are of the size of level {number}")
        found += fit
    return found


def _level(
    structure: TiffStructure, tags: Mapping[int, Entry], size: tuple[int, int], downsample: float
) -> JpegLevel | None:
    """Read where the tiles of one directory lie; None where only OpenSlide can read it."""
    bits = structure.numbers(tags, _BITS, _COLOURS).tolist()
    photometric = structure.number(tags, _PHOTOMETRIC, 0)
    if (
        structure.number(tags, _COMPRESSION, 1) != _JPEG
        or photometric not in (_RGB, _YCBCR)
        or structure.number(tags, _SAMPLES, 1) != _COLOURS
        or structure.number(tags, _PLANAR, _CHUNKY) != _CHUNKY
        or not bits
        or set(bits) != {_BITS_A_COLOUR}
        or not float(downsample).is_integer()
    ):
        return None
    tile_width, tile_height = structure.number(tags, _TILE_WIDTH, 0), structure.number(tags, _TILE_LENGTH, 0)
    if not 0 < tile_width * tile_height <= _MAX_TILE_PIXELS:
        return None
    columns = -(-structure.number(tags, _WIDTH, 0) // tile_width)
    rows = -(-structure.number(tags, _LENGTH, 0) // tile_height)
    offsets, counts = (structure.numbers(tags, tag, columns * rows) for tag in (_TILE_OFFSETS, _TILE_COUNTS))
    if min(len(offsets), len(counts)) < columns * rows:
        raise SlideOpenError("the file was cut while it was being opened")
    return JpegLevel(
        *size, int(downsample), tile_width, tile_height, columns, rows, offsets, counts,
        head_of(structure.content(tags, _JPEG_TABLES, _MAX_TABLES_BYTES), is_rgb=photometric == _RGB),
    )  # fmt: skip


def _has_gaps(structure: TiffStructure, tags: Mapping[int, Entry]) -> bool:
    """Whether a directory lists a tile without bytes."""
    entry = tags.get(_TILE_COUNTS)
    return entry is not None and not structure.numbers(tags, _TILE_COUNTS, entry.count).all()
