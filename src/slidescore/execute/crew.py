"""Threads inside one task: items are taken in order and answered in order, by as many threads as are allowed just then.

How many that is may change while the work goes on: when other tasks of the machine end, their cores come free.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WAITING_PER_THREAD = 2
"""Items begun or done ahead of the one that is answered next, for each thread, so that none waits for the others."""
SECONDS_BETWEEN_LOOKS = 0.5
"""A thread that may not work asks this often whether it may now."""


class _Crew:
    """Threads with ranks: the one of rank k works while more than k are allowed, and is started when it first may."""

    def __init__(self, most: int, allowed: Callable[[], int]) -> None:
        self._most, self._allowed = most, allowed
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._ending = threading.Event()

    @property
    def n_allowed(self) -> int:
        return max(1, min(self._most, self._allowed()))

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()
        self._queue.put(partial(_answer, future, work))
        self.grow()
        return future

    def grow(self) -> None:
        while len(self._threads) < self.n_allowed:
            thread = threading.Thread(target=self._run, args=(len(self._threads),), daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The system gives no more of them: those that are there do the work, if there is one.
                if not self._threads:
                    raise
                return
            self._threads.append(thread)

    def end(self) -> None:
        self._ending.set()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, rank: int) -> None:
        while True:
            # The first thread never waits, nor asks whether it must, so work always goes on.
            while rank and rank >= self.n_allowed and not self._ending.is_set():
                self._ending.wait(SECONDS_BETWEEN_LOOKS)
            item = self._queue.get()
            if item is None:
                return
            item()


def _answer(future: Future[Result], work: Callable[[], Result]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
        future.set_exception(error)


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, most: int, allowed: Callable[[], int] | None = None
) -> Generator[Result, None, None]:
    """Yield `work(item)` for every item, in the order of the items; only a few are begun ahead.

    Parameters
    ----------
    work
        Called in several threads at once; what it raises is raised here, at that item's turn.
    items
        Taken one at a time, in this thread.
    most
        Threads at most.
    allowed
        Asked all the time how many of them may work just then, at least 1; None for all of them.

    Notes
    -----
    When the caller stops early, what is not begun is dropped and what is begun is awaited. A caller whose own work on
    the answers can fail closes the generator (`contextlib.closing`), so that no thread is at work any more when its
    error is heard of.
    """
    crew = _Crew(most, allowed or (lambda: most))
    waiting: deque[Future[Result]] = deque()
    rest = iter(items)

    def fill() -> None:
        while len(waiting) < WAITING_PER_THREAD * crew.n_allowed:
            try:
                item = next(rest)
            except StopIteration:
                return
            waiting.append(crew.submit(partial(work, item)))

    try:
        fill()
        while waiting:
            crew.grow()
            result = waiting[0].result()
            waiting.popleft()
            fill()
            yield result
    finally:
        for future in waiting:
            future.cancel()
        crew.end()
