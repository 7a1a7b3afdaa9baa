"""Which DICOM series a file belongs to, read from its first bytes.

One slide is a series of files in one directory. Only SeriesInstanceUID (0020,000E) is looked for, in explicit-VR
little-endian files, the form of every whole-slide DICOM; anything else has no known series and stands by itself.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import Final

from slidescore.slide.dicom_elements import MAGIC, PREAMBLE_BYTES, walk_elements

_HEAD_BYTES: Final = 65_536
_SERIES_INSTANCE_UID: Final = (0x0020, 0x000E)


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
    if head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] != MAGIC:
        return None
    try:
        for element in walk_elements(head, PREAMBLE_BYTES + len(MAGIC)):
            # Elements are in rising order.
            if element.tag >= _SERIES_INSTANCE_UID:
                value = head[element.position : element.position + element.length]
                return _text(value) if element.tag == _SERIES_INSTANCE_UID and value else None
    except struct.error:
        return None
    return None


def _text(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("ascii", "replace")
