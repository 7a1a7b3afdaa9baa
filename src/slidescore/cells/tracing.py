"""Tracing outlines of many labels at once, point by point what OpenCV finds for each one alone.

An outline follows the outer border of the label on a grid twice as fine (Suzuki and Abe 1985,
doi 10.1016/0734-189X(85)90016-7), where it turns, and is then simplified (Douglas and Peucker 1973, in the order in
which `cv2.approxPolyDP` of OpenCV 5 does it for closed curves; older ones measure distances from lines instead of
chords, which tells where an outline is ragged). Fine pixel d lies at (d + 0.5) / 2 - 0.5 in pixels of the label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.cells.parts import unite
from slidescore.kernels import kernel

Labels = NDArray[np.int32]
Points = NDArray[np.int64]

STEP_X = np.array([1, 1, 0, -1, -1, -1, 0, 1])
STEP_Y = np.array([0, -1, -1, -1, 0, 1, 1, 1])
"""The eight neighbours, counter-clockwise as seen on the screen."""
LEFT, N_TURNS, LAST_TURN = 4, 8, 7
MOST_VISITS = 16
"""A border passes a fine pixel at most four times, and a pixel has four fine ones."""
TOLERANCE = 1.0
"""Points nearer than this to the line between two others are left out; in fine pixels."""
FEWEST_CORNERS = 2
FARTHEST_ROUNDS = 3
"""Rounds in which the two points that lie farthest apart are looked for."""


@kernel
def trace(
    labels: Labels,
    boxes: NDArray[np.int64],
    keep: NDArray[np.bool_],
    centers: NDArray[np.float64],
    scale: float,
    low: int,
    high: int,
) -> tuple[NDArray[np.int16], NDArray[np.int64], NDArray[np.bool_]]:
    """Trace all kept labels.

    Parameters
    ----------
    labels
        int32, (H, W), 1..n.
    boxes
        int64, (n + 1, 4), half-open (y0, x0, y1, x1): where to look for each label.
    keep
        bool, (n,), which labels to trace.
    centers, scale
        float64, (n, 2), x and y in pixels, and level-0 pixels per pixel.
    low, high
        Offsets are kept within these.

    Returns
    -------
    offsets, starts, whole
        int16, (M, 2), dx, dy in level-0 px, label after label; int64, (n + 1,), where each label's begin; bool, (n,):
        False for a label in several parts, of which none is traced here.
    """
    n = keep.size
    room = 1
    for k in range(1, n + 1):
        room = max(room, (boxes[k, 2] - boxes[k, 0]) * (boxes[k, 3] - boxes[k, 1]))
    border, corners = np.empty((MOST_VISITS * room, 2), np.int64), np.empty((MOST_VISITS * room, 2), np.int64)
    stack = np.empty((MOST_VISITS * room + 2, 2), np.int64)
    part = np.empty(room, np.int64)
    offsets = np.empty((64 * (n + 1), 2), np.int16)
    starts, whole = np.zeros(n + 1, np.int64), np.ones(n, np.bool_)
    used = 0
    for k in range(n):
        if keep[k]:
            x, y, whole[k] = _look_over(labels, k + 1, boxes[k + 1], stack, part)
            if whole[k]:
                count = _simplify(border, _follow(labels, k + 1, x, y, border), corners, stack)
                if used + count > offsets.shape[0]:
                    longer = np.empty((2 * (used + count), 2), np.int16)
                    for i in range(used):
                        longer[i, 0], longer[i, 1] = offsets[i, 0], offsets[i, 1]
                    offsets = longer
                for i in range(count):
                    for axis in range(2):
                        point = (corners[i, axis] + 0.5) / 2.0 - 0.5
                        offset = np.rint((point - centers[k, axis]) * scale)
                        offsets[used, axis] = int(min(max(offset, low), high))
                    used += 1
        starts[k + 1] = used
    return offsets[:used], starts, whole


@kernel
def _look_over(
    labels: Labels, label: int, box: NDArray[np.int64], stretches: Points, part: NDArray[np.int64]
) -> tuple[int, int, bool]:
    """Find x and y of a label's first pixel, and whether the label holds together, corners counting as touch.

    Stretches of rows are joined where they touch; `stretches`, begin and end of each, and `part` are room for them.
    """
    n, above, n_parts = 0, 0, 0
    first_y = box[0]
    for y in range(box[0], box[2]):
        here, x = n, box[1]
        while x < box[3]:
            if labels[y, x] != label:
                x += 1
                continue
            begin = x
            while x < box[3] and labels[y, x] == label:
                x += 1
            if n == 0:
                first_y = y
            stretches[n, 0], stretches[n, 1], part[n] = begin, x, n
            n_parts += 1
            for other in range(above, here):
                if stretches[other, 0] <= x and stretches[other, 1] >= begin:
                    n_parts -= unite(part, other, n)
            n += 1
        above = here
    return stretches[0, 0], first_y, n_parts == 1


@kernel
def _follow(labels: Labels, label: int, x: int, y: int, border: Points) -> int:
    """Follow the outer border from a label's first pixel in reading order; writes x, y of turns, returns how many."""
    height, width = 2 * labels.shape[0], 2 * labels.shape[1]
    x, y = 2 * x, 2 * y
    first_x, first_y = x, y
    # The last pixel of the round: the first neighbour met clockwise from the left, where nothing can be.
    turn = LEFT
    for _ in range(N_TURNS):
        turn = (turn - 1) & LAST_TURN
        last_x, last_y = x + STEP_X[turn], y + STEP_Y[turn]
        if 0 <= last_x < width and 0 <= last_y < height and labels[last_y >> 1, last_x >> 1] == label:
            break
    n, before = 0, turn ^ LEFT
    while True:
        for _ in range(N_TURNS):
            turn = (turn + 1) & LAST_TURN
            u, v = x + STEP_X[turn], y + STEP_Y[turn]
            if 0 <= u < width and 0 <= v < height and labels[v >> 1, u >> 1] == label:
                break
        if turn != before:
            border[n, 0], border[n, 1] = x, y
            n += 1
            before = turn
        if u == first_x and v == first_y and x == last_x and y == last_y:
            return n
        x, y = u, v
        turn = (turn + LEFT) & LAST_TURN


