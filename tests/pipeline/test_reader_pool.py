"""One reader for all threads where it survives errors, one a thread where it does not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

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
