"""Flooding from seeds: a watershed that takes time in proportion to its pixels.

Priorities are quantised to fixed steps of optical density, so that a bucket a step replaces the sorted queue of a
general watershed (Meyer 1994), and so that a pixel's priority is the same in every tile.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel

TOP_OD, STEP_OD, N_STEPS = 2.0, 0.002, 1500
"""Priorities run from 2 OD downwards in steps of 0.002 OD; what lies below -1 OD shares the last bucket."""
TOP, STEP = np.float32(TOP_OD), np.float32(STEP_OD)
OPEN, RIM = 1, 2
"""Bits of a pixel's state: may still be flooded; lies on the upper rim of the picture, and in the bits that follow on
the left, the right and the lower one."""


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
    # In the order in which neighbours are asked.
    for number, rim in enumerate((state[0], state[:, 0], state[:, -1], state[-1])):
        rim |= RIM << number
    _rise(
        np.ascontiguousarray(height).reshape(-1), labels.reshape(-1), state.reshape(-1), mask.shape[1],
        seeds, np.empty(mask.size, np.int32), np.empty(mask.size, np.int32),
    )  # fmt: skip


@numba.njit(nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _step(height: np.float32) -> int:
    """Return which step a height stands on, in single precision."""
    step = np.rint((TOP - height) / STEP)
    if not step > np.float32(0.0):
        return 0
    return min(int(min(step, np.float32(N_STEPS))), N_STEPS - 1)


@kernel
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
    # most once. All in one function: to pass an array on costs as much as a pixel does.
    head = np.full(N_STEPS, -1, dtype=np.int32)
    tail = np.full(N_STEPS, -1, dtype=np.int32)
    ways = np.array([-columns, -1, 1, columns])
    n = 0
    for seed in seeds:
        state[seed] &= ~OPEN
        step = _step(height[seed])
        if tail[step] < 0:
            head[step] = n
        else:
            after[tail[step]] = n
        tail[step], pixel[n], after[n] = n, seed, -1
        n += 1
    step, done = 0, 0
    while done < n:
        entry = head[step]
        if entry < 0:
            step += 1
            continue
        done += 1
        head[step] = after[entry]
        if head[step] < 0:
            tail[step] = -1
        here = np.int64(pixel[entry])
        label, own_state = labels[here], np.int64(state[here])
        for number in range(ways.size):
            if own_state & (RIM << number):
                continue
            there = here + ways[number]
            if state[there] & OPEN:
                state[there] &= ~OPEN
                labels[there] = label
                # A brighter pixel behind a darker one floods now: water does not rise again.
                at = max(_step(height[there]), step)
                if tail[at] < 0:
                    head[at] = n
                else:
                    after[tail[at]] = n
                tail[at], pixel[n], after[n] = n, there, -1
                n += 1
