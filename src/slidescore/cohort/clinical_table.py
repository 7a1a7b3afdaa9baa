"""The clinical table of a cohort: arms, responses, survival times and strata, each value checked where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from slidescore.cohort.trial_plan import ENDPOINT_TITLES, TrialPlan
from slidescore.errors import InputError, nearest_names
from slidescore.report.files import sha256_of
from slidescore.report.user_tables import UserRow, UserTable, name_key, quoted, read_user_table

RESPONSES: Final = ("CR", "PR", "SD", "PD", "NE")
"""Best response as RECIST names it: complete, partial, stable, progressive, not evaluable."""

RESPONDERS: Final = ("CR", "PR")
"""Objective response; NE counts as none, as a rate by intention to treat has it."""

MOST_MONTHS: Final = 600.0
"""No follow-up is longer than 50 years; a number above is in days."""

MOST_LEVELS: Final = 10
"""Levels that a stratum may have; an age or a site per patient is no stratum."""

ARMS: Final = 2
"""Arms of a randomised comparison."""

_KNOWN: Final = ("arm", "response", "responder", "pfs_months", "pfs_event", "os_months", "os_event")
_ALIKE: Final = 0.85
"""A stranger's name this similar to a known column that the table lacks is a misspelling."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Months until an event, or until the patient was last known to be without it."""

    months: float
    event: bool


@dataclass(frozen=True, slots=True)
class ClinicalPatient:
    """One row of the clinical table.

    Attributes
    ----------
    patient_id, arm
        As the table writes them; arm is empty where the table has no such column.
    response
        CR, PR, SD, PD, NE, or empty where the table holds responders as 0 / 1 or nothing.
    responder
        Whether an objective response (CR or PR) was seen; NE counts as none. None where it is not known.
    pfs, os
        Follow-up to progression or death, and to death; None where the table says nothing.
    strata
        The patient's level in each declared stratum, in their order; None where it is empty.
    place
        Where the patient stands, for errors: `clinical.csv, row 7, column 'patient_id'`.
    """

    patient_id: str
    arm: str
    response: str
    responder: bool | None
    pfs: FollowUp | None
    os: FollowUp | None
    strata: tuple[str | None, ...]
    place: str = ""


@dataclass(frozen=True, slots=True)
class ClinicalTable:
    """The patients of a clinical table, sorted by patient_id.

    Attributes
    ----------
    file, sha256
        Name of the file, and digest of its bytes.
    patients
        One a row.
    arms
        Names of the arms, the control first where one is declared, otherwise sorted.
    strata
        The declared strata, as the table spells them.
    endpoints
        Those that the table has columns for: response, pfs, os.
    """

    file: str
    sha256: str
    patients: tuple[ClinicalPatient, ...]
    arms: tuple[str, ...]
    strata: tuple[str, ...]
    endpoints: tuple[str, ...]


def read_clinical(path: Path, plan: TrialPlan) -> ClinicalTable:
    """Read and check a clinical table.

    Parameters
    ----------
    path
        CSV with the column patient_id, at least one endpoint (`response` or `responder`; `pfs_months` with `pfs_event`;
        `os_months` with `os_event`), and the plan's arm and strata. Other columns are left alone, unless one looks like
        a known one misspelt.
    plan
        Which columns hold arm and strata.

    Raises
    ------
    InputError
        Naming file, row and column, where the table cannot be read or says something impossible.
    """
    table = read_user_table(path, required=("patient_id",), optional=_KNOWN, open_columns=True)
    _refuse_misspelt(table, plan)
    endpoints = _endpoints(table)
    arm_column = table.column(plan.arm, "--arm") if plan.arm else "arm" if table.has("arm") else ""
    strata = tuple(table.column(name, "--strata") for name in plan.strata)
    for name in strata:
        if name in (*_KNOWN, "patient_id", arm_column):
            raise InputError(f"{quoted(name)} cannot be a stratum", where="--strata")
    table.require_unique("patient_id")
    patients = tuple(
        sorted((_patient(row, arm_column, strata) for row in table.rows), key=lambda patient: patient.patient_id)
    )
    _check_levels(table, strata)
    return ClinicalTable(
        file=path.name,
        sha256=sha256_of(path),
        patients=patients,
        arms=_arms(table, arm_column, patients, plan),
        strata=strata,
        endpoints=endpoints,
    )


