"""Readers lent to threads: how many, to whom, and when they are closed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from slide.jpeg_tiff import coloured
from slidescore.review.reader_pool import ReaderPool
from slidescore.slide import ArrayReader


def test_no_more_readers_than_allowed_and_each_for_one_thread() -> None:
    lent, most, lock, meet = [0], [0], threading.Lock(), threading.Barrier(2)
    pool = ReaderPool(lambda: ArrayReader(coloured(16, 16)), most=2)
    used = set()

    def use(first: bool) -> None:
        with pool.reader() as reader:
            with lock:
                used.add(id(reader))
                lent[0] += 1
                most[0] = max(most[0], lent[0])
            if first:
                meet.wait(10)
            with lock:
                lent[0] -= 1

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(use, [True, True, *[False] * 10]))
    assert most[0] == 2
    assert len(used) == 2
    pool.close()
    pool.close()
    with pytest.raises(ValueError, match="closed"), pool.reader():
        pass


def test_a_lent_reader_is_closed_when_it_comes_back() -> None:
    pool = ReaderPool(lambda: ArrayReader(coloured(16, 16)))
    with pool.reader() as reader:
        pool.close()
        assert reader.read_region((0, 0), 0, (1, 1)).shape == (1, 1, 4)
    with pytest.raises(ValueError, match="closed"):
        reader.read_region((0, 0), 0, (1, 1))


def test_a_reader_that_survives_errors_serves_all() -> None:
    reader = ArrayReader(coloured(16, 16))
    reader.survives_errors = True
    pool = ReaderPool(lambda: reader)
    with pool.reader() as one, pool.reader() as two, pool.reader() as three:
        assert one is two is three is reader
