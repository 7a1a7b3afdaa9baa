"""A slide from file to folder, as `slidescore score` does it: `python benchmarks/section.py [--size 8192]`.

Draws slides, and scores each in a process of its own with tables, overlay, pictures and page written, on all cores. In
between, the decode ceiling of the same cores is taken: simplejpeg alone on the slide's own tiles, in so many threads.
Four times the area shows how time a block and memory grow; the same tissue on a larger glass what background costs.

Last comes a section as it is: 15 x 15 mm at 0.25 um/px, 60,000 px square, 30 % tissue (`--no-section` leaves it out).

Block megapixels are those of the tiles' cores, the edges of the tissue included. Tissue is what the tissue mask holds,
in level-0 px. Seconds are of the clock unless they are called CPU-seconds; only the latter are to be trusted on a
machine with other users, which `busy_cores` tells. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import simplejpeg
import tifffile
from numpy.typing import NDArray

from slidescore.execute import available_cores

HERE = Path(__file__).resolve().parent
SECTION_PX, SECTION_GPX = 60_000, 1.08
"""A section of 15 x 15 mm at 0.25 um/px: its side, and its tissue where that is 30 %, in level-0 px and gigapixels."""
SIZE, GROWN, TISSUE, FIELDS, MPP = 8192, 2, 0.3, 3, 0.25
ROUNDS = 2
CEILING_SECONDS = 1.5
TILE_STAGES = (
    "network", "nuclei from maps", "read and decode", "separate", "compartments", "measure", "quality",
    "own cells and outlines", "sum up",
)  # fmt: skip
"""What `Stages.watch_tiles` counts; none of them is part of another."""
WARM_UP_PX = 1024


def main() -> None:
    """Score the slides and print the line; with --one, score one slide and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=SIZE, help=f"side of the smaller slide in px (default {SIZE})")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--slides", type=Path, help="folder in which drawn slides are kept from one call to the next")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--no-section", action="store_true", help="leave out the slide of 60,000 px")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(score_one(arguments.one, arguments.device)))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.slides or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measure(folder, arguments.size, arguments.device, whole=not arguments.no_section)), flush=True)


def measure(folder: Path, size: int, device: str, *, whole: bool) -> dict[str, Any]:
    """Score the slides in turn, the ceiling taken before and after the large ones."""
    grown = size * GROWN
    small, large, sparse = draw_slides(folder, [(size, TISSUE), (grown, TISSUE), (grown, TISSUE / GROWN**2)])
    ceilings = [decode_ceiling(large, available_cores())]
    rounds = []
    for _ in range(ROUNDS):
        rounds.append({"small": in_child(small, device), "large": in_child(large, device)})
        ceilings.append(decode_ceiling(large, available_cores()))
    one = {name: min((each[name] for each in rounds), key=lambda found: found["cpu_seconds"]) for name in rounds[0]}
    for name, found in one.items():
        found["seconds"] = min(each[name]["seconds"] for each in rounds)
    one["sparse"] = in_child(sparse, device)
    if whole:
        [section] = draw_slides(folder, [(SECTION_PX, TISSUE)])
        one["section"] = in_child(section, device)
        ceilings.append(decode_ceiling(section, available_cores()))
    # The best of each: what slows a process down are the machine's other users.
    ceiling, ceiling_by_cpu = max(each for each, _ in ceilings), max(each for _, each in ceilings)
    # Shares inside one process: its CPU-seconds grow with the neighbours' work, its shares do not.
    glass, glass_of_sparse = (1 / share - 1 for share in (TISSUE, TISSUE / GROWN**2))
    background = (outside_tiles(one["sparse"]) - outside_tiles(one["large"])) * glass / (glass_of_sparse - glass)
    largest = "section" if whole else "large"
    most = one[largest]
    others = most["cpu_seconds"] - most["network_cpu_seconds"]
    gpx, rate = most["tissue_mpx"] / 1000, most["tissue_mpx"] / most["seconds"]

    def grown(what: str, name: str) -> float:
        return round(per_block(one[name], what) / per_block(one["small"], what), 3)

    line = {
        "benchmark": "section",
        "share_of_decode_ceiling": round(rate / ceiling, 4),
        "share_of_decode_ceiling_by_cpu": round(most["tissue_mpx"] / most["cpu_seconds"] / ceiling_by_cpu, 4),
        "tissue_mpx_per_second": round(rate, 2),
        "block_mpx_per_second": round(most["block_mpx"] / most["seconds"], 2),
        "cells_per_core_second": round(most["cells"] / most["cpu_seconds"]),
        "section_seconds": round(most["seconds"], 1) if whole else None,
        "section_seconds_on_idle_cores": round(most["cpu_seconds"] / available_cores(), 1) if whole else None,
        "cpu_seconds_per_gpx": round(most["cpu_seconds"] / gpx, 1),
        "cpu_seconds_per_gpx_without_network": round(others / gpx, 1),
        "cpu_seconds_per_block_gpx_without_network": round(others / most["block_mpx"] * 1000, 1),
        "network_share_of_cpu": round(most["network_cpu_seconds"] / most["cpu_seconds"], 3),
        "busy_cores": round(most["cpu_seconds"] / most["seconds"], 2),
        "peak_rss_mb": max(each["peak_rss_mb"] for each in one.values()),
        "peak_rss_ratio": round(one["large"]["peak_rss_mb"] / one["small"]["peak_rss_mb"], 3),
        "time_per_block_ratio": grown("seconds", largest),
        "cpu_per_block_ratio": grown("cpu_seconds", largest),
        "background_cost": round(background, 4),
        "survey_share_of_cpu": round(one["sparse"]["survey_cpu_seconds"] / one["sparse"]["cpu_seconds"], 3),
        "decode_ceiling_mpx_per_second": round(ceiling),
        "slides": list(one),
        **{
            f"{what}_each": [round(each[what], 2) for each in one.values()]
            for what in ("tissue_mpx", "block_mpx", "blocks", "cells", "peak_rss_mb", "cpu_seconds", "seconds")
        },
        "stages_share_of_cpu": {name: round(each / most["cpu_seconds"], 3) for name, each in most["stages"].items()},
        "profile": most["profile"],
        "device": f"{most['device']}, {available_cores()} cores",
    }
    return line


