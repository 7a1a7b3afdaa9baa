"""The directories of a TIFF, read with nothing but arithmetic: no decoder sees the file, and no table is believed.

A directory's entries are read first; the tables they point at (offsets and byte counts of tiles) only on request, and
never more than the file can hold. Layout: TIFF 6.0 (Adobe 1992), section 2; BigTIFF (libtiff). Hamamatsu's NDPI stores
8-byte pointers from one directory to the next in a file that is otherwise a classic TIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from slidescore.errors import SlideOpenError
from slidescore.slide.decoded_image import DAMAGED

TIFF_MAGICS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NDPI_TAG: Final = 65_420

_BIG_VERSION: Final = 43
_MAX_DIRECTORIES: Final = 20_000
"""An OME-TIFF stack has some thousand; a chain that goes on for longer is damage."""
_MAX_ENTRIES: Final = 4_096
_MAX_ENTRIES_IN_ALL: Final = 500_000
"""Directories may overlap: a small file can hold many long ones, and each entry takes time and memory here."""
_SIZES: Final[Mapping[int, int]] = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8},
    **{11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8},
}
"""Bytes of a value of each type of TIFF 6.0 and BigTIFF."""
_WHOLE: Final[Mapping[int, str]] = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
"""Types that hold whole numbers which are not negative: BYTE, SHORT, LONG, IFD, LONG8, IFD8."""
_BYTE, _TEXT, _UNDEFINED = 1, 2, 7


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a directory: its type, how many values, and where in the file they begin."""

    kind: int
    count: int
    position: int


@dataclass(frozen=True, slots=True)
class TiffStructure:
    """All directories of an open TIFF.

    Attributes
    ----------
    file
        Open for reading; must stay open.
    size
        Bytes in the file.
    order
        "<" or ">".
    is_ndpi
        Whether it is Hamamatsu's dialect, whose tables mean something else.
    directories
        The entries of each directory by tag, in the order of the chain.
    """

    file: BinaryIO
    size: int
    order: str
    is_ndpi: bool
    directories: tuple[Mapping[int, Entry], ...] = field(default=())

    def numbers(self, directory: Mapping[int, Entry], tag: int, most: int) -> npt.NDArray[np.uint64]:
        """Read the whole numbers of an entry.

        Parameters
        ----------
        directory, tag
            Which entry.
        most
            How many values are read at most, however many there are.

        Returns
        -------
        numpy.ndarray
            uint64, (n,); empty when there is no such entry.

        Raises
        ------
        SlideOpenError
            The entry is of another type or does not lie in the file.
        """
        entry = directory.get(tag)
        if entry is None:
            return np.zeros(0, np.uint64)
        if entry.kind not in _WHOLE:
            raise damaged(f"tag {tag} is of type {entry.kind}, which holds no whole numbers")
        self._check_inside(tag, entry)
        self.file.seek(entry.position)
        count = min(entry.count, most)
        content = self.file.read(count * _SIZES[entry.kind])
        return np.frombuffer(content, np.dtype(self.order + _WHOLE[entry.kind])).astype(np.uint64)

    def number(self, directory: Mapping[int, Entry], tag: int, default: int) -> int:
        """Read the first whole number of an entry; `default` when there is none."""
        values = self.numbers(directory, tag, 1)
        return int(values[0]) if len(values) else default

    def content(self, directory: Mapping[int, Entry], tag: int, most: int) -> bytes:
        """Read an entry of bytes that mean something elsewhere, as JPEG tables do; empty when there is none.

        Raises
        ------
        SlideOpenError
            The entry is of another type, longer than `most`, or does not lie in the file.
        """
        entry = directory.get(tag)
        if entry is None:
            return b""
        if entry.kind not in (_BYTE, _UNDEFINED) or entry.count > most:
            raise damaged(f"tag {tag} is {entry.count:,} values of type {entry.kind}")
        self._check_inside(tag, entry)
        self.file.seek(entry.position)
        return self.file.read(entry.count)

    def text(self, directory: Mapping[int, Entry], tag: int, most: int) -> str:
        """Read at most `most` characters of a text; empty when there is none or it lies outside of the file."""
        entry = directory.get(tag)
        if entry is None or entry.kind != _TEXT:
            return ""
        self.file.seek(min(entry.position, self.size))
        return self.file.read(min(entry.count, most)).decode("latin-1")

    def _check_inside(self, tag: int, entry: Entry) -> None:
        if entry.position + entry.count * _SIZES[entry.kind] > self.size:
            raise damaged(f"the {entry.count:,} values of tag {tag} lie past the end of the file")


