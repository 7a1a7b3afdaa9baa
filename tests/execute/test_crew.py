"""Threads inside a task: answers in order, and no more at work than are allowed at that moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from slidescore.execute import crew, in_order


class Work:
    """Doubles numbers, and counts how many threads do so at once; each waits until `gate` lets it go on."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.busy, self.most, self.begun, self.threads = 0, 0, 0, set[int]()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, number: int) -> int:
        with self.lock:
            self.busy += 1
            self.begun += 1
            self.most = max(self.most, self.busy)
            self.threads.add(threading.get_ident())
        self.gate.wait(30)
        time.sleep(0.002)
        with self.lock:
            self.busy -= 1
        if number < 0:
            raise ValueError(number)
        return 2 * number


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("most", [1, 2, 7])
def test_answers_come_in_order(most):
    work = Work()
    assert list(in_order(work, range(40), most=most)) == [2 * k for k in range(40)]
    assert work.most <= most
    assert list(in_order(work, [], most=most)) == []


def test_no_more_work_than_allowed_and_no_more_threads_are_ever_made():
    work = Work()
    assert list(in_order(work, range(20), most=8, allowed=lambda: 2)) == [2 * k for k in range(20)]
    assert work.most <= 2
    assert len(work.threads) <= 2


def test_at_least_one_works_whatever_is_allowed():
    assert list(in_order(Work(), range(5), most=4, allowed=lambda: 0)) == [0, 2, 4, 6, 8]


def test_cores_that_come_free_are_used_at_once(monkeypatch):
    monkeypatch.setattr(crew, "SECONDS_BETWEEN_LOOKS", 0.01)
    work, allowed = Work(), [1]
    found = in_order(work, range(60), most=4, allowed=lambda: allowed[0])
    assert [next(found) for _ in range(3)] == [0, 2, 4]
    assert work.most == 1
    allowed[0] = 4
    assert next(found) == 6
    # Now four must be at work together: none of them is let go before.
    work.gate.clear()
    release = threading.Timer(30, work.gate.set)
    release.start()
    pulling = threading.Thread(target=lambda: [next(found) for _ in range(4)])
    pulling.start()
    wait_for(lambda: work.busy == 4)
    work.gate.set()
    release.cancel()
    pulling.join()
    assert list(found) == [2 * k for k in range(8, 60)]


def test_cores_that_are_taken_away_are_left(monkeypatch):
    monkeypatch.setattr(crew, "SECONDS_BETWEEN_LOOKS", 0.01)
    work, allowed = Work(), [4]
    found = in_order(work, range(200), most=4, allowed=lambda: allowed[0])
    head = [next(found) for _ in range(20)]
    allowed[0] = 1
    head += [next(found) for _ in range(20)]
    work.most = 0
    assert head + list(found) == [2 * k for k in range(200)]
    assert work.most == 1


def test_an_error_comes_at_its_turn_and_ends_the_work():
    work = Work()
    found = in_order(work, [1, 2, -1, *range(100)], most=3)
    assert [next(found), next(found)] == [2, 4]
    with pytest.raises(ValueError, match="-1"):
        next(found)
    assert work.begun < 20


def test_who_stops_early_leaves_nothing_behind():
    work, before = Work(), threading.active_count()
    found = in_order(work, range(10_000), most=3)
    assert [next(found), next(found)] == [0, 2]
    found.close()
    begun = work.begun
    assert begun <= 2 + 2 * crew.WAITING_PER_THREAD * 3
    assert threading.active_count() == before
    time.sleep(0.02)
    assert work.begun == begun


def test_items_are_taken_only_a_few_ahead():
    taken: list[int] = []

    def items() -> Iterator[int]:
        for k in range(100):
            taken.append(k)
            yield k

    found = in_order(Work(), items(), most=3)
    next(found)
    assert len(taken) <= 1 + 2 * crew.WAITING_PER_THREAD * 3
    found.close()


@pytest.mark.parametrize("n_to_be_had", [1, 2])
def test_where_the_system_gives_no_more_threads_those_that_are_there_do_the_work(monkeypatch, n_to_be_had):
    start, given = threading.Thread.start, []

    def scarce(self: threading.Thread) -> None:
        if len(given) == n_to_be_had:
            raise RuntimeError("can't start new thread")
        given.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    work = Work()
    assert list(in_order(work, range(20), most=4)) == [2 * k for k in range(20)]
    assert len(work.threads) <= n_to_be_had


def test_no_thread_at_all_is_an_error_and_no_wait(monkeypatch):
    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(in_order(Work(), range(3), most=2))


def test_what_an_interrupted_caller_waited_for_is_dropped_too_if_it_was_not_begun(monkeypatch):
    """As by Ctrl-C while the only thread has not yet come to the first item."""
    late = crew._Crew._run

    def begin_late(self: crew._Crew, rank: int) -> None:
        self._ending.wait(30)
        late(self, rank)

    def interrupt(self: crew.Future, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    work, before = Work(), threading.active_count()
    monkeypatch.setattr(crew._Crew, "_run", begin_late)
    monkeypatch.setattr(crew.Future, "result", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(in_order(work, range(10), most=1))
    assert work.begun == 0
    assert threading.active_count() == before
