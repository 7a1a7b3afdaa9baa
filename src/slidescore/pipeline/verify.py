"""The story of a verification: whether every file is what was written, and every score follows from its cells.

Three things are held against one another: the bytes against their digests, the results against a second scoring of the
stored measurements, and the tables against the results. Nothing is written, and no slide is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from slidescore.assay import Assay, assay_digest
from slidescore.audit.reviewed import REVIEWED_COLUMNS
from slidescore.cells import ClassicalSegmenter
from slidescore.errors import RunFolderError, SlidescoreError
from slidescore.pipeline.differences import brief, differing
from slidescore.pipeline.judge import SlideIdentity, judge_slide
from slidescore.pipeline.rescore import load_analysis
from slidescore.pipeline.segmenters import check_model
from slidescore.pipeline.verify_exports import check_exports
from slidescore.pipeline.verify_files import FileCheck, check_files
from slidescore.pipeline.verify_patients import check_patients
from slidescore.pipeline.verify_reviews import check_reviewed_run
from slidescore.report.columns import REGION_COLUMNS, SCORE_COLUMNS
from slidescore.report.digests import DIGESTS_FILE
from slidescore.report.files import cell_text, read_json
from slidescore.report.lease import refuse_if_held
from slidescore.report.read_rows import read_rows
from slidescore.report.run_folder import RunFolder, made_by
from slidescore.version import library_versions

JUDGED: Final = (
    *("slide_id", "file", "status", "reason", "scores", "schemes", "uncertainty", "sensitivity", "regions"),
    *("region_areas", "ledger", "qc", "assay"),
)
"""Parts of result.json that follow from the tables, the facts beside them and the assay."""
OF_A_FAILED_SLIDE: Final = frozenset(
    [
        *("slide_id", "file", "patient_id", "status", "reason", "compartment", "cutoff", "profile"),
        *("assay_digest", "model_digest", "slidescore_version"),
    ]
)
"""Columns that the row of a failed slide may fill."""
OF_ITS_PATIENT: Final = "patient_id"
"""Column that does not follow from the slide, but from the patients in run.json."""
NOT_REACHED: Final = "not reached"
BAD_RECORD: Final = (
    *(SlidescoreError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, NotImplementedError),
)
"""What scoring says of a result.json or a table that holds anything at all."""

Row = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification came to.

    Attributes
    ----------
    differences
        One line each; empty when all is right.
    notes
        What a reader should know and what is no difference.
    n_slides
        Slides whose scores were computed again.
    n_files
        Files whose bytes were looked at.
    digest
        SHA-256 of digests.sha256, which stands for the whole run; empty without that file.
    """

    differences: tuple[str, ...]
    notes: tuple[str, ...]
    n_slides: int
    n_files: int
    digest: str


