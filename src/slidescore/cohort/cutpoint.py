"""The best of all cut-offs, with the p that a search deserves: maximally selected statistics.

Whoever tries every cut-off between the tenth and the ninetieth percentile and keeps the best finds p < 0.05 in 35 to
43 % of cohorts in which there is nothing to find (docs/cohort.md). The adjusted p is the probability, were the marker
unrelated to the outcome, that the best of the same cut-offs reaches the statistic found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

SEARCHED: Final = 0.1
"""The least share of patients on either side of a cut-off that is tried, Miller and Siegmund's e."""

PERMUTATIONS: Final = 10_000
"""Permutations behind the adjusted p of survival: 0.05 is then known to +- 0.004."""

SIGNIFICANT: Final = 0.05
"""The adjusted p whose statistic is drawn into the figure of a search."""

NAIVE_CRITICAL: Final = float(chi2.isf(SIGNIFICANT, 1))
"""What a chi-square at a cut-off declared beforehand must reach."""

_BLOCK: Final = 500
"""Permutations at a time; bounds the memory."""

_CRITICAL_STEP: Final = 0.01
"""How finely the critical chi-square is found; it is only drawn."""

_TIE: Final = 1e-9
"""Statistics this close, relatively, are the same one; outcome scores, absolutely."""


@dataclass(frozen=True, slots=True)
class CutpointSearch:
    """What a search for a cut-off came to; EXPLORATORY whatever its p.

    Attributes
    ----------
    n, n_events
        Patients, and responders or events among them.
    cuts, statistic
        float64 (C,), the scores tried (a patient at or above the cut counts as high) and the chi-square at each.
    best
        The cut with the largest statistic; None like all below where `reason` says why there is none.
    p_naive, p_adjusted
        Without and with the correction. The first is never shown without the second.
    critical
        The statistic that the best cut must reach for an adjusted p of 0.05.
    method
        How `p_adjusted` was found.
    """

    n: int
    n_events: int
    cuts: NDArray[np.float64]
    statistic: NDArray[np.float64]
    best: float | None
    p_naive: float | None
    p_adjusted: float | None
    critical: float | None
    method: str
    reason: str