def damaged(message: str) -> SlideOpenError:
    """Make the error of a TIFF that cannot be what it claims."""
    return SlideOpenError(f"TIFF: {message}", remedy=DAMAGED)


def read_structure(file: BinaryIO) -> TiffStructure | None:
    """Read the directories of a TIFF.

    Parameters
    ----------
    file
        Open for reading.

    Returns
    -------
    TiffStructure or None
        None when the file does not begin as a TIFF does.

    Raises
    ------
    SlideOpenError
        The chain of directories leaves the file, turns back on itself, or holds what no directory holds.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    if not head.startswith(TIFF_MAGICS):
        return None
    order = "<" if head[:2] == b"II" else ">"
    try:
        if struct.unpack_from(order + "H", head, 2)[0] == _BIG_VERSION:
            width, zero, first = struct.unpack_from(order + "HHQ", head, 4)
            if (width, zero) != (8, 0):
                raise damaged(f"a BigTIFF with offsets of {width} bytes")
            directories = tuple(_chain(file, size, order, first, entry="HHQQ", count="Q", pointer="Q"))
            return TiffStructure(file, size, order, False, directories)
        [first] = struct.unpack_from(order + "I", head, 4)
        if _begins_ndpi(file, size, order, head):
            [first] = struct.unpack_from(order + "Q", head, 4)
            directories = tuple(_chain(file, size, order, first, entry="HHII", count="H", pointer="Q"))
            return TiffStructure(file, size, order, True, directories)
    except struct.error as error:
        raise damaged("the file ends within its header") from error
    return TiffStructure(
        file, size, order, False, tuple(_chain(file, size, order, first, entry="HHII", count="H", pointer="I"))
    )


def _begins_ndpi(file: BinaryIO, size: int, order: str, head: bytes) -> bool:
    """Whether the directory at the 8-byte offset, which only NDPI has in a classic TIFF, holds NDPI's own tag."""
    if len(head) < struct.calcsize("=IQ"):
        return False
    [first] = struct.unpack_from(order + "Q", head, 4)
    if not 0 < first < size:
        return False
    try:
        entries, _, _ = _directory(file, size, order, first, entry="HHII", count="H", pointer="Q")
    except SlideOpenError:
        return False
    return NDPI_TAG in entries


def _chain(
    file: BinaryIO, size: int, order: str, first: int, *, entry: str, count: str, pointer: str
) -> Iterator[Mapping[int, Entry]]:
    """Follow the directories from one to the next."""
    seen: set[int] = set()
    position, n_in_all = first, 0
    while position:
        if position in seen:
            raise damaged(f"directory {len(seen) + 1} is one of those before it")
        if len(seen) == _MAX_DIRECTORIES:
            raise damaged(f"more than {_MAX_DIRECTORIES:,} directories")
        seen.add(position)
        if position >= size:
            raise damaged(f"directory {len(seen)} lies past the end of the file")
        entries, n_entries, position = _directory(
            file, size, order, position, entry=entry, count=count, pointer=pointer
        )
        n_in_all += n_entries
        if n_in_all > _MAX_ENTRIES_IN_ALL:
            raise damaged(f"directories of more than {_MAX_ENTRIES_IN_ALL:,} entries in all")
        yield entries
    if not seen:
        raise damaged("it has no directory")


def _directory(
    file: BinaryIO, size: int, order: str, position: int, *, entry: str, count: str, pointer: str
) -> tuple[Mapping[int, Entry], int, int]:
    """Read one directory, how many entries it has, and where the next one is."""
    counted, step = struct.Struct(order + count), struct.Struct(order + entry)
    value = struct.Struct(order + entry[3:])
    file.seek(position)
    head = file.read(counted.size)
    if len(head) < counted.size:
        raise damaged("the file ends within a directory")
    [n_entries] = counted.unpack(head)
    if not 0 < n_entries <= _MAX_ENTRIES:
        raise damaged(f"a directory of {n_entries:,} entries")
    next_pointer = struct.Struct(order + pointer)
    content = file.read(n_entries * step.size + next_pointer.size)
    if len(content) < n_entries * step.size + next_pointer.size:
        raise damaged("the file ends within a directory")
    entries: dict[int, Entry] = {}
    for number in range(n_entries):
        tag, kind, n_values, _ = step.unpack_from(content, number * step.size)
        where = position + counted.size + number * step.size + step.size - value.size
        if n_values * _SIZES.get(kind, 1) > value.size:
            [where] = value.unpack_from(content, (number + 1) * step.size - value.size)
        # Of an entry that comes twice libtiff takes the first.
        entries.setdefault(tag, Entry(kind, n_values, where))
    return entries, n_entries, next_pointer.unpack_from(content, n_entries * step.size)[0]
