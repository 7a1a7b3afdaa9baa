"""Work on this machine: tasks in child processes, watched, so that a crash or a hang in a C library costs one task.

Knows nothing about slides. A task and its result travel by pickle; the function is named, not sent.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import process as process_module
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Self

from slidescore.errors import SlidescoreError
from slidescore.execute.worker import Work, WorkerCrashError, pack_task, serve

STARTUP_SECONDS = 300.0
"""A child may take so long to start and to load a task's code; only then does the task's own time begin."""
TICK_SECONDS = 1.0
"""The supervisor looks up at least this often."""
ASLEEP_SECONDS = 10.0
"""A supervisor that did not look up for so long was suspended itself, and its children perhaps with it."""
KILL_SECONDS = 5.0
"""A killed child that is not gone after this long hangs in the kernel; it is left behind and ends when it can."""


class TaskTimeoutError(SlidescoreError, TimeoutError):
    """A task made no progress, or did not finish, in the time it had; its process was killed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a task may take.

    Attributes
    ----------
    no_progress_s
        Seconds between two reports of a task. Only the task itself reports, after work that got done: that its process
        lives proves nothing.
    total_s
        Seconds for the whole task, whatever it reports.
    """

    no_progress_s: float = math.inf
    total_s: float = math.inf


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    connection: Connection
    task: int | None = None
    begun: float | None = None
    """When the task's own time began; None while the child still loads its code."""
    heard: float = 0.0
    """When it was given its task, or last reported."""


class Workers:
    """Child processes that take one task at a time; they are kept from one `run` to the next.

    Parameters
    ----------
    limits
        How long each task may take.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._workers: list[_Worker] = []
        self._looked = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(
        self,
        work: Work,
        tasks: Sequence[Any],
        *,
        n_workers: int,
        on_report: Callable[[int, Any], None],
        on_end: Callable[[int, Any], None],
        on_tick: Callable[[], None] | None = None,
    ) -> None:
        """Run `work(task, report)` for every task, each in one of `n_workers` child processes.

        A child that crashes, or that a limit ends, costs its task and is replaced. A task that its child had not begun
        when it died is given once more: what it died of may be the task before. When something is raised here, the
        children still hold their tasks: `stop` them.

        Parameters
        ----------
        work
            A module-level function; what it reports and returns must pickle. `report(None)` only says that something
            got done.
        tasks
            Started in order.
        n_workers
            Children at once.
        on_report
            Called in this process with the task's number and what the task reported.
        on_end
            Called once a task with its number and its result, or the SlidescoreError that ended it.
        on_tick
            Called in this process about every second.
        """
        waiting, given_again = deque(range(len(tasks))), set[int]()
        self._looked = time.monotonic()
        while len(self._workers) > n_workers:
            _kill(self._workers.pop())
        while waiting or any(worker.task is not None for worker in self._workers):
            while waiting and len(self._workers) < n_workers:
                self._workers.append(_start())
            for worker in self._workers:
                if worker.task is None and waiting:
                    number = waiting.popleft()
                    _give(worker, number, pack_task(work, tasks[number]))
            ready = wait([worker.connection for worker in self._workers], self._seconds_to_next_look())
            for worker in [worker for worker in self._workers if worker.connection in ready]:
                if _listen(worker, on_report, on_end):
                    continue
                self._workers.remove(worker)
                if worker.task is None:
                    continue
                if worker.begun is None and worker.task not in given_again:
                    given_again.add(worker.task)
                    waiting.appendleft(worker.task)
                else:
                    on_end(worker.task, WorkerCrashError(f"reader crashed ({_cause(worker.process.exitcode)})"))
            self._end_overdue(on_end)
            if on_tick:
                on_tick()

    def stop(self) -> None:
        """Kill the children; what they worked on is lost."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            _kill(worker)

    def _seconds_to_next_look(self) -> float:
        now = time.monotonic()
        soonest = min((self._deadline(worker)[0] for worker in self._workers), default=math.inf)
        return min(max(soonest - now, 0.0), TICK_SECONDS)

    def _deadline(self, worker: _Worker) -> tuple[float, str]:
        """Say until when a worker may be silent, and what is wrong afterwards."""
        if worker.task is None:
            return math.inf, ""
        if worker.begun is None:
            return worker.heard + STARTUP_SECONDS, f"timeout: did not begin in {STARTUP_SECONDS:g} s"
        silence, total = self._limits.no_progress_s, self._limits.total_s
        return min(
            (worker.heard + silence, f"timeout: no progress for {silence:g} s"),
            (worker.begun + total, f"timeout: not finished after {total:g} s"),
        )

    def _end_overdue(self, on_end: Callable[[int, Any], None]) -> None:
        now = time.monotonic()
        asleep, self._looked = now - self._looked, now
        if asleep > ASLEEP_SECONDS:
            # Ctrl-Z, or a callback that waited for a disk: time in which nobody listened is nobody's silence.
            for worker in self._workers:
                worker.heard += asleep
                worker.begun = None if worker.begun is None else worker.begun + asleep
        for worker in list(self._workers):
            deadline, problem = self._deadline(worker)
            # What it said while this process was busy or asleep counts first.
            if now < deadline or worker.connection.poll():
                continue
            self._workers.remove(worker)
            _kill(worker)
            assert worker.task is not None
            on_end(worker.task, TaskTimeoutError(problem))


