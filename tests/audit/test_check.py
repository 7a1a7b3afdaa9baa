"""Whatever was changed about a log is found."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from audit.made_reviews import DIGEST, SLIDE
from audit.review_writers import comment
from slidescore.audit.check import check_log
from slidescore.audit.events import Draft
from slidescore.audit.file_pages import encode_record, local_bytes, varint
from slidescore.audit.log import LOG_FILE, ReviewLog
from slidescore.audit.log_file import PAGE_BYTES, SCHEMA
from slidescore.errors import RunFolderError

WRITTEN_BY = range(96, 100)
"""Bytes of the file that name the SQLite that wrote last; they hold nothing of a review, and some bits may be any."""


def many_cells(n: int) -> Draft:
    payload = {
        "cells": ",".join(str(2 * i) for i in range(n)),
        "set": {"bin": 2},
        "old": ",".join(str(i % 2) for i in range(n)),
        "reason": "",
    }
    return Draft(SLIDE, DIGEST, "cells", "Ann", payload)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A log of three events, a page for each of its tables."""
    log = ReviewLog(tmp_path_factory.mktemp("small") / LOG_FILE)
    for text in ("one", "zwei — 三", "x" * 300):
        log.append(lambda _, text=text: comment(text))
    return log.path.read_bytes()


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A log with an inner page, several leaves, and rows too long for a leaf."""
    log = ReviewLog(tmp_path_factory.mktemp("grown") / LOG_FILE)
    for number in range(24):
        log.append(lambda _, n=number: many_cells(4000) if n % 12 == 5 else comment("x" * 1990))
    return log.path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / LOG_FILE


def differences(path: Path, content: bytes) -> tuple[str, ...]:
    path.write_bytes(content)
    return check_log(path).differences


def stored(path: Path) -> list[Any]:
    """All that SQLite reads of a log."""
    with closing(sqlite3.connect(path)) as connection:
        return [connection.execute(f"SELECT * FROM {name}").fetchall() for name in ("sqlite_master", "events")]


def test_a_log_as_written_shows_no_difference(path, small, grown):
    for content, n in ((small, 3), (grown, 24)):
        assert differences(path, content) == ()
        found = check_log(path)
        assert (found.n_events, found.head) == (n, ReviewLog(path).read()[-1].digest)
    assert len(grown) // PAGE_BYTES > 8


def test_without_a_log_there_is_nothing_to_find(path):
    found = check_log(path)
    assert (found.differences, found.n_events, found.head) == ((), 0, "")


def flip(content: bytes, place: int, bit: int) -> bytes:
    return content[:place] + bytes((content[place] ^ 1 << bit,)) + content[place + 1 :]


def unfound(path: Path, content: bytes, places: list[int]) -> list[int]:
    """Change one bit at each place, and return where nothing was found; what is read is then as it was."""
    rng, missed = random.Random(400), []
    path.write_bytes(content)
    before = stored(path)
    for place in places:
        spoilt = flip(content, place, rng.randrange(8))
        # Another version is refused in words of its own.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("slidescore.audit.log_file.LOG_VERSION", 2**32)
            if not differences(path, spoilt):
                missed.append(place)
        if missed[-1:] == [place]:
            assert stored(path) == before
    return missed


def test_a_changed_byte_is_found_wherever_it_is(path, grown):
    rng = random.Random(5)
    places = rng.sample([place for place in range(len(grown)) if place not in WRITTEN_BY], 400)
    assert unfound(path, grown, places) == []


@pytest.mark.slow
def test_a_changed_byte_that_holds_something_is_found(path, small):
    places = [place for place in range(len(small)) if small[place] and place not in WRITTEN_BY]
    assert len(places) > 2000
    assert unfound(path, small, places) == []


def test_free_space_and_spare_fields_of_the_header_hold_nothing(path, small):
    rng = random.Random(6)
    places = [*range(16, 96), *rng.sample([place for place in range(100, len(small)) if not small[place]], 400)]
    assert unfound(path, small, places) == []


def test_of_the_header_only_the_number_of_sqlite_may_vary(path, small):
    missed = {place for place in WRITTEN_BY for bit in range(8) if not differences(path, flip(small, place, bit))}
    assert missed <= set(WRITTEN_BY)
    assert 96 not in missed


def change(path: Path, content: bytes, *statements: str) -> tuple[str, ...]:
    path.write_bytes(content)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    return check_log(path).differences


DROP_STAY, DROP_HOLD = "DROP TRIGGER events_stay", "DROP TRIGGER events_hold"
CUT = "DELETE FROM events WHERE seq = 3"
COUNT_2 = "UPDATE sqlite_sequence SET seq = 2"


@pytest.mark.parametrize("name", [name for name in SCHEMA if name != "events"])
def test_a_dropped_trigger_is_found(path, small, name):
    assert change(path, small, f"DROP TRIGGER {name}") == (f"trigger '{name}' is missing or not as it was made",)


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ((DROP_STAY, CUT, SCHEMA["events_stay"]), "the last event is 2, and the file counted 3"),
        ((DROP_STAY, CUT, SCHEMA["events_stay"], COUNT_2), "its parts are in another order"),
        ((COUNT_2,), "the last event is 3, and the file counted 2"),
        ((DROP_STAY, "DELETE FROM events WHERE seq = 2", SCHEMA["events_stay"]), "event 2: is missing, and event 3"),
        ((DROP_STAY, "DELETE FROM events", SCHEMA["events_stay"]), "the last event is missing, and the file counted 3"),
        ((DROP_HOLD, "UPDATE events SET reviewer = 'Bob' WHERE seq = 2"), "event 2: was changed"),
        ((DROP_STAY, SCHEMA["events_stay"]), "its parts are in another order"),
        (("CREATE TABLE more(x)",), "'more' is none of its parts"),
        (("CREATE INDEX quick ON events(reviewer)",), "'quick' is none of its parts"),
        (("PRAGMA journal_mode = WAL",), "the header is not as it was written"),
        (("VACUUM",), "the header is not as it was written"),
        (("PRAGMA application_id = 7",), "it is not marked as a log of reviews"),
        (("PRAGMA user_version = 0",), "it is not marked as a log of reviews"),
    ],
)  # fmt: skip
def test_what_sql_can_do_is_found(path, small, statements, said):
    found = change(path, small, *statements)
    assert any(line.startswith(said) for line in found)


def test_a_forged_event_is_found_by_the_one_after_it(path, small):
    insert = f"INSERT INTO events VALUES ({', '.join('?' * 9)})"
    path.write_bytes(small)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = connection.execute("SELECT * FROM events").fetchall()
        for statement in (DROP_STAY, "DELETE FROM events"):
            connection.execute(statement)
        forged = ReviewLog(path.with_name("forged"))
        for text in ("one", "two"):
            forged.append(lambda _, text=text: comment(text))
        with closing(sqlite3.connect(forged.path)) as other:
            other_rows = other.execute("SELECT * FROM events").fetchall()
        connection.execute("DROP TRIGGER events_chain")
        connection.executemany(insert, [rows[0], other_rows[1], rows[2]])
        connection.execute(SCHEMA["events_stay"])
        connection.execute(SCHEMA["events_chain"])
    found = check_log(path).differences
    assert "event 2: does not follow the event before" in found
    assert "event 3: does not follow the event before" in found


@pytest.mark.parametrize("more", [b"\0", b"x" * 100, b"\0" * PAGE_BYTES])
def test_bytes_after_the_last_page_are_found(path, small, more):
    assert differences(path, small + more) != ()


@pytest.mark.parametrize("n", [1, 99, 4096, PAGE_BYTES, 2 * PAGE_BYTES])
def test_a_log_cut_short_is_found(path, small, grown, n):
    for content in (small, grown):
        assert differences(path, content[:-n]) != ()


def test_pages_that_changed_places_are_found(path, grown):
    pages = [grown[at : at + PAGE_BYTES] for at in range(0, len(grown), PAGE_BYTES)]
    for first, second in ((3, 4), (4, 7), (1, 2)):
        swapped = list(pages)
        swapped[first], swapped[second] = pages[second], pages[first]
        assert differences(path, b"".join(swapped)) != ()


def test_damage_everywhere_is_said_shortly(path, grown):
    rng = random.Random(7)
    found = differences(path, grown[:PAGE_BYTES] + rng.randbytes(len(grown) - PAGE_BYTES))
    assert 1 <= len(found) < 50
    assert all("\n" not in line for line in found)


def test_a_newer_slidescores_events_are_no_damage(path, small):
    path.write_bytes(small)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(RunFolderError, match="newer slidescore"):
        check_log(path)


@pytest.mark.parametrize(
    "values", [[None, "a"], ["", "é" * 70], [0, 1, 2, 127, 128, 32767, 32768, 2**23, 2**47, 2**62]]
)
def test_rows_are_encoded_as_sqlite_does(values, tmp_path):
    path, names = tmp_path / "one.sqlite", [f"c{i}" for i in range(len(values))]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute(f"CREATE TABLE one({', '.join(names)})")
        connection.execute(f"INSERT INTO one VALUES ({', '.join('?' * len(values))})", values)
    record = encode_record(values)
    cell = varint(len(record)) + varint(1) + record
    assert path.read_bytes().endswith(cell)


@pytest.mark.parametrize(("value", "coded"), [(0, "00"), (127, "7f"), (128, "8100"), (16384, "818000")])
def test_numbers_are_coded_seven_bits_a_byte(value, coded):
    assert varint(value).hex() == coded


def test_what_fits_into_a_leaf_stays_there():
    assert local_bytes(PAGE_BYTES - 35) == PAGE_BYTES - 35
    assert local_bytes(PAGE_BYTES - 34) < PAGE_BYTES // 8
