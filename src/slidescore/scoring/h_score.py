"""The H-score: how many cells stain and how strongly, 0 to 300."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.assay.model import Score
from slidescore.scoring.positives import percent_of, sum_intensity

Values = NDArray[np.float64]


def h_score(counts: Values, score: Score) -> Values:
    """Return 100 (n1 + 2 n2 + 3 n3) / (n0 + n1 + n2 + n3), 0 to 300; NaN without cells.

    Parameters
    ----------
    counts
        float64, (..., 4): cells in bins 0, 1+, 2+, 3+.
    score
        The assay's score block; nothing of it matters here.

    Notes
    -----
    1 x % weak + 2 x % moderate + 3 x % strong, as QuPath's DetectionPathClassCounts.getHScore (commit e7662d89).
    """
    return percent_of(sum_intensity(counts), counts)
