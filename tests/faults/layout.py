"""Where a file keeps its structure and where its pixels: half-open byte ranges, found in whole files."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import tifffile

Range = tuple[int, int]
DICOM_PIXELS = struct.pack("<HH2s", 0x7FE0, 0x10, b"OB")
DICOM_ITEM = struct.pack("<HH", 0xFFFE, 0xE000)


@dataclass(frozen=True)
class Layout:
    """Byte ranges of a file; all of it is in one of the two."""

    structure: tuple[Range, ...]
    data: tuple[Range, ...]


@dataclass(frozen=True)
class TiffPlaces:
    """Where, for level 0, a TIFF states sizes, resolution and the lengths of its tiles.

    Attributes
    ----------
    order
        "<" or ">".
    values
        Byte range of each tag's value.
    count_bytes
        Bytes of one entry of the table of tile lengths.
    """

    order: str
    values: dict[str, Range]
    count_bytes: int


def tiff_layout(content: bytes) -> Layout:
    """Pixels are the tiles or strips of all pages."""
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        pages = [page.aspage() for page in tiff.pages]
        data = [
            (offset, offset + count)
            for page in pages
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
    return _split(content, data)


def tiff_places(content: bytes) -> TiffPlaces:
    """Find what level 0 says about itself."""
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        tags = tiff.pages[0].aspage().tags
        values = {tag.name: (tag.valueoffset, tag.valueoffset + tag.valuebytecount) for tag in tags}
        counts = tags["TileByteCounts"]
        return TiffPlaces(tiff.byteorder, values, counts.valuebytecount // counts.count)


def dicom_layout(content: bytes) -> Layout:
    """Pixels are the frames; headers of items are structure."""
    return _split(content, dicom_frames(content))


def dicom_frames(content: bytes) -> list[Range]:
    """Byte ranges of the encapsulated frames."""
    at = content.index(DICOM_PIXELS) + 12
    frames: list[Range] = []
    while content[at : at + 4] == DICOM_ITEM:
        [length] = struct.unpack_from("<I", content, at + 4)
        frames.append((at + 8, at + 8 + length))
        at += 8 + length
    return frames[1:]


def png_layout(content: bytes) -> Layout:
    """Pixels are the contents of IDAT chunks."""
    return _split(content, [(start, stop) for kind, start, stop in png_chunks(content) if kind == b"IDAT"])


def png_chunks(content: bytes) -> list[tuple[bytes, int, int]]:
    """Kind and byte range of the content of each chunk."""
    at, chunks = 8, []
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        chunks.append((kind, at + 8, at + 8 + length))
        at += 12 + length
    return chunks


def jpeg_layout(content: bytes) -> Layout:
    """Pixels are what follows the header of the scan."""
    return _split(content, [(jpeg_segments(content)[-1][2], len(content) - 2)])


def jpeg_segments(content: bytes) -> list[tuple[int, int, int]]:
    """Marker and byte range of each segment's content, up to the first scan's header."""
    at, segments = 2, []
    while True:
        marker, length = struct.unpack_from(">HH", content, at)
        segments.append((marker, at + 4, at + 2 + length))
        at += 2 + length
        if marker == 0xFFDA:
            return segments


def _split(content: bytes, data: Sequence[Range]) -> Layout:
    data = sorted(set(data))
    structure, at = [], 0
    for start, stop in data:
        if at < start:
            structure.append((at, start))
        at = max(at, stop)
    if at < len(content):
        structure.append((at, len(content)))
    return Layout(tuple(structure), tuple(data))
