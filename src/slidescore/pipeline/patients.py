"""The patients of a run: their table taken up, their ids put into the tables, and patients.csv.

Patients stand in run.json and in the tables of the run, never in a slide's folder: a changed table measures nothing
anew, ends no review, and a slide's result can be passed on without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from slidescore.assay import Assay
from slidescore.cohort.patient_table import PatientTable, match_patients, open_patient_table, patients_from_json
from slidescore.cohort.roll_up import PatientScore, roll_up
from slidescore.cohort.run_scores import PATIENTS_FILE
from slidescore.cohort.scored_slide import FAILED, failed_slide, scored_slide
from slidescore.errors import InputError
from slidescore.pipeline.pseudonyms import KeyRow
from slidescore.report.columns import PATIENT_COLUMNS
from slidescore.report.files import write_csv
from slidescore.report.storage import remove_file
from slidescore.report.user_tables import UserTable

PATIENTS: Final = "patients"
"""Key of run.json."""

Row = Mapping[str, Any]


def open_patients(path: Path | None, key_file: Path | None) -> UserTable | None:
    """Read the file of a slide-to-patient table; None without one.

    Raises
    ------
    InputError
        If it cannot be read, or pseudonyms are asked for: ids and dates of patients would stand beside them.
    """
    if path is None:
        return None
    if key_file is not None:
        raise InputError(
            "cannot go with --pseudonymize, which keeps everything out of the run that names a person",
            where="--patients",
            remedy="score without --patients, then 'slidescore rescore RUN --key KEYFILE --patients CSV' with ids that"
            " name nobody",
        )
    return open_patient_table(path)


def patients_of_rescore(
    path: Path | None,
    run: Mapping[str, Any],
    rows: Sequence[Row],
    results: Iterable[Mapping[str, Any]],
    known: Sequence[KeyRow],
) -> PatientTable | None:
    """Settle the patients of a rescore: those of a new table, or those that the run has.

    Parameters
    ----------
    path
        The new table; None for the run's own.
    run
        Content of run.json.
    rows
        Rows of the run's scores.csv.
    results
        The result.json of every slide that has one.
    known
        Key file of a run of pseudonyms; with it the table may name slides by their own files.

    Raises
    ------
    InputError
        If the table is wrong.
    RunFolderError
        If run.json does not hold the patients that were written.
    """
    if path is None:
        return patients_from_json(run[PATIENTS]) if run.get(PATIENTS) else None
    slides = {str(row["slide_id"]): str(row["file"]) for row in rows}
    fingerprints = {str(result.get("slide_id")): fingerprint_of(result) for result in results}
    hidden = bool(run.get("pseudonymized"))
    if hidden:
        own = {row.pseudonym: row.file for row in known}
        slides = {slide_id: own.get(file, file) for slide_id, file in slides.items()}
    table = match_patients(open_patient_table(path), slides, fingerprints, shown=not hidden)
    return table.without_dates_and_names() if hidden else table


def fingerprint_of(result: Mapping[str, Any]) -> str:
    """Return the fingerprint of the slide of a result.json; empty in one of an older version."""
    return str((result.get("slide") or {}).get("fingerprint") or (result.get("key") or {}).get("fingerprint") or "")


def with_patients(rows: Iterable[Row], table: PatientTable | None) -> list[dict[str, Any]]:
    """Fill the column patient_id of rows of scores.csv or regions.csv."""
    patient_of = table.patient_of if table else {}
    return [{**row, "patient_id": patient_of.get(str(row["slide_id"]))} for row in rows]


def score_patients(
    rows: Iterable[Row], records: Mapping[str, Mapping[str, Any]], table: PatientTable | None, assay: Assay
) -> tuple[PatientScore, ...]:
    """Score the patients of a run; none without a table.

    Parameters
    ----------
    rows
        Rows of scores.csv.
    records
        result.json by slide_id; a slide without one has failed.
    table
        Which slide is of whom.
    assay
        What the run was scored under.
    """
    if table is None:
        return ()
    slides = [
        failed_slide(row) if row["status"] == FAILED else scored_slide(records[str(row["slide_id"])], assay)
        for row in rows
    ]
    return roll_up(slides, table, assay)


def write_patients(run: Path, patients: Sequence[PatientScore]) -> None:
    """Write patients.csv."""
    write_csv(run / PATIENTS_FILE, PATIENT_COLUMNS, [patient.row() for patient in patients])


def remove_patients(run: Path) -> None:
    """Take patients.csv of an earlier command away, before the scores it rests on change.

    Raises
    ------
    RunFolderError
        If it cannot be removed.
    """
    remove_file(run / PATIENTS_FILE)
