"""Shares of patients with their exact intervals, the difference between two shares, and Fisher's test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from scipy.stats import beta, norm
from scipy.stats import fisher_exact as scipy_fisher_exact

LEVEL: Final = 0.95
"""Confidence of every interval in the reports of a cohort."""

Z_95: Final = float(norm.ppf(0.5 + LEVEL / 2))
"""Standard normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Proportion:
    """Patients with an outcome among those in whom it is known, with the Clopper-Pearson interval.

    Attributes
    ----------
    k, n
        Patients with the outcome, and patients in all.
    share, low, high
        Fractions, 0 to 1; all None where there is no patient.
    """

    k: int
    n: int
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Share of a first group minus that of a second, with its interval and Fisher's p.

    Attributes
    ----------
    estimate, low, high
        Fractions, -1 to 1; None, like `p`, where a group is empty.
    p
        Two-sided Fisher exact test that the shares are equal.
    reason
        Why there is no number; empty where there is one.
    """

    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    reason: str


def clopper_pearson(k: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Give the exact interval of a binomial share.

    The ends are quantiles of beta distributions: Clopper and Pearson, Biometrika 26 (1934) 404, in the form that every
    statistics package uses.

    Parameters
    ----------
    k, n
        Successes and trials, 0 <= k <= n and n >= 1.
    level
        Confidence, 0 to 1.

    Returns
    -------
    tuple of float
        Low and high end, 0 to 1; the low end is 0 at k = 0, the high end 1 at k = n.

    Raises
    ------
    ValueError
        If k is not between 0 and n, or n is 0.
    """
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"{k} of {n} is no share")
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k))
    return low, high


def proportion(k: int, n: int) -> Proportion:
    """Describe k of n patients; without a patient there is no share."""
    if n == 0:
        return Proportion(k, n, None, None, None)
    return Proportion(k, n, k / n, *clopper_pearson(k, n))


def wilson(k: int, n: int) -> tuple[float, float]:
    """Give the score interval of a binomial share, n at least 1 (Wilson, J Am Stat Assoc 22 (1927) 209)."""
    share, z2 = k / n, Z_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def difference(k1: int, n1: int, k0: int, n0: int) -> Difference:
    """Compare two shares of independent groups.

    The interval is Newcombe's hybrid of two Wilson intervals (method 10 of Stat Med 17 (1998) 873), which holds for
    small groups and never leaves -1 to 1.

    Parameters
    ----------
    k1, n1, k0, n0
        Patients with the outcome and in all, of the first and of the second group.
    """
    if n1 == 0 or n0 == 0:
        return Difference(None, None, None, None, "a group holds no patient whose outcome is known")
    share1, share0 = k1 / n1, k0 / n0
    (low1, high1), (low0, high0) = wilson(k1, n1), wilson(k0, n0)
    apart = share1 - share0
    low = apart - math.hypot(share1 - low1, high0 - share0)
    high = apart + math.hypot(high1 - share1, share0 - low0)
    p = float(scipy_fisher_exact([[k1, n1 - k1], [k0, n0 - k0]]).pvalue)
    return Difference(apart, low, high, p, "")
