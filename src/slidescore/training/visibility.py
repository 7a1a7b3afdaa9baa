"""Takes back what nobody can see: nuclei under dense DAB are neither asked for nor taught as background."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.training.scene import Scene
from slidescore.training.territory import nearest_label

RING_UM = 1.8
"""Width of the surroundings that a nucleus is compared with."""
MIN_CONTRAST_LEVELS = 9.0
"""Least difference of means, in any channel, by which a nucleus stands out of dark surroundings, grey levels."""
MIN_SEPARATION = 0.7
"""The same, in standard deviations of the pixels within nucleus and surroundings: black lumps are uneven themselves."""
DARK_LEVEL = 75.0
"""Mean of a nucleus' darkest channel below which it may be hidden; pale nuclei are asked for however pale they are."""


def without_unseen(scene: Scene, rgb: NDArray[np.uint8]) -> Scene:
    """Return the scene without the nuclei that its picture hides; their pixels become unknown.

    Parameters
    ----------
    scene
        What was rendered.
    rgb
        uint8, (H, W, 3); the picture of it.
    """
    n = len(scene.types)
    if not n:
        return scene
    nearest, away_px = nearest_label(scene.nuclei)
    ring = np.where((scene.nuclei == 0) & (away_px * scene.mpp <= RING_UM), nearest, 0)
    soft = cv2.GaussianBlur(rgb, (3, 3), 0)
    (inside, spread), (outside, spread_outside) = (_moments(soft, labels, n) for labels in (scene.nuclei, ring))
    dark = inside.min(axis=1) < DARK_LEVEL
    contrast = np.abs(inside - outside)
    separation = contrast / np.maximum(np.sqrt((spread**2 + spread_outside**2) / 2), 1.0)
    # NaN where neighbours leave no ring: such nuclei stay.
    hidden = dark & ((contrast.max(axis=1) < MIN_CONTRAST_LEVELS) | (separation.max(axis=1) < MIN_SEPARATION))
    if not hidden.any():
        return scene
    kept = ~hidden
    table = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.int32)
    return replace(
        scene,
        nuclei=table[scene.nuclei],
        types=scene.types[kept],
        centers_px=scene.centers_px[kept],
        known=scene.known & ~np.concatenate([[False], hidden])[scene.nuclei],
    )


def _moments(
    rgb: NDArray[np.uint8], labels: NDArray[np.int32], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each channel over each label; float64, (n, 3), NaN without a pixel."""
    flat = labels.ravel()
    count = np.bincount(flat, minlength=n + 1)[1:, None].astype(np.float64)
    count[count == 0] = np.nan
    planes = [rgb[..., channel].ravel().astype(np.float64) for channel in range(3)]
    mean = np.stack([np.bincount(flat, plane, minlength=n + 1)[1:] for plane in planes], axis=1) / count
    square = np.stack([np.bincount(flat, plane**2, minlength=n + 1)[1:] for plane in planes], axis=1) / count
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))
