"""From pixels to a network's input, and from its last channels to maps: one pass each, on the CPU."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from slidescore.nn.network import FOLD, SHAPE_MAPS

N_MAPS = len(SHAPE_MAPS)


def look_up(rgb: NDArray[np.uint8], table: NDArray[Any]) -> NDArray[Any]:
    """Put the entry of a table in the place of each grey level; `table` (256,), any whole numbers; contiguous."""
    out = np.empty(rgb.shape, table.dtype)
    _look_up(np.ascontiguousarray(rgb).reshape(-1), table, out.reshape(-1))
    return out


def unfold(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unfold maps from channels, as `torch.nn.functional.pixel_shuffle` does.

    Parameters
    ----------
    channels
        float32, (N, h, w, len(SHAPE_MAPS) FOLD FOLD), contiguous.

    Returns
    -------
    float32, (len(SHAPE_MAPS), N, h FOLD, w FOLD), contiguous.
    """
    n, height, width, _ = channels.shape
    maps = np.empty((N_MAPS, n, height * FOLD, width * FOLD), np.float32)
    _unfold(channels.reshape(n * height, width, N_MAPS, FOLD, FOLD), maps.reshape(N_MAPS, -1, width * FOLD))
    return maps


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _look_up(rgb: NDArray[np.uint8], table: NDArray[Any], out: NDArray[Any]) -> None:
    for i in range(rgb.size):
        out[i] = table[rgb[i]]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _unfold(channels: NDArray[np.float32], maps: NDArray[np.float32]) -> None:
    for row in range(channels.shape[0]):
        for k in range(N_MAPS):
            for y in range(FOLD):
                line = maps[k, row * FOLD + y]
                for x in range(channels.shape[1]):
                    for fold in range(FOLD):
                        line[x * FOLD + fold] = channels[row, x, k, y, fold]
