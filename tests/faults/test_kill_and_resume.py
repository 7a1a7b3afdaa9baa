"""A run may be stopped at any moment, in any way: the same command goes on, and the result is the same to the byte."""

from __future__ import annotations

import resource
import shutil
import signal
import sys
from pathlib import Path

import pytest

from faults.interrupted import (
    Stoppable,
    blocks_of,
    data_of,
    finish,
    kept_tiles,
    results_of,
    rows_of,
    start,
    stop_when,
    torn_files,
    wait_until,
)
from slidescore.pipeline import options, running
from slidescore.pipeline.cohort import RunOptions, score_directory

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals")]

PAUSES = {"pause_s": 0.03}


def test_a_run_stopped_again_and_again_ends_as_if_nothing_had_happened(
    stoppable: Stoppable, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = stoppable.command(out, "--workers", "1")
    before: set[Path] = set()

    def new_blocks() -> set[Path]:
        return set(blocks_of(out)) - before

    stops = (
        ("killed before it is a run", signal.SIGKILL, lambda: (out / ".lease").exists()),
        ("killed in the first slide", signal.SIGKILL, lambda: len(blocks_of(out)) >= 2),
        ("terminated in the first slide", signal.SIGTERM, lambda: len(blocks_of(out)) >= 5),
        ("killed when the first slide is done", signal.SIGKILL, lambda: len(results_of(out)) >= 1),
        # Blocks of the slide before may still lie there: only new ones show that this command is at work.
        ("interrupted in the second slide", signal.SIGINT, lambda: bool(results_of(out)) and bool(new_blocks())),
        ("terminated in the second slide", signal.SIGTERM, lambda: len(blocks_of(out)) >= 4 and bool(new_blocks())),
        ("killed in the second slide", signal.SIGKILL, lambda: len(blocks_of(out)) >= 7 and bool(new_blocks())),
    )
    codes = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
    for what, number, moment in stops:
        before = set(blocks_of(out))
        code, said = stop_when(start(command, PAUSES), moment, number)
        assert code == codes[number], what
        assert torn_files(out) == [], what
        for path in results_of(out):
            assert path.read_bytes() == undisturbed[path.relative_to(out).as_posix()], what
        if number != signal.SIGKILL:
            assert said[-1].startswith("slidescore: ")
            assert "run the same command again" in said[-1]
            reasons = [row["reason"] for row in rows_of(out)]
            assert reasons == [""] * len(results_of(out)) + ["not reached"] * (2 - len(results_of(out))), what
    [(slide_id, n_kept)] = kept_tiles(out).items()
    code, said = finish(start(command))
    assert code == 0, said
    assert data_of(out) == undisturbed
    resumed = {row["slide_id"]: int(row["tiles_resumed"]) for row in rows_of(out, "timings.csv")}
    assert resumed[slide_id] == n_kept >= 7
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_a_second_run_is_told_at_once_and_disturbs_nothing(
    stoppable: Stoppable, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with start(stoppable.command(out, "--workers", "1"), PAUSES) as first:
        wait_until(first, lambda: len(blocks_of(out)) >= 1)
        # Held still, so that it is there however slow the other is.
        first.send_signal(signal.SIGSTOP)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code, said = finish(start(stoppable.plain_command(out)))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        first.send_signal(signal.SIGCONT)
        assert finish(first)[0] == 0
    assert code == 75
    assert [f"pid {first.pid} on " in line for line in said] == [True]
    # Processor time, for a second of the clock depends on the machine's other users.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
    assert data_of(out) == undisturbed


def test_workers_and_threads_change_nothing(
    stoppable: Stoppable, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (options, running):
        monkeypatch.setattr(module, "available_cores", lambda: 8)
    for name, workers in (("four workers", 4), ("eight threads", 1)):
        score_directory(stoppable.slides, tmp_path / name, stoppable.assay, options=RunOptions(workers=workers))
        assert data_of(tmp_path / name) == undisturbed


def test_a_damaged_journal_costs_time_only(stoppable: Stoppable, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """As after a loss of power: files that are empty, cut or gone, and what a killed writer left beside them."""
    out = tmp_path / "run"
    stop_when(start(stoppable.command(out, "--workers", "1"), PAUSES), lambda: len(blocks_of(out)) >= 6, signal.SIGKILL)
    blocks = blocks_of(out)
    blocks[0].write_bytes(b"")
    blocks[1].write_bytes(blocks[1].read_bytes()[:1000])
    blocks[2].unlink()
    shutil.copy(blocks[3], blocks[3].with_name(".half.tiles.123.tmp"))
    (out / ".scores.csv.123.tmp").write_text("half")
    [(slide_id, n_kept)] = ((name, n) for name, n in _whole_tiles(blocks[3:]).items())
    score_directory(stoppable.slides, out, stoppable.assay, options=RunOptions(workers=1))
    assert data_of(out) == undisturbed
    resumed = {row["slide_id"]: int(row["tiles_resumed"]) for row in rows_of(out, "timings.csv")}
    assert resumed[slide_id] == n_kept


def _whole_tiles(blocks: list[Path]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for path in blocks:
        slide_id = path.parents[3].name
        counts[slide_id] = counts.get(slide_id, 0) + 1
    return counts
