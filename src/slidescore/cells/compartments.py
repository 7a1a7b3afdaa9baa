"""Compartments of a cell: nucleus, cytoplasm around it, and the membrane at its rim.

cell = nucleus grown by up to `expansion_um`, never into another cell, and no further than its stain reaches;
cytoplasm = cell minus nucleus, membrane included (as QuPath uses the word); membrane = outer `membrane_um` of the cell,
nucleus left out.

A fixed expansion alone would mix the glass and stroma around a small cell into its cytoplasm: on phantoms whose cell
radius has nothing to do with the expansion that costs about 15 % of the H-score. So a cell whose DAB falls off inside
the expansion ends there. A cell without such a fall, above all a negative one, keeps the full expansion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from slidescore.cells.boxes import bounding_boxes, no_boxes, widen
from slidescore.cells.growing import MARGIN, Growth, grow_nuclei
from slidescore.cells.rims import find_rims
from slidescore.kernels import kernel

Labels = NDArray[np.int32]

N_SECTORS = 8
"""Directions in which a cell may end at its own distance: a nucleus seldom lies in the middle of its cell."""
NUCLEAR_FACTOR = 2.0
"""A nucleus this many times darker than its cytoplasm is stained itself, and its blur is no cytoplasm."""


@dataclass(frozen=True, slots=True)
class Compartments:
    """Masks of one tile; (H, W). Label k is the same cell in `nuclei` and `cells`.

    Attributes
    ----------
    nuclei, cells
        int32 labels, 0 for none.
    membrane
        bool, the rim of any cell; whose rim it is, `cells` says.
    guard
        bool, pixels so near the border of a nucleus or a cell that optics mix its two sides.
    nucleus_boxes, cell_boxes
        int64, (n + 1, 4), half-open (y0, x0, y1, x1): where to look for each label; a box may be wider than need be.
        None where they are not known.
    """

    nuclei: Labels
    cells: Labels
    membrane: NDArray[np.bool_]
    guard: NDArray[np.bool_]
    nucleus_boxes: NDArray[np.int64] | None = None
    cell_boxes: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class CompartmentSizes:
    """Lengths that cut a cell into compartments, in tile pixels, and when a cell ends before its expansion does.

    `min_fall_od` is the least fall of mean DAB optical density that ends a cell, `keep_fraction` the share of its
    highest ring that a ring must reach to belong to it.
    """

    expansion_px: float
    membrane_px: float
    guard_px: float
    min_fall_od: float
    keep_fraction: float


def cut_compartments(
    nuclei: Labels,
    dab_od: NDArray[np.float32],
    usable: NDArray[np.bool_],
    sizes: CompartmentSizes,
    boxes: NDArray[np.int64] | None = None,
) -> Compartments:
    """Grow nuclei to cells and cut the cells into compartments.

    Parameters
    ----------
    nuclei
        int32, (H, W), labels 1..n.
    dab_od
        float32, (H, W), DAB optical density.
    usable
        bool, (H, W); cells do not grow where this is False.
    sizes
        Lengths in pixels of these arrays.
    boxes
        int64, (n + 1, 4), half-open (y0, x0, y1, x1) of each nucleus, where they are known.
    """
    if boxes is None:
        boxes = bounding_boxes(nuclei, int(nuclei.max(initial=0)))
    grown = grow_nuclei(nuclei, usable, boxes, sizes.expansion_px)
    cell_boxes = end_cells(nuclei, boxes, grown, dab_od, sizes)
    membrane, guard = find_rims(nuclei, grown.cells, sizes.membrane_px, sizes.guard_px)
    return Compartments(nuclei, grown.cells, membrane, guard, boxes, cell_boxes)


def end_cells(
    nuclei: Labels, boxes: NDArray[np.int64], grown: Growth, dab_od: NDArray[np.float32], sizes: CompartmentSizes
) -> NDArray[np.int64]:
    """End each cell where its DAB falls off, in the array of `grown` itself.

    Rings one pixel wide around the nucleus, whole and in eight sectors, are followed outwards from where optics no
    longer mix the nucleus in. The highest whole ring is the cell's level. In a sector the cell ends before the first
    ring beyond that one whose mean is below `keep_fraction` of the level, provided that it has fallen by
    `min_fall_od`. Where the nucleus is far darker than the level, what falls is the nucleus's own blur, and the cell
    keeps the full expansion.

    Returns
    -------
    int64, (n + 1, 4), half-open (y0, x0, y1, x1) of each cell.
    """
    n_rings = max(1, int(np.ceil(sizes.expansion_px)))
    runs, distance = grown.runs, grown.distance_px
    middles, nucleus_od = _find_middles(nuclei, dab_od, boxes)
    sums = _sum_rings(grown.cells, distance, dab_od, middles, n_rings, sizes.guard_px, runs.first, runs.begin, runs.end)
    reach, shorter = _reach(sums, nucleus_od, n_rings, sizes.expansion_px, sizes.min_fall_od, sizes.keep_fraction)
    cell_boxes: NDArray[np.int64] = _cut(
        grown.cells, distance, middles, reach, shorter, runs.first, runs.begin, runs.end
    )
    return cell_boxes


@kernel
def _find_middles(
    nuclei: Labels, dab: NDArray[np.float32], boxes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Add up x and y of each nucleus: int64, (n + 1, 3), with its pixels first; and its mean DAB, float64, (n + 1,)."""
    middles, mean = np.zeros((boxes.shape[0], 3), np.int64), np.zeros(boxes.shape[0])
    for k in range(1, boxes.shape[0]):
        pixels, of_x, of_y, of_dab = 0, 0, 0, 0.0
        for y in range(boxes[k, 0], boxes[k, 2]):
            for x in range(boxes[k, 1], boxes[k, 3]):
                if nuclei[y, x] == k:
                    pixels += 1
                    of_x += x
                    of_y += y
                    of_dab += dab[y, x]
        middles[k, 0], middles[k, 1], middles[k, 2] = pixels, of_x, of_y
        mean[k] = of_dab / max(pixels, 1)
    return middles, mean


