"""What is watched: one number a slide for each of the things that move when staining or scanning does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Values = Mapping[str, float | None]
"""A slide's measures by name; None where a slide has none."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One watched number.

    Attributes
    ----------
    name
        In every table.
    title, axis
        On the page, and on the axis of its chart, with the unit.
    origin
        Which slides have it, and where it comes from.
    least_sd
        Smallest standard deviation between slides that is believed, in the measure's unit. A baseline of whole or
        nearly constant numbers would otherwise make the next step of one an alarm; the steps are those of 8-bit pixels
        and of a few cells, not of any scanner.
    """

    name: str
    title: str
    axis: str
    origin: str
    least_sd: float


CONTROL_DAB_OD: Final = Measure(
    "control_dab_od", "DAB optical density of the positive control", "mean DAB OD",
    "cells of positive control tissue, mean DAB OD in the compartment of the score", 0.005,
)  # fmt: skip
FLOOR: Final = Measure(
    "floor_degrees", "Positivity floor", "positive share, arcsine degrees",
    "cells of negative control tissue, share at or above the 1+ threshold", 1.0,
)  # fmt: skip
DAB_ACROSS: Final = Measure(
    "dab_across_degrees", "Hue of DAB, across the arc of the stains", "DAB hue, degrees to green",
    "the estimated DAB vector; under fixed vectors the measured hue of pure chromogen", 0.5,
)  # fmt: skip
DAB_ALONG: Final = Measure(
    "dab_along_degrees", "DAB vector, along the arc of the stains", "DAB, degrees along",
    "the estimated DAB vector", 0.5,
)  # fmt: skip
WHITE_LEVEL: Final = Measure("white_level", "White point", "mean of R, G and B", "clear glass of every slide", 1.0)
WHITE_BALANCE: Final = Measure(
    "white_balance_od", "Color of the white point", "log10 red / blue",
    "clear glass of every slide", 0.002,
)  # fmt: skip
COUNTERSTAIN_OD: Final = Measure(
    "counterstain_od", "Counterstain", "hematoxylin OD of nuclei",
    "positive control slides where there are any, else all samples", 0.005,
)  # fmt: skip

MEASURES: Final = (
    CONTROL_DAB_OD, FLOOR, DAB_ACROSS, DAB_ALONG, WHITE_LEVEL, WHITE_BALANCE, COUNTERSTAIN_OD,
)  # fmt: skip
"""Every chart there can be. Each has its share of the false alarms whether a laboratory can fill it or not, so that
limits do not move when a control is added."""


def floor_degrees(positive: int, total: int) -> float:
    """Turn a share of positive cells into degrees in which it spreads alike whether it is near 0 or not.

    The arcsine of the root of a binomial share has about the same variance everywhere (Bartlett 1947, Biometrics 3:39).

    Parameters
    ----------
    positive, total
        Cells; total above 0.
    """
    return math.degrees(math.asin(math.sqrt(positive / total)))


def share_of_degrees(degrees: float) -> float:
    """Undo `floor_degrees`: the share, 0 to 1."""
    return math.sin(math.radians(min(max(degrees, 0.0), 90.0))) ** 2
