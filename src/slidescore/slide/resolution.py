"""Which resolution a slide is scored at: the file's, or the user's, never a guess."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import openslide

from slidescore.errors import MissingResolutionError
from slidescore.slide.decoded_image import UM_PER_CM, UM_PER_INCH
from slidescore.slide.reader import SlideReader

# Outside of these a stated resolution is that of a screen or a printer (72 dpi = 353 um/px).
MIN_MICROSCOPE_MPP: Final = 0.05
MAX_MICROSCOPE_MPP: Final = 2.0

_APPARENT_UM: Final = (7.5, 13.0)
"""Resolution times apparent magnification: 10 by definition, 10.5 on a GT450."""
_NOMINAL_UM: Final = (3.5, 20.0)
"""Resolution times the objective's power: 4.9 on a Pannoramic with its camera adapter, 10 elsewhere."""
_MAX_DOUBT: Final = 0.05
_TIFF_UNIT_UM: Final = {"centimeter": UM_PER_CM, "inch": UM_PER_INCH}


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


def doubt_resolution(reader: SlideReader) -> tuple[str, ...]:
    """Say what in a file speaks against the resolution it states; numbers only.

    An Aperio file states the apparent magnification, which is 10 um over the resolution, and newer ones the resolution
    once more in the TIFF's own tags. Objective powers of other makers are nominal: only what is far off is doubted.
    """
    if reader.mpp is None:
        return ()
    mpp, properties = reader.mpp[0], reader.properties
    aperio = reader.vendor == "aperio"
    doubts = []
    power = _number(properties.get("aperio.AppMag" if aperio else openslide.PROPERTY_NAME_OBJECTIVE_POWER))
    low, high = _APPARENT_UM if aperio else _NOMINAL_UM
    if power is not None and not low <= mpp * power <= high:
        doubts.append(f"it states {mpp:.4g} um/px and a magnification of {power:g}, which do not go together")
    tag = _number(properties.get("tiff.XResolution"))
    um = _TIFF_UNIT_UM.get(properties.get("tiff.ResolutionUnit", ""))
    if aperio and tag is not None and um is not None:
        other = um / tag
        if MIN_MICROSCOPE_MPP <= other <= MAX_MICROSCOPE_MPP and abs(other - mpp) > _MAX_DOUBT * mpp:
            doubts.append(f"it states {mpp:.4g} um/px in one place and {other:.4g} in another")
    return tuple(doubts)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text else 0.0
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def _check_limits(x: float, y: float, min_mpp: float, max_mpp: float, who: str, remedy: str) -> None:
    """Refuse a resolution that is no number or lies outside the limits."""
    for value in (x, y):
        if not (math.isfinite(value) and min_mpp <= value <= max_mpp):
            message = f"{who} states {value:.4g} um/px, outside {min_mpp:g} to {max_mpp:g}"
            raise MissingResolutionError(message, remedy=remedy)
