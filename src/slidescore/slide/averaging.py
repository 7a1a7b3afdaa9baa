"""Area averaging of RGBA rectangles: the hot inner loops of reading.

All sums are of whole numbers (for fractional factors, in fixed point), so neither the order of summation nor the
processor can change a result; up to a factor of 2000 they cannot overflow. What a rectangle's borders cut is decided
by the caller (`slidescore.slide.sampling`).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from slidescore.kernels import kernel

Averaged = tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]

_WHITE: Final = 255
_SHIFT: Final = 54
_PAIR: Final = 2
_CHANNELS: Final = 4

# Two pixels of four bytes in eight: sums of the bytes at even places, in four lanes of 16 bits.
_EVEN: Final = np.uint64(0x00FF_00FF_00FF_00FF)
_ONE_EACH: Final = np.uint64(0x0001_0001_0001_0001)
_EVEN_OF_ONE: Final = np.uint64(0x00FF_00FF)
_BYTE: Final = np.uint64(8)
_PIXEL: Final = np.uint64(32)
_TWO: Final = np.uint64(2)


def average_blocks(rgba: npt.NDArray[np.uint8], factor: int, opaque_alpha: int) -> Averaged:
    """Average blocks of `factor` by `factor` source pixels, rounding half to even.

    The mean of four pixels ends in .5 one time in four; rounding those up would brighten every slide by 0.12
    grey levels.

    Parameters
    ----------
    rgba
        uint8, (h * factor, w * factor, 4), straight RGBA.
    factor
        Source pixels per output pixel, at most 2000.
    opaque_alpha
        Least alpha of a source pixel that counts.

    Returns
    -------
    rgb : numpy.ndarray
        uint8, (h, w, 3); white where not valid.
    valid : numpy.ndarray
        bool, (h, w); whether every source pixel of the block counts.
    """
    if factor == 1:
        opaque = rgba[..., 3] >= opaque_alpha
        colour: npt.NDArray[np.uint8] = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
        if not opaque.all():
            colour[~opaque] = _WHITE
        return colour, opaque
    height, width = rgba.shape[0] // factor, rgba.shape[1] // factor
    if factor == _PAIR and _all_at_least(rgba, opaque_alpha):
        return average_opaque(rgba, factor), np.ones((height, width), np.bool_)
    rgb = np.empty((height, width, 3), np.uint8)
    valid = np.empty((height, width), np.bool_)
    _average_blocks(np.ascontiguousarray(rgba), factor, opaque_alpha, rgb, valid)
    return rgb, valid


def average_opaque(rgbx: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.uint8]:
    """Average blocks of `factor` by `factor` source pixels that all count, rounding half to even.

    Parameters
    ----------
    rgbx
        uint8, (h * factor, w * factor, 4), RGB and a fourth byte that means nothing.
    factor
        Source pixels per output pixel, at least 2 and at most 2000.

    Returns
    -------
    numpy.ndarray
        uint8, (h, w, 3), as `average_blocks` gives it.
    """
    height, width = rgbx.shape[0] // factor, rgbx.shape[1] // factor
    if factor != _PAIR:
        rgb = np.empty((height, width, 3), np.uint8)
        _average_blocks(np.ascontiguousarray(rgbx), factor, 0, rgb, np.empty((height, width), np.bool_))
        return rgb
    whole = np.ascontiguousarray(rgbx[: height * factor, : width * factor])
    pairs = whole.reshape(height * factor, width * factor * _CHANNELS).view(np.uint64)
    means = np.empty((height, width, _CHANNELS), np.uint8)
    _average_pairs(pairs, means.view(np.uint32)[..., 0])
    packed: npt.NDArray[np.uint8] = cv2.cvtColor(means, cv2.COLOR_RGBA2RGB)
    return packed


def average_area(
    rgba: npt.NDArray[np.uint8],
    x_edges: npt.NDArray[np.int64],
    y_edges: npt.NDArray[np.int64],
    unit: int,
    opaque_alpha: int,
) -> Averaged:
    """Average source pixels over output pixels whose borders may cut source pixels, rounding half to even.

    Parameters
    ----------
    rgba
        uint8, (H, W, 4), straight RGBA.
    x_edges, y_edges
        int64, (w + 1,) and (h + 1,), strictly rising: output pixel j covers [x_edges[j], x_edges[j + 1]) in units of
        1 / `unit` source pixels, counted from the left (top) of `rgba`. At most 2000 source pixels apart.
    unit
        Fixed-point units per source pixel, at most 4096.
    opaque_alpha
        Least alpha of a source pixel that counts.

    Returns
    -------
    rgb : numpy.ndarray
        uint8, (h, w, 3); white where not valid.
    valid : numpy.ndarray
        bool, (h, w); whether every source pixel under the output pixel, however little of it, counts.
    """
    height, width = len(y_edges) - 1, len(x_edges) - 1
    rgb = np.empty((height, width, 3), np.uint8)
    valid = np.empty((height, width), np.bool_)
    x_first, x_weights = _weights(x_edges, unit)
    y_first, y_weights = _weights(y_edges, unit)
    _average_area(np.ascontiguousarray(rgba), x_first, x_weights, y_first, y_weights, opaque_alpha, rgb, valid)
    return rgb, valid


def _weights(edges: npt.NDArray[np.int64], unit: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Work out which source pixels each output pixel covers, and by how many units.

    Returns
    -------
    first
        int64, (n,): the first source pixel under each output pixel.
    weights
        int64, (n, k): units of source pixel first + k under the output pixel; 0 past the last one.
    """
    start, stop = edges[:-1], edges[1:]
    first = start // unit
    count = int(((stop - 1) // unit - first).max()) + 1
    pixel = (first[:, None] + np.arange(count)) * unit
    return first, np.clip(np.minimum(stop[:, None], pixel + unit) - np.maximum(start[:, None], pixel), 0, None)


@kernel
def _all_at_least(rgba: npt.NDArray[np.uint8], least: int) -> bool:
    """Whether every pixel's alpha is at least so much."""
    for y in range(rgba.shape[0]):
        lowest = np.uint8(_WHITE)
        for x in range(rgba.shape[1]):
            lowest = min(lowest, rgba[y, x, 3])
        if lowest < least:
            return False
    return True


@kernel
def _average_pairs(pairs: npt.NDArray[np.uint64], means: npt.NDArray[np.uint32]) -> None:
    """Average blocks of 2 by 2 pixels, all channels of two pixels in one register.

    Half to even, n being the sum of four: (n + 1 + bit 2 of n) / 4, rounded down.
    """
    for i in range(means.shape[0]):
        for j in range(means.shape[1]):
            above, below = pairs[2 * i, j], pairs[2 * i + 1, j]
            even = (above & _EVEN) + (below & _EVEN)
            odd = ((above >> _BYTE) & _EVEN) + ((below >> _BYTE) & _EVEN)
            even += even >> _PIXEL
            odd += odd >> _PIXEL
            even = ((even + _ONE_EACH + ((even >> _TWO) & _ONE_EACH)) >> _TWO) & _EVEN_OF_ONE
            odd = ((odd + _ONE_EACH + ((odd >> _TWO) & _ONE_EACH)) >> _TWO) & _EVEN_OF_ONE
            means[i, j] = np.uint32(even | (odd << _BYTE))


@kernel
def _add_rows(rows: npt.NDArray[np.uint8], sums: npt.NDArray[np.uint32], least: npt.NDArray[np.uint8]) -> None:
    """Add up the values of several rows, and find the least of each, channel by channel."""
    sums[:] = 0
    least[:] = 255
    for y in range(rows.shape[0]):
        values = rows[y].reshape(rows.shape[1] * 4)
        for k in range(len(sums)):
            sums[k] += np.uint32(values[k])
            least[k] = min(least[k], values[k])


@kernel
def _half_to_even(total: np.uint32, area: np.uint32, reciprocal: np.uint64) -> np.uint8:
    """Divide a sum by the number of its pixels."""
    doubled = np.uint64(2 * total + area)
    rounded = (doubled * reciprocal) >> np.uint64(_SHIFT)
    if rounded % np.uint64(2) == 1 and rounded * np.uint64(2 * area) == doubled:
        rounded -= np.uint64(1)
    return np.uint8(rounded)


@kernel
def _average_blocks(
    rgba: npt.NDArray[np.uint8],
    factor: int,
    opaque_alpha: int,
    rgb: npt.NDArray[np.uint8],
    valid: npt.NDArray[np.bool_],
) -> None:
    height, width = valid.shape
    area = np.uint32(factor * factor)
    # floor((2 sum + area) / (2 area)) as a product; exact, because (2 sum + area) * 2 area < 2 ** _SHIFT.
    reciprocal = np.uint64((2**_SHIFT + 2 * factor * factor - 1) // (2 * factor * factor))
    n_values = width * factor * 4
    sums = np.empty(n_values, np.uint32)
    least = np.empty(n_values, np.uint8)
    for i in range(height):
        _add_rows(rgba[i * factor : (i + 1) * factor], sums, least)
        for j in range(width):
            red = green = blue = np.uint32(0)
            alpha = np.uint8(255)
            for k in range(j * factor * 4, (j + 1) * factor * 4, 4):
                red += sums[k]
                green += sums[k + 1]
                blue += sums[k + 2]
                alpha = min(alpha, least[k + 3])
            valid[i, j] = alpha >= opaque_alpha
            if valid[i, j]:
                rgb[i, j, 0] = _half_to_even(red, area, reciprocal)
                rgb[i, j, 1] = _half_to_even(green, area, reciprocal)
                rgb[i, j, 2] = _half_to_even(blue, area, reciprocal)
            else:
                rgb[i, j, 0] = rgb[i, j, 1] = rgb[i, j, 2] = np.uint8(_WHITE)


@kernel
def _average_area(
    rgba: npt.NDArray[np.uint8],
    x_first: npt.NDArray[np.int64],
    x_weights: npt.NDArray[np.int64],
    y_first: npt.NDArray[np.int64],
    y_weights: npt.NDArray[np.int64],
    opaque_alpha: int,
    rgb: npt.NDArray[np.uint8],
    valid: npt.NDArray[np.bool_],
) -> None:
    height, width = valid.shape
    columns = rgba.shape[1]
    sums = np.empty((columns, 4), np.uint32)
    opaque = np.empty(columns, np.bool_)
    for i in range(height):
        sums[:] = 0
        opaque[:] = True
        down = 0
        for n in range(y_weights.shape[1]):
            weight = np.uint32(y_weights[i, n])
            if weight == 0:
                continue
            down += y_weights[i, n]
            y = y_first[i] + n
            for x in range(columns):
                sums[x, 0] += weight * np.uint32(rgba[y, x, 0])
                sums[x, 1] += weight * np.uint32(rgba[y, x, 1])
                sums[x, 2] += weight * np.uint32(rgba[y, x, 2])
                opaque[x] &= rgba[y, x, 3] >= opaque_alpha
        for j in range(width):
            red = green = blue = across = 0
            whole = True
            for n in range(x_weights.shape[1]):
                weight = x_weights[j, n]
                if weight == 0:
                    continue
                x = x_first[j] + n
                across += weight
                red += weight * np.int64(sums[x, 0])
                green += weight * np.int64(sums[x, 1])
                blue += weight * np.int64(sums[x, 2])
                whole &= opaque[x]
            valid[i, j] = whole
            if whole:
                area = np.float64(across * down)
                rgb[i, j, 0] = np.uint8(np.rint(np.float64(red) / area))
                rgb[i, j, 1] = np.uint8(np.rint(np.float64(green) / area))
                rgb[i, j, 2] = np.uint8(np.rint(np.float64(blue) / area))
            else:
                rgb[i, j, 0] = rgb[i, j, 1] = rgb[i, j, 2] = np.uint8(_WHITE)
