"""Which DICOM series a file belongs to, read from its first bytes.

One slide is a series of files in one directory. Only SeriesInstanceUID (0020,000E) is looked for, in explicit-VR
little-endian files, the form of every whole-slide DICOM; anything else has no known series and stands by itself.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import Final

_HEAD_BYTES: Final = 65_536
_PREAMBLE: Final = 128
_SERIES_INSTANCE_UID: Final = (0x0020, 0x000E)
_ITEM: Final = (0xFFFE, 0xE000)
_ITEM_END: Final = (0xFFFE, 0xE00D)
_SEQUENCE_END: Final = (0xFFFE, 0xE0DD)
_UNDEFINED: Final = 0xFFFFFFFF
_LONG_VRS: Final = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")


def series_uid(path: Path) -> str | None:
    """Read the SeriesInstanceUID of a DICOM file.

    Returns
    -------
    str or None
        None when the file cannot be read, is not explicit-VR little-endian DICOM, or names no series in its first
        64 kB.
    """
    try:
        status = path.stat()
        return _series_uid(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return None


@lru_cache(maxsize=16_384)
def _series_uid(path: Path, _mtime_ns: int, _size: int) -> str | None:
    """Read a file's series once, as long as it does not change: a directory of slides is looked through for each."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        return None
    try:
        value = _find(head, _PREAMBLE + 4, _SERIES_INSTANCE_UID)
    except struct.error:
        return None
    return value.rstrip(b"\0 ").decode("ascii", "replace") if value else None


def _find(data: bytes, position: int, wanted: tuple[int, int]) -> bytes | None:
    """Find the value of an element at the top level of a data set, whose elements are in rising order."""
    while True:
        tag, length, position, is_sequence = _element(data, position)
        if tag == wanted:
            return data[position : position + length]
        if tag > wanted:
            return None
        if length == _UNDEFINED:
            if not is_sequence:
                return None
            position = _skip_items(data, position)
        else:
            position += length


def _skip_items(data: bytes, position: int) -> int:
    """Step over the items of a sequence of undefined length; return where the next element begins."""
    while True:
        tag, length, position, _ = _element(data, position)
        if tag == _SEQUENCE_END:
            return position
        if tag != _ITEM:
            message = "not an item"
            raise struct.error(message)
        position = position + length if length != _UNDEFINED else _skip_item(data, position)


def _skip_item(data: bytes, position: int) -> int:
    """Step over the elements of an item of undefined length."""
    while True:
        tag, length, position, _ = _element(data, position)
        if tag == _ITEM_END:
            return position
        position = position + length if length != _UNDEFINED else _skip_items(data, position)


def _element(data: bytes, position: int) -> tuple[tuple[int, int], int, int, bool]:
    """Read an element's header: its tag, the length and position of its value, whether it is a sequence.

    Raises
    ------
    struct.error
        The data end here.
    """
    group, element = struct.unpack_from("<HH", data, position)
    tag = (group, element)
    if tag in (_ITEM, _ITEM_END, _SEQUENCE_END):
        return tag, struct.unpack_from("<I", data, position + 4)[0], position + 8, False
    vr = data[position + 4 : position + 6]
    if vr in _LONG_VRS:
        return tag, struct.unpack_from("<I", data, position + 8)[0], position + 12, vr == b"SQ"
    return tag, struct.unpack_from("<H", data, position + 6)[0], position + 8, False
