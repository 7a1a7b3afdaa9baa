"""Measuring every cell of a tile in one pass over its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.cells.boxes import bounding_boxes
from slidescore.cells.compartments import Compartments
from slidescore.kernels import kernel
from slidescore.stain import StainPlanes

NUCLEUS, CYTOPLASM, MEMBRANE = 0, 1, 2
"""Parts that every cell pixel belongs to exactly one of; CYTOPLASM here is what lies between nucleus and membrane."""
GUARD_BIT, NUCLEUS_BIT, OWN_BIT, N_KINDS = np.uint8(1), np.uint8(2), np.uint8(3), 16
"""Bits of what a pixel is, above the lowest, which is for membranes; the last one is for the cell itself."""


def _list_sums() -> NDArray[np.float64]:
    """List which sums each kind of pixel adds to, 1 or 0: those of all pixels of the parts, and of their clear ones."""
    adds = np.zeros((N_KINDS, 6))
    for kind in range(1 << OWN_BIT, N_KINDS):
        part = NUCLEUS if kind >> NUCLEUS_BIT & 1 else MEMBRANE if kind & 1 else CYTOPLASM
        adds[kind, part], adds[kind, 3 + part] = 1.0, 1.0 - (kind >> GUARD_BIT & 1)
    return adds


ADDS = _list_sums()
IS_RIM = (ADDS[:, MEMBRANE] > 0).astype(np.int64)
N_BINS = 64
NARROWEST_OD = np.float32(1e-6)
"""Values are put into 64 bins to find the percentile among few of them, unless they lie this close together."""
MIN_CLEAR_PIXELS = 4
"""Below this a part is too thin for the guard and all its pixels are measured."""
PIXEL_MOMENT = 1.0 / 12.0
"""Second moment of a unit square about its middle: a pixel is an area, not a point."""


@dataclass(frozen=True, slots=True)
class CellMeasurements:
    """Measurements of the n cells of a tile; float64, (n,), row k is label k + 1, NaN where nothing can be measured.

    Centroids are those of the nucleus in tile pixels (0 is the middle of the first pixel); areas are in pixels.
    """

    x_px: NDArray[np.float64]
    y_px: NDArray[np.float64]
    nucleus_area_px: NDArray[np.float64]
    cell_area_px: NDArray[np.float64]
    nucleus_eccentricity: NDArray[np.float64]
    hematoxylin_od_nucleus: NDArray[np.float64]
    dab_od_nucleus: NDArray[np.float64]
    dab_od_cytoplasm: NDArray[np.float64]
    dab_od_membrane: NDArray[np.float64]
    dab_od_cell: NDArray[np.float64]


def measure_cells(
    compartments: Compartments, planes: StainPlanes, *, membrane_percentile: float, min_pixels: int
) -> CellMeasurements:
    """Measure all cells.

    Parameters
    ----------
    compartments
        Label images with labels 1..n.
    planes
        Optical densities, float32, (H, W).
    membrane_percentile
        Percentile of DAB optical density over the membrane (linear interpolation, as numpy's default).
    min_pixels
        A compartment with fewer pixels is NaN.

    Notes
    -----
    Nucleus, cytoplasm and cell take the mean DAB optical density. Pixels in the guard, where optics mix nucleus and
    cytoplasm, count with their area but take the mean of the clear pixels of their part; without the guard a 3+
    cytoplasm would lose, and its nucleus gain, about 0.1 OD (docs/accuracy.md). Eccentricity is that of the ellipse
    with the nucleus's second moments.
    """
    n = int(compartments.cells.max(initial=0))
    c = compartments
    shape = _sum_nuclei(
        c.nuclei, planes.hematoxylin_od, bounding_boxes(c.nuclei, n) if c.nucleus_boxes is None else c.nucleus_boxes
    )
    kinds, dab, membrane = _sum_parts(
        c.nuclei, c.cells, c.membrane, c.guard, planes.dab_od,
        bounding_boxes(c.cells, n) if c.cell_boxes is None else c.cell_boxes,
        membrane_percentile, min_pixels,
    )  # fmt: skip
    counts = kinds @ ADDS
    area, clear = counts[:, :3], counts[:, 3:]
    mean = _clear_means(area, clear, dab)
    x, y = _over(shape[:, 0], area[:, NUCLEUS]), _over(shape[:, 1], area[:, NUCLEUS])
    cell_area = area.sum(axis=1)
    return CellMeasurements(
        x_px=x,
        y_px=y,
        nucleus_area_px=area[:, NUCLEUS],
        cell_area_px=cell_area,
        nucleus_eccentricity=_eccentricity(shape, area[:, NUCLEUS], x, y),
        hematoxylin_od_nucleus=_over(shape[:, 5], area[:, NUCLEUS], min_pixels),
        dab_od_nucleus=_weighted(mean, area, (NUCLEUS,), min_pixels),
        dab_od_cytoplasm=_weighted(mean, area, (CYTOPLASM, MEMBRANE), min_pixels),
        dab_od_membrane=membrane,
        dab_od_cell=_weighted(mean, area, (NUCLEUS, CYTOPLASM, MEMBRANE), min_pixels),
    )


@kernel
def _sum_nuclei(
    nuclei: NDArray[np.int32], hematoxylin: NDArray[np.float32], boxes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Add up x, y, xx, yy, xy and hematoxylin of each nucleus, in reading order; float64, (n, 6)."""
    sums = np.zeros((boxes.shape[0] - 1, 6))
    for k in range(1, boxes.shape[0]):
        x0, x1 = boxes[k, 1], boxes[k, 3]
        of_x, of_y, of_xx, of_yy, of_xy, of_hematoxylin = 0, 0, 0, 0, 0, 0.0
        for y in range(boxes[k, 0], boxes[k, 2]):
            # Rows counted from 0, so that numba need not ask at each pixel whether it is counted from the end.
            labels, values = nuclei[y, x0:x1], hematoxylin[y, x0:x1]
            pixels, along, squares = 0, 0, 0
            for i in range(x1 - x0):
                if labels[i] == k:
                    pixels += 1
                    along += i
                    squares += i * i
                    of_hematoxylin += values[i]
            in_x = along + x0 * pixels
            of_x += in_x
            of_y += y * pixels
            of_xx += squares + x0 * (along + in_x)
            of_yy += y * y * pixels
            of_xy += y * in_x
        sums[k - 1, 0], sums[k - 1, 1], sums[k - 1, 2], sums[k - 1, 3] = of_x, of_y, of_xx, of_yy
        sums[k - 1, 4], sums[k - 1, 5] = of_xy, of_hematoxylin
    return sums


@kernel
def _sum_parts(
    nuclei: NDArray[np.int32],
    cells: NDArray[np.int32],
    membrane: NDArray[np.bool_],
    guard: NDArray[np.bool_],
    dab: NDArray[np.float32],
    boxes: NDArray[np.int64],
    percentile: float,
    min_pixels: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Count pixels by what they are, add up DAB of the parts and of their clear pixels, and find that of membranes.

    Returns
    -------
    count, total, rim
        int64, (n, N_KINDS); float64, (n, 6), in reading order, and (n,).
    """
    n = boxes.shape[0] - 1
    count, total, rim = np.zeros((n, N_KINDS), np.int64), np.zeros((n, 6)), np.full(n, np.nan)
    most = 0
    for k in range(1, n + 1):
        most = max(most, (boxes[k, 2] - boxes[k, 0]) * (boxes[k, 3] - boxes[k, 1]))
    # One more: what lies behind the last one is written, and then not counted.
    values, held, bins = np.empty(most + 1, np.float32), np.empty(most + 1, np.float32), np.empty(most + 1, np.int32)
    for k in range(n):
        nucleus, cytoplasm, at_rim, clear_nucleus, clear_cytoplasm, clear_rim = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        n_rim, kinds = 0, count[k]
        for y in range(boxes[k + 1, 0], boxes[k + 1, 2]):
            x0, x1 = boxes[k + 1, 1], boxes[k + 1, 3]
            while x0 < x1 and cells[y, x0] != k + 1:
                x0 += 1
            while x1 > x0 and cells[y, x1 - 1] != k + 1:
                x1 -= 1
            of_cells, of_nuclei, of_dab = cells[y, x0:x1], nuclei[y, x0:x1], dab[y, x0:x1]
            of_membrane, of_guard = membrane[y, x0:x1], guard[y, x0:x1]
            for i in range(x1 - x0):
                bits = np.uint8(of_membrane[i]) | np.uint8(of_guard[i]) << GUARD_BIT
                bits |= np.uint8(of_nuclei[i] > 0) << NUCLEUS_BIT | np.uint8(of_cells[i] == k + 1) << OWN_BIT
                kind, value = np.uint8(bits), of_dab[i]
                kinds[kind] += 1
                # Times 1 or 0, for a branch could not be foreseen: a zero changes no sum.
                nucleus += value * ADDS[kind, 0]
                cytoplasm += value * ADDS[kind, 1]
                at_rim += value * ADDS[kind, 2]
                clear_nucleus += value * ADDS[kind, 3]
                clear_cytoplasm += value * ADDS[kind, 4]
                clear_rim += value * ADDS[kind, 5]
                values[n_rim] = value
                n_rim += IS_RIM[kind]
        total[k, NUCLEUS], total[k, CYTOPLASM], total[k, MEMBRANE] = nucleus, cytoplasm, at_rim
        total[k, 3 + NUCLEUS], total[k, 3 + CYTOPLASM] = clear_nucleus, clear_cytoplasm
        total[k, 3 + MEMBRANE] = clear_rim
        if n_rim >= max(min_pixels, 1):
            rim[k] = _percentile(values[:n_rim], percentile, held, bins)
    return count, total, rim


@kernel
def _percentile(
    values: NDArray[np.float32], percentile: float, held: NDArray[np.float32], bins: NDArray[np.int32]
) -> float:
    """Return a percentile, linear between two values; `held` and `bins` are room for as many."""
    n = values.size
    at = percentile / 100.0 * (n - 1)
    wanted = int(np.floor(at))
    least, most = values[0], values[0]
    for i in range(n):
        least, most = min(least, values[i]), max(most, values[i])
    # Bins as wide as one another: a greater value is never in a lower one, whatever rounding does.
    per_bin = np.float32(N_BINS - 1) / (most - least) if most - least > NARROWEST_OD else np.float32(0.0)
    count = np.zeros(N_BINS, np.int32)
    for i in range(n):
        bins[i] = np.int32((values[i] - least) * per_bin)
    for i in range(n):
        count[bins[i]] += 1
    own, below = 0, 0
    while below + count[own] <= wanted:
        below += count[own]
        own += 1
    m, beyond = 0, most
    for i in range(n):
        held[m] = values[i]
        m += bins[i] == own
    for i in range(n):
        beyond = min(beyond, values[i] if bins[i] > own else most)
    lower = _select(held, m, wanted - below)
    # Behind the selected one lie those that are no smaller.
    upper = lower if wanted + 1 >= n else beyond
    for i in range(wanted - below + 1, m):
        upper = min(upper, held[i])
    return float(lower + (at - wanted) * (upper - lower))


@kernel
def _select(values: NDArray[np.float32], n: int, wanted: int) -> np.float32:
    """Order the first n values just so far that the wanted one stands in its place (Hoare 1961), and return it."""
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    selected: np.float32 = values[wanted]
    return selected


def _clear_means(
    area: NDArray[np.float64], clear: NDArray[np.float64], dab: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean DAB of each part over its clear pixels, or over all of them where hardly any is clear; (n, 3).

    A membrane is the exception: its clear pixels are those towards the nucleus, so a stained one is brightest in the
    guard. Optics can only dilute a rim, so the higher of its two means stands.
    """
    everything = _over(dab[:, :3], area)
    means = np.where(clear >= MIN_CLEAR_PIXELS, _over(dab[:, 3:], clear), everything)
    means[:, MEMBRANE] = np.fmax(means[:, MEMBRANE], everything[:, MEMBRANE])
    return means


def _weighted(
    mean: NDArray[np.float64], area: NDArray[np.float64], parts: tuple[int, ...], min_pixels: int
) -> NDArray[np.float64]:
    """Join the means of parts by their areas, so that leaving out mixed pixels shifts no weight between parts."""
    columns = list(parts)
    total = np.where(area[:, columns] > 0, mean[:, columns], 0.0) * area[:, columns]
    return _over(total.sum(axis=1), area[:, columns].sum(axis=1), min_pixels)


def _over(total: NDArray[np.float64], count: NDArray[np.float64], min_count: int = 1) -> NDArray[np.float64]:
    enough = count >= max(min_count, 1)
    return np.where(enough, total / np.where(enough, count, 1.0), np.nan)


def _eccentricity(
    shape: NDArray[np.float64], area: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    xx = _over(shape[:, 2], area) - x * x + PIXEL_MOMENT
    yy = _over(shape[:, 3], area) - y * y + PIXEL_MOMENT
    xy = _over(shape[:, 4], area) - x * y
    spread = np.hypot(xx - yy, 2.0 * xy)
    ratio: NDArray[np.float64] = (xx + yy - spread) / (xx + yy + spread)
    return np.sqrt(np.clip(1.0 - ratio, 0.0, 1.0))
