"""A slide is read tile by tile only after some of its tiles were compared with OpenSlide's, bit for bit.

The tiles are those where a difference would show: the first and the last, which the level's end cuts; the one with the
most bytes, which has the most colours; one of middling size; and one that the file does not hold. One of them may be
damaged: where this decoder refuses a few that OpenSlide takes, they are errors later on; where it refuses half of
them, the file is of a kind that is not for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slidescore.errors import SlideOpenError
from slidescore.slide.jpeg_levels import JpegLevel, find_jpeg_levels
from slidescore.slide.openslide_reader import OpenSlideReader
from slidescore.slide.reader import SlideReader
from slidescore.slide.tile_cache import CACHE_BYTES, TileCache
from slidescore.slide.tiled_reader import TiledReader


def open_fast(
    path: Path, slide: OpenSlideReader, remarks: Sequence[str] = (), *, cache_bytes: int = CACHE_BYTES
) -> SlideReader:
    """Open a slide tile by tile where that gives OpenSlide's pixels, or leave it to OpenSlide.

    Parameters
    ----------
    path
        The slide's file.
    slide
        The same file, opened by OpenSlide; not to be used any more.
    remarks
        What was odd about the file, see `slidescore.slide.preflight`.
    cache_bytes
        How much memory decoded tiles may take.

    Returns
    -------
    SlideReader
        A `TiledReader`, or a reader of OpenSlide whose `fallback` says why not, where it could have been.

    Raises
    ------
    SlideOpenError
        OpenSlide cannot open the file any more.
    """
    try:
        levels = find_jpeg_levels(path, slide)
        if levels is None:
            return slide
        reader = TiledReader(path, slide, levels, TileCache(cache_bytes))
    except SlideOpenError as error:
        slide.fallback = error.message
        return slide
    except OSError as error:
        slide.fallback = f"cannot be read: {error.strerror or error}"
        return slide
    except BaseException:
        slide.close()
        raise
    try:
        difference = find_difference(reader)
    except BaseException:
        reader.close()
        raise
    if difference:
        reader.close()
        slide = OpenSlideReader(path, remarks)
        slide.fallback = difference
        return slide
    return reader


def find_difference(reader: TiledReader) -> str:
    """Compare tiles of each level with OpenSlide's; say where they differ, nothing where none does."""
    n_finest, n_alike, n_refused = 0, 0, 0
    for number, level in enumerate(reader.levels):
        if level is None:
            continue
        for tile in _samples(level):
            location, size = _place(level, tile)
            fast, slow = _outcomes(reader, location, number, size)
            if fast is None and slow is None:
                continue  # neither can decode it
            if fast is None:
                n_refused += 1
            elif slow is None or not np.array_equal(fast, slow):
                return f"pixels of level {number} differ from OpenSlide's"
            else:
                n_alike += 1
                n_finest += number == 0
    if n_refused and n_refused >= n_alike:
        return f"{n_refused} of {n_refused + n_alike} tiles differ from OpenSlide's: they cannot be decoded"
    return "" if n_finest else "none of its tiles could be compared with OpenSlide's"


def _outcomes(
    reader: TiledReader, location: tuple[int, int], level: int, size: tuple[int, int]
) -> tuple[npt.NDArray[np.uint8] | None, npt.NDArray[np.uint8] | None]:
    """Read a rectangle both ways; None in place of what cannot be decoded."""
    try:
        fast = reader.read_tiles(location, level, size)
    except SlideOpenError:
        fast = None
    try:
        return fast, reader.read_by_openslide(location, level, size)
    except SlideOpenError:
        return fast, None


def _samples(level: JpegLevel) -> list[int]:
    """Choose the tiles that are compared."""
    present, missing = np.flatnonzero(level.counts), np.flatnonzero(level.counts == 0)
    by_size = present[np.argsort(level.counts[present], kind="stable")]
    return sorted({*present[[0, -1]].tolist(), *by_size[[-1, len(by_size) // 2]].tolist(), *missing[:1].tolist()})


def _place(level: JpegLevel, tile: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Say where a tile lies, in level-0 px, and how large it is, in px of the level."""
    row, column = divmod(tile, level.columns)
    location = column * level.tile_width * level.downsample, row * level.tile_height * level.downsample
    return location, (level.tile_width, level.tile_height)
