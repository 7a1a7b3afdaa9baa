"""Scores and outcomes of the same patients side by side, as arrays, and the count of those who fell out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slidescore.cohort.clinical_table import ClinicalPatient, ClinicalTable, FollowUp
from slidescore.cohort.marker_groups import NO_SLIDE, GroupRule, group_patients
from slidescore.cohort.roll_up import PatientScore
from slidescore.cohort.trial_plan import TrialPlan
from slidescore.errors import InputError

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_NUMBERS: Final = re.compile(r"0*(\d+)")
_OTHER: Final = re.compile(r"[^0-9a-z]+")


@dataclass(frozen=True, slots=True)
class TrialData:
    """The patients of a clinical table with what the run says about them, sorted by patient_id.

    Attributes
    ----------
    patient_id
        One a patient, N in all.
    score
        float64 (N,), NaN without one.
    group
        Each patient's CXCR4 status, of `slidescore.cohort.marker_groups.GROUPS`.
    arm
        Each patient's arm; "" for none.
    response
        CR, PR, SD, PD, NE as the table has it, or "".
    responder
        float64 (N,), 0 or 1, NaN where it is not known; NE is 0.
    months, event
        By endpoint (pfs, os): float64 (N,), NaN where the table says nothing.
    levels
        By stratum: each patient's level, None where it is empty.
    arms
        The arms, the control first where one is declared.
    rule
        What HIGH means.
    scale, compartment
        What `score` is.
    unmatched
        patient_id of those in the run of whom the clinical table says nothing.
    """

    patient_id: tuple[str, ...]
    score: Floats
    group: NDArray[np.str_]
    arm: NDArray[np.str_]
    response: NDArray[np.str_]
    responder: Floats
    months: dict[str, Floats]
    event: dict[str, Floats]
    levels: dict[str, tuple[str | None, ...]]
    arms: tuple[str, ...]
    rule: GroupRule
    scale: str
    compartment: str
    unmatched: tuple[str, ...]

    @property
    def n(self) -> int:
        """Patients of the clinical table."""
        return len(self.patient_id)

    @property
    def in_stratum(self) -> Flags:
        """Whether every declared stratum of a patient is known: bool (N,)."""
        return np.array([None not in each for each in zip(*self.levels.values(), strict=True)] or [True] * self.n, bool)

    @property
    def stratum(self) -> NDArray[np.int64]:
        """A number for each combination of levels, int64 (N,); only of use where `in_stratum`."""
        combined = [tuple(str(level) for level in each) for each in zip(*self.levels.values(), strict=True)]
        if not combined:
            return np.zeros(self.n, np.int64)
        known = {levels: number for number, levels in enumerate(sorted(set(combined)))}
        return np.array([known[levels] for levels in combined], np.int64)

    def known(self, endpoint: str) -> Flags:
        """In whom the outcome is known: bool (N,)."""
        return ~np.isnan(self.responder if endpoint == "response" else self.months[endpoint])


def join_trial(scores: Sequence[PatientScore], clinical: ClinicalTable, plan: TrialPlan) -> TrialData:
    """Put the scores of a run beside the outcomes of a clinical table.

    A patient of the table without slides in the run stays, as NO_SLIDE; one of the run without a row is counted.

    Raises
    ------
    InputError
        If no patient is in both, or a patient_id of the table is that of the run spelt otherwise.
    """
    by_id = {each.patient_id: each for each in scores}
    _refuse_other_spellings(by_id, clinical.patients)
    rows = clinical.patients
    matched = [by_id[row.patient_id] for row in rows if row.patient_id in by_id]
    if not matched:
        ours, theirs = next(iter(sorted(by_id)), ""), rows[0].patient_id
        raise InputError(
            f"none of its {len(rows)} patients is in the run's patients.csv",
            where=clinical.file,
            remedy=f"the run names them like '{ours}', the table like '{theirs}'",
        )
    groups, rule = group_patients(matched, plan)
    group_of = dict(zip((each.patient_id for each in matched), groups, strict=True))
    ids = {row.patient_id for row in rows}
    return TrialData(
        patient_id=tuple(row.patient_id for row in rows),
        score=np.array([_or_nan(by_id[row.patient_id].score if row.patient_id in by_id else None) for row in rows]),
        group=np.array([group_of.get(row.patient_id, NO_SLIDE) for row in rows]),
        arm=np.array([row.arm for row in rows]),
        response=np.array([row.response for row in rows]),
        responder=np.array([_or_nan(row.responder) for row in rows]),
        months={name: np.array([_months(_follow_up(row, name)) for row in rows]) for name in ("pfs", "os")},
        event={name: np.array([_event(_follow_up(row, name)) for row in rows]) for name in ("pfs", "os")},
        levels={name: tuple(row.strata[place] for row in rows) for place, name in enumerate(clinical.strata)},
        arms=clinical.arms,
        rule=rule,
        scale=matched[0].scale,
        compartment=matched[0].compartment,
        unmatched=tuple(sorted(set(by_id) - ids)),
    )


def _refuse_other_spellings(by_id: dict[str, PatientScore], rows: Sequence[ClinicalPatient]) -> None:
    ids = {row.patient_id for row in rows}
    spelt: dict[str, str] = {_plain(name): name for name in sorted(set(by_id) - ids)}
    for row in rows:
        if row.patient_id not in by_id and (other := spelt.get(_plain(row.patient_id))):
            raise InputError(
                f"'{row.patient_id}' is not in the run's patients.csv",
                where=row.place,
                remedy=f"did you mean '{other}'?",
            )


def _plain(patient_id: str) -> str:
    """Spell a name so that case, signs and leading zeros do not matter: `P-007` and `p7` are one."""
    return _OTHER.sub("", _NUMBERS.sub(r"\1", patient_id.casefold()))


def _follow_up(row: ClinicalPatient, endpoint: str) -> FollowUp | None:
    return row.pfs if endpoint == "pfs" else row.os


def _or_nan(value: float | bool | None) -> float:
    return np.nan if value is None else float(value)


def _months(follow_up: FollowUp | None) -> float:
    return follow_up.months if follow_up else np.nan


def _event(follow_up: FollowUp | None) -> float:
    return float(follow_up.event) if follow_up else np.nan
