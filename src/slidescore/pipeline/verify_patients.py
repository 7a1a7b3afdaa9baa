"""Whether patients.csv follows from the squares of the slides, and every table names the patients of run.json."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from slidescore.assay import Assay
from slidescore.cohort.patient_table import PatientTable, patients_from_json
from slidescore.cohort.roll_up import PatientScore
from slidescore.cohort.run_scores import PATIENTS_FILE
from slidescore.cohort.scored_slide import FAILED
from slidescore.errors import RunFolderError
from slidescore.pipeline.differences import brief
from slidescore.pipeline.patients import PATIENTS, score_patients
from slidescore.report.columns import PATIENT_COLUMNS, REGION_COLUMNS
from slidescore.report.files import cell_text
from slidescore.report.read_rows import read_rows
from slidescore.report.run_folder import RunFolder

Row = Mapping[str, str | None]


@dataclass(slots=True)
class PatientCheck:
    """What looking at the patients of a run came to: one line each."""

    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_patients(
    folder: RunFolder,
    run: Mapping[str, Any],
    rows: Sequence[Row],
    judged: Mapping[str, Mapping[str, Any]],
    changed: Collection[str],
    assay: Assay,
) -> PatientCheck:
    """Score the patients again from slides that were scored again, and hold the tables against that.

    Parameters
    ----------
    folder, run
        The run folder, and the content of its run.json.
    rows
        Rows of scores.csv.
    judged
        What result.json should hold, by slide_id, of slides that were scored again.
    changed
        Files already known to be changed.
    assay
        Of the run.
    """
    check = PatientCheck()
    try:
        table = patients_from_json(run[PATIENTS]) if run.get(PATIENTS) else None
    except RunFolderError as error:
        if "run.json" not in changed:
            check.differences.append(f"run.json: {error.message}")
        return check
    _check_ids("scores.csv", rows, table, check)
    # A table that cannot be read is told of where the regions themselves are looked at.
    with suppress(RunFolderError):
        _check_ids("regions.csv", read_rows(folder.path / "regions.csv", REGION_COLUMNS), table, check)
    path = folder.path / PATIENTS_FILE
    if table is None or not path.is_file():
        if table is None and path.is_file():
            check.differences.append(f"{PATIENTS_FILE}: is there, and run.json has no patients")
        elif table is not None and PATIENTS_FILE not in changed:
            check.differences.append(f"{PATIENTS_FILE}: is missing, and run.json has patients")
        return check
    try:
        said = read_rows(path, PATIENT_COLUMNS)
    except RunFolderError as error:
        if PATIENTS_FILE not in changed:
            check.differences.append(f"{PATIENTS_FILE}: {error.message}")
        return check
    _check_scores(said, table, rows, judged, assay, check)
    return check


def _check_ids(file: str, rows: Sequence[Row], table: PatientTable | None, check: PatientCheck) -> None:
    patient_of = table.patient_of if table else {}
    for row in rows:
        value, should = row["patient_id"] or "", patient_of.get(row["slide_id"] or "", "")
        if value != should:
            text = f"{row['slide_id']}: patient_id is {brief(value)}, and run.json says {brief(should)}"
            check.differences.append(f"{file}: {text}")


def _check_scores(
    said: Sequence[Row],
    table: PatientTable,
    rows: Sequence[Row],
    judged: Mapping[str, Mapping[str, Any]],
    assay: Assay,
    check: PatientCheck,
) -> None:
    known = [row for row in rows if row["status"] == FAILED or row["slide_id"] in judged]
    ids = {row["slide_id"] for row in known}
    # A slide that could not be scored again is told of elsewhere; its patient cannot be either.
    unsure = {row.patient_id for row in table.rows if row.slide_id not in ids}
    sure = PatientTable(tuple(row for row in table.rows if row.patient_id not in unsure))
    expected = {patient.patient_id: patient for patient in score_patients(known, judged, sure, assay)}
    listed = [row["patient_id"] or "" for row in said]
    for patient in sorted(set(table.patient_of.values()) | set(listed)):
        should = int(patient in table.patient_of.values())
        if listed.count(patient) != should:
            text = f"{listed.count(patient)} rows of patient {patient or 'without an id'}, and {should} follow"
            check.differences.append(f"{PATIENTS_FILE}: has {text}")
    if unsure:
        check.notes.append(f"{PATIENTS_FILE}: patients of slides that cannot be scored again were not checked")
    for row in said:
        if row["patient_id"] in expected:
            _check_patient(row, expected[row["patient_id"]], check)


def _check_patient(row: Row, patient: PatientScore, check: PatientCheck) -> None:
    for column, value in patient.row().items():
        if (row[column] or "") != cell_text(value):
            text = f"{column} is {brief(row[column])}, and follows as {brief(cell_text(value))}"
            check.differences.append(f"{PATIENTS_FILE}: {patient.patient_id}: {text}")
