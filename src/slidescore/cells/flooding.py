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
    steps = np.clip(np.rint((TOP_OD - height) / STEP_OD), 0, N_STEPS - 1).astype(np.int32)
    labels = np.where(mask, seeds, 0).astype(np.int32)
    _flood(steps, labels, mask)
    return labels


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _flood(steps: NDArray[np.int32], labels: NDArray[np.int32], mask: NDArray[np.bool_]) -> None:
    rows, columns = steps.shape
    # One first-in, first-out list a step: `head` and `tail` by step, `after` by pixel.
    head = np.full(N_STEPS, -1, dtype=np.int64)
    tail = np.full(N_STEPS, -1, dtype=np.int64)
    after = np.full(rows * columns, -1, dtype=np.int64)
    for y in range(rows):
        for x in range(columns):
            if labels[y, x] > 0:
                _append(head, tail, after, steps[y, x], y * columns + x)
    step = 0
    while step < N_STEPS:
        pixel = head[step]
        if pixel < 0:
            step += 1
            continue
        head[step] = after[pixel]
        if head[step] < 0:
            tail[step] = -1
        y, x = pixel // columns, pixel % columns
        for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            v, u = y + dy, x + dx
            if 0 <= v < rows and 0 <= u < columns and mask[v, u] and labels[v, u] == 0:
                labels[v, u] = labels[y, x]
                # A brighter pixel behind a darker one floods now: water does not rise again.
                _append(head, tail, after, max(steps[v, u], step), v * columns + u)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _append(head: NDArray[np.int64], tail: NDArray[np.int64], after: NDArray[np.int64], step: int, pixel: int) -> None:
    after[pixel] = -1
    if tail[step] < 0:
        head[step] = pixel
    else:
        after[tail[step]] = pixel
    tail[step] = pixel
