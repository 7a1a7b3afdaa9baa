"""A slide that is a numpy array: the test double, and the pixels behind the image reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from slidescore.geometry import Region
from slidescore.slide.reader import RegionReader, check_request

_COLOUR_AXES: Final = 3
_RGB: Final = 3
_RGBA: Final = 4


class ArrayReader(RegionReader):
    """Pixels in memory, read through the `SlideReader` contract.

    Parameters
    ----------
    pixels
        uint8, (H, W, 3) or (H, W, 4), RGB or straight RGBA: level 0.
    mpp
        Micrometres per level-0 pixel: one number, (x, y), or None for "not stated".
    levels
        The coarser levels, each shaped as `pixels`, finest first.
    bounds
        The scanned area in level-0 px; None when it is the whole array.
    """

    backend: str = "array"

    def __init__(
        self,
        pixels: npt.NDArray[np.uint8],
        *,
        mpp: float | tuple[float, float] | None = None,
        levels: Sequence[npt.NDArray[np.uint8]] = (),
        bounds: Region | None = None,
        properties: Mapping[str, str] | None = None,
        vendor: str = "array",
        icc_profile: bool = False,
    ) -> None:
        self._levels: tuple[npt.NDArray[np.uint8], ...] = tuple(_checked(level) for level in (pixels, *levels))
        self._closed = False
        self.mpp = (float(mpp), float(mpp)) if isinstance(mpp, int | float) else mpp
        self.bounds = bounds
        self.vendor = vendor
        self.icc_profile = icc_profile
        self.properties: Mapping[str, str] = MappingProxyType(dict(properties or {}))
        self.level_dimensions = tuple((level.shape[1], level.shape[0]) for level in self._levels)
        self.dimensions = self.level_dimensions[0]
        self.level_count = len(self._levels)
        width, height = self.dimensions
        self.level_downsamples = tuple((width / w + height / h) / 2 for w, h in self.level_dimensions)

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Read a rectangle; see `SlideReader.read_region`. The location is rounded to the nearest level pixel."""
        if self._closed:
            message = "the reader is closed"
            raise ValueError(message)
        check_request(level, self.level_count, size)
        downsample = self.level_downsamples[level]
        x, y = round(location[0] / downsample), round(location[1] / downsample)
        return cut_rgba(self._levels[level], x, y, *size)

    def close(self) -> None:
        """Let the pixels go."""
        self._closed = True
        self._levels = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def cut_rgba(pixels: npt.NDArray[np.uint8], x: int, y: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Cut a rectangle out of an array, with alpha 0 where it reaches outside.

    Parameters
    ----------
    pixels
        uint8, (H, W, 3) or (H, W, 4).
    x, y, width, height
        The rectangle, in pixels of `pixels`; may lie outside in part or altogether.

    Returns
    -------
    numpy.ndarray
        uint8, (height, width, 4), a copy.
    """
    out = np.zeros((height, width, _RGBA), np.uint8)
    rows, columns = pixels.shape[:2]
    x0, x1 = max(x, 0), min(x + width, columns)
    y0, y1 = max(y, 0), min(y + height, rows)
    if x0 < x1 and y0 < y1:
        inside = out[y0 - y : y1 - y, x0 - x : x1 - x]
        channels = pixels.shape[2]
        inside[..., :channels] = pixels[y0:y1, x0:x1]
        if channels == _RGB:
            inside[..., _RGB] = 255
    return out


def _checked(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Refuse anything but an 8-bit RGB or RGBA image with at least one pixel."""
    right_shape = pixels.ndim == _COLOUR_AXES and pixels.shape[2] in (_RGB, _RGBA) and pixels.size > 0
    if pixels.dtype != np.uint8 or not right_shape:
        message = f"need uint8 (H, W, 3) or (H, W, 4), got {pixels.dtype} {pixels.shape}"
        raise ValueError(message)
    return pixels
