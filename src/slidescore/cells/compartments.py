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

import numpy as np
from numpy.typing import NDArray

from slidescore.cells.candidates import bounding_boxes
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
    nuclei: Labels, dab_od: NDArray[np.float32], usable: NDArray[np.bool_], sizes: CompartmentSizes
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
    """
    boxes = bounding_boxes(nuclei, int(nuclei.max(initial=0)))
    grown = grow_nuclei(nuclei, usable, boxes, sizes.expansion_px)
    cells = end_cells(nuclei, boxes, grown, dab_od, sizes)
    membrane, guard = find_rims(nuclei, cells, sizes.membrane_px, sizes.guard_px)
    return Compartments(nuclei, cells, membrane, guard, boxes, widen(boxes, sizes.expansion_px, nuclei.shape))


def widen(boxes: NDArray[np.int64], by_px: float, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Widen boxes to all sides, as far as there are pixels; empty ones stay empty."""
    by = int(np.ceil(by_px))
    wide = np.clip(boxes + np.array([-by, -by, by, by]), 0, np.array([*shape, *shape]))
    return np.where(boxes[:, 2:3] > boxes[:, :1], wide, boxes)


def end_cells(
    nuclei: Labels, boxes: NDArray[np.int64], grown: Growth, dab_od: NDArray[np.float32], sizes: CompartmentSizes
) -> Labels:
    """End each cell where its DAB falls off; int32, (H, W), the array of `grown` itself.

    Rings one pixel wide around the nucleus, whole and in eight sectors, are followed outwards from where optics no
    longer mix the nucleus in. The highest whole ring is the cell's level. In a sector the cell ends before the first
    ring beyond that one whose mean is below `keep_fraction` of the level, provided that it has fallen by
    `min_fall_od`. Where the nucleus is far darker than the level, what falls is the nucleus's own blur, and the cell
    keeps the full expansion.
    """
    cells, distance, runs = grown.cells, grown.distance_px, grown.runs
    n_rings = max(1, int(np.ceil(sizes.expansion_px)))
    nucleus = _sum_nuclei(nuclei, dab_od, boxes)
    sector = np.empty(cells.shape, dtype=np.uint8)
    total, count = _sum_rings(
        cells, distance, sector, dab_od, nucleus, n_rings, sizes.guard_px, runs.first, runs.begin, runs.end
    )
    nucleus_od = nucleus[:, 3] / np.maximum(nucleus[:, 0], 1.0)
    reach = _reach(total, count, nucleus_od, sizes.expansion_px, sizes.min_fall_od, sizes.keep_fraction)
    _cut(cells, distance, sector, reach, runs.first, runs.begin, runs.end)
    return cells


@kernel
def _sum_nuclei(nuclei: Labels, dab: NDArray[np.float32], boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Add up each nucleus; float64, (n + 1, 4): pixels, x, y, DAB, the last one in reading order."""
    sums = np.zeros((boxes.shape[0], 4))
    for k in range(1, boxes.shape[0]):
        pixels, of_x, of_y, of_dab = 0.0, 0.0, 0.0, 0.0
        for y in range(boxes[k, 0], boxes[k, 2]):
            for x in range(boxes[k, 1], boxes[k, 3]):
                if nuclei[y, x] == k:
                    pixels += 1.0
                    of_x += x
                    of_y += y
                    of_dab += dab[y, x]
        sums[k, 0], sums[k, 1], sums[k, 2], sums[k, 3] = pixels, of_x, of_y, of_dab
    return sums


@kernel
def _sum_rings(
    cells: Labels,
    distance: NDArray[np.float32],
    sector: NDArray[np.uint8],
    dab: NDArray[np.float32],
    nucleus: NDArray[np.float64],
    n_rings: int,
    guard: float,
    first: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add up DAB in rings and sectors, and note in `sector` which eighth of the circle each cell pixel lies in."""
    total = np.zeros((nucleus.shape[0], N_SECTORS, n_rings))
    count = np.zeros((nucleus.shape[0], N_SECTORS, n_rings))
    for y in range(cells.shape[0]):
        for run in range(first[y], first[y + 1]):
            for x in range(begin[run], end[run]):
                k, d = cells[y, x], distance[y + MARGIN, x + MARGIN]
                if k == 0 or d == 0.0:
                    continue
                # Whole numbers, so that a pixel on the line between two sectors falls alike in every tile.
                dx = x * nucleus[k, 0] - nucleus[k, 1]
                dy = y * nucleus[k, 0] - nucleus[k, 2]
                s = 4 * (dx > 0) + 2 * (dy > 0) + (abs(dy) > abs(dx))
                sector[y, x] = s
                if d > guard:
                    ring = min(int(np.ceil(d)) - 1, n_rings - 1)
                    total[k, s, ring] += dab[y, x]
                    count[k, s, ring] += 1.0
    return total, count


@kernel
def _reach(
    total: NDArray[np.float64],
    count: NDArray[np.float64],
    nucleus_od: NDArray[np.float64],
    expansion: float,
    min_fall: float,
    keep_fraction: float,
) -> NDArray[np.float32]:
    n, n_rings = total.shape[0] - 1, total.shape[2]
    reach = np.full((n + 1, N_SECTORS), expansion, dtype=np.float32)
    for k in range(1, n + 1):
        level, at = -1e9, -1
        for ring in range(n_rings):
            pixels = count[k, :, ring].sum()
            if pixels > 0 and total[k, :, ring].sum() / pixels > level:
                level, at = total[k, :, ring].sum() / pixels, ring
        if at < 0 or nucleus_od[k] > NUCLEAR_FACTOR * level:
            continue
        for s in range(N_SECTORS):
            for ring in range(at + 1, n_rings):
                if count[k, s, ring] == 0:
                    continue
                mean = total[k, s, ring] / count[k, s, ring]
                if mean < keep_fraction * level and level - mean >= min_fall:
                    reach[k, s] = ring
                    break
    return reach


@kernel
def _cut(
    cells: Labels,
    distance: NDArray[np.float32],
    sector: NDArray[np.uint8],
    reach: NDArray[np.float32],
    first: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> None:
    """Take from each cell what lies beyond its reach."""
    for y in range(cells.shape[0]):
        for run in range(first[y], first[y + 1]):
            for x in range(begin[run], end[run]):
                k, d = cells[y, x], distance[y + MARGIN, x + MARGIN]
                # A nucleus is at no distance from itself.
                if k > 0 and d > 0.0 and not d <= reach[k, sector[y, x]]:
                    cells[y, x] = 0
