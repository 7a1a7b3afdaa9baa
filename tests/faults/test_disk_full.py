"""A full disk stops the run with one line that names the place; what is finished stands, and the run goes on later."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.interrupted import Stoppable, data_of, finish, results_of, start, torn_files

pytestmark = pytest.mark.slow


def check_stopped(out: Path, code: int, said: list[str], undisturbed: dict[str, bytes]) -> None:
    """A run that met a full disk: its exit code, its last words, and what it leaves."""
    assert code == 2, said
    assert said[-1].startswith(f"slidescore: error: {out}")
    assert "No space left on device" in said[-1]
    assert "run the same command again" in said[-1]
    assert sum("slidescore: " in line for line in said) == 1
    # It stops, instead of failing on every slide in turn.
    assert sum("FAILED" in line for line in said) <= 1
    assert torn_files(out) == []
    for path in results_of(out):
        assert path.read_bytes() == undisturbed[path.relative_to(out).as_posix()]


def test_a_disk_that_fills_at_any_point_stops_the_run_and_it_goes_on(
    stoppable: Stoppable, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out, marker = tmp_path / "run", tmp_path / "full"
    command = stoppable.command(out, "--workers", "1")
    for where, after in (("main", 0), ("main", 2), ("worker", 3), ("worker", 20), ("worker", 30)):
        faults = {"disk_full": {"where": where, "after": after, "marker": str(marker)}}
        check_stopped(out, *finish(start(command, faults)), undisturbed)
        assert marker.exists()
        marker.unlink()
    code, said = finish(start(command))
    assert code == 0, said
    assert data_of(out) == undisturbed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("no right to mount a disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a disk")
def test_a_disk_that_is_really_full_stops_the_run_and_it_goes_on(
    stoppable: Stoppable, undisturbed: dict[str, bytes], small_disk: Path
) -> None:
    out = small_disk / "run"
    command = stoppable.command(out, "--workers", "1")
    total_kb = sum(map(len, undisturbed.values())) // 1024
    for size_kb in (4, 24, total_kb // 2):
        subprocess.run(["mount", "-o", f"remount,size={size_kb}k", str(small_disk)], check=True)
        check_stopped(out, *finish(start(command)), undisturbed)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    code, said = finish(start(command))
    assert code == 0, said
    assert data_of(out) == undisturbed
