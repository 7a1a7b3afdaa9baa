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
OPEN, RIM, SEED, SEEN = 1, 2, 4, 8
"""Bits of a pixel's state: may still be flooded; lies on the rim of the picture; is a seed; belongs to a part that is
being flooded."""
N_WAYS = 4
"""A pixel floods those above, left, right and below it, in this order."""


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


@numba.njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
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
    """Flood one connected part of the mask after the other: parts know nothing of each other, and each fits a cache."""
    # One first-in, first-out list a step: `head` and `tail` by step, `pixel` and `after` by entry.
    head = np.full(N_STEPS, -1, dtype=np.int32)
    tail = np.full(N_STEPS, -1, dtype=np.int32)
    ways = np.array([-columns, -1, 1, columns])
    for seed in seeds:
        state[seed] |= SEED
    for seed in seeds:
        if not state[seed] & SEED:
            continue
        # Its part, with the seeds in it.
        pixel[0] = seed
        state[seed] |= SEEN
        n, done, n_seeds = 1, 0, 0
        while done < n:
            here = np.int64(pixel[done])
            done += 1
            if state[here] & SEED:
                state[here] &= ~SEED
                after[n_seeds] = here
                n_seeds += 1
            at_rim = state[here] & RIM != 0
            for number in range(N_WAYS):
                there = here + ways[number]
                if at_rim and _is_beyond(here, there, columns, state.size):
                    continue
                if state[there] & (OPEN | SEEN) == OPEN:
                    state[there] |= SEEN
                    pixel[n] = there
                    n += 1
        # In reading order, whatever way the part was gone through.
        own_seeds = np.sort(after[:n_seeds])
        step, n = N_STEPS, 0
        for place in own_seeds:
            own_step = _step(height[place])
            step = min(step, own_step)
            state[place] &= RIM
            pixel[n] = place
            _append(head, tail, after, own_step, n)
            n += 1
        done = 0
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
            at_rim = state[here] & RIM != 0
            for number in range(N_WAYS):
                there = here + ways[number]
                if at_rim and _is_beyond(here, there, columns, state.size):
                    continue
                if state[there] & OPEN:
                    state[there] &= RIM
                    labels[there] = labels[here]
                    pixel[n] = there
                    # A brighter pixel behind a darker one floods now: water does not rise again.
                    _append(head, tail, after, max(_step(height[there]), step), n)
                    n += 1


@numba.njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _is_beyond(here: int, there: int, columns: int, size: int) -> bool:
    """Whether a step from the rim of the picture leads out of it; one to the side must not end in another row."""
    if there < 0 or there >= size:
        return True
    return abs(there - here) == 1 and there // columns != here // columns


@numba.njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _append(head: NDArray[np.int32], tail: NDArray[np.int32], after: NDArray[np.int32], step: int, entry: int) -> None:
    after[entry] = -1
    if tail[step] < 0:
        head[step] = entry
    else:
        after[tail[step]] = entry
    tail[step] = entry
