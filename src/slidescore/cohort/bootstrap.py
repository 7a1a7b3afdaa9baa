"""Intervals by drawing patients again: the slides of a patient come and go together, as they were sampled.

The ends are bias-corrected and accelerated (BCa: Efron 1987, J Am Stat Assoc 82:171), with the acceleration from
leaving out one patient at a time. They are widened as Student's t is against the normal, and by the root of
n / (n - 1), because resamples of few patients vary less than patients do (Hesterberg 2015, Am Stat 69:371,
"expanded"). Random numbers come from the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from slidescore.cohort.agreement import Ratings, Statistic, Values, Weights
from slidescore.cohort.proportions import LEVEL

REPLICATES: Final = 2000
"""Resamples of an interval."""
MIN_PATIENTS: Final = 10
"""Patients below which resampling says too little about other patients for an interval; see docs/validate.md."""
MAX_UNDEFINED: Final = 0.05
"""Share of resamples without a value (nothing varies in them) up to which the others make an interval."""
METHOD: Final = "BCa bootstrap by patient, expanded"
"""What tables call it."""

_CHUNK: Final = 1 << 20
"""Weights that are held at once: bounds memory, changes no number."""
_SAME: Final = 1e-9
"""Difference of values that is rounding."""
_LEAST: Final = 2
"""Slides without which nothing can be said about agreement."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with its 95 % interval.

    Attributes
    ----------
    value
        None where the statistic is not defined; then there is no interval either.
    low, high
        None where there is no interval.
    n_slides, n_patients
        What it is of; slides of no known patient are a patient each.
    reason
        Why value or interval is missing; empty where neither is.
    """

    value: float | None
    low: float | None
    high: float | None
    n_slides: int
    n_patients: int
    reason: str


def patient_codes(patients: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of each slide's patient, in order of their names; int64, (N,), from 0 without gaps."""
    return np.unique(np.asarray(patients, dtype=str), return_inverse=True)[1].astype(np.int64)


def patient_weights(codes: NDArray[np.int64], replicates: int, seed: int) -> Weights:
    """Draw as many patients as there are, with replacement; float64, (R, N): how often each slide was drawn.

    Parameters
    ----------
    codes
        int64, (N,): the patient of each slide, 0 to P - 1.
    replicates
        R.
    seed
        Of the random numbers; the same patients in the same order draw the same.
    """
    n_patients = int(codes.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=replicates)
    return drawn[:, codes].astype(np.float64)


def bootstrap_estimates(
    statistics: Sequence[tuple[Statistic, str]],
    ratings: Ratings,
    patients: Sequence[str],
    seed: int,
    *,
    replicates: int = REPLICATES,
) -> tuple[Estimate, ...]:
    """Return statistics of the same ratings with their 95 % intervals, all from the same resamples.

    Parameters
    ----------
    statistics
        Each with what it means when two or more slides give it no value; see `slidescore.cohort.agreement`.
    ratings
        float64, (N, K); a row a slide, in an order that does not hang on the user's table.
    patients
        The patient of each slide.
    seed
        Of the random numbers.
    replicates
        Resamples.
    """
    codes = patient_codes(patients)
    n_slides, n_patients = len(ratings), int(codes.max(initial=-1)) + 1
    nothing = Estimate(None, None, None, n_slides, n_patients, "")
    if n_slides < _LEAST:
        reason = "one slide only" if n_slides else "no slide"
        return tuple(replace(nothing, reason=reason) for _ in statistics)
    values = [float(statistic(ratings, np.ones((1, n_slides)))[0]) for statistic, _ in statistics]
    estimates = [
        replace(nothing, reason=undefined) if np.isnan(value) else replace(nothing, value=value)
        for value, (_, undefined) in zip(values, statistics, strict=True)
    ]
    if n_patients < MIN_PATIENTS:
        reason = f"{n_patients} patients, an interval needs {MIN_PATIENTS}"
        return tuple(each if each.value is None else replace(each, reason=reason) for each in estimates)
    drawn = patient_weights(codes, replicates, seed)
    without = (codes != np.arange(n_patients)[:, np.newaxis]).astype(np.float64)
    return tuple(
        _with_interval(each, statistic, undefined, ratings, drawn, without)
        for each, (statistic, undefined) in zip(estimates, statistics, strict=True)
    )


def _with_interval(
    estimate: Estimate, statistic: Statistic, undefined: str, ratings: Ratings, drawn: Weights, without: Weights
) -> Estimate:
    """Add the interval, given the weights of the resamples and those that leave out one patient each."""
    if estimate.value is None:
        return estimate
    values = _in_chunks(statistic, ratings, drawn)
    found = values[~np.isnan(values)]
    if len(found) < (1 - MAX_UNDEFINED) * len(values):
        lost = len(values) - len(found)
        return replace(estimate, reason=f"{lost} of {len(values)} resamples have no value: {undefined}")
    if np.ptp(found) < _SAME:
        return replace(estimate, reason="every resample has the same value")
    left = _in_chunks(statistic, ratings, without)
    low, high = _bca_ends(estimate.value, found, left[~np.isnan(left)], len(without))
    return replace(estimate, low=low, high=high)


def _bca_ends(value: float, drawn: Values, without: Values, n_patients: int) -> tuple[float, float]:
    """Return the widened BCa ends of resampled values, given the values without each patient."""
    below = np.mean(drawn < value - _SAME) + np.mean(np.abs(drawn - value) <= _SAME) / 2
    # A share of 0 or 1 would put the end at infinity; half a resample is the least that could have been seen.
    half = 0.5 / len(drawn)
    shift = ndtri(np.clip(below, half, 1 - half))
    pulls = without.mean() - without
    spread = np.sum(pulls**2)
    acceleration = np.sum(pulls**3) / (6 * spread**1.5) if spread > _SAME**2 else 0.0
    wide = np.sqrt(n_patients / (n_patients - 1)) * stdtrit(n_patients - 1, (1 + LEVEL) / 2)
    tails = shift + np.array([-wide, wide])
    shares = ndtr(shift + tails / (1 - acceleration * tails))
    low, high = np.quantile(drawn, shares)
    return float(low), float(high)


def _in_chunks(statistic: Statistic, ratings: Ratings, weights: Weights) -> Values:
    rows = max(1, _CHUNK // weights.shape[1])
    parts = [statistic(ratings, weights[start : start + rows]) for start in range(0, len(weights), rows)]
    return np.concatenate(parts)
