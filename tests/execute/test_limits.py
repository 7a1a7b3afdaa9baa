"""A task that hangs is ended, whatever it hangs in, and a child does not outlive its parent."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from slidescore.execute import Limits, TaskTimeoutError, Workers, run_tasks
from slidescore.execute import child as child_module

NO_PROGRESS_S = 3.0
NO_PROGRESS = Limits(no_progress_s=NO_PROGRESS_S)


def work(task: Any, report: Any) -> Any:
    """Do what the task says; runs in a child process."""
    match task:
        case ("pipe", path):
            # What a read from a stalled file system looks like: the kernel does not answer.
            return os.open(path, os.O_RDONLY)
        case "c library":
            ctypes.CDLL(None).pause()
        case "busy":
            while True:
                pass
        case ("slow", n):
            for k in range(n):
                time.sleep(NO_PROGRESS_S / 6)
                report(k if k % 2 else None)
            return n
        case "endless":
            while True:
                time.sleep(NO_PROGRESS_S / 10)
                report(None)
    return ("done", task)


def run(tasks: list[Any], limits: Limits, n_workers: int = 2) -> tuple[list[Any], list[Any]]:
    """Run tasks; what each ended with, and what was reported."""
    ends: dict[int, Any] = {}
    reports: list[Any] = []
    run_tasks(
        work, tasks, n_workers=n_workers, on_report=lambda number, content: reports.append(content),
        on_end=ends.__setitem__, limits=limits,
    )  # fmt: skip
    return [ends[number] for number in range(len(tasks))], reports


def test_what_hangs_is_ended_and_the_rest_is_done(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    ends, _ = run([1, ("pipe", tmp_path / "pipe"), "c library", 2, "busy", 3], NO_PROGRESS)
    assert [ends[k] for k in (0, 3, 5)] == [("done", k) for k in (1, 2, 3)]
    for hung in (ends[1], ends[2], ends[4]):
        assert isinstance(hung, TaskTimeoutError)
        assert str(hung) == f"timeout: no progress for {NO_PROGRESS_S:g} s"


def test_a_slow_task_that_reports_may_go_on_and_what_is_only_a_sign_is_not_passed_on():
    n = 8
    ends, reports = run([("slow", n)], NO_PROGRESS)
    assert ends == [n]
    assert reports == [1, 3, 5, 7]


def test_a_task_that_only_reports_is_ended_in_the_end():
    ends, reports = run(["endless", 1], Limits(no_progress_s=60.0, total_s=NO_PROGRESS_S), n_workers=1)
    assert str(ends[0]) == f"timeout: not finished after {NO_PROGRESS_S:g} s"
    assert ends[1] == ("done", 1)
    assert reports == []


def test_workers_are_kept_from_one_run_to_the_next_and_are_gone_at_the_end():
    with Workers() as workers:
        for _ in range(2):
            workers.run(work, [1, 2, 3], n_workers=2, on_report=lambda *both: None, on_end=lambda *both: None)
            children = [child.pid for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
            assert len(children) <= 2
    assert not any(psutil.pid_exists(pid) for pid in children)


def test_a_tick_can_stop_the_run():
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Workers() as workers:
        workers.run(
            work, ["c library"], n_workers=1, on_report=lambda *both: None, on_end=lambda *both: None, on_tick=stop
        )


PARENT = """
import sys
sys.path.insert(0, {folder!r})
from test_limits import work
from slidescore.execute import run_tasks
if __name__ == "__main__":
    print("started", flush=True)
    run_tasks(work, [{task!r}], n_workers=1, on_report=lambda *both: None, on_end=lambda *both: None)
"""


def child_of(parent: psutil.Process) -> psutil.Process:
    """The worker of a parent, once it is there."""
    for _ in range(600):
        for child in parent.children():
            if "spawn_main" in " ".join(child.cmdline()):
                return child
        time.sleep(0.1)
    raise AssertionError("no child")


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for it")
@pytest.mark.parametrize("task", ["c library", "busy"])
def test_a_child_does_not_outlive_a_killed_parent(tmp_path, task):
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(folder=str(Path(__file__).parent), task=task))
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        child = child_of(psutil.Process(parent.pid))
        # Once it has asked to die with its parent; before, it dies for want of one.
        time.sleep(1.0)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        child.wait(timeout=30)
    assert not child.is_running()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for it")
def test_a_signal_to_the_group_is_the_parents_to_answer():
    ends: list[Any] = []

    def signal_group(number: int, content: Any) -> None:
        child = child_of(psutil.Process())
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGINT)

    run_tasks(
        work, [("slow", 4)], n_workers=1, on_report=signal_group, on_end=lambda number, outcome: ends.append(outcome)
    )
    assert ends == [4]


class Undying:
    """A child that hangs in the kernel: no signal reaches it."""

    exitcode = None

    def __init__(self) -> None:
        self.calls: list[str] = []

    def kill(self) -> None:
        self.calls.append("kill")

    def join(self, timeout: float | None = None) -> None:
        assert timeout is not None, "would wait for ever"
        self.calls.append("join")


def test_time_in_which_the_supervisor_itself_was_suspended_does_not_count():
    """Ctrl-Z stops parent and children alike; afterwards nobody is overdue, and later silence counts again."""
    ours, theirs = multiprocessing.Pipe()
    ended: list[Any] = []
    with Workers(Limits(no_progress_s=60.0, total_s=100.0)) as workers:
        child: Any = Undying()
        long_ago = time.monotonic() - 3600.0
        worker = child_module.Child(child, ours, task=0, begun=long_ago, heard=long_ago + 1.0)
        workers._workers.append(worker)
        workers._looked = long_ago + 2.0
        workers._end_overdue(lambda *both: ended.append(both))
        assert ended == []
        assert time.monotonic() - worker.heard < 5.0
        worker.heard -= 60.0
        workers._end_overdue(lambda *both: ended.append(both))
    theirs.close()
    assert [(number, str(outcome)) for number, outcome in ended] == [(0, "timeout: no progress for 60 s")]


def test_a_child_that_cannot_be_killed_is_left_behind():
    ours, theirs = multiprocessing.Pipe()
    child: Any = Undying()
    child_module._children().add(child)
    with Workers() as workers:
        workers._workers.append(child_module.Child(child, ours, task=0))
    theirs.close()
    assert child.calls[0] == "kill"
    # Else this process would wait for it at its own end.
    assert child not in child_module._children()
    assert ours.closed
