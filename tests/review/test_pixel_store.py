"""Slides that are open: which are closed, and never one that somebody looks at."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from slide.jpeg_tiff import coloured
from slidescore.errors import SlideOpenError
from slidescore.review.pixel_source import PixelSource
from slidescore.review.pixel_store import PixelStore
from slidescore.slide import ArrayReader


class Noted(PixelSource):
    """Tells when it is closed."""

    def __init__(self) -> None:
        super().__init__(lambda: ArrayReader(coloured(300, 300)))
        self.closed = False

    def close(self) -> None:
        super().close()
        self.closed = True


def test_those_beyond_a_few_are_closed_the_oldest_first() -> None:
    store, made = PixelStore(most_open=2), {name: Noted() for name in "abc"}
    for name in "abac":
        with store.lease(name, lambda name=name: made[name]) as source:
            assert source is made[name]
            source.read_tile(0, 0, 0)
    assert [made[name].closed for name in "abc"] == [False, True, False]
    store.close()
    assert all(source.closed for source in made.values())


def test_a_lent_one_is_not_closed() -> None:
    store, made = PixelStore(most_open=1), {name: Noted() for name in "ab"}
    with store.lease("a", lambda: made["a"]) as source:
        with store.lease("b", lambda: made["b"]):
            pass
        store.close()
        assert made["b"].closed
        source.read_tile(0, 0, 0)
    assert not made["a"].closed
    store.close()
    assert made["a"].closed


def test_one_who_fails_leaves_the_next_to_try_again() -> None:
    store, tries = PixelStore(), []

    def fail() -> PixelSource:
        tries.append(1)
        raise SlideOpenError("is gone")

    for _ in range(2):
        with pytest.raises(SlideOpenError, match="is gone"), store.lease("a", fail):
            pass
    assert len(tries) == 2
    with store.lease("a", Noted) as source:
        assert source.grid.width_l0 == 300


def test_many_who_ask_at_once_open_it_once() -> None:
    store, opened, lock = PixelStore(), [], threading.Lock()

    def open_it() -> PixelSource:
        with lock:
            opened.append(1)
        return Noted()

    def look(_: int) -> int:
        with store.lease("a", open_it) as source:
            return source.read_tile(0, 0, 0)[0].shape[0]

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(look, range(30))) == {256}
    assert opened == [1]
