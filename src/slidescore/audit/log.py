"""The log of reviews of a run: an SQLite file to which acts are added, and in which nothing is ever changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from slidescore.audit.events import NO_DIGEST, Draft, Event, canonical_json, event_digest
from slidescore.audit.log_file import (
    COLUMNS,
    LogReplacedError,
    create_schema,
    damaged,
    is_empty,
    kept,
    opened,
    refuse_newer,
    schema_differences,
)
from slidescore.audit.payloads import check_payload
from slidescore.audit.requests import parse_digest, parse_reviewer
from slidescore.errors import InputError
from slidescore.report.files import write_bytes
from slidescore.report.storage import sync_folder

LOG_FILE: Final = "reviews.sqlite"
"""Name of the log in a run folder. SQLite may have `reviews.sqlite-journal` beside it while a write is under way."""


Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ReviewLog:
    """The log at a path; threads and processes may share it, for each call has a connection of its own."""

    path: Path

    def read(self, after: int = 0, digest: str | None = None) -> tuple[Event, ...]:
        """Return the events after number `after`, in order; none where there is no file yet.

        Of every event the digest, the place in the chain and the payload are looked at.

        Parameters
        ----------
        after
            Last event that the caller already knows.
        digest
            Its digest, where the log must be the one that the caller knows.

        Raises
        ------
        LogReplacedError
            If event `after` is not the one with that digest.
        RunFolderError
            If the file is of a newer version or cannot be read; LogDamagedError if it was changed or is no log.
        """
        if not self.path.exists():
            self._refuse_other((), after, digest)
            return ()
        with opened(self.path) as connection:
            connection.execute("BEGIN")
            if is_empty(connection):
                self._refuse_other((), after, digest)
                return ()
            self._refuse_changed(connection)
            self._refuse_other(_digests_at(connection, after), after, digest)
            return self._events(connection, after)

    def append(self, build: Callable[[Sequence[Event]], Draft], seen: int = 0, digest: str | None = None) -> Event:
        """Add one event; when this returns, it is on the disk.

        Parameters
        ----------
        build
            Called with all events after number `seen`, while nobody else can write; makes the event from them, so
            that the old values it stores are true. What it raises comes through, and nothing is written.
        seen
            Last event that the caller already knows.
        digest
            Its digest, where the log must be the one that the caller knows.

        Raises
        ------
        LogReplacedError
            If event `seen` is not the one with that digest; `build` was not called.
        RunFolderError
            If the file is of a newer version or cannot be written; LogDamagedError if it was changed or is no log,
            DiskFullError where the disk is full, RunFolderBusyError where another process kept it for 30 s.
        InputError
            If what was built is no event.
        """
        is_new = not self.path.exists()
        with kept(self.path) as connection:
            if is_empty(connection):
                create_schema(connection)
            self._refuse_changed(connection)
            self._refuse_other(_digests_at(connection, seen), seen, digest)
            events = self._events(connection, seen)
            n, head = _last(connection)
            if n < seen:
                raise damaged(f"events after number {n} were cut off", self.path)
            event = _make_event(build(events), n + 1, head)
            values = [*_columns(event).values(), event.digest]
            connection.execute(f"INSERT INTO events VALUES ({', '.join('?' * len(COLUMNS))})", values)
            connection.execute("COMMIT")
        if is_new:
            sync_folder(self.path.parent)
        return event

    def _refuse_changed(self, connection: sqlite3.Connection) -> None:
        refuse_newer(connection, self.path)
        for line in schema_differences(connection):
            raise damaged(line, self.path)

    def _refuse_other(self, there: tuple[str, ...], seq: int, digest: str | None) -> None:
        """Refuse a log whose event `seq`, with the digest that is there, is not the one that the caller knows."""
        if digest is not None and seq and there != (digest,):
            raise LogReplacedError(
                f"is another log: event {seq} is not the one that was read",
                where=str(self.path),
                remedy="read it again",
            )

    def _events(self, connection: sqlite3.Connection, after: int) -> tuple[Event, ...]:
        rows = connection.execute("SELECT * FROM events WHERE seq >= ? ORDER BY seq", (after,))
        found: list[Event] = []
        previous = NO_DIGEST if after < 1 else str((rows.fetchone() or [NO_DIGEST])[-1])
        for seq, row in enumerate(rows, max(after, 0) + 1):
            try:
                found.append(read_event(row, seq, previous))
            except InputError as error:
                raise damaged(f"event {seq}: {error}", self.path) from error
            previous = found[-1].digest
        return tuple(found)


def _digests_at(connection: sqlite3.Connection, seq: int) -> tuple[str, ...]:
    """Return the digest of an event, as the log has it; nothing where it has none of that number."""
    return tuple(str(row[0]) for row in connection.execute("SELECT digest FROM events WHERE seq = ?", (seq,)))


def _last(connection: sqlite3.Connection) -> tuple[int, str]:
    """Return number and digest of the last event."""
    row = connection.execute("SELECT seq, digest FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, NO_DIGEST) if row is None else (int(row[0]), str(row[1]))


def _make_event(draft: Draft, seq: int, previous: str) -> Event:
    utc = datetime.now(UTC).isoformat(timespec="milliseconds")
    event = Event(
        seq, utc, draft.reviewer, draft.slide_id, draft.result_digest, draft.kind, dict(draft.payload), previous, ""
    )
    event = replace(event, digest=event_digest(_columns(event)))
    _refuse_strange(event)
    return event


def _columns(event: Event) -> dict[str, Any]:
    """Return what is stored of an event, all but its digest."""
    stored = {name: getattr(event, name) for name in COLUMNS[:-1]}
    return stored | {"payload": canonical_json(event.payload)}


def read_event(row: Row, seq: int, previous: str) -> Event:
    """Make the event of a row.

    Raises
    ------
    InputError
        If it is not as it was stored, or not event `seq` after the one with digest `previous`.
    """
    stored = dict(zip(COLUMNS, row, strict=True))
    if stored["seq"] != seq:
        raise InputError(f"is missing, and event {stored['seq']} follows")
    if not all(isinstance(stored[name], str) for name in COLUMNS[1:]):
        raise InputError("holds something else than text")
    if stored["digest"] != event_digest({name: stored[name] for name in COLUMNS[:-1]}):
        raise InputError("was changed: its digest is another one")
    if stored["previous"] != previous:
        raise InputError("does not follow the event before")
    try:
        event = Event(**{**stored, "payload": orjson.loads(stored["payload"])})
    except orjson.JSONDecodeError as error:
        raise InputError("is no JSON", where="payload") from error
    _refuse_strange(event)
    if canonical_json(event.payload) != stored["payload"]:
        raise InputError("is not written in the one form that it has", where="payload")
    return event


def _refuse_strange(event: Event) -> None:
    """Refuse an event that no review makes."""
    check_payload(event.kind, event.payload)
    parse_digest(event.result_digest)
    if parse_reviewer(event.reviewer) != event.reviewer:
        raise InputError("is not written in the one form that it has", where="reviewer")
    if not event.slide_id or not event.slide_id.isprintable():
        raise InputError("is no name of a slide", where="slide_id")
    try:
        utc = datetime.fromisoformat(event.utc)
    except ValueError as error:
        raise InputError("is no time", where="utc") from error
    if utc.tzinfo != UTC or utc.isoformat(timespec="milliseconds") != event.utc:
        raise InputError("is not written in the one form that it has", where="utc")


def copy_log(source: Path, target: Path) -> None:
    """Copy a log whole, byte for byte, also while others write to it; what is at `target` is replaced.

    Raises
    ------
    RunFolderError
        If it cannot be read or written.
    """
    with opened(source) as connection:
        image = connection.serialize()
    write_bytes(target, image)
