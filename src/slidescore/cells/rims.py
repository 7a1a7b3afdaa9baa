"""Borders of nuclei and cells, and what lies near them: the membrane of a cell, and the guard on both sides.

A border pixel touches a pixel of another label on one of its four sides. What is nearer to one than a given length is
found by shifting the border over every offset that is shorter; lengths are those of `slidescore.cells.growing`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.cells.growing import chamfer_px
from slidescore.kernels import kernel

Labels = NDArray[np.int32]
BLOCK_ROWS = 16
"""Rows that are shifted at once; a block of a tile stays in the fastest cache."""


def find_membranes(nuclei: Labels, cells: Labels, *, width_px: float) -> NDArray[np.bool_]:
    """Mark the rim of every cell, `width_px` wide, nuclei left out; bool, (H, W)."""
    return find_rims(nuclei, cells, width_px, 0.0)[0]


def find_guard(nuclei: Labels, cells: Labels, width_px: float) -> NDArray[np.bool_]:
    """Mark the pixels within `width_px` of a border of a nucleus or a cell, on both sides; bool, (H, W)."""
    return find_rims(nuclei, cells, 0.0, width_px)[1]


def find_rims(
    nuclei: Labels, cells: Labels, membrane_px: float, guard_px: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark membranes and guard.

    Parameters
    ----------
    nuclei, cells
        int32, (H, W).
    membrane_px, guard_px
        Widths; see `find_membranes` and `find_guard`.

    Returns
    -------
    membrane, guard
        bool, (H, W).
    """
    membrane, guard = np.empty(cells.shape, np.bool_), np.empty(cells.shape, np.bool_)
    rim, both = offsets_within(membrane_px), offsets_within(guard_px)
    most = max(int(np.abs(offsets).max(initial=0)) for offsets in (rim, both))
    shape = (cells.shape[0] + 2 * most, cells.shape[1] + 2 * most)
    of_cells, of_any = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    _mark_borders(nuclei, cells, of_cells, of_any, most)
    _shift(of_cells, rim, most, membrane)
    _shift(of_any, both, most, guard)
    _keep_cytoplasm(nuclei, cells, membrane)
    return membrane, guard


def offsets_within(width_px: float) -> NDArray[np.int64]:
    """List the offsets from a border pixel to all pixels within a width of the border; int64, (N, 2) of y, x."""
    # A border pixel's centre lies half a pixel inside its own side.
    near = np.float32(width_px)
    most = max(0, int(np.ceil(width_px)))
    found = [
        (dy, dx)
        for dy in range(-most, most + 1)
        for dx in range(-most, most + 1)
        if chamfer_px(dx, dy) + np.float32(0.5) <= near
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


@kernel
def _mark_borders(
    nuclei: Labels, cells: Labels, of_cells: NDArray[np.uint8], of_any: NDArray[np.uint8], margin: int
) -> None:
    """Mark pixels of cells at a border of cells, and all pixels at a border of cells or nuclei."""
    height, width = cells.shape
    for y in range(height):
        above, below = max(0, y - 1), min(height - 1, y + 1)
        c, c_above, c_below = cells[y], cells[above], cells[below]
        k, k_above, k_below = nuclei[y], nuclei[above], nuclei[below]
        rim, either = of_cells[y + margin, margin : margin + width], of_any[y + margin, margin : margin + width]
        _mark_row(c, c_above, c_below, k, k_above, k_below, rim, either)
        for x in (0, width - 1):
            left, right = max(0, x - 1), min(width - 1, x + 1)
            at_c = c[x] != c_above[x] or c[x] != c_below[x] or c[x] != c[left] or c[x] != c[right]
            at_k = k[x] != k_above[x] or k[x] != k_below[x] or k[x] != k[left] or k[x] != k[right]
            rim[x] = at_c and c[x] > 0
            either[x] = at_c or at_k


@kernel
def _mark_row(
    c: Labels,
    c_above: Labels,
    c_below: Labels,
    k: Labels,
    k_above: Labels,
    k_below: Labels,
    rim: NDArray[np.uint8],
    either: NDArray[np.uint8],
) -> None:
    for i in range(c.size - 2):
        x = i + 1
        at_c = (c[x] != c_above[x]) | (c[x] != c_below[x]) | (c[x] != c[i]) | (c[x] != c[i + 2])
        at_k = (k[x] != k_above[x]) | (k[x] != k_below[x]) | (k[x] != k[i]) | (k[x] != k[i + 2])
        rim[x] = at_c & (c[x] > 0)
        either[x] = at_c | at_k


@kernel
def _shift(border: NDArray[np.uint8], offsets: NDArray[np.int64], margin: int, near: NDArray[np.bool_]) -> None:
    """Mark all pixels to which one of the offsets leads from a border; `border` has a margin on every side."""
    height, width = near.shape
    stride = border.shape[1]
    flat = border.reshape(-1)
    block = np.empty(BLOCK_ROWS * stride, np.uint8)
    for top in range(0, height, BLOCK_ROWS):
        rows = min(BLOCK_ROWS, height - top)
        # Whole rows with their margins, so that one loop does; what spills over the ends of rows is not copied out.
        n = rows * stride - 2 * margin
        block[:] = 0
        for number in range(offsets.shape[0]):
            start = (top + margin - offsets[number, 0]) * stride + margin - offsets[number, 1]
            _join(flat[start : start + n], block[:n])
        for y in range(rows):
            for x in range(width):
                near[top + y, x] = block[y * stride + x] > 0


@kernel
def _join(more: NDArray[np.uint8], into: NDArray[np.uint8]) -> None:
    for i in range(into.size):
        into[i] |= more[i]


@kernel
def _keep_cytoplasm(nuclei: Labels, cells: Labels, rim: NDArray[np.bool_]) -> None:
    for y in range(cells.shape[0]):
        c, k, r = cells[y], nuclei[y], rim[y]
        for x in range(c.size):
            r[x] = r[x] & (c[x] > 0) & (k[x] == 0)
