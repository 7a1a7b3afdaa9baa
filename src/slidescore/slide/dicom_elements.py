"""Step through the elements of a DICOM data set: where each begins, how long it says it is, nothing of what it means.

Only explicit VR little endian, the form of every whole-slide DICOM. Source of the layout: DICOM PS3.5, section 7.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

Buffer = bytes | mmap.mmap

PREAMBLE_BYTES: Final = 128
MAGIC: Final = b"DICM"
ITEM: Final = (0xFFFE, 0xE000)
SEQUENCE_END: Final = (0xFFFE, 0xE0DD)
UNDEFINED: Final = 0xFFFFFFFF
_ITEM_END: Final = (0xFFFE, 0xE00D)
_LONG_VRS: Final = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_MAX_DEPTH: Final = 32
"""Sequences nested deeper than this are damage; whole-slide files nest four or five."""


@dataclass(frozen=True, slots=True)
class Element:
    """Header of a data element: its tag, and where its value begins and how many bytes it claims."""

    tag: tuple[int, int]
    length: int
    position: int
    is_sequence: bool


def read_element(data: Buffer, position: int) -> Element:
    """Read the header of the element at `position`.

    Raises
    ------
    struct.error
        The data end here.
    """
    group, number = struct.unpack_from("<HH", data, position)
    tag = (group, number)
    if tag in (ITEM, _ITEM_END, SEQUENCE_END):
        return Element(tag, struct.unpack_from("<I", data, position + 4)[0], position + 8, False)
    vr = bytes(data[position + 4 : position + 6])
    if vr in _LONG_VRS:
        return Element(tag, struct.unpack_from("<I", data, position + 8)[0], position + 12, vr == b"SQ")
    return Element(tag, struct.unpack_from("<H", data, position + 6)[0], position + 8, False)


def walk_elements(data: Buffer, position: int) -> Iterator[Element]:
    """Yield the elements at the top level of a data set; the last one yielded may be of undefined length.

    Raises
    ------
    struct.error
        The data end within an element, or sequences are nested senselessly.
    """
    while position < len(data):
        element = read_element(data, position)
        yield element
        if element.length != UNDEFINED:
            position = element.position + element.length
        elif element.is_sequence:
            position = _skip_items(data, element.position, 0)
        else:
            return


def _skip_items(data: Buffer, position: int, depth: int) -> int:
    """Step over the items of a sequence of undefined length; return where the next element begins."""
    if depth > _MAX_DEPTH:
        message = "sequences nested too deeply"
        raise struct.error(message)
    while True:
        element = read_element(data, position)
        if element.tag == SEQUENCE_END:
            return element.position
        if element.tag != ITEM:
            message = "not an item"
            raise struct.error(message)
        position = element.position + element.length
        if element.length == UNDEFINED:
            position = _skip_item(data, element.position, depth)


def _skip_item(data: Buffer, position: int, depth: int) -> int:
    """Step over the elements of an item of undefined length."""
    while True:
        element = read_element(data, position)
        if element.tag == _ITEM_END:
            return element.position
        position = element.position + element.length
        if element.length == UNDEFINED:
            position = _skip_items(data, element.position, depth + 1)
