"""What stands before the pixels in a tile's JPEG, judged before a decoder sees it: decoders take more than a tile is.

A JPEG of one colour or of four is decoded to three without a word, and one of twice the size, asked for at half the
resolution, at a quarter. OpenSlide refuses all of them. Markers: ITU-T T.81, annex B.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from slidescore.errors import SlideOpenError
from slidescore.slide.decoded_image import DAMAGED

_START: Final = b"\xff\xd8"
_MARKER_BYTES: Final = 2
_LENGTH_BYTES: Final = 2
_FILL: Final = 0xFF
_STANDING_ALONE: Final = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))
"""Markers without a segment: TEM, RST, SOI, EOI, of which none stands here; 0 is no marker."""
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF of every kind: 0xC4, 0xC8 and 0xCC are tables and a reserved one."""
_SCAN: Final = 0xDA
_JFIF, _ADOBE_MARKER = 0xE0, 0xEE
_JFIF_NAME, _JFIF_LEAST, _JFIF_VERSION, _JFIF_KNOWN = b"JFIF\0", 16, 9, (1, 2)
_ADOBE_NAME, _ADOBE_LEAST, _ADOBE_COLOURS, _ADOBE_KNOWN = b"Adobe", 14, 15, (0, 1)
"""Name, least length, where the byte stands that is judged (from the marker on), and what it may be."""
_NAME_AT: Final = 4
_ADOBE: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
"""Adobe's marker APP14 up to its last byte: length 14, name, version 100, no flags (Adobe technical note 5116)."""
_AS_RGB, _AS_YCBCR = b"\x00", b"\x01"
_COLOURS, _BITS = 3, 8
_FRAME_BYTES: Final = 19
"""A frame of three colours: marker, length 17, bits, height, width, 3, and three bytes for each."""


class TileHead(NamedTuple):
    """The head of a tile's JPEG, which most tiles of a level share.

    Attributes
    ----------
    stored
        As it lies in the file, with the header of the first scan.
    given
        What the decoder is given in its place.
    sampling
        How many samples of brightness there are for one of colour, across and down: (2, 2) is 4:2:0.
    """

    stored: bytes
    given: bytes
    sampling: tuple[int, int]


def head_of(tables: bytes, *, is_rgb: bool) -> bytes:
    """Make what stands before the codes of a tile once its own first two bytes are left out.

    What colours a JPEG holds is said by TIFF's photometric interpretation, which OpenSlide believes. libjpeg does not
    know it; it believes a JFIF marker, Adobe's marker and the numbers of the components, in this order. So TIFF's word
    is put into an Adobe marker, and other markers of colours are left out.

    Parameters
    ----------
    tables
        The tables that a TIFF keeps apart (tag 347), a JPEG without an image; empty when there are none.
    is_rgb
        Whether the photometric interpretation is RGB, not YCbCr.

    Raises
    ------
    SlideOpenError
        The tables are no such JPEG.
    """
    segments = [segment for marker, segment, _ in _segments(tables[:-_MARKER_BYTES])] if tables else []
    if any(segment[1] in (*_FRAMES, _SCAN) for segment in segments):
        raise _unlike("tables with an image")
    kept = (segment for segment in segments if not _tells_colours(segment))
    return b"".join((_START, _ADOBE, _AS_RGB if is_rgb else _AS_YCBCR, *kept))


def read_head(codes: bytes, head: bytes, width: int, height: int) -> TileHead:
    """Judge what a tile's codes begin with.

    Parameters
    ----------
    codes
        A JPEG, whose tables may be apart.
    head
        What `head_of` made for its level.
    width, height
        Size of a tile, in px.

    Raises
    ------
    SlideOpenError
        It is no JPEG of three colours of 8 bits and of this size, or its head is damaged.
    """
    kept, sampling = [head], (0, 0)
    for marker, segment, end in _segments(codes):
        if marker in _FRAMES:
            if sampling != (0, 0):
                raise _unlike("two images in one")
            sampling = _sampling(segment, width, height)
        if not _tells_colours(segment):
            kept.append(segment)
        if marker == _SCAN:
            if sampling == (0, 0):
                raise _unlike("pixels of no size")
            return TileHead(codes[:end], b"".join(kept), sampling)
    raise _unlike("it ends before its pixels")


def _segments(codes: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Go through the segments of a JPEG; give the marker of each, all of it, and where it ends."""
    if not codes.startswith(_START):
        raise _unlike("it does not begin as a JPEG does")
    at, n_bytes = _MARKER_BYTES, len(codes)
    while at < n_bytes:
        while codes[at : at + _MARKER_BYTES] == b"\xff\xff":
            at += 1
        body = at + _MARKER_BYTES
        length = int.from_bytes(codes[body : body + _LENGTH_BYTES], "big")
        end = body + length
        if codes[at] != _FILL or length < _LENGTH_BYTES or end > n_bytes or codes[at + 1] in _STANDING_ALONE:
            raise _unlike("its head is damaged")
        yield codes[at + 1], codes[at:end], end
        at = end


def _sampling(frame: bytes, width: int, height: int) -> tuple[int, int]:
    """Judge a frame's header; give how it samples its colours."""
    if len(frame) != _FRAME_BYTES or (frame[4], frame[9]) != (_BITS, _COLOURS):
        raise _unlike("not three colours of 8 bits")
    is_size = int.from_bytes(frame[7:9], "big"), int.from_bytes(frame[5:7], "big")
    if is_size != (width, height):
        raise _unlike(f"{is_size[0]} x {is_size[1]} px in a tile of {width} x {height}")
    (across, down), *others = ((factors >> 4, factors & 15) for factors in frame[11::3])
    if others[0] != others[1] or not all(others[0]) or across % others[0][0] or down % others[0][1]:
        raise _unlike("colours sampled in an unusual way")
    return across // others[0][0], down // others[0][1]


def _tells_colours(segment: bytes) -> bool:
    """Whether a segment is a marker of what colours a JPEG holds.

    Raises
    ------
    SlideOpenError
        It is one of which libjpeg would warn, and so would OpenSlide.
    """
    name = segment[_NAME_AT : _NAME_AT + len(_JFIF_NAME)]
    if segment[1] == _JFIF and name == _JFIF_NAME and len(segment) >= _MARKER_BYTES + _JFIF_LEAST:
        known = segment[_JFIF_VERSION] in _JFIF_KNOWN
    elif segment[1] == _ADOBE_MARKER and name == _ADOBE_NAME and len(segment) >= _MARKER_BYTES + _ADOBE_LEAST:
        known = segment[_ADOBE_COLOURS] in _ADOBE_KNOWN
    else:
        return segment[1] in (_JFIF, _ADOBE_MARKER)
    if not known:
        raise _unlike("its head is damaged")
    return True


def _unlike(message: str) -> SlideOpenError:
    return SlideOpenError(f"JPEG: {message}", remedy=DAMAGED)
