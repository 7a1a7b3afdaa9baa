from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from slidescore.audit.events import Draft, Event
from slidescore.audit.log import LOG_FILE, ReviewLog
from slidescore.review.review_book import ReviewBook

A, B = "a-01234567", "b-01234567"
AT_ONCE_SECONDS = 0.7
"""Longer than any answer that waits for nobody, shorter than what is waited for in these tests."""


def comment(text: str, slide_id: str = A) -> Callable[[Sequence[Event]], Draft]:
    return lambda _: Draft(slide_id, "ab" * 32, "comment", "Ann", {"text": text, "reason": ""})


def log_of(path: Path, *texts: str) -> ReviewLog:
    log = ReviewLog(path)
    for text in texts:
        log.append(comment(text))
    return log


def texts(events: Sequence[Event]) -> list[str]:
    return [event.payload["text"] for event in events]


def test_events_come_with_the_head_that_they_were_read_with(tmp_path: Path) -> None:
    log = ReviewLog(tmp_path / LOG_FILE)
    book = ReviewBook(log)
    assert (book.refresh(), book.snapshot(A), book.reviewed_slides()) == (0, ((), 0), [])
    book.append(A, comment("one"))
    log.append(comment("two", B))
    assert book.snapshot(B) == ((), 1)
    assert book.refresh() == 2
    events, head = book.snapshot(A)
    assert (texts(events), head) == (["one"], 2)
    assert (book.of(A), texts(book.after(1)), book.reviewed_slides()) == (events, ["two"], [A, B])


@pytest.mark.parametrize("others", [["x"], ["x", "y", "z"], ["x", "y", "z", "w", "v"]])
@pytest.mark.parametrize("appends", [False, True])
def test_a_log_that_is_overwritten_in_place_is_read_from_its_start(
    tmp_path: Path, others: list[str], appends: bool
) -> None:
    log = log_of(tmp_path / LOG_FILE, "one", "two", "three")
    book = ReviewBook(log)
    book.refresh()
    other, number = log_of(tmp_path / "other.sqlite", *others), log.path.stat().st_ino
    log.path.write_bytes(other.path.read_bytes())
    assert log.path.stat().st_ino == number
    if appends:
        book.append(A, comment("new"))
        others = [*others, "new"]
    book.refresh()
    assert texts(book.of(A)) == texts(book.after(0)) == others


def test_a_log_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    log = log_of(tmp_path / LOG_FILE, "one")
    book = ReviewBook(log)
    assert book.refresh() == 1
    log.path.unlink()
    assert (book.refresh(), book.of(A)) == (0, ())


def test_an_event_is_made_from_the_log_that_it_is_added_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another log takes its place after the book looked and before it adds."""
    log = log_of(tmp_path / LOG_FILE, "one")
    other = log_of(tmp_path / "other.sqlite", "x", "y")
    append, late = ReviewLog.append, [other.path.read_bytes()]

    def append_late(self: ReviewLog, *arguments: object) -> Event:
        if late:
            log.path.write_bytes(late.pop())
        return append(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ReviewLog, "append", append_late)
    book, seen = ReviewBook(log), []

    def build(events: Sequence[Event]) -> Draft:
        seen.append(texts(events))
        return comment("new")(events)

    assert book.append(A, build).seq == 3
    assert seen == [["x", "y"]]
    assert texts(book.of(A)) == ["x", "y", "new"]


def test_who_asks_does_not_wait_for_who_writes(tmp_path: Path) -> None:
    log = log_of(tmp_path / LOG_FILE, "one")
    book = ReviewBook(log)
    with closing(sqlite3.connect(log.path, isolation_level=None)) as program:
        program.execute("BEGIN IMMEDIATE")
        writer = threading.Thread(target=book.append, args=(A, comment("two")))
        writer.start()
        # Until it waits for the other program.
        writer.join(0.3)
        answers: list[object] = []
        asker = threading.Thread(target=lambda: answers.append((book.refresh(), texts(book.of(A)))))
        asker.start()
        asker.join(AT_ONCE_SECONDS)
        found = list(answers)
        time.sleep(0.1)
        program.execute("ROLLBACK")
    writer.join()
    asker.join()
    assert found == [(1, ["one"])]
    assert texts(book.of(A)) == ["one", "two"]
