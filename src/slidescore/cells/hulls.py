"""Whether regions fill their convex hulls: a bound for most of them, the hull itself where that leaves a doubt."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel


def are_solid(
    labels: NDArray[np.int32],
    boxes: NDArray[np.int64],
    area: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    least: float,
) -> NDArray[np.bool_]:
    """Tell which regions fill at least a share of their convex hull.

    Parameters
    ----------
    labels
        int32, (H, W), 1..n.
    boxes
        int64, (n + 1, 4), half-open (y0, x0, y1, x1) of each label.
    area
        int64, (n,), pixels.
    wanted
        bool, (n,), which of them to look at; the others are not solid.
    least
        The share.
    """
    # A hull is no larger than what holds it, so what fills so much of that fills as much of its hull.
    solid: NDArray[np.bool_] = wanted & (area / np.maximum(octagon_areas(labels, boxes, wanted), 1) >= least)
    for k in np.flatnonzero(wanted & ~solid).tolist():
        solid[k] = solidity(labels, boxes[k + 1], k + 1) >= least
    return solid


def solidity(labels: NDArray[np.int32], box: NDArray[np.int64], label: int) -> float:
    """Return the share of its convex hull, in whole pixels, that a region fills; `box` is half-open y0, x0, y1, x1."""
    y0, x0, y1, x1 = box
    own = (labels[y0:y1, x0:x1] == label).astype(np.uint8)
    hull = cv2.convexHull(cv2.findNonZero(own))
    return np.count_nonzero(own) / np.count_nonzero(cv2.fillConvexPoly(np.zeros_like(own), hull, 1))


@kernel
def octagon_areas(labels: NDArray[np.int32], boxes: NDArray[np.int64], wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the pixels of the upright octagon around each wanted region; int64, (n,), 0 for the others.

    Its slanted sides lie a pixel further out: a hull is drawn through whole pixels, up to half of one beyond its edge.
    """
    count = np.zeros(wanted.size, np.int64)
    for k in range(wanted.size):
        y0, x0, y1, x1 = boxes[k + 1, 0], boxes[k + 1, 1], boxes[k + 1, 2], boxes[k + 1, 3]
        if not wanted[k] or y1 <= y0:
            continue
        least_sum, most_sum = y1 + x1, y0 + x0
        least_difference, most_difference = x1 - y0, x0 - y1
        for y in range(y0, y1):
            first = x0
            while first < x1 and labels[y, first] != k + 1:
                first += 1
            if first == x1:
                continue
            last = x1 - 1
            while labels[y, last] != k + 1:
                last -= 1
            least_sum, most_sum = min(least_sum, first + y), max(most_sum, last + y)
            least_difference, most_difference = min(least_difference, first - y), max(most_difference, last - y)
        for y in range(y0, y1):
            left = max(x0, least_sum - 1 - y, least_difference - 1 + y)
            right = min(x1 - 1, most_sum + 1 - y, most_difference + 1 + y)
            count[k] += max(0, right - left + 1)
    return count
