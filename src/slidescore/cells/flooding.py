"""Flooding from seeds: a watershed that takes time in proportion to its pixels.

Priorities are quantised to fixed steps of optical density, so that a bucket a step replaces the sorted queue of a
general watershed (Meyer 1994), and so that a pixel's priority is the same in every tile.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from slidescore.cells.boxes import AT_ONCE, no_boxes, nothing_ahead, widen
from slidescore.cells.parts import unite
from slidescore.kernels import kernel

TOP_OD, STEP_OD, N_STEPS = 2.0, 0.002, 1500
"""Priorities run from 2 OD downwards in steps of 0.002 OD; what lies below -1 OD shares the last bucket."""
TOP, STEP = np.float32(TOP_OD), np.float32(STEP_OD)
OPEN, RIM = 1, 2
"""Bits of a pixel's state: may still be flooded; lies on the upper rim of the picture, and in the bits that follow on
the left, the right and the lower one."""
SHARED = -1
"""In place of a label: the part of the mask holds seeds of several."""


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
    rise(height, labels, mask, np.flatnonzero(labels), int(labels.max(initial=0)))
    return labels


def rise(
    height: NDArray[np.float32], labels: NDArray[np.int32], mask: NDArray[np.bool_], seeds: NDArray[np.int64], n: int
) -> NDArray[np.int64]:
    """Flood `labels` in place, see `flood`.

    Parameters
    ----------
    height, mask
        As in `flood`.
    labels
        int32, (H, W), contiguous, with the seeds in it and 0 elsewhere.
    seeds
        int64, (N,): their flat indices, in order.
    n
        The greatest label.

    Returns
    -------
    int64, (n + 1, 4), half-open (y0, x0, y1, x1) of each label.
    """
    state = mask.astype(np.uint8)
    # In the order in which neighbours are asked.
    for number, rim in enumerate((state[0], state[:, 0], state[:, -1], state[-1])):
        rim |= RIM << number
    boxes: NDArray[np.int64] = no_boxes(n, *mask.shape)
    begin, end, part = _list_parts(np.ascontiguousarray(mask))
    _rise(
        np.ascontiguousarray(height).reshape(-1), labels.reshape(-1), state.reshape(-1), mask.shape[1],
        begin, end, part, seeds, boxes,
    )  # fmt: skip
    return boxes


@kernel
def _list_parts(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """List the stretches of rows of a mask, and which of them hang together.

    Returns
    -------
    begin, end, part
        int64, (N,): half-open flat indices, in order, and for each stretch the first one of its part.
    """
    rows, columns = mask.shape
    room = rows * (columns // 2 + 1)
    begin, end, part = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    n, above = 0, 0
    for y in range(rows):
        row, here, x = mask[y], n, 0
        while x < columns:
            if nothing_ahead(row, x):
                x += AT_ONCE
                continue
            if not row[x]:
                x += 1
                continue
            begin[n], part[n] = y * columns + x, n
            while x < columns and row[x]:
                x += 1
            end[n] = y * columns + x
            while above < here and end[above] + columns <= begin[n]:
                above += 1
            other = above
            while other < here and begin[other] + columns < end[n]:
                unite(part, other, n)
                other += 1
            n += 1
        above = here
    for i in range(n):
        part[i] = part[part[i]]
    return begin[:n], end[:n], part[:n]


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
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    part: NDArray[np.int64],
    seeds: NDArray[np.int64],
    boxes: NDArray[np.int64],
) -> None:
    # Water of one part of the mask never meets that of another. Most parts hold one seed, which gets all of them; each
    # of the others is flooded for itself, in the fastest cache.
    owner, first, last = np.zeros(part.size, np.int32), np.full(part.size, -1), np.full(part.size, -1)
    following = np.full(seeds.size, -1)
    stretch = 0
    for i in range(seeds.size):
        while end[stretch] <= seeds[i]:
            stretch += 1
        own, label = part[stretch], labels[seeds[i]]
        owner[own] = label if owner[own] == 0 or owner[own] == label else np.int32(SHARED)
        if first[own] < 0:
            first[own] = i
        else:
            following[last[own]] = i
        last[own] = i
    for i in range(part.size):
        label = owner[part[i]]
        if label > 0:
            labels[begin[i] : end[i]] = label
            y = begin[i] // columns
            widen(boxes, label, y, begin[i] - y * columns, end[i] - y * columns)
    head, tail = np.full(N_STEPS, -1, dtype=np.int32), np.full(N_STEPS, -1, dtype=np.int32)
    pixel, after, own_seeds = np.empty(labels.size, np.int32), np.empty(labels.size, np.int32), np.empty_like(seeds)
    ways = np.array([-columns, -1, 1, columns])
    for i in range(part.size):
        if part[i] != i or owner[i] != SHARED:
            continue
        n, seed = 0, first[i]
        while seed >= 0:
            own_seeds[n] = seeds[seed]
            n += 1
            seed = following[seed]
        n = _share(height, labels, state, ways, own_seeds[:n], pixel, after, head, tail)
        for k in range(n):
            label, y = labels[pixel[k]], np.int64(pixel[k]) // columns
            x = np.int64(pixel[k]) - y * columns
            widen(boxes, label, y, x, x + 1)


@kernel
def _share(
    height: NDArray[np.float32],
    labels: NDArray[np.int32],
    state: NDArray[np.uint8],
    ways: NDArray[np.int64],
    seeds: NDArray[np.int64],
    pixel: NDArray[np.int32],
    after: NDArray[np.int32],
    head: NDArray[np.int32],
    tail: NDArray[np.int32],
) -> int:
    """Share a part of the mask among its seeds; returns how many pixels, which `pixel` lists.

    Lists of `head` and `tail` are empty before and after.
    """
    # One first-in, first-out list a step: `head` and `tail` by step, `pixel` and `after` by entry. A pixel enters at
    # most once. All in one function: to pass an array on costs as much as a pixel does.
    n, step, done = 0, N_STEPS, 0
    for seed in seeds:
        state[seed] &= ~OPEN
        at = _step(height[seed])
        step = min(step, at)
        if tail[at] < 0:
            head[at] = n
        else:
            after[tail[at]] = n
        tail[at], pixel[n], after[n] = n, seed, -1
        n += 1
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
    return n