def allowed_cuts(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Find where a sorted score may be cut: int64 (C,), numbers of patients below the cut.

    Equal scores stay together, and at least `SEARCHED` of the patients (and one) lie on each side.
    """
    n = len(score)
    least = max(1, int(np.ceil(SEARCHED * n - _TIE)))
    below = np.arange(least, n - least + 1)
    return np.asarray(below[score[below - 1] < score[below]], np.int64) if len(below) else np.zeros(0, np.int64)


def search_binary(score: NDArray[np.float64], responder: NDArray[np.bool_]) -> CutpointSearch:
    """Search the cut-off that tells responders best.

    Parameters
    ----------
    score, responder
        float64 and bool (N,), in any order; no missing values.

    Notes
    -----
    Pearson's chi-square without correction at every cut. Given the scores' ties, n and the number of responders, the
    distribution of the largest is exact (Koziol, Biometrics 47 (1991) 1557; Boulesteix, Biom J 48 (2006) 451): see
    `exact_p`.
    """
    order = np.argsort(score, kind="stable")
    values, outcome = score[order], responder[order]
    n, k = len(values), int(responder.sum())
    cuts = allowed_cuts(values)
    if reason := _nothing_to_search(n, k, cuts, "responder"):
        return _no_search(n, k, reason)
    statistic = chi_square_at(np.cumsum(outcome.astype(np.int64))[cuts - 1], cuts, n, k)
    largest = float(statistic.max())
    return CutpointSearch(
        n=n,
        n_events=k,
        cuts=values[cuts],
        statistic=statistic,
        best=float(values[cuts[place_of_largest(statistic)]]),
        p_naive=float(chi2.sf(largest, 1)),
        p_adjusted=exact_p(largest, n, k, cuts),
        critical=_critical(n, k, cuts),
        method="maximally selected chi-square, exact",
        reason="",
    )


def place_of_largest(statistic: NDArray[np.float64]) -> int:
    """Return where float64 (C,) is largest: of equals the lowest cut, whatever their rounding."""
    return int(np.flatnonzero(statistic >= statistic.max() * (1 - _TIE))[0])


def chi_square_at(
    below: NDArray[np.int64] | NDArray[np.float64], cuts: NDArray[np.int64], n: int, k: int
) -> NDArray[np.float64]:
    """Give Pearson's chi-square of responders below a cut: float64, the shape of `below`.

    Parameters
    ----------
    below
        Responders among the `cuts` patients of lowest score.
    cuts, n, k
        Patients below the cut, patients, responders.
    """
    excess = below * n - cuts * k
    return np.asarray(n * np.square(excess.astype(float)) / (cuts * (n - cuts) * float(k) * (n - k)))


def exact_p(largest: float, n: int, k: int, cuts: NDArray[np.int64]) -> float:
    """Give the probability that the largest chi-square over the cuts reaches `largest`, if the order is random.

    Patients are taken in the order of the score; the number of responders among the first i is a random walk that must
    end at k. The probability of every walk that has stayed below `largest` at all cuts so far is carried along.

    Parameters
    ----------
    largest
        The statistic found.
    n, k
        Patients and responders.
    cuts
        int64 (C,), after how many patients there is a cut; ascending.
    """
    counts = np.arange(k + 1)
    inside = np.zeros(k + 1)
    inside[0] = 1.0
    is_cut = np.zeros(n + 1, bool)
    is_cut[cuts] = True
    for taken in range(n):
        step = np.clip((k - counts) / (n - taken), 0.0, 1.0)
        moved = inside * step
        inside = inside - moved
        inside[1:] += moved[:-1]
        if is_cut[taken + 1]:
            reached = chi_square_at(counts, np.full(k + 1, taken + 1), n, k) >= largest * (1 - _TIE)
            inside = np.where(reached, 0.0, inside)
    return float(min(1.0, max(0.0, 1.0 - inside.sum())))


def search_survival(
    score: NDArray[np.float64], months: NDArray[np.float64], event: NDArray[np.bool_], seed: int
) -> CutpointSearch:
    """Search the cut-off that tells survival best.

    Parameters
    ----------
    score, months, event
        float64, float64 and bool (N,), in any order; no missing values.
    seed
        Of the permutations.

    Notes
    -----
    The statistic is the square of the standardised sum of log-rank scores on one side of the cut (Lausen and
    Schumacher, Biometrics 48 (1992) 73); the scores are permuted over the patients for the null distribution of the
    largest, which needs that censoring does not depend on the marker.
    """
    order = np.lexsort((event, months, score))
    values = score[order]
    n, n_events = len(values), int(event.sum())
    cuts = allowed_cuts(values)
    if reason := _nothing_to_search(n, n_events, cuts, "event"):
        return _no_search(n, n_events, reason)
    scores = log_rank_scores(months[order], event[order])
    if not varies(scores):
        return _no_search(n, n_events, "all patients have the same follow-up")
    statistic = score_statistic(scores, cuts)
    largest = float(statistic.max())
    generator = np.random.default_rng(seed)
    drawn = np.concatenate(
        [
            score_statistic(generator.permuted(np.broadcast_to(scores, (_BLOCK, n)), axis=1), cuts).max(axis=-1)
            for _ in range(PERMUTATIONS // _BLOCK)
        ]
    )
    return CutpointSearch(
        n=n,
        n_events=n_events,
        cuts=values[cuts],
        statistic=statistic,
        best=float(values[cuts[place_of_largest(statistic)]]),
        p_naive=float(chi2.sf(largest, 1)),
        p_adjusted=(1 + int((drawn >= largest * (1 - _TIE)).sum())) / (1 + PERMUTATIONS),
        critical=float(np.quantile(drawn, 1 - SIGNIFICANT)),
        method=f"maximally selected log-rank, {PERMUTATIONS:,} permutations",
        reason="",
    )


def log_rank_scores(months: NDArray[np.float64], event: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give each patient's event minus the cumulative hazard at the end of follow-up (Nelson-Aalen): float64 (N,)."""
    times, index = np.unique(months, return_inverse=True)
    events = np.bincount(index, weights=event.astype(float), minlength=len(times))
    at_risk = len(months) - np.searchsorted(np.sort(months), times, side="left")
    return np.asarray(event - np.cumsum(events / at_risk)[index], np.float64)


def varies(outcome: NDArray[np.float64]) -> bool:
    """Say whether outcome scores differ by more than rounding."""
    return bool(np.ptp(outcome) > _TIE) if len(outcome) else False


def miller_siegmund(z: float, searched: float = SEARCHED) -> float:
    """Approximate the adjusted p of a maximally selected z (Miller and Siegmund, Biometrics 38 (1982) 1011).

    A check of the exact and permuted ones; it does not know ties or small samples.

    Parameters
    ----------
    z
        Largest standardised statistic, the square root of a chi-square; above 1.
    searched
        Least share of patients on either side of a cut.
    """
    density = float(norm.pdf(z))
    return density * (z - 1 / z) * float(np.log((1 - searched) ** 2 / searched**2)) + 4 * density / z


def score_statistic(scores: NDArray[np.float64], cuts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the standardised square of the sum of outcome scores below each cut: float64 (..., C).

    Of 0 / 1 it is Pearson's chi-square times (n - 1) / n.

    Parameters
    ----------
    scores
        float64 (..., N), outcome scores in the order of the marker.
    cuts
        int64 (C,), patients below each cut.
    """
    n = scores.shape[-1]
    spread = np.square(scores - scores.mean(axis=-1, keepdims=True)).sum(axis=-1, keepdims=True) / (n - 1)
    below = np.cumsum(scores, axis=-1)[..., cuts - 1] - cuts * scores.mean(axis=-1, keepdims=True)
    return np.asarray(np.square(below) / (spread * cuts * (n - cuts) / n))


def _critical(n: int, k: int, cuts: NDArray[np.int64]) -> float:
    """Find the least chi-square, to 0.01, whose adjusted p is at most 0.05."""
    low, high = 0.0, float(n)
    while high - low > _CRITICAL_STEP:
        middle = (low + high) / 2
        low, high = (low, middle) if exact_p(middle, n, k, cuts) <= SIGNIFICANT else (middle, high)
    return high


def _nothing_to_search(n: int, n_events: int, cuts: NDArray[np.int64], event: str) -> str:
    if n_events == 0:
        return f"there is no {event}"
    if event == "responder" and n_events == n:
        return "every patient is a responder"
    if not len(cuts):
        return f"no score leaves {100 * SEARCHED:g} % of the patients on each side"
    return ""


def _no_search(n: int, n_events: int, reason: str) -> CutpointSearch:
    nothing = np.zeros(0)
    return CutpointSearch(n, n_events, nothing, nothing, None, None, None, None, "", reason)
