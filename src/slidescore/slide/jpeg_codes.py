"""Whether a JPEG's codes are whole: what a decoder only warns about is an error here.

libjpeg goes on after damaged codes with wrong pixels and a warning, which Pillow and tifffile do not pass on. The
codes are decoded once more at an eighth of the size, which looks at every bit and takes an eighth of the time.
"""

from __future__ import annotations

from typing import Final

import simplejpeg

from slidescore.errors import SlideOpenError
from slidescore.slide.decoded_image import DAMAGED
from slidescore.slide.library_words import library_words

_MARKER_BYTES: Final = 2
_COARSEST: Final = 8


def check_jpeg(content: bytes) -> None:
    """Refuse a JPEG that cannot be decoded without a warning.

    Damage that happens to be valid code passes: only a checksum of the file can see that.

    Raises
    ------
    SlideOpenError
        The codes are damaged or cut off.
    """
    try:
        simplejpeg.decode_jpeg(content, "GRAY", min_height=1, min_width=1, min_factor=_COARSEST)
    except ValueError as error:
        raise SlideOpenError(f"JPEG: {library_words(error)}", remedy=DAMAGED) from error


def with_tables(piece: bytes, tables: bytes) -> bytes:
    """Put the tables that a TIFF keeps apart (tag 347) into one of its JPEG pieces."""
    return tables[:-_MARKER_BYTES] + piece[_MARKER_BYTES:]
