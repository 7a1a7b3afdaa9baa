"""Flooding from seeds: a watershed that takes time in proportion to its pixels.

Priorities are quantised to fixed steps of optical density, so that a bucket a step replaces the sorted queue of a
general watershed (Meyer 1994), and so that a pixel's priority is the same in every tile.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

TOP_OD, STEP_OD, N_STEPS = 2.0, 0.002, 1500
"""Priorities run from 2 OD downwards in steps of 0.002 OD; what lies below -1 OD shares the last bucket."""
TOP, STEP = np.float32(TOP_OD), np.float32(STEP_OD)
ROW_SHIFT = 32
COLUMN_BITS = 2**ROW_SHIFT - 1
"""A pixel is one number: its row in the upper bits, its column in the lower ones."""


def flood(height: NDArray[np.float32], seeds: NDArray[np.int32], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Give every masked pixel to the seed that reaches it first when the brightest pixels flood first.

    Parameters
    ----------
    height
        float32, (H, W), in OD; brighter is nearer to a seed.
    seeds
        int32, (H, W), labels of the seeds; 0 elsewhere.
    mask
        bool, (H, W); nothing is flooded outside.

    Returns
    -------
    int32, (H, W). Pixels that no seed reaches within the mask are 0.
    """
    labels = np.where(mask, seeds, 0).astype(np.int32)
    rise(height, labels, mask, _places(labels))
    return labels


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _places(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """List labelled pixels in reading order, see `rise`."""
    rows, columns = labels.shape
    n = 0
    for y in range(rows):
        for x in range(columns):
            n += labels[y, x] > 0
    places = np.empty(n, np.int64)
    n = 0
    for y in range(rows):
        for x in range(columns):
            if labels[y, x] > 0:
                places[n] = (y << ROW_SHIFT) | x
                n += 1
    return places


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _step(height: np.float32) -> int:
    """Return which step a height stands on, in single precision."""
    step = np.rint((TOP - height) / STEP)
    if not step > np.float32(0.0):
        return 0
    return min(int(min(step, np.float32(N_STEPS))), N_STEPS - 1)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def rise(
    height: NDArray[np.float32], labels: NDArray[np.int32], mask: NDArray[np.bool_], seeds: NDArray[np.int64]
) -> None:
    """Flood `labels` in place, see `flood`.

    Parameters
    ----------
    height, mask
        As in `flood`.
    labels
        int32, (H, W), with the seeds in it and 0 elsewhere.
    seeds
        int64, (N,): where they are, in reading order: the row, shifted by `ROW_SHIFT` bits, and the column.
    """
    rows, columns = labels.shape
    # One first-in, first-out list a step: `head` and `tail` by step, `after` by entry. A pixel enters at most once.
    head = np.full(N_STEPS, -1, dtype=np.int64)
    tail = np.full(N_STEPS, -1, dtype=np.int64)
    place = np.empty(rows * columns, dtype=np.int64)
    after = np.empty(rows * columns, dtype=np.int64)
    n = 0
    for seed in seeds:
        place[n] = seed
        _append(head, tail, after, _step(height[seed >> ROW_SHIFT, seed & COLUMN_BITS]), n)
        n += 1
    step = 0
    while step < N_STEPS:
        entry = head[step]
        if entry < 0:
            step += 1
            continue
        head[step] = after[entry]
        if head[step] < 0:
            tail[step] = -1
        y, x = place[entry] >> ROW_SHIFT, place[entry] & COLUMN_BITS
        own = labels[y, x]
        for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            v, u = y + dy, x + dx
            if 0 <= v < rows and 0 <= u < columns and labels[v, u] == 0 and mask[v, u]:
                labels[v, u] = own
                place[n] = (v << ROW_SHIFT) | u
                # A brighter pixel behind a darker one floods now: water does not rise again.
                _append(head, tail, after, max(_step(height[v, u]), step), n)
                n += 1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _append(head: NDArray[np.int64], tail: NDArray[np.int64], after: NDArray[np.int64], step: int, entry: int) -> None:
    after[entry] = -1
    if tail[step] < 0:
        head[step] = entry
    else:
        after[tail[step]] = entry
    tail[step] = entry
