"""Masks grown from points: a watershed on hematoxylin from labelled centres, limited by what the type can be."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_local, threshold_otsu
from skimage.segmentation import watershed

from slidescore.cells.types import CELL_TYPES

MAX_RADIUS_UM = {"tumor": 8.0, "lymphocyte": 4.5, "stromal": 9.0, "other": 8.0}
"""No nucleus of a type reaches further from its point; large for a nucleus of breast tissue (chosen by eye)."""
MIN_RADIUS_UM = {"tumor": 2.6, "lymphocyte": 2.0, "stromal": 1.6, "other": 2.0}
"""A labelled nucleus has at least this disk, however pale."""
SMOOTH_UM, LOCAL_UM = 0.5, 25.0
UNLABELLED_MIN_AREA_UM2 = 12.0
"""A dark blob of this size without a point may be a nucleus that nobody labelled."""
UNLABELLED_MARGIN_UM = 1.0
OPEN_UM, ROUND_UM = 0.75, 1.0
NUCLEUS_LIKE = 0.75
"""A blob as dark as this share of the field's labelled nuclei may be one; fibres and cytoplasm are paler."""


def grow_masks(
    hematoxylin_od: NDArray[np.float32], centers_px: NDArray[np.float32], types: NDArray[np.int8], mpp: float
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Grow a mask around every labelled point.

    Parameters
    ----------
    hematoxylin_od
        float32, (H, W).
    centers_px
        float32, (n, 2), x and y.
    types
        int8, (n,), index into CELL_TYPES.
    mpp
        um/px.

    Returns
    -------
    Labels int32 (H, W), nucleus k has label k + 1; and where the labels can be trusted, bool (H, W): not on dark
    blobs that no point explains.
    """
    smooth = cv2.GaussianBlur(hematoxylin_od, (0, 0), SMOOTH_UM / mpp)
    block = int(LOCAL_UM / mpp) | 1
    # Dark for its surroundings and for the field: pale nuclei in pale tissue, dark ones in dark tissue.
    dark = (smooth > threshold_local(smooth, block, method="gaussian")) & (smooth > 0.6 * threshold_otsu(smooth))
    seeds = np.zeros(dark.shape, np.int32)
    allowed = np.zeros(dark.shape, bool)
    core = np.zeros(dark.shape, np.int32)
    rows, columns = np.mgrid[: dark.shape[0], : dark.shape[1]]
    for k, ((x, y), kind) in enumerate(zip(centers_px, types, strict=True)):
        reach, least = MAX_RADIUS_UM[CELL_TYPES[kind]] / mpp, MIN_RADIUS_UM[CELL_TYPES[kind]] / mpp
        window = np.s_[max(0, int(y - reach)) : int(y + reach) + 2, max(0, int(x - reach)) : int(x + reach) + 2]
        distance = np.hypot(columns[window] - x, rows[window] - y)
        allowed[window] |= distance <= reach
        core[window][(distance <= least) & (core[window] == 0)] = k + 1
        row, column = np.minimum(np.rint([y, x]).astype(int), np.array(dark.shape) - 1)
        seeds[row, column] = k + 1
        seeds[window][(distance <= least / 2) & (seeds[window] == 0)] = k + 1
    mask = (dark & allowed) | (core > 0)
    labels = watershed(-smooth + 0.02 * _distance_from(seeds), seeds, mask=mask).astype(np.int32)
    labels = _round_off(labels, centers_px, types, mpp)
    if not labels.any():
        return labels, np.ones(labels.shape, bool)
    return labels, _trusted(smooth > NUCLEUS_LIKE * np.median(smooth[labels > 0]), labels, mpp)


def _distance_from(seeds: NDArray[np.int32]) -> NDArray[np.float32]:
    """Distance to the nearest point in pixels; a little of it keeps masks compact where hematoxylin is flat."""
    distance: NDArray[np.float32] = cv2.distanceTransform((seeds == 0).astype(np.uint8), cv2.DIST_L2, 3)
    return distance


def _round_off(
    labels: NDArray[np.int32], centers_px: NDArray[np.float32], types: NDArray[np.int8], mpp: float
) -> NDArray[np.int32]:
    """Cut what lies beyond the type's reach or hangs on by a thread; fill holes."""
    size = 2 * max(1, round(OPEN_UM / mpp)) - 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size + 2, size + 2))
    out = np.zeros_like(labels)
    for k, ((x, y), kind) in enumerate(zip(centers_px, types, strict=True)):
        reach = MAX_RADIUS_UM[CELL_TYPES[kind]] / mpp
        top, left = max(0, int(y - reach) - 2), max(0, int(x - reach) - 2)
        window = np.s_[top : min(labels.shape[0], int(y + reach) + 3), left : min(labels.shape[1], int(x + reach) + 3)]
        rows, columns = np.mgrid[window]
        own = (labels[window] == k + 1) & (np.hypot(columns - x, rows - y) <= reach)
        opened = cv2.morphologyEx(own.astype(np.uint8), cv2.MORPH_OPEN, kernel)
        if opened.any():
            _, parts = cv2.connectedComponents(opened, connectivity=4)
            sizes = np.bincount(parts.ravel())
            sizes[0] = 0
            own = parts == int(sizes.argmax())
        contours, _ = cv2.findContours(own.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        solid = cv2.drawContours(np.zeros(own.shape, np.float32), contours, -1, 1.0, cv2.FILLED)
        # Chromatin makes ragged edges; a nucleus has none.
        filled = cv2.GaussianBlur(solid, (0, 0), ROUND_UM / mpp) > 1 / 2
        out[window][filled & (out[window] == 0)] = k + 1
    return out


def _trusted(nucleus_like: NDArray[np.bool_], labels: NDArray[np.int32], mpp: float) -> NDArray[np.bool_]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    unexplained = cv2.morphologyEx((nucleus_like & (labels == 0)).astype(np.uint8), cv2.MORPH_OPEN, kernel)
    n, parts, stats, _ = cv2.connectedComponentsWithStats(unexplained, connectivity=4)
    large = np.zeros(n, bool)
    large[1:] = stats[1:, cv2.CC_STAT_AREA] * mpp**2 >= UNLABELLED_MIN_AREA_UM2
    margin = 2 * round(UNLABELLED_MARGIN_UM / mpp) + 1
    zones = cv2.dilate(large[parts].astype(np.uint8), np.ones((margin, margin), np.uint8))
    trusted: NDArray[np.bool_] = (zones == 0) | (labels > 0)
    return trusted
