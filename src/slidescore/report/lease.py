"""Who may write to a run folder: one process, named in a lease that it keeps fresh.

A lock (flock) tells processes of one machine apart at once and dies with its holder, but does not hold on every network
file system. So the holder also writes `.lease`: where it runs, its process id, and by the file's time when it was last
heard of. Whoever comes second is refused; a lease whose holder is gone is taken over. Imports nothing heavy, so that
the second is told before anything else is loaded.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from slidescore.errors import RunFolderBusyError, RunFolderError
from slidescore.report.holder import Holder, is_running, this_holder, this_place
from slidescore.report.storage import cannot_write

LEASE_NAME, LOCK_NAME = ".lease", ".lock"
HEARTBEAT_SECONDS = 10.0
"""The holder refreshes its lease so often."""
LATE_SECONDS = 25.0
"""A heartbeat that is late by so much was asleep: two beats and a half."""
STALE_SECONDS = 120.0
"""A holder on another machine that was not heard of for so long is gone: a dozen heartbeats."""
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""What flock says where the file system has no locks."""
TAKEN = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
"""What flock says where somebody else holds the lock."""
LINKLESS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK})
"""What link says where the file system has no hard links."""
ATTEMPTS = 5
"""Times that a lease which changes while it is looked at is looked at again."""


@dataclass(slots=True)
class Lease:
    """The right to write to a run folder, while it lasts.

    Attributes
    ----------
    note
        Whose lease was taken over; empty when the folder was free.
    """

    folder: Path
    holder: Holder
    note: str = ""
    _lost: bool = False
    _looked: float = field(default_factory=time.time)
    """When the lease was last looked at, by the clock, which goes on while a machine sleeps."""

    def check(self) -> None:
        """Stop this run when another one has taken the folder over.

        Quick: the heartbeat looks at the folder. Only after a sleep, in which another may have come, this does.

        Raises
        ------
        RunFolderBusyError
            If the lease is not this one's any more.
        """
        if abs(time.time() - self._looked) > LATE_SECONDS:
            self.refresh()
        if self._lost:
            raise _busy(self.folder, read_lease(self.folder))

    def refresh(self) -> None:
        """Say that the holder is alive, or notice that the lease is another's now."""
        path = self.folder / LEASE_NAME
        self._looked = time.time()
        try:
            if self._is_mine(_parse(path)):
                os.utime(path)
            else:
                self._lost = True
        except FileNotFoundError:
            self._lost = True
        except OSError:
            # Out of reach for the moment; if that lasts, others see it by the file's time.
            return

    def is_ours(self) -> bool:
        """Whether the lease in the folder is this one."""
        found = read_lease(self.folder)
        return found is not None and self._is_mine(found.holder)

    def _is_mine(self, holder: Holder | None) -> bool:
        return holder is not None and holder.token == self.holder.token


@dataclass(frozen=True, slots=True)
class FoundLease:
    """A lease as it lies in a folder; `holder` is None when it cannot be read, `heard` the time of its file."""

    holder: Holder | None
    heard: float


def refuse_if_held(folder: Path) -> None:
    """Refuse a folder that a living process of this machine holds, and change nothing.

    Quick, and sure about one machine only; `leased` decides.

    Raises
    ------
    RunFolderBusyError
        Naming the holder.
    """
    found = read_lease(folder)
    if found and found.holder and found.holder.place == this_place() and is_running(found.holder):
        raise _busy(folder, found)


@contextmanager
def leased(folder: Path) -> Iterator[Lease]:
    """Hold a folder while writing to it.

    Raises
    ------
    RunFolderBusyError
        If another process holds it.
    RunFolderError
        If it cannot be written to.
    """
    try:
        handle, locked = _lock(folder)
    except OSError as error:
        if isinstance(error, RunFolderError):
            raise
        raise cannot_write(error, folder / LOCK_NAME) from error
    with handle:
        try:
            lease = _take(folder, locked=locked)
        except OSError as error:
            if isinstance(error, RunFolderError):
                raise
            raise cannot_write(error, folder / LEASE_NAME) from error
        done = threading.Event()
        heart = threading.Thread(target=_beat, args=(lease, done), daemon=True)
        heart.start()
        try:
            yield lease
        finally:
            done.set()
            heart.join()
            with suppress(OSError):
                if lease.is_ours():
                    (folder / LEASE_NAME).unlink()
                    (folder / LOCK_NAME).unlink(missing_ok=True)


