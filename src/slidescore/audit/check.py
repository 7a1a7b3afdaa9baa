"""Whether a log of reviews is what was written: its events, its chain, its triggers, and every byte of its file."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from slidescore.audit.events import NO_DIGEST
from slidescore.audit.file_pages import page_differences
from slidescore.audit.log import read_event
from slidescore.audit.log_file import (
    LogDamagedError,
    is_empty,
    opened,
    refuse_newer,
    schema_differences,
    table_stands,
)
from slidescore.errors import InputError

MAX_LINES: Final = 20
"""Lines of one kind that are listed: damage that is everywhere is said once and again."""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class LogCheck:
    """What a check of a log came to.

    Attributes
    ----------
    differences
        One line each; empty when all is as it was written.
    n_events
        How many events there are.
    head
        Digest of the last event, empty without one. Kept elsewhere, it shows whether events were cut off or forged.
    """

    differences: tuple[str, ...]
    n_events: int
    head: str


def check_log(path: Path) -> LogCheck:
    """Look at every byte of a log; without a file there is nothing to find.

    Raises
    ------
    RunFolderError
        If the file cannot be opened, is of a newer version, or another process keeps it for 30 s. That it is no log
        is a difference.
    """
    if not path.exists():
        return LogCheck((), 0, "")
    rows: list[Row] = []
    try:
        with opened(path) as connection:
            connection.execute("BEGIN")
            if is_empty(connection):
                return LogCheck(("the file holds nothing",) if path.stat().st_size else (), 0, "")
            refuse_newer(connection, path)
            found = schema_differences(connection)
            if table_stands(connection):
                rows = connection.execute("SELECT * FROM events ORDER BY seq").fetchall()
                found += _event_differences(rows) + _count_differences(connection, rows)
            found += _file_differences(connection)
            found = found or _byte_differences(connection, rows, path)
    except LogDamagedError as error:
        found = [error.message]
    return LogCheck(tuple(found), len(rows), str(rows[-1][-1]) if rows else "")


def _event_differences(rows: list[Row]) -> list[str]:
    """List the events that are not as they were stored, are missing, or do not follow the one before."""
    lines, seq, previous = [], 0, NO_DIGEST
    for row in rows:
        try:
            read_event(row, seq + 1, previous)
        except InputError as error:
            lines.append(f"event {seq + 1}: {error}")
        seq, previous = row[0], row[-1]
    return lines[:MAX_LINES]


def _count_differences(connection: sqlite3.Connection, rows: list[Row]) -> list[str]:
    """Compare what AUTOINCREMENT counted with what is there: the end of a log may have been cut off."""
    counted = connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    last = rows[-1][0] if rows else None
    if counted == [("events", last)]:
        return []
    return [f"the last event is {last or 'missing'}, and the file counted {counted[0][1] if counted else 'none'}"]


def _file_differences(connection: sqlite3.Connection) -> list[str]:
    """Ask SQLite itself."""
    found = [str(line) for (line,) in connection.execute(f"PRAGMA integrity_check({MAX_LINES})")]
    return [] if found == ["ok"] else [f"SQLite finds: {line}" for line in found]


def _byte_differences(connection: sqlite3.Connection, rows: list[Row], path: Path) -> list[str]:
    """Compare the file with what its rows come to; every event was one write."""
    image = connection.serialize()
    if path.stat().st_size != len(image):
        return ["the file is longer than its pages"]
    schema = connection.execute(
        "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master ORDER BY rowid"
    ).fetchall()
    counted = connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    roots = {name: root for _, name, _, root, _ in schema}
    tables = [
        (1, list(enumerate(schema, 1))),
        # The number of an event is its rowid, and in the row itself SQLite leaves it out.
        (roots["events"], [(seq, (None, *values)) for seq, *values in rows]),
        (roots["sqlite_sequence"], list(enumerate(counted, 1))),
    ]
    return page_differences(image, len(rows), tables)
