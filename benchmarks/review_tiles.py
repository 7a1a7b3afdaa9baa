"""The review app under load: `python benchmarks/review_tiles.py --work FOLDER`.

Twenty slides of 60,000 x 60,000 px with a million cells each (`review_run.py`) are opened one after another in the
server that `slidescore review` starts, as a browser does: the page's answers, then the tiles that show the whole slide,
over six connections. Then tiles of one slide that nobody has asked for yet are timed, one kind after another, over one
connection and over six, and last the same tiles again. The client is a Python program on the same cores.

Milliseconds are of the clock, on a machine whose other users count; `busy_cores` tells how many there were. Memory is
that of the server's processes together. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow.parquet as pq
from review_run import make_run
from section import SECTION_PX, TISSUE, draw_slides
from watching import MemoryWatch, tree_cpu_seconds, tree_mb

TOKEN = "a-token-for-the-benchmark"
N_SLIDES, N_CELLS, N_TILES = 20, 1_000_000, 200
FIT_PX = 1000
"""Longest side of the slide in the window where it is seen whole."""
SCALES = {"near": (0, 1, 2), "middle": (3, 4), "far": (5, 6, 7)}
SHOWS = ("0123ox", "0123", "123", "23", "3", "0123o", "012", "01", "0", "12", "013", "0o", "1o", "2o", "3o", "03")
"""What overlays show; from afar there are few tiles, and each is asked for with other kinds shown."""


def main() -> None:
    """Make the run, start the server, measure, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder in which slide and run are kept from one call to the next")
    parser.add_argument("--slides", type=int, default=N_SLIDES)
    parser.add_argument("--cells", type=int, default=N_CELLS)
    parser.add_argument("--size", type=int, default=SECTION_PX, help="side of the slide in px")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.work or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        [slide] = draw_slides(folder, [(arguments.size, TISSUE)])
        run = make_run(slide, folder, arguments.slides, arguments.cells)
        print(json.dumps(measure(run)), flush=True)


