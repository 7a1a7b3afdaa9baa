"""Work in watched processes: what one task does to its process costs that task only."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import time
from typing import Any

import pytest

from slidescore.errors import SlideOpenError, SlidescoreError
from slidescore.execute import UnforeseenError, WorkerCrashError, Workers, available_cores, cores_now, run_tasks


def work(task: Any, report: Any) -> Any:
    """Do what the task says; runs in a child process."""
    match task:
        case "abort":
            os.abort()
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.exit(3)
        case "divide":
            return 1 / 0
        case "many lines":
            raise ValueError("one\ntwo\nthree")
        case "memory":
            raise MemoryError
        case "slide":
            raise SlideOpenError("is damaged", where="a é.svs", remedy="copy it again")
        case "unpicklable":
            return lambda: None
        case ("count", n):
            for k in range(n):
                report(k)
            return n
        case "pid":
            return os.getpid()
        case ("cores", wanted):
            return wait_for_cores(wanted)
        case (slot, "die"):
            os.kill(os.getpid(), signal.SIGKILL)
        case (slot, "place"):
            return slot, os.getpid()
    return ("done", task)


def wait_for_cores(wanted: int) -> list[int]:
    """The shares that this process was told, until it is the wanted one."""
    shares, end = [cores_now()], time.monotonic() + 60.0
    while shares[-1] != wanted and time.monotonic() < end:
        time.sleep(0.005)
        if cores_now() != shares[-1]:
            shares.append(cores_now())
    return shares


def run(tasks: list[Any], n_workers: int) -> tuple[dict[int, Any], list[tuple[int, Any]]]:
    """Run tasks; what each ended with (and that each ended once), and what was reported."""
    ends: dict[int, Any] = {}
    reports: list[tuple[int, Any]] = []

    def on_end(number: int, outcome: Any) -> None:
        assert number not in ends
        ends[number] = outcome

    run_tasks(work, tasks, n_workers=n_workers, on_report=lambda *both: reports.append(both), on_end=on_end)
    assert sorted(ends) == list(range(len(tasks)))
    return ends, reports


@pytest.fixture(scope="module")
def mishaps() -> dict[Any, Any]:
    """Everything that can go wrong, good work in between, on two workers."""
    tasks = [
        1,
        "abort",
        2,
        "exit",
        3,
        "divide",
        "many lines",
        4,
        "memory",
        "slide",
        "segfault",
        "kill",
        "unpicklable",
        5,
    ]
    ends, _ = run(tasks, 2)
    return {task: ends[number] for number, task in enumerate(tasks)}


def test_good_tasks_finish_whatever_the_others_do(mishaps):
    assert [mishaps[k] for k in (1, 2, 3, 4, 5)] == [("done", k) for k in (1, 2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("task", "cause"),
    [
        ("abort", "SIGABRT"),
        ("segfault", "SIGSEGV"),
        ("kill", "SIGKILL"),
        ("exit", "exit code 3"),
        ("unpicklable", "exit"),
    ],
)
def test_a_process_that_dies_costs_its_task(mishaps, task, cause):
    assert isinstance(mishaps[task], WorkerCrashError)
    assert cause in str(mishaps[task])


def test_an_unforeseen_exception_is_one_line_with_its_place_and_without_its_words(mishaps):
    error = mishaps["divide"]
    assert isinstance(error, UnforeseenError)
    assert re.fullmatch(r"internal error: ZeroDivisionError in test_local\.py, line \d+", str(error))
    assert "test_local.py" in error.trace
    assert "division by zero" not in error.trace
    assert re.fullmatch(r"internal error: ValueError in test_local\.py, line \d+", str(mishaps["many lines"]))


def test_an_error_of_ours_arrives_as_it_was_raised(mishaps):
    error = mishaps["slide"]
    assert type(error) is SlideOpenError
    assert (error.message, error.where, error.remedy) == ("is damaged", "a é.svs", "copy it again")


def test_running_out_of_memory_is_named(mishaps):
    assert isinstance(mishaps["memory"], SlidescoreError)
    assert "out of memory" in str(mishaps["memory"])


def test_reports_come_in_order_before_the_end_of_their_task():
    tasks = [("count", 3), ("count", 0), ("count", 5)]
    seen: list[Any] = []
    run_tasks(
        work, tasks, n_workers=1, on_report=lambda task, content: seen.append((task, content)),
        on_end=lambda task, outcome: seen.append((task, f"end {outcome}")),
    )  # fmt: skip
    expected = [(task, k) for task, (_, n) in enumerate(tasks) for k in [*range(n), f"end {n}"]]
    assert seen == expected


def test_results_do_not_depend_on_the_number_of_workers():
    tasks = [("count", k % 3) for k in range(7)]
    assert run(tasks, 1)[0] == run(tasks, 3)[0] == {number: n for number, (_, n) in enumerate(tasks)}


def test_work_is_done_elsewhere_and_by_no_more_processes_than_asked():
    ends, _ = run(["pid"] * 6, 2)
    assert os.getpid() not in ends.values()
    assert len(set(ends.values())) <= 2


def test_no_tasks_start_nothing():
    assert run([], 4) == ({}, [])


def test_an_error_in_the_parent_stops_the_children():
    def fail(number: int, outcome: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tasks(work, [1, 2, 3], n_workers=2, on_report=lambda *both: None, on_end=fail)
    assert multiprocessing.active_children() == []


def do(workers: Workers, tasks: list[Any]) -> list[Any]:
    """Run tasks on one worker; what each ended with."""
    ends: list[Any] = []
    workers.run(
        work, tasks, n_workers=1, on_report=lambda *both: None, on_end=lambda number, outcome: ends.append(outcome)
    )
    return ends


def test_what_kills_an_idle_worker_costs_no_task():
    """As when a library's thread crashes after the answer was sent: the next task is not to blame."""
    with Workers() as workers:
        [first] = do(workers, ["pid"])
        os.kill(first, signal.SIGKILL)
        [second] = do(workers, ["pid"])
    assert isinstance(second, int)
    assert second != first


