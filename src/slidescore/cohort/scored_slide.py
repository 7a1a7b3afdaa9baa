"""One slide of a run as the analyses of a study see it: its score, how sure it is, and the squares it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from slidescore.assay import Assay
from slidescore.errors import InputError, RunFolderError
from slidescore.scoring.squares import SquareCounts, squares_from_lists

FAILED: Final = "failed"
SCORED: Final = "scored"
_HEX: Final = 16
"""Base of the seed in result.json."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSlide:
    """One slide of a run, scored or not.

    Attributes
    ----------
    slide_id, file
        Its names in every table.
    patient_id
        Empty without a patient table, or without a row in it.
    status, reason
        `scored`, `not_evaluable` or `failed`, and why it has no score (empty when scored).
    call, call_status
        HIGH, LOW, EQUIVOCAL or NOT_EVALUABLE and the status of the cut-off; empty where nothing is called.
    value, low, high, p_high
        Score on the assay's scheme and compartment, its 95 % interval, and the probability of HIGH; None where there
        is none.
    h_score, percent_positive
        Of the assay's compartment, whatever its scheme; None unless scored.
    counts
        Tumor cells in bins 0, 1+, 2+, 3+ of the assay's compartment, also of a slide that is not evaluable; None when
        failed.
    squares, seed
        Counts by square of the assay's scheme (of pixels for `pixel_h_score`), and the seed of the replicates drawn of
        them; None and 0 when failed.
    interval_reason
        Why there is no interval; empty where there is one.
    qc, qc_flags
        `pass`, `warn` or `fail`, and the names of the flags; empty when failed.
    fingerprint
        Of the slide file; empty when failed.
    """

    slide_id: str
    file: str
    patient_id: str
    status: str
    reason: str
    call: str = ""
    call_status: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p_high: float | None = None
    h_score: float | None = None
    percent_positive: float | None = None
    counts: tuple[int, int, int, int] | None = None
    squares: SquareCounts | None = None
    seed: int = 0
    interval_reason: str = ""
    qc: str = ""
    qc_flags: tuple[str, ...] = ()
    fingerprint: str = ""


def failed_slide(row: Mapping[str, Any], patient_id: str = "") -> ScoredSlide:
    """Make the slide of a row of scores.csv that has no result."""
    return ScoredSlide(str(row["slide_id"]), str(row["file"]), patient_id, FAILED, str(row["reason"] or ""))


def scored_slide(record: Mapping[str, Any], assay: Assay, patient_id: str = "") -> ScoredSlide:
    """Read a slide from its result.json.

    Parameters
    ----------
    record
        Content of result.json.
    assay
        What it was scored under.
    patient_id
        Of the patient table; results know no patients.

    Raises
    ------
    RunFolderError
        If a part is missing or is not what this version writes.
    """
    try:
        return _read(record, assay, patient_id)
    except (LookupError, TypeError, ValueError, AttributeError, InputError) as error:
        raise RunFolderError(
            f"lacks a part that this version writes ({type(error).__name__})",
            where=f"slides/{record.get('slide_id')}/result.json",
            remedy="score the slides with this version, or run 'slidescore rescore'",
        ) from error


def _read(record: Mapping[str, Any], assay: Assay, patient_id: str) -> ScoredSlide:
    row, uncertainty = record["scores"], record["uncertainty"]
    scored = row["status"] == SCORED
    own = record["schemes"][assay.score.scheme][assay.score.compartment]
    n0, n1, n2, n3 = (int(row[name]) for name in ("n0", "n1", "n2", "n3"))
    return ScoredSlide(
        slide_id=str(row["slide_id"]),
        file=str(row["file"]),
        patient_id=patient_id,
        status=str(row["status"]),
        reason=str(row["reason"] or ""),
        call=str(row["call"] or ""),
        call_status=str(row["call_status"] or ""),
        value=_number(own["value"]) if scored else None,
        low=_number(own["low"]) if scored else None,
        high=_number(own["high"]) if scored else None,
        p_high=_number(row["p_high"]),
        h_score=_number(row["h_score"]),
        percent_positive=_number(row["percent_positive"]),
        counts=(n0, n1, n2, n3),
        squares=squares_from_lists(uncertainty["squares"]),
        seed=int(uncertainty["seed"], _HEX),
        interval_reason=str(uncertainty["reason"] or ""),
        qc=str(row["qc"] or ""),
        qc_flags=tuple(str(row["qc_flags"] or "").split(";")) if row["qc_flags"] else (),
        fingerprint=str(record["slide"]["fingerprint"]),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
