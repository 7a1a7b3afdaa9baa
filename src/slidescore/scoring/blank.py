"""Limit of blank: how high negative control slides score, so that a reader knows what a low score may be worth.

It is reported beside the scores and never taken off them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLANK_PERCENT = 95.0
"""The limit of blank is this percentile of what blanks score (CLSI EP17-A2, section 4.2)."""
MIN_BLANKS = 20
"""With fewer blanks the rank of that percentile lies beyond the last one or hangs on it alone."""


@dataclass(frozen=True, slots=True)
class LimitOfBlank:
    """What negative controls score.

    Attributes
    ----------
    n
        Negative controls with a score.
    value
        Limit of blank in units of the score; None where there are too few.
    mean, highest
        Of the scores; None without any.
    reason
        Why there is no limit, else empty.
    """

    n: int
    value: float | None
    mean: float | None
    highest: float | None
    reason: str


def limit_of_blank(scores: Sequence[float]) -> LimitOfBlank:
    """Return the limit of blank of the scores of negative controls, without assuming a distribution.

    Parameters
    ----------
    scores
        One score a negative control.

    Notes
    -----
    The rank-based form of CLSI EP17-A2: the value at rank 0.5 + 0.95 n of the sorted scores, interpolated between the
    two neighbours of a rank that is not whole.
    """
    n = len(scores)
    if n == 0:
        return LimitOfBlank(0, None, None, None, "no negative control has a score")
    ranked = np.sort(np.asarray(scores, dtype=np.float64))
    mean, highest = float(ranked.mean()), float(ranked[-1])
    if n < MIN_BLANKS:
        reason = f"not determined: {n} negative control{'' if n == 1 else 's'}, at least {MIN_BLANKS}"
        return LimitOfBlank(n, None, mean, highest, reason)
    rank = 0.5 + BLANK_PERCENT / 100.0 * n
    value = float(np.interp(rank, np.arange(1, n + 1), ranked))
    return LimitOfBlank(n, value, mean, highest, "")
