"""Which slide is of which patient: the table that a user brings, and the form in which run.json keeps it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from slidescore.errors import InputError, RunFolderError
from slidescore.report.spreadsheet import FORMULA_SIGNS
from slidescore.report.user_tables import UserRow, UserTable, match_slides, name_key, quoted, read_user_table

TimePoint = str | int
"""An ISO date, or a whole number such as a visit; later is greater. One kind a table."""
Site = Literal["primary", "metastasis", ""]
SITES: Final = ("primary", "metastasis")
REQUIRED: Final = ("patient_id",)
OPTIONAL: Final = ("slide_id", "file", "block", "time_point", "site", "use")
NAMED_AT_MOST: Final = 5
"""So many slides without a row are named in a warning."""
_WHOLE: Final = re.compile(r"-?\d{1,9}", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PatientRow:
    """What the table says of one slide.

    Attributes
    ----------
    slide_id
        As in scores.csv.
    patient_id
        Never empty.
    block
        Name of the tissue block within the patient; empty for a block of its own.
    time_point
        None where it is not said.
    site
        Empty where it is not said.
    use
        Whether the slide may count.
    """

    slide_id: str
    patient_id: str
    block: str
    time_point: TimePoint | None
    site: Site
    use: bool


@dataclass(frozen=True)
class PatientTable:
    """Slides of patients, sorted by slide_id: the order of the user's rows is gone."""

    rows: tuple[PatientRow, ...]

    @cached_property
    def patient_of(self) -> dict[str, str]:
        """patient_id by slide_id."""
        return {row.slide_id: row.patient_id for row in self.rows}

    @property
    def sha256(self) -> str:
        """SHA-256 of the rows, in hex."""
        return hashlib.sha256(orjson.dumps([asdict(row) for row in self.rows])).hexdigest()

    def by_patient(self) -> dict[str, tuple[PatientRow, ...]]:
        """Return the rows of each patient, patients and slides in the order of their ids."""
        found: dict[str, list[PatientRow]] = {}
        for row in self.rows:
            found.setdefault(row.patient_id, []).append(row)
        return {patient: tuple(found[patient]) for patient in sorted(found)}

    def without_dates_and_names(self) -> PatientTable:
        """Replace dates by their rank in the table and names of blocks by numbers: the rules need no more.

        For runs of pseudonyms: a date and an accession number can name a patient.
        """
        times = sorted({row.time_point for row in self.rows if row.time_point is not None}, key=time_key)
        rank = {time: number for number, time in enumerate(times, start=1)}
        hidden = []
        for rows in self.by_patient().values():
            blocks = sorted({row.block for row in rows if row.block})
            for row in rows:
                block = str(blocks.index(row.block) + 1) if row.block else ""
                time = None if row.time_point is None else rank[row.time_point]
                hidden.append(replace(row, block=block, time_point=time))
        return PatientTable(tuple(sorted(hidden, key=lambda row: row.slide_id)))

    def to_json(self) -> dict[str, Any]:
        """Return what run.json holds: the rows, and their SHA-256."""
        return {"sha256": self.sha256, "rows": [asdict(row) for row in self.rows]}


def open_patient_table(path: Path) -> UserTable:
    """Read the file of a slide-to-patient table; which slides it means is found out by `match_patients`.

    Raises
    ------
    InputError
        If it cannot be read, or its columns are not patient_id, slide_id or file, and optionally block, time_point,
        site and use.
    """
    return read_user_table(path, required=REQUIRED, optional=OPTIONAL)


