"""Tables that users bring, such as readers' scores: read strictly, every error naming file, row and column.

A table is CSV with one header: comma, semicolon or tab between the values (Excel writes each of them, by country and
menu), UTF-8 with or without a byte order mark, values with line breaks or separators in double quotes. Column names are
found whatever their case, blanks or hyphens; values lose the blanks around them. Nothing is guessed: a decimal comma, a
date written another way, a byte that is not UTF-8, a row with a value too many are errors that say what to write.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Final

from slidescore.errors import InputError, nearest_names
from slidescore.report.spreadsheet import from_text
from slidescore.report.user_row import UserRow, name_key, quoted

__all__ = ("UserRow", "UserTable", "match_slides", "name_key", "quoted", "read_user_table")

DELIMITERS: Final = (",", ";", "\t")
SEPARATORS: Final = "".join(DELIMITERS)
UTF8_MARK: Final = b"\xef\xbb\xbf"
WORKBOOK_MARKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of a spreadsheet program's own files: .xlsx and .ods, and .xls."""
UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
CLOSE_ENOUGH: Final = 0.6
"""Likeness at which another column's name is suggested, as for every other name."""
MAX_BYTES: Final = 64 << 20
"""A table of slides or patients is far smaller; a slide or a cell table given by mistake is not read."""

COMMA_REMEDY: Final = "put a value that holds a comma in double quotes; write decimals with a point"


@dataclass(frozen=True, slots=True)
class UserTable:
    """A table as it was read."""

    path: Path
    columns: tuple[str, ...]
    """Known columns as this program spells them, strangers as the user does; in the order of the file."""
    rows: tuple[UserRow, ...]

    def has(self, column: str) -> bool:
        """Say whether the table has a column."""
        return column in self.columns

    def column(self, name: str, where: str) -> str:
        """Find the column that a command's option names, whatever its case.

        Parameters
        ----------
        name
            What the user wrote.
        where
            The option, such as `--strata`; the error begins with it.

        Raises
        ------
        InputError
            If there is none; says the nearest.
        """
        known = {name_key(column): column for column in self.columns}
        if name_key(name) not in known:
            raise InputError(
                f"{self.path} has no column {quoted(name)}", where=where, remedy=_nearest_column(name, known)
            )
        return known[name_key(name)]

    def error(self, message: str, remedy: str = "", *, column: str = "") -> InputError:
        """Make (not raise) an error of the whole table, or of one of its columns."""
        place = f"{self.path}, column '{column}'" if column else str(self.path)
        return InputError(message, where=place, remedy=remedy)

    def require_unique(self, *columns: str) -> None:
        """Refuse a row whose values in these columns stand together in an earlier row; empty cells count as values.

        Raises
        ------
        InputError
            At the last of the columns, with the earlier row.
        """
        first: dict[tuple[str, ...], int] = {}
        for row in self.rows:
            key = tuple(row.values.get(column, "") for column in columns)
            if key in first:
                said = " ".join(quoted(value) for value in key)
                raise row.error(columns[-1], f"{said} stands in row {first[key]} already", "one row each")
            first[key] = row.line


def read_user_table(
    path: Path, *, required: Sequence[str] = (), optional: Sequence[str] = (), open_columns: bool = False
) -> UserTable:
    """Read a CSV table.

    Parameters
    ----------
    path
        Comma, semicolon or tab between values; UTF-8, with or without byte order mark. Empty lines are skipped.
    required
        Columns that it must have.
    optional
        Columns that it may have.
    open_columns
        Whether other columns are let through, under the user's names; without it they are errors.

    Raises
    ------
    InputError
        If it cannot be read, holds no row, or lacks a column; if a column is unknown (the nearest known one is the
        remedy) or there twice; if a row has more or fewer values than there are columns.
    """
    text = _decoded(path)
    known = {name_key(name): name for name in (*required, *optional)}
    delimiter = _delimiter(path, text, known)
    records = _records(path, text, delimiter)
    header_line, header = next(records, (1, []))
    if not any(name.strip(SEPARATORS) for name in header):
        raise InputError("holds nothing", where=str(path), remedy=f"its first line names columns: {_listed(known)}")
    names = _columns(path, header_line, header, known, open_columns=open_columns)
    for name in required:
        if name not in names:
            remedy = f"it has: {', '.join(filter(None, names))}"
            raise InputError(f"has no column '{name}'", where=f"{path}, row {header_line}", remedy=remedy)
    rows = [_row(path, line, names, values, delimiter) for line, values in records]
    if not rows:
        raise InputError("has column names but no row", where=str(path))
    return UserTable(path, tuple(name for name in names if name), tuple(rows))


def match_slides(table: UserTable, slides: Mapping[str, str]) -> list[str]:
    """Find the slide of each row by its columns slide_id and file, one of which may be missing or empty.

    Parameters
    ----------
    table
        Has column `slide_id`, `file` or both.
    slides
        Files by slide_id. A file of the table is the whole of it (the path below INPUT) or its last part.

    Returns
    -------
    list of str
        The slide_id of each row.

    Raises
    ------
    InputError
        If a slide is unknown (the nearest one is the remedy), a file name fits several, or the two columns contradict.
    """
    if not table.has("slide_id") and not table.has("file"):
        raise table.error("has no column that says which slide a row is about", "add slide_id or file")
    by_file: dict[str, list[str]] = {}
    for slide_id, file in slides.items():
        for name in {file, PurePosixPath(file).name}:
            by_file.setdefault(name, []).append(slide_id)
    return [_slide_of(row, slides, by_file) for row in table.rows]