def outside_tiles(one: dict[str, Any]) -> float:
    """Return the share of CPU-seconds that goes into anything but tiles, which is all that glass is looked at by."""
    return 1.0 - sum(one["stages"].get(name, 0.0) for name in TILE_STAGES) / float(one["cpu_seconds"])


def per_block(one: dict[str, Any], what: str) -> float:
    """Return seconds a megapixel of tiles' cores."""
    return float(one[what]) / float(one["block_mpx"])


def in_child(slide: Path, device: str) -> dict[str, Any]:
    """Score a slide in a process of its own, whose memory is then its own too; what went wrong there is shown."""
    command = [sys.executable, str(HERE / "section.py"), "--one", str(slide), "--device", device]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def draw_slides(folder: Path, wanted: Sequence[tuple[int, float]]) -> list[Path]:
    """Draw slides of these sides in px and shares of tissue, those that are not there yet."""
    sys.path.insert(0, str(HERE))
    from draw_big_slide import QUALITY, plan_slide, write_slide

    paths = [folder / f"section-{side}-{tissue:g}.tiff" for side, tissue in wanted]
    fields: list[NDArray[np.uint8]] = []
    for path, (side, tissue) in zip(paths, wanted, strict=True):
        if path.is_file():
            continue
        # The fields take most of the time; they are the same for all.
        plan, _ = plan_slide(side, tissue, 1 if fields else FIELDS, 1, MPP, QUALITY)
        fields = fields or plan.fields
        rng = np.random.default_rng(side)
        plan = replace(plan, fields=fields, choice=rng.integers(0, FIELDS, plan.choice.shape))
        with open(os.devnull, "w", encoding="utf-8") as quiet:  # noqa: PTH123
            errors, sys.stderr = sys.stderr, quiet
            try:
                write_slide(path, plan, MPP)
            finally:
                sys.stderr = errors
    return paths


