"""How far the squares of a slide hang together, and so how sure the mean over them is.

Neighbouring squares resemble each other, and a few squares do not tell how far that goes. Several models of
correlation are therefore held against them at once, and each counts by how well it explains them: where the squares are
too few to say, the interval is as wide as the doubt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky
from scipy.linalg.lapack import dtrtri

Values = NDArray[np.float64]

DECAYS = (0.25, 0.5, 1.0, 2.0)
"""Distances, in squares, over which the correlation of two places falls to 1/e: exp(-d / decay). At 512 um from 128 um,
where even neighbouring squares hardly know of each other, to 1 mm. Longer ones cannot be told from the mean."""
OWN_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of a square's variance that are its own: cells drawn, and clusters smaller than a square."""
INDEPENDENT_WEIGHT = 2 / 3
"""Weight, before anything is seen, of the model in which squares know nothing of each other; the rest is spread evenly
over the others. Chosen by simulation, see docs/intervals.md."""
MAX_SQUARES = 400
"""With more squares, squares are merged two by two in both directions before the models are held against them: the time
grows with the cube of their number, and only the smallest scales are lost."""
POINTS = 4
"""Points along the side of a square that stand for it where correlation is averaged over two squares."""
BY_CELLS = 0.5
"""A square's own variance is half the same for all and half in inverse proportion to its cells: with clusters smaller
than a square it is the former where cells are sparse and the latter where a square is half empty."""


@dataclass(frozen=True, slots=True)
class CorrelationModels:
    """The models for one set of squares.

    Attributes
    ----------
    block
        int64, (M,): which block (a square, or merged squares) each square belongs to.
    cells
        float64, (B,): cells of each block.
    whitening
        float64, (K, B, B): under each model, this times the means of blocks has no correlation and variance 1.
    ones
        float64, (K, B): what becomes of a mean of 1 in every block.
    log_size
        float64, (K,): logarithm of |C| 1'C^-1 1, C being a model's correlation of blocks.
    mean_variance
        float64, (K,): variance of the mean over cells under each model, for blocks of variance 1.
    log_prior
        float64, (K,): logarithm of each model's weight before anything is seen.
    """

    block: NDArray[np.int64]
    cells: Values
    whitening: Values
    ones: Values
    log_size: Values
    mean_variance: Values
    log_prior: Values

    @property
    def degrees_of_freedom(self) -> int:
        """Of every variance that is estimated: blocks but one, for the mean."""
        return len(self.cells) - 1


def correlation_models(places: NDArray[np.int64], cells: Values) -> CorrelationModels:
    """Set up the models for squares at `places`, int64 (M, 2), with so many cells each, float64 (M,)."""
    side, block, place, merged = _merge(places, cells)
    own = np.diag((1 - BY_CELLS) + BY_CELLS * merged.mean() / merged)
    share = merged / merged.sum()
    shared = [_square_correlation(place, decay / side) for decay in DECAYS]
    matrices = [own, *(own_share * own + (1 - own_share) * each for each in shared for own_share in OWN_SHARES)]
    rest = (1 - INDEPENDENT_WEIGHT) / (len(matrices) - 1)
    factors = [cholesky(matrix, lower=True, check_finite=False) for matrix in matrices]
    whitening = np.stack([dtrtri(factor, lower=1)[0] for factor in factors])
    ones: Values = whitening.sum(axis=2)
    log_size = [2 * np.log(np.diag(factor)).sum() for factor in factors] + np.log((ones**2).sum(axis=1))
    mean_variance = np.array([share @ matrix @ share for matrix in matrices])
    log_prior = np.log([INDEPENDENT_WEIGHT, *[rest] * (len(matrices) - 1)])
    return CorrelationModels(block, merged, whitening, ones, log_size, mean_variance, log_prior)


def _merge(places: NDArray[np.int64], cells: Values) -> tuple[int, NDArray[np.int64], NDArray[np.int64], Values]:
    """Return a block's side (in squares), the block of each square, and each block's place (in blocks) and cells."""
    side = 1
    while True:
        place, block = np.unique(places // side, axis=0, return_inverse=True)
        if len(place) <= MAX_SQUARES:
            block = block.reshape(-1).astype(np.int64)
            return side, block, place, np.bincount(block, cells).astype(np.float64)
        side *= 2


def _square_correlation(place: NDArray[np.int64], decay: float) -> Values:
    """Correlation of the means over squares of a field with correlation exp(-d / decay), (B, B); sides are 1."""
    apart = np.abs(place[:, None, :] - place[None, :, :])
    widest = apart.reshape(-1, 2).max(axis=0)
    shift = np.arange(1 - POINTS, POINTS)
    # How many pairs of points, one in each square, are shifted so far against the distance of the squares.
    pairs = POINTS - np.abs(shift)
    x, y = ((np.arange(far + 1)[:, None] + shift / POINTS) for far in widest)
    correlation = np.exp(-np.hypot(x[:, None, :, None], y[None, :, None, :]) / decay)
    mean = np.einsum("xyij,i,j->xy", correlation, pairs, pairs)
    between: Values = (mean / mean[0, 0])[apart[..., 0], apart[..., 1]]
    return between


def weigh_models(models: CorrelationModels, sums: Values) -> tuple[Values, Values]:
    """Hold the models against what was measured.

    Parameters
    ----------
    models
        Of the squares.
    sums
        float64, (M,): sum of a value over the cells of each square; its mean over all cells is what one wants to know.

    Returns
    -------
    weights
        float64, (K,): of the models, 1 in all.
    variances
        float64, (K,): variance of the mean over all cells as each model estimates it, with `degrees_of_freedom`.

    Notes
    -----
    Block means are taken as normal with one unknown mean and one unknown variance. Both are integrated out (flat in the
    mean and in the logarithm of the standard deviation), which gives the restricted likelihood of Patterson and
    Thompson 1971 (Biometrika 58:545) of each model: -1/2 ((B - 1) log S + log |C| + log 1'C^-1 1), S the weighted sum
    of squares about the weighted mean. Given a model, mean over its standard error is Student's t with B - 1 degrees.
    """
    block_means = np.bincount(models.block, sums) / models.cells
    off = models.whitening @ (block_means - sums.sum() / models.cells.sum())
    along_mean = (models.ones * off).sum(axis=1) ** 2 / (models.ones**2).sum(axis=1)
    square_sum = np.maximum((off**2).sum(axis=1) - along_mean, np.finfo(np.float64).tiny)
    likelihood = -0.5 * (models.degrees_of_freedom * np.log(square_sum) + models.log_size)
    log_weights = models.log_prior + likelihood
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum(), square_sum / models.degrees_of_freedom * models.mean_variance
