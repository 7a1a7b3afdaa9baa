"""An effect along the score, in windows of neighbouring patients that slide over it: no cut-off is needed.

Subpopulation treatment effect pattern plots (STEPP; Bonetti and Gelber, Biostatistics 5 (2004) 465). Windows overlap,
so neighbouring points are not independent, and bands are pointwise; whether the whole curve departs from one common
effect is asked by permutation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slidescore.cohort.proportions import Z_95, difference, proportion
from slidescore.cohort.survival import kaplan_meier, observed_minus_expected

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST_WINDOW: Final = 20
"""Patients in a window; with fewer the curve is noise."""

WINDOW_SHARE: Final = 0.25
"""Of all patients, in a window."""

STEP_SHARE: Final = 0.2
"""Of a window's patients, replaced from one window to the next."""

PERMUTATIONS: Final = 500
"""Of the test; a p of 0.05 is then known to +- 0.02."""

LANDMARK_MONTHS: Final = {"pfs": 6.0, "os": 12.0}
"""At which survival is read along the score where there is no treatment comparison; those of the phase I report."""


@dataclass(frozen=True, slots=True)
class EffectCurve:
    """An effect in windows along the score.

    Attributes
    ----------
    effect
        What is estimated, in words.
    score
        float64 (W,), median score of the patients in each window.
    window_low, window_high
        float64 (W,), least and greatest score of each window.
    n
        int64 (W,), patients in each window.
    estimate, low, high
        float64 (W,), the effect and its pointwise 95 % interval; NaN where a window holds too little.
    overall
        The effect in all patients.
    reference
        The value that means no effect; None where there is none.
    log_axis
        Whether the effect is a ratio.
    p
        Permutation p that the effect is the same along the score; None where it could not be asked.
    reason
        Why there is no curve; empty where there is one.
    """

    effect: str
    score: Floats
    window_low: Floats
    window_high: Floats
    n: NDArray[np.int64]
    estimate: Floats
    low: Floats
    high: Floats
    overall: float | None
    reference: float | None
    log_axis: bool
    p: float | None
    reason: str = ""

    @property
    def percent(self) -> float:
        """What the effect is multiplied with to be shown: 100 for shares, 1 for ratios."""
        return 1.0 if self.log_axis else 100.0

    @property
    def axis(self) -> str:
        """Name of the effect as it is shown."""
        unit = "" if self.log_axis else ", %" if self.reference is None else ", percentage points"
        return f"{self.effect}{unit}"


@dataclass(frozen=True, slots=True)
class _Effect:
    """How an effect is estimated on the scale on which it is tested, and shown."""

    name: str
    estimate: Callable[[NDArray[np.int64], NDArray[np.int64]], float]
    """Of patients (first) with the outcomes of others (second), as a permutation gives them."""
    interval: Callable[[NDArray[np.int64]], tuple[float, float, float]]
    reference: float | None
    log_axis: bool = False


def windows(score: Floats) -> list[Flags]:
    """Make the windows: a list of bool (N,), from low to high scores.

    A window is a range of scores, so patients of equal score are in the same windows whatever their order.
    """
    n = len(score)
    size = max(LEAST_WINDOW, int(np.ceil(WINDOW_SHARE * n)))
    if n < 2 * LEAST_WINDOW:
        return []
    values = np.sort(score)
    step = max(1, round(STEP_SHARE * size))
    starts = [*range(0, n - size, step), n - size]
    ranges = sorted({(float(values[start]), float(values[start + size - 1])) for start in starts})
    return [(score >= low) & (score <= high) for low, high in ranges]


def response_curve(
    score: Floats, responder: Flags, treated: Flags | None, seed: int, permutations: int = PERMUTATIONS
) -> EffectCurve:
    """Follow the response along the score.

    Parameters
    ----------
    score, responder
        float64 and bool (N,).
    treated
        bool (N,), whether in the experimental arm; then the effect is the difference of response rates (Newcombe's
        interval). None: the effect is the response rate itself (Clopper-Pearson).
    seed, permutations
        Of the test.
    """
    hit = responder.astype(float)
    if treated is None:
        return _curve(
            score,
            None,
            _Effect("response rate", lambda rows, drawn: float(hit[drawn].mean()), lambda rows: _rate(hit[rows]), None),
            seed,
            permutations,
        )

    def estimate(rows: NDArray[np.int64], drawn: NDArray[np.int64]) -> float:
        arm = treated[rows]
        if arm.all() or not arm.any():
            return np.nan
        return float(hit[drawn[arm]].mean() - hit[drawn[~arm]].mean())

    def interval(rows: NDArray[np.int64]) -> tuple[float, float, float]:
        one, other = hit[rows][treated[rows]], hit[rows][~treated[rows]]
        found = difference(int(one.sum()), len(one), int(other.sum()), len(other))
        if found.estimate is None or found.low is None or found.high is None:
            return np.nan, np.nan, np.nan
        return found.estimate, found.low, found.high

    return _curve(score, treated, _Effect("difference of response rates", estimate, interval, 0.0), seed, permutations)


