"""Which resolution a slide is scored at: the file's, or the user's, never a guess."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from slidescore.errors import MissingResolutionError
from slidescore.slide.reader import SlideReader


@dataclass(frozen=True, slots=True)
class Resolution:
    """Micrometres per level-0 pixel, and who said so.

    Attributes
    ----------
    mpp_x, mpp_y
        Along x and y.
    source
        "file" when the slide states it, "supplied" when the user gave it.
    """

    mpp_x: float
    mpp_y: float
    source: Literal["file", "supplied"]

    @property
    def mpp(self) -> float:
        """The mean of both axes, as in QuPath."""
        return (self.mpp_x + self.mpp_y) / 2


def decide_resolution(
    reader: SlideReader, supplied: float | None, *, min_mpp: float, max_mpp: float, max_axis_difference: float
) -> Resolution:
    """Decide the resolution of a slide.

    Parameters
    ----------
    reader
        The slide.
    supplied
        Micrometres per level-0 pixel from the user; wins over what the file states.
    min_mpp, max_mpp
        Limits outside of which a resolution cannot be that of a brightfield slide.
    max_axis_difference
        Largest difference between x and y, as a fraction of their mean.

    Raises
    ------
    MissingResolutionError
        Nothing is known, or what is known is outside the limits.
    """
    if supplied is not None:
        _check_limits(supplied, supplied, min_mpp, max_mpp, "--mpp", "give the micrometres per pixel of level 0")
        return Resolution(supplied, supplied, "supplied")
    if reader.mpp is None:
        raise MissingResolutionError(
            "the slide states no resolution", remedy="give --mpp with its micrometres per pixel"
        )
    x, y = reader.mpp
    remedy = "if the scanner's true value is known, give it as --mpp"
    _check_limits(x, y, min_mpp, max_mpp, "the slide", remedy)
    difference = abs(x - y) / ((x + y) / 2)
    if difference > max_axis_difference:
        message = (
            f"the slide states {x:.4g} um/px along x and {y:.4g} along y: {difference:.1%} apart, "
            f"more than {max_axis_difference:.0%}"
        )
        raise MissingResolutionError(message, remedy=remedy)
    return Resolution(x, y, "file")


def _check_limits(x: float, y: float, min_mpp: float, max_mpp: float, who: str, remedy: str) -> None:
    """Refuse a resolution that is no number or lies outside the limits."""
    for value in (x, y):
        if not (math.isfinite(value) and min_mpp <= value <= max_mpp):
            message = f"{who} states {value:.4g} um/px, outside {min_mpp:g} to {max_mpp:g}"
            raise MissingResolutionError(message, remedy=remedy)