def run_tasks(
    work: Work,
    tasks: Sequence[Any],
    *,
    n_workers: int,
    on_report: Callable[[int, Any], None],
    on_end: Callable[[int, Any], None],
    limits: Limits | None = None,
) -> None:
    """Run tasks in children of their own; parameters as in `Workers` and `Workers.run`."""
    with Workers(limits) as workers:
        workers.run(work, tasks, n_workers=n_workers, on_report=on_report, on_end=on_end)


def _start() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    # Ctrl-C and a scheduler's SIGTERM reach the whole process group; the parent decides what they mean and kills. A
    # child inherits the mask, so it does not die noisily while it is still importing either.
    with _signals_deferred():
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Let a signal wait until a child is started: a child left half-started dies with a traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handled = [number for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)]
    for number in handled:
        signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, handlers[number])
        for late in arrived:
            signal.raise_signal(late)


def _give(worker: _Worker, number: int, packed: bytes) -> None:
    worker.task, worker.begun, worker.heard = number, None, time.monotonic()
    try:
        worker.connection.send((number, packed))
    except OSError:
        # It died while idle; _listen notices the closed pipe.
        return


def _listen(worker: _Worker, on_report: Callable[[int, Any], None], on_end: Callable[[int, Any], None]) -> bool:
    """Take one message of a worker; False when the worker is gone, with its task."""
    try:
        kind, number, content = worker.connection.recv()
    except (EOFError, OSError):
        _await_end(worker)
        return False
    worker.heard = time.monotonic()
    if kind == "begun":
        worker.begun = worker.heard
    elif kind == "end":
        worker.task = None
        on_end(number, content)
    elif content is not None:
        on_report(number, content)
    return True


def _cause(exit_code: int | None) -> str:
    if exit_code == -signal.SIGKILL:
        return "SIGKILL, as from a system that is short of memory"
    if exit_code is not None and exit_code < 0:
        try:
            return signal.Signals(-exit_code).name
        except ValueError:
            return f"signal {-exit_code}"
    return f"exit code {exit_code}"


def _kill(worker: _Worker) -> None:
    worker.process.kill()
    _await_end(worker)


def _await_end(worker: _Worker) -> None:
    """Wait for a child that is ending, but not for one that hangs in the kernel: no signal reaches it there."""
    worker.connection.close()
    worker.process.join(KILL_SECONDS)
    if worker.process.exitcode is None:
        worker.process.kill()
        # Else multiprocessing would wait for it, without end, when this process exits.
        _children().discard(worker.process)


def _children() -> set[Any]:
    """Return the processes that multiprocessing waits for at the end."""
    children: set[Any] = getattr(process_module, "_children", set())
    return children


def available_cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