def _beat(lease: Lease, done: threading.Event) -> None:
    while not done.wait(HEARTBEAT_SECONDS):
        lease.refresh()


def _lock(folder: Path) -> tuple[TextIO, bool]:
    """Open and lock a file that its last holder may be removing at this moment; False where locks do not exist."""
    lock = folder / LOCK_NAME
    while True:
        handle = lock.open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return handle, False
            handle.close()
            if error.errno in TAKEN:
                raise _busy(folder, read_lease(folder)) from error
            raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle.fileno()), lock.stat()):
                return handle, True
        # Locked, but no longer the file of that name: somebody else can lock the new one.
        handle.close()


def _take(folder: Path, *, locked: bool) -> Lease:
    """Write this process's lease, in place of one whose holder is gone."""
    mine = this_holder()
    written = folder / f"{LEASE_NAME}.{mine.token}.tmp"
    try:
        for _ in range(ATTEMPTS):
            try:
                _write(written, mine)
                note = _make_room(folder, written, mine.token, locked=locked)
                _publish(written, folder / LEASE_NAME)
            except RunFolderBusyError:
                raise
            except (FileExistsError, FileNotFoundError):
                # What is missing, or there all of a sudden, is another's doing at this moment: look again.
                continue
            return Lease(folder, mine, note)
        raise _busy(folder, read_lease(folder))
    finally:
        written.unlink(missing_ok=True)


def _make_room(folder: Path, written: Path, token: str, *, locked: bool) -> str:
    """Take the lease of a holder that is gone away, and say whose it was."""
    found = read_lease(folder)
    if found is None:
        return ""
    # A file just written has the folder's own time, whatever the clock of this machine says.
    silent_s = written.stat().st_mtime - found.heard
    if not is_gone(found, silent_s, locked=locked):
        raise _busy(folder, found)
    _remove_gone(folder, found, token)
    whose = found.holder or "a process whose lease cannot be read"
    return f"the folder was still held by {whose}, which is gone; its work was taken up"


def is_gone(found: FoundLease, silent_s: float, *, locked: bool) -> bool:
    """Decide whether the holder of a lease is gone.

    On this machine it is gone when its process is, which a lock that could be taken proves; elsewhere only its silence
    tells.
    """
    if found.holder is not None and found.holder.place == this_place():
        return locked or not is_running(found.holder)
    return silent_s > STALE_SECONDS


def _remove_gone(folder: Path, found: FoundLease, token: str) -> None:
    """Take a gone holder's lease away.

    Raises
    ------
    FileNotFoundError, FileExistsError
        If it is another's by now; that one stays.
    """
    aside = folder / f"{LEASE_NAME}.{token}.old.tmp"
    (folder / LEASE_NAME).rename(aside)
    try:
        if _parse(aside) != found.holder:
            _publish(aside, folder / LEASE_NAME)
            raise FileExistsError(LEASE_NAME)
    finally:
        aside.unlink(missing_ok=True)


def _publish(written: Path, path: Path) -> None:
    """Give a whole file its name, unless there is one of that name."""
    try:
        os.link(written, path)
    except OSError as error:
        if error.errno not in LINKLESS:
            raise
        with path.open("xb") as handle:
            handle.write(written.read_bytes())


def _write(path: Path, holder: Holder) -> None:
    with path.open("wb") as handle:
        handle.write(json.dumps(asdict(holder)).encode())
        handle.flush()
        os.fsync(handle.fileno())


def read_lease(folder: Path) -> FoundLease | None:
    """Read the lease of a folder; None when there is none."""
    path = folder / LEASE_NAME
    try:
        return FoundLease(_parse(path), path.stat().st_mtime)
    except OSError:
        return None


def _parse(path: Path) -> Holder | None:
    try:
        content = json.loads(path.read_bytes())
        return Holder(**content)
    except (ValueError, TypeError):
        return None


def _busy(folder: Path, found: FoundLease | None) -> RunFolderBusyError:
    holder = found.holder if found and found.holder else "another process"
    return RunFolderBusyError(f"is in use by {holder}", where=str(folder), remedy="wait for it")
