"""The analysis grid: which pixels of a slide are looked at, and how they are averaged.

The grid is one for the whole slide, anchored at its top left corner: analysis pixel (row i, column j) is the area
[j f, (j + 1) f) by [i f, (i + 1) f) of one level, f being the grid's factor. Tiles are cut out of this grid, so two
tiles that overlap hold the same values where they do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from slidescore.errors import SlideOpenError
from slidescore.geometry import Region
from slidescore.slide.reader import Means, SlideReader

# Fixed-point units per level pixel for fractional factors; the error of an edge is below 1/8192 px.
_UNITS: Final = 4096
# OpenSlide leaves alpha 254 where it joins two tiles at a fraction of a pixel; those pixels are whole.
_OPAQUE_ALPHA: Final = 250
_WHITE: Final = 255
# Up to here the sums of `slidescore.slide.averaging` are exact.
_MAX_FACTOR: Final = 2000
# Where a level's pixels do not fall on whole level-0 pixels, it is read in squares of this size, see `_read_level`.
_LATTICE_PX: Final = 256


@dataclass(frozen=True, slots=True)
class AnalysisGrid:
    """One slide's analysis pixels.

    Attributes
    ----------
    level
        The level that is read.
    level_downsample
        Level-0 px per pixel of that level.
    factor
        Pixels of that level per analysis pixel; below 1 when `upsampled`.
    analysis_mpp
        Micrometres per analysis pixel.
    width_px, height_px
        Size of the slide in analysis pixels; the last ones may reach past the slide and are not valid then.
    level_width_px, level_height_px
        Size of the level, in its own pixels.
    upsampled
        Whether the slide is coarser than what was wanted.
    halved
        Whether the level is decoded at half its resolution, which changes pixels.
    """

    level: int
    level_downsample: float
    factor: float
    analysis_mpp: float
    width_px: int
    height_px: int
    level_width_px: int
    level_height_px: int
    upsampled: bool
    halved: bool = False

    @property
    def px_to_l0(self) -> float:
        """Level-0 px per analysis pixel: analysis coordinate x_px lies at x_px * px_to_l0."""
        return self.factor * self.level_downsample

    def region(self, x_px: int, y_px: int, width_px: int, height_px: int) -> Region:
        """Give the least level-0 region that covers a rectangle of analysis pixels."""
        scale = self.px_to_l0
        x, y = math.floor(x_px * scale), math.floor(y_px * scale)
        x_end, y_end = math.ceil((x_px + width_px) * scale), math.ceil((y_px + height_px) * scale)
        return Region(x, y, x_end - x, y_end - y)


def plan_grid(
    reader: SlideReader,
    mpp: float,
    wanted_mpp: float,
    snap_fraction: float,
    decode: Literal["exact", "half"] = "exact",
) -> AnalysisGrid:
    """Plan the grid that comes nearest to a wanted resolution.

    The coarsest level that is at least as fine as wanted (or coarser by no more than `snap_fraction`) is read. Its
    factor is rounded to a whole number when that changes it by no more than `snap_fraction`.

    Parameters
    ----------
    reader
        The slide.
    mpp
        Micrometres per level-0 pixel.
    wanted_mpp
        Micrometres per analysis pixel that are wanted.
    snap_fraction
        Relative deviation from `wanted_mpp` that is accepted for the sake of whole factors.
    decode
        Whether the level may be decoded at half its resolution where its format and the factor allow.

    Raises
    ------
    ValueError
        A resolution is not positive, or `wanted_mpp` is thousands of times coarser than every level.
    """
    if not (mpp > 0 and wanted_mpp > 0):
        message = f"resolutions must be positive: {mpp}, {wanted_mpp}"
        raise ValueError(message)
    downsamples = reader.level_downsamples
    fine_enough = [i for i, d in enumerate(downsamples) if mpp * d <= wanted_mpp * (1 + snap_fraction)]
    level = max(fine_enough, key=lambda i: downsamples[i], default=0)
    level_mpp = mpp * downsamples[level]
    factor = wanted_mpp / level_mpp
    whole = max(1, round(factor))
    if abs(factor - whole) <= snap_fraction * whole:
        factor = float(whole)
    if factor > _MAX_FACTOR:
        message = f"{wanted_mpp:g} um/px is more than {_MAX_FACTOR} times coarser than the slide's {level_mpp:g}"
        raise ValueError(message)
    level_width, level_height = reader.level_dimensions[level]
    return AnalysisGrid(
        level=level,
        level_downsample=downsamples[level],
        factor=factor,
        analysis_mpp=level_mpp * factor,
        width_px=_pixels_needed(level_width, factor),
        height_px=_pixels_needed(level_height, factor),
        level_width_px=level_width,
        level_height_px=level_height,
        upsampled=not fine_enough,
        halved=decode == "half" and factor.is_integer() and reader.can_halve(level, int(factor)),
    )


def read_analysis(
    reader: SlideReader, grid: AnalysisGrid, x_px: int, y_px: int, width_px: int, height_px: int
) -> Means:
    """Read a rectangle of analysis pixels.

    Parameters
    ----------
    reader, grid
        The slide and its grid.
    x_px, y_px, width_px, height_px
        The rectangle, in analysis pixels; may reach past the slide on any side.

    Returns
    -------
    rgb : numpy.ndarray
        uint8, (height_px, width_px, 3): the mean over each pixel's area, rounded half to even; white where not valid.
    valid : numpy.ndarray
        bool, (height_px, width_px): whether the slide holds every level pixel that contributes.

    Raises
    ------
    SlideOpenError
        The pixels cannot be decoded.
    """
    from slidescore.slide.averaging import average_area, average_blocks  # numba takes a while to import

    unit = 1 if grid.factor.is_integer() else _UNITS
    x0, x1, x_edges = _inside(x_px, width_px, grid.factor, unit, grid.level_width_px)
    y0, y1, y_edges = _inside(y_px, height_px, grid.factor, unit, grid.level_height_px)
    if x0 >= x1 or y0 >= y1:
        return _nothing(width_px, height_px)
    if unit == 1:
        size = width_px, height_px
        means = reader.read_means(grid.level, int(grid.factor), (x_px, y_px), size, halved=grid.halved)
        if means is not None:
            return means
        if grid.halved:
            raise SlideOpenError("the slide can no longer be decoded at half its resolution")
    left, top = int(x_edges[0] // unit), int(y_edges[0] // unit)
    right, bottom = int(-(-x_edges[-1] // unit)), int(-(-y_edges[-1] // unit))
    rgba = _read_level(reader, grid, left, top, right - left, bottom - top)
    if unit == 1:
        inside = average_blocks(rgba, int(grid.factor), _OPAQUE_ALPHA)
    else:
        inside = average_area(rgba, x_edges - left * unit, y_edges - top * unit, unit, _OPAQUE_ALPHA)
    if inside[1].shape == (height_px, width_px):
        return inside
    rgb, valid = _nothing(width_px, height_px)
    rgb[y0:y1, x0:x1], valid[y0:y1, x0:x1] = inside
    return rgb, valid


def _nothing(width_px: int, height_px: int) -> Means:
    """Make a window of which the slide holds nothing."""
    return np.full((height_px, width_px, 3), _WHITE, np.uint8), np.zeros((height_px, width_px), np.bool_)


def _pixels_needed(level_px: int, factor: float) -> int:
    """Count the analysis pixels that cover a side of the level."""
    return max(1, math.ceil(level_px / factor - 1 / _UNITS))


def _inside(start: int, count: int, factor: float, unit: int, level_px: int) -> tuple[int, int, npt.NDArray[np.int64]]:
    """Find those of `count` analysis pixels from `start` on that lie within the level altogether.

    Returns
    -------
    first, end
        Their half-open range, counted from `start`.
    edges
        int64, (end - first + 1,): their borders in 1 / `unit` level px, a function of the global pixel number alone.
    """
    edges = np.rint(np.arange(start, start + count + 1) * (factor * unit)).astype(np.int64)
    first = int(np.searchsorted(edges, 0, side="left"))
    end = int(np.searchsorted(edges, level_px * unit, side="right")) - 1
    return first, end, edges[first : end + 1] if first < end else edges[:0]


def _read_level(
    reader: SlideReader, grid: AnalysisGrid, x: int, y: int, width: int, height: int
) -> npt.NDArray[np.uint8]:
    """Read a rectangle given in pixels of the grid's level; it lies within the level.

    `read_region` wants a location in whole level-0 px. Where the downsample is not a whole number (4.0003, because some
    sides do not divide evenly), most level pixels have no such location, and OpenSlide interpolates by the remainder,
    which differs from one location to the next. Reading in squares of a fixed lattice gives each level pixel the
    same remainder whoever asks for it.
    """
    downsample = grid.level_downsample
    if downsample.is_integer():
        return reader.read_region((x * int(downsample), y * int(downsample)), grid.level, (width, height))
    out = np.empty((height, width, 4), np.uint8)
    step = _LATTICE_PX
    for top in range(y - y % step, y + height, step):
        for left in range(x - x % step, x + width, step):
            location = (round(left * downsample), round(top * downsample))
            square = reader.read_region(location, grid.level, (step, step))
            x0, x1 = max(left, x), min(left + step, x + width)
            y0, y1 = max(top, y), min(top + step, y + height)
            out[y0 - y : y1 - y, x0 - x : x1 - x] = square[y0 - top : y1 - top, x0 - left : x1 - left]
    return out
