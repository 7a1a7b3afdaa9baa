"""The log of reviews: nothing stored is lost, and nothing stored is changed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from audit import review_writers
from audit.made_reviews import DIGEST, SLIDE
from audit.review_writers import N_CELLS, comment
from slidescore.audit import log_file
from slidescore.audit.check import check_log
from slidescore.audit.events import NO_DIGEST, Draft, Event
from slidescore.audit.log import LOG_FILE, ReviewLog, copy_log
from slidescore.audit.log_file import LogDamagedError, LogReplacedError, kept
from slidescore.audit.runs import parse_lengths, parse_runs
from slidescore.errors import DiskFullError, InputError, RunFolderBusyError, RunFolderError


@pytest.fixture
def log(tmp_path: Path) -> ReviewLog:
    return ReviewLog(tmp_path / LOG_FILE)


def write(log: ReviewLog, *texts: str) -> list[Event]:
    return [log.append(lambda _, text=text: comment(text)) for text in texts]


def run_sql(log: ReviewLog, *statements: str) -> None:
    with closing(sqlite3.connect(log.path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_without_a_file_there_are_no_events_and_none_is_made(log):
    assert (log.read(), log.path.exists()) == ((), False)


def test_events_come_back_as_they_were_stored(log):
    events = write(log, "one", "zwei — 三", "three")
    assert log.read() == tuple(events)
    assert log.read(after=1) == tuple(events[1:])
    assert (log.read(after=3), log.read(after=9)) == ((), ())
    assert [event.seq for event in events] == [1, 2, 3]
    assert [event.previous for event in events] == [NO_DIGEST, events[0].digest, events[1].digest]
    assert (events[1].payload["text"], events[1].utc[-6:]) == ("zwei — 三", "+00:00")


def test_anybody_can_compute_the_chain_with_what_every_computer_has(log):
    write(log, "one", "zwei")
    with closing(sqlite3.connect(log.path)) as connection:
        connection.row_factory = sqlite3.Row
        previous = "0" * 64
        for row in map(dict, connection.execute("SELECT * FROM events ORDER BY seq")):
            digest = row.pop("digest")
            text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            assert hashlib.sha256(text.encode()).hexdigest() == digest
            assert row["previous"] == previous
            previous = digest


def test_what_is_built_is_built_from_all_that_the_caller_has_not_seen(log):
    events = write(log, "one", "two")
    seen: list[Sequence[Event]] = []

    def build(new: Sequence[Event]) -> Draft:
        seen.append(new)
        return comment("three")

    log.append(build, seen=1)
    assert [list(new) for new in seen] == [events[1:]]


def test_an_error_while_it_is_built_comes_through_and_nothing_is_stored(log):
    def refuse(_: Sequence[Event]) -> Draft:
        raise InputError("is wrong", where="of")

    with pytest.raises(InputError, match="of: is wrong"):
        log.append(refuse)
    assert log.read() == ()
    [event] = write(log, "one")
    with pytest.raises(InputError):
        log.append(refuse)
    assert log.read() == (event,)
    assert check_log(log.path).differences == ()


@pytest.mark.parametrize(
    "draft",
    [
        Draft(SLIDE, DIGEST, "comment", "Ann", {"text": "x"}),
        Draft(SLIDE, DIGEST, "comment", " Ann", {"text": "x", "reason": ""}),
        Draft(SLIDE, "ab", "comment", "Ann", {"text": "x", "reason": ""}),
        Draft("", DIGEST, "comment", "Ann", {"text": "x", "reason": ""}),
        Draft("a\nb", DIGEST, "comment", "Ann", {"text": "x", "reason": ""}),
        Draft(SLIDE, DIGEST, "deleted", "Ann", {"reason": ""}),
    ],
)
def test_what_is_no_event_is_not_stored(log, draft):
    with pytest.raises(InputError):
        log.append(lambda _: draft)
    assert log.read() == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET reviewer = 'Bob' WHERE seq = 1",
        "UPDATE events SET seq = 9 WHERE seq = 2",
        "DELETE FROM events WHERE seq = 2",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT * FROM events WHERE seq = 2",
        "INSERT INTO events SELECT 2, utc, reviewer, slide_id, result_digest, kind, payload, previous, digest "
        "FROM events WHERE seq = 2",
        "INSERT INTO events SELECT 4, utc, reviewer, slide_id, result_digest, kind, payload, digest, digest "
        "FROM events WHERE seq = 2",
        "INSERT INTO events SELECT 3, utc, reviewer, slide_id, result_digest, kind, payload, previous, digest "
        "FROM events WHERE seq = 2",
        "INSERT INTO events SELECT 3, utc, reviewer, slide_id, result_digest, kind, NULL, digest, digest "
        "FROM events WHERE seq = 2",
    ],
)
def test_sql_cannot_change_what_is_stored(log, statement):
    events = write(log, "one", "two")
    with pytest.raises(sqlite3.IntegrityError):
        run_sql(log, statement)
    assert log.read() == tuple(events)
    assert check_log(log.path).differences == ()


@pytest.mark.slow
def test_a_writer_that_is_killed_has_stored_all_that_it_said(log):
    times = 30
    command = [sys.executable, review_writers.__file__, str(log.path), "kill", str(times)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said = [int(seq) for seq in done.stdout.split()]
    assert len(done.stdout.splitlines()) == times
    assert check_log(log.path).differences == ()
    stored = [event.seq for event in log.read()]
    assert len(said) == len(set(said)) >= times // 2
    assert set(said) <= set(stored)
    # A writer may be killed after it stored an event and before it said so.
    assert len(stored) - len(said) <= times


@pytest.mark.slow
def test_reviewers_at_once_lose_nothing_and_store_what_they_replaced(log):
    n_processes, n_threads, n_each = 2, 3, 12
    command = [sys.executable, review_writers.__file__, str(log.path), "race", str(n_threads), str(n_each)]
    running = [subprocess.Popen([*command, str(seed)]) for seed in range(n_processes)]
    assert [process.wait(timeout=120) for process in running] == [0] * n_processes
    events = log.read()
    assert check_log(log.path).differences == ()
    assert len(events) == n_processes * n_threads * n_each
    assert {event.reviewer: 0 for event in events}.keys() == {f"{p}-{t}" for p in range(2) for t in range(n_threads)}
    bins = np.zeros(N_CELLS, np.int8)
    for event in events:
        ids = parse_runs(event.payload["cells"])
        assert parse_lengths(event.payload["old"], len(ids)).tolist() == bins[ids].tolist()
        bins[ids] = event.payload["set"]["bin"]


def test_threads_wait_for_one_another(log):
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(write(log, "x")[0].seq)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 9))


def test_a_log_that_another_keeps_is_busy(log, monkeypatch):
    write(log, "one")
    monkeypatch.setattr(log_file, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(log.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RunFolderBusyError, match=r"another process"):
            write(log, "two")
        with pytest.raises(RunFolderBusyError):
            log.read()
        with pytest.raises(RunFolderBusyError):
            check_log(log.path)
    assert len(log.read()) == 1


def test_a_copy_is_the_same_bytes(log, tmp_path):
    events = write(log, "one", "two" * 600)
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(b"old")
    copy_log(log.path, copy)
    assert copy.read_bytes() == log.path.read_bytes()
    assert ReviewLog(copy).read() == tuple(events)
    write(ReviewLog(copy), "three")
    assert check_log(copy).differences == ()
    with pytest.raises(RunFolderError):
        copy_log(tmp_path / "none.sqlite", copy)


def test_an_event_that_waits_while_the_log_is_replaced_goes_into_the_new_one(log, tmp_path):
    write(log, "one")
    new = ReviewLog(tmp_path / "new.sqlite")
    copy_log(log.path, new.path)
    write(new, "two")
    waiting = threading.Thread(target=write, args=(log, "three"))
    with kept(log.path):
        waiting.start()
        # Until it waits; where it came later it would find the new log anyway.
        waiting.join(0.3)
        copy_log(new.path, log.path)
    waiting.join()
    assert [event.payload["text"] for event in log.read()] == ["one", "two", "three"]
    assert check_log(log.path).differences == ()


def test_a_log_that_is_not_the_one_that_was_read_is_said(log):
    events = write(log, "one", "two")
    assert log.read(1, events[0].digest) == (events[1],)
    assert log.append(lambda _: comment("three"), 2, events[1].digest).seq == 3
    built: list[Sequence[Event]] = []

    def build(new: Sequence[Event]) -> Draft:
        built.append(new)
        return comment("four")

    for seq, digest in ((1, events[1].digest), (9, events[1].digest)):
        with pytest.raises(LogReplacedError, match=f"event {seq} is not the one"):
            log.read(seq, digest)
        with pytest.raises(LogReplacedError):
            log.append(build, seq, digest)
    assert (built, len(log.read())) == ([], 3)
    log.path.unlink()
    with pytest.raises(LogReplacedError):
        log.read(2, events[1].digest)


def one_line(error: RunFolderError) -> str:
    assert "\n" not in str(error)
    return error.reason


@pytest.mark.parametrize("kind", ["text", "magic", "zeros", "noise"])
def test_a_file_that_is_no_log_is_refused_and_left_alone(log, kind):
    contents = {"text": b"no SQLite\n" * 999, "magic": b"SQLite format 3\0", "zeros": b"\0" * 50_000}
    content = contents.get(kind) or random.Random(1).randbytes(70_000)
    log.path.write_bytes(content)
    for call in (log.read, lambda: write(log, "one")):
        with pytest.raises(LogDamagedError) as caught:
            call()
        assert "damaged or no log of reviews" in one_line(caught.value)
    assert log.path.read_bytes() == content
    assert len(check_log(log.path).differences) == 1


def test_a_database_of_something_else_is_refused_and_left_alone(log):
    run_sql(log, "CREATE TABLE events(seq INTEGER PRIMARY KEY)")
    content = log.path.read_bytes()
    with pytest.raises(LogDamagedError, match="not marked as a log"):
        write(log, "one")
    assert log.path.read_bytes() == content


def test_a_file_that_was_begun_and_holds_nothing_is_an_empty_log(log):
    log.path.touch()
    assert (log.read(), check_log(log.path).differences) == ((), ())
    write(log, "one")
    assert check_log(log.path).differences == ()


def test_a_newer_version_is_refused_by_name(log):
    write(log, "one")
    run_sql(log, "PRAGMA user_version = 2")
    for call in (log.read, lambda: write(log, "two"), lambda: check_log(log.path)):
        with pytest.raises(RunFolderError, match=r"is of version 2.*newer slidescore") as caught:
            call()
        assert not isinstance(caught.value, LogDamagedError)


def test_a_dropped_trigger_stops_reading_and_writing(log):
    write(log, "one")
    run_sql(log, "DROP TRIGGER events_stay")
    for call in (log.read, lambda: write(log, "two")):
        with pytest.raises(LogDamagedError, match="trigger 'events_stay' is missing"):
            call()


def test_a_changed_event_is_not_read(log):
    write(log, "one", "two", "three")
    log.path.write_bytes(log.path.read_bytes().replace(b'"text":"two"', b'"text":"owt"'))
    with pytest.raises(LogDamagedError, match="event 2: was changed"):
        log.read()
    assert [event.seq for event in log.read(after=2)] == [3]
    with pytest.raises(LogDamagedError, match="event 2"):
        write(log, "four")


def test_a_log_shorter_than_what_was_seen_takes_no_more(log):
    write(log, "one")
    with pytest.raises(LogDamagedError, match="events after number 1 were cut off"):
        log.append(lambda _: comment("two"), seen=4)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    log = ReviewLog(tmp_path / "none" / LOG_FILE)
    with pytest.raises(RunFolderError) as caught:
        write(log, "one")
    assert "cannot be opened or written" in one_line(caught.value)


def test_an_old_sqlite_is_said(log, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(RunFolderError, match=r"SQLite 3.37.0 or newer"):
        write(log, "one")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("no right to mount a disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


needs_mount = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a disk")


@needs_mount
def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(small_disk):
    log = ReviewLog(small_disk / LOG_FILE)
    with pytest.raises(DiskFullError) as caught:
        write(log, *["x" * 2000] * 500)
    assert "bytes are free" in one_line(caught.value)
    stored = len(log.read())
    assert stored > 0
    assert check_log(log.path).differences == ()
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert write(log, "room")[0].seq == stored + 1
    assert check_log(log.path).differences == ()


@needs_mount
def test_a_read_only_folder_can_be_read_and_not_written(small_disk):
    log = ReviewLog(small_disk / LOG_FILE)
    write(log, "one")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert len(log.read()) == check_log(log.path).n_events == 1
    with pytest.raises(RunFolderError) as caught:
        write(log, "two")
    assert "cannot be opened or written" in one_line(caught.value)
    assert not isinstance(caught.value, LogDamagedError)
