"""From a network's maps to nuclei: peaks of the center map are seeds, which flood the foreground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.cells.flooding import rise
from slidescore.cells.hulls import are_solid
from slidescore.cells.regions import renumber, sum_regions
from slidescore.cells.seeding import find_peaks
from slidescore.cells.segmenter import Segmentation

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
    # Compared in single precision, as the maps are; `np.less` and so on keep it so.
    mask = np.greater_equal(foreground, np.float32(settings.min_foreground))
    mask &= usable
    # Rounding to half precision makes flat tops of two pixels that do not touch; smoothed, they are one peak.
    smooth = cv2.GaussianBlur(center, (0, 0), SMOOTH_UM / mpp)
    peaks = find_peaks(smooth, mask, settings.min_distance_um / mpp, settings.min_center)
    n = len(peaks.height)
    labels = np.zeros(mask.shape, np.int32)
    labels.reshape(-1)[peaks.places] = peaks.labels
    # The distance map separates what touches; the center map decides where both are flat.
    boxes = rise(np.add(smooth, distance, out=smooth), labels, mask, peaks.places, n)
    area, foregrounds, types = sum_regions(labels, boxes, foreground, type_probability)
    keep = (area * mpp**2 >= settings.min_area_um2) & (area * mpp**2 <= settings.max_area_um2)
    keep &= foregrounds / np.maximum(area, 1) >= settings.min_mean_foreground
    keep &= are_solid(labels, boxes, area, keep, settings.min_solidity)
    renumber(labels, boxes, np.where(keep, np.cumsum(keep), 0).astype(np.int32))
    return Segmentation(labels, peaks.height[keep], _mean_types(types[keep]), boxes[np.r_[True, keep]])


def _mean_types(sums: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn sums of the type maps over each nucleus into means; float32, (n, 4), each row adds up to 1."""
    total = np.maximum(sums.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    mean: NDArray[np.float32] = (sums / total).astype(np.float32)
    return mean
