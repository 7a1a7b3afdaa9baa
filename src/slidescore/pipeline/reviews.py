"""The reviews of a run: its log read, taken along to another run, and folded onto its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from slidescore.assay import Assay, LoadedAssay, assay_digest
from slidescore.audit.check import check_log
from slidescore.audit.events import Event
from slidescore.audit.log import LOG_FILE, ReviewLog, copy_log
from slidescore.audit.log_file import kept
from slidescore.audit.reviewed import REVIEWED_COLUMNS, ReviewSubject, review_subject, reviewed_row
from slidescore.audit.state import SlideReview, fold_review
from slidescore.cells import CELL_SCHEMA
from slidescore.errors import AssayError, RunFolderError
from slidescore.pipeline.publish import TABLES
from slidescore.pipeline.tile_table import TILE_SCHEMA
from slidescore.report.digests import refuse_changed, result_digest
from slidescore.report.files import read_json, read_parquet
from slidescore.report.run_folder import RunFolder
from slidescore.scoring.tumor_model import judged_cells

REMARKS: Final = frozenset({"comment", "reading"})
"""Kinds of events that change nothing about a result, so that none of them can fail to be applied."""


@dataclass(frozen=True, slots=True, eq=False)
class ReviewedSlide:
    """A result of a run, as machine and reviewers see it.

    Attributes
    ----------
    record
        Its result.json.
    subject
        Its cells, with all columns of the cell table.
    review
        What the events about this result come to.
    """

    record: Mapping[str, Any]
    subject: ReviewSubject
    review: SlideReview


def read_reviews(folder: RunFolder) -> tuple[Event, ...]:
    """Read all events of a run.

    Raises
    ------
    RunFolderError
        If nobody has reviewed the run, or its log cannot be used.
    """
    return ReviewLog(find_log(folder)).read()


def find_log(folder: RunFolder) -> Path:
    """Return the path of a run's log.

    Raises
    ------
    RunFolderError
        If nobody has reviewed the run.
    """
    path = folder.path / LOG_FILE
    if not path.is_file():
        raise RunFolderError(
            f"holds no {LOG_FILE}", where=str(folder.path), remedy="review it: 'slidescore review RUN'"
        )
    return path


def fold_slide(folder: RunFolder, slide_id: str, assay: Assay, events: Sequence[Event]) -> ReviewedSlide:
    """Fold the events onto a result of a run.

    Raises
    ------
    RunFolderError
        If the result's files were changed since they were written, or an event does not fit it.
    """
    slide = folder.slide(slide_id)
    refuse_changed(slide.path, TABLES)
    record = read_json(slide.result)
    cells = read_parquet(slide.path / "cells.parquet", CELL_SCHEMA)
    tiles = read_parquet(slide.path / "tiles.parquet", TILE_SCHEMA)
    subject = review_subject(record, judged_cells(cells, assay, record["slide"]["mpp"]), tiles, assay)
    return ReviewedSlide(record, subject, fold_review(events, slide_id, subject.result_digest, subject.places))


def add_reviewed_columns(
    folder: RunFolder, row: Mapping[str, Any], assay: Assay, events: Sequence[Event]
) -> dict[str, Any]:
    """Return a row of scores.csv with `REVIEWED_COLUMNS`; they are empty for a slide that failed."""
    if row["status"] == "failed":
        return {**row, **dict.fromkeys(REVIEWED_COLUMNS)}
    slide = fold_slide(folder, row["slide_id"], assay, events)
    return {**row, **reviewed_row(slide.subject, slide.review)}


def split_applied(events: Sequence[Event], results: Sequence[Mapping[str, Any]]) -> tuple[list[Event], list[Event]]:
    """Split edits and verdicts into those about the results of a run, and those about other ones.

    Parameters
    ----------
    events
        Of the run's log.
    results
        The run's result.json files.
    """
    digests = {record["slide_id"]: result_digest(record) for record in results}
    acts = [event for event in events if event.kind not in REMARKS]
    applied = [event for event in acts if digests.get(event.slide_id) == event.result_digest]
    return applied, [event for event in acts if digests.get(event.slide_id) != event.result_digest]


def note_unapplied(events: Sequence[Event], results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in one line how many edits and verdicts are not applied, if there are any; arguments as `split_applied`."""
    _, others = split_applied(events, results)
    return [f"{len(others)} reviews are about other results than those of this run: not applied"] if others else []


def refuse_reviews(source: RunFolder, out: Path, loaded: LoadedAssay) -> None:
    """Refuse to add the reviews of a run to another run, before that one is made.

    Raises
    ------
    AssayError
        If the assay is not the one that the reviewers looked at.
    RunFolderError
        If nobody has reviewed the run, the log was changed, or `out` holds reviews that would be lost.
    """
    if assay_digest(loaded.assay) != assay_digest(source.read_assay()):
        raise AssayError(
            "needs the run's own assay: reviews are about results under that one",
            where="--with-reviews",
            remedy="leave out --assay and --tumor-model",
        )
    _refuse_spoilt(source.path / LOG_FILE)
    events = read_reviews(source)
    _refuse_loss(out, events)


def add_reviews(
    source: RunFolder, target: RunFolder, rows: Sequence[Mapping[str, Any]], assay: Assay
) -> tuple[list[dict[str, Any]], list[str]]:
    """Take the log of a run along to another one, whose results are there, and say what it comes to.

    Parameters
    ----------
    source, target
        The run that was reviewed, and the new one.
    rows
        Of the new scores.csv.
    assay
        Of both.

    Returns
    -------
    tuple
        The rows with `REVIEWED_COLUMNS`, and warnings.

    Raises
    ------
    RunFolderError
        If the log cannot be copied whole, or an event does not fit its result.
    """
    # Once more: somebody may have reviewed the new run by now. Nobody can between the look and the copy; a server that
    # waits with an event finds the new log.
    taken = read_reviews(source)
    with kept(target.path / LOG_FILE):
        _refuse_loss(target.path, taken)
        copy_log(source.path / LOG_FILE, target.path / LOG_FILE)
    _refuse_spoilt(target.path / LOG_FILE)
    events = read_reviews(target)
    reviewed = [add_reviewed_columns(target, row, assay, events) for row in rows]
    results = [read_json(target.slide(row["slide_id"]).result) for row in rows if row["status"] != "failed"]
    return reviewed, note_unapplied(events, results)


def _refuse_loss(out: Path, events: Sequence[Event]) -> None:
    """Refuse to write over a log that is not the beginning of the one with `events`."""
    there = [event.digest for event in ReviewLog(out / LOG_FILE).read()]
    if there != [event.digest for event in events[: len(there)]]:
        raise RunFolderError("holds reviews that the run does not have", where=str(out), remedy="give another --out")


def _refuse_spoilt(path: Path) -> None:
    found = check_log(path)
    if found.differences:
        raise RunFolderError(found.differences[0], where=str(path), remedy="see 'slidescore review verify'")
