from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from slidescore.review.tile_cache import EncodedTiles


def test_a_tile_is_made_once_and_the_oldest_go():
    made = []
    tiles = EncodedTiles(limit=100)

    def get(key: int) -> bytes:
        return bytes(tiles.get(key, lambda: made.append(key) or bytes([key]) * 10))

    assert get(1) == b"\x01" * 10
    assert get(1) == b"\x01" * 10
    assert made == [1]
    for key in range(2, 11):
        get(key)
    get(1)
    get(11)
    assert made == list(range(1, 12))
    get(1)
    get(2)
    assert made == [*range(1, 12), 2]


def test_six_who_ask_for_one_tile_wait_for_one_making():
    begun, go_on, made = threading.Event(), threading.Event(), []

    def make() -> bytes:
        begun.set()
        assert go_on.wait(10)
        made.append(1)
        return b"tile"

    tiles = EncodedTiles()
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(tiles.get, "a", make) for _ in range(6)]
        assert begun.wait(10)
        go_on.set()
        assert {bytes(each.result()) for each in waiting} == {b"tile"}
    assert made == [1]


def test_what_cannot_be_made_is_asked_for_again():
    tiles = EncodedTiles()

    def fail() -> bytes:
        raise OSError

    for _ in range(2):
        with pytest.raises(OSError, match=r"^$"):
            tiles.get("a", fail)
    assert bytes(tiles.get("a", lambda: b"now")) == b"now"
