"""Histograms of DAB optical density, and what lies below a threshold in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HISTOGRAM_LOW_OD, HISTOGRAM_STEP_OD, HISTOGRAM_BINS = -0.5, 0.01, 400
"""400 bins 0.01 OD wide from -0.5 OD on; what lies beyond is counted in the end bins."""
EDGE_DECIMALS = 6
"""A threshold this many decimals of a bin from an edge lies on it: 0.2 is no whole number of steps in binary."""


def count_below(histograms: NDArray[Any], threshold_od: float) -> NDArray[np.float64]:
    """Return how much of each histogram lies below a threshold, a bin that it cuts being cut linearly.

    Parameters
    ----------
    histograms
        (..., HISTOGRAM_BINS), counts.
    threshold_od
        DAB optical density.

    Returns
    -------
    below
        float64, (...,).
    """
    place = round((threshold_od - HISTOGRAM_LOW_OD) / HISTOGRAM_STEP_OD, EDGE_DECIMALS)
    place = min(max(place, 0.0), float(HISTOGRAM_BINS))
    whole = int(place)
    below = np.asarray(histograms[..., :whole].sum(axis=-1), dtype=np.float64)
    if whole < HISTOGRAM_BINS and place > whole:
        below = below + (place - whole) * histograms[..., whole]
    return np.asarray(below, dtype=np.float64)
