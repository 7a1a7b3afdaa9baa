"""One writer a run folder: the second is told who is there, and what a dead one left is taken over."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from slidescore.errors import RunFolderBusyError, RunFolderError
from slidescore.report import holder as holder_module
from slidescore.report import lease as lease_module
from slidescore.report.holder import Holder, is_running, this_holder
from slidescore.report.lease import (
    LEASE_NAME,
    LOCK_NAME,
    STALE_SECONDS,
    FoundLease,
    is_gone,
    leased,
    read_lease,
    refuse_if_held,
)

ELSEWHERE = Holder("other-host", "other-host boot 1", 4711, 12, "2026-01-01T00:00:00+00:00", "feed")


def leave(folder: Path, holder: Holder | None, silent_s: float = 0.0) -> None:
    """Leave a lease in a folder, last refreshed some time ago; None for one that cannot be read."""
    path = folder / LEASE_NAME
    path.write_text("" if holder is None else json.dumps(asdict(holder)))
    then = time.time() - silent_s
    os.utime(path, (then, then))


def ended() -> Holder:
    """A holder of this place whose process has ended."""
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    pid = process.pid
    assert pid is not None
    process.join()
    return replace(this_holder(), pid=pid)


def without_locks(handle: Any, operation: int) -> None:
    """Stands for flock on a file system that has none."""
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_holder_is_named_while_it_holds_and_leaves_nothing(tmp_path):
    with leased(tmp_path) as lease:
        found = read_lease(tmp_path)
        assert found is not None
        assert found.holder == lease.holder
        assert found.holder.pid == os.getpid()
        assert lease.note == ""
        with pytest.raises(RunFolderBusyError, match=f"pid {os.getpid()} on ") as caught, leased(tmp_path):
            pass
        assert "since 20" in str(caught.value)
        with pytest.raises(RunFolderBusyError, match=f"pid {os.getpid()} on "):
            refuse_if_held(tmp_path)
        lease.check()
    assert list(tmp_path.iterdir()) == []
    refuse_if_held(tmp_path)


def test_a_refused_one_changes_nothing(tmp_path):
    with leased(tmp_path):
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(RunFolderBusyError), leased(tmp_path):
            pass
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("locks", [True, False])
def test_a_holder_elsewhere_counts_while_it_is_heard_of(tmp_path, monkeypatch, locks):
    if not locks:
        monkeypatch.setattr(lease_module.fcntl, "flock", without_locks)
    leave(tmp_path, ELSEWHERE, silent_s=STALE_SECONDS / 2)
    with pytest.raises(RunFolderBusyError, match="in use by pid 4711 on other-host since 2026"), leased(tmp_path):
        pass
    assert read_lease(tmp_path).holder == ELSEWHERE


def test_a_holder_elsewhere_that_fell_silent_is_followed_with_a_note(tmp_path):
    leave(tmp_path, ELSEWHERE, silent_s=STALE_SECONDS + 10)
    with leased(tmp_path) as lease:
        assert "pid 4711 on other-host" in lease.note
        assert read_lease(tmp_path).holder == lease.holder
    assert list(tmp_path.iterdir()) == []


def test_a_lease_that_cannot_be_read_counts_until_it_is_old(tmp_path):
    leave(tmp_path, None)
    with pytest.raises(RunFolderBusyError, match="another process"), leased(tmp_path):
        pass
    leave(tmp_path, None, silent_s=STALE_SECONDS + 10)
    with leased(tmp_path) as lease:
        assert "cannot be read" in lease.note


@pytest.mark.parametrize("locks", [True, False])
def test_a_holder_of_this_machine_that_died_is_followed_at_once(tmp_path, monkeypatch, locks):
    if not locks:
        monkeypatch.setattr(lease_module.fcntl, "flock", without_locks)
    leave(tmp_path, ended())
    refuse_if_held(tmp_path)
    with leased(tmp_path) as lease:
        assert "which is gone" in lease.note


def test_without_locks_the_lease_alone_keeps_others_out(tmp_path, monkeypatch):
    monkeypatch.setattr(lease_module.fcntl, "flock", without_locks)
    with leased(tmp_path):
        with pytest.raises(RunFolderBusyError, match=f"pid {os.getpid()}"), leased(tmp_path):
            pass
        # Silent or not: on this machine the process itself is looked at.
        assert not is_gone(read_lease(tmp_path), 10 * STALE_SECONDS, locked=False)
    with leased(tmp_path):
        pass


def test_a_later_process_of_the_same_number_is_not_taken_for_the_holder():
    mine = this_holder()
    assert is_running(mine)
    if mine.started is not None:
        assert not is_running(replace(mine, started=mine.started - 1))


def test_a_holder_whose_process_may_not_be_looked_at_counts_as_running(monkeypatch):
    """As where /proc is mounted with hidepid and the holder is another user's process."""

    def not_permitted(pid: int, number: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(holder_module.os, "kill", not_permitted)
    monkeypatch.setattr(holder_module, "_process_state", lambda pid: ("", None))
    assert is_running(replace(ELSEWHERE, started=12))


def test_another_boot_or_container_with_the_same_name_is_elsewhere():
    other = replace(this_holder(), place="same-host boot 2")
    assert not is_gone(FoundLease(other, 0.0), STALE_SECONDS / 2, locked=True)
    assert is_gone(FoundLease(other, 0.0), STALE_SECONDS * 2, locked=True)


def test_a_holder_whose_lease_was_taken_stops_and_takes_nothing_away(tmp_path):
    with leased(tmp_path) as lease:
        (tmp_path / LEASE_NAME).unlink()
        leave(tmp_path, ELSEWHERE)
        lease.refresh()
        with pytest.raises(RunFolderBusyError, match="4711 on other-host"):
            lease.check()
    assert read_lease(tmp_path).holder == ELSEWHERE


def test_a_folder_that_is_out_of_reach_for_a_moment_is_not_lost(tmp_path, monkeypatch):
    """A file server that says ESTALE or EIO once must not end a run of a weekend."""

    def stale(path: Path) -> Any:
        raise OSError(errno.ESTALE, "Stale file handle")

    with leased(tmp_path) as lease:
        with monkeypatch.context() as patched:
            patched.setattr(lease_module, "_parse", stale)
            lease.refresh()
        lease.check()
        lease.refresh()
        lease.check()


def test_a_lease_that_is_gone_is_lost(tmp_path):
    with leased(tmp_path) as lease:
        (tmp_path / LEASE_NAME).unlink()
        lease.refresh()
        with pytest.raises(RunFolderBusyError, match="another process"):
            lease.check()


def test_after_a_sleep_the_folder_is_looked_at_before_anything_is_written(tmp_path):
    """The heartbeat slept too, so it has not noticed who came meanwhile."""
    with leased(tmp_path) as lease:
        (tmp_path / LEASE_NAME).unlink()
        leave(tmp_path, ELSEWHERE)
        lease.check()
        lease._looked -= STALE_SECONDS
        with pytest.raises(RunFolderBusyError, match="4711 on other-host"):
            lease.check()


def test_the_lease_is_kept_fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.05)
    with leased(tmp_path) as lease:
        leave(tmp_path, lease.holder, silent_s=3600)
        deadline = time.monotonic() + 30
        while time.time() - read_lease(tmp_path).heard > 60:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_lease_that_changes_hands_at_the_last_moment_stays_with_its_new_holder(tmp_path, monkeypatch):
    """Between looking and taking, another process took the stale lease over: it is put back."""
    leave(tmp_path, ELSEWHERE, silent_s=STALE_SECONDS + 10)
    newer = replace(ELSEWHERE, pid=4712, token="beef")
    look, looks = lease_module.is_gone, []

    def look_then_lose(found: FoundLease, silent_s: float, *, locked: bool) -> bool:
        gone = look(found, silent_s, locked=locked)
        if not looks:
            leave(tmp_path, newer)
        looks.append(found)
        return gone

    monkeypatch.setattr(lease_module, "is_gone", look_then_lose)
    with pytest.raises(RunFolderBusyError, match="pid 4712 on other-host"), leased(tmp_path):
        pass
    assert len(looks) == 2
    assert read_lease(tmp_path).holder == newer
    assert not list(tmp_path.glob("*.tmp"))


def test_where_there_are_no_hard_links_it_works_too(tmp_path, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(lease_module.os, "link", no_links)
    with leased(tmp_path), pytest.raises(RunFolderBusyError), leased(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="cannot be written"), leased(tmp_path / "file"):
        pass


HOLD = """
import sys, time
from pathlib import Path
from slidescore.report.lease import leased
with leased(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_holder_is_followed_at_once(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunFolderBusyError, match=f"pid {other.pid} "):
            refuse_if_held(tmp_path)
        other.send_signal(signal.SIGKILL)
        # Dead, though nobody has looked at it yet.
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        refuse_if_held(tmp_path)
        with leased(tmp_path) as lease:
            assert f"pid {other.pid} on" in lease.note
    assert list(tmp_path.iterdir()) == []


def test_a_lock_without_a_lease_is_enough(tmp_path):
    """As the holder's lease may not be written yet."""
    with (tmp_path / LOCK_NAME).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(RunFolderBusyError, match="another process"), leased(tmp_path):
            pass


def test_asking_loads_nothing_heavy():
    code = "import sys, slidescore.cli.score\nprint(*sorted({'numpy', 'pyarrow', 'cv2', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
