"""An assay with other thresholds or another cut-off, tried out and not saved."""

from __future__ import annotations

import math

from slidescore.assay import Assay
from slidescore.assay.model import SCALE_RANGE
from slidescore.errors import InputError

Thresholds3 = tuple[float, float, float]


def preview_assay(assay: Assay, thresholds: Thresholds3 | None = None, cutoff: float | None = None) -> Assay:
    """Replace the thresholds of the scored compartment, the cut-off's value, or both.

    Raises
    ------
    InputError
        Thresholds do not rise or are not positive, or the cut-off is not on its scale.
    """
    if thresholds is not None:
        low, middle, high = thresholds
        if not (0 < low < middle < high and math.isfinite(high)):
            raise InputError(f"must be positive and rise, got {low:g}, {middle:g}, {high:g}", where="thresholds")
        block = getattr(assay.bins, assay.score.compartment).model_copy(update={"thresholds": (low, middle, high)})
        bins = assay.bins.model_copy(update={assay.score.compartment: block})
        assay = assay.model_copy(update={"bins": bins})
    if cutoff is not None:
        if assay.call.cutoff is None:
            raise InputError("the assay has none", where="cut-off")
        least, most = SCALE_RANGE[assay.score.scheme]
        if not least <= cutoff <= most:
            raise InputError(f"{cutoff:g} is outside {least:g} to {most:g}", where="cut-off")
        changed = assay.call.cutoff.model_copy(update={"value": cutoff})
        assay = assay.model_copy(update={"call": assay.call.model_copy(update={"cutoff": changed})})
    return assay
