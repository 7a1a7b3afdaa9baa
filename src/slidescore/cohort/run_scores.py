"""The scores of a run as the analyses of a study read them: one object a slide, one a patient."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from slidescore.assay import Assay
from slidescore.audit.reviewed import REVIEWED_COLUMNS
from slidescore.cohort.patient_table import patients_from_json
from slidescore.cohort.roll_up import BETWEEN_SLIDES
from slidescore.cohort.roll_up import PatientScore as PatientScore
from slidescore.cohort.scored_slide import FAILED, failed_slide, scored_slide
from slidescore.cohort.scored_slide import ScoredSlide as ScoredSlide
from slidescore.errors import RunFolderError
from slidescore.report.columns import PATIENT_COLUMNS, SCORE_COLUMNS
from slidescore.report.digests import DIGESTS_FILE, read_digests, refuse_changed
from slidescore.report.files import read_json, sha256_of
from slidescore.report.lease import refuse_if_held
from slidescore.report.read_rows import read_rows
from slidescore.report.run_folder import RunFolder, made_by

PATIENTS_FILE: Final = "patients.csv"
_READ: Final = ("run.json", "scores.csv")
_COUNTS: Final = ("n_slides", "n_used", "n_blocks")
_NUMBERS: Final = ("score", "low", "high", "p_high")


@dataclass(frozen=True, slots=True)
class RunScores:
    """A finished run whose files are those that were written.

    Attributes
    ----------
    path
        The run folder.
    assay, assay_digest
        What it was scored under.
    slides
        Every slide of the run, in the order of scores.csv; failed ones say so.
    model_digest, version
        Of the segmenter, and the version of slidescore that scored.
    digest
        SHA-256 of digests.sha256, which stands for the whole run.
    pseudonymized
        Whether pseudonyms stand for file names.
    has_patients
        Whether the run has a patients.csv.
    """

    path: Path
    assay: Assay
    assay_digest: str
    slides: tuple[ScoredSlide, ...]
    model_digest: str
    version: str
    digest: str
    pseudonymized: bool
    has_patients: bool

    @property
    def scored(self) -> tuple[ScoredSlide, ...]:
        """The slides that have a score."""
        return tuple(slide for slide in self.slides if slide.status == "scored")

    @property
    def failed(self) -> tuple[ScoredSlide, ...]:
        """The slides without a result."""
        return tuple(slide for slide in self.slides if slide.status == "failed")

    @property
    def files(self) -> dict[str, str]:
        """File by slide_id, for `slidescore.report.user_tables.match_slides`."""
        return {slide.slide_id: slide.file for slide in self.slides}


def read_run_scores(run: str | Path) -> RunScores:
    """Read the scores of a finished run.

    Raises
    ------
    RunFolderError
        If it is no run folder, is not finished, was scored by a version without schemes and squares, or one of its
        files was changed since it was written.
    RunFolderBusyError
        If it is being written to.
    """
    folder, digests = _open(run)
    assay, content = folder.read_assay(), read_json(folder.run_json)
    patients = patients_from_json(content["patients"]).patient_of if content.get("patients") else {}
    slides = [
        _read_slide(folder, row, content, digests, assay, patients)
        for row in read_rows(folder.path / "scores.csv", SCORE_COLUMNS, optional=REVIEWED_COLUMNS)
    ]
    return RunScores(
        path=folder.path,
        assay=assay,
        assay_digest=str(content["assay"]["digest"]),
        slides=tuple(slides),
        model_digest=str(content["model"]["digest"]),
        version=str(content["versions"]["slidescore"]),
        digest=sha256_of(folder.path / DIGESTS_FILE),
        pseudonymized=bool(content.get("pseudonymized")),
        has_patients=PATIENTS_FILE in digests,
    )


def read_patients(run: str | Path) -> tuple[PatientScore, ...]:
    """Read patients.csv of a finished run, by patient_id.

    Numbers have the digits of the table.

    Raises
    ------
    RunFolderError
        As `read_run_scores`; and if the run has no patients.
    """
    folder, digests = _open(run)
    if PATIENTS_FILE not in digests:
        raise RunFolderError(
            "has no patients",
            where=str(folder.path),
            remedy="run the same 'slidescore score' command with --patients, or 'slidescore rescore RUN --patients'",
        )
    rows = read_rows(folder.path / PATIENTS_FILE, PATIENT_COLUMNS)
    return tuple(_read_patient(row) for row in rows)


def _open(run: str | Path) -> tuple[RunFolder, dict[str, str]]:
    """Return a run folder whose tables are those that were written, and the digests of its files."""
    folder = RunFolder(Path(run))
    if not folder.run_json.is_file():
        raise RunFolderError("is not a run folder: it has no run.json", where=str(folder.path))
    refuse_if_held(folder.path)
    digests = read_digests(folder.path)
    if digests is None:
        remedy = "run the same 'slidescore score' command again"
        raise RunFolderError(f"is not finished: it has no {DIGESTS_FILE}", where=str(folder.path), remedy=remedy)
    for name in (*_READ, PATIENTS_FILE):
        path = folder.path / name
        found = sha256_of(path) if path.is_file() else None
        if found != digests.get(name):
            raise _changed(path)
    return folder, digests


def _changed(path: Path) -> RunFolderError:
    return RunFolderError("was changed since it was written", where=str(path), remedy="see 'slidescore verify'")


def _read_slide(
    folder: RunFolder,
    row: Mapping[str, str | None],
    run: Mapping[str, Any],
    digests: Mapping[str, str],
    assay: Assay,
    patients: Mapping[str, str],
) -> ScoredSlide:
    slide_id = row["slide_id"] or ""
    patient_id = patients.get(slide_id, "")
    if row["status"] == FAILED:
        return failed_slide(row, patient_id)
    slide = folder.slide(slide_id)
    refuse_changed(slide.path, ())
    content = slide.result.read_bytes()
    if hashlib.sha256(content).hexdigest() != digests.get(f"slides/{slide_id}/{slide.result.name}"):
        raise _changed(slide.result)
    record = read_json(slide.result)
    if made_by(record) != made_by(run):
        raise RunFolderError(
            "was made under another assay, model or version than run.json names", where=str(slide.result),
            remedy="run the same 'slidescore score' command again",
        )  # fmt: skip
    return scored_slide(record, assay, patient_id)


def _read_patient(row: Mapping[str, str | None]) -> PatientScore:
    values: dict[str, Any] = {name: value or "" for name, value in row.items()}
    try:
        values |= {name: int(values[name]) for name in _COUNTS}
        values |= {name: float(values[name]) if values[name] else None for name in _NUMBERS}
    except ValueError as error:
        raise RunFolderError("holds something else than a number", where=PATIENTS_FILE) from error
    used = tuple(name for name in values["slides_used"].split(BETWEEN_SLIDES) if name)
    return PatientScore(**(values | {"slides_used": used}))
