"""A plain image after decoding, and how large one may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from slidescore.errors import SlideOpenError

MAX_PIXELS: Final = 1_000_000_000
UM_PER_INCH: Final = 25_400.0
UM_PER_CM: Final = 10_000.0

SAVE_AS_RGB: Final = "save it as 8-bit RGB"
DAMAGED: Final = "the file is damaged or incomplete: copy it again"


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image file's pixels and what it says about them.

    Attributes
    ----------
    pixels
        uint8, (H, W, 3) or (H, W, 4), RGB or straight RGBA.
    kind
        "png", "jpeg" or "tiff".
    mpp
        Stated micrometres per pixel (x, y), however unlikely; None when nothing is stated.
    icc_profile
        Whether there is an ICC profile.
    orientation
        EXIF orientation; 1 is upright.
    """

    pixels: npt.NDArray[np.uint8]
    kind: str
    mpp: tuple[float, float] | None
    icc_profile: bool
    orientation: int


def check_size(width: int, height: int) -> None:
    """Refuse an image too large to be decoded at once.

    Raises
    ------
    SlideOpenError
        It has more than `MAX_PIXELS` pixels.
    """
    if width * height > MAX_PIXELS:
        message = f"{width} x {height} pixels are more than a plain image may have ({MAX_PIXELS:,})"
        raise SlideOpenError(message, remedy="save it as a tiled pyramidal TIFF")
