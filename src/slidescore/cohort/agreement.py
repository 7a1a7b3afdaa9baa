"""How well two or more ratings of the same slides agree, as pure arithmetic.

Every statistic takes the ratings and how often each slide was drawn, so that one call gives the value of the slides as
they are (weights of 1) or those of all resamples at once. A slide of weight w counts as w slides; one of weight 0 not
at all. Where a statistic is not defined (one slide, nothing varies) its value is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ratings = NDArray[np.float64]
"""float64, (N, K): a row a slide, a column a rater; finite."""
Weights = NDArray[np.float64]
"""float64, (R, N): how often each slide is counted, whole numbers; a row a resample."""
Values = NDArray[np.float64]
"""float64, (R,): a statistic of each row of weights."""
Statistic = Callable[[Ratings, Weights], Values]

LIMITS_SD: Final = 1.96
"""Standard deviations between the bias and a limit of agreement (Bland and Altman 1986)."""
_NO_VARIANCE: Final = 1e-9
"""Squared score points below which a variance is rounding: scores are compared in whole points and percents."""
_LEAST: Final = 2
"""Slides without which nothing varies."""


def icc_2_1(ratings: Ratings, weights: Weights) -> Values:
    """Return the intraclass correlation ICC(2,1): two-way random, absolute agreement, single rating.

    Parameters
    ----------
    ratings
        float64, (N, K), K at least 2.
    weights
        float64, (R, N).

    Notes
    -----
    (MSR - MSE) / (MSR + (K - 1) MSE + K (MSC - MSE) / n), with the mean squares of the two-way analysis of variance for
    slides (R), raters (C) and the rest (E): Shrout and Fleiss 1979, Psychol Bull 86:420 (ICC(2,1)); McGraw and Wong
    1996, Psychol Methods 1:30 (ICC(A,1)). It can be below 0.
    """
    centered = ratings - ratings.mean()
    n_raters = ratings.shape[1]
    n = weights.sum(axis=1)
    rater_means = _sums(weights, centered) / n[:, np.newaxis]
    grand = rater_means.mean(axis=1)
    slide_means = centered.mean(axis=1)
    of_slides = n_raters * (_sum(weights, slide_means**2) - n * grand**2)
    of_raters = n * ((rater_means - grand[:, np.newaxis]) ** 2).sum(axis=1)
    # What is left of a slide's ratings once its own mean is taken off holds raters and rest alone.
    inside = _sum(weights, ((centered - slide_means[:, np.newaxis]) ** 2).sum(axis=1))
    mean_slides = _ratio(of_slides, n - 1)
    mean_raters = of_raters / (n_raters - 1)
    mean_rest = _ratio(np.maximum(inside - of_raters, 0), (n - 1) * (n_raters - 1))
    top = mean_slides - mean_rest
    bottom = mean_slides + (n_raters - 1) * mean_rest + n_raters * (mean_raters - mean_rest) / n
    return _ratio(top, bottom)


def concordance(ratings: Ratings, weights: Weights) -> Values:
    """Return Lin's concordance correlation coefficient of two raters, with moments over n as in the source.

    Notes
    -----
    2 s_xy / (s_x^2 + s_y^2 + (mean x - mean y)^2): Lin 1989, Biometrics 45:255.
    """
    _, bias, variance_x, variance_y, covariance = _moments(ratings, weights)
    return _ratio(2 * covariance, variance_x + variance_y + bias**2)


def weighted_kappa(ratings: Ratings, weights: Weights) -> Values:
    """Return Cohen's kappa of two raters' classes 0, 1, 2, ... with quadratic weights.

    Notes
    -----
    1 - sum(o d^2) / sum(e d^2) over pairs of classes d apart, o observed and e expected from the raters' own shares
    (Cohen 1968, Psychol Bull 70:213). Both sums are moments of the class numbers, which makes it Lin's coefficient of
    them.
    """
    return concordance(ratings, weights)


def exact_agreement(ratings: Ratings, weights: Weights) -> Values:
    """Return the share of slides, 0 to 1, to which two raters give the same value."""
    same = (ratings[:, 0] == ratings[:, 1]).astype(np.float64)
    return _ratio(_sum(weights, same), weights.sum(axis=1))


def spearman(ratings: Ratings, weights: Weights) -> Values:
    """Return Spearman's rank correlation of two raters; ties have the mean of their ranks."""
    ranks = [_ranks(ratings[:, rater], weights) for rater in (0, 1)]
    n = weights.sum(axis=1)
    x, y = (rank - ((weights * rank).sum(axis=1) / n)[:, np.newaxis] for rank in ranks)
    product = (weights * x * y).sum(axis=1)
    return _ratio(product, np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1)))