def _slide_of(row: UserRow, slides: Mapping[str, str], by_file: Mapping[str, Sequence[str]]) -> str:
    slide_id, file = row.optional_text("slide_id"), row.optional_text("file")
    if slide_id is not None and slide_id not in slides:
        raise row.error("slide_id", f"no slide {quoted(slide_id)}", nearest_slides(slide_id, slides))
    if file is None:
        return slide_id if slide_id is not None else row.text("slide_id" if "slide_id" in row.values else "file")
    found = by_file.get(file) or by_file.get(file.replace("\\", "/").removeprefix("./"), [])
    whole = [each for each in found if slides[each] == file]
    found = whole or found
    if not found:
        raise row.error("file", f"no slide {quoted(file)}", nearest_slides(file, by_file))
    if slide_id is not None:
        if slide_id not in found:
            raise row.error("file", f"{quoted(file)} is not the file of slide_id {quoted(slide_id)}")
        return slide_id
    if len(found) > 1:
        raise row.error("file", f"{quoted(file)} is the file of {len(found)} slides", "give slide_id as well")
    return found[0]


def nearest_slides(name: str, known: Mapping[str, object]) -> str:
    """Say which slide's name is closest; where none is, how many there are rather than all their names."""
    words = nearest_names(name, known)
    return words if words.startswith("did you mean") else f"none of the {len(known)} names comes close"


def _decoded(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"is larger than {MAX_BYTES >> 20} MB; is it a table?", where=str(path))
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    remedy = "save it as 'CSV UTF-8'"
    if content.startswith(WORKBOOK_MARKS):
        raise InputError("is a workbook, not CSV", where=str(path), remedy="save the sheet as CSV (UTF-8)")
    if content.startswith(UTF16_MARKS):
        raise InputError("is UTF-16, not UTF-8", where=str(path), remedy=remedy)
    content = content.removeprefix(UTF8_MARK)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = len(content[: error.start].splitlines() or [b""])
        if content[: error.start].endswith((b"\n", b"\r")):
            line += 1
        raise InputError("holds a byte that is not UTF-8", where=f"{path}, row {line}", remedy=remedy) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError("holds a zero byte; is it a table?", where=f"{path}, row {line}", remedy=remedy)
    return text


def _delimiter(path: Path, text: str, known: Mapping[str, str]) -> str:
    """Choose what splits the header into the most known columns; else what splits both it and the first row alike."""

    def merit(delimiter: str) -> tuple[int, bool, bool, int]:
        records = _records(path, text, delimiter)
        try:
            _, header = next(records, (1, []))
            _, first = next(records, (1, header))
        except InputError:  # quotes that make no sense with this separator
            return -1, False, False, 0
        n_known = sum(name_key(name) in known for name in header)
        return n_known, len(header) > 1, len(first) == len(header), len(header)

    return max(DELIMITERS, key=merit)


def _records(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where each record begins, and its stripped values; records without any value are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    line = 1
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            remedy = 'a value with a quote in it is written "so ""quoted"" here"'
            raise InputError(f"cannot be read: {error}", where=f"{path}, row {line}", remedy=remedy) from error
        values = [from_text(value.strip()) for value in record]
        if any(values):
            yield line, values
        line = reader.line_num + 1


def _columns(
    path: Path, line: int, header: Sequence[str], known: Mapping[str, str], *, open_columns: bool
) -> list[str]:
    """Name the columns; "" for those without a name at the end, which spreadsheets leave behind."""
    place = f"{path}, row {line}"
    filled = max(place for place, name in enumerate(header) if name) + 1
    names: list[str] = []
    for number, name in enumerate(header[:filled], start=1):
        if not name:
            raise InputError(f"column {number} has no name", where=place)
        if name_key(name) not in known and not open_columns:
            raise InputError(f"unknown column {quoted(name)}", where=place, remedy=_nearest_column(name, known))
        column = known.get(name_key(name), name)
        if name_key(column) in {name_key(each) for each in names}:
            raise InputError(f"column {quoted(column)} is there twice", where=place)
        names.append(column)
    return names + [""] * (len(header) - filled)


def _row(path: Path, line: int, names: Sequence[str], values: Sequence[str], delimiter: str) -> UserRow:
    n_columns = sum(map(bool, names))
    if len(values) < n_columns or any(values[n_columns:]):
        message = f"has {len(values)} values, but there are {n_columns} columns"
        remedy = COMMA_REMEDY if delimiter == "," else ""
        raise InputError(message, where=f"{path}, row {line}", remedy=remedy)
    return UserRow(path, line, dict(zip(names[:n_columns], values, strict=False)))


def _nearest_column(name: str, known: Mapping[str, str]) -> str:
    """Say which known column is closest, or list them all; compared as `name_key` spells them."""
    close = get_close_matches(name_key(name), known, n=1, cutoff=CLOSE_ENOUGH)
    return f"did you mean '{known[close[0]]}'?" if close else f"known: {_listed(known)}"


def _listed(known: Mapping[str, str]) -> str:
    return ", ".join(known.values())
