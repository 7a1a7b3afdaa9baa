"""From a network's maps to nuclei: peaks of the center map are seeds, which flood the foreground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from slidescore.cells.flooding import flood
from slidescore.cells.segmenter import Segmentation
from slidescore.cells.types import CELL_TYPES

SMOOTH_UM = 0.35
"""Width of the smoothing before peaks are looked for; a third of a peak's own width."""

DECODE_LIMITS = {
    "min_center": (0.0, 1.0),
    "min_foreground": (0.0, 1.0),
    "min_distance_um": (0.1, 10.0),
    "min_area_um2": (0.0, 200.0),
    "max_area_um2": (100.0, 5000.0),
    "min_mean_foreground": (0.0, 1.0),
    "min_solidity": (0.0, 1.0),
}
"""What each of the decode settings may be; a card with another value is damaged."""


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """What counts as a nucleus in the maps; chosen on held-back data and kept in the model's card.

    Attributes
    ----------
    min_center
        A nucleus has a peak of the center map at least this high.
    min_foreground
        Pixels of nuclei have at least this foreground probability.
    min_distance_um
        Peaks closer than this are one nucleus.
    min_area_um2, max_area_um2
        Smaller and larger regions are no nuclei: dust, pigment, flat black areas.
    min_mean_foreground
        Regions of which the network is less sure on the whole are none.
    min_solidity
        Regions that fill less of their convex hull are none: scraps of cytoplasm black with DAB.
    """

    min_center: float = 0.35
    min_foreground: float = 0.5
    min_distance_um: float = 2.0
    min_area_um2: float = 8.0
    max_area_um2: float = 500.0
    min_mean_foreground: float = 0.6
    min_solidity: float = 0.75

    def __post_init__(self) -> None:
        for name, (low, high) in DECODE_LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} {getattr(self, name):g} is not within {low:g} to {high:g}")


def decode_maps(
    center: NDArray[np.float32],
    foreground: NDArray[np.float32],
    distance: NDArray[np.float32],
    type_probability: NDArray[np.float32],
    usable: NDArray[np.bool_],
    mpp: float,
    settings: DecodeSettings,
) -> Segmentation:
    """Turn maps into labels.

    Parameters
    ----------
    center, foreground
        Probabilities, float32, (H, W).
    distance
        Distance to the nucleus's border as a share of its greatest, float32, (H, W).
    type_probability
        float32, (4, h, w) in the order of CELL_TYPES; coarser than the others by a whole number.
    usable
        bool, (H, W); False where there is no pixel.
    mpp
        um/px of (H, W).
    settings
        See `DecodeSettings`.

    Returns
    -------
    Labels in reading order of their seeds; the height of the peak is the detection probability, the mean of the
    type maps over the nucleus the type probability.
    """
    mask = (foreground >= settings.min_foreground) & usable
    # Rounding to half precision makes flat tops of two pixels that do not touch; smoothed, they are one peak.
    center = cv2.GaussianBlur(center, (0, 0), SMOOTH_UM / mpp)
    seeds = _peaks(center, mask, settings.min_distance_um / mpp, settings.min_center)
    # The distance map separates what touches; the center map decides where both are flat.
    labels = flood((center + distance).astype(np.float32), seeds, mask)
    n = int(seeds.max())
    area = np.bincount(labels.ravel(), minlength=n + 1)
    keep = (area * mpp**2 >= settings.min_area_um2) & (area * mpp**2 <= settings.max_area_um2)
    keep[0] = False
    sure = np.bincount(labels.ravel(), foreground.ravel(), minlength=n + 1) / np.maximum(area, 1)
    keep &= sure >= settings.min_mean_foreground
    keep[1:] &= solidity(labels, n, keep[1:]) >= settings.min_solidity
    table = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    peak = np.zeros(n + 1, np.float32)
    rows, columns = np.nonzero(seeds)
    np.maximum.at(peak, seeds[rows, columns], center[rows, columns])
    nuclei = table[labels]
    return Segmentation(nuclei, peak[keep], _mean_types(nuclei, type_probability, int(keep.sum())))


def _peaks(
    center: NDArray[np.float32], mask: NDArray[np.bool_], min_distance_px: float, min_center: float
) -> NDArray[np.int32]:
    """Label the pixels that are the highest within reach; a flat top is one peak."""
    reach = max(1, round(min_distance_px))
    highest = cv2.dilate(center, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    tops = (center >= highest) & (center >= min_center) & mask
    _, labels = cv2.connectedComponents(tops.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    peaks: NDArray[np.int32] = labels
    return peaks


def solidity(labels: NDArray[np.int32], n: int, wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of its convex hull that each wanted region fills; float64, (n,), 0 for the others."""
    filled = np.zeros(n)
    boxes = find_objects(labels, max_label=n)
    for k in np.flatnonzero(wanted):
        own = (labels[boxes[k]] == k + 1).astype(np.uint8)
        hull = cv2.convexHull(cv2.findNonZero(own))
        filled[k] = np.count_nonzero(own) / np.count_nonzero(cv2.fillConvexPoly(np.zeros_like(own), hull, 1))
    return filled


def _mean_types(nuclei: NDArray[np.int32], type_probability: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Average the type maps over each nucleus; float32, (n, 4), each row adds up to 1."""
    factor = nuclei.shape[0] // type_probability.shape[1]
    rows, columns = np.nonzero(nuclei)
    own = nuclei[rows, columns] - 1
    values = type_probability[:, rows // factor, columns // factor]
    sums = np.stack([np.bincount(own, values[k], minlength=n) for k in range(len(CELL_TYPES))], axis=1)
    total = np.maximum(sums.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    mean: NDArray[np.float32] = (sums / total).astype(np.float32)
    return mean
