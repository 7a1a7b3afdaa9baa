"""The white reference: what clear glass looks like on this slide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEFAULT_WHITE = (255.0, 255.0, 255.0)


@dataclass(frozen=True, slots=True)
class WhiteReference:
    """Intensity of clear glass per channel, and whether it was measured (`glass`) or assumed (`255`)."""

    rgb: tuple[float, float, float]
    source: str
    n_pixels: int


def brightest_common_rgb(rgb: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Return a first guess of white: per channel, the 99th percentile of the valid pixels.

    Parameters
    ----------
    rgb
        uint8, (N, 3), valid pixels only.
    """
    if len(rgb) == 0:
        return DEFAULT_WHITE
    red, green, blue = (float(v) for v in np.percentile(rgb, 99, axis=0))
    return max(red, 1.0), max(green, 1.0), max(blue, 1.0)


def measure_white(glass_rgb: NDArray[np.uint8], *, min_pixels: int, min_intensity: float) -> WhiteReference:
    """Take the per-channel median of clear glass, or 255 where there is too little of it to believe.

    Parameters
    ----------
    glass_rgb
        uint8, (N, 3), the pixels taken for clear glass.
    min_pixels
        Fewer pixels than this are not believed.
    min_intensity
        A darker median in any channel is not glass.
    """
    if len(glass_rgb) >= min_pixels:
        red, green, blue = (float(v) for v in np.median(glass_rgb, axis=0))
        if min(red, green, blue) >= min_intensity:
            return WhiteReference((red, green, blue), "glass", len(glass_rgb))
    return WhiteReference(DEFAULT_WHITE, "255", len(glass_rgb))