@kernel
def _sum_rings(
    cells: Labels,
    distance: NDArray[np.float32],
    dab: NDArray[np.float32],
    middles: NDArray[np.int64],
    n_rings: int,
    guard: float,
    first: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Add up DAB in sectors and rings beyond the guard: float64, (n + 1, N_SECTORS, n_rings, 2), sums and pixels."""
    sums = np.zeros((middles.shape[0] * N_SECTORS * n_rings, 2))
    rings = np.empty(cells.shape[1], np.int32)
    for y in range(cells.shape[0]):
        for run in range(first[y], first[y + 1]):
            a, b = begin[run], end[run]
            of_cells, of_dab = cells[y, a:b], dab[y, a:b]
            _number_rings(distance[y + MARGIN, a + MARGIN : b + MARGIN], n_rings, guard, rings)
            label, begins, middle = np.int32(0), 0, middles[0]
            for i in range(b - a):
                if of_cells[i] == 0 or rings[i] < 0:
                    continue
                if of_cells[i] != label:
                    label = of_cells[i]
                    begins, middle = N_SECTORS * n_rings * label, middles[label]
                at = begins + n_rings * _sector(a + i, y, middle[0], middle[1], middle[2]) + rings[i]
                sums[at, 0] += of_dab[i]
                sums[at, 1] += 1.0
    return sums


@kernel
def _number_rings(distance: NDArray[np.float32], n_rings: int, guard: float, rings: NDArray[np.int32]) -> None:
    """Tell which ring each pixel of a row lies in, from 0; -1 for nuclei and what is no farther off than the guard."""
    for i in range(distance.size):
        d = distance[i]
        ring = np.int32(np.ceil(min(d, np.float32(n_rings)))) - np.int32(1)
        rings[i] = ring if (d > guard) & (d > 0.0) else np.int32(-1)


@numba.njit(nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _sector(x: int, y: int, pixels: int, of_x: int, of_y: int) -> int:
    """Return which eighth of the circle around a nucleus's middle a pixel lies in."""
    # Whole numbers, so that a pixel on the line between two sectors falls alike in every tile.
    dx, dy = x * pixels - of_x, y * pixels - of_y
    return 4 * (dx > 0) + 2 * (dy > 0) + (abs(dy) > abs(dx))


@kernel
def _reach(
    sums: NDArray[np.float64],
    nucleus_od: NDArray[np.float64],
    n_rings: int,
    expansion: float,
    min_fall: float,
    keep_fraction: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Find how far each cell reaches, float32, (n + 1, N_SECTORS), and whether less than the expansion anywhere."""
    n = nucleus_od.size - 1
    reach, shorter = np.full((n + 1, N_SECTORS), expansion, dtype=np.float32), np.zeros(n + 1, np.bool_)
    for k in range(1, n + 1):
        own = sums[N_SECTORS * n_rings * k : N_SECTORS * n_rings * (k + 1)]
        level, at = -1e9, -1
        for ring in range(n_rings):
            of_ring, pixels = 0.0, 0.0
            for s in range(N_SECTORS):
                of_ring += own[s * n_rings + ring, 0]
                pixels += own[s * n_rings + ring, 1]
            if pixels > 0 and of_ring / pixels > level:
                level, at = of_ring / pixels, ring
        if at < 0 or nucleus_od[k] > NUCLEAR_FACTOR * level:
            continue
        for s in range(N_SECTORS):
            for ring in range(at + 1, n_rings):
                of_ring, pixels = own[s * n_rings + ring, 0], own[s * n_rings + ring, 1]
                if pixels == 0:
                    continue
                mean = of_ring / pixels
                if mean < keep_fraction * level and level - mean >= min_fall:
                    reach[k, s] = ring
                    shorter[k] = True
                    break
    return reach, shorter


@kernel
def _cut(
    cells: Labels,
    distance: NDArray[np.float32],
    middles: NDArray[np.int64],
    reach: NDArray[np.float32],
    shorter: NDArray[np.bool_],
    first: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Take from each cell what lies beyond its reach; returns boxes around what was there, int64, (n + 1, 4)."""
    boxes: NDArray[np.int64] = no_boxes(middles.shape[0] - 1, *cells.shape)
    for y in range(cells.shape[0]):
        for run in range(first[y], first[y + 1]):
            a, b = begin[run], end[run]
            of_cells, d = cells[y, a:b], distance[y + MARGIN, a + MARGIN : b + MARGIN]
            i = 0
            while i < of_cells.size:
                label, left = of_cells[i], i
                i += 1
                while i < of_cells.size and of_cells[i] == label:
                    i += 1
                if label == 0:
                    continue
                widen(boxes, label, y, a + left, a + i)
                if shorter[label]:
                    _cut_stretch(of_cells[left:i], d[left:i], label, a + left, y, middles[label], reach[label])
    return boxes


@kernel
def _cut_stretch(
    stretch: Labels,
    distance: NDArray[np.float32],
    label: int,
    x: int,
    y: int,
    middle: NDArray[np.int64],
    reach: NDArray[np.float32],
) -> None:
    """Take what lies beyond its reach from a stretch of a row, all of one cell, which begins at (x, y)."""
    pixels = float(middle[0])
    dx, dy = float(x * middle[0] - middle[1]), float(y * middle[0] - middle[2])
    below, up = 2 * (dy > 0), abs(dy)
    left, left_up, right, right_up = reach[below], reach[below + 1], reach[below + 4], reach[below + 5]
    for i in range(stretch.size):
        # See `_sector`; whole numbers here as well.
        across = dx + i * pixels
        steep = up > abs(across)
        own = (right_up if steep else right) if across > 0.0 else (left_up if steep else left)
        # A nucleus is at no distance from itself.
        stretch[i] = label if (distance[i] <= own) | (distance[i] <= np.float32(0.0)) else np.int32(0)