def match_patients(
    table: UserTable, slides: Mapping[str, str], fingerprints: Mapping[str, str], *, shown: bool = True
) -> PatientTable:
    """Match a slide-to-patient table with the slides of a run.

    Parameters
    ----------
    table
        As `open_patient_table` reads it.
    slides
        File by slide_id of all slides of the run.
    fingerprints
        By slide_id, of those that could be read: identical copies cannot be of two patients.
    shown
        Whether an error may repeat which slide a row names.

    Raises
    ------
    InputError
        Naming file, row and column: a slide that is unknown, there twice or of two patients; a patient_id that is
        missing, written in two ways or not safe in a table; time points of two kinds; another site; one block of two
        sites or time points.
    """
    slide_ids = match_slides(table, slides) if shown else _match_unseen(table, slides)
    rows: list[PatientRow] = []
    lines: dict[str, tuple[PatientRow, UserRow]] = {}
    kind: tuple[type, int] | None = None
    for user_row, slide_id in zip(table.rows, slide_ids, strict=True):
        row = _read_row(user_row, slide_id)
        if slide_id in lines:
            raise _repeated(user_row, row, *lines[slide_id], shown=shown)
        lines[slide_id] = (row, user_row)
        if row.time_point is not None:
            kind = _one_kind(user_row, row.time_point, kind)
        rows.append(row)
    _refuse_two_spellings(lines)
    _refuse_split_blocks(lines)
    _refuse_shared_slides(lines, fingerprints)
    return PatientTable(tuple(sorted(rows, key=lambda row: row.slide_id)))


def patients_from_json(content: Any) -> PatientTable:
    """Read what `PatientTable.to_json` wrote.

    Raises
    ------
    RunFolderError
        If it is not as it was written.
    """
    try:
        table = PatientTable(tuple(PatientRow(**row) for row in content["rows"]))
        whole = all(_is_whole(row) for row in table.rows) and len(table.patient_of) == len(table.rows)
        if not whole or table.sha256 != content["sha256"]:
            raise ValueError("sha256")
    except (LookupError, TypeError, ValueError) as error:
        raise RunFolderError("holds patients that are not as they were written", where="run.json") from error
    return table


def _is_whole(row: PatientRow) -> bool:
    """Whether a row from run.json holds what a row may hold."""
    texts = (row.slide_id, row.patient_id, row.block)
    time = row.time_point is None or type(row.time_point) in (str, int)
    named = all(isinstance(text, str) for text in texts) and bool(row.slide_id and row.patient_id)
    return named and time and row.site in ("", *SITES) and isinstance(row.use, bool)


def unlisted_slides(table: PatientTable, slides: Mapping[str, str]) -> tuple[str, ...]:
    """Say which slides of a run have no row; they count for no patient."""
    missing = sorted(file for slide_id, file in slides.items() if slide_id not in table.patient_of)
    if not missing:
        return ()
    names = f"{', '.join(missing[:NAMED_AT_MOST])}{' ...' if len(missing) > NAMED_AT_MOST else ''}"
    what = "1 slide has" if len(missing) == 1 else f"{len(missing)} slides have"
    return (f"{what} no row in the patient table and no patient: {names}",)


def time_key(time: TimePoint) -> tuple[int, str]:
    """Return what time points are sorted by; ISO dates sort as text."""
    return (0, time) if isinstance(time, str) else (time, "")


def _match_unseen(table: UserTable, slides: Mapping[str, str]) -> list[str]:
    """Match slides without repeating what a row calls its slide: in a run of pseudonyms that may be its name."""
    try:
        return match_slides(table, slides)
    except InputError as error:
        if ", row " not in error.where:
            # Of the whole table, which names no slide.
            raise
        raise InputError(
            "the slide of this row is not one of the run, or not told clearly", where=error.where,
            remedy="name slides by their pseudonyms, or give --key and name them by their own files",
        ) from None  # fmt: skip


def _read_row(row: UserRow, slide_id: str) -> PatientRow:
    patient_id = row.text("patient_id")
    for column in ("patient_id", "block"):
        text = row.optional_text(column) or ""
        if not text.isprintable():
            raise row.error(column, f"{quoted(text)} holds a line break or another sign that cannot be shown")
    if patient_id.startswith(FORMULA_SIGNS):
        raise row.error(
            "patient_id", f"{quoted(patient_id)} begins like a formula", "let it begin with a letter or digit"
        )
    site = row.optional_choice("site", SITES) or ""
    use = row.optional_flag("use")
    return PatientRow(
        slide_id, patient_id, row.optional_text("block") or "", _time_point(row),
        site, True if use is None else use,  # type: ignore[arg-type]
    )  # fmt: skip


