"""From pixels to a network's input, and from its last channels to maps: one pass each, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel
from slidescore.nn.network import FOLD, SHAPE_MAPS

N_MAPS = len(SHAPE_MAPS)
MAGNITUDE = np.uint16(0x7FFF)
"""Masks the sign of a number of 16 bits."""


def look_up(rgb: NDArray[np.uint8], table: NDArray[Any]) -> NDArray[Any]:
    """Put the entry of a table in the place of each grey level; `table` (256,), any whole numbers; contiguous."""
    out = np.empty(rgb.shape, table.dtype)
    _look_up(np.ascontiguousarray(rgb).reshape(-1), table, out.reshape(-1))
    return out


def unfold(channels: NDArray[np.float32], maps: NDArray[np.float32]) -> None:
    """Unfold maps from channels, as `torch.nn.functional.pixel_shuffle` does.

    Parameters
    ----------
    channels
        float32, (h, w, len(SHAPE_MAPS) FOLD FOLD), contiguous: images below one another.
    maps
        float32, (len(SHAPE_MAPS), h FOLD or more, w FOLD): what they are written to, from the first row on.
    """
    # Neighbours in a row, FOLD of them, are neighbours among the channels as well: they are moved as one number.
    pairs = channels.reshape(*channels.shape[:2], N_MAPS, FOLD, FOLD).view(np.int64)[..., 0]
    _unfold(pairs, maps.view(np.int64))


def unfold_half(bits: NDArray[np.uint16], table: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Unfold maps from channels in half precision, each number replaced by the table's entry for its bits.

    Parameters
    ----------
    bits
        uint16, (N, h, w, len(SHAPE_MAPS) FOLD FOLD), contiguous: the bits of any format of a sign and 15 bits.
    table
        float32, (65536,).

    Returns
    -------
    maps, largest
        float32, (len(SHAPE_MAPS), N, h FOLD, w FOLD), contiguous; and the bits of the largest magnitude, which with
        IEEE formats is not finite where any number is not.
    """
    n, height, width, _ = bits.shape
    maps = np.empty((N_MAPS, n, height * FOLD, width * FOLD), np.float32)
    parted = bits.reshape(n * height, width, N_MAPS, FOLD, FOLD)
    largest = _unfold_half(parted, table, maps.reshape(N_MAPS, -1, width * FOLD))
    return maps, int(largest)


@kernel
def _look_up(rgb: NDArray[np.uint8], table: NDArray[Any], out: NDArray[Any]) -> None:
    for i in range(rgb.size):
        out[i] = table[rgb[i]]


@kernel
def _unfold(pairs: NDArray[np.int64], maps: NDArray[np.int64]) -> None:
    for row in range(pairs.shape[0]):
        for k in range(N_MAPS):
            for y in range(FOLD):
                line = maps[k, row * FOLD + y]
                for x in range(pairs.shape[1]):
                    line[x] = pairs[row, x, k, y]


@kernel
def _unfold_half(bits: NDArray[np.uint16], table: NDArray[np.float32], maps: NDArray[np.float32]) -> np.uint16:
    largest = np.uint16(0)
    for row in range(bits.shape[0]):
        flat = bits[row].reshape(-1)
        for i in range(flat.size):
            largest = max(largest, flat[i] & MAGNITUDE)
        for k in range(N_MAPS):
            for y in range(FOLD):
                line = maps[k, row * FOLD + y]
                for x in range(bits.shape[1]):
                    for fold in range(FOLD):
                        line[x * FOLD + fold] = table[bits[row, x, k, y, fold]]
    return largest
