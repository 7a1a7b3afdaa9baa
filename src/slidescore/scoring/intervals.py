"""Intervals of scores: squares of a fixed grid are drawn again, and what comes out is stretched as far as it must be.

The target is the score of the process that made the tissue, not of the cells that happen to lie in it.
`docs/intervals.md` explains the method and how it was tested.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from slidescore.assay.model import Cutoff, Interval, Scale, Score
from slidescore.scoring.replicates import (
    Replicates,
    bootstrap,
    draw_cells,
    independent_variance,
    mean_error,
    replicate_counts,
    seed_of,
    stretch_draws,
)
from slidescore.scoring.schemes import SCHEMES, score_counts
from slidescore.scoring.squares import SquareCounts

__all__ = [
    "Replicates",
    "Uncertainty",
    "bootstrap",
    "interval_of",
    "replicate_counts",
    "replicate_scores",
    "seed_of",
    "share_meeting",
    "uncertainty",
    "uncertainty_of",
]

Values = NDArray[np.float64]

TAIL = 0.025
"""Share of replicates beyond each end of a 95 % interval."""
NORMAL_975 = 1.959963984540054
"""97.5th percentile of the standard normal distribution."""
DECIMALS = 6
"""To which intervals are given: powers round otherwise on other processors, and a run is verified on any."""
PER_UNIT: Mapping[Scale, float] = MappingProxyType(
    {"h_score": 100.0, "percent_positive": 100.0, "pixel_h_score": 100.0}
)
"""Of the scores that are a mean over cells: score per unit of that mean. The others move in steps."""


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How sure a score is. Where there is no interval, `reason` says why and the other fields are None.

    Attributes
    ----------
    n_squares
        Squares that hold counted cells.
    reason
        Why there is no interval; empty where there is one.
    low, high
        95 % interval of the score of the process, on the score's own scale.
    n_eff
        Independent cells that would pin the score down as well; at most the cells there are.
    naive_low, naive_high
        95 % interval as if cells were independent: far too narrow, shown beside the other.
    p_high
        Share of replicates that meet the cut-off; None without a cut-off on this scale.
    """

    n_squares: int
    reason: str
    low: float | None = None
    high: float | None = None
    n_eff: float | None = None
    naive_low: float | None = None
    naive_high: float | None = None
    p_high: float | None = None


def replicate_scores(replicates: Replicates, counts: Values, scale: Scale, score: Score) -> Values:
    """Return corrected replicates of a slide's score; float64, (R,), in an order that means nothing.

    Slides are drawn independently, so replicate k of a patient's mean (maximum) is the mean (maximum) over the slides
    of their k-th replicates; `interval_of` and `share_meeting` then give low, high and p_high.

    Raises
    ------
    InputError
        If there are no replicates, or counts belong to other squares.
    """
    return score_counts(scale, replicate_counts(replicates, counts, scale), score)


def interval_of(replicates: Values) -> tuple[float, float]:
    """Return the 95 % interval that replicates of a score, float64 (R,), stand for: 2.5th and 97.5th percentile.

    Both ends are replicates, so an interval of a score that moves in steps ends on steps.
    """
    low, high = np.quantile(replicates, [TAIL, 1 - TAIL], method="inverted_cdf")
    return round(float(low), DECIMALS), round(float(high), DECIMALS)


def share_meeting(replicates: Values, cutoff: Cutoff) -> float:
    """Return the share of replicates of a score, float64 (R,), that meet a cut-off: p_high."""
    # Counts that were stretched sum with rounding: 100 % positive must still meet a cut-off of 100.
    above = np.round(replicates - cutoff.value, DECIMALS)
    met = above >= 0 if cutoff.operator == ">=" else above > 0
    return float(met.mean())


def uncertainty_of(
    replicates: Replicates, counts: Values, scale: Scale, score: Score, cutoff: Cutoff | None = None
) -> Uncertainty:
    """Return the uncertainty of one scheme in one compartment.

    Parameters
    ----------
    replicates
        Of the slide.
    counts
        float64, (M, 4), of the compartment on the slide's squares.
    scale
        Name of the scheme.
    score
        The assay's `score` block.
    cutoff
        For p_high; one on another scale gives none.

    Raises
    ------
    InputError
        If counts belong to other squares.
    """
    if replicates.reason:
        return Uncertainty(replicates.n_squares, replicates.reason)
    error = mean_error(replicates, counts, scale)
    drawn = score_counts(scale, stretch_draws(replicates, counts, error), score)
    low, high = interval_of(drawn)
    value = float(score_counts(scale, counts.sum(axis=0), score))
    naive_low, naive_high = _naive_interval(counts.sum(axis=0), scale, score, replicates.seed, len(drawn))
    return Uncertainty(
        n_squares=replicates.n_squares,
        reason="",
        # Steps can put a score on the edge of its own replicates.
        low=min(low, value),
        high=max(high, value),
        n_eff=None if error.n_eff is None else round(error.n_eff, DECIMALS),
        naive_low=min(naive_low, value),
        naive_high=max(naive_high, value),
        p_high=None if cutoff is None or cutoff.scale != scale else share_meeting(drawn, cutoff),
    )


def _naive_interval(total: Values, scale: Scale, score: Score, seed: int, n_replicates: int) -> tuple[float, float]:
    """Interval as if each cell had been drawn by itself: score -+ 1.96 SE, or cells drawn again where it has steps."""
    if scale in PER_UNIT:
        scheme = SCHEMES[scale]
        error = PER_UNIT[scale] * math.sqrt(independent_variance(total, scale))
        value = float(score_counts(scale, total, score))
        low, high = max(value - NORMAL_975 * error, scheme.low), min(value + NORMAL_975 * error, scheme.high)
        return round(low, DECIMALS), round(high, DECIMALS)
    return interval_of(score_counts(scale, draw_cells(total, seed, n_replicates), score))


def uncertainty(
    squares: SquareCounts, scale: Scale, score: Score, settings: Interval, seed: int, cutoff: Cutoff | None = None
) -> Uncertainty:
    """Return the uncertainty of one score of a slide: `bootstrap`, then `uncertainty_of`."""
    return uncertainty_of(bootstrap(squares, settings, seed), squares.counts, scale, score, cutoff)
