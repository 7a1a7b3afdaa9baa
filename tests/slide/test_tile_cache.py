from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from slide.drawn import Pixels
from slidescore.slide.tile_cache import TileCache


def tile(value: int, size: int = 100) -> Pixels:
    return np.full(size, value, np.uint8)


def test_a_tile_is_decoded_once() -> None:
    cache, calls = TileCache(1000), []

    def decode() -> Pixels:
        calls.append(1)
        return tile(7)

    assert cache.get("a", decode) is cache.get("a", decode)
    assert len(calls) == 1


def test_the_tile_that_nobody_asked_for_goes_first() -> None:
    cache = TileCache(1000)
    for key in range(10):
        cache.get(key, lambda key=key: tile(key))
    cache.get(0, lambda: tile(99))
    cache.get(10, lambda: tile(10))
    asked: list[int] = []

    def again(key: int) -> Pixels:
        asked.append(key)
        return tile(key)

    assert cache.get(0, lambda: again(0))[0] == 0
    cache.get(1, lambda: again(1))
    assert asked == [1]


def test_it_never_holds_more_than_it_may() -> None:
    cache = TileCache(1000)
    for key in range(100):
        cache.get(key, lambda: tile(1, 90))
        assert cache._bytes == sum(each.nbytes for each in cache._kept.values()) <= 1000


def test_a_tile_as_large_as_the_cache_is_not_kept() -> None:
    cache = TileCache(1000)
    cache.get("small", lambda: tile(1))
    assert cache.get("large", lambda: tile(2, 900)).nbytes == 900
    assert list(cache._kept) == ["small"]


def test_what_cannot_be_decoded_is_not_kept() -> None:
    cache = TileCache(1000)

    def fails() -> Pixels:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.get("a", fails)
    assert cache.get("a", lambda: tile(3))[0] == 3


def test_threads_wait_for_the_one_that_decodes() -> None:
    cache, begun, go_on, calls = TileCache(1000), threading.Event(), threading.Event(), []

    def slow() -> Pixels:
        calls.append(1)
        begun.set()
        assert go_on.wait(10)
        return tile(5)

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cache.get, "a", slow)
        assert begun.wait(10)
        others = [pool.submit(cache.get, "a", slow) for _ in range(3)]
        go_on.set()
        assert all(each.result(10) is first.result(10) for each in others)
    assert len(calls) == 1


def test_one_thread_s_failure_is_not_the_others() -> None:
    cache, begun, go_on = TileCache(1000), threading.Event(), threading.Event()

    def fails() -> Pixels:
        begun.set()
        assert go_on.wait(10)
        raise ZeroDivisionError

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "a", fails)
        assert begun.wait(10)
        second = pool.submit(cache.get, "a", lambda: tile(4))
        go_on.set()
        with pytest.raises(ZeroDivisionError):
            first.result(10)
        assert second.result(10)[0] == 4


def test_clearing_lets_all_go() -> None:
    cache = TileCache(1000)
    cache.get("a", lambda: tile(1))
    cache.clear()
    assert cache.get("a", lambda: tile(2))[0] == 2


def test_a_peek_makes_nothing_waits_for_nobody_and_counts_as_asked_for() -> None:
    cache = TileCache(1000)
    assert cache.peek("a") is None
    kept = cache.get("a", lambda: tile(1))
    assert cache.peek("a") is kept

    def make() -> Pixels:
        assert cache.peek("b") is None
        return tile(2)

    cache.get("b", make)
