"""What a searched cut-off is worth to patients it was not chosen on, and how far it moves from sample to sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slidescore.cohort.cutpoint import allowed_cuts, log_rank_scores, place_of_largest, score_statistic, varies
from slidescore.cohort.survival import observed_minus_expected

Floats = NDArray[np.float64]

FOLDS: Final = 5
REPEATS: Final = 50
"""Splits into folds; their spread is shown, for with few patients it is wide."""

RESAMPLES: Final = 1000
"""Bootstrap samples of the cut's distribution."""

_PERCENTILES: Final = (2.5, 50.0, 97.5)


@dataclass(frozen=True, slots=True)
class NestedCut:
    """A searched cut-off judged by resampling; EXPLORATORY.

    Attributes
    ----------
    effect
        "difference" of response rates (high minus low, as fractions) or "hazard ratio" (high against low).
    apparent
        The effect at the best cut in the very patients who chose it: too large.
    held_out, held_out_low, held_out_high
        The effect when each fold of patients is split at the cut chosen in the other folds (Faraggi and Simon, Stat
        Med 15 (1996) 2203): median and 2.5 to 97.5 % range over the repeated splits. The range is no confidence
        interval: all splits use the same patients.
    cuts
        float64 (B,), the cuts chosen in bootstrap samples.
    cut_low, cut_median, cut_high
        Their percentiles 2.5, 50 and 97.5.
    """

    effect: str
    apparent: float
    held_out: float
    held_out_low: float
    held_out_high: float
    cuts: Floats
    cut_low: float
    cut_median: float
    cut_high: float


def nested_binary(score: Floats, responder: NDArray[np.bool_], seed: int) -> NestedCut | None:
    """Judge the search of `slidescore.cohort.cutpoint.search_binary`; None where there is nothing to search.

    Parameters
    ----------
    score, responder
        float64 and bool (N,); no missing values; rows in an order that does not depend on the file's.
    seed
        Of folds and bootstrap samples.
    """

    def effect(high: NDArray[np.bool_]) -> float:
        return float(responder[high].mean() - responder[~high].mean())

    return _nested(score, lambda rows: responder[rows].astype(float), effect, "difference", seed)


def nested_survival(score: Floats, months: Floats, event: NDArray[np.bool_], seed: int) -> NestedCut | None:
    """Judge the search of `slidescore.cohort.cutpoint.search_survival`; None where there is nothing to search.

    Notes
    -----
    Hazard ratios are Peto's one-step estimates, exp((O - E) / V) of the log-rank test.
    """

    def effect(high: NDArray[np.bool_]) -> float:
        excess, covariance = observed_minus_expected(high.astype(np.int64), 2, months, event)
        return float(np.exp(excess[1] / covariance[1, 1])) if covariance[1, 1] > 0 else np.nan

    return _nested(score, lambda rows: log_rank_scores(months[rows], event[rows]), effect, "hazard ratio", seed)


def choose_cut(score: Floats, outcome: Floats) -> float | None:
    """Choose the cut with the largest statistic; None where no cut can be made or the outcome does not vary.

    Parameters
    ----------
    score, outcome
        float64 (N,): the marker, and the responders (0 / 1) or log-rank scores.
    """
    order = np.argsort(score, kind="stable")
    values, ordered = score[order], outcome[order]
    cuts = allowed_cuts(values)
    if not len(cuts) or not varies(ordered):
        return None
    return float(values[cuts[place_of_largest(score_statistic(ordered, cuts))]])


def _nested(
    score: Floats,
    outcome_of: Callable[[NDArray[np.int64]], Floats],
    effect: Callable[[NDArray[np.bool_]], float],
    name: str,
    seed: int,
) -> NestedCut | None:
    everyone = np.arange(len(score))
    best = choose_cut(score, outcome_of(everyone))
    if best is None:
        return None
    generator = np.random.default_rng(seed)
    held_out = np.array([_held_out(score, outcome_of, effect, generator) for _ in range(REPEATS)])
    held_out = held_out[np.isfinite(held_out)]
    cuts = []
    for _ in range(RESAMPLES):
        rows = generator.integers(0, len(score), len(score))
        if (cut := choose_cut(score[rows], outcome_of(rows))) is not None:
            cuts.append(cut)
    if not len(held_out) or not cuts:
        return None
    low, middle, high = np.percentile(held_out, _PERCENTILES)
    cut_low, cut_median, cut_high = np.percentile(cuts, _PERCENTILES)
    return NestedCut(
        effect=name,
        apparent=effect(score >= best),
        held_out=float(middle),
        held_out_low=float(low),
        held_out_high=float(high),
        cuts=np.array(cuts),
        cut_low=float(cut_low),
        cut_median=float(cut_median),
        cut_high=float(cut_high),
    )


def _held_out(
    score: Floats,
    outcome_of: Callable[[NDArray[np.int64]], Floats],
    effect: Callable[[NDArray[np.bool_]], float],
    generator: np.random.Generator,
) -> float:
    """Split each fold at the cut that the other folds choose; the effect over all folds together."""
    fold = generator.permutation(len(score)) % FOLDS
    high = np.zeros(len(score), bool)
    for number in range(FOLDS):
        training = np.flatnonzero(fold != number)
        cut = choose_cut(score[training], outcome_of(training))
        if cut is None:
            return np.nan
        inside = fold == number
        high[inside] = score[inside] >= cut
    return effect(high) if high.any() and not high.all() else np.nan