def survival_curve(
    score: Floats,
    months: Floats,
    event: Flags,
    treated: Flags | None,
    landmark: float,
    seed: int,
    permutations: int = PERMUTATIONS,
) -> EffectCurve:
    """Follow survival along the score.

    Parameters
    ----------
    score, months, event
        float64, float64 and bool (N,).
    treated
        bool (N,), whether in the experimental arm; then the effect is the hazard ratio (Peto's one-step estimate).
        None: the effect is the share without an event at `landmark`.
    landmark
        Months.
    seed, permutations
        Of the test.
    """
    if treated is None:

        def share(rows: NDArray[np.int64], drawn: NDArray[np.int64]) -> float:
            return kaplan_meier(months[drawn], event[drawn]).at(landmark)[0]

        def band(rows: NDArray[np.int64]) -> tuple[float, float, float]:
            return kaplan_meier(months[rows], event[rows]).at(landmark)

        return _curve(
            score, None, _Effect(f"share without event at {landmark:g} months", share, band, None), seed, permutations
        )

    def log_ratio(rows: NDArray[np.int64], drawn: NDArray[np.int64]) -> float:
        excess, covariance = observed_minus_expected(treated[rows].astype(np.int64), 2, months[drawn], event[drawn])
        return float(excess[1] / covariance[1, 1]) if covariance[1, 1] > 0 else np.nan

    def interval(rows: NDArray[np.int64]) -> tuple[float, float, float]:
        excess, covariance = observed_minus_expected(treated[rows].astype(np.int64), 2, months[rows], event[rows])
        if not covariance[1, 1] > 0:
            return np.nan, np.nan, np.nan
        log_hr, half = excess[1] / covariance[1, 1], Z_95 / np.sqrt(covariance[1, 1])
        return float(np.exp(log_hr)), float(np.exp(log_hr - half)), float(np.exp(log_hr + half))

    return _curve(score, treated, _Effect("hazard ratio", log_ratio, interval, 1.0, log_axis=True), seed, permutations)


def _curve(score: Floats, treated: Flags | None, effect: _Effect, seed: int, permutations: int) -> EffectCurve:
    inside = [np.flatnonzero(window) for window in windows(score)]
    if not inside:
        reason = f"fewer than {2 * LEAST_WINDOW} patients with score and outcome, or one score in all"
        return _no_curve(effect, reason)
    found = np.array([effect.interval(rows) for rows in inside])
    everyone = np.arange(len(score))
    overall = effect.interval(everyone)[0]
    if np.isnan(found[:, 0]).all() or np.isnan(overall):
        return _no_curve(effect, "no window holds enough events or follow-up")
    return EffectCurve(
        effect=effect.name,
        score=np.array([np.median(score[rows]) for rows in inside]),
        window_low=np.array([score[rows].min() for rows in inside]),
        window_high=np.array([score[rows].max() for rows in inside]),
        n=np.array([len(rows) for rows in inside]),
        estimate=found[:, 0],
        low=found[:, 1],
        high=found[:, 2],
        overall=float(overall),
        reference=effect.reference,
        log_axis=effect.log_axis,
        p=_permutation_p(inside, treated, effect, len(score), seed, permutations) if len(inside) > 1 else None,
    )


def _permutation_p(
    inside: list[NDArray[np.int64]], treated: Flags | None, effect: _Effect, n: int, seed: int, permutations: int
) -> float | None:
    """Ask whether the curve departs from the overall effect more than with outcomes dealt out anew within each arm.

    The statistic is the largest departure of a window in units of its standard deviation over the permutations.
    """
    generator = np.random.default_rng(seed)
    arms = [np.arange(n)] if treated is None else [np.flatnonzero(treated), np.flatnonzero(~treated)]
    departures = np.empty((1 + permutations, len(inside)))
    everyone = drawn = np.arange(n)
    overall = effect.estimate(everyone, everyone)
    for number in range(1 + permutations):
        departures[number] = [effect.estimate(rows, drawn[rows]) - overall for rows in inside]
        drawn = everyone.copy()
        for arm in arms:
            drawn[arm] = generator.permutation(arm)
    spread = np.nanstd(departures[1:], axis=0) if np.isfinite(departures[1:]).any(axis=0).all() else np.zeros(1)
    if not (spread > 0).all():
        return None
    largest = np.nanmax(np.abs(departures) / spread, axis=1)
    return float((1 + (largest[1:] >= largest[0]).sum()) / (1 + permutations))


def _rate(hit: Floats) -> tuple[float, float, float]:
    found = proportion(int(hit.sum()), len(hit))
    if found.share is None or found.low is None or found.high is None:
        return np.nan, np.nan, np.nan
    return found.share, found.low, found.high


def _no_curve(effect: _Effect, reason: str) -> EffectCurve:
    nothing = np.zeros(0)
    whole = np.zeros(0, np.int64)
    return EffectCurve(
        effect=effect.name,
        score=nothing,
        window_low=nothing,
        window_high=nothing,
        n=whole,
        estimate=nothing,
        low=nothing,
        high=nothing,
        overall=None,
        reference=effect.reference,
        log_axis=effect.log_axis,
        p=None,
        reason=reason,
    )
