"""Optical density and its separation into hematoxylin and DAB.

Optical density is base 10, `-log10(max(I, 1) / I0)` per channel, of the stored values; negatives (brighter than glass)
are kept. scikit-image's `separate_stains` is not used: it returns OD / 6 with negatives clipped, so that thresholds of
0.2 / 0.4 / 0.6 applied to it call almost every cell 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from slidescore.stain.vectors import StainVectors

GREY_LEVELS = 256


@dataclass(frozen=True, slots=True)
class StainPlanes:
    """Optical density of each stain; float32, (H, W), base 10, may be slightly negative.

    `residual_od` is the part along the cross product of the two stains: large for pen, pigment and other colours.
    """

    hematoxylin_od: NDArray[np.float32]
    dab_od: NDArray[np.float32]
    residual_od: NDArray[np.float32]


def optical_density(rgb: NDArray[np.uint8], white: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the optical density of each channel.

    Parameters
    ----------
    rgb
        uint8, (..., 3), RGB.
    white
        Intensity of clear glass in R, G, B.

    Returns
    -------
    float64, (..., 3), base 10 (Beer-Lambert).
    """
    return -np.log10(np.maximum(rgb, 1) / np.asarray(white, dtype=np.float64))


def separation_table(white: tuple[float, float, float], vectors: StainVectors) -> NDArray[np.float32]:
    """Tabulate what each grey level of each channel adds to each stain; float32, (channel 3, level 256, stain 3)."""
    levels = np.arange(GREY_LEVELS, dtype=np.uint8)
    density = optical_density(np.repeat(levels[:, None], 3, axis=1), white)
    unmixing = vectors.unmixing
    return np.stack([density[:, c, None] * unmixing[c] for c in range(3)]).astype(np.float32)


def separate(rgb: NDArray[np.uint8], white: tuple[float, float, float], vectors: StainVectors) -> StainPlanes:
    """Separate an image into hematoxylin, DAB and residual optical density.

    Parameters
    ----------
    rgb
        uint8, (H, W, 3), RGB.
    white
        Intensity of clear glass in R, G, B.
    vectors
        The stains' vectors.

    Notes
    -----
    Separation is linear in optical density, so it is a sum of three table look-ups a pixel; `separate_slowly` is the
    plain formula that the tests hold it to.
    """
    planes = _look_up(np.ascontiguousarray(rgb), separation_table(white, vectors))
    return StainPlanes(planes[0], planes[1], planes[2])


def separate_slowly(rgb: NDArray[np.uint8], white: tuple[float, float, float], vectors: StainVectors) -> StainPlanes:
    """Do what `separate` does by the formula itself: optical density times the inverse of the stain matrix."""
    stains = (optical_density(rgb, white) @ vectors.unmixing).astype(np.float32)
    return StainPlanes(stains[..., 0], stains[..., 1], stains[..., 2])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _look_up(rgb: NDArray[np.uint8], table: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = rgb.shape[0], rgb.shape[1]
    out = np.empty((3, height, width), dtype=np.float32)
    for y in range(height):
        for x in range(width):
            red, green, blue = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2]
            for s in range(3):
                out[s, y, x] = table[0, red, s] + table[1, green, s] + table[2, blue, s]
    return out
