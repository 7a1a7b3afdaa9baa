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

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

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
    """

    nuclei: Labels
    cells: Labels
    membrane: NDArray[np.bool_]
    guard: NDArray[np.bool_]


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
    cells, distance = grow_cells(nuclei, usable, reach_px=sizes.expansion_px)
    cells = end_cells(nuclei, cells, distance, dab_od, sizes)
    return Compartments(
        nuclei,
        cells,
        find_membranes(nuclei, cells, width_px=sizes.membrane_px),
        find_guard(nuclei, cells, sizes.guard_px),
    )


def grow_cells(nuclei: Labels, usable: NDArray[np.bool_], *, reach_px: float) -> tuple[Labels, NDArray[np.float32]]:
    """Grow every nucleus by `reach_px`, each pixel going to the nearest nucleus.

    Returns
    -------
    cells
        int32, (H, W).
    distance_px
        float32, (H, W), distance to the nearest nucleus, 0 inside nuclei.
    """
    if not nuclei.any():
        return nuclei.copy(), np.full(nuclei.shape, np.inf, dtype=np.float32)
    distance, nearest = cv2.distanceTransformWithLabels(
        (nuclei == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Every nucleus pixel has a number of its own there; the label under it tells which nucleus that is.
    owner = np.zeros(int(nearest.max()) + 1, dtype=np.int32)
    inside = nuclei > 0
    owner[nearest[inside]] = nuclei[inside]
    cells = np.where((distance <= reach_px) & usable | inside, owner[nearest], 0).astype(np.int32)
    return cells, distance


def end_cells(
    nuclei: Labels,
    cells: Labels,
    distance_px: NDArray[np.float32],
    dab_od: NDArray[np.float32],
    sizes: CompartmentSizes,
) -> Labels:
    """End each cell where its DAB falls off; int32, (H, W).

    Rings one pixel wide around the nucleus, whole and in eight sectors, are followed outwards from where optics no
    longer mix the nucleus in. The highest whole ring is the cell's level. In a sector the cell ends before the first
    ring beyond that one whose mean is below `keep_fraction` of the level, provided that it has fallen by
    `min_fall_od`. Where the nucleus is far darker than the level, what falls is the nucleus's own blur, and the cell
    keeps the full expansion.
    """
    n = int(cells.max(initial=0))
    n_rings = max(1, int(np.ceil(sizes.expansion_px)))
    sector = _sectors(nuclei, cells, n)
    total, count = _sum_rings(cells, distance_px, sector, dab_od, n, n_rings, sizes.guard_px)
    nucleus_od = _mean_in_nucleus(nuclei, dab_od, n)
    reach = _reach(total, count, nucleus_od, sizes.expansion_px, sizes.min_fall_od, sizes.keep_fraction)
    ended: Labels = np.where(distance_px <= reach[cells, sector], cells, 0).astype(np.int32)
    return ended


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sectors(nuclei: Labels, cells: Labels, n: int) -> NDArray[np.uint8]:
    """Give each cell pixel the number of the eighth of the circle around its nucleus that it lies in."""
    sums = np.zeros((n + 1, 3))
    for y in range(nuclei.shape[0]):
        for x in range(nuclei.shape[1]):
            k = nuclei[y, x]
            if k > 0:
                sums[k, 0] += 1.0
                sums[k, 1] += x
                sums[k, 2] += y
    sector = np.zeros(cells.shape, dtype=np.uint8)
    for y in range(cells.shape[0]):
        for x in range(cells.shape[1]):
            k = cells[y, x]
            if k > 0:
                # Whole numbers, so that a pixel on the line between two sectors falls alike in every tile.
                dx = x * sums[k, 0] - sums[k, 1]
                dy = y * sums[k, 0] - sums[k, 2]
                steep = abs(dy) > abs(dx)
                sector[y, x] = 4 * (dx > 0) + 2 * (dy > 0) + steep
    return sector


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sum_rings(
    cells: Labels,
    distance: NDArray[np.float32],
    sector: NDArray[np.uint8],
    dab: NDArray[np.float32],
    n: int,
    n_rings: int,
    guard: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    total = np.zeros((n + 1, N_SECTORS, n_rings))
    count = np.zeros((n + 1, N_SECTORS, n_rings))
    for y in range(cells.shape[0]):
        for x in range(cells.shape[1]):
            k, d = cells[y, x], distance[y, x]
            if k > 0 and d > guard:
                ring = min(int(np.ceil(d)) - 1, n_rings - 1)
                total[k, sector[y, x], ring] += dab[y, x]
                count[k, sector[y, x], ring] += 1.0
    return total, count


def _mean_in_nucleus(nuclei: Labels, dab: NDArray[np.float32], n: int) -> NDArray[np.float64]:
    inside = nuclei.ravel()
    total = np.bincount(inside, weights=dab.ravel(), minlength=n + 1)
    return np.asarray(total / np.maximum(np.bincount(inside, minlength=n + 1), 1))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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


def find_membranes(nuclei: Labels, cells: Labels, *, width_px: float) -> NDArray[np.bool_]:
    """Mark the rim of every cell, `width_px` wide, nuclei left out; bool, (H, W)."""
    depth = _distance_to(_borders(cells) & (cells > 0))
    # A border pixel's centre lies half a pixel inside its cell.
    rim: NDArray[np.bool_] = (cells > 0) & (nuclei == 0) & (depth + 0.5 <= width_px)
    return rim


def find_guard(nuclei: Labels, cells: Labels, width_px: float) -> NDArray[np.bool_]:
    """Mark the pixels within `width_px` of a border of a nucleus or a cell, on both sides; bool, (H, W)."""
    near: NDArray[np.bool_] = _distance_to(_borders(nuclei) | _borders(cells)) + 0.5 <= width_px
    return near


def _borders(labels: Labels) -> NDArray[np.bool_]:
    """Mark pixels that touch a pixel of another label on one of their four sides."""
    border = np.zeros(labels.shape, dtype=bool)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= right
    border[:, :-1] |= right
    return border


def _distance_to(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    distance: NDArray[np.float32] = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return distance