def measure(run: Path) -> dict[str, Any]:
    """Open all slides, then time tiles of the last one."""
    slides = list(json.loads((run / "run.json").read_bytes())["slides"])
    cells = pq.read_table(run / "slides" / slides[0] / "cells.parquet", columns=["x", "y"])
    places = np.stack([cells["x"].to_numpy(), cells["y"].to_numpy()], axis=1)
    others = os.getloadavg()[0]
    with served(run) as (process, address), MemoryWatch(process) as memory:
        crew = Crew(address)
        began = time.perf_counter()
        crew.get(["/api/run", "/api/slides"])
        line: dict[str, Any] = {"benchmark": "review_tiles", "cohort_seconds": round(time.perf_counter() - began, 2)}
        line |= {"idle_mb": round(tree_mb(process))}
        first, used, held = [], [], []
        for slide in slides:
            used_s = tree_cpu_seconds(process)
            first.append(open_slide(crew, slide))
            used.append(tree_cpu_seconds(process) - used_s)
            near = [tile(place, 0) for place in places[:: len(places) // 4][:4]]
            crew.get([f"/overlay/{slide}/{k}/{column}_{row}" for k, column, row in near])
            held.append(round(tree_mb(process)))
        line |= {
            "first_view_seconds": round(first[0], 2),
            "first_view_seconds_p95": round(float(np.percentile(first, 95)), 2),
            "first_view_cpu_seconds": round(float(np.median(used)), 2),
            "open_mb": held[-1],
            "open_mb_each": held,
        }
        line |= time_tiles(process, address, slides[-2:], places)
        line |= {"after_tiles_mb": round(tree_mb(process))}
    line |= {"peak_mb": round(memory.peak_mb), "slides": len(slides), "cells": len(places), "busy_cores": others}
    return line | {"device": f"{len(os.sched_getaffinity(0))} cores"}


def open_slide(crew: Crew, slide: str) -> float:
    """Ask for what the slide's page asks for first; return the seconds until all is there."""
    began = time.perf_counter()
    crew.get([f"/slides/{slide}", f"/api/slides/{slide}/review"])
    about = json.loads(crew.get([f"/api/slides/{slide}"])[0])
    k = next(k for k in range(20) if max(about["width"], about["height"]) >> k <= FIT_PX)
    across, down = (math.ceil(side / (256 << k)) for side in (about["width"], about["height"]))
    seen = [f"{k}/{column}_{row}" for row in range(down) for column in range(across)]
    crew.get([f"/tiles/{slide}/rgb/{each}" for each in seen] + [f"/overlay/{slide}/{each}" for each in seen])
    return time.perf_counter() - began


def time_tiles(process: int, address: str, slides: Sequence[str], places: np.ndarray) -> dict[str, Any]:
    """Time tiles of every kind and scale that nobody asked for before, and then once more.

    `cpu_ms` is what the server's processor time comes to, a tile.
    """
    found: dict[str, Any] = {}
    rng = np.random.default_rng(7)
    used: set[str] = set()
    # A slide each: from afar it has few tiles.
    for connections, slide in zip((1, 6), slides, strict=True):
        crew = Crew(address, connections)
        open_slide(crew, slide)
        k, column, row = tile(places[0], 0)
        crew.get([f"/overlay/{slide}/{k}/{column}_{row}?show=x"])
        slowest = 0.0
        for kind in ("rgb", "dab", "overlay"):
            for scale, ks in SCALES.items():
                asked = list(new_tiles(rng, slide, kind, ks, places, used))
                used_s = tree_cpu_seconds(process)
                p50, p95 = np.percentile(crew.time(asked), [50, 95]).tolist()
                used_s = tree_cpu_seconds(process) - used_s
                again = float(np.percentile(crew.time(asked), 95))
                slowest = max(slowest, p95)
                found[f"{kind}_{scale}_{connections}"] = {
                    "n": len(asked), "p50_ms": round(p50, 1), "p95_ms": round(p95, 1),
                    "cpu_ms": round(1000 * used_s / len(asked), 1), "again_p95_ms": round(again, 1),
                }  # fmt: skip
        found[f"slowest_p95_ms_{connections}"] = round(slowest, 1)
    return found


def new_tiles(
    rng: np.random.Generator, slide: str, kind: str, ks: Sequence[int], places: np.ndarray, used: set[str]
) -> Iterator[str]:
    """Name tiles over cells that were not named before; fewer where there are no more."""
    n_named = 0
    for place in places[rng.integers(0, len(places), 20 * N_TILES)]:
        k, column, row = tile(place, int(rng.choice(ks)))
        path = f"/tiles/{slide}/{kind}/{k}/{column}_{row}"
        if kind == "overlay":
            show = SHOWS[int(rng.integers(len(SHOWS)))] if k in SCALES["far"] else SHOWS[0]
            path = f"/overlay/{slide}/{k}/{column}_{row}?show={show}"
        if path not in used:
            used.add(path)
            n_named += 1
            yield path
        if n_named == N_TILES:
            return


def tile(place: np.ndarray, k: int) -> tuple[int, int, int]:
    """Name the tile that holds a point."""
    return k, int(place[0]) // (256 << k), int(place[1]) // (256 << k)


class Crew:
    """Some connections that ask at the same time, each for one thing after another.

    Parameters
    ----------
    address
        Of the server.
    connections
        How many.
    """

    def __init__(self, address: str, connections: int = 6) -> None:
        host = urlsplit(address).netloc
        self._lines = [http.client.HTTPConnection(host) for _ in range(connections)]

    def get(self, paths: Sequence[str]) -> list[bytes]:
        """Ask for all; return the answers."""
        return [answer for answer, _ in self._ask(paths)]

    def time(self, paths: Sequence[str]) -> list[float]:
        """Ask for all; return how many milliseconds each took."""
        return [milliseconds for _, milliseconds in self._ask(paths)]

    def _ask(self, paths: Sequence[str]) -> list[tuple[bytes, float]]:
        answers: dict[int, tuple[bytes, float]] = {}
        waiting = iter(enumerate(paths))
        lock = threading.Lock()

        def work(line: http.client.HTTPConnection) -> None:
            # The server lets go of lines on which nobody speaks.
            line.close()
            while True:
                with lock:
                    number, path = next(waiting, (-1, ""))
                if number < 0:
                    return
                began = time.perf_counter()
                line.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
                answer = line.getresponse()
                content = answer.read()
                answers[number] = content, 1000 * (time.perf_counter() - began)
                if answer.status != http.HTTPStatus.OK:
                    raise SystemExit(f"{path}: {answer.status} {content[:200]!r}")

        threads = [threading.Thread(target=work, args=(line,)) for line in self._lines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(answers) != len(paths):
            raise SystemExit("the server did not answer")
        return [answers[number] for number in range(len(paths))]


@contextmanager
def served(run: Path) -> Iterator[tuple[int, str]]:
    """Start the server on a run; yield its process and its address."""
    command = [sys.executable, "-m", "slidescore", "review", str(run), "--token", TOKEN, "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = next((line.strip() for line in process.stdout if line.startswith("http")), "")
            if not address:
                raise SystemExit("the server did not start")
            yield process.pid, address
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