def bias(ratings: Ratings, weights: Weights) -> Values:
    """Return the mean difference, the first rater less the second, in points of the scale."""
    return _ratio(_sum(weights, ratings[:, 0] - ratings[:, 1]), weights.sum(axis=1))


def lower_limit(ratings: Ratings, weights: Weights) -> Values:
    """Return the lower limit of agreement: bias - 1.96 standard deviations (over n - 1) of the differences.

    Notes
    -----
    Bland and Altman 1986, Lancet 327:307.
    """
    return bias(ratings, weights) - LIMITS_SD * _spread(ratings, weights)


def upper_limit(ratings: Ratings, weights: Weights) -> Values:
    """Return the upper limit of agreement: bias + 1.96 standard deviations (over n - 1) of the differences."""
    return bias(ratings, weights) + LIMITS_SD * _spread(ratings, weights)


def mean_absolute_error(ratings: Ratings, weights: Weights) -> Values:
    """Return the mean size of the difference of two raters, in points of the scale."""
    return _ratio(_sum(weights, np.abs(ratings[:, 0] - ratings[:, 1])), weights.sum(axis=1))


def sensitivity(ratings: Ratings, weights: Weights) -> Values:
    """Return the share of slides that the second rater says yes to (1, not 0) to which the first one does too."""
    first, second = ratings.T
    return _ratio(_sum(weights, first * second), _sum(weights, second))


def specificity(ratings: Ratings, weights: Weights) -> Values:
    """Return the share of slides that the second rater says no to (0, not 1) to which the first one does too."""
    return sensitivity(1 - ratings, weights)


def confusion(classes: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Count the slides by the classes that two raters gave them; int64, (first rater, second rater).

    Parameters
    ----------
    classes
        int64, (N, 2), from 0 to n_classes - 1.
    n_classes
        How many there are.
    """
    counts = np.bincount(classes[:, 0] * n_classes + classes[:, 1], minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


def _spread(ratings: Ratings, weights: Weights) -> Values:
    """Return the standard deviation of the differences, over n - 1."""
    differences = ratings[:, 0] - ratings[:, 1]
    differences = differences - differences.mean()
    n = weights.sum(axis=1)
    mean = _ratio(_sum(weights, differences), n)
    squares = np.maximum(_sum(weights, differences**2) - n * mean**2, 0)
    return np.sqrt(np.where(n < _LEAST, np.nan, squares / np.maximum(n - 1, 1)))


def _moments(ratings: Ratings, weights: Weights) -> tuple[Values, Values, Values, Values, Values]:
    """Return n, the difference of the means, both variances and the covariance (over n) of two raters."""
    # Taking one number off both changes no moment, and keeps the sums of squares small.
    x, y = (ratings - ratings.mean()).T
    n = weights.sum(axis=1)
    mean_x, mean_y = _ratio(_sum(weights, x), n), _ratio(_sum(weights, y), n)
    variance_x = np.maximum(_sum(weights, x * x) / n - mean_x**2, 0)
    variance_y = np.maximum(_sum(weights, y * y) / n - mean_y**2, 0)
    return n, mean_x - mean_y, variance_x, variance_y, _sum(weights, x * y) / n - mean_x * mean_y


def _ranks(values: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """Return the rank of each slide among those drawn, float64 (R, N); equal values share the mean of their ranks."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    drawn = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks = np.cumsum(drawn, axis=1) - drawn + (drawn + 1) / 2
    of_slides: NDArray[np.float64] = ranks[:, group]
    return of_slides


def _sum(weights: Weights, values: NDArray[np.float64]) -> Values:
    # einsum, not a matrix product: the order of its sums hangs on no number of threads.
    total: Values = np.einsum("rn,n->r", weights, values)
    return total


def _sums(weights: Weights, values: NDArray[np.float64]) -> NDArray[np.float64]:
    totals: NDArray[np.float64] = np.einsum("rn,nk->rk", weights, values)
    return totals


def _ratio(top: Values, bottom: Values) -> Values:
    """Divide, with NaN where the bottom is nothing but rounding."""
    nothing = ~(np.abs(bottom) > _NO_VARIANCE)
    return np.where(nothing, np.nan, top / np.where(nothing, 1, bottom))
