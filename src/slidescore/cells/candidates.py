"""Candidate nuclei: from a basin to an outline, and from many candidates to the ones that stand."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.assay.left_of_wall import Channel, Classical
from slidescore.cells.appearance import ChannelPlanes, look_at
from slidescore.cells.boxes import bounding_boxes
from slidescore.kernels import kernel

Plane = NDArray[np.float32]
Labels = NDArray[np.int32]

N_LEVELS = 24
"""Levels between a basin's floor and its top at which the steepest contour is looked for."""
RING_UM = 2.0
"""Width of the surroundings that a candidate is compared with."""
FLOOR_QUANTILE = 0.05
TOP_QUANTILE = 0.95
MIN_LEVEL_PIXELS = 3
"""A level with fewer pixels says nothing about the edge."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Nuclei that one channel shows, with how strongly it shows them.

    Attributes
    ----------
    labels
        int32, (H, W), 1..n.
    strength
        float32, (n,), hematoxylin contrast in OD times solidity.
    """

    labels: Labels
    strength: NDArray[np.float32]


def cut_at_steepest(smooth: Plane, gradient: Plane, basins: Labels, seeds: Labels, *, edge_fraction: float) -> Labels:
    """Shrink every basin to the level set with the steepest edge.

    Parameters
    ----------
    smooth, gradient
        float32, (H, W), the channel and its gradient magnitude.
    basins, seeds
        int32, (H, W), the same labels.
    edge_fraction
        Where no level is clearly steepest, the edge lies at this fraction between floor and top.

    Returns
    -------
    int32, (H, W), basins cut to nuclei, holes filled, only the part that holds the seed.
    """
    n = int(basins.max())
    if n == 0:
        return basins
    order, starts = group_pixels(basins.ravel(), n)
    level = _steepest_levels(smooth.ravel(), gradient.ravel(), order, starts, edge_fraction)
    inside = (basins > 0) & (smooth >= level[basins])
    return _part_with_seed(np.where(inside, basins, 0).astype(np.int32), seeds, n)


