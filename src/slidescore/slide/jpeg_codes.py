"""The codes of a JPEG and their pixels: what a decoder only warns about is an error here.

libjpeg goes on after damaged codes with wrong pixels and a warning, which Pillow and tifffile do not pass on. Where one
of these decodes, the codes are decoded once more at an eighth of the size, which looks at every bit and takes an eighth
of the time; tiles of slides are decoded here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import simplejpeg

from slidescore.errors import SlideOpenError
from slidescore.slide.decoded_image import DAMAGED
from slidescore.slide.library_words import library_words

_MARKER_BYTES: Final = 2
_COARSEST: Final = 8
_STREAMED_BYTES: Final = 32
_SPACES: Final = {3: "RGB", 4: "RGBA"}


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


def make_desk(height: int, width: int, channels: int) -> npt.NDArray[np.uint8]:
    """Make a place to decode to that stays in the processor's cache.

    libjpeg-turbo writes rows that begin on a multiple of 32 bytes past the cache, straight to memory, from where the
    next step has to fetch them: a quarter of a tile's decoding. So this place begins in between.

    Returns
    -------
    numpy.ndarray
        uint8, (height, width, channels), in one piece, with any content.
    """
    size = height * width * channels
    memory = np.empty(size + 2 * _STREAMED_BYTES, np.uint8)
    begin = -int(memory.ctypes.data) % _STREAMED_BYTES + _STREAMED_BYTES // 2
    return memory[begin : begin + size].reshape(height, width, channels)


def decode_into(codes: bytes, pixels: npt.NDArray[np.uint8], *, halved: bool = False) -> None:
    """Decode a JPEG of a known size to a given place; without the interpreter's lock.

    That the place is given bounds what a damaged size can claim, and spares the price of fresh memory for each tile.

    Parameters
    ----------
    codes
        A whole JPEG, whose head was judged by `slidescore.slide.jpeg_heads`.
    pixels
        uint8, (height, width, 3 or 4), in one piece: RGB, or RGB and alpha, which is 255.
    halved
        Decode the lower half of each block's frequencies only: the JPEG is twice as high and wide as `pixels`.

    Raises
    ------
    SlideOpenError
        The codes are damaged, cut off, or of another size.
    """
    height, width, channels = pixels.shape
    # simplejpeg takes any power of two that reaches this size; that the JPEG has twice it, its head has said.
    least = (height, width) if halved else (0, 0)
    try:
        decoded = simplejpeg.decode_jpeg(
            codes, _SPACES[channels], min_height=least[0], min_width=least[1], buffer=pixels
        )
    except ValueError as error:
        raise SlideOpenError(f"JPEG: {library_words(error)}", remedy=DAMAGED) from error
    if decoded.shape != pixels.shape:
        raise SlideOpenError(f"JPEG of {decoded.shape[1]} x {decoded.shape[0]} px in a tile of another size")
