"""Measuring every cell of a tile in one pass over its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.cells.candidates import bounding_boxes
from slidescore.cells.compartments import Compartments
from slidescore.kernels import kernel
from slidescore.stain import StainPlanes

NUCLEUS, CYTOPLASM, MEMBRANE = 0, 1, 2
"""Parts that every cell pixel belongs to exactly one of; CYTOPLASM here is what lies between nucleus and membrane."""
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
    shape, area, clear, dab, membrane = _sum_pixels(
        c.nuclei, c.cells, c.membrane, c.guard, planes.hematoxylin_od, planes.dab_od,
        bounding_boxes(c.cells, n) if c.cell_boxes is None else c.cell_boxes,
        membrane_percentile, min_pixels,
    )  # fmt: skip
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
def _sum_pixels(
    nuclei: NDArray[np.int32],
    cells: NDArray[np.int32],
    membrane: NDArray[np.bool_],
    guard: NDArray[np.bool_],
    hematoxylin: NDArray[np.float32],
    dab: NDArray[np.float32],
    boxes: NDArray[np.int64],
    percentile: float,
    min_pixels: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    # shape: nucleus sums of x, y, xx, yy, xy, hematoxylin. The others: a column each part; `total` first over all
    # pixels of a part, then over its clear ones (those outside the guard). Cell by cell, each in reading order.
    n = boxes.shape[0] - 1
    shape = np.zeros((n, 6))
    area = np.zeros((n, 3))
    clear = np.zeros((n, 3))
    total = np.zeros((n, 6))
    rim = np.full(n, np.nan)
    most = 0
    for k in range(1, n + 1):
        most = max(most, (boxes[k, 2] - boxes[k, 0]) * (boxes[k, 3] - boxes[k, 1]))
    values = np.empty(most, np.float32)
    for k in range(n):
        n_rim, n_nucleus, in_nucleus = 0, 0, 0.0
        of_x, of_y, of_xx, of_yy, of_xy, of_hematoxylin = 0, 0, 0, 0, 0, 0.0
        for y in range(boxes[k + 1, 0], boxes[k + 1, 2]):
            for x in range(boxes[k + 1, 1], boxes[k + 1, 3]):
                if cells[y, x] != k + 1:
                    continue
                value, own, at_rim, mixed = dab[y, x], nuclei[y, x], membrane[y, x], guard[y, x]
                if at_rim:
                    values[n_rim] = value
                    n_rim += 1
                if own > 0:
                    n_nucleus += 1
                    in_nucleus += value
                    if not mixed:
                        clear[k, NUCLEUS] += 1.0
                        total[k, 3 + NUCLEUS] += value
                    if own == k + 1:
                        of_x += x
                        of_y += y
                        of_xx += x * x
                        of_yy += y * y
                        of_xy += x * y
                        of_hematoxylin += hematoxylin[y, x]
                else:
                    p = MEMBRANE if at_rim else CYTOPLASM
                    area[k, p] += 1.0
                    total[k, p] += value
                    if not mixed:
                        clear[k, p] += 1.0
                        total[k, 3 + p] += value
        area[k, NUCLEUS], total[k, NUCLEUS] = n_nucleus, in_nucleus
        shape[k, 0], shape[k, 1], shape[k, 2], shape[k, 3] = of_x, of_y, of_xx, of_yy
        shape[k, 4], shape[k, 5] = of_xy, of_hematoxylin
        if n_rim >= max(min_pixels, 1):
            at = percentile / 100.0 * (n_rim - 1)
            low = int(np.floor(at))
            lower = _select(values, n_rim, low)
            # Behind the selected one lie those that are no smaller.
            upper = lower if low + 1 >= n_rim else values[low + 1]
            for i in range(low + 2, n_rim):
                upper = min(upper, values[i])
            rim[k] = lower + (at - low) * (upper - lower)
    return shape, area, clear, total, rim


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
