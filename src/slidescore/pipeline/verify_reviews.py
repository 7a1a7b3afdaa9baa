"""Whether the reviews of a run are as they were made, and its reviewed columns follow from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from slidescore.assay import Assay
from slidescore.audit.check import check_log
from slidescore.audit.events import Event
from slidescore.audit.log import LOG_FILE, ReviewLog
from slidescore.audit.reviewed import REVIEWED_COLUMNS
from slidescore.errors import RunFolderError, SlidescoreError
from slidescore.pipeline.differences import brief
from slidescore.pipeline.reviews import add_reviewed_columns, find_log, note_unapplied, split_applied
from slidescore.report.files import cell_text, read_json
from slidescore.report.run_folder import RunFolder, list_results

Row = Mapping[str, str | None]
STATE: Final = REVIEWED_COLUMNS[0]
HEAD: Final = REVIEWED_COLUMNS[-1]


@dataclass(slots=True)
class ReviewCheck:
    """What looking at the reviews of a run came to.

    Attributes
    ----------
    differences, notes
        One line each.
    n_events
        Events of the log.
    head
        Digest of the last one; empty without one.
    events
        The events themselves; none where the log differs from what was written.
    """

    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_events: int = 0
    head: str = ""
    events: tuple[Event, ...] = ()


def verify_reviews(run: str | Path) -> ReviewCheck:
    """Check the log of reviews of a run: what `slidescore review verify` does.

    Raises
    ------
    RunFolderError
        If it is no run folder, or nobody has reviewed it.
    """
    folder = RunFolder(Path(run))
    folder.read_assay()
    find_log(folder)
    check = check_reviews(folder)
    if not check.differences:
        check.notes += note_unapplied(check.events, list_results(folder))
    return check


def check_reviews(folder: RunFolder) -> ReviewCheck:
    """Look at every byte of the log of a run, and whether it is about the run's slides; no log is no difference.

    Raises
    ------
    RunFolderError
        If run.json cannot be read.
    """
    path, check = folder.path / LOG_FILE, ReviewCheck()
    slides = read_json(folder.run_json).get("slides")
    known = set(slides) if isinstance(slides, dict) else set()
    try:
        found = check_log(path)
        check.events = () if found.differences else ReviewLog(path).read()
    except RunFolderError as error:
        check.differences.append(f"{LOG_FILE}: {error.message}")
        return check
    check.n_events, check.head = found.n_events, found.head
    check.differences += [f"{LOG_FILE}: {line}" for line in found.differences]
    strangers = dict.fromkeys(event.slide_id for event in check.events if event.slide_id not in known)
    check.differences += [f"{LOG_FILE}: is about {brief(name)}, which is no slide of this run" for name in strangers]
    return check


def check_reviewed_run(folder: RunFolder, rows: Sequence[Row], scored: Collection[str], assay: Assay) -> ReviewCheck:
    """Look at the log, and hold the reviewed columns of scores.csv against what follows from it: part of `verify`.

    Parameters
    ----------
    folder
        The run.
    rows
        Of scores.csv, with or without reviewed columns.
    scored
        slide_ids of the rows whose results are what they were.
    assay
        The run's.
    """
    check, path = check_reviews(folder), folder.path / LOG_FILE
    if check.n_events and not check.differences:
        check.notes.append(f"{LOG_FILE} holds {check.n_events} reviews; SHA-256 of the last: {check.head}")
    if check.differences or not any(STATE in row for row in rows):
        # What follows from a log that was changed is not said again.
        return check
    if not path.is_file():
        check.differences.append(f"{LOG_FILE}: is missing, and scores.csv has reviewed columns")
        return check
    events = _events_then(check.events, rows, check)
    newer, _ = split_applied(check.events[len(events) :], list_results(folder))
    if newer:
        text = f"{len(newer)} reviews are newer than scores.csv; 'slidescore rescore --with-reviews' adds them"
        check.notes.append(text)
    for row in rows:
        if row["slide_id"] in scored or row["status"] == "failed":
            _check_row(folder, row, assay, events, check)
    return check


def _events_then(events: Sequence[Event], rows: Sequence[Row], check: ReviewCheck) -> Sequence[Event]:
    """Return the events that were there when the columns were written: up to the last that a row names."""
    places = {event.digest: event.seq for event in events}
    heads = {row["slide_id"]: row[HEAD] for row in rows if row[HEAD]}
    for slide_id, head in heads.items():
        if head not in places:
            check.differences.append(f"scores.csv: {slide_id}: {HEAD} is {brief(head)}, which {LOG_FILE} does not hold")
    last = max((places.get(head or "", 0) for head in heads.values()), default=0)
    return events[:last]


def _check_row(folder: RunFolder, row: Row, assay: Assay, events: Sequence[Event], check: ReviewCheck) -> None:
    try:
        expected: dict[str, Any] = add_reviewed_columns(folder, row, assay, events)
    except SlidescoreError as error:
        check.differences.append(f"{LOG_FILE}: cannot be applied to {row['slide_id']}: {error.message}")
        return
    for column in REVIEWED_COLUMNS:
        said, value = row[column] or "", cell_text(expected[column])
        if said != value:
            text = f"{row['slide_id']}: {column} is {brief(said)}, and follows as {brief(value)}"
            check.differences.append(f"scores.csv: {text}")