@dataclass(slots=True)
class _Findings:
    differences: list[str]
    notes: list[str]
    changed: set[str]
    """Files already known to be changed, by path below the run: what follows from that is not said again."""
    judged: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What result.json should hold, by slide_id, of slides that were scored again."""

    def differ(self, file: str, text: str) -> None:
        self.differences.append(f"{file}: {text}")

    def unreadable(self, file: str, error: SlidescoreError) -> None:
        """Report a file that cannot be used, unless its bytes are known to be wrong."""
        if file not in self.changed:
            self.differ(file, error.message)


def verify_run(run: str | Path, *, on_slide: Callable[[int, int, str], None] | None = None) -> Verification:
    """Compute the scores of a run again and look at every byte of it.

    Parameters
    ----------
    run
        A run folder; nothing in it is changed.
    on_slide
        Told before each slide: its number, how many there are, its file.

    Raises
    ------
    RunFolderError
        If it is no run folder.
    RunFolderBusyError
        If it is being written to.
    """
    path = Path(run)
    folder = RunFolder(path)
    if not folder.run_json.is_file() and not (path / DIGESTS_FILE).is_file():
        raise RunFolderError("is not a run folder: it has no run.json", where=str(path))
    refuse_if_held(path)
    files: FileCheck = check_files(path)
    findings = _Findings(list(files.differences), list(files.notes), set(files.changed))
    try:
        assay, content = folder.read_assay(), read_json(folder.run_json)
    except RunFolderError as error:
        findings.unreadable("run.json", error)
    else:
        _check_run(content, assay, findings)
        rows = _check_slides(folder, content, assay, findings, on_slide)
        reviews = check_reviewed_run(folder, rows, findings.judged, assay)
        exports = check_exports(folder, findings.judged, findings.changed, assay)
        patients = check_patients(folder, content, rows, findings.judged, findings.changed, assay)
        findings.differences += reviews.differences + exports.differences + patients.differences
        findings.notes += reviews.notes + exports.notes + patients.notes
    return Verification(
        tuple(findings.differences), tuple(findings.notes), len(findings.judged), files.n_files, files.digest
    )


def _check_run(run: Mapping[str, Any], assay: Assay, findings: _Findings) -> None:
    """Hold run.json against its assay; say what else the scores would be made with here.

    Another model or library is no difference: the cells were found with those of that day, and follow from no others.
    """
    said, model = _part(run, "assay").get("digest"), _part(run, "model").get("digest")
    if said != assay_digest(assay):
        findings.differ("run.json", f"names the assay {said}, and its text is that of {assay_digest(assay)}")
    try:
        here = _segmenter_digest(assay)
    except SlidescoreError:
        findings.notes.append(f"model {model} is not installed here, and was not checked")
    else:
        if here != model:
            findings.notes.append(f"the run was made with model {model}, and the one installed here is {here}")
    versions, now = _part(run, "versions"), library_versions()
    others = [f"{name} {versions.get(name)} (here {now[name]})" for name in now if versions.get(name) != now[name]]
    if others:
        findings.notes.append(f"the run was made with {', '.join(others)}")


def _part(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object of a JSON file, empty where there is none: run.json is read even when its bytes are wrong."""
    part = content.get(name)
    return part if isinstance(part, dict) else {}


def _segmenter_digest(assay: Assay) -> str:
    if assay.cells.segmenter == "classical":
        return ClassicalSegmenter(assay.cells.classical).digest
    return check_model(assay).digest


def _check_slides(
    folder: RunFolder,
    run: Mapping[str, Any],
    assay: Assay,
    findings: _Findings,
    on_slide: Callable[[int, int, str], None] | None,
) -> list[dict[str, str | None]]:
    """Score every slide again, hold its result and the tables against that, and return the rows of scores.csv."""
    try:
        rows = read_rows(folder.path / "scores.csv", SCORE_COLUMNS, optional=REVIEWED_COLUMNS)
    except RunFolderError as error:
        findings.unreadable("scores.csv", error)
        return []
    _check_names(rows, list(_part(run, "slides")), findings)
    for path in sorted(folder.path.glob("slides/*/result.json")):
        if path.parent.name not in _part(run, "slides"):
            findings.notes.append(f"slides/{path.parent.name} is of an earlier command, and no slide of this run")
    for number, row in enumerate(rows):
        if on_slide:
            on_slide(number, len(rows), row["file"] or "")
        if row["status"] == "failed":
            _check_failed(folder, row, run, assay, findings)
        else:
            _check_slide(folder, row, run, assay, findings)
    unreached = [row for row in rows if row["status"] == "failed" and row["reason"] == NOT_REACHED]
    if unreached:
        remedy = "run the same 'slidescore score' command again"
        findings.differ("scores.csv", f"the run is not finished: {len(unreached)} slides were not reached ({remedy})")
    try:
        regions = read_rows(folder.path / "regions.csv", REGION_COLUMNS)
    except RunFolderError as error:
        findings.unreadable("regions.csv", error)
    else:
        _check_regions(regions, rows, findings)
    return rows


def _check_names(rows: Sequence[Row], slide_ids: Sequence[str], findings: _Findings) -> None:
    listed = [row["slide_id"] or "" for row in rows]
    for slide_id in slide_ids:
        if listed.count(slide_id) != 1:
            findings.differ("scores.csv", f"has {listed.count(slide_id)} rows of {slide_id}, which needs one")
    for slide_id in sorted(set(listed) - set(slide_ids)):
        findings.differ("scores.csv", f"has a row of {slide_id or 'no slide'}, which is no slide of this run")


