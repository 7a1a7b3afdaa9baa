"""Work on this machine: tasks in child processes, watched, so that a crash or a hang in a C library costs one task.

Knows nothing about slides. A task and its result travel by pickle; the function is named, not sent.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self

from slidescore.errors import SlidescoreError
from slidescore.execute.child import Child, await_end, cause_of_end, give_task, kill, start_child
from slidescore.execute.worker import UnforeseenError, Work, WorkerCrashError, pack_task

STARTUP_SECONDS = 300.0
"""A child may take so long to start and to load a task's code; only then does the task's own time begin."""
TICK_SECONDS = 1.0
"""The supervisor looks up at least this often."""
ASLEEP_SECONDS = 10.0
"""A supervisor that did not look up for so long was suspended itself, and its children perhaps with it."""


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


class Workers:
    """Child processes that take one task at a time; they are kept from one `run` to the next.

    Parameters
    ----------
    limits
        How long each task may take.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._workers: list[Child] = []
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
        fit: Callable[[Any, int], Any] | None = None,
        n_cores: int = 1,
    ) -> None:
        """Run `work(task, report)` for every task, each in one of `n_workers` child processes.

        A child that crashes, or that a limit ends, costs its task and is replaced. So is one whose task ended in a way
        that nobody foresaw: a GPU that failed once, say, fails that process for ever. A task that its child had not
        begun when it died is given once more: what it died of may be the task before. When something is raised here,
        the children still hold their tasks: `stop` them.

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
        fit
            Makes of a task and the slot of its child, 0 to n_workers - 1, what the child is given: a child that is
            replaced, and one that takes the next task, keeps its slot, and with it a device, say.
        n_cores
            Cores shared out among the tasks at work; `cores_now` tells a task its share, which changes while it runs.
        """
        waiting, given_again = deque(range(len(tasks))), set[int]()
        self._looked = time.monotonic()
        for worker in [worker for worker in self._workers if worker.slot >= n_workers]:
            self._workers.remove(worker)
            kill(worker)
        while waiting or any(worker.task is not None for worker in self._workers):
            while waiting and len(self._workers) < n_workers:
                taken = {worker.slot for worker in self._workers}
                self._workers.append(start_child(next(slot for slot in range(n_workers) if slot not in taken)))
            for worker in self._workers:
                if worker.task is None and waiting:
                    number = waiting.popleft()
                    task = fit(tasks[number], worker.slot) if fit else tasks[number]
                    give_task(worker, number, pack_task(work, task))
            _share_out(self._workers, n_cores)
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
                    on_end(worker.task, WorkerCrashError(f"reader crashed ({cause_of_end(worker.process.exitcode)})"))
            self._end_overdue(on_end)
            if on_tick:
                on_tick()

    def stop(self) -> None:
        """Kill the children; what they worked on is lost."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            kill(worker)

    def _seconds_to_next_look(self) -> float:
        now = time.monotonic()
        soonest = min((self._deadline(worker)[0] for worker in self._workers), default=math.inf)
        return min(max(soonest - now, 0.0), TICK_SECONDS)

    def _deadline(self, worker: Child) -> tuple[float, str]:
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
            kill(worker)
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


def _share_out(workers: Sequence[Child], n_cores: int) -> None:
    """Share the cores out among the children at work; the first ones get what does not divide."""
    busy = sorted((worker for worker in workers if worker.task is not None), key=lambda worker: worker.slot)
    for place, worker in enumerate(busy):
        worker.cores.value = max(1, n_cores // len(busy) + (place < n_cores % len(busy)))


def _listen(worker: Child, on_report: Callable[[int, Any], None], on_end: Callable[[int, Any], None]) -> bool:
    """Take one message of a worker; False when the worker is gone, with the task that it still has."""
    try:
        kind, number, content = worker.connection.recv()
    except (EOFError, OSError):
        await_end(worker)
        return False
    worker.heard = time.monotonic()
    if kind == "begun":
        worker.begun = worker.heard
    elif kind == "end":
        worker.task = None
        on_end(number, content)
        if isinstance(content, (UnforeseenError, WorkerCrashError)):
            kill(worker)
            return False
    elif content is not None:
        on_report(number, content)
    return True


def available_cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
