"""From a score to a call. NOT_EVALUABLE is a result with a reason; a failure is an exception and never comes here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from slidescore.assay import Assay, Cutoff
from slidescore.errors import AssayError
from slidescore.scoring.intervals import DECIMALS, Uncertainty
from slidescore.scoring.scores import Scores

NO_PIXELS = "no pixel H-score: stained pixels are counted for whole slides only"


class CallLabel(StrEnum):
    """What a slide is called."""

    HIGH = "HIGH"
    LOW = "LOW"
    EQUIVOCAL = "EQUIVOCAL"
    NOT_EVALUABLE = "NOT_EVALUABLE"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the tissue was scored: areas in um2, fractions of tissue area.

    Attributes
    ----------
    tissue_um2, scored_um2
        Tissue that was to be scored (inside the ROI where there is one), and what of it was.
    excluded_fraction, failed_fraction, missing_fraction
        Shares of `tissue_um2` that were excluded, could not be processed, or have no pixels.
    """

    tissue_um2: float
    scored_um2: float
    excluded_fraction: float
    failed_fraction: float
    missing_fraction: float


@dataclass(frozen=True, slots=True)
class Call:
    """What is called, and why nothing is.

    Attributes
    ----------
    label
        None where the assay has no cut-off: then nothing is called, whatever the score.
    reason
        Why there is no score; empty where there is one.
    status
        Of the cut-off: validated, provisional or unverified; empty without one.
    cutoff
        The rule in words; empty without one.
    """

    label: CallLabel | None
    reason: str
    status: str
    cutoff: str


def make_call(
    scores: Scores, coverage: Coverage, assay: Assay, refusal: str = "", uncertainty: Uncertainty | None = None
) -> Call:
    """Call a slide or region HIGH, LOW or EQUIVOCAL against the assay's cut-off, or NOT_EVALUABLE with the reason.

    Parameters
    ----------
    scores, coverage
        What the cells come to, and how much of the tissue they stand for.
    assay
        The cut-off and the limits.
    refusal
        Why the slide as a whole cannot be scored, whatever its cells come to; empty when it can.
    uncertainty
        Of the score on the assay's scheme and compartment; without one, or where it has no interval, only
        `call.equivocal_margin` can make a score equivocal.

    Raises
    ------
    AssayError
        If the cut-off is on another scale or compartment than the score.
    """
    cutoff = assay.call.cutoff
    if cutoff is not None and (cutoff.scale, cutoff.compartment) != (assay.score.scheme, assay.score.compartment):
        raise AssayError(
            f"cut-off on {cutoff.scale} {cutoff.compartment} cannot judge {assay.score.scheme} "
            f"{assay.score.compartment}",
            where="call.cutoff",
        )
    reason = refusal or not_evaluable_reason(scores, coverage, assay)
    value = scores.value(assay.score.scheme)
    if value is None and not reason:
        of_pixels = assay.score.scheme == "pixel_h_score"
        reason = "no tumor cells" if not of_pixels else NO_PIXELS if scores.pixel is None else "no stained pixels"
    if cutoff is None:
        return Call(None, reason, "", "")
    if reason or value is None:
        return Call(CallLabel.NOT_EVALUABLE, reason, cutoff.status, cutoff.text)
    return Call(label_of(value, uncertainty, cutoff, assay.call.equivocal_margin), "", cutoff.status, cutoff.text)


def label_of(value: float, uncertainty: Uncertainty | None, cutoff: Cutoff, margin: float) -> CallLabel:
    """Return HIGH or LOW, or EQUIVOCAL where the score does not decide.

    Equivocal is a score whose interval has one end that meets the cut-off and one that does not, and one within
    `margin` of the cut-off where the margin is above 0. A score on its cut-off is not equivocal by that alone.
    """
    low, high = (None, None) if uncertainty is None else (uncertainty.low, uncertainty.high)
    crossed = low is not None and high is not None and meets(low, cutoff) != meets(high, cutoff)
    # Rounded, for a difference of tenths is no binary fraction: 150 - 140.2 must not be more than 9.8.
    if crossed or (margin > 0 and round(abs(value - cutoff.value), DECIMALS) <= margin):
        return CallLabel.EQUIVOCAL
    return CallLabel.HIGH if meets(value, cutoff) else CallLabel.LOW


def meets(value: float, cutoff: Cutoff) -> bool:
    """Whether a score meets the cut-off."""
    return value >= cutoff.value if cutoff.operator == ">=" else value > cutoff.value


def not_evaluable_reason(scores: Scores, coverage: Coverage, assay: Assay) -> str:
    """Say why a slide has no score; empty when it has one."""
    qc = assay.qc
    tissue_mm2 = coverage.tissue_um2 / 1e6
    if tissue_mm2 < qc.min_tissue_mm2 or coverage.tissue_um2 == 0:
        return "no tissue" if tissue_mm2 == 0 else f"too little tissue ({tissue_mm2:.3f} mm2)"
    for share, limit, what in (
        (coverage.failed_fraction, qc.max_failed_fraction, "could not be processed"),
        (coverage.missing_fraction, qc.max_missing_fraction, "has no pixels"),
        (coverage.excluded_fraction, qc.max_excluded_fraction, "is excluded"),
    ):
        if share > limit:
            return f"{100 * share:.1f} % of the tissue {what} (limit {100 * limit:g} %)"
    if scores.n_tumor_cells < qc.min_tumor_cells:
        return f"too few tumor cells ({scores.n_tumor_cells}, at least {qc.min_tumor_cells})"
    return ""
