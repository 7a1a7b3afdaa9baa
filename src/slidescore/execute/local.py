"""Work on this machine: tasks in child processes, watched, so that a crash in a C library costs one task.

Knows nothing about slides. A task and its result travel by pickle; the function is named, not sent.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from slidescore.errors import SlidescoreError

Report = Callable[[Any], None]
Work = Callable[[Any, Report], Any]

LAST_LINES = 30
"""Lines of a traceback that are kept of an unforeseen error."""


class WorkerCrashError(SlidescoreError, RuntimeError):
    """The process that worked on a task ended without an answer."""


class UnforeseenError(SlidescoreError, RuntimeError):
    """A task failed for a reason nobody foresaw; `trace` says where."""

    trace: str = ""

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_unforeseen, (self.message, self.trace))


def _rebuild_unforeseen(message: str, trace: str) -> UnforeseenError:
    error = UnforeseenError(message)
    error.trace = trace
    return error


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    connection: Connection
    task: int | None = None


def run_tasks(
    work: Work,
    tasks: Sequence[Any],
    *,
    n_workers: int,
    on_report: Callable[[int, Any], None],
    on_end: Callable[[int, Any], None],
) -> None:
    """Run `work(task, report)` for every task, each in one of `n_workers` child processes.

    Parameters
    ----------
    work
        A module-level function; what it reports and returns must pickle.
    tasks
        Started in order.
    n_workers
        Children at once.
    on_report
        Called in this process with the task's number and what the task reported.
    on_end
        Called once a task with its number and its result, or the SlidescoreError that ended it.
    """
    context = multiprocessing.get_context("spawn")
    waiting = deque(range(len(tasks)))
    workers: list[_Worker] = []
    try:
        while waiting or any(worker.task is not None for worker in workers):
            while waiting and len(workers) < n_workers:
                workers.append(_start(context, work))
            for worker in workers:
                if worker.task is None and waiting:
                    _give(worker, waiting, tasks)
            ready = wait([worker.connection for worker in workers])
            for worker in [worker for worker in workers if worker.connection in ready]:
                if not _listen(worker, on_report, on_end):
                    workers.remove(worker)
    finally:
        for worker in workers:
            _stop(worker)


def _start(context: multiprocessing.context.SpawnContext, work: Work) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(work, theirs), daemon=True)
    # Ctrl-C reaches the whole process group; the parent decides what it means. A child inherits the mask, so it does
    # not die noisily while it is still importing.
    with _signals_deferred():
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
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


def _give(worker: _Worker, waiting: deque[int], tasks: Sequence[Any]) -> None:
    number = waiting.popleft()
    worker.task = number
    try:
        worker.connection.send((number, tasks[number]))
    except OSError:
        # It died while idle; the closed pipe is noticed by _listen, which ends the task.
        return


def _listen(worker: _Worker, on_report: Callable[[int, Any], None], on_end: Callable[[int, Any], None]) -> bool:
    """Take one message of a worker; False when the worker is gone."""
    try:
        kind, number, content = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        worker.connection.close()
        if worker.task is not None:
            on_end(worker.task, WorkerCrashError(f"reader crashed ({_cause(worker.process.exitcode)})"))
        return False
    if kind == "report":
        on_report(number, content)
    else:
        worker.task = None
        on_end(number, content)
    return True


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        try:
            return signal.Signals(-exit_code).name
        except ValueError:
            return f"signal {-exit_code}"
    return f"exit code {exit_code}"


def _stop(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.terminate()
    worker.process.join()


def _serve(work: Work, connection: Connection) -> None:
    """Run in the child: answer tasks until the pipe closes."""
    while True:
        try:
            number, task = connection.recv()
        except (EOFError, OSError):
            return
        answer: Any
        try:
            answer = work(task, partial(_report, connection, number))
        except SlidescoreError as error:
            answer = error
        except MemoryError:
            answer = WorkerCrashError("out of memory")
        except Exception as error:  # noqa: BLE001 - one slide's unforeseen error must not end the batch
            answer = UnforeseenError(f"internal error: {type(error).__name__}: {error}".splitlines()[0])
            answer.trace = "".join(traceback.format_exc().splitlines(keepends=True)[-LAST_LINES:])
        try:
            connection.send(("end", number, answer))
        except OSError:
            return


def _report(connection: Connection, number: int, content: Any) -> None:
    connection.send(("report", number, content))


def available_cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
