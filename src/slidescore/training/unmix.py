"""H&E into its stains: the white of the field, vectors estimated on the field itself, optical density of each stain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.stain import optical_density

HEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])
"""H&E vectors of Ruifrok and Johnston 2001, as scikit-image's `hed_from_rgb` has them."""
MIN_OD = 0.15
"""Pixels paler than this in total OD do not take part in the estimate (Macenko et al. 2009 use 0.15)."""
EXTREME_PERCENTILE = 1.0
"""Stains are the extreme angles, without the outermost percent (Macenko et al. 2009)."""
MAX_TURN_COSINE = 0.93
"""An estimate that turns further (about 22 degrees) from the fixed vectors is of something else."""
WHITE_PERCENTILE = 99.0
"""The field's white is its bright end: fields of solid tissue have no glass, and then their palest tissue serves."""
MIN_STAINED_PIXELS = 500


def unmix_he(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Separate an H&E field.

    Parameters
    ----------
    rgb
        uint8, (H, W, 3).

    Returns
    -------
    Hematoxylin and eosin optical density, float32, (H, W), nothing below 0.
    """
    white = np.percentile(rgb.reshape(-1, 3), WHITE_PERCENTILE, axis=0)
    density = optical_density(rgb, (float(white[0]), float(white[1]), float(white[2])))
    vectors = np.stack(estimate_he(density.reshape(-1, 3)))
    amounts = density.reshape(-1, 3) @ np.linalg.pinv(vectors)
    planes = np.maximum(amounts, 0).astype(np.float32).reshape(*rgb.shape[:2], 2)
    return np.ascontiguousarray(planes[..., 0]), np.ascontiguousarray(planes[..., 1])


def estimate_he(density: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the unit vectors of hematoxylin and eosin by the extreme angles of the OD plane (Macenko et al. 2009).

    Parameters
    ----------
    density
        Optical density, float64, (N, 3).

    Returns
    -------
    Hematoxylin and eosin, float64, (3,); the fixed ones where the field shows too little stain or another colour.
    """
    fixed = tuple(vector / np.linalg.norm(vector) for vector in (HEMATOXYLIN, EOSIN))
    stained = density[density.sum(axis=1) > MIN_OD]
    if len(stained) < MIN_STAINED_PIXELS:
        return fixed[0], fixed[1]
    _, axes = np.linalg.eigh(np.cov(stained.T))
    plane = axes[:, [2, 1]]
    plane *= np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
    angles = np.arctan2(*(stained @ plane).T[::-1])
    ends = np.percentile(angles, [EXTREME_PERCENTILE, 100 - EXTREME_PERCENTILE])
    found = [np.abs(plane @ np.array([np.cos(angle), np.sin(angle)])) for angle in ends]
    found.sort(key=lambda vector: float(-vector[0]))  # hematoxylin takes the most red
    chosen = [
        vector if float(vector @ expected) > MAX_TURN_COSINE else expected
        for vector, expected in zip(found, fixed, strict=True)
    ]
    return chosen[0], chosen[1]
