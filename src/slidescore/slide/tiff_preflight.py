"""Whether a TIFF can be what it claims, decided before any C library opens it.

OpenSlide notices damaged tables late (a tile past the end of the file fails only when it is asked for), slowly (a file
that claims a million pixels a side takes it half a minute and a gigabyte) or fatally (one flipped bit in a tile size
ends the process). Only the pages of the pyramid are refused; what is wrong with a label or a thumbnail is remarked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
import tifffile

from slidescore.errors import SlideOpenError
from slidescore.slide.limits import MAX_TILES, MAX_TILES_IN_ALL, check_claim
from slidescore.slide.tiff_structure import Entry, TiffStructure, damaged, read_structure

MIN_TILE_PX: Final = 16
MAX_TILE_PX: Final = 8192
MAX_DIFFERENCE: Final = 0.05
"""Two pages of one pyramid may differ by this fraction, besides a pixel of rounding, in what they are reduced by along
x and y; scanners pad coarse levels to whole tiles."""

MAX_REMARKS: Final = 20
"""A flag is made of them, and a file of thousands of pages has as many."""
_MAX_OTHER_PAGES: Final = 100
"""Pages besides the pyramid that are looked at: a label, a picture of the glass, thumbnails."""

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION = 256, 257, 258, 259, 262, 270
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_COUNTS, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_XMP: Final = 700
_SEPARATE: Final = 2
_COMPRESSIONS: Final = frozenset(int(code) for code in tifffile.COMPRESSION)
_PHOTOMETRICS: Final = frozenset(int(code) for code in tifffile.PHOTOMETRIC)
_KNOWN_BITS: Final = (1, 2, 4, 8, 10, 12, 14, 16, 24, 32, 64)
_MAX_SAMPLES: Final = 64
_DESCRIPTION_BYTES: Final = 4096
_APERIO_SIZE: Final = re.compile(r"\[\d+,\d+ (\d+)x(\d+)\]")


@dataclass(frozen=True, slots=True)
class _Page:
    """What a directory says about its image.

    Attributes
    ----------
    number
        From 1.
    piece_px
        Width and height of a tile or strip; None when it has neither.
    coding
        Compression, photometric interpretation, samples a pixel, planar configuration.
    """

    number: int
    tags: Mapping[int, Entry]
    width: int
    height: int
    piece_px: tuple[int, int] | None
    tiled: bool
    coding: tuple[int, int, int, int]

    @property
    def n_pieces(self) -> int:
        """Tiles or strips that the image needs."""
        assert self.piece_px is not None
        planes = self.coding[2] if self.coding[3] == _SEPARATE else 1
        return -(-self.width // self.piece_px[0]) * -(-self.height // self.piece_px[1]) * planes


def check_tiff(file: BinaryIO) -> tuple[str, ...]:
    """Refuse a TIFF whose pyramid cannot be what it claims.

    Sizes are judged from the directories alone; tables are read only when the number of their entries is right.
    Hamamatsu's NDPI uses the tables in a way of its own, so only its sizes are judged.

    Parameters
    ----------
    file
        Open for reading; its first bytes say that it is a TIFF.

    Returns
    -------
    tuple of str
        What is odd but does not stop scoring, in words; no text of the file is repeated.

    Raises
    ------
    SlideOpenError
        The chain of directories is broken, or a page of the pyramid has senseless tiles, claims more pixels than
        any slide has, lists too few tiles, or has tiles past the end of the file.
    """
    structure = read_structure(file)
    if structure is None or not structure.directories:
        raise damaged("it has no directory")
    if structure.is_ndpi:
        for tags in structure.directories:
            check_claim("TIFF", structure.number(tags, _WIDTH, 1), structure.number(tags, _LENGTH, 1))
        return ()
    pages, remarks = _pages(structure)
    pyramid = _pyramid(pages)
    for page in pyramid:
        _check_piece_size(page)
    # Every table is read: many pages may share one that is long.
    if (n_pieces := sum(page.n_pieces for page in pyramid)) > MAX_TILES_IN_ALL:
        raise damaged(f"claims {n_pieces:,} tiles in {len(pyramid):,} pages")
    for page in pyramid:
        _check_coding(structure, page)
        _check_tables(structure, page)
    scored = {page.number for page in pyramid}
    for page in [page for page in pages if page.number not in scored][:_MAX_OTHER_PAGES]:
        remarks += _remark(structure, page)
    if _is_one_pyramid(structure):
        remarks += _disagreements(pyramid)
    remarks += _description(structure, pyramid)
    more = [f"and {len(remarks) - MAX_REMARKS} remarks more"] if len(remarks) > MAX_REMARKS else []
    return (*remarks[:MAX_REMARKS], *more)


def _pages(structure: TiffStructure) -> tuple[list[_Page], list[str]]:
    """Read what each directory says; a directory that cannot be read is remarked, the first one refused."""
    pages: list[_Page] = []
    remarks: list[str] = []
    for number, tags in enumerate(structure.directories, 1):
        try:
            pages.append(_page(structure, number, tags))
        except SlideOpenError as error:
            if number == 1:
                raise
            remarks.append(f"page {number}: {error.message.removeprefix('TIFF: ')}")
    return pages, remarks


def _page(structure: TiffStructure, number: int, tags: Mapping[int, Entry]) -> _Page:
    def get(tag: int, default: int) -> int:
        return structure.number(tags, tag, default)

    width, height = get(_WIDTH, 0), get(_LENGTH, 0)
    if min(width, height) < 1:
        raise damaged(f"{width} x {height} pixels")
    tiled = _TILE_WIDTH in tags or _TILE_OFFSETS in tags
    piece: tuple[int, int] | None = None
    if tiled:
        piece = get(_TILE_WIDTH, 0), get(_TILE_LENGTH, 0)
    elif _STRIP_OFFSETS in tags:
        piece = width, min(get(_ROWS_PER_STRIP, height), height)
    coding = get(_COMPRESSION, 1), get(_PHOTOMETRIC, 0), get(_SAMPLES, 1), get(_PLANAR, 1)
    return _Page(number, tags, width, height, piece, tiled, coding)


def _pyramid(pages: Sequence[_Page]) -> list[_Page]:
    """Choose the pages that pixels may be scored from: the tiled ones, or the largest where none is tiled.

    Raises
    ------
    SlideOpenError
        The first page is larger than every tiled one: the finest level has lost its tiles. Any other page may be
        larger, as the picture of the whole glass is beside a small scan.
    """
    largest = max(pages, key=lambda page: page.width * page.height)
    tiled = [page for page in pages if page.tiled]
    if tiled and largest is pages[0] and not largest.tiled:
        raise damaged(f"its largest page ({largest.width} x {largest.height}) has no tiles, though smaller ones have")
    return tiled or [largest]


def _check_piece_size(page: _Page) -> None:
    """Refuse senseless tiles, and more pixels or tiles than any slide has."""
    if page.piece_px is None:
        raise damaged(f"page {page.number} holds no pixels")
    width, height = page.piece_px
    if page.tiled and not (min(width, height) >= MIN_TILE_PX and max(width, height) <= MAX_TILE_PX):
        raise damaged(f"tiles of {width} x {height} pixels")
    check_claim("TIFF", page.width, page.height)
    if min(width, height) < 1 or page.coding[2] > _MAX_SAMPLES:
        raise damaged(f"strips of {height} rows, {page.coding[2]} samples a pixel")
    if page.n_pieces > MAX_TILES:
        raise damaged(f"claims {page.width} x {page.height} pixels in {page.n_pieces:,} tiles")


def _check_coding(structure: TiffStructure, page: _Page) -> None:
    """Refuse what nobody writes: an unknown compression, colour, number of samples or number of bits."""
    compression, photometric, samples, planar = page.coding
    if compression not in _COMPRESSIONS:
        raise damaged(f"compression {compression} is not known")
    if photometric not in _PHOTOMETRICS:
        raise damaged(f"photometric interpretation {photometric} is not known")
    bits = structure.numbers(page.tags, _BITS, _MAX_SAMPLES)
    if samples < 1 or planar not in (1, _SEPARATE) or len(bits) not in (0, 1, samples):
        raise damaged(f"{samples} samples a pixel of {len(bits)} depths, planar configuration {planar}")
    if not set(bits.tolist()) <= set(_KNOWN_BITS):
        raise damaged(f"samples of {', '.join(map(str, bits.tolist()))} bits")


def _check_tables(structure: TiffStructure, page: _Page) -> None:
    """Refuse tables that are shorter than the image, hold nothing, or point past the end of the file."""
    offset_tag, count_tag = (_TILE_OFFSETS, _TILE_COUNTS) if page.tiled else (_STRIP_OFFSETS, _STRIP_COUNTS)
    if not page.tiled and count_tag not in page.tags and page.coding[0] == 1:
        return  # old writers of plain pixels leave the counts out
    listed = [page.tags[tag].count if tag in page.tags else 0 for tag in (offset_tag, count_tag)]
    what = "tiles" if page.tiled else "strips"
    if min(listed) < page.n_pieces:
        raise damaged(f"its tables list {min(listed):,} of {page.n_pieces:,} {what}")
    offsets = structure.numbers(page.tags, offset_tag, page.n_pieces)
    counts = structure.numbers(page.tags, count_tag, page.n_pieces)
    if not counts.any() or not offsets.any():
        raise damaged(f"none of its {page.n_pieces:,} {what} holds data")
    if cut := int(past_end(offsets, counts, structure.size).sum()):
        raise damaged(f"the file ends before {cut} of {page.n_pieces} {what}")


def past_end(offsets: npt.NDArray[np.uint64], counts: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.bool_]:
    """Say which pieces of a file of `size` bytes reach past its end; an empty piece reaches nowhere.

    Returns
    -------
    numpy.ndarray
        bool, (n,).
    """
    end = np.uint64(size)
    return (counts > 0) & ((offsets >= end) | (counts > end - np.minimum(offsets, end)))


def _remark(structure: TiffStructure, page: _Page) -> list[str]:
    """Say what is wrong with a page that is no part of the pyramid."""
    try:
        _check_piece_size(page)
        _check_coding(structure, page)
        _check_tables(structure, page)
    except SlideOpenError as error:
        return [f"page {page.number}: {error.message.removeprefix('TIFF: ')}"]
    return []


def _is_one_pyramid(structure: TiffStructure) -> bool:
    """Whether all tiled pages are levels of one image; not so where XML describes them (Leica, Philips, Ventana)."""
    first = structure.directories[0]
    text = structure.text(first, _DESCRIPTION, _DESCRIPTION_BYTES)
    return _XMP not in first and not text.lstrip("\ufeffï»¿ \r\n").startswith("<")


def _disagreements(pyramid: Sequence[_Page]) -> list[str]:
    """Say where pages of one pyramid contradict one another: in coding, in proportions, in the length of tables."""
    remarks = []
    finest = max(pyramid, key=lambda page: page.width * page.height)
    for page in pyramid:
        offset_tag = _TILE_OFFSETS if page.tiled else _STRIP_OFFSETS
        if (listed := page.tags[offset_tag].count) > page.n_pieces:
            remarks.append(f"page {page.number} lists {listed:,} tiles and needs {page.n_pieces:,}")
        if page.coding != finest.coding:
            remarks.append(f"pages {finest.number} and {page.number} are coded differently")
        if not same_proportions((finest.width, finest.height), (page.width, page.height)):
            remarks.append(
                f"pages {finest.number} ({finest.width} x {finest.height}) and {page.number} "
                f"({page.width} x {page.height}) are not of the same proportions"
            )
    return remarks


def same_proportions(fine: tuple[int, int], coarse: tuple[int, int]) -> bool:
    """Whether one image can be the other made smaller, or both show different things of any size.

    Parameters
    ----------
    fine, coarse
        Width and height in px; `coarse` may be off by a pixel of rounding, and by padding within `MAX_DIFFERENCE`.
    """
    factors = [(size / (other + 1), size / max(other - 1, 1)) for size, other in zip(fine, coarse, strict=True)]
    (x_low, x_high), (y_low, y_high) = factors
    return x_low <= y_high * (1 + MAX_DIFFERENCE) and y_low <= x_high * (1 + MAX_DIFFERENCE)


def _description(structure: TiffStructure, pyramid: Sequence[_Page]) -> list[str]:
    """Compare an Aperio file's first page with the size that its description states; repeats numbers only."""
    first = structure.directories[0]
    text = structure.text(first, _DESCRIPTION, _DESCRIPTION_BYTES)
    # An arrow tells of a part or a smaller copy, whose own size the description states elsewhere.
    found = _APERIO_SIZE.search(text) if text.startswith("Aperio") and "->" not in text else None
    if found is None or pyramid[0].number != 1:
        return []
    stated, is_size = (int(found[1]), int(found[2])), (pyramid[0].width, pyramid[0].height)
    if stated == is_size:
        return []
    return [f"it says {stated[0]} x {stated[1]} pixels in one place and {is_size[0]} x {is_size[1]} in another"]
