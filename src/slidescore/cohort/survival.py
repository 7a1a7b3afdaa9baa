"""Kaplan-Meier curves and log-rank tests, on arrays, so that windows and permutations can use them by the thousand.

Both are held against lifelines and statsmodels in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from slidescore.cohort.proportions import Z_95

HALF: Final = 0.5
"""Survival at the median."""

_ROUNDING: Final = 1e-9
"""What a product of shares can miss a half by; patients are far too few for a true share so near it."""


@dataclass(frozen=True, slots=True)
class KaplanMeier:
    """A survival curve: what stands at index i holds from `months[i]` until the next.

    Attributes
    ----------
    n, n_events
        Patients and events.
    months
        float64 (T,), 0 and then each distinct time of an event or of a censored patient.
    survival, low, high
        float64 (T,), share without an event and its pointwise 95 % band (log-log transformed Greenwood; NaN where the
        share is 0 or 1).
    at_risk
        int64 (T,), patients who were followed at least until `months[i]`.
    censored_months
        float64 (C,), where patients were censored, ascending.
    """

    n: int
    n_events: int
    months: NDArray[np.float64]
    survival: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    at_risk: NDArray[np.int64]
    censored_months: NDArray[np.float64]

    def at(self, month: float) -> tuple[float, float, float]:
        """Give the share without an event at a month, and its band; NaN after the last patient's follow-up."""
        if not self.n or (month > self.months[-1] and self.survival[-1] > 0):
            return (np.nan, np.nan, np.nan)
        index = int(np.searchsorted(self.months, month, side="right")) - 1
        return float(self.survival[index]), float(self.low[index]), float(self.high[index])

    @property
    def median(self) -> tuple[float | None, float | None, float | None]:
        """Median months and its 95 % interval (Brookmeyer and Crowley 1982, from the band); None: not reached."""
        return (_first(self.months, self.survival), _first(self.months, self.low), _first(self.months, self.high))


@dataclass(frozen=True, slots=True)
class LogRank:
    """A log-rank test that groups have the same survival.

    Attributes
    ----------
    n, n_events, n_groups
        Patients, events, and groups that hold any patient.
    chi_square, df, p
        None where `reason` says why there is no test.
    """

    n: int
    n_events: int
    n_groups: int
    chi_square: float | None
    df: int | None
    p: float | None
    reason: str


def kaplan_meier(months: NDArray[np.float64], event: NDArray[np.bool_]) -> KaplanMeier:
    """Estimate the survival curve of patients.

    Parameters
    ----------
    months, event
        float64 (N,) >= 0 and bool (N,).

    Notes
    -----
    Band: Greenwood's variance on the scale of log(-log S) (Kalbfleisch and Prentice 1980), as lifelines has it.
    """
    times, index = np.unique(months, return_inverse=True)
    events = np.bincount(index, weights=event.astype(float), minlength=len(times))
    leaving = np.bincount(index, minlength=len(times))
    at_risk = len(months) - np.concatenate([[0], np.cumsum(leaving)[:-1]])
    survival = np.cumprod(1 - events / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(events / (at_risk * (at_risk - events)))
        log_survival = np.log(survival)
        half = Z_95 * np.sqrt(variance) / log_survival
        low = np.exp(-np.exp(np.log(-log_survival) - half))
        high = np.exp(-np.exp(np.log(-log_survival) + half))
    inside = (survival > 0) & (survival < 1)
    low, high = np.where(inside, low, np.nan), np.where(inside, high, np.nan)
    if not len(times) or times[0] > 0:
        times = np.concatenate([[0.0], times])
        survival, low, high = (np.concatenate([[v], a]) for v, a in ((1.0, survival), (np.nan, low), (np.nan, high)))
        at_risk = np.concatenate([[len(months)], at_risk])
    return KaplanMeier(
        n=len(months),
        n_events=int(event.sum()),
        months=times,
        survival=survival,
        low=low,
        high=high,
        at_risk=at_risk.astype(np.int64),
        censored_months=np.sort(months[~event]),
    )


def number_at_risk(months: NDArray[np.float64], ticks: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the patients who were followed at least until each tick: int64 (K,)."""
    return np.asarray(len(months) - np.searchsorted(np.sort(months), ticks, side="left"), np.int64)


def log_rank(
    group: NDArray[np.int64],
    months: NDArray[np.float64],
    event: NDArray[np.bool_],
    stratum: NDArray[np.int64] | None = None,
) -> LogRank:
    """Compare the survival of groups, within strata where they are given.

    Parameters
    ----------
    group, months, event, stratum
        int64, float64, bool and int64 (N,).

    Notes
    -----
    Mantel 1966; observed minus expected events and their hypergeometric covariance are summed over strata.
    """
    _, numbers = np.unique(group, return_inverse=True)
    n_groups = int(numbers.max(initial=-1)) + 1
    counts = {"n": len(months), "n_events": int(event.sum()), "n_groups": n_groups}
    if n_groups < 2:  # noqa: PLR2004 - a comparison needs two
        return LogRank(**counts, chi_square=None, df=None, p=None, reason="only one group holds patients")
    if not event.any():
        return LogRank(**counts, chi_square=None, df=None, p=None, reason="no event was seen")
    excess, covariance = observed_minus_expected(numbers, n_groups, months, event, stratum)
    # The groups' excesses sum to 0: one of them is left out.
    excess, covariance = excess[:-1], covariance[:-1, :-1]
    df = int(np.linalg.matrix_rank(covariance))
    if df == 0:
        reason = "no event was seen while patients of two groups were followed"
        return LogRank(**counts, chi_square=None, df=None, p=None, reason=reason)
    chi_square = float(excess @ np.linalg.pinv(covariance) @ excess)
    return LogRank(**counts, chi_square=chi_square, df=df, p=float(chi2.sf(chi_square, df)), reason="")


def observed_minus_expected(
    group: NDArray[np.int64],
    n_groups: int,
    months: NDArray[np.float64],
    event: NDArray[np.bool_],
    stratum: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give each group's excess of events, float64 (G,), and the covariance of these, float64 (G, G).

    Parameters
    ----------
    group
        int64 (N,), 0 to n_groups - 1.
    """
    excess, covariance = np.zeros(n_groups), np.zeros((n_groups, n_groups))
    parts = [np.ones(len(months), bool)] if stratum is None else [stratum == each for each in np.unique(stratum)]
    for part in parts:
        times = np.unique(months[part & event])
        if not len(times):
            continue
        at_risk, events = np.empty((n_groups, len(times))), np.empty((n_groups, len(times)))
        for number in range(n_groups):
            inside = part & (group == number)
            at_risk[number] = number_at_risk(months[inside], times)
            found = np.searchsorted(times, months[inside & event])
            events[number] = np.bincount(found, minlength=len(times))
        total, dead = at_risk.sum(axis=0), events.sum(axis=0)
        share = at_risk / total
        excess += (events - dead * share).sum(axis=1)
        weight = dead * (total - dead) / np.maximum(total - 1, 1)
        covariance += np.diag((weight * share).sum(axis=1)) - (weight * share) @ share.T
    return excess, covariance


def _first(months: NDArray[np.float64], curve: NDArray[np.float64]) -> float | None:
    """Find the first month at which a curve is at or below one half."""
    with np.errstate(invalid="ignore"):
        below = np.flatnonzero(curve <= HALF + _ROUNDING)
    return float(months[below[0]]) if len(below) else None