@kernel
def _simplify(points: Points, n: int, corners: Points, stack: Points) -> int:
    """Keep the corners of a closed curve of n points, x and y; returns their number."""
    # Two points far apart: from any one to the farthest, from that one to its farthest, and once more.
    start, away, near = 0, 0, False
    for _ in range(FARTHEST_ROUNDS):
        start = (start + away) % n
        farthest = 0
        for j in range(1, n):
            at = start + j if start + j < n else start + j - n
            dx, dy = points[at, 0] - points[start, 0], points[at, 1] - points[start, 1]
            if dx * dx + dy * dy > farthest:
                farthest, away = dx * dx + dy * dy, j
        near = farthest <= TOLERANCE**2
    if near:
        corners[0, 0], corners[0, 1] = points[start, 0], points[start, 1]
        return 1
    count: int = _clean(corners, _split(points, n, start, (start + away) % n, corners, stack))
    return count


@kernel
def _split(points: Points, n: int, first: int, second: int, corners: Points, stack: Points) -> int:
    """Split both halves of the curve at the point that lies farthest off its chord, until none lies off it."""
    stack[0, 0], stack[0, 1] = second, first
    stack[1, 0], stack[1, 1] = first, second
    depth, count = 2, 0
    while depth > 0:
        depth -= 1
        start, end = stack[depth, 0], stack[depth, 1]
        dx, dy = points[end, 0] - points[start, 0], points[end, 1] - points[start, 1]
        chord = dx * dx + dy * dy
        most, cut = 0, start
        at = start + 1 if start + 1 < n else 0
        while at != end:
            px, py = points[at, 0] - points[start, 0], points[at, 1] - points[start, 1]
            along = px * dx + py * dy
            # Squares of distances from the chord, times that of its length: whole numbers.
            if along < 0:
                off = (px * px + py * py) * chord
            elif along > chord:
                off = ((px - dx) * (px - dx) + (py - dy) * (py - dy)) * chord
            else:
                off = (py * dx - px * dy) * (py * dx - px * dy)
            if off > most:
                most, cut = off, at
            at = at + 1 if at + 1 < n else 0
        if most <= TOLERANCE**2 * chord:
            corners[count, 0], corners[count, 1] = points[start, 0], points[start, 1]
            count += 1
        else:
            stack[depth, 0], stack[depth, 1] = cut, end
            stack[depth + 1, 0], stack[depth + 1, 1] = start, cut
            depth += 2
    return count


@kernel
def _clean(corners: Points, count: int) -> int:
    """Leave out corners on almost straight slanted lines, in place; returns how many remain."""
    start_x, start_y = corners[count - 1, 0], corners[count - 1, 1]
    x, y = corners[0, 0], corners[0, 1]
    left, read, write, i = count, 1 % count, 0, 0
    while i < count and left > FEWEST_CORNERS:
        end_x, end_y = corners[read, 0], corners[read, 1]
        read = (read + 1) % count
        dx, dy = end_x - start_x, end_y - start_y
        off = abs((x - start_x) * dy - (y - start_y) * dx)
        onward = (x - start_x) * (end_x - x) + (y - start_y) * (end_y - y)
        straight = off * off <= 0.5 * TOLERANCE**2 * (dx * dx + dy * dy)
        if straight and dx != 0 and dy != 0 and onward >= 0:
            left -= 1
            start_x, start_y = end_x, end_y
            corners[write, 0], corners[write, 1] = end_x, end_y
            x, y = corners[read, 0], corners[read, 1]
            read = (read + 1) % count
            i += 1
        else:
            start_x, start_y = x, y
            corners[write, 0], corners[write, 1] = x, y
            x, y = end_x, end_y
        write = (write + 1) % count
        i += 1
    return left
