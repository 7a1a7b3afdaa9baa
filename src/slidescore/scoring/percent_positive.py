"""The share of cells that stain at all, 0 to 100."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.assay.model import Score
from slidescore.scoring.positives import count_positive, percent_of

Values = NDArray[np.float64]


def percent_positive(counts: Values, score: Score) -> Values:
    """Return 100 (n1 + n2 + n3) / (n0 + n1 + n2 + n3); NaN without cells.

    Parameters
    ----------
    counts
        float64, (..., 4): cells in bins 0, 1+, 2+, 3+.
    score
        The assay's score block; nothing of it matters here.

    Notes
    -----
    As QuPath's getPositivePercentage (commit e7662d89).
    """
    return percent_of(count_positive(counts), counts)