def decode_ceiling(path: Path, n_threads: int) -> tuple[float, float]:
    """Decode tissue tiles of level 0 to RGB in some threads and do nothing else; MPx a second, and a CPU-second."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        tables = page.jpegtables
        side_px = page.tilewidth * page.tilelength
        heavy = np.argsort(page.databytecounts)[::-1]
        # Glass takes a third of the bytes and half of the time: only tiles of tissue are counted.
        chosen = heavy[: max(1, int(len(heavy) * TISSUE * 0.8))]
        places = [(int(page.dataoffsets[k]), int(page.databytecounts[k])) for k in sorted(chosen)]
        shape = (page.tilelength, page.tilewidth, 3)
    head = tables[:-2] if tables else b""
    file = os.open(path, os.O_RDONLY)
    end = time.perf_counter() + CEILING_SECONDS

    def decode(first: int) -> int:
        desk, n_done = np.empty(shape, np.uint8), 0
        while time.perf_counter() < end:
            offset, count = places[(first + n_done * n_threads) % len(places)]
            piece = os.pread(file, count, offset)
            simplejpeg.decode_jpeg(head + piece[2:] if head else piece, "RGB", buffer=desk)
            n_done += 1
        return n_done

    start, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(n_threads) as pool:
        mpx = sum(pool.map(decode, range(n_threads))) * side_px / 1e6
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    os.close(file)
    return mpx / seconds, mpx / cpu_seconds


def score_one(path: Path, device: str) -> dict[str, Any]:
    """Score a slide into a folder, after a small one that loads and compiles everything."""
    from slidescore.assay import load_assay
    from slidescore.execute import keep_freed_memory
    from slidescore.pipeline import analysis, slide
    from slidescore.pipeline.judge import SlideIdentity
    from slidescore.pipeline.segmenters import plan_segmenter

    keep_freed_memory()  # as every process of a run does
    assay = load_assay().assay
    plan = plan_segmenter(assay, device)
    stages = Stages()
    stages.watch(slide, "analyze_slide", "analyze")
    stages.watch(slide, "write_slide_tables", "tables")
    stages.watch(slide, "write_slide_pictures", "overlay, pictures and page")
    stages.watch(analysis, "survey_slide", "survey")
    stages.watch(analysis, "join_tiles", "seam pass")
    stages.watch_tiles()
    with tempfile.TemporaryDirectory() as made:

        def job(source: Path, name: str) -> slide.SlideJob:
            identity = SlideIdentity(name, source.name)
            key = slide.slide_key(assay, name, segmenter=plan, mpp=None, roi_digest="", identity=identity)
            folder = Path(made) / name
            return slide.SlideJob(source, identity, assay, plan, folder, key, None, None, available_cores(), 1.0)

        warm = Path(made) / "warm.tiff"
        cut_out(path, warm)
        slide.score_job(job(warm, "warm"), lambda _: None)
        stages.seconds.clear()
        stages.elapsed.clear()
        began, start, cpu = time.time(), time.perf_counter(), time.process_time()
        outcome = slide.score_job(job(path, "slide"), lambda _: None)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    record, took = outcome.record, stages.seconds
    pixel_um2 = record["slide"]["mpp"] ** 2
    block_mpx = outcome.timing["tissue_mpx_per_second"] * outcome.timing["seconds"]
    return {
        "began": began,
        "seconds": seconds,
        "elapsed": stages.elapsed,
        "cpu_seconds": cpu_seconds,
        "network_cpu_seconds": took.get("network", 0.0),
        "survey_cpu_seconds": took.get("survey", 0.0),
        "stages": dict(sorted(took.items())),
        "tissue_mpx": record["scores"]["tissue_mm2"] * 1e6 / pixel_um2 / 1e6,
        "block_mpx": block_mpx * (record["analysis"]["mpp"] / record["slide"]["mpp"]) ** 2,
        "blocks": record["analysis"]["n_tiles"],
        "cells": record["scores"]["n_cells"],
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "profile": record["profile"],
        "device": plan.hardware,
    }


def cut_out(path: Path, small: Path) -> None:
    """Write a corner of the slide's tissue as a slide of its own: enough for one tile or two."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        heavy = int(np.argmax(page.databytecounts))
        columns = math.ceil(page.imagewidth / page.tilewidth)
        top, left = heavy // columns * page.tilelength, heavy % columns * page.tilewidth
    with openslide.OpenSlide(path) as slide:
        corner = (max(0, left - WARM_UP_PX // 2), max(0, top - WARM_UP_PX // 2))
        rgb = np.asarray(slide.read_region(corner, 0, (WARM_UP_PX, WARM_UP_PX)).convert("RGB"))
    tifffile.imwrite(
        small, rgb, tile=(256, 256), photometric="ycbcr", compression="jpeg", subsampling=(2, 2),
        resolution=(1e4 / MPP, 1e4 / MPP), resolutionunit="CENTIMETER", metadata=None,
    )  # fmt: skip


class Stages:
    """CPU-seconds of functions, over all threads that call them; a stage inside another counts in both.

    Attributes
    ----------
    seconds
        CPU-seconds by name.
    elapsed
        Seconds of the clock by name, of the stages that follow one another in the main thread.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.elapsed: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, name: str, seconds: float) -> None:
        """Count seconds to a stage."""
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def watch(self, module: Any, function: str, name: str) -> None:
        """Count what a function takes: of one that runs in the main thread, what all threads take meanwhile."""
        plain, clock = getattr(module, function), time.process_time

        def timed(*arguments: Any, **named: Any) -> Any:
            start, began = clock(), time.perf_counter()
            try:
                return plain(*arguments, **named)
            finally:
                self.add(name, clock() - start)
                self.elapsed[name] = self.elapsed.get(name, 0.0) + time.perf_counter() - began

        setattr(module, function, timed)

    def watch_tiles(self) -> None:
        """Count what the parts of a tile take in their own thread, the network's arithmetic apart."""
        from slidescore.nn import segmenter
        from slidescore.pipeline import tile

        for module, function, name in (
            (segmenter.NetworkSegmenter, "predict_maps", "network"),
            (segmenter, "decode_maps", "nuclei from maps"),
            (tile, "read_analysis", "read and decode"),
            (tile, "separate", "separate"),
            (tile, "cut_compartments", "compartments"),
            (tile, "measure_cells", "measure"),
            (tile, "measure_squares", "quality"),
            (tile, "own_cells", "own cells and outlines"),
            (tile, "sum_up", "sum up"),
        ):
            self._watch_thread(module, function, name)

    def _watch_thread(self, module: Any, function: str, name: str) -> None:
        plain, clock = getattr(module, function), time.thread_time

        def timed(*arguments: Any, **named: Any) -> Any:
            start = clock()
            try:
                return plain(*arguments, **named)
            finally:
                self.add(name, clock() - start)

        setattr(module, function, timed)


if __name__ == "__main__":
    main()