class Deadly:
    """A task that ends the process as soon as it is unpacked, every time."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os._exit, (3,))


def test_a_task_that_no_process_survives_is_tried_twice_and_then_failed():
    with Workers() as workers:
        deadly, good = do(workers, [Deadly(), 1])
    assert isinstance(deadly, WorkerCrashError)
    assert "exit code 3" in str(deadly)
    assert good == ("done", 1)


def test_a_killed_process_is_said_to_have_been_killed(mishaps):
    assert "short of memory" in str(mishaps["kill"])
    assert "short of memory" not in str(mishaps["segfault"])


def test_at_least_one_core_is_usable():
    assert available_cores() >= 1


def give(tasks: list[Any], n_workers: int, **named: Any) -> list[Any]:
    """Run tasks; what each ended with."""
    ends: dict[int, Any] = {}
    with Workers() as workers:
        workers.run(
            work, tasks, n_workers=n_workers, on_report=lambda *both: None, on_end=ends.__setitem__, **named
        )  # fmt: skip
    return [ends[number] for number in range(len(tasks))]


def test_a_process_keeps_its_place_and_its_successor_gets_it():
    """Each place has a device: a process that dies must not move the others to another one."""
    tasks = ["place", "place", "die", "place", "place", "die", "place", "place"]
    ends = give(tasks, 2, fit=lambda task, slot: (slot, task))
    slots: dict[int, set[int]] = {}
    for end in ends:
        if not isinstance(end, WorkerCrashError):
            slots.setdefault(end[1], set()).add(end[0])
    assert all(len(places) == 1 for places in slots.values())
    assert set.union(*slots.values()) <= {0, 1}
    assert sum(isinstance(end, WorkerCrashError) for end in ends) == 2


def test_all_cores_go_to_whoever_is_still_at_work():
    # Three share 7 as 3, 2, 2; each ends when it is told its number, so at last one has all of them.
    ends = give([("cores", 7), ("cores", 3), ("cores", 2)], 3, n_cores=7)
    assert ends[0][-1] == 7
    assert ends[2][-1] == 2
    assert all(1 <= share <= 7 for shares in ends for share in shares)
    assert give([("cores", 1)], 1) == [[1]]


def test_a_process_that_nobody_supervises_has_one_core():
    assert cores_now() == 1


@pytest.mark.parametrize(("task", "kept"), [("slide", True), ("divide", False), ("memory", False)])
def test_a_process_in_which_something_unforeseen_happened_is_not_used_again(task, kept):
    """A GPU, say, fails a process for ever after one fault: the next slide must not pay for it."""
    with Workers() as workers:
        before, error, after = do(workers, ["pid", task, "pid"])
    assert isinstance(error, SlidescoreError)
    assert (after == before) is kept
    assert isinstance(after, int)


def test_unforeseen_ends_in_a_row_cost_nobody_else_their_turn():
    """A task given to a process that is about to end would be given again once, and no second time."""
    tasks = ["divide"] * 4 + ["pid"] * 2
    ends = give(tasks, 2)
    assert [type(end) for end in ends] == [UnforeseenError] * 4 + [int] * 2
