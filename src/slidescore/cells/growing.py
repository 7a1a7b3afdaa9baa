"""Growing nuclei to cells: who is nearest, and how far away, in two sweeps over the pixels near nuclei.

Distances are those of OpenCV's 5 x 5 chamfer mask (Borgefors 1986, doi 10.1016/S0734-189X(86)80047-0), in the same
fixed-point steps and with the same order among equals, so that a pixel half-way between two nuclei goes to the same one
as with `cv2.distanceTransformWithLabels`. Unlike it, the sweeps leave out what no cell can reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel

Labels = NDArray[np.int32]
Plane = NDArray[np.float32]

STRAIGHT = np.float32(1.0)
DIAGONAL = np.float32(91750 / 65536)
KNIGHT = np.float32(143976 / 65536)
"""Lengths of the mask's steps in px: 1, 1.4 and 2.1969 (a knight's move in chess), in 1/65536 as OpenCV has them."""
FAR = np.float32(1e9)
"""Stands for pixels that no cell can reach."""
MARGIN = 2
"""A step of the mask leads at most this many pixels away."""
STRETCH_PX = 32
"""Stretches of rows begin and end at multiples of this: few long ones suit a processor that takes many pixels at once,
and what they hold beyond reach stays `FAR`."""
LONGEST_REACH_PX = 200.0
"""Sums of steps are exact in float32 up to 256 px."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Stretches of rows in which cells may lie, rows from top to bottom and each from left to right.

    Attributes
    ----------
    first
        int64, (H + 1,): the runs of row y are first[y] up to first[y + 1].
    begin, end
        int64, (N,): half-open columns.
    """

    first: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Growth:
    """Nuclei grown to cells.

    Attributes
    ----------
    cells
        int32, (H, W).
    distance_px
        float32, (H + 4, W + 4), with a margin of 2 px on every side: distance to the nearest nucleus; `FAR` beyond the
        reach, and not set far from every nucleus.
    runs
        Where to look for cells.
    """

    cells: Labels
    distance_px: Plane
    runs: Runs


def chamfer_px(dx: int, dy: int) -> np.float32:
    """Return the length of the shortest way of the 5 x 5 mask over (dx, dy) pixels."""
    long, short = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if 2 * short <= long:
        return np.float32(KNIGHT * short + STRAIGHT * (long - 2 * short))
    return np.float32(KNIGHT * (long - short) + DIAGONAL * (2 * short - long))


def grow_nuclei(nuclei: Labels, usable: NDArray[np.bool_], boxes: NDArray[np.int64], reach_px: float) -> Growth:
    """Grow every nucleus by `reach_px`, each pixel going to the nearest nucleus.

    Parameters
    ----------
    nuclei
        int32, (H, W), labels 1..n.
    usable
        bool, (H, W); cells do not grow where this is False.
    boxes
        int64, (n + 1, 4), half-open (y0, x0, y1, x1) of each label.
    reach_px
        In pixels of these arrays, at most `LONGEST_REACH_PX`.

    Raises
    ------
    ValueError
        If the reach is longer.
    """
    if not reach_px <= LONGEST_REACH_PX:
        raise ValueError(f"cells cannot grow by {reach_px:g} px, only by {LONGEST_REACH_PX:g}")
    height, width = nuclei.shape
    runs = Runs(*_list_runs(boxes, height, width, int(np.ceil(reach_px))))
    distance = np.full((height + 2 * MARGIN, width + 2 * MARGIN), FAR, dtype=np.float32)
    owner = np.empty(distance.shape, dtype=np.int32)
    cells = np.zeros(nuclei.shape, dtype=np.int32)
    _grow(nuclei, usable, distance, owner, cells, runs.first, runs.begin, runs.end, np.float32(reach_px))
    return Growth(cells, distance, runs)


@kernel
def _list_runs(
    boxes: NDArray[np.int64], height: int, width: int, reach: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """List the stretches of rows that lie within `reach` of a box, widened to whole `STRETCH_PX`."""
    columns = (width + STRETCH_PX - 1) // STRETCH_PX
    near = np.zeros((height, columns), np.bool_)
    for k in range(boxes.shape[0]):
        if boxes[k, 2] <= boxes[k, 0]:
            continue
        left = max(0, boxes[k, 1] - reach) // STRETCH_PX
        right = (min(width, boxes[k, 3] + reach) - 1) // STRETCH_PX
        for y in range(max(0, boxes[k, 0] - reach), min(height, boxes[k, 2] + reach)):
            for column in range(left, right + 1):
                near[y, column] = True
    first = np.zeros(height + 1, np.int64)
    begin, end = np.empty(near.size, np.int64), np.empty(near.size, np.int64)
    n = 0
    for y in range(height):
        for column in range(columns):
            if not near[y, column]:
                continue
            if column == 0 or not near[y, column - 1]:
                begin[n] = column * STRETCH_PX
                n += 1
            end[n - 1] = min((column + 1) * STRETCH_PX, width)
        first[y + 1] = n
    return first, begin[:n], end[:n]


@kernel
def _grow(
    nuclei: Labels,
    usable: NDArray[np.bool_],
    distance: Plane,
    owner: Labels,
    cells: Labels,
    first: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    reach: np.float32,
) -> None:
    height = nuclei.shape[0]
    for y in range(height):
        for run in range(first[y], first[y + 1]):
            a, b = begin[run], end[run]
            n = b - a
            _step_down(
                nuclei[y, a:b], distance[y, a : b + 4], distance[y + 1, a : b + 4], distance[y + 2, a + 2 : b + 2],
                owner[y, a : b + 4], owner[y + 1, a : b + 4], owner[y + 2, a + 2 : b + 2], reach,
            )  # fmt: skip
            here, whose = distance[y + 2, a + 2 : b + 2], owner[y + 2, a + 2 : b + 2]
            beside, label = FAR, np.int32(0)
            for i in range(n):
                t = beside + STRAIGHT
                if t < here[i] and t <= reach:
                    here[i] = t
                    whose[i] = label
                beside, label = here[i], whose[i]
    for y in range(height - 1, -1, -1):
        for run in range(first[y], first[y + 1]):
            a, b = begin[run], end[run]
            n = b - a
            _step_up(
                distance[y + 4, a : b + 4], distance[y + 3, a : b + 4], distance[y + 2, a + 2 : b + 2],
                owner[y + 4, a : b + 4], owner[y + 3, a : b + 4], owner[y + 2, a + 2 : b + 2], reach,
            )  # fmt: skip
            here, whose = distance[y + 2, a + 2 : b + 2], owner[y + 2, a + 2 : b + 2]
            own, may, into = nuclei[y, a:b], usable[y, a:b], cells[y, a:b]
            beside, label = FAR, np.int32(0)
            for i in range(n):
                x = n - 1 - i
                t = beside + STRAIGHT
                if t < here[x] and t <= reach:
                    here[x] = t
                    whose[x] = label
                beside, label = here[x], whose[x]
            for i in range(n):
                grown = (here[i] <= reach) & may[i]
                into[i] = whose[i] if grown | (own[i] > 0) else np.int32(0)


@kernel
def _step_down(
    nuclei: Labels,
    two: Plane,
    one: Plane,
    here: Plane,
    whose_two: Labels,
    whose_one: Labels,
    whose: Labels,
    reach: np.float32,
) -> None:
    """Take over from the two rows above; they begin two pixels further left. Of equals the first one stays."""
    for i in range(nuclei.size):
        best, label = two[i + 1] + KNIGHT, whose_two[i + 1]
        t, other = two[i + 3] + KNIGHT, whose_two[i + 3]
        label = other if t < best else label
        best = t if t < best else best
        t, other = one[i] + KNIGHT, whose_one[i]
        label = other if t < best else label
        best = t if t < best else best
        t, other = one[i + 1] + DIAGONAL, whose_one[i + 1]
        label = other if t < best else label
        best = t if t < best else best
        t, other = one[i + 2] + STRAIGHT, whose_one[i + 2]
        label = other if t < best else label
        best = t if t < best else best
        t, other = one[i + 3] + DIAGONAL, whose_one[i + 3]
        label = other if t < best else label
        best = t if t < best else best
        t, other = one[i + 4] + KNIGHT, whose_one[i + 4]
        label = other if t < best else label
        best = t if t < best else best
        best = best if best <= reach else FAR
        own = nuclei[i]
        here[i] = np.float32(0.0) if own > 0 else best
        whose[i] = own if own > 0 else label


@kernel
def _step_up(
    two: Plane, one: Plane, here: Plane, whose_two: Labels, whose_one: Labels, whose: Labels, reach: np.float32
) -> None:
    """Take over from the two rows below where that is nearer."""
    for i in range(here.size):
        best, label = here[i], whose[i]
        t, other = two[i + 3] + KNIGHT, whose_two[i + 3]
        label = other if t < best else label
        best = t if t < best else best
        t, other = two[i + 1] + KNIGHT, whose_two[i + 1]
        label = other if t < best else label
        best = t if t < best else best
        t, other = one[i + 4] + KNIGHT, whose_one[i + 4]
        label = other if t < best else label
        best = t if t < best else best
        t, other = one[i + 3] + DIAGONAL, whose_one[i + 3]
        label = other if t < best else label
        best = t if t < best else best
        t, other = one[i + 2] + STRAIGHT, whose_one[i + 2]
        label = other if t < best else label
        best = t if t < best else best
        t, other = one[i + 1] + DIAGONAL, whose_one[i + 1]
        label = other if t < best else label
        best = t if t < best else best
        t, other = one[i] + KNIGHT, whose_one[i]
        label = other if t < best else label
        best = t if t < best else best
        here[i] = best if best <= reach else FAR
        whose[i] = label
