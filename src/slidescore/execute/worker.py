"""The child's side of supervised work: take a task, say how it goes, answer; end when the parent has ended."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from slidescore.errors import SlidescoreError, place_of, trace_of
from slidescore.execute.allocator import keep_freed_memory

Report = Callable[[Any], None]
Work = Callable[[Any, Report], Any]

LAST_LINES = 30
"""Lines of a traceback that are kept of an unforeseen error."""
PR_SET_PDEATHSIG = 1
"""Linux, prctl(2): have the kernel signal this process when its parent dies."""


@dataclass(slots=True)
class _Share:
    """Where this process reads how many cores are its own; the supervisor alone writes there."""

    cores: Any = None


_SHARE = _Share()


def cores_now() -> int:
    """Return how many cores this process's task may keep busy at this moment, at least 1.

    All cores of a run are shared out among the tasks at work; when one ends and none waits, the others get its cores.
    In a process that nobody supervises it is 1.
    """
    return max(1, int(_SHARE.cores.value)) if _SHARE.cores is not None else 1


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


def pack_task(work: Work, task: Any) -> bytes:
    """Pack a function, by its name, and its task for the pipe."""
    return pickle.dumps((work, task))


def serve(connection: Connection, cores: Any) -> None:
    """Run in the child: answer tasks until the pipe closes.

    Messages are (kind, task number, content): `begun` once the task's code is loaded, any number of `report`, `end`.
    `cores` is the shared number that `cores_now` reads.
    """
    end_with_parent()
    keep_freed_memory()
    _SHARE.cores = cores
    lock = threading.Lock()
    while True:
        try:
            number, packed = connection.recv()
            answer = _answer(packed, partial(_send, connection, lock, number))
            _send(connection, lock, number, "end", answer)
        except (EOFError, OSError):
            return


def _answer(packed: bytes, send: Callable[[str, Any], None]) -> Any:
    """Do one task; what goes wrong in it is its answer."""
    try:
        work, task = pickle.loads(packed)
        send("begun", None)
        return work(task, partial(send, "report"))
    except SlidescoreError as error:
        return error
    except MemoryError:
        return WorkerCrashError("out of memory")
    except Exception as error:  # noqa: BLE001 - one task's unforeseen error must not end the batch
        # Not its words: they can quote a slide's metadata, and the message goes into tables.
        unforeseen = UnforeseenError(f"internal error: {type(error).__name__} {place_of(error)}")
        unforeseen.trace = "".join(trace_of(error).splitlines(keepends=True)[-LAST_LINES:])
        return unforeseen


def _send(connection: Connection, lock: threading.Lock, number: int, kind: str, content: Any) -> None:
    # Several threads of one task may report.
    with lock:
        connection.send((kind, number, content))


def end_with_parent() -> None:
    """Have this process killed as soon as its parent is gone.

    A child that outlives a killed parent would go on writing where the next run, which sees no lock any more, writes
    too. Linux kills at once, even inside a C library; elsewhere, and in any case, a thread watches the parent.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:
            os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
