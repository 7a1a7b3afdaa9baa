"""Boxes around labels, half-open (y0, x0, y1, x1), and passing over the pixels between them."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel

AT_ONCE = 8
"""Pixels that are passed over at once: most are of no label."""


def bounding_boxes(labels: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    """Return the half-open box (y0, x0, y1, x1) of each label; int64, (n + 1, 4); empty labels have y1 <= y0."""
    return _boxes(labels, n)  # type: ignore[no-any-return]


@kernel
def no_boxes(n: int, height: int, width: int) -> NDArray[np.int64]:
    """Return boxes of n labels without a pixel, for `widen`; int64, (n + 1, 4)."""
    boxes = np.zeros((n + 1, 4), np.int64)
    boxes[:, 0], boxes[:, 1] = height, width
    return boxes


@numba.njit(nogil=True, inline="always")  # type: ignore[untyped-decorator]
def widen(boxes: NDArray[np.int64], label: int, y: int, begin: int, end: int) -> None:
    """Let the box of a label hold columns `begin` to `end` of row y as well."""
    boxes[label, 0], boxes[label, 1] = min(boxes[label, 0], y), min(boxes[label, 1], begin)
    boxes[label, 2], boxes[label, 3] = max(boxes[label, 2], y + 1), max(boxes[label, 3], end)


@numba.njit(nogil=True, inline="always")  # type: ignore[untyped-decorator]
def nothing_ahead(row: NDArray[Any], x: int) -> bool:
    """Whether the next `AT_ONCE` pixels of a row are all there and all 0 or False."""
    return x + AT_ONCE <= row.size and not (
        row[x] | row[x + 1] | row[x + 2] | row[x + 3] | row[x + 4] | row[x + 5] | row[x + 6] | row[x + 7]
    )


@kernel
def _boxes(labels: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    boxes: NDArray[np.int64] = no_boxes(n, *labels.shape)
    for y in range(labels.shape[0]):
        row = labels[y]
        x = 0
        while x < row.size:
            if nothing_ahead(row, x):
                x += AT_ONCE
                continue
            k = row[x]
            begin = x
            x += 1
            if k <= 0:
                continue
            while x < row.size and row[x] == k:
                x += 1
            widen(boxes, k, y, begin, x)
    return boxes
