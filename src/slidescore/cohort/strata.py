"""One comparison of two groups over strata: Cochran-Mantel-Haenszel, and exact where the strata are sparse.

Strata that hold only one of the two groups, or only one outcome, say nothing about the comparison; they are counted
and left out, as every conditional method does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaln

from slidescore.cohort.proportions import LEVEL
from slidescore.cohort.quiet_fit import quiet

MANTEL_FLEISS: Final = 5.0
"""The chi-square of Cochran, Mantel and Haenszel is trusted where the sum of expected counts lies at least so far
from its least and its largest possible value (Mantel and Fleiss, Am J Epidemiol 112 (1980) 129); below, the exact
test is."""

LEAST_EXPECTED: Final = 5.0
"""Breslow and Day's test needs large strata: an expected count at this value or above in every cell of every stratum
(Cochran's rule); otherwise Zelen's exact test stands in its place."""

ZELEN_TABLES: Final = 10_000
"""Random tables of Zelen's test: a p of 0.05 is then known to +- 0.004."""

_TIE: Final = 1 + 1e-7
"""Probabilities this close count as equal, as in R's exact tests."""

_MAX_LOG_ODDS: Final = 60.0
"""Beyond any odds ratio that a table of patients can hold, and within floating point."""


@dataclass(frozen=True, slots=True)
class StratifiedComparison:
    """The common odds ratio of two groups over strata.

    Attributes
    ----------
    n, n_strata, n_informative
        Patients; strata that hold any; strata that say something about the comparison.
    odds_ratio, low, high
        Common odds ratio of the first group against the second and its 95 % interval: Mantel-Haenszel with the
        interval of Robins, Breslow and Greenland, or conditional maximum likelihood with the exact interval (whose ends
        may be 0 or infinity) where the strata are sparse.
    p, p_cmh, p_exact
        The p to use (that of `method`), of the Cochran-Mantel-Haenszel chi-square without correction, and of the exact
        conditional test.
    method
        "Mantel-Haenszel" or "exact conditional".
    p_homogeneity, homogeneity
        Whether the odds ratio is the same in all strata, and by which test: "Breslow-Day" with Tarone's correction, or
        "Zelen", the exact test over random tables.
    reason
        Why there is no number; empty where there is one.
    """

    n: int
    n_strata: int
    n_informative: int
    odds_ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_cmh: float | None = None
    p_exact: float | None = None
    method: str = ""
    p_homogeneity: float | None = None
    homogeneity: str = ""
    reason: str = ""


def compare_over_strata(
    first: NDArray[np.bool_], outcome: NDArray[np.bool_], stratum: NDArray[np.int64], seed: int
) -> StratifiedComparison:
    """Compare the outcome of two groups over strata.

    Parameters
    ----------
    first
        bool (N,), whether a patient is in the first group.
    outcome
        bool (N,).
    stratum
        int64 (N,), the stratum of each patient.
    seed
        Of the random tables of Zelen's test.

    Notes
    -----
    The exact test is that of the sum of the first group's outcomes, given the margins of every stratum (its
    distribution is the convolution of the strata's hypergeometric ones): two-sided p by probability, interval by both
    tails, as R's `mantelhaen.test(exact = TRUE)` has them.
    """
    tables = _tables(first, outcome, stratum)
    n_strata = len(tables)
    n1, n0 = tables[:, 0].sum(axis=1), tables[:, 1].sum(axis=1)
    events, others = tables[:, :, 0].sum(axis=1), tables[:, :, 1].sum(axis=1)
    tables = tables[(n1 > 0) & (n0 > 0) & (events > 0) & (others > 0)]
    counts = (len(first), n_strata, len(tables))
    if not len(tables):
        return StratifiedComparison(*counts, reason="no stratum holds both groups and both outcomes")
    exact = _exact(tables)
    asymptotic = _mantel_haenszel(tables)
    p_homogeneity, homogeneity = _homogeneity(tables, seed)
    sparse = _is_sparse(tables) or asymptotic is None
    odds_ratio, low, high, p_exact = exact
    p_cmh = asymptotic[3] if asymptotic else None
    if asymptotic is not None and not sparse:
        odds_ratio, low, high, _ = asymptotic
    return StratifiedComparison(
        *counts,
        odds_ratio=odds_ratio,
        low=low,
        high=high,
        p=p_exact if sparse else p_cmh,
        p_cmh=p_cmh,
        p_exact=p_exact,
        method="exact conditional" if sparse else "Mantel-Haenszel",
        p_homogeneity=p_homogeneity,
        homogeneity=homogeneity,
    )


def _tables(first: NDArray[np.bool_], outcome: NDArray[np.bool_], stratum: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count int64 (K, 2, 2): stratum, group (the first one first), outcome (with it first)."""
    _, numbers = np.unique(stratum, return_inverse=True)
    tables = np.zeros((int(numbers.max(initial=-1)) + 1, 2, 2), np.int64)
    np.add.at(tables, (numbers, (~first).astype(int), (~outcome).astype(int)), 1)
    return tables


def _spans(tables: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the least and greatest count that the first group's outcomes can have in each stratum, given its margins."""
    n1, n0, events = tables[:, 0].sum(axis=1), tables[:, 1].sum(axis=1), tables[:, :, 0].sum(axis=1)
    return np.maximum(0, events - n0), np.minimum(n1, events)


def _is_sparse(tables: NDArray[np.int64]) -> bool:
    low, high = _spans(tables)
    expected = (tables[:, 0].sum(axis=1) * tables[:, :, 0].sum(axis=1) / tables.sum(axis=(1, 2))).sum()
    return bool(min(expected - low.sum(), high.sum() - expected) < MANTEL_FLEISS)


def _mantel_haenszel(tables: NDArray[np.int64]) -> tuple[float, float, float, float] | None:
    """Give odds ratio, interval and p; None where they are not finite."""
    with quiet():
        from statsmodels.stats.contingency_tables import StratifiedTable

        table = StratifiedTable([each.astype(float) for each in tables])
        low, high = table.oddsratio_pooled_confint(1 - LEVEL)
        values = (float(table.oddsratio_pooled), float(low), float(high), float(table.test_null_odds().pvalue))
    return values if np.isfinite(values).all() and values[0] > 0 else None


def _weights(tables: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Give each stratum's hypergeometric distribution of the first group's outcomes, from its least possible count."""
    weights = []
    for (low, high), table in zip(zip(*_spans(tables), strict=True), tables, strict=True):
        a = np.arange(low, high + 1)
        n1, n0, events = table[0].sum(), table[1].sum(), table[:, 0].sum()
        logs = -gammaln(a + 1) - gammaln(n1 - a + 1) - gammaln(events - a + 1) - gammaln(n0 - events + a + 1)
        weight = np.exp(logs - logs.max())
        weights.append(weight / weight.sum())
    return weights


def _exact(tables: NDArray[np.int64]) -> tuple[float, float, float, float]:
    """Give the conditional odds ratio, its exact interval and the exact p."""
    total = np.ones(1)
    for weight in _weights(tables):
        total = np.convolve(total, weight)
    observed = int((tables[:, 0, 0] - _spans(tables)[0]).sum())
    steps = np.arange(len(total))
    with np.errstate(divide="ignore"):
        logs = np.log(total)

    def tilted(log_odds: float) -> NDArray[np.float64]:
        shifted = logs + steps * log_odds
        weight = np.exp(shifted - shifted.max())
        tilt: NDArray[np.float64] = weight / weight.sum()
        return tilt

    def solve(excess: Callable[[NDArray[np.float64]], float]) -> float:
        return float(np.exp(brentq(lambda log_odds: excess(tilted(log_odds)), -_MAX_LOG_ODDS, _MAX_LOG_ODDS)))

    tail = (1 - LEVEL) / 2
    at_low, at_high = observed == 0, observed == len(total) - 1
    odds_ratio = 0.0 if at_low else np.inf if at_high else solve(lambda p: float(p @ steps) - observed)
    low = 0.0 if at_low else solve(lambda p: float(p[observed:].sum()) - tail)
    high = np.inf if at_high else solve(lambda p: tail - float(p[: observed + 1].sum()))
    p = float(total[total <= total[observed] * _TIE].sum())
    return odds_ratio, low, high, min(p, 1.0)


def _homogeneity(tables: NDArray[np.int64], seed: int) -> tuple[float | None, str]:
    """Test that the odds ratio is the same in all strata."""
    if len(tables) == 1:
        return None, ""
    margins = tables.sum(axis=2)[:, :, None] * tables.sum(axis=1)[:, None, :]
    if (margins / tables.sum(axis=(1, 2))[:, None, None]).min() >= LEAST_EXPECTED:
        with quiet():
            from statsmodels.stats.contingency_tables import StratifiedTable

            table = StratifiedTable([each.astype(float) for each in tables])
            p = float(table.test_equal_odds(adjust=True).pvalue)
        if np.isfinite(p):
            return p, "Breslow-Day"
    return _zelen(tables, seed), "Zelen"


def _zelen(tables: NDArray[np.int64], seed: int) -> float:
    """Test homogeneity exactly: among tables of the same margins and sum, the share that is no more probable.

    Zelen, Biometrika 58 (1971) 129. The tables are drawn stratum by stratum, each count given what is left of the sum.
    """
    weights = _weights(tables)
    counts = tables[:, 0, 0] - _spans(tables)[0]
    rest = [np.ones(1)]
    for weight in weights[:0:-1]:
        rest.insert(0, np.convolve(rest[0], weight))
    generator = np.random.default_rng(seed)
    left = np.full(ZELEN_TABLES, counts.sum())
    log_p = np.zeros(ZELEN_TABLES)
    for weight, after in zip(weights, rest, strict=True):
        drawn = np.zeros_like(left)
        for value in np.unique(left):
            here = left == value
            remaining = value - np.arange(len(weight))
            possible = (remaining >= 0) & (remaining < len(after))
            share = np.where(possible, weight * after[np.clip(remaining, 0, len(after) - 1)], 0.0)
            drawn[here] = generator.choice(len(weight), size=int(here.sum()), p=share / share.sum())
        log_p += np.log(weight[drawn])
        left = left - drawn
    observed = sum(float(np.log(weight[count])) for weight, count in zip(weights, counts, strict=True))
    return float((1 + (log_p <= observed + np.log(_TIE)).sum()) / (1 + ZELEN_TABLES))
