"""The inner loops of measuring squares: sums of whole numbers, so that neither tile nor processor changes a result.

Pixels are averaged twice, to fine blocks (about 1 um) and coarse ones (about 2 um): edges are looked for in the first,
colours in the second, where camera noise and the blocks of JPEG hardly count.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel

GREY_STEPS = 4
"""Steps of a histogram of differences, for each grey level."""
MAX_GREY = 255
LUMINANCE_WEIGHT = 4
"""Luminance is red + 2 green + blue: green, which both stains absorb, counts twice."""
MOD, CENTI = 1000, 100
"""Densities are kept in 1/1000 OD and angles in 1/100 degree, far below their noise."""


@kernel
def sum_pixels(
    rgb: NDArray[np.uint8], usable: NDArray[np.bool_], side: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Add up squares of `side` pixels; int32, (h, w, 3), and whether all of their pixels are usable, bool, (h, w)."""
    height, width = rgb.shape[0] // side, rgb.shape[1] // side
    sums = np.empty((height, width, 3), np.int32)
    whole = np.empty((height, width), np.bool_)
    line, seen = np.empty(3 * width * side, np.int32), np.empty(width * side, np.int32)
    for row in range(height):
        # Down the columns first, which processors do for many at once.
        line[:], seen[:] = 0, 0
        for y in range(row * side, (row + 1) * side):
            _add(rgb[y].reshape(-1), line)
            _add(usable[y], seen)
        for column in range(width):
            red, green, blue, usable_px = 0, 0, 0, 0
            for x in range(column * side, (column + 1) * side):
                red += line[3 * x]
                green += line[3 * x + 1]
                blue += line[3 * x + 2]
                usable_px += seen[x]
            sums[row, column, 0], sums[row, column, 1], sums[row, column, 2] = red, green, blue
            whole[row, column] = usable_px == side * side
    return sums, whole


@kernel
def _add(values: NDArray[Any], to: NDArray[np.int32]) -> None:
    for i in range(to.size):
        to[i] += values[i]


