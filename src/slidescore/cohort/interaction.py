"""The terms of the question whether the outcome goes with the marker, and treatment does more where it is high.

The marker enters as it is, a continuous score, in steps of `slidescore.cohort.trial_plan.MARKER_STEP` (50 H-score
points). A linear interaction is the most efficient where the effect rises steadily; cutting the score loses power.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.cohort.marker_models import ModelFit, fit_cox, fit_logistic

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

TREATMENT = "treatment, at the median score"
PRODUCT = "treatment x marker"


def marker_terms(score: Floats, step: float, treated: Flags | None = None) -> dict[str, Floats]:
    """Make the columns of a regression, the one that is tested last.

    Parameters
    ----------
    score
        float64 (N,).
    step
        Points of the score that ratios are stated for.
    treated
        bool (N,), whether in the experimental arm; None where treatments are not compared.

    Returns
    -------
    dict of float64 (N,)
        The marker, centred at its median; with `treated` also treatment (whose ratio is then that at the median score)
        and their product.
    """
    # An outlying score shall not decide where treatment is judged, nor shall a fit suffer from large numbers.
    marker = (score - np.median(score)) / step
    if treated is None:
        return {f"marker, per {step:g}": marker}
    arm = treated.astype(float)
    return {f"marker, per {step:g}, control arm": marker, TREATMENT: arm, f"{PRODUCT}, per {step:g}": arm * marker}


def response_model(
    score: Floats, responder: Flags, step: float, treated: Flags | None, strata: dict[str, tuple[str, ...]]
) -> ModelFit:
    """Regress the response on the marker (and treatment), adjusted for the strata as main effects.

    Parameters
    ----------
    score, responder, treated
        float64, bool and bool (N,).
    step
        Of `marker_terms`.
    strata
        Each patient's level by stratum.
    """
    if not len(score):
        return ModelFit("logistic", 0, 0, reason="no patient has a score and a known outcome")
    return fit_logistic(responder, marker_terms(score, step, treated), strata)


def survival_model(
    score: Floats,
    months: Floats,
    event: Flags,
    step: float,
    treated: Flags | None,
    stratum: NDArray[np.int64] | None,
) -> ModelFit:
    """Regress survival on the marker (and treatment), with a baseline hazard of its own in each combination of strata.

    Parameters
    ----------
    score, months, event, treated
        float64, float64, bool and bool (N,).
    step
        Of `marker_terms`.
    stratum
        int64 (N,), or None.
    """
    if not len(score):
        return ModelFit("Cox", 0, 0, reason="no patient has a score and a known outcome")
    return fit_cox(months, event, marker_terms(score, step, treated), stratum)
