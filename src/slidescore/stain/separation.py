"""Optical density and its separation into hematoxylin and DAB.

Optical density is base 10, `-log10(max(I, 1) / I0)` per channel, of the stored values; negatives (brighter than glass)
are kept. scikit-image's `separate_stains` is not used: it returns OD / 6 with negatives clipped, so that thresholds of
0.2 / 0.4 / 0.6 applied to it call almost every cell 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel
from slidescore.stain.vectors import StainVectors

GREY_LEVELS = 256


@dataclass(frozen=True, slots=True)
class StainPlanes:
    """Optical density of each stain; float32, (H, W), base 10, may be slightly negative.

    `residual_od` is the part along the cross product of the two stains: large for pen, pigment and other colours; None
    where nobody asked for it.
    """

    hematoxylin_od: NDArray[np.float32]
    dab_od: NDArray[np.float32]
    residual_od: NDArray[np.float32] | None = None


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


def separate(
    rgb: NDArray[np.uint8], white: tuple[float, float, float], vectors: StainVectors, *, residual: bool = False
) -> StainPlanes:
    """Separate an image into hematoxylin, DAB and, if asked for, residual optical density.

    Parameters
    ----------
    rgb
        uint8, (H, W, 3), RGB.
    white
        Intensity of clear glass in R, G, B.
    vectors
        The stains' vectors.
    residual
        Whether the residual is wanted as well.

    Notes
    -----
    Separation is linear in optical density, so it is a sum of three table look-ups a pixel; `separate_slowly` is the
    plain formula that the tests hold it to.
    """
    rgb = np.ascontiguousarray(rgb)
    table = separation_table(white, vectors)
    hematoxylin, dab = (np.empty(rgb.shape[:2], np.float32) for _ in range(2))
    flat = rgb.reshape(-1)
    # Two stains are one complex number, so that one look-up fetches both.
    pairs = np.ascontiguousarray(table[..., :2]).view(np.complex64)[..., 0]
    _look_up_two(flat, pairs, hematoxylin.reshape(-1), dab.reshape(-1))
    if not residual:
        return StainPlanes(hematoxylin, dab)
    rest = np.empty(rgb.shape[:2], np.float32)
    _look_up_one(flat, np.ascontiguousarray(table[..., 2]), rest.reshape(-1))
    return StainPlanes(hematoxylin, dab, rest)


def separate_slowly(rgb: NDArray[np.uint8], white: tuple[float, float, float], vectors: StainVectors) -> StainPlanes:
    """Do what `separate` does by the formula itself: optical density times the inverse of the stain matrix."""
    stains = (optical_density(rgb, white) @ vectors.unmixing).astype(np.float32)
    return StainPlanes(stains[..., 0], stains[..., 1], stains[..., 2])


@kernel
def _look_up_two(
    rgb: NDArray[np.uint8], table: NDArray[np.complex64], first: NDArray[np.float32], second: NDArray[np.float32]
) -> None:
    of_red, of_green, of_blue = table[0], table[1], table[2]
    for i in range(first.size):
        pair = of_red[rgb[3 * i]] + of_green[rgb[3 * i + 1]] + of_blue[rgb[3 * i + 2]]
        first[i] = pair.real
        second[i] = pair.imag


@kernel
def _look_up_one(rgb: NDArray[np.uint8], table: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    for i in range(out.size):
        out[i] = table[0, rgb[3 * i]] + table[1, rgb[3 * i + 1]] + table[2, rgb[3 * i + 2]]
