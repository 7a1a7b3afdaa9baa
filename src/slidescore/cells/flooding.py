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
OPEN, RIM = 1, 2
"""Bits of a pixel's state: may still be flooded; lies on the rim of the picture."""


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
    rise(height, labels, mask, np.flatnonzero(labels))
    return labels


def rise(
    height: NDArray[np.float32], labels: NDArray[np.int32], mask: NDArray[np.bool_], seeds: NDArray[np.int64]
) -> None:
    """Flood `labels` in place, see `flood`.

    Parameters
    ----------
    height, mask
        As in `flood`.
    labels
        int32, (H, W), contiguous, with the seeds in it and 0 elsewhere.
    seeds
        int64, (N,): their flat indices, in order.
    """
    state = mask.astype(np.uint8)
    for rim in (state[0], state[-1], state[:, 0], state[:, -1]):
        rim |= RIM
    _rise(
        np.ascontiguousarray(height).reshape(-1), labels.reshape(-1), state.reshape(-1), mask.shape[1],
        seeds, np.empty(mask.size, np.int32), np.empty(mask.size, np.int32),
    )  # fmt: skip


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _step(height: np.float32) -> int:
    """Return which step a height stands on, in single precision."""
    step = np.rint((TOP - height) / STEP)
    if not step > np.float32(0.0):
        return 0
    return min(int(min(step, np.float32(N_STEPS))), N_STEPS - 1)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rise(
    height: NDArray[np.float32],
    labels: NDArray[np.int32],
    state: NDArray[np.uint8],
    columns: int,
    seeds: NDArray[np.int64],
    pixel: NDArray[np.int32],
    after: NDArray[np.int32],
) -> None:
    # One first-in, first-out list a step: `head` and `tail` by step, `pixel` and `after` by entry. A pixel enters at
    # most once.
    head = np.full(N_STEPS, -1, dtype=np.int32)
    tail = np.full(N_STEPS, -1, dtype=np.int32)
    n = 0
    for seed in seeds:
        pixel[n] = seed
        state[seed] &= RIM
        _append(head, tail, after, _step(height[seed]), n)
        n += 1
    ways = (-columns, -1, 1, columns)
    step = 0
    while step < N_STEPS:
        entry = head[step]
        if entry < 0:
            step += 1
            continue
        head[step] = after[entry]
        if head[step] < 0:
            tail[step] = -1
        here = np.int64(pixel[entry])
        own = labels[here]
        at_rim = state[here] >= RIM
        for way in ways:
            there = here + way
            # On the rim of the picture a step to the side may lead into another row, or out of it.
            if at_rim and (
                there < 0 or there >= state.size or (abs(way) == 1 and there // columns != here // columns)
            ):
                continue
            if state[there] & OPEN:
                state[there] &= RIM
                labels[there] = own
                pixel[n] = there
                # A brighter pixel behind a darker one floods now: water does not rise again.
                _append(head, tail, after, max(_step(height[there]), step), n)
                n += 1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _append(head: NDArray[np.int32], tail: NDArray[np.int32], after: NDArray[np.int32], step: int, entry: int) -> None:
    after[entry] = -1
    if tail[step] < 0:
        head[step] = entry
    else:
        after[tail[step]] = entry
    tail[step] = entry
