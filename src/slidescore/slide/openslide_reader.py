"""Slides through OpenSlide: every scanner format it knows.

Associated images (label, macro) are never read: they can show a patient's name. OpenSlide's errors are sticky: after
one failed read the handle answers nothing more, so a slide with an undecodable tile must be opened anew to go on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import openslide

from slidescore.errors import SlideOpenError
from slidescore.geometry import Region
from slidescore.slide.library_words import library_words
from slidescore.slide.reader import RegionReader, check_request, with_remarks

OLDEST_LIBRARY: Final = (4, 0, 1)
_ICC_SIZE: Final = "openslide.icc-size"
_DAMAGED: Final = "the file is damaged or incomplete: copy it again from the scanner"


class OpenSlideReader(RegionReader):
    """A slide opened by OpenSlide.

    Parameters
    ----------
    path
        The slide's file; for formats of several files, the one that OpenSlide opens.
    remarks
        What was odd about the file, see `slidescore.slide.preflight`.

    Raises
    ------
    SlideOpenError
        The OpenSlide library is too old to be safe, or it cannot open the file.
    """

    backend: str = "openslide"

    def __init__(self, path: Path, remarks: Sequence[str] = ()) -> None:
        check_library_version(openslide.__library_version__)
        self._path = path
        self._closed = False
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise SlideOpenError("OpenSlide does not know this format", where=str(path)) from error
        except openslide.OpenSlideError as error:
            raise SlideOpenError(_one_line(error), where=str(path), remedy=_DAMAGED) from error
        try:
            self.properties: Mapping[str, str] = MappingProxyType(with_remarks(self._slide.properties, remarks))
            self.level_dimensions: tuple[tuple[int, int], ...] = tuple(self._slide.level_dimensions)
            self.level_downsamples: tuple[float, ...] = tuple(self._slide.level_downsamples)
        except openslide.OpenSlideError as error:
            self.close()
            raise SlideOpenError(_one_line(error), where=str(path), remedy=_DAMAGED) from error
        self.dimensions = self.level_dimensions[0]
        self.level_count = len(self.level_dimensions)
        self.vendor = self.properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
        self.mpp = _stated_mpp(self.properties)
        self.bounds = _stated_bounds(self.properties, self.dimensions)
        self.icc_profile = self.properties.get(_ICC_SIZE, "0") != "0"

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Read a rectangle; see `SlideReader.read_region`.

        Where `location` does not fall on a pixel of `level`, OpenSlide interpolates between two of them.
        """
        if self._closed:
            message = "the reader is closed"
            raise ValueError(message)
        check_request(level, self.level_count, size)
        if 0 in size:
            return np.zeros((size[1], size[0], 4), np.uint8)
        try:
            return np.asarray(self._slide.read_region(location, level, size))
        except openslide.OpenSlideError as error:
            raise SlideOpenError(_one_line(error), where=str(self._path), remedy=_DAMAGED) from error

    def close(self) -> None:
        """Let the file go."""
        if not self._closed:
            self._closed = True
            self._slide.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_library_version(version: str) -> None:
    """Refuse OpenSlide libraries with known holes.

    Raises
    ------
    SlideOpenError
        `version` is older than 4.0.1: CVE-2026-48977 (a crafted BIF file writes to memory) or CVE-2026-54604
        (uninitialised pixels are returned without an error).
    """
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if numbers < OLDEST_LIBRARY:
        message = (
            f"OpenSlide {version} is not safe: CVE-2026-48977 (memory write by a crafted BIF file) and "
            "CVE-2026-54604 (silently wrong pixels)"
        )
        raise SlideOpenError(message, remedy='pip install "openslide-bin>=4.0.1.1"')


def detect_vendor(path: Path) -> str | None:
    """Name the format that OpenSlide would open `path` as; None when it knows none.

    Raises
    ------
    SlideOpenError
        The OpenSlide library is too old to be safe.
    """
    check_library_version(openslide.__library_version__)
    vendor: str | None = openslide.OpenSlide.detect_format(path)
    return vendor


def _stated_mpp(properties: Mapping[str, str]) -> tuple[float, float] | None:
    """Read micrometres per level-0 pixel (x, y); None unless both are stated as positive numbers."""
    try:
        x = float(properties[openslide.PROPERTY_NAME_MPP_X])
        y = float(properties[openslide.PROPERTY_NAME_MPP_Y])
    except (KeyError, ValueError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) and min(x, y) > 0 else None


def _stated_bounds(properties: Mapping[str, str], dimensions: tuple[int, int]) -> Region | None:
    """Read the scanned area, cut to the slide; None when it is not stated or is the whole slide."""
    names = (
        openslide.PROPERTY_NAME_BOUNDS_X,
        openslide.PROPERTY_NAME_BOUNDS_Y,
        openslide.PROPERTY_NAME_BOUNDS_WIDTH,
        openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
    )
    try:
        x, y, width, height = (int(properties[name]) for name in names)
    except (KeyError, ValueError):
        return None
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, dimensions[0]), min(y + height, dimensions[1])
    if x0 >= x1 or y0 >= y1 or (x0, y0, x1, y1) == (0, 0, *dimensions):
        return None
    return Region(x0, y0, x1 - x0, y1 - y0)


def _one_line(error: Exception) -> str:
    """Put OpenSlide's own words on one line; what it quotes of the file or its path is left out."""
    return f"OpenSlide: {library_words(error)}"
