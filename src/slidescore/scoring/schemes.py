"""The scoring schemes: how the bins of a set of cells become one number, one file a scheme and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from slidescore.assay.model import SCALE_RANGE, Scale, Score
from slidescore.scoring.allred import allred
from slidescore.scoring.h_score import h_score
from slidescore.scoring.irs import irs
from slidescore.scoring.percent_positive import percent_positive
from slidescore.scoring.pixel_h_score import pixel_h_score

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scheme:
    """One scheme.

    Attributes
    ----------
    name
        As assays and tables spell it.
    title
        As pages spell it.
    low, high
        Range of its values.
    score
        From counts of bins 0, 1+, 2+, 3+ (float64, (..., 4)) to values (float64, (...,)); NaN where there is nothing to
        count. Of `pixel_h_score` the counts are of pixels: hematoxylin only, 1+, 2+, 3+.
    """

    name: Scale
    title: str
    low: float
    high: float
    score: Callable[[Values, Score], Values]


def _scheme(name: Scale, title: str, score: Callable[[Values, Score], Values]) -> Scheme:
    low, high = SCALE_RANGE[name]
    return Scheme(name, title, low, high, score)


SCHEMES: Mapping[Scale, Scheme] = MappingProxyType(
    {
        scheme.name: scheme
        for scheme in (
            _scheme("h_score", "H-score", h_score),
            _scheme("percent_positive", "Percent positive", percent_positive),
            _scheme("irs", "Immunoreactive score", irs),
            _scheme("allred", "Allred score", allred),
            _scheme("pixel_h_score", "Pixel H-score", pixel_h_score),
        )
    }
)
"""All schemes by name, in the order in which tables and pages list them."""


def score_counts(scale: Scale, counts: Values, score: Score) -> Values:
    """Return the scores of one or many sets of counts.

    Parameters
    ----------
    scale
        Name of the scheme.
    counts
        float64, (..., 4): bins 0, 1+, 2+, 3+, or pixels hematoxylin-only, 1+, 2+, 3+ for `pixel_h_score`.
    score
        The assay's score block; of it only what the scheme declares there matters (`irs_intensity`).

    Returns
    -------
    Values
        float64, (...,), NaN where the counts are all 0.
    """
    return SCHEMES[scale].score(counts, score)
