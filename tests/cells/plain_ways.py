"""The plain, slow ways that the fast ones are held to, bit by bit: whole pictures, OpenCV and numpy."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from slidescore.cells import CompartmentSizes, Segmentation
from slidescore.cells.compartments import NUCLEAR_FACTOR
from slidescore.cells.decode import SMOOTH_UM, DecodeSettings
from slidescore.cells.flooding import N_STEPS, STEP_OD, TOP_OD
from slidescore.cells.outline import INT16, contour_points


def plain_compartments(nuclei, dab, usable, sizes: CompartmentSizes) -> dict[str, NDArray]:
    """Cells, membrane and guard by distance transforms of the whole picture."""
    cells, distance = plain_growth(nuclei, usable, sizes.expansion_px)
    cells = plain_ends(nuclei, cells, distance, dab, sizes)
    depth = distance_to(borders(cells) & (cells > 0))
    return {
        "cells": cells,
        "membrane": (cells > 0) & (nuclei == 0) & (depth + 0.5 <= sizes.membrane_px),
        "guard": distance_to(borders(nuclei) | borders(cells)) + 0.5 <= sizes.guard_px,
    }


def plain_growth(nuclei, usable, reach_px: float) -> tuple[NDArray, NDArray]:
    if not nuclei.any():
        return nuclei.copy(), np.full(nuclei.shape, np.inf, np.float32)
    distance, nearest = cv2.distanceTransformWithLabels(
        (nuclei == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(int(nearest.max()) + 1, np.int32)
    inside = nuclei > 0
    owner[nearest[inside]] = nuclei[inside]
    return np.where((distance <= reach_px) & usable | inside, owner[nearest], 0).astype(np.int32), distance


def plain_ends(nuclei, cells, distance, dab, sizes: CompartmentSizes) -> NDArray:
    """End each cell where its DAB falls off, cell by cell and sector by sector."""
    ended = cells.copy()
    n_rings = max(1, int(np.ceil(sizes.expansion_px)))
    for k in range(1, int(cells.max(initial=0)) + 1):
        y, x = np.nonzero(nuclei == k)
        rows, columns = np.nonzero(cells == k)
        dx, dy = columns * float(len(x)) - x.sum(), rows * float(len(x)) - y.sum()
        sector = 4 * (dx > 0) + 2 * (dy > 0) + (abs(dy) > abs(dx))
        d, values = distance[rows, columns], dab[rows, columns].astype(np.float64)
        ring = np.minimum(np.ceil(d).astype(int) - 1, n_rings - 1)
        far = d > sizes.guard_px
        total, count = np.zeros((8, n_rings)), np.zeros((8, n_rings))
        np.add.at(total, (sector[far], ring[far]), values[far])
        np.add.at(count, (sector[far], ring[far]), 1.0)
        level, at = -1e9, -1
        for r in range(n_rings):
            # One sector after the other, as the fast way adds them.
            whole, pixels = sum(total[:, r].tolist(), 0.0), count[:, r].sum()
            if pixels > 0 and whole / pixels > level:
                level, at = whole / pixels, r
        in_nucleus = sum(dab[y, x].astype(np.float64).tolist(), 0.0)
        if at < 0 or in_nucleus / max(len(x), 1) > NUCLEAR_FACTOR * level:
            reach = np.full(8, sizes.expansion_px, np.float32)
        else:
            reach = np.array([_reach(total[s], count[s], level, at, sizes) for s in range(8)], np.float32)
        beyond = ~(d <= reach[sector])
        ended[rows[beyond], columns[beyond]] = 0
    return ended


def _reach(total, count, level: float, at: int, sizes: CompartmentSizes) -> float:
    for r in range(at + 1, len(total)):
        mean = total[r] / count[r] if count[r] else level
        if count[r] and mean < sizes.keep_fraction * level and level - mean >= sizes.min_fall_od:
            return r
    return sizes.expansion_px


def borders(labels) -> NDArray:
    border = np.zeros(labels.shape, bool)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= right
    border[:, :-1] |= right
    return border


def distance_to(mask) -> NDArray:
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)


def plain_flood(height, seeds, mask) -> NDArray:
    """Flood by one list a step."""
    steps = np.clip(np.rint((TOP_OD - height) / STEP_OD), 0, N_STEPS - 1).astype(np.int32)
    labels = np.where(mask, seeds, 0).astype(np.int32)
    waiting: list[list[tuple[int, int]]] = [[] for _ in range(N_STEPS)]
    for y, x in np.argwhere(labels > 0).tolist():
        waiting[steps[y, x]].append((y, x))
    for step, line in enumerate(waiting):
        for y, x in line:  # grows while it is gone through
            for v, u in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
                if 0 <= v < labels.shape[0] and 0 <= u < labels.shape[1] and mask[v, u] and labels[v, u] == 0:
                    labels[v, u] = labels[y, x]
                    waiting[max(steps[v, u], step)].append((v, u))
    return labels


def plain_solidity(labels, n: int) -> NDArray:
    filled = np.zeros(n)
    for k, box in enumerate(find_objects(labels, max_label=n)):
        if box is not None:
            own = (labels[box] == k + 1).astype(np.uint8)
            hull = cv2.convexHull(cv2.findNonZero(own))
            filled[k] = np.count_nonzero(own) / np.count_nonzero(cv2.fillConvexPoly(np.zeros_like(own), hull, 1))
    return filled


def plain_peaks(center, mask, min_distance_px: float, min_center: float) -> NDArray:
    reach = max(1, round(min_distance_px))
    highest = cv2.dilate(center, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    tops = (center >= highest) & (center >= min_center) & mask
    return cv2.connectedComponents(tops.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)[1]


def plain_decode(center, foreground, distance, types, usable, mpp: float, settings: DecodeSettings) -> Segmentation:
    """Nuclei of maps by counts over the whole picture."""
    mask = (foreground >= settings.min_foreground) & usable
    center = cv2.GaussianBlur(center, (0, 0), SMOOTH_UM / mpp)
    seeds = plain_peaks(center, mask, settings.min_distance_um / mpp, settings.min_center)
    labels = plain_flood((center + distance).astype(np.float32), seeds, mask)
    n = int(seeds.max())
    area = np.bincount(labels.ravel(), minlength=n + 1)
    keep = (area * mpp**2 >= settings.min_area_um2) & (area * mpp**2 <= settings.max_area_um2)
    keep[0] = False
    sure = np.bincount(labels.ravel(), foreground.ravel(), minlength=n + 1) / np.maximum(area, 1)
    keep &= sure >= settings.min_mean_foreground
    keep[1:] &= plain_solidity(labels, n) >= settings.min_solidity
    peak = np.zeros(n + 1, np.float32)
    np.maximum.at(peak, seeds[seeds > 0], center[seeds > 0])
    nuclei = np.where(keep, np.cumsum(keep), 0).astype(np.int32)[labels]
    factor = nuclei.shape[0] // types.shape[1]
    rows, columns = np.nonzero(nuclei)
    values = types[:, rows // factor, columns // factor]
    own, count = nuclei[rows, columns] - 1, int(keep.sum())
    sums = np.stack([np.bincount(own, values[k], minlength=count) for k in range(4)], axis=1)
    total = np.maximum(sums.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return Segmentation(nuclei, peak[keep], (sums / total).astype(np.float32))


def plain_outlines(labels, keep, centers, scale: float) -> list[NDArray[np.int16]]:
    """Outlines by OpenCV, one label after the other."""
    outlines = []
    for k in np.flatnonzero(keep):
        y, x = np.nonzero(labels == k + 1)
        box = np.s_[y.min() : y.max() + 1, x.min() : x.max() + 1]
        points = contour_points((labels[box] == k + 1).astype(np.uint8)) + np.array([x.min(), y.min()])
        offsets = np.rint((points - centers[k]) * scale)
        outlines.append(np.clip(offsets, INT16.min, INT16.max).astype(np.int16))
    return outlines


def plain_membrane(values, percentile: float, min_pixels: int) -> float:
    """The percentile of sorted single-precision values, interpolated in double precision."""
    ordered = np.sort(values)
    if len(ordered) < max(min_pixels, 1):
        return np.nan
    at = percentile / 100.0 * (len(ordered) - 1)
    low = int(np.floor(at))
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (at - low) * np.float64(ordered[high] - ordered[low]))