@kernel
def sum_blocks(sums: NDArray[np.int32], whole: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Join blocks by two and two in each direction."""
    height, width = sums.shape[0] // 2, sums.shape[1] // 2
    joined = np.empty((height, width, 3), np.int32)
    all_whole = np.empty((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            for channel in range(3):
                joined[y, x, channel] = (
                    sums[2 * y, 2 * x, channel]
                    + sums[2 * y, 2 * x + 1, channel]
                    + sums[2 * y + 1, 2 * x, channel]
                    + sums[2 * y + 1, 2 * x + 1, channel]
                )
            all_whole[y, x] = (
                whole[2 * y, 2 * x] and whole[2 * y, 2 * x + 1]
                and whole[2 * y + 1, 2 * x] and whole[2 * y + 1, 2 * x + 1]
            )  # fmt: skip
    return joined, all_whole


@kernel
def difference_histograms(
    sums: NDArray[np.int32], whole: NDArray[np.bool_], side: int, lags: NDArray[np.int64], pixels: int
) -> NDArray[np.int64]:
    """Count, for each square, how much luminance differs over short and long distances.

    Parameters
    ----------
    sums, whole
        Fine blocks: int32, (h, w, 3), sums of `pixels` pixels; bool, (h, w).
    side
        Side of a square in fine blocks; h and w are multiples of it.
    lags
        int64, (L,): distances in fine blocks. A pair lies in one square and in one row or column.
    pixels
        Analysis pixels under a fine block.

    Returns
    -------
    int64, (rows, columns, L, bins): pairs by absolute difference of mean luminance, `GREY_STEPS` bins a grey level.
    """
    rows, columns = sums.shape[0] // side, sums.shape[1] // side
    per_bin = pixels * LUMINANCE_WEIGHT // GREY_STEPS
    counts = np.zeros((rows, columns, len(lags), MAX_GREY * GREY_STEPS + 1), np.int64)
    luminance = np.empty((side, side), np.int32)
    # Divisions are slow, and there are few differences.
    bin_of = np.arange(MAX_GREY * LUMINANCE_WEIGHT * pixels + 1) // per_bin
    for row in range(rows):
        for column in range(columns):
            top, left = row * side, column * side
            for y in range(side):
                for x in range(side):
                    block = sums[top + y, left + x]
                    luminance[y, x] = block[0] + 2 * block[1] + block[2] if whole[top + y, left + x] else -1
            for number in range(len(lags)):
                lag, into = lags[number], counts[row, column, number]
                for y in range(side):
                    for x in range(side - lag):
                        first, second = luminance[y, x], luminance[y, x + lag]
                        if first >= 0 and second >= 0:
                            into[bin_of[abs(first - second)]] += 1
                        first, second = luminance[x, y], luminance[x + lag, y]
                        if first >= 0 and second >= 0:
                            into[bin_of[abs(first - second)]] += 1
    return counts


@kernel
def count_clipped(sums: NDArray[np.int32], whole: NDArray[np.bool_], side: int, limit: int) -> NDArray[np.int64]:
    """Count the fine blocks of each square in which some channel is at most `limit`; int64, (rows, columns)."""
    rows, columns = sums.shape[0] // side, sums.shape[1] // side
    counts = np.zeros((rows, columns), np.int64)
    for y in range(rows * side):
        for column in range(columns):
            clipped = 0
            for x in range(column * side, (column + 1) * side):
                if whole[y, x]:
                    clipped += min(sums[y, x, 0], sums[y, x, 1], sums[y, x, 2]) <= limit
            counts[y // side, column] += clipped
    return counts


@kernel
def describe_blocks(
    sums: NDArray[np.int32],
    whole: NDArray[np.bool_],
    table: NDArray[np.float64],
    unmixing: NDArray[np.float64],
    axes: NDArray[np.float64],
    separation: float,
) -> NDArray[np.int16]:
    """Say how dense a block is and where its hue lies (`slidescore.stain.hue`).

    Parameters
    ----------
    sums, whole
        int32, (h, w, 3), and bool, (h, w); what is not whole is left at 0.
    table
        float64, (3, S): optical density of each sum in each channel.
    unmixing
        float64, (3,): weights of the channels in hematoxylin.
    axes, separation
        The hue frame: its axes, float64, (3, 3), and the angle between the stains in degrees.

    Returns
    -------
    int16, (10, h, w), in the order of `BlockColours`: densities in 1/1000 OD, angles in 1/100 degree.
    """
    height, width = sums.shape[:2]
    found = np.zeros((10, height, width), np.int16)
    for y in range(height):
        for x in range(width):
            if not whole[y, x]:
                continue
            red, green, blue = table[0, sums[y, x, 0]], table[1, sums[y, x, 1]], table[2, sums[y, x, 2]]
            length = math.sqrt(red * red + green * green + blue * blue)
            found[0, y, x] = round(MOD * length)
            found[1, y, x] = round(MOD * min(red, green, blue))
            found[2, y, x] = round(MOD * (red * unmixing[0] + green * unmixing[1] + blue * unmixing[2]))
            if length > 0:
                to_h = red * axes[0, 0] + green * axes[0, 1] + blue * axes[0, 2]
                to_d = red * axes[1, 0] + green * axes[1, 1] + blue * axes[1, 2]
                aside = red * axes[2, 0] + green * axes[2, 1] + blue * axes[2, 2]
                along = math.degrees(math.atan2(to_d, to_h))
                across = math.degrees(math.asin(max(-1.0, min(1.0, aside / length))))
                beyond = along - max(0.0, min(separation, along))
                cosine = math.cos(math.radians(beyond)) * math.cos(math.radians(across))
                found[3, y, x] = round(CENTI * along)
                found[4, y, x] = round(CENTI * across)
                found[5, y, x] = round(CENTI * math.degrees(math.acos(max(-1.0, min(1.0, cosine)))))
                neutral = (red + green + blue) / (math.sqrt(3.0) * length)
                found[6, y, x] = round(CENTI * math.degrees(math.acos(max(-1.0, min(1.0, neutral)))))
                found[7, y, x] = round(MOD * to_h)
                found[8, y, x] = round(MOD * to_d)
                found[9, y, x] = round(MOD * aside)
    return found


def by_square(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Rearrange blocks by square: (..., h, w) to (..., rows, columns, side * side), contiguous."""
    *head, height, width = values.shape
    parted = values.reshape(*head, height // side, side, width // side, side)
    return np.ascontiguousarray(np.moveaxis(parted, -3, -2)).reshape(*head, height // side, width // side, side * side)
