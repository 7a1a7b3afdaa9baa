"""Whether a PNG is whole, by its own checksums.

Every chunk of a PNG ends in a CRC-32 (PNG specification, section 5.3). The decoder does not look at those of pixel
data; looked at, no accidental change of the file goes unseen.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO, Final

from slidescore.errors import SlideOpenError
from slidescore.slide.decoded_image import DAMAGED, check_size

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_HEADER, _PIXELS, _END = b"IHDR", b"IDAT", b"IEND"
_HEADER_BYTES: Final = 13
_BLOCK_BYTES: Final = 1 << 20


def check_png(file: BinaryIO) -> None:
    """Refuse a PNG that is too large, cut off or changed.

    Parameters
    ----------
    file
        Open for reading.

    Raises
    ------
    SlideOpenError
        It claims more pixels than a plain image may have, a chunk's checksum is wrong, or it ends before its end
        chunk or without pixels.
    """
    size = file.seek(0, 2)
    file.seek(len(PNG_MAGIC))
    last, has_pixels = b"", False
    while last != _END:
        head = file.read(8)
        if len(head) < struct.calcsize(">I4s"):
            raise _damaged("the file ends before its last chunk")
        length, kind = struct.unpack(">I4s", head)
        if file.tell() + length + 4 > size:
            raise _damaged("the file ends within a chunk")
        if not last:
            if (kind, length) != (_HEADER, _HEADER_BYTES):
                raise _damaged("it does not begin with a header")
            start = file.tell()
            check_size(*struct.unpack(">II", file.read(8)))
            file.seek(start)
        crc = zlib.crc32(kind)
        while length:
            block = file.read(min(length, _BLOCK_BYTES))
            if not block:
                raise _damaged("the file ends within a chunk")
            crc, length = zlib.crc32(block, crc), length - len(block)
        if file.read(4) != struct.pack(">I", crc):
            raise _damaged("the checksum of a chunk is wrong")
        last, has_pixels = kind, has_pixels or kind == _PIXELS
    if not has_pixels:
        raise _damaged("it holds no pixels")


def _damaged(message: str) -> SlideOpenError:
    return SlideOpenError(f"PNG: {message}", remedy=DAMAGED)
