"""Patients into groups by their score: the calls of the run, a number, or a split of this very cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from slidescore.assay.model import SCALE_RANGE
from slidescore.cohort.roll_up import PatientScore
from slidescore.cohort.trial_plan import TrialPlan
from slidescore.errors import InputError
from slidescore.report.page import show_cutoff

HIGH: Final = "HIGH"
MIDDLE: Final = "MIDDLE"
LOW: Final = "LOW"
EQUIVOCAL: Final = "EQUIVOCAL"
SCORED: Final = "SCORED"
NOT_EVALUABLE: Final = "NOT_EVALUABLE"
NO_SLIDE: Final = "NO_SLIDE"

GROUPS: Final = (HIGH, MIDDLE, EQUIVOCAL, LOW, SCORED, NOT_EVALUABLE, NO_SLIDE)
"""In the order of every table; SCORED stands for all scores where nothing is called."""

WITH_SCORE: Final = GROUPS[:5]


@dataclass(frozen=True, slots=True)
class GroupRule:
    """What HIGH means in a report.

    Attributes
    ----------
    text
        The cut-off in words, such as `h_score cytoplasm >= 150`; empty without one.
    status
        validated, provisional or unverified as the assay has it, "declared" for a number, "data-derived" for a split.
    note
        The sentence that stands below every table and figure that uses the groups.
    value
        The cut-off where it is a single number, for figures; else None.
    """

    text: str
    status: str
    note: str
    value: float | None


def group_patients(patients: Sequence[PatientScore], plan: TrialPlan) -> tuple[tuple[str, ...], GroupRule]:
    """Give every patient's group, and the rule.

    Parameters
    ----------
    patients
        Those to be analysed; a split is taken from their scores.
    plan
        Holds the cut-off.

    Raises
    ------
    InputError
        If the cut-off is off the assay's scale.
    """
    scale = patients[0].scale if patients else "h_score"
    axis = f"{scale} {patients[0].compartment}" if patients else scale
    if plan.cutoff == "assay":
        return _by_call(patients)
    scores = np.array([p.score for p in patients if p.score is not None])
    if plan.cutoff in ("median", "tertile"):
        cuts = np.quantile(scores, [0.5] if plan.cutoff == "median" else [1 / 3, 2 / 3]) if len(scores) else np.zeros(0)
        words = " and ".join(f"{cut:.4g}" for cut in cuts)
        note = (
            f"The groups split this cohort at its own {plan.cutoff} ({show_cutoff(axis)} {words}): data-derived, "
            "exploratory; the same patients define and judge them."
        )
        value = float(cuts[0]) if len(cuts) == 1 else None
        names = (LOW, HIGH) if plan.cutoff == "median" else (LOW, MIDDLE, HIGH)
        groups = tuple(
            NOT_EVALUABLE if p.score is None else names[int(np.searchsorted(cuts, p.score, side="right"))]
            for p in patients
        )
        if len(scores) and (empty := [name for name in names if name not in groups]):
            # Such as half of the cohort at 0: the cut is 0, and a score on the cut is above it.
            note += f" No patient is {' or '.join(empty)}: too many have the same score."
        return groups, GroupRule(f"{axis} at its {plan.cutoff}, {words}", "data-derived", note, value)
    cut = float(plan.cutoff)
    low, high = SCALE_RANGE[scale]
    if not low <= cut <= high:
        raise InputError(f"{cut:g} is not on the scale {scale} ({low:g} to {high:g})", where="--cutoff")
    text = f"{axis} >= {cut:g}"
    note = (
        f"HIGH is {show_cutoff(text)}, stated for this analysis and not validated; EQUIVOCAL where the score's "
        "interval contains it."
    )
    return tuple(_against(p, cut) for p in patients), GroupRule(text, "declared", note, cut)


def _by_call(patients: Sequence[PatientScore]) -> tuple[tuple[str, ...], GroupRule]:
    rule = next((p for p in patients if p.cutoff), None)
    if rule is None:
        groups = tuple(NOT_EVALUABLE if p.score is None else SCORED for p in patients)
        return groups, GroupRule("", "", "The assay has no cut-off, so no patient is called HIGH or LOW.", None)
    if rule.call_status == "validated":
        note = f"HIGH is {show_cutoff(rule.cutoff)}; the assay states the cut-off as validated."
    else:
        note = f"{rule.call_status.upper()} cut-off: HIGH is {show_cutoff(rule.cutoff)}, which is not validated."
    value = float(rule.cutoff.split()[-1])
    return tuple(p.call or NOT_EVALUABLE for p in patients), GroupRule(rule.cutoff, rule.call_status, note, value)


def _against(patient: PatientScore, cut: float) -> str:
    if patient.score is None:
        return NOT_EVALUABLE
    if patient.low is not None and patient.high is not None and patient.low < cut <= patient.high:
        return EQUIVOCAL
    return HIGH if patient.score >= cut else LOW
