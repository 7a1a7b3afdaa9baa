"""The Allred score as QuPath computes it: proportion score plus intensity score, 0 or 2 to 8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.assay.model import Score
from slidescore.scoring.positives import count_all, count_positive, mean_intensity, scored_where_counted

Values = NDArray[np.float64]

PROPORTIONS = ((1.0, 100.0), (1.0, 10.0), (1.0, 3.0), (2.0, 3.0))
"""Where proportion scores 2 to 5 begin: 1/100, 1/10, 1/3 and 2/3 as numerator and denominator."""


def allred(counts: Values, score: Score) -> Values:
    """Return proportion score (0 to 5) plus intensity score (0 to 3): 0 or 2 to 8; NaN without cells.

    Proportion p of positive cells: p >= 2/3: 5; >= 1/3: 4; >= 1/10: 3; >= 1/100: 2; > 0: 1; none: 0. Mean intensity m
    of the positive cells: m > 7/3: 3; > 5/3: 2; else 1; 0 without a positive cell.

    Parameters
    ----------
    counts
        float64, (..., 4): cells in bins 0, 1+, 2+, 3+.
    score
        The assay's score block; nothing of it matters here.

    Notes
    -----
    QuPath's getAllredProportion and getAllredIntensity (commit e7662d89) with its default least percentage of 0. They
    divide and then compare; here 3 n+ >= 2 n is compared, so whole counts meet an edge exactly.
    """
    return scored_where_counted(proportion_score(counts) + mean_intensity(counts), counts)


def proportion_score(counts: Values) -> Values:
    """Return the proportion score, 0 to 5, of counts (..., 4); float64, (...,)."""
    total, positive = count_all(counts), count_positive(counts)
    begun = sum((bottom * positive >= top * total).astype(np.float64) for top, bottom in PROPORTIONS)
    return np.where(positive > 0, 1.0 + begun, 0.0)
