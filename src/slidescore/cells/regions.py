"""Regions of a label image: what lies in each of them, and other numbers for them. Region by region, in its box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.cells.types import CELL_TYPES
from slidescore.kernels import kernel

N_TYPES = len(CELL_TYPES)


def sum_regions(
    labels: NDArray[np.int32],
    boxes: NDArray[np.int64],
    foreground: NDArray[np.float32],
    type_probability: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Add up maps over regions, each in reading order and double precision.

    Parameters
    ----------
    labels
        int32, (H, W), 1..n.
    boxes
        int64, (n + 1, 4), half-open (y0, x0, y1, x1) of each label.
    foreground
        float32, (H, W).
    type_probability
        float32, (4, h, w); coarser than the others by a whole number.

    Returns
    -------
    area, foregrounds, types
        Pixels, int64, (n,); sums, float64, (n,) and (n, 4).
    """
    factor = labels.shape[0] // type_probability.shape[1]
    column = np.arange(labels.shape[1], dtype=np.int64) // factor
    sums = _sum(labels, boxes, foreground, np.moveaxis(type_probability, 0, -1), factor, column)
    return sums[0], sums[1], sums[2]


@kernel
def _sum(
    labels: NDArray[np.int32],
    boxes: NDArray[np.int64],
    foreground: NDArray[np.float32],
    types: NDArray[np.float32],
    factor: int,
    coarse: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    n = boxes.shape[0] - 1
    area, total, by_type = np.zeros(n, np.int64), np.zeros(n), np.zeros((n, N_TYPES))
    for k in range(n):
        pixels, of_foreground, first, second, third, fourth = 0, 0.0, 0.0, 0.0, 0.0, 0.0
        for y in range(boxes[k + 1, 0], boxes[k + 1, 2]):
            row = types[y // factor]
            for x in range(boxes[k + 1, 1], boxes[k + 1, 3]):
                if labels[y, x] == k + 1:
                    at = coarse[x]
                    pixels += 1
                    of_foreground += foreground[y, x]
                    first += row[at, 0]
                    second += row[at, 1]
                    third += row[at, 2]
                    fourth += row[at, 3]
        area[k], total[k] = pixels, of_foreground
        by_type[k, 0], by_type[k, 1], by_type[k, 2], by_type[k, 3] = first, second, third, fourth
    return area, total, by_type


@kernel
def renumber(labels: NDArray[np.int32], boxes: NDArray[np.int64], numbers: NDArray[np.int32]) -> None:
    """Give regions other numbers, in place: int32, (n,), none greater than the old one; 0 drops a region."""
    # No number grows, so a region that has been renumbered is never taken for a later one.
    for k in range(1, boxes.shape[0]):
        number = numbers[k - 1]
        if number == k:
            continue
        for y in range(boxes[k, 0], boxes[k, 2]):
            for x in range(boxes[k, 1], boxes[k, 3]):
                if labels[y, x] == k:
                    labels[y, x] = number