def _time_point(row: UserRow) -> TimePoint | None:
    text = row.optional_text("time_point")
    if text is None:
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DATE.fullmatch(text):
        return row.date("time_point").isoformat()
    remedy = "write year-month-day, such as 2024-03-09, or a whole number such as the visit"
    raise row.error("time_point", f"{quoted(text)} is neither a date nor a whole number", remedy)


def _one_kind(row: UserRow, time: TimePoint, first: tuple[type, int] | None) -> tuple[type, int]:
    if first is not None and type(time) is not first[0]:
        words = {int: "a whole number", str: "a date"}
        raise row.error(
            "time_point", f"'{time}' is {words[type(time)]}, and row {first[1]} has {words[first[0]]}",
            "one kind in all of the table",
        )  # fmt: skip
    return first or (type(time), row.line)


_Lines = Mapping[str, tuple[PatientRow, UserRow]]


def _repeated(user_row: UserRow, row: PatientRow, old: PatientRow, old_row: UserRow, *, shown: bool) -> InputError:
    column = user_row.slide_column
    slide = f"slide {quoted(user_row.text(column))}" if shown else "this slide"
    if row.patient_id != old.patient_id:
        said = f"{quoted(row.patient_id)}, and row {old_row.line} says that {slide} is of {quoted(old.patient_id)}"
        return user_row.error("patient_id", said, "a slide is of one patient")
    return user_row.error(column, f"{slide} stands in row {old_row.line} already", "one row a slide")


def _refuse_two_spellings(lines: _Lines) -> None:
    """Refuse ids that differ in case, blanks or hyphens alone: one patient would become two."""
    first: dict[str, tuple[str, int]] = {}
    for row, user_row in _in_order(lines):
        spelled, line = first.setdefault(name_key(row.patient_id), (row.patient_id, user_row.line))
        if spelled != row.patient_id:
            raise user_row.error(
                "patient_id", f"{quoted(row.patient_id)} is written {quoted(spelled)} in row {line}",
                "write an id in one way; ids may not differ in case, blanks or hyphens alone",
            )  # fmt: skip


def _refuse_split_blocks(lines: _Lines) -> None:
    """Refuse a block whose sections are of two sites or time points: it is one piece of tissue."""
    first: dict[tuple[str, str], tuple[PatientRow, int]] = {}
    for row, user_row in _in_order(lines):
        if not row.block:
            continue
        other, line = first.setdefault((row.patient_id, row.block), (row, user_row.line))
        for column, said, before in (
            ("site", row.site, other.site), ("time_point", row.time_point, other.time_point),
        ):  # fmt: skip
            if said != before:
                text = f"block {quoted(row.block)} has {_or_none(said)} here and {_or_none(before)} in row {line}"
                raise user_row.error(column, text, "a block is of one site and one time point")


def _refuse_shared_slides(lines: _Lines, fingerprints: Mapping[str, str]) -> None:
    """Refuse identical copies of one slide that are given to two patients: one of the rows must be wrong."""
    first: dict[str, tuple[PatientRow, int]] = {}
    for row, user_row in _in_order(lines):
        fingerprint = fingerprints.get(row.slide_id)
        if not fingerprint or not row.use:
            continue
        other, line = first.setdefault(fingerprint, (row, user_row.line))
        if other.patient_id != row.patient_id:
            raise user_row.error(
                "patient_id", f"the slide is an identical copy of that of row {line}, which is of another patient",
                "correct one of them, or set use to no",
            )  # fmt: skip


def _in_order(lines: _Lines) -> Sequence[tuple[PatientRow, UserRow]]:
    return sorted(lines.values(), key=lambda pair: pair[1].line)


def _or_none(value: TimePoint | None) -> str:
    return "none" if value in (None, "") else f"'{value}'"
