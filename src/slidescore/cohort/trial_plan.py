"""What is asked of a cohort, declared before its outcomes are read; every report states it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

ENDPOINT_TITLES: Final[dict[str, str]] = {
    "response": "objective response",
    "pfs": "progression-free survival",
    "os": "overall survival",
}

MARKER_STEP: Final[dict[str, float]] = {
    "h_score": 50.0,
    "pixel_h_score": 50.0,
    "percent_positive": 20.0,
    "irs": 2.0,
    "allred": 1.0,
}
"""Points of a score that ratios are stated for: a sixth of a 0-300 score, about as much of the other scales."""


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """The analyses of one report.

    Attributes
    ----------
    randomised
        Whether the arms were assigned at random; only then is an interaction of treatment and marker estimated.
    arm
        Column of the clinical table that holds the arm; empty for the column `arm`, if there is one.
    control
        Name of the control arm; with `randomised` only.
    strata
        Declared strata columns, in the order given.
    cutoff
        "assay" for the calls of patients.csv, "median", "tertile", or a number on the assay's scale.
    search_cutoff
        Whether the corrected, exploratory search for a cut-off runs.
    """

    randomised: bool = False
    arm: str = ""
    control: str = ""
    strata: tuple[str, ...] = ()
    cutoff: Literal["assay", "median", "tertile"] | float = "assay"
    search_cutoff: bool = False
