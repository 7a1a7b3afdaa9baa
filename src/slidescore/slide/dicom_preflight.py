"""Whether a whole-slide DICOM series can be what it claims, decided before any C library opens it.

Looked at is what sizes the reader's memory and what says where pixels lie: numbers of rows, columns and frames, the
lengths of elements against the length of the file, and the table of frame offsets. Attributes: DICOM PS3.3, C.8.12.4
(whole slide microscopy image); encapsulated frames: PS3.5, A.4. Other files of the series are opened by the reader as
well, so they are looked at too.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from slidescore.errors import SlideOpenError
from slidescore.slide.decoded_image import DAMAGED
from slidescore.slide.dicom_elements import (
    ITEM,
    MAGIC,
    PREAMBLE_BYTES,
    SEQUENCE_END,
    UNDEFINED,
    Buffer,
    Element,
    read_element,
    walk_elements,
)
from slidescore.slide.limits import MAX_TILES, check_claim
from slidescore.slide.tiff_preflight import MAX_DIFFERENCE, MAX_TILE_PX, same_proportions

_TRANSFER_SYNTAX, _IMAGE_TYPE, _ORGANIZATION = (0x2, 0x10), (0x8, 0x8), (0x20, 0x9311)
_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS = (0x28, 0x2), (0x28, 0x8), (0x28, 0x10), (0x28, 0x11), (0x28, 0x100)
_TOTAL_COLUMNS, _TOTAL_ROWS = (0x48, 0x6), (0x48, 0x7)
_PATHS, _PLANES = (0x48, 0x302), (0x48, 0x303)
_SHARED_GROUPS, _OFFSET_TABLE, _PIXELS = (0x5200, 0x9229), (0x7FE0, 0x1), (0x7FE0, 0x10)
_NUMBERS: Final = (_SAMPLES, _ROWS, _COLUMNS, _BITS, _TOTAL_COLUMNS, _TOTAL_ROWS, _PATHS, _PLANES)
_TEXTS: Final = (_TRANSFER_SYNTAX, _IMAGE_TYPE, _ORGANIZATION, _FRAMES)
_PIXEL_SPACING: Final = struct.pack("<HH2s", 0x28, 0x30, b"DS")
# Implicit VR, big endian and deflated data sets are laid out otherwise; no scanner writes them.
_OTHER_LAYOUTS: Final = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
_MAX_VALUE_BYTES: Final = 1024
_KNOWN_SAMPLES, _KNOWN_BITS = (1, 3), (8, 16)
_BITS_A_BYTE: Final = 8
_HEADERS_CHECKED: Final = 64
"""Frames whose headers are looked at where a table says where they begin; a frame that is not there fails later."""


_VOLUME: Final = "VOLUME"
_OTHER_IMAGES: Final = frozenset({"LABEL", "OVERVIEW", "THUMBNAIL"})
"""Kinds of image (PS3.3, C.8.12.4.1.1, value 3) that are never scored and never read."""


class _OtherImageError(SlideOpenError):
    """A label, overview or thumbnail is damaged, which stops nothing."""


@dataclass(frozen=True, slots=True)
class _Level:
    """What a file of a series says about the level it holds; sizes in px, spacing in mm."""

    kind: tuple[str, ...]
    width: int
    height: int
    spacing_mm: tuple[float, float] | None


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does."""
    with path.open("rb") as file:
        return file.read(PREAMBLE_BYTES + len(MAGIC)).endswith(MAGIC)


def check_dicom(paths: Sequence[Path]) -> tuple[str, ...]:
    """Refuse a series that cannot be what it claims.

    Parameters
    ----------
    paths
        The file that names the slide, then the other files of its series.

    Returns
    -------
    tuple of str
        What is odd but does not stop scoring, in words; no text of the files is repeated.

    Raises
    ------
    SlideOpenError
        A file that holds a level claims more pixels than any slide has or more frames than it holds, or ends early;
        or the series has only reduced levels.
    """
    levels: list[_Level] = []
    remarks: list[str] = []
    for number, path in enumerate(paths, 1):
        where = f" (file {number} of the series, by name)" if number > 1 else ""
        try:
            level = _read_level(path)
        except _OtherImageError as error:
            remarks.append(f"an image besides the slide's own{where}: {error.message.removeprefix('DICOM: ')}")
            continue
        except SlideOpenError as error:
            raise SlideOpenError(f"{error.message}{where}", remedy=error.remedy) from error
        if level is not None and _VOLUME in level.kind:
            levels.append(level)
    if levels and all("RESAMPLED" in level.kind for level in levels):
        message = "DICOM: the series has reduced levels only; the file of the full resolution is not beside it"
        raise SlideOpenError(message, remedy="copy the whole series into one folder")
    return (*remarks, *_disagreements(levels))