def group_pixels(labels: NDArray[np.int32], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the pixels of each label: pixel indices ordered by label, and where each label starts (n + 2 entries)."""
    starts, order = _group(labels, n)
    return order, starts


@kernel
def _group(labels: NDArray[np.int32], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    starts = np.zeros(n + 2, dtype=np.int64)
    for label in labels:
        if label > 0:
            starts[label + 1] += 1
    for k in range(1, n + 2):
        starts[k] += starts[k - 1]
    order = np.empty(starts[n + 1], dtype=np.int64)
    fill = starts.copy()
    for i in range(labels.size):
        label = labels[i]
        if label > 0:
            order[fill[label]] = i
            fill[label] += 1
    return starts, order


@kernel
def _steepest_levels(
    smooth: NDArray[np.float32],
    gradient: NDArray[np.float32],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    edge_fraction: float,
) -> NDArray[np.float32]:
    n = starts.size - 2
    level = np.zeros(n + 1, dtype=np.float32)
    for k in range(1, n + 1):
        pixels = order[starts[k] : starts[k + 1]]
        if pixels.size == 0:
            continue
        values = np.sort(smooth[pixels])
        floor = values[int(FLOOR_QUANTILE * (values.size - 1))]
        top = values[int(TOP_QUANTILE * (values.size - 1))]
        if top <= floor:
            level[k] = top
            continue
        total = np.zeros(N_LEVELS)
        count = np.zeros(N_LEVELS)
        for i in pixels:
            b = int((smooth[i] - floor) / (top - floor) * N_LEVELS)
            if 0 <= b < N_LEVELS:
                total[b] += gradient[i]
                count[b] += 1.0
        best, best_value = edge_fraction, -1.0
        for b in range(1, N_LEVELS - 1):
            at = (b + 0.5) / N_LEVELS
            # Mean gradient over three neighbouring levels, pulled gently towards the expected edge.
            c = count[b - 1] + count[b] + count[b + 1]
            if c < MIN_LEVEL_PIXELS:
                continue
            mean = (total[b - 1] + total[b] + total[b + 1]) / c
            value = mean * (1.0 - (at - edge_fraction) ** 2)
            if value > best_value:
                best, best_value = at, value
        level[k] = floor + best * (top - floor)
    return level


def _part_with_seed(labels: Labels, seeds: Labels, n: int) -> Labels:
    """Keep, of each label, the connected part that holds its seed, with its holes filled."""
    out = np.zeros_like(labels)
    boxes = bounding_boxes(labels, n)
    for k in range(1, n + 1):
        y0, x0, y1, x1 = boxes[k]
        if y1 <= y0:
            continue
        window = np.s_[y0:y1, x0:x1]
        mask = (labels[window] == k).astype(np.uint8)
        held = np.flatnonzero((seeds[window] == k) & (mask > 0))
        if held.size == 0:
            continue
        _, parts = cv2.connectedComponents(mask, connectivity=4)
        part = (parts == parts.ravel()[held[0]]).astype(np.uint8)
        contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        filled = cv2.drawContours(np.zeros_like(part), contours, -1, 1, thickness=cv2.FILLED)
        # A filled hole may hold another nucleus; it keeps its pixels.
        out[window][(filled > 0) & ((labels[window] == k) | (labels[window] == 0))] = k
    return out


def judge_candidates(labels: Labels, planes: ChannelPlanes, mpp: float, p: Classical, shape: Channel) -> Candidates:
    """Drop what is no nucleus by area, outline or contrast, and say how strong the rest is."""
    n = int(labels.max(initial=0))
    boxes = bounding_boxes(labels, n)
    seen = look_at(labels, planes, boxes, max(2, round(RING_UM / mpp)))
    clarity = seen.contrast_od / (seen.noise_od + p.noise_od)
    likely = (
        (seen.area_px * mpp**2 >= p.min_area_um2)
        & (seen.area_px * mpp**2 <= p.max_area_um2)
        & (seen.long_over_short <= shape.max_elongation)
        & (seen.hematoxylin_od >= p.min_hematoxylin_od)
        & (seen.hematoxylin_contrast_od >= p.min_hematoxylin_contrast_od)
        & (seen.dab_contrast_od <= shape.max_dab_contrast_od)
        & (seen.contrast_od >= p.min_contrast_od)
        & (clarity >= p.min_strength)
        & (seen.open_share >= shape.min_open)
    )
    number = np.zeros(n + 1, dtype=np.int32)
    strengths: list[float] = []
    for k in (np.flatnonzero(likely) + 1).tolist():
        y0, x0, y1, x1 = boxes[k]
        solidity = solidity_of((labels[y0:y1, x0:x1] == k).astype(np.uint8))
        if solidity >= shape.min_solidity and clarity[k - 1] * solidity >= p.min_strength:
            # Where two channels see one nucleus, the outline with more hematoxylin in it is the better one.
            strengths.append(float(seen.hematoxylin_contrast_od[k - 1]) * solidity)
            number[k] = len(strengths)
    return Candidates(number[labels], np.asarray(strengths, dtype=np.float32))


def solidity_of(mask: NDArray[np.uint8]) -> float:
    """Return the area of a mask over that of its convex hull, both in whole pixels."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(contours))
    filled = cv2.fillConvexPoly(np.zeros_like(mask), hull, 1)
    return float(mask.sum()) / float(max(filled.sum(), 1))


def keep_strongest(found: list[Candidates], *, max_overlap: float, min_area_px: float) -> Labels:
    """Join the candidates of several channels: a candidate stands unless a stronger one covers too much of it.

    Parameters
    ----------
    found
        One set of candidates a channel, on the same pixels.
    max_overlap
        A candidate falls when stronger ones cover more than this share of it, or when it covers more than this share
        of a stronger one; what is left of a lesser overlap goes to the stronger.
    min_area_px
        A candidate falls when less than this is left of it.
    """
    first = found[0]
    out = np.zeros_like(first.labels)
    entries = sorted(
        ((float(s), c, k + 1) for c, candidates in enumerate(found) for k, s in enumerate(candidates.strength)),
        key=lambda entry: (-entry[0], entry[1], entry[2]),
    )
    boxes = [bounding_boxes(candidates.labels, len(candidates.strength)) for candidates in found]
    areas = [0]
    for _, c, k in entries:
        y0, x0, y1, x1 = boxes[c][k]
        window = np.s_[y0:y1, x0:x1]
        mask = found[c].labels[window] == k
        area = int(mask.sum())
        under = out[window][mask]
        taken = under[under > 0]
        if taken.size > max_overlap * area:
            continue
        if taken.size and any(
            int((taken == other).sum()) > max_overlap * areas[other] for other in np.unique(taken).tolist()
        ):
            continue
        if area - taken.size < min_area_px:
            continue
        areas.append(area - taken.size)
        out[window][mask & (out[window] == 0)] = len(areas) - 1
    return out
