"""How strongly the positive cells stain, from counts of bins; what several schemes share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

STRONG_THIRDS, MODERATE_THIRDS = 7.0, 5.0
"""A mean intensity above 7/3 is strong and one above 5/3 moderate: QuPath's getAllredIntensity, commit e7662d89."""


def count_positive(counts: Values) -> Values:
    """Return how many are 1+ or above; float64, (...,) from counts (..., 4)."""
    positive: Values = counts[..., 1] + counts[..., 2] + counts[..., 3]
    return positive


def sum_intensity(counts: Values) -> Values:
    """Return n1 + 2 n2 + 3 n3; float64, (...,) from counts (..., 4)."""
    # Written out: a matrix product may round in another order on another machine.
    total: Values = counts[..., 1] + 2.0 * counts[..., 2] + 3.0 * counts[..., 3]
    return total


def count_all(counts: Values) -> Values:
    """Return all that was counted; float64, (...,) from counts (..., 4)."""
    total: Values = counts[..., 0] + count_positive(counts)
    return total


def percent_of(part: Values, counts: Values) -> Values:
    """Return 100 part / all that was counted, NaN where nothing was; float64, (...,)."""
    total = count_all(counts)
    percent: Values = np.divide(100.0 * part, total, out=np.full(total.shape, np.nan), where=total > 0)
    return percent


def mean_intensity(counts: Values) -> Values:
    """Return 1 to 3 for the mean intensity m of the positives, 0 without any: m > 7/3 is 3, m > 5/3 is 2, else 1.

    Notes
    -----
    Compared as 3 (n1 + 2 n2 + 3 n3) > 7 (n1 + n2 + n3), which is exact for whole numbers; the division would not be.
    Source: QuPath's getAllredIntensity, commit e7662d89.
    """
    positive, tripled = count_positive(counts), 3.0 * sum_intensity(counts)
    strength = 1.0 + (tripled > MODERATE_THIRDS * positive) + (tripled > STRONG_THIRDS * positive)
    return np.where(positive > 0, strength, 0.0)


def modal_intensity(counts: Values) -> Values:
    """Return 1 to 3 for the positive bin that holds the most, 0 without positives; of equals the weaker one.

    Notes
    -----
    The published tables do not say what a tie is. The weaker bin is taken: what is called strong must be commoner than
    what is not.
    """
    positive = count_positive(counts)
    # argmax takes the first of equals.
    return np.where(positive > 0, 1.0 + np.argmax(counts[..., 1:], axis=-1), 0.0)


def scored_where_counted(values: Values, counts: Values) -> Values:
    """Return the values, NaN where there is nothing to count; float64, (...,)."""
    return np.where(count_all(counts) > 0, values, np.nan)
