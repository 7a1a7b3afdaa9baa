"""Replicates of a slide's counts: squares drawn again, and stretched as far as squares that hang together ask for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from slidescore.assay.model import Interval, Scale
from slidescore.errors import InputError
from slidescore.scoring.bins import N_BINS
from slidescore.scoring.spatial import CorrelationModels, correlation_models, weigh_models
from slidescore.scoring.squares import SquareCounts

Values = NDArray[np.float64]

SEED_BYTES = 16
"""Of the SHA-256 that make a seed: 128 bits, what numpy's generator takes at once."""
INTENSITIES = (0.0, 1.0, 2.0, 3.0)
"""What a cell of each bin counts for in an H-score of 0 to 3."""
JUDGED_ON: Mapping[Scale, tuple[float, ...]] = MappingProxyType(
    {
        "h_score": INTENSITIES,
        "percent_positive": (0.0, 1.0, 1.0, 1.0),
        "irs": INTENSITIES,
        "allred": INTENSITIES,
        "pixel_h_score": INTENSITIES,
    }
)
"""What a cell of each bin counts for when it is judged how far squares hang together: its own terms of a score that is
a mean over cells, those of the H-score for IRS and Allred."""
CELL_STREAM = 1
"""Second word of the seed where cells are drawn, so that they share nothing with the draws of squares."""


@dataclass(frozen=True, slots=True)
class Replicates:
    """What all schemes and compartments of the same squares share: which squares each replicate drew.

    Make it once for a slide (`bootstrap`), then ask `replicate_counts`, `replicate_scores` and `uncertainty_of` for
    each array of counts, (M, 4), that belongs to the same places: compartments differ in counts only.

    Attributes
    ----------
    n_squares
        M.
    reason
        Why there are no replicates; empty where there are. With a reason the arrays are empty and `models` is None.
    seed
        What it was drawn with.
    weights
        uint16, (R, M): how often each replicate drew each square.
    model_rank
        float64, (R,): evenly spread over 0 to 1; which model of correlation a replicate follows.
    spread
        float64, (R,): the standard error of a replicate over the estimated one, from the chi-squared distribution.
    models
        How the squares may hang together.
    """

    n_squares: int
    reason: str
    seed: int
    weights: NDArray[np.uint16]
    model_rank: Values
    spread: Values
    models: CorrelationModels | None


def seed_of(*parts: str) -> int:
    """Return a seed below 2**128 from texts, above all a slide's fingerprint and a name: SHA-256 of them.

    `seed_of(fingerprint, "squares")` of one slide is the seed of all its scores, so that they share replicates.
    """
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES], "big")


def bootstrap(squares: SquareCounts, settings: Interval, seed: int, what: str = "tumor cells") -> Replicates:
    """Draw the squares of a slide again, `settings.replicates` times.

    Parameters
    ----------
    squares
        Places, and cells in each; how the cells are spread over the bins does not matter here.
    settings
        The assay's `interval` block.
    seed
        Of `seed_of`. Slides of a patient need seeds of their own, or their replicates would not be independent.
    what
        What squares hold, for the reason.
    """
    n_squares = squares.n_squares
    if n_squares < settings.min_squares:
        held = f"{n_squares} square of" if n_squares == 1 else f"{n_squares} squares of"
        hold = "holds" if n_squares == 1 else "hold"
        reason = f"only {held} {settings.square_um:g} um {hold} {what} (at least {settings.min_squares})"
        if n_squares == 0:
            reason = f"no square holds {what}"
        return Replicates(n_squares, reason, seed, np.zeros((0, n_squares), np.uint16), np.zeros(0), np.zeros(0), None)
    rng = np.random.Generator(np.random.PCG64(seed))
    n_replicates = settings.replicates
    drawn = rng.integers(0, n_squares, (n_replicates, n_squares))
    drawn += n_squares * np.arange(n_replicates)[:, None]
    times = np.bincount(drawn.ravel(), minlength=n_replicates * n_squares)
    weights = times.reshape(n_replicates, n_squares).astype(np.uint16)
    models = correlation_models(squares.places, squares.counts.sum(axis=1))
    # Evenly spread ranks in random order instead of random numbers: fewer replicates give the same steadiness.
    ranks = (np.arange(n_replicates) + 0.5) / n_replicates
    model_rank, spread_rank = rng.permutation(ranks), rng.permutation(ranks)
    half_degrees = models.degrees_of_freedom / 2
    spread = np.sqrt(half_degrees / gammaincinv(half_degrees, spread_rank))
    return Replicates(n_squares, "", seed, weights, model_rank, spread, models)


