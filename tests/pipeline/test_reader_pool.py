"""One reader for all threads where it survives errors, one a thread where it does not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from slidescore.errors import SlideOpenError
from slidescore.pipeline.readers import ReaderPool
from slidescore.slide.array_reader import ArrayReader


class Reader(ArrayReader):
    def __init__(self, survives: bool) -> None:
        super().__init__(np.zeros((4, 4, 3), np.uint8), mpp=0.5)
        self.survives_errors = survives


def opened_by_four_at_once(survives: bool) -> tuple[int, int]:
    """How many readers four threads open, and how many different ones they get."""
    opened: list[Reader] = []
    together = threading.Barrier(4)

    def open_reader() -> Reader:
        opened.append(Reader(survives))
        return opened[-1]

    with ReaderPool(open_reader) as pool, ThreadPoolExecutor(4) as threads:

        def get() -> int:
            together.wait(10)
            return id(pool.get())

        got = {each.result(10) for each in [threads.submit(get) for _ in range(4)]}
    return len(opened), len(got)


def test_threads_that_begin_at_once_share_what_can_be_shared() -> None:
    assert opened_by_four_at_once(survives=True) == (1, 1)
    assert opened_by_four_at_once(survives=False) == (4, 4)


def test_a_reader_that_broke_is_left_for_the_shared_one() -> None:
    kinds = iter([False, True])
    with ReaderPool(lambda: Reader(next(kinds))) as pool:
        first = pool.get()
        shared = pool.replace()
        assert shared is not first
        assert pool.get() is shared
        assert pool.replace() is shared


def test_readers_that_were_replaced_are_closed_but_for_the_first() -> None:
    """A slide with many bad tiles must not keep a handle, and its memory, for each."""
    opened: list[Closing] = []

    def open_reader() -> Closing:
        opened.append(Closing())
        return opened[-1]

    with ReaderPool(open_reader) as pool:
        first = pool.get()
        for _ in range(20):
            pool.replace()
        assert pool.get() is opened[-1]
        assert [reader.closed for reader in opened] == [False, *[True] * 19, False]
        assert first is opened[0]
    assert all(reader.closed for reader in opened)


def test_a_reader_that_another_thread_uses_stays_open() -> None:
    with ReaderPool(Closing) as pool, ThreadPoolExecutor(1) as other:
        pool.get()
        theirs = other.submit(pool.get).result(10)
        pool.replace()
        assert not theirs.closed
        assert other.submit(pool.get).result(10) is theirs


def test_where_no_fresh_reader_can_be_opened_the_closed_one_is_not_given_again() -> None:
    kinds = [Closing, Closing, None, Closing]

    def open_reader() -> Closing:
        kind = kinds.pop(0)
        if kind is None:
            raise SlideOpenError("is gone")
        return kind()

    with ReaderPool(open_reader) as pool:
        pool.get()
        pool.replace()
        with pytest.raises(SlideOpenError, match="is gone"):
            pool.replace()
        assert not pool.get().closed


class Closing(Reader):
    """A reader whose errors are sticky, and that says whether it was closed."""

    def __init__(self) -> None:
        super().__init__(survives=False)
        self.closed = False

    def close(self) -> None:
        self.closed = True