def _read_level(path: Path) -> _Level | None:
    """Check one file; None where it holds no image or is laid out in a way that cannot be checked."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        numbers: dict[tuple[int, int], int] = {}
        texts: dict[tuple[int, int], str] = {}
        spacing: tuple[float, float] | None = None
        table: Element | None = None
        pixels: Element | None = None
        last: Element | None = None
        try:
            for element in walk_elements(data, PREAMBLE_BYTES + len(MAGIC)):
                last = element
                end = element.position + (0 if element.length == UNDEFINED else element.length)
                if end > len(data):
                    raise _damaged("the file ends within one of its elements")
                if element.tag in _TEXTS:
                    texts[element.tag] = _text(data, element)
                    if element.tag == _TRANSFER_SYNTAX and texts[element.tag] in _OTHER_LAYOUTS:
                        return None
                elif element.tag in _NUMBERS:
                    numbers[element.tag] = _number(data, element)
                elif element.tag == _SHARED_GROUPS:
                    spacing = _spacing(data, element)
                elif element.tag == _OFFSET_TABLE:
                    table = element
                elif element.tag == _PIXELS:
                    pixels = element
                    break
        except struct.error as error:
            raise _damaged("the file ends within its header") from error
        if pixels is None and last is not None and last.length == UNDEFINED and not last.is_sequence:
            return None  # an element of unknown layout (UN), behind which nothing can be found
        try:
            return _checked(data, numbers, texts, spacing, table, pixels)
        except SlideOpenError as error:
            kinds = set(_kind(texts))
            if kinds & _OTHER_IMAGES and _VOLUME not in kinds:
                raise _OtherImageError(error.message, remedy=error.remedy) from error
            raise


def _checked(
    data: Buffer,
    numbers: dict[tuple[int, int], int],
    texts: dict[tuple[int, int], str],
    spacing: tuple[float, float] | None,
    table: Element | None,
    pixels: Element | None,
) -> _Level | None:
    """Hold a file's claims against one another and against its length."""
    if _TOTAL_COLUMNS not in numbers or _TOTAL_ROWS not in numbers:
        return None
    width, height = numbers[_TOTAL_COLUMNS], numbers[_TOTAL_ROWS]
    check_claim("DICOM", width, height)
    rows, columns = numbers.get(_ROWS, 0), numbers.get(_COLUMNS, 0)
    if not (min(rows, columns) > 0 and max(rows, columns) <= MAX_TILE_PX):
        raise _damaged(f"frames of {columns} x {rows} pixels")
    samples, bits = numbers.get(_SAMPLES, 0), numbers.get(_BITS, 0)
    if samples not in _KNOWN_SAMPLES or bits not in _KNOWN_BITS:
        raise _damaged(f"{samples} samples a pixel of {bits} bits")
    try:
        n_frames = int(texts.get(_FRAMES, "1"))
    except ValueError:
        raise _damaged("its number of frames is no number") from None
    needed = -(-width // columns) * -(-height // rows)
    whole = needed * numbers.get(_PATHS, 1) * numbers.get(_PLANES, 1)
    if not 0 < n_frames <= MAX_TILES or whole > MAX_TILES:
        raise _damaged(f"claims {width} x {height} pixels in {max(n_frames, whole):,} frames")
    if texts.get(_ORGANIZATION) == "TILED_FULL" and n_frames < whole:
        raise _damaged(f"{width} x {height} pixels need {whole:,} frames, it has {n_frames:,}")
    if pixels is None:
        raise _damaged("it holds no pixel data")
    if pixels.length == UNDEFINED:
        _check_frames(data, n_frames, table, pixels.position)
    elif pixels.length < n_frames * rows * columns * samples * (bits // _BITS_A_BYTE):
        raise _damaged(f"{n_frames:,} frames of {columns} x {rows} pixels do not fit into its pixel data")
    return _Level(_kind(texts), width, height, spacing)


def _kind(texts: dict[tuple[int, int], str]) -> tuple[str, ...]:
    return tuple(texts.get(_IMAGE_TYPE, "").split("\\"))


def _check_frames(data: Buffer, n_frames: int, table: Element | None, position: int) -> None:
    """Refuse encapsulated frames that the file does not hold.

    Parameters
    ----------
    table
        The extended offset table, where there is one.
    position
        Where the basic offset table begins.
    """
    try:
        basic = read_element(data, position)
        if basic.tag != ITEM or basic.position + basic.length > len(data):
            raise _damaged("its pixel data do not begin with a table of frames")
        first = basic.position + basic.length
        if table is not None and table.length:
            starts = np.frombuffer(data[table.position : table.position + table.length // 8 * 8], "<u8")
        else:
            starts = np.frombuffer(data[basic.position : basic.position + basic.length // 4 * 4], "<u4")
        if len(starts):
            _check_starts(data, n_frames, starts.astype(np.int64) + first)
        else:
            _check_walk(data, n_frames, first)
    except struct.error as error:
        raise _damaged(f"the file ends before some of its {n_frames:,} frames") from error


def _check_starts(data: Buffer, n_frames: int, starts: npt.NDArray[np.int64]) -> None:
    """Hold a table of frame starts against the file."""
    if len(starts) != n_frames:
        raise _damaged(f"its table lists {len(starts):,} of {n_frames:,} frames")
    if (np.diff(starts) <= 0).any() or starts[0] < 0:
        raise _damaged("its table of frames is out of order")
    for at in np.unique(np.linspace(0, n_frames - 1, _HEADERS_CHECKED).astype(int)):
        item = read_element(data, int(starts[at]))
        if item.tag != ITEM:
            raise _damaged(f"frame {at + 1} does not begin where its table says")
        if item.position + item.length > len(data):
            raise _damaged(f"the file ends within frame {at + 1} of {n_frames:,}")


def _check_walk(data: Buffer, n_frames: int, position: int) -> None:
    """Count the frames of a file without a table, from one to the next."""
    found = 0
    while (item := read_element(data, position)).tag == ITEM:
        position = item.position + item.length
        found += 1
        if position > len(data):
            raise _damaged(f"the file ends within frame {found} of {n_frames:,}")
    if item.tag != SEQUENCE_END or found < n_frames:
        raise _damaged(f"it holds {found:,} of {n_frames:,} frames")


def _disagreements(levels: Sequence[_Level]) -> list[str]:
    """Say where the levels of a series contradict one another: in proportions, or in what a pixel measures."""
    remarks: list[str] = []
    if not levels:
        return remarks
    finest = max(levels, key=lambda level: level.width * level.height)
    for level in levels:
        sizes = f"{finest.width} x {finest.height} and {level.width} x {level.height} pixels"
        if not same_proportions((finest.width, finest.height), (level.width, level.height)):
            remarks.append(f"levels of {sizes} are not of the same proportions")
        if finest.spacing_mm is None or level.spacing_mm is None:
            continue
        for fine, coarse, n_fine, n_coarse in zip(
            finest.spacing_mm, level.spacing_mm, (finest.height, finest.width), (level.height, level.width), strict=True
        ):
            # One pixel of rounding, as a share of the coarse level.
            slack = 1 + MAX_DIFFERENCE + 1 / n_coarse
            ratio = (coarse / fine) / (n_fine / n_coarse)
            if not 1 / slack <= ratio <= slack:
                remarks.append(f"levels of {sizes} state resolutions that do not fit their sizes")
                break
    return remarks


def _spacing(data: Buffer, element: Element) -> tuple[float, float] | None:
    """Find PixelSpacing (between rows, between columns) within the shared functional groups."""
    end = len(data) if element.length == UNDEFINED else element.position + element.length
    at = data.find(_PIXEL_SPACING, element.position, end)
    if at < 0:
        return None
    try:
        rows, columns = map(float, _text(data, read_element(data, at)).split("\\"))
    except ValueError:
        return None
    return (rows, columns) if 0 < rows < np.inf and 0 < columns < np.inf else None


def _text(data: Buffer, element: Element) -> str:
    length = min(element.length, _MAX_VALUE_BYTES)
    return bytes(data[element.position : element.position + length]).rstrip(b"\0 ").decode("ascii", "replace").strip()


def _number(data: Buffer, element: Element) -> int:
    """Read an US or UL value."""
    number: int
    form = {2: "<H", 4: "<I"}.get(element.length)
    if form is None:
        raise _damaged(f"element ({element.tag[0]:04X},{element.tag[1]:04X}) is {element.length} bytes long")
    [number] = struct.unpack_from(form, data, element.position)
    return number


def _damaged(message: str) -> SlideOpenError:
    return SlideOpenError(f"DICOM: {message}", remedy=DAMAGED)