def _check_failed(folder: RunFolder, row: Row, run: Mapping[str, Any], assay: Assay, findings: _Findings) -> None:
    name = f"slides/{row['slide_id']}/result.json"
    if row["reason"] != NOT_REACHED and (folder.path / name).is_file():
        findings.differ(name, "is there, and scores.csv says that the slide failed")
    expected = {
        "compartment": assay.score.compartment,
        "cutoff": assay.call.cutoff_text,
        "assay_digest": _part(run, "assay").get("digest"),
        "model_digest": _part(run, "model").get("digest"),
        "slidescore_version": _part(run, "versions").get("slidescore"),
    } | {name: None for name in SCORE_COLUMNS if name not in OF_A_FAILED_SLIDE}
    for name, value in expected.items():
        if row[name] != value:
            should = f"should be {value}" if value else "should be empty, for the slide failed"
            findings.differ("scores.csv", f"{row['slide_id']}: {name} is {brief(row[name])}, and {should}")


def _check_slide(folder: RunFolder, row: Row, run: Mapping[str, Any], assay: Assay, findings: _Findings) -> None:
    slide_id = row["slide_id"] or ""
    name = f"slides/{slide_id}/result.json"
    slide = folder.slide(slide_id)
    if not slide.result.is_file():
        if name not in findings.changed:
            findings.differ(name, "is missing, and scores.csv has a result of the slide")
        return
    if name in findings.changed:
        return
    try:
        record = read_json(slide.result)
        if made_by(record) != made_by(run):
            findings.differ(name, "was made under another assay, model or version than run.json names")
            return
        identity = SlideIdentity(slide_id, str(record["file"]))
        judged = judge_slide(load_analysis(slide, record), assay, identity).record
    except RunFolderError as error:
        # Of a table that was changed so that it cannot be read all is said.
        if not findings.changed & {f"slides/{slide_id}/{Path(error.where).name}"}:
            findings.differ(name, f"cannot be scored again: {Path(error.where).name}: {error.message}")
        return
    except BAD_RECORD as error:
        findings.differ(name, f"cannot be scored again: {type(error).__name__}")
        return
    judged = _as_written(judged, record["versions"]["slidescore"])
    findings.judged[slide_id] = judged
    for part in JUDGED:
        for key, old, new in differing(record.get(part), judged[part], part):
            findings.differ(name, f"{key} is {brief(old)}, and follows as {brief(new)}")
    for column in SCORE_COLUMNS:
        said, value = row[column] or "", cell_text(judged["scores"][column])
        if said != value and column != OF_ITS_PATIENT:
            findings.differ("scores.csv", f"{slide_id}: {column} is {brief(said)}, and follows as {brief(value)}")


def _as_written(record: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Give a record the values that JSON gives back, and the version of slidescore that wrote the first one."""
    plain: dict[str, Any] = orjson.loads(orjson.dumps(record))
    for row in (plain["scores"], *plain["regions"]):
        row["slidescore_version"] = version
    return plain


def _check_regions(regions: Sequence[Row], rows: Sequence[Row], findings: _Findings) -> None:
    """Hold the rows of regions.csv against the slides that were scored again."""
    for slide_id in sorted({row["slide_id"] or "" for row in regions} - {row["slide_id"] or "" for row in rows}):
        findings.differ("regions.csv", f"has a row of {slide_id or 'no slide'}, which is no slide of this run")
    failed = [row["slide_id"] or "" for row in rows if row["status"] == "failed"]
    for slide_id in (*findings.judged, *failed):
        expected = findings.judged[slide_id]["regions"] if slide_id in findings.judged else []
        found = [row for row in regions if row["slide_id"] == slide_id]
        if len(found) != len(expected):
            findings.differ("regions.csv", f"{slide_id}: has {len(found)} regions, and {len(expected)} follow")
            continue
        for row, region in zip(found, expected, strict=True):
            for column in REGION_COLUMNS:
                said, value = row[column] or "", cell_text(region[column])
                if said != value and column != OF_ITS_PATIENT:
                    place = f"{slide_id}, region {region['region']}"
                    text = f"{column} is {brief(said)}, and follows as {brief(value)}"
                    findings.differ("regions.csv", f"{place}: {text}")
