"""How large a slide may claim to be; said once, for every format."""

from __future__ import annotations

from typing import Final

from slidescore.errors import SlideOpenError
from slidescore.slide.decoded_image import DAMAGED

MAX_TILES: Final = 4_000_000
"""512k x 512k px in tiles of 256 px: twice the side of the largest slides."""
MAX_TILES_IN_ALL: Final = 4 * MAX_TILES
"""On all pages of a file: a pyramid has four thirds of its finest level's, a stack of focal planes more."""
MAX_PIXELS_L0: Final = 1 << 38
"""The same in pixels; a million pixels a side are nearly four times as many."""


def check_claim(kind: str, width: int, height: int) -> None:
    """Refuse an image that claims more pixels than any slide has.

    Raises
    ------
    SlideOpenError
        It claims no pixels, or more than `MAX_PIXELS_L0`.
    """
    if min(width, height) < 1 or width * height > MAX_PIXELS_L0:
        message = f"{kind}: claims {width} x {height} pixels, which no slide has"
        raise SlideOpenError(message, remedy=DAMAGED)
