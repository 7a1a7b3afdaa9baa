"""A child process as its supervisor sees it: started so that signals do not reach it, given a task, ended for good."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import process as process_module
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from slidescore.execute.worker import serve

KILL_SECONDS = 5.0
"""A killed child that is not gone after this long hangs in the kernel; it is left behind and ends when it can."""


@dataclass(slots=True)
class Child:
    """A child process and the task that it has; None for none."""

    process: SpawnProcess
    connection: Connection
    task: int | None = None
    begun: float | None = None
    """When the task's own time began; None while the child still loads its code."""
    heard: float = 0.0
    """When it was given its task, or last reported."""
    slot: int = 0
    """Which of the places for children it has: 0, 1 ...; its successor gets the same."""
    cores: Any = None
    """The shared number that its `cores_now` reads."""


def start_child(slot: int) -> Child:
    """Start a child for one of the places."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    # Without a lock: one process writes it, and a child that is killed must not take a lock with it.
    cores = context.RawValue("i", 1)
    process = context.Process(target=serve, args=(theirs, cores), daemon=True)
    # Ctrl-C and a scheduler's SIGTERM reach the whole process group; the parent decides what they mean and kills. A
    # child inherits the mask, so it does not die noisily while it is still importing either.
    with _signals_deferred():
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    theirs.close()
    return Child(process, ours, slot=slot, cores=cores)


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


def give_task(child: Child, number: int, packed: bytes) -> None:
    """Give a child its next task, see `slidescore.execute.worker.pack_task`."""
    child.task, child.begun, child.heard = number, None, time.monotonic()
    try:
        child.connection.send((number, packed))
    except OSError:
        # It died while idle; who listens notices the closed pipe.
        return


def cause_of_end(exit_code: int | None) -> str:
    """Say what ended a process."""
    if exit_code == -signal.SIGKILL:
        return "SIGKILL, as from a system that is short of memory"
    if exit_code is not None and exit_code < 0:
        try:
            return signal.Signals(-exit_code).name
        except ValueError:
            return f"signal {-exit_code}"
    return f"exit code {exit_code}"


def kill(child: Child) -> None:
    """End a child, whatever it is doing."""
    child.process.kill()
    await_end(child)


def await_end(child: Child) -> None:
    """Wait for a child that is ending, but not for one that hangs in the kernel: no signal reaches it there."""
    child.connection.close()
    child.process.join(KILL_SECONDS)
    if child.process.exitcode is None:
        child.process.kill()
        # Else multiprocessing would wait for it, without end, when this process exits.
        _children().discard(child.process)


def _children() -> set[Any]:
    """Return the processes that multiprocessing waits for at the end."""
    children: set[Any] = getattr(process_module, "_children", set())
    return children