def _refuse_misspelt(table: UserTable, plan: TrialPlan) -> None:
    declared = {name_key(name) for name in (*plan.strata, plan.arm)}
    absent = [name for name in _KNOWN if not table.has(name)]
    for column in table.columns:
        if column in (*_KNOWN, "patient_id") or name_key(column) in declared:
            continue
        if close := get_close_matches(name_key(column), absent, n=1, cutoff=_ALIKE):
            raise table.error("is not a column of a clinical table", f"did you mean '{close[0]}'?", column=column)


def _endpoints(table: UserTable) -> tuple[str, ...]:
    if table.has("response") and table.has("responder"):
        raise table.error("says the same as response", "give one of the two columns", column="responder")
    endpoints = ["response"] if table.has("response") or table.has("responder") else []
    for name in ("pfs", "os"):
        months, event = f"{name}_months", f"{name}_event"
        if table.has(months) != table.has(event):
            there, missing = (months, event) if table.has(months) else (event, months)
            raise table.error(f"needs column '{missing}' beside it", column=there)
        endpoints += [name] if table.has(months) else []
    if not endpoints:
        raise table.error(
            f"has no outcome: {', '.join(ENDPOINT_TITLES.values())}",
            "add response or responder, pfs_months with pfs_event, or os_months with os_event",
        )
    return tuple(endpoints)


def _patient(row: UserRow, arm_column: str, strata: tuple[str, ...]) -> ClinicalPatient:
    pfs, overall = _follow_up(row, "pfs"), _follow_up(row, "os")
    if pfs and overall and pfs.months > overall.months:
        raise row.error("pfs_months", f"{pfs.months:g} is later than os_months, {overall.months:g}")
    if pfs and overall and overall.event and not pfs.event and pfs.months == overall.months:
        raise row.error(
            "pfs_event", f"is 0, but the patient died at {overall.months:g} months", "death ends PFS: write 1"
        )
    response = row.optional_choice("response", RESPONSES) or ""
    responder = response in RESPONDERS if response else row.optional_flag("responder")
    return ClinicalPatient(
        patient_id=row.text("patient_id"),
        arm=row.text(arm_column) if arm_column else "",
        response=response,
        responder=responder,
        pfs=pfs,
        os=overall,
        strata=tuple(row.optional_text(name) for name in strata),
        place=row.error("patient_id", "").where,
    )


def _follow_up(row: UserRow, endpoint: str) -> FollowUp | None:
    months_column, event_column = f"{endpoint}_months", f"{endpoint}_event"
    months = row.optional_number(months_column, 0.0, MOST_MONTHS)
    event = row.optional_flag(event_column)
    if months is None and event is None:
        return None
    if months is None:
        raise row.error(months_column, f"is empty, but {event_column} is not", "give both, or leave both empty")
    if event is None:
        raise row.error(event_column, f"is empty, but {months_column} is not", "give both, or leave both empty")
    return FollowUp(months, event)


def _check_levels(table: UserTable, strata: tuple[str, ...]) -> None:
    for name in strata:
        levels = {row.values[name] for row in table.rows} - {""}
        if len(levels) > MOST_LEVELS:
            remedy = f"group its values; at most {MOST_LEVELS}"
            raise table.error(f"has {len(levels)} levels, too many for a stratum", remedy, column=name)


def _arms(table: UserTable, arm_column: str, patients: tuple[ClinicalPatient, ...], plan: TrialPlan) -> tuple[str, ...]:
    """Name the arms, the control first; checks what a randomised comparison needs."""
    arms = sorted({patient.arm for patient in patients} - {""})
    if not plan.randomised:
        if plan.control:
            message = "a control arm is declared, but not that the arms were randomised"
            raise InputError(message, where="--control", remedy="add --randomised, or leave --control out")
        return tuple(arms)
    if not arm_column:
        raise table.error("has no column 'arm', which --randomised needs", "name the column with --arm")
    if len(arms) != ARMS:
        found = f"one arm, {quoted(arms[0])}" if len(arms) == 1 else f"{len(arms)} arms: {', '.join(map(quoted, arms))}"
        raise table.error(f"holds {found}; --randomised compares two", column=arm_column)
    if not plan.control:
        raise InputError(
            "which arm is the control is not declared", where="--control", remedy=f"one of {', '.join(arms)}"
        )
    if plan.control not in arms:
        message = f"{table.path} has no arm {quoted(plan.control)}"
        raise InputError(message, where="--control", remedy=nearest_names(plan.control, arms))
    return (plan.control, *(arm for arm in arms if arm != plan.control))
