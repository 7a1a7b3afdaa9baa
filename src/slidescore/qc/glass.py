"""What the whole slide and its glass look like from afar: light or dark, tinted, stained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.stain import StainVectors, WhiteReference, brightest_common_rgb, optical_density
from slidescore.tissue import TissueMask

DARK_GREY, LIGHT_GREY = 60, 150
"""A pixel is dark when all of its channels are below the first, light when all are from the second on."""
GLASS_SHARE = 0.95
"""Quantile of DAB over the glass: haze shows in it, single specks do not."""
FULL_GREY = 255.0


def white_for_hues(
    rgb: NDArray[np.uint8], valid: NDArray[np.bool_], white: WhiteReference, least: float
) -> tuple[float, float, float]:
    """Return the white that hues are told against: that of the glass, or the brightest grey that the slide holds.

    Densities are scored against 255 where no glass was found, which adds the same to all channels. Hues would turn
    towards grey by that, so they are told against a lower level, the same in all channels for want of better knowledge.

    Parameters
    ----------
    rgb, valid
        The slide at low resolution.
    white
        The white reference of the slide.
    least
        What is darker than this is not believed to be light that came through clear glass; grey levels.
    """
    if white.source == "glass" or not valid.any():
        return white.rgb
    level = min(max(*brightest_common_rgb(rgb[valid]), least), FULL_GREY)
    return level, level, level


def measure_light(rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> dict[str, float | None]:
    """Measure whether light comes through a slide.

    Parameters
    ----------
    rgb, valid
        uint8, (H, W, 3), RGB, and bool, (H, W): the slide at low resolution, and which pixels it holds.

    Returns
    -------
    dict
        `dark_fraction` and `light_fraction` of the pixels; None for a slide without pixels.
    """
    seen = rgb[valid]
    if len(seen) == 0:
        return {"dark_fraction": None, "light_fraction": None}
    return {
        "dark_fraction": float((seen.max(axis=1) < DARK_GREY).mean()),
        "light_fraction": float((seen.min(axis=1) >= LIGHT_GREY).mean()),
    }


def measure_glass(
    rgb: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    tissue: TissueMask,
    white: WhiteReference,
    vectors: StainVectors,
) -> dict[str, float | None]:
    """Measure the colour of clear glass, and how brown the glass around the tissue is.

    Parameters
    ----------
    rgb, valid
        The slide at the resolution of `tissue`.
    tissue, white
        Where tissue and pen are, and what clear glass looks like.
    vectors
        The fixed stain vectors.

    Returns
    -------
    dict
        `glass_tint_od`: density by which the channels of clear glass differ. `glass_dab_od`: DAB that a twentieth of
        the glass exceeds. None where no glass was found.
    """
    if white.source != "glass":
        return {"glass_tint_od": None, "glass_dab_od": None}
    tint = -np.log10(np.asarray(white.rgb) / FULL_GREY)
    glass = rgb[valid & ~tissue.tissue & ~tissue.pen]
    brown = optical_density(glass, white.rgb) @ vectors.unmixing[:, 1]
    return {
        "glass_tint_od": float(np.ptp(tint)),
        "glass_dab_od": float(np.quantile(brown, GLASS_SHARE)) if len(brown) else None,
    }
