"""Which process holds a run folder, and whether it is still there."""

from __future__ import annotations

import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

START_TIME_FIELD = 19
"""Place of a process's start among the fields that follow its name in /proc/PID/stat, from 0."""
DEAD_STATES = ("Z", "X", "x")
"""A process that has ended, though its parent has not looked yet."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a run folder.

    Attributes
    ----------
    host
        Name of the machine.
    place
        Boot of the machine and its process namespace: a process id means the same only within one place.
    pid
        Process id.
    started
        When the process started, in ticks since boot, so that a later process of the same id is not taken for it;
        None where the system does not say.
    since
        UTC time at which the folder was taken.
    token
        Tells this holding from every other.
    """

    host: str
    place: str
    pid: int
    started: int | None
    since: str
    token: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host} since {self.since}"


def this_holder() -> Holder:
    """Describe this process as a holder."""
    now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    pid = os.getpid()
    return Holder(socket.gethostname(), this_place(), pid, _process_state(pid)[1], now, secrets.token_hex(8))


def this_place() -> str:
    """Name this boot of this machine and this process namespace."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return " ".join(parts)


def is_running(holder: Holder) -> bool:
    """Whether a holder of this place is still running."""
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Somebody else's process.
        pass
    state, started = _process_state(holder.pid)
    # Where /proc hides the processes of others, that there is one of this number has to do.
    return state not in DEAD_STATES and started in (None, holder.started)


def _process_state(pid: int) -> tuple[str, int | None]:
    """Read the state of a process and when it started, fields 3 and 22 of /proc/PID/stat, see proc(5).

    Empty and None where the system has no such file.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # The name, in parentheses, may hold anything.
        fields = text.rpartition(")")[2].split()
        return fields[0], int(fields[START_TIME_FIELD])
    except (OSError, ValueError, IndexError):
        return "", None
