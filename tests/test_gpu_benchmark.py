"""The benchmark of a GPU: it runs where there is none, and what it says is what was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import gpu
import pytest
import torch
import watching

import phantom as ph

KEYS = {
    "tissue_mpx_per_second", "cells_per_second", "section_seconds", "gpu_busy_share", "binds", "peak_rss_mb",
    "seconds_to_first_tile", "run_slides_per_hour", "run_sections_per_hour", "run_binds", "device",
}  # fmt: skip


def test_without_a_gpu_it_says_so(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu.main()
    assert json.loads(capsys.readouterr().out) == {
        "benchmark": "gpu", "device": None, "reason": "no GPU was found; nothing was measured",
    }  # fmt: skip


@pytest.mark.slow
def test_a_cpu_can_stand_in(tmp_path: Path) -> None:
    field = ph.draw_phantom(ph.crowded_spec(40, n_cells=250, tissue="irregular", tissue_fraction=0.7))
    slide = tmp_path / "slide.tiff"
    ph.write_pyramid(slide, field.rgb, field.mpp, levels=(1, 4))
    line = json.loads(json.dumps(gpu.measure(slide, tmp_path, "cpu", n_slides=2)))
    assert set(line) >= KEYS
    assert line["gpu_busy_share"] is line["run_gpu_busy_share"] is None
    assert line["run_n_scored"] == line["run_slides"] == 2
    assert line["profile"].startswith("cpu-")
    assert line["cells_per_second"] > 0
    # Shares of the slide's own time, loading left out: they add up to all of it.
    shares = line["share_of_time"]
    assert set(shares) == {"survey", "tiles", "seam pass", "tables", "overlay, pictures and page", "the rest"}
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.01)
    assert all(share >= 0 for share in shares.values())
    # Processes that each hold torch, counted as long as they ran.
    assert line["run_peak_mb_of_all_processes"] > 200
    assert 0 < line["seconds_to_first_tile"] < line["run_seconds"]
    assert line["run_busy_cores"] > 0
    tissue_an_hour = line["run_tissue_mpx_per_second"] * 3600
    assert line["run_sections_per_hour"] == pytest.approx(tissue_an_hour / (gpu.SECTION_GPX * 1000), rel=0.1, abs=1)


@pytest.mark.parametrize(
    ("gpu_busy", "cores_busy", "said"),
    [
        (0.95, 0.4, "GPU, busy 0.95"),
        (0.3, 0.92, "cores, busy 0.92, most of it measure"),
        (None, 0.9, "cores, busy 0.90, most of it measure"),
        (0.3, 0.5, "neither: GPU 0.30, cores 0.50 (most of it measure); waiting for one another, for Python's lock "
                   "or for the disk"),
    ],
)  # fmt: skip
def test_what_binds_is_named(gpu_busy: float | None, cores_busy: float, said: str) -> None:
    assert gpu.what_binds(gpu_busy, cores_busy, {"analyze": 9.0, "measure": 5.0, "network": 2.0}) == said


def test_ten_slides_are_ten_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("slide")
    gpu.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").resolve() != (tmp_path / "a").resolve()
    assert (tmp_path / "b").read_text() == "slide"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tool of the driver that notes how it was called and says what two GPUs do, again and again."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        f"#!{sys.executable}\nimport sys, time\nopen({str(tmp_path / 'asked')!r}, 'w').write(' '.join(sys.argv[1:]))\n"
        "while True:\n    print('40\\n 60\\n[N/A]', flush=True)\n    time.sleep(0.01)\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(watching, "gpu_id", lambda name: f"GPU-{name}")
    return tmp_path / "asked"


def test_the_driver_is_asked_about_the_right_gpus_and_only_the_time_in_question_counts(driver: Path) -> None:
    with watching.GpuWatch("cuda:0,cuda:1") as watch:
        end = time.monotonic() + 30
        while not watch._found:
            assert time.monotonic() < end
            time.sleep(0.01)
        before = time.time()
        time.sleep(0.1)
    assert watch.busy(before - 60, time.time()) == pytest.approx(0.5, abs=0.11)
    assert watch.busy(before + 3600, before + 3601) is None
    assert driver.read_text().startswith("--id=GPU-cuda:0,GPU-cuda:1 --loop-ms=200 --query-gpu=utilization.gpu ")
    assert watch._tool is not None
    assert watch._tool.returncode is not None


def test_without_a_gpu_or_the_drivers_tool_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with watching.GpuWatch("cpu") as watch:
        pass
    assert watch.busy(0, time.time()) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(watching, "gpu_id", lambda name: name)
    with watching.GpuWatch("cuda:0") as watch:
        pass
    assert watch.busy(0, time.time()) is None


def test_gpus_are_named_by_the_driver_where_torch_knows_how(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        uuid = "1234-5678"

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties() if index else object())
    assert [watching.gpu_id(name) for name in ("cuda:1", "cuda:0", "cuda")] == ["GPU-1234-5678", "0", "0"]


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not say")
def test_memory_and_time_are_those_of_a_process_and_of_what_it_started() -> None:
    code = "import sys\nheld = bytearray(b'x') * 60_000_000\nprint('ready', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with watching.MemoryWatch(os.getpid()) as memory:
            alone = watching.tree_mb(child.pid)
        assert 57 < alone < 150
        assert memory.peak_mb > alone + 10
        assert watching.tree_cpu_seconds(os.getpid()) == pytest.approx(
            sum(os.times()[:2]) + watching.tree_cpu_seconds(child.pid), abs=0.2
        )
        child.communicate("")
    assert watching.tree_mb(child.pid) == 0
