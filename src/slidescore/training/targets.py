"""What the network should answer for a crop."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.training.scene import UNKNOWN_TYPE, Scene

CENTER_SIGMA_UM = 1.0
"""Width of a center's peak: half the distance at which crowded columnar nuclei lie side by side."""
TYPE_STRIDE = 4
"""Pixels of the shape maps a pixel of the type maps; as the network has it."""
IGNORED = 255
EDGE_UM = 0.6
"""Masks grown from points are wrong by about this much at their edges."""
ROUGH_EDGE_WEIGHT = 64


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets of one crop, stored small.

    Attributes
    ----------
    center, distance
        uint8, (H, W), 0..255 for 0..1.
    foreground
        uint8, (H, W), 0 or 1.
    weight
        uint8, (H, W), 0..255 for 0..1; how sure the foreground is. 0 where nothing is known.
    types
        uint8, (H / 4, W / 4), index into CELL_TYPES, or IGNORED.
    """

    center: NDArray[np.uint8]
    distance: NDArray[np.uint8]
    foreground: NDArray[np.uint8]
    weight: NDArray[np.uint8]
    types: NDArray[np.uint8]


def draw_targets(scene: Scene) -> Targets:
    """Draw the targets of a crop."""
    labels = scene.nuclei
    foreground = labels > 0
    weight = np.where(scene.known, np.uint8(255), np.uint8(0))
    if not scene.exact_masks:
        weight[scene.known & _near_edges(foreground, EDGE_UM / scene.mpp)] = ROUGH_EDGE_WEIGHT
    kinds = np.concatenate([[IGNORED], np.where(scene.types == UNKNOWN_TYPE, IGNORED, scene.types)]).astype(np.uint8)
    half = TYPE_STRIDE // 2
    return Targets(
        center=_centers(scene),
        distance=np.rint(255 * relative_distance(labels)).astype(np.uint8),
        foreground=foreground.astype(np.uint8),
        weight=weight,
        types=kinds[labels[half::TYPE_STRIDE, half::TYPE_STRIDE]],
    )


def relative_distance(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Distance to the edge of the own nucleus as a share of the nucleus's greatest, float32, (H, W)."""
    inner = labels > 0
    for first, second in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        same = labels[first] == labels[second]
        inner[first] &= same
        inner[second] &= same
    distance = cv2.distanceTransform(inner.astype(np.uint8), cv2.DIST_L2, 5) + (labels > 0)
    largest = np.ones(int(labels.max()) + 1, np.float32)
    np.maximum.at(largest, labels.ravel(), distance.ravel())
    relative: NDArray[np.float32] = np.where(labels > 0, distance / largest[labels], 0).astype(np.float32)
    return relative


def _centers(scene: Scene) -> NDArray[np.uint8]:
    height, width = scene.nuclei.shape
    away = np.full((height, width), 255, np.uint8)
    at = np.rint(scene.centers_px).astype(int)
    inside = (at >= 0).all(axis=1) & (at < (width, height)).all(axis=1)
    columns, rows = at[inside].T
    away[rows, columns] = 0
    if not inside.any():
        return np.zeros(away.shape, np.uint8)
    distance_um = cv2.distanceTransform(away, cv2.DIST_L2, 5) * scene.mpp
    peaks: NDArray[np.uint8] = np.rint(255 * np.exp(-0.5 * (distance_um / CENTER_SIGMA_UM) ** 2)).astype(np.uint8)
    return peaks


def _near_edges(foreground: NDArray[np.bool_], margin_px: float) -> NDArray[np.bool_]:
    size = 2 * max(1, round(margin_px)) + 1
    image, kernel = foreground.astype(np.uint8), np.ones((size, size), np.uint8)
    near: NDArray[np.bool_] = cv2.dilate(image, kernel) != cv2.erode(image, kernel)
    return near
