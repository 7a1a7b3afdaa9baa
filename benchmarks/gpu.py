"""Slides on a GPU, from file to folder: `python benchmarks/gpu.py [--device cuda:0]`; says so where there is none.

Two things, each in processes of its own: one slide, as `benchmarks/section.py` measures it, with how busy the GPU and
the cores were meanwhile; and ten slides through `slidescore score`, all loaded anew, which gives the seconds until
the first tile is done and slides an hour. Busy is what the driver says: the share of time in which anything ran there,
not how much of the GPU it used. What binds is whatever was busiest, if it was busy. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from section import SECTION_GPX, SIZE, cores, decode_ceiling, draw_slides, in_child

HERE = Path(__file__).resolve().parent
N_SLIDES = 10
SECONDS_BETWEEN_SAMPLES = 0.1
BUSY = 0.85
"""Above this share of its time something counts as what binds."""


def main() -> None:
    """Measure, or say that there is nothing to measure on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="one GPU, or several: cuda:0,cuda:1")
    parser.add_argument("--size", type=int, default=2 * SIZE, help="half the side of the slides, in px")
    parser.add_argument("--slides", type=Path, help="folder in which drawn slides are kept from one call to the next")
    parser.add_argument("--run", nargs=2, type=Path, metavar=("SLIDES", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        slides, out = arguments.run
        print(json.dumps(run_slides(slides, out, arguments.device)))
        return
    if not torch.cuda.is_available():
        print(json.dumps({"benchmark": "gpu", "device": None, "reason": "no GPU was found; nothing was measured"}))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.slides or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measure(folder, Path(made), arguments.size, arguments.device)), flush=True)


def measure(folder: Path, scratch: Path, size: int, devices: str) -> dict[str, Any]:
    """Measure one slide, then a run of ten."""
    first = devices.split(",")[0]
    _, large, _ = draw_slides(folder, size)
    ceiling, _ = decode_ceiling(large, cores())
    with Sampling(devices) as sampling:
        one = in_child(large, first)
    rate = one["tissue_mpx"] / one["seconds"]
    batch = scratch / "slides"
    batch.mkdir()
    for number in range(N_SLIDES):
        shutil.copyfile(large, batch / f"slide-{number}.tiff")
    with Sampling(devices) as sampling_run:
        run = in_run(batch, scratch / "run", devices)
    return {
        "benchmark": "gpu",
        "tissue_mpx_per_second": round(rate, 1),
        "share_of_decode_ceiling": round(rate / ceiling, 3),
        "cells_per_second": round(one["cells"] / one["seconds"]),
        "section_seconds": round(SECTION_GPX * 1000 / rate, 2),
        "gpu_busy_share": sampling.busy,
        "busy_cores": round(one["cpu_seconds"] / one["seconds"], 2),
        "binds": what_binds(sampling.busy, one["cpu_seconds"] / one["seconds"] / cores()),
        "cpu_seconds_per_gpx": round(one["cpu_seconds"] / one["tissue_mpx"] * 1000, 1),
        "network_cpu_share": round(one["network_cpu_seconds"] / one["cpu_seconds"], 3),
        "peak_rss_mb": one["peak_rss_mb"],
        "seconds_to_first_tile": run["seconds_to_first_tile"],
        "run_tissue_mpx_per_second": round(N_SLIDES * one["tissue_mpx"] / run["seconds"], 1),
        "run_slides_per_hour": round(N_SLIDES / run["seconds"] * 3600),
        "run_sections_per_hour": round(N_SLIDES * one["tissue_mpx"] / run["seconds"] * 3600 / (SECTION_GPX * 1000)),
        "run_gpu_busy_share": sampling_run.busy,
        "run_binds": what_binds(sampling_run.busy, run["cpu_seconds"] / run["seconds"] / cores()),
        "run_n_scored": run["n_scored"],
        "tissue_mpx": round(one["tissue_mpx"], 1),
        "decode_ceiling_mpx_per_second": round(ceiling),
        "profile": one["profile"],
        "device": f"{devices} ({one['device']}), {cores()} cores",
    }


def what_binds(gpu_busy: float | None, cores_busy: float) -> str:
    """Name what was busiest, if anything was busy enough to bind."""
    gpu = gpu_busy or 0.0
    if max(gpu, cores_busy) < BUSY:
        return f"neither: GPU {gpu:.2f}, cores {cores_busy:.2f}; waiting for one another, for the disk or for start-up"
    return f"GPU, busy {gpu:.2f}" if gpu >= cores_busy else f"cores, busy {cores_busy:.2f}"


def in_run(slides: Path, out: Path, devices: str) -> dict[str, Any]:
    """Score a folder in a process of its own."""
    command = [sys.executable, str(HERE / "gpu.py"), "--device", devices, "--run", str(slides), str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_slides(slides: Path, out: Path, devices: str) -> dict[str, Any]:
    """Score a folder as `slidescore score` does; from a fresh process, so that loading counts."""
    import resource

    start = time.perf_counter()
    from slidescore.pipeline.cohort import RunOptions, SlideEvent, score_directory

    first: list[float] = []

    def on_event(event: SlideEvent) -> None:
        if event.kind in ("progress", "scored") and not first:
            first.append(time.perf_counter() - start)

    summary = score_directory(slides, out, options=RunOptions(device=devices), on_event=on_event)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds,
        "cpu_seconds": sum(each.ru_utime + each.ru_stime for each in used),
        "seconds_to_first_tile": round(first[0], 2),
        "n_scored": len(summary.rows) - len(summary.failed),
    }


class Sampling:
    """Asks the driver ten times a second how busy the GPUs are.

    Attributes
    ----------
    busy
        Mean share of time, of all devices, once it has ended; None where the driver does not say.
    """

    def __init__(self, devices: str) -> None:
        self.busy: float | None = None
        self._devices = [int(name.partition(":")[2] or 0) for name in devices.split(",")]
        self._ending = threading.Event()
        self._found: list[float] = []
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Sampling:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self.busy = round(mean(self._found), 3) if self._found else None

    def _sample(self) -> None:
        while not self._ending.wait(SECONDS_BETWEEN_SAMPLES):
            try:
                shares = [busy_percent(device) / 100 for device in self._devices]
            except (ImportError, RuntimeError, OSError, ValueError, subprocess.SubprocessError):
                return
            self._found.append(mean(shares))


def busy_percent(device: int) -> float:
    """Ask how busy a GPU was just now: torch needs a package for it that may not be there, then the driver's tool."""
    try:
        return float(torch.cuda.utilization(device))
    except (ImportError, RuntimeError):
        command = ["nvidia-smi", f"--id={device}", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout)


if __name__ == "__main__":
    main()
