"""Look at a TIFF's tables before OpenSlide opens it.

OpenSlide notices damaged tables late (a tile past the end of the file fails only when it is asked for), slowly (a file
that claims a million pixels a side takes it half a minute and a gigabyte) or fatally (a damaged tile size ends the
process). Only the tiled pages, which make the pyramid, are looked at: a damaged label does no harm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile

from slidescore.errors import SlideOpenError
from slidescore.slide.decoded_image import DAMAGED
from slidescore.slide.tiff_image import DECODE_ERRORS, TIFF_MAGICS

# 512k x 512k px in tiles of 256 px: twice the side of the largest slides.
MAX_TILES: Final = 4_000_000
MIN_TILE_PX: Final = 16
MAX_TILE_PX: Final = 8192


def check_tiff(path: Path) -> None:
    """Refuse a TIFF whose pyramid cannot be what it claims; let any other file pass.

    Hamamatsu's NDPI passes too: it uses the tables in a way of its own.

    Raises
    ------
    SlideOpenError
        A tiled page has tiles of a senseless size or too many of them, tables shorter than its tiles, or tiles past
        the end of the file.
    """
    try:
        with path.open("rb") as file:
            if not file.read(4).startswith(TIFF_MAGICS):
                return
        with tifffile.TiffFile(path) as tiff:
            if tiff.is_ndpi:
                return
            for page in tiff.pages:
                if page.aspage().is_tiled:
                    _check_page(page.aspage(), path)
    except SlideOpenError:
        raise
    except (*DECODE_ERRORS, MemoryError):
        return  # not for tifffile; OpenSlide has its own words for what is wrong


def _check_page(page: Any, path: Path) -> None:
    """Refuse a tiled page whose tables cannot be true."""
    width, height = page.tilewidth, page.tilelength
    if not (min(width, height) >= MIN_TILE_PX and max(width, height) <= MAX_TILE_PX):
        raise SlideOpenError(f"TIFF: tiles of {width} x {height} pixels", where=str(path), remedy=DAMAGED)
    n_tiles = -(-page.imagewidth // width) * -(-page.imagelength // height)
    if n_tiles > MAX_TILES:
        message = f"TIFF: claims {page.imagewidth} x {page.imagelength} pixels in {n_tiles:,} tiles"
        raise SlideOpenError(message, where=str(path), remedy=DAMAGED)
    offsets = np.asarray(page.dataoffsets, np.uint64)
    counts = np.asarray(page.databytecounts, np.uint64)
    if len(offsets) != len(counts) or len(offsets) < n_tiles:
        message = f"TIFF: its tables list {min(len(offsets), len(counts))} of {n_tiles} tiles"
        raise SlideOpenError(message, where=str(path), remedy=DAMAGED)
    size = np.uint64(path.stat().st_size)
    cut = int(((counts > 0) & ((offsets >= size) | (counts > size - np.minimum(offsets, size)))).sum())
    if cut:
        message = f"TIFF: the file ends before {cut} of {n_tiles} tiles"
        raise SlideOpenError(message, where=str(path), remedy=DAMAGED)
