"""Slides on a GPU, from file to folder: `python benchmarks/gpu.py [--device cuda:0]`; says so where there is none.

Two things, each in processes of its own. One slide, as `benchmarks/section.py` measures it: everything loaded before,
then from the file to tables, overlay and page, with how busy the GPU and the cores were meanwhile. And ten slides in
one run, as `slidescore score` does it, from the start of the process: the seconds until the first tile is done, when
the model is loaded and a slide begun; slides an hour; how busy all was from that first tile on.

The slide is a drawn section of 15 x 15 mm, 30 % of it tissue, unless --size says otherwise; where it is of another
size, seconds and hours of sections are in proportion to the tissue. The ten are one file under ten names, which lies in
the system's memory after the first reading: a disk may be slower. GPU busy is what the driver says: the share of time
in which anything ran there, not how much of the GPU it used. What binds is whatever was busiest, if it was busy. Prints
one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from section import SECTION_GPX, SECTION_PX, TISSUE, decode_ceiling, draw_slides, in_child
from watching import GpuWatch, MemoryWatch, tree_cpu_seconds

from slidescore.execute import available_cores

HERE = Path(__file__).resolve().parent
N_SLIDES = 10
BUSY = 0.85
"""Above this share of its time something counts as what binds."""


def main() -> None:
    """Measure, or say that there is nothing to measure on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="one GPU, or several: cuda:0,cuda:1; cpu, to try this out")
    parser.add_argument("--size", type=int, default=SECTION_PX, help="side of the slides in px")
    parser.add_argument("--slides", type=Path, help="folder in which drawn slides are kept from one call to the next")
    parser.add_argument("--run", nargs=2, type=Path, metavar=("SLIDES", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        slides, out = arguments.run
        print(json.dumps(run_slides(slides, out, arguments.device)))
        return
    if arguments.device != "cpu" and not torch.cuda.is_available():
        print(json.dumps({"benchmark": "gpu", "device": None, "reason": "no GPU was found; nothing was measured"}))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.slides or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        [slide] = draw_slides(folder, [(arguments.size, TISSUE)])
        print(json.dumps(measure(slide, Path(made), arguments.device)), flush=True)


def measure(slide: Path, scratch: Path, devices: str, n_slides: int = N_SLIDES) -> dict[str, Any]:
    """Measure one slide, then a run of many that are all like it."""
    ceiling, _ = decode_ceiling(slide, available_cores())
    with GpuWatch(devices) as watch:
        one = in_child(slide, devices.split(",")[0])
    gpu_busy = watch.busy(one["began"], one["began"] + one["seconds"])
    cores_busy = one["cpu_seconds"] / one["seconds"] / available_cores()
    rate = one["tissue_mpx"] / one["seconds"]
    batch = scratch / "slides"
    batch.mkdir()
    for number in range(n_slides):
        link_or_copy(slide, batch / f"slide-{number}.tiff")
    with GpuWatch(devices) as watch_run:
        run = in_run(batch, scratch / "run", devices)
    run_gpu_busy = watch_run.busy(run["first_tile"], run["ended"])
    run_cores_busy = run["cpu_seconds_from_first_tile"] / (run["ended"] - run["first_tile"]) / available_cores()
    run_tissue_mpx = one["tissue_mpx"] * n_slides
    return {
        "benchmark": "gpu",
        "tissue_mpx_per_second": round(rate, 1),
        "share_of_decode_ceiling": round(rate / ceiling, 3),
        "cells_per_second": round(one["cells"] / one["seconds"]),
        "section_seconds": round(SECTION_GPX * 1000 / rate, 2),
        "gpu_busy_share": gpu_busy,
        "busy_cores": round(cores_busy * available_cores(), 2),
        "binds": what_binds(gpu_busy, cores_busy, one["stages"]),
        "share_of_time": shares_of_time(one),
        "stages_share_of_cpu": {name: round(each / one["cpu_seconds"], 3) for name, each in one["stages"].items()},
        "cpu_seconds_per_gpx": round(one["cpu_seconds"] / one["tissue_mpx"] * 1000, 1),
        "network_cpu_share": round(one["network_cpu_seconds"] / one["cpu_seconds"], 3),
        "peak_rss_mb": one["peak_rss_mb"],
        "seconds_to_first_tile": round(run["first_tile"] - run["began"], 2),
        "run_slides": n_slides,
        "run_seconds": round(run["ended"] - run["began"], 2),
        "run_slides_per_hour": round(n_slides / (run["ended"] - run["began"]) * 3600),
        "run_sections_per_hour": round(run_tissue_mpx / (run["ended"] - run["began"]) * 3.6 / SECTION_GPX),
        "run_tissue_mpx_per_second": round(run_tissue_mpx / (run["ended"] - run["began"]), 1),
        "run_gpu_busy_share": run_gpu_busy,
        "run_busy_cores": round(run_cores_busy * available_cores(), 2),
        "run_binds": what_binds(run_gpu_busy, run_cores_busy, one["stages"]),
        "run_peak_mb_of_all_processes": round(run["peak_mb"]),
        "run_n_scored": run["n_scored"],
        "tissue_mpx": round(one["tissue_mpx"], 1),
        "decode_ceiling_mpx_per_second": round(ceiling),
        "profile": one["profile"],
        "device": f"{devices} ({one['device']}), {available_cores()} cores",
    }


def link_or_copy(file: Path, name: Path) -> None:
    """Give a file another name, not a symbolic link, for then it would be one slide; a copy where disks differ."""
    try:
        name.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, name)


def what_binds(gpu_busy: float | None, cores_busy: float, stages: dict[str, float]) -> str:
    """Name what was busiest, if anything was busy enough to bind, and what the cores did most."""
    gpu = gpu_busy or 0.0
    # "analyze" holds all that is done to tiles.
    most = max((name for name in stages if name != "analyze"), key=lambda name: stages[name])
    if max(gpu, cores_busy) < BUSY:
        return (
            f"neither: GPU {gpu:.2f}, cores {cores_busy:.2f} (most of it {most}); "
            "waiting for one another, for Python's lock or for the disk"
        )
    return f"GPU, busy {gpu:.2f}" if gpu >= cores_busy else f"cores, busy {cores_busy:.2f}, most of it {most}"


def shares_of_time(one: dict[str, Any]) -> dict[str, float]:
    """Say how a slide's seconds were divided between its tiles, which many threads share, and what one thread does."""
    elapsed = dict(one["elapsed"])
    elapsed["tiles"] = elapsed.pop("analyze") - elapsed["survey"] - elapsed["seam pass"]
    elapsed["the rest"] = one["seconds"] - sum(elapsed.values())
    return {name: round(each / one["seconds"], 3) for name, each in elapsed.items()}


def in_run(slides: Path, out: Path, devices: str) -> dict[str, Any]:
    """Score a folder in a process of its own; moments are those of `time.time`."""
    began = time.time()
    command = [sys.executable, str(HERE / "gpu.py"), "--device", devices, "--run", str(slides), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, MemoryWatch(process.pid) as memory:
        said, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found | {"began": began, "peak_mb": memory.peak_mb}


def run_slides(slides: Path, out: Path, devices: str) -> dict[str, Any]:
    """Score a folder as `slidescore score` does."""
    from slidescore.pipeline.cohort import RunOptions, score_directory
    from slidescore.pipeline.events import SlideEvent

    first: list[float] = []

    def on_event(event: SlideEvent) -> None:
        if event.kind in ("progress", "scored") and not first:
            first.extend((time.time(), tree_cpu_seconds(os.getpid())))

    summary = score_directory(slides, out, options=RunOptions(device=devices), on_event=on_event)
    used = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    return {
        "first_tile": first[0],
        "ended": time.time(),
        "cpu_seconds_from_first_tile": sum(each.ru_utime + each.ru_stime for each in used) - first[1],
        "n_scored": len(summary.rows) - len(summary.failed),
    }


if __name__ == "__main__":
    main()
