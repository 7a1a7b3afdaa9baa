"""The immunoreactive score of Remmele and Stegner: percent class times intensity, 0 to 12."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.assay.model import Score
from slidescore.scoring.positives import (
    count_all,
    count_positive,
    mean_intensity,
    modal_intensity,
    scored_where_counted,
)

Values = NDArray[np.float64]

PERCENT_ENDS = (10.0, 50.0, 80.0)
"""Where classes 1, 2 and 3 end, in percent: 10 itself is class 2, 50 still class 2, 80 still class 3."""


def irs(counts: Values, score: Score) -> Values:
    """Return percent class (0 to 4) times intensity (0 to 3): one of 0, 1, 2, 3, 4, 6, 8, 9, 12; NaN without cells.

    Percent classes: none 0; above 0 and below 10 %: 1; 10 to 50 %: 2; above 50 to 80 %: 3; above 80 %: 4.

    Parameters
    ----------
    counts
        float64, (..., 4): cells in bins 0, 1+, 2+, 3+.
    score
        The assay's score block: `irs_intensity` is `modal`, the positive bin with the most cells (of equals the weaker
        one), or `mean_of_positives`, the mean of the positive cells cut at 5/3 and 7/3 as QuPath's Allred score does.

    Notes
    -----
    Classes after table 2 of PMC8920653 and of World J Surg Oncol 9:43: 0 %, < 10 %, 10-50 %, 51-80 %, > 80 %. Counted
    percentages are not whole, so the gap between 50 and 51 % is closed: what is above 50 % is class 3. Compared without
    a division, so whole counts meet an edge exactly. Which single intensity the authors meant is not published, hence
    the assay declares it. Under `modal`, and under `mean_of_positives` when weak cells join, more staining can give a
    lower score.
    """
    intensity = modal_intensity(counts) if score.irs_intensity == "modal" else mean_intensity(counts)
    return scored_where_counted(percent_class(counts) * intensity, counts)


def percent_class(counts: Values) -> Values:
    """Return the percent class, 0 to 4, of counts (..., 4); float64, (...,)."""
    total, percents = count_all(counts), 100.0 * count_positive(counts)
    first, second, third = (end * total for end in PERCENT_ENDS)
    classes: Values = (percents > 0).astype(np.float64) + (percents >= first) + (percents > second) + (percents > third)
    # Without a cell nothing is positive, and 0 is not at least 10 % of 0.
    return np.where(total > 0, classes, 0.0)
