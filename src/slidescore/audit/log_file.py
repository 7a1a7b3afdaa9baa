"""The SQLite file of reviews: its one table, how it is opened, and what its errors mean."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from slidescore.audit.events import NO_DIGEST
from slidescore.errors import RunFolderBusyError, RunFolderError
from slidescore.report.storage import cannot_write

APPLICATION_ID: Final = 0x736C7276
"""Marks the file as a log of reviews: "slrv" in ASCII, at offset 68 of the file."""
LOG_VERSION: Final = 1
"""Of the table; kept in user_version, at offset 60 of the file."""
BUSY_SECONDS: Final = 30.0
"""How long a connection waits for another one."""
PAGE_BYTES: Final = 16384
"""Of the file: large ones, so that a log of ten thousands of events has but one inner page."""
OLDEST_SQLITE: Final = (3, 37, 0)
"""First version of SQLite with STRICT tables."""
COLUMNS: Final = (
    "seq", "utc", "reviewer", "slide_id", "result_digest", "kind", "payload", "previous", "digest",
)  # fmt: skip

SCHEMA: Final = {
    "events": "CREATE TABLE events(seq INTEGER PRIMARY KEY AUTOINCREMENT, "
    + ", ".join(f"{name} TEXT NOT NULL" for name in COLUMNS[1:])
    + ") STRICT",
    "events_stay": "CREATE TRIGGER events_stay BEFORE DELETE ON events "
    "BEGIN SELECT RAISE(ABORT, 'a review is never deleted'); END",
    "events_hold": "CREATE TRIGGER events_hold BEFORE UPDATE ON events "
    "BEGIN SELECT RAISE(ABORT, 'a review is never changed'); END",
    "events_chain": "CREATE TRIGGER events_chain BEFORE INSERT ON events "
    "WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events) "
    "OR NEW.previous IS NOT coalesce((SELECT digest FROM events ORDER BY seq DESC LIMIT 1), "
    f"'{NO_DIGEST}') BEGIN SELECT RAISE(ABORT, 'a review follows the last one'); END",
}
"""Everything in the file, by name, in the order it is made."""
PARTS: Final = (
    ("table", "events", "events", SCHEMA["events"]),
    # SQLite's own table of what AUTOINCREMENT counted.
    ("table", "sqlite_sequence", "sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)"),
    *(("trigger", name, "events", sql) for name, sql in SCHEMA.items() if name != "events"),
)
"""What SQLite then says that there is: type, name, table and statement, in order."""

_WRITE_ERRORS: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN})
_BUSY_ERRORS: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_PRIMARY: Final = 0xFF
"""Bits of an extended error code that hold the plain one."""


class LogDamagedError(RunFolderError):
    """The log of reviews is not as it was written, or no such log."""


class LogReplacedError(RunFolderError):
    """The log does not go on from the event that the caller knows: another log stands in its place."""


@contextmanager
def opened(path: Path, *, create: bool = False) -> Iterator[sqlite3.Connection]:
    """Yield a connection to a log in autocommit mode; an unfinished write of a process that was killed is undone.

    Parameters
    ----------
    path
        The log.
    create
        Make an empty file where there is none.

    Raises
    ------
    RunFolderError
        What SQLite says inside the block, too, as an error of slidescore: DiskFullError where the disk is full,
        RunFolderBusyError where another process kept the file for 30 s.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise RunFolderError(
            f"cannot be used with SQLite {sqlite3.sqlite_version}",
            where=str(path),
            remedy=f"use a Python with SQLite {oldest} or newer",
        )
    try:
        # By a URI, because only so a missing file is not made.
        uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            for setting in (
                # Of a file that anybody may have made, nothing is run.
                "trusted_schema = OFF",
                "cell_size_check = ON",
                # Durable through a loss of power: the folder is synced after the journal is gone.
                "synchronous = EXTRA",
                # Space that holds nothing is zero, so that a changed byte there is seen.
                "secure_delete = ON",
                "recursive_triggers = ON",
                # Of a new file; one that is there keeps its own.
                f"page_size = {PAGE_BYTES}",
                "auto_vacuum = NONE",
                "encoding = 'UTF-8'",
            ):
                connection.execute(f"PRAGMA {setting}")
            yield connection
    except sqlite3.Error as error:
        raise _named(error, path) from error
    except UnicodeDecodeError as error:
        # Python's words for an error of SQLite that quotes what is no text.
        raise damaged("it holds what is no text", path) from error


@contextmanager
def kept(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to a log that nobody else can write meanwhile; what is not committed is undone.

    A file that is put in its place while this one waits for its turn is the one that is kept: what were written to
    the old one would be lost. Where there is no file an empty one is made.

    Raises
    ------
    RunFolderError
        As `opened`.
    """
    while True:
        # Before it is opened: of the file that is open, SQLite does not say which it is.
        before = _file_at(path)
        with opened(path, create=True) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                if before is not None and before == _file_at(path):
                    yield connection
                    return
            finally:
                # After a disk that is full SQLite has done so itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


def _file_at(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at a path from any other that is there; None without one."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _named(error: sqlite3.Error, path: Path) -> RunFolderError:
    """Say in one line what an error of SQLite means."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & _PRIMARY
    if primary == sqlite3.SQLITE_FULL:
        return cannot_write(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), path)
    if primary in _BUSY_ERRORS:
        return RunFolderBusyError(
            f"was kept by another process for {BUSY_SECONDS:g} s", where=str(path), remedy="try again"
        )
    if primary in _WRITE_ERRORS:
        return RunFolderError(
            f"cannot be opened or written: {error}", where=str(path), remedy="see who may write there"
        )
    if primary == sqlite3.SQLITE_IOERR:
        return RunFolderError(f"cannot be read or written: {error}", where=str(path))
    return damaged(str(error), path)


def damaged(what: str, path: Path) -> LogDamagedError:
    """Make the error of a log that is not as it was written."""
    return LogDamagedError(
        f"is damaged or no log of reviews: {what}", where=str(path), remedy="see 'slidescore review verify'"
    )


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file holds nothing yet: somebody was stopped before the first event was stored."""
    marks = [_pragma(connection, name) for name in ("application_id", "user_version", "schema_version")]
    return not any(marks)


def create_schema(connection: sqlite3.Connection) -> None:
    """Make the table and its triggers, inside of a transaction."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {LOG_VERSION}")
    for statement in SCHEMA.values():
        connection.execute(statement)


def refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a log of a later slidescore.

    Raises
    ------
    RunFolderError
        If it is one.
    """
    version = _pragma(connection, "user_version")
    if _pragma(connection, "application_id") == APPLICATION_ID and version > LOG_VERSION:
        raise RunFolderError(
            f"is of version {version}, and this slidescore knows {LOG_VERSION}",
            where=str(path),
            remedy="use a newer slidescore",
        )


def schema_differences(connection: sqlite3.Connection) -> list[str]:
    """List what of the file is not as `create_schema` made it, one line each."""
    marks = [_pragma(connection, name) for name in ("application_id", "user_version")]
    if marks != [APPLICATION_ID, LOG_VERSION]:
        return ["it is not marked as a log of reviews"]
    found = _parts(connection)
    lines = [f"{part[0]} '{part[1]}' is missing or not as it was made" for part in PARTS if part not in found]
    lines += [f"'{part[1]}' is none of its parts" for part in found if part not in PARTS]
    return lines if lines or found == list(PARTS) else ["its parts are in another order"]


def table_stands(connection: sqlite3.Connection) -> bool:
    """Whether the table of events itself is as it was made, so that events can be read."""
    return PARTS[0] in _parts(connection)


def _parts(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid").fetchall()


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