@dataclass(frozen=True, slots=True)
class MeanError:
    """How sure the mean over cells is that a score is judged on (`JUDGED_ON`), in units of that mean squared.

    Attributes
    ----------
    weights, variances
        float64, (K,): of each model of correlation its weight, and the variance of the mean that it gives, at least
        `independent`.
    independent
        Variance if cells were independent: the variance between cells over their number.
    drawn
        Variance that drawing squares alone gives: the sum of their squared influences.
    n_cells
        Of the slide.
    """

    weights: Values
    variances: Values
    independent: float
    drawn: float
    n_cells: float

    @property
    def n_eff(self) -> float | None:
        """Independent cells with the same standard error; None where all cells are alike, which tells nothing."""
        return float(self.n_cells * self.independent / (self.weights @ self.variances)) if self.independent else None


def replicate_counts(replicates: Replicates, counts: Values, scale: Scale) -> Values:
    """Return corrected replicates of a slide's counts; float64, (R, 4), each row summing to the slide's cells.

    The correction is in them: a score of each row is a replicate of the score of the process. To pool the cells of a
    patient's slides, add the arrays of the slides (each bootstrapped with its own seed) and score the rows of the sum.

    Parameters
    ----------
    replicates
        Of the slide.
    counts
        float64, (M, 4), of one compartment on the slide's squares.
    scale
        Name of the scheme that the counts are for: how far the squares hang together is judged on it.

    Raises
    ------
    InputError
        If there are no replicates, or counts belong to other squares.

    Notes
    -----
    Each replicate of the shares is stretched about the slide's shares, as ratios, share (replicate / share) ** stretch,
    and brought back to a sum of 1: for small changes the same as a linear stretch, but shares stay between 0 and 1 and
    the interval of a small share is skewed as it should be. The stretch is the standard error that the replicate's
    model of correlation gives, widened by `spread` (Student's t), over that of drawing squares alone. No model is
    believed in which cells tell more than independent cells would, and where squares are more alike than independent
    cells would make them, cells are drawn in their place.
    """
    return stretch_draws(replicates, counts, mean_error(replicates, counts, scale))


def mean_error(replicates: Replicates, counts: Values, scale: Scale) -> MeanError:
    """Judge how sure the mean over cells is that a score is judged on; arguments as for `replicate_counts`."""
    models = _models_for(replicates, counts)
    value, total = np.array(JUDGED_ON[scale]), counts.sum(axis=0)
    n_cells = total.sum()
    mean = total @ value / n_cells
    independent = independent_variance(total, scale)
    influence = (counts @ value - counts.sum(axis=1) * mean) / n_cells
    weights, variances = weigh_models(models, counts @ value)
    return MeanError(weights, np.maximum(variances, independent), independent, influence @ influence, n_cells)


def independent_variance(total: Values, scale: Scale) -> float:
    """Return the variance, between independent cells over their number, of the mean that a score is judged on.

    Parameters
    ----------
    total
        float64, (4,): counts of all squares together.
    scale
        Name of the scheme.
    """
    value, n_cells = np.array(JUDGED_ON[scale]), total.sum()
    return float(total @ (value - total @ value / n_cells) ** 2 / n_cells**2)


def _models_for(replicates: Replicates, counts: Values) -> CorrelationModels:
    if replicates.models is None:
        raise InputError(f"there are no replicates: {replicates.reason}")
    if counts.shape != (replicates.n_squares, N_BINS):
        raise InputError(f"counts of shape {counts.shape} do not belong to {replicates.n_squares} squares")
    return replicates.models


def stretch_draws(replicates: Replicates, counts: Values, error: MeanError) -> Values:
    """Return what `replicate_counts` does, for an error that is known."""
    total = counts.sum(axis=0)
    share = total / total.sum()
    model = np.searchsorted(np.cumsum(error.weights)[:-1], replicates.model_rank)
    if error.drawn < error.independent:
        drawn = draw_cells(total, replicates.seed, len(replicates.spread))
    else:
        drawn = replicates.weights.astype(np.float64) @ counts
    moved = max(error.drawn, error.independent)
    # Where all cells are alike there is nothing to stretch.
    stretch = np.sqrt(error.variances / moved)[model] * replicates.spread if moved > 0 else replicates.spread
    drawn /= drawn.sum(axis=1, keepdims=True)
    ratio = np.divide(drawn, share, out=np.zeros_like(drawn), where=share > 0)
    power = np.log(ratio, out=np.full_like(ratio, -np.inf), where=ratio > 0) * stretch[:, None]
    # The largest power is taken off first: only their ratios count, and far stretched ones are too large for a float.
    stretched: Values = share * np.exp(power - power.max(axis=1, keepdims=True))
    stretched *= total.sum() / stretched.sum(axis=1, keepdims=True)
    return stretched


def draw_cells(total: Values, seed: int, n_replicates: int) -> Values:
    """Draw the cells of a slide again as if each stood for itself; float64, (R, 4), from the counts, float64 (4,)."""
    rng = np.random.Generator(np.random.PCG64([seed, CELL_STREAM]))
    n_cells = total.sum()
    return rng.multinomial(round(float(n_cells)), total / n_cells, n_replicates).astype(np.float64)
