"""Measuring every cell of a tile in one pass over its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from slidescore.cells.candidates import group_pixels
from slidescore.cells.compartments import Compartments
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
    part = np.where(c.nuclei > 0, NUCLEUS, np.where(c.membrane, MEMBRANE, CYTOPLASM)).astype(np.uint8)
    shape, area, clear, dab = _sum_pixels(c.nuclei, c.cells, part, c.guard, planes.hematoxylin_od, planes.dab_od, n)
    mean = _clear_means(area, clear, dab)
    x, y = _over(shape[:, 0], area[:, NUCLEUS]), _over(shape[:, 1], area[:, NUCLEUS])
    rim = np.where(c.membrane, c.cells, 0).ravel()
    order, starts = group_pixels(rim, n)
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
        dab_od_membrane=_percentile(planes.dab_od.ravel()[order], starts, membrane_percentile, min_pixels),
        dab_od_cell=_weighted(mean, area, (NUCLEUS, CYTOPLASM, MEMBRANE), min_pixels),
    )


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sum_pixels(
    nuclei: NDArray[np.int32],
    cells: NDArray[np.int32],
    part: NDArray[np.uint8],
    guard: NDArray[np.bool_],
    hematoxylin: NDArray[np.float32],
    dab: NDArray[np.float32],
    n: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    # shape: nucleus sums of x, y, xx, yy, xy, hematoxylin. The others: a column each part; `dab` first over all pixels
    # of a part, then over its clear ones (those outside the guard).
    shape = np.zeros((n, 6))
    area = np.zeros((n, 3))
    clear = np.zeros((n, 3))
    total = np.zeros((n, 6))
    for y in range(cells.shape[0]):
        for x in range(cells.shape[1]):
            k = cells[y, x] - 1
            if k < 0:
                continue
            p = part[y, x]
            value = dab[y, x]
            area[k, p] += 1.0
            total[k, p] += value
            if not guard[y, x]:
                clear[k, p] += 1.0
                total[k, 3 + p] += value
            if nuclei[y, x] == k + 1:
                shape[k, 0] += x
                shape[k, 1] += y
                shape[k, 2] += x * x
                shape[k, 3] += y * y
                shape[k, 4] += x * y
                shape[k, 5] += hematoxylin[y, x]
    return shape, area, clear, total


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


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _percentile(
    values: NDArray[np.float32], starts: NDArray[np.int64], percentile: float, min_pixels: int
) -> NDArray[np.float64]:
    n = starts.size - 2
    out = np.full(n, np.nan)
    for k in range(n):
        own = np.sort(values[starts[k + 1] : starts[k + 2]])
        if own.size >= max(min_pixels, 1):
            at = percentile / 100.0 * (own.size - 1)
            low = int(np.floor(at))
            high = min(low + 1, own.size - 1)
            out[k] = own[low] + (at - low) * (own[high] - own[low])
    return out


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
