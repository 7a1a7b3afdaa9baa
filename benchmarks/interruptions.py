"""Runs stopped at random moments and on full disks: `python benchmarks/interruptions.py --write docs/trust.md`.

Every run is stopped once, looked at for files that are not whole, and resumed; the resumed run is compared with one
that nothing happened to, byte for byte, and the tiles that it says it took over with those that the stopped one kept.
Disks that are full are small ones of memory, for which one must be root on Linux; elsewhere that row is left out.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from page_tables import publish_tables

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import phantom as ph
from classical_assay import classical_assay
from faults.interrupted import (
    Stoppable,
    data_of,
    draw_stoppable,
    finish,
    kept_tiles,
    results_of,
    rows_of,
    start,
    torn_files,
)
from slidescore.pipeline.analysis import analyze_slide
from slidescore.pipeline.journal import TileJournal
from slidescore.slide import ArrayReader

BEFORE_IT_IS_A_RUN = 0.1
"""Share of the stops that fall before run.json is there."""
COST_SIDE_PX = 2200
"""Side of the drawn slide on which the cost of keeping tiles is measured, with tiles of the shipped size."""
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143}
NAMES = {signal.SIGKILL: "kill -9", signal.SIGTERM: "SIGTERM"}


@dataclass
class Tally:
    """What a kind of stop came to."""

    what: str
    stops: int = 0
    as_documented: int = 0
    torn: int = 0
    slides_done: int = 0
    kept: int = 0
    taken_over: int = 0
    identical: int = 0

    def row(self) -> str:
        """Return the row of the table."""
        return (
            f"| {self.what} | {self.stops} | {self.as_documented} | {self.torn} | {self.slides_done} | {self.kept} | "
            f"{self.taken_over} | {self.identical} |"
        )


HEAD = [
    "| stopped by | times | exit code and message as documented | files not whole | slides finished before "
    "| finished tiles kept | of these taken over | resumed runs identical |",
    "|---" * 8 + "|",
]


def run_whole(case: Stoppable, out: Path) -> tuple[dict[str, bytes], float, float]:
    """Run undisturbed; data files, seconds until it is a run, and seconds from then to the end."""
    begun = time.monotonic()
    run = start(case.command(out, "--workers", "2"))
    while not (out / "run.json").exists():
        time.sleep(0.005)
    is_run = time.monotonic()
    code, said = finish(run)
    if code != 0:
        raise SystemExit(f"the undisturbed run failed: {said}")
    return data_of(out), is_run - begun, time.monotonic() - is_run


def look_and_resume(case: Stoppable, out: Path, whole: dict[str, bytes], tally: Tally) -> None:
    """Count what a stopped run left, resume it, and compare."""
    tally.stops += 1
    torn = torn_files(out) if out.exists() else []
    torn += [str(path) for path in results_of(out) if path.read_bytes() != whole[path.relative_to(out).as_posix()]]
    tally.torn += len(torn)
    tally.slides_done += len(results_of(out))
    kept = kept_tiles(out)
    tally.kept += sum(kept.values())
    code, said = finish(start(case.command(out, "--workers", "2")))
    if code == 0 and data_of(out) == whole:
        tally.identical += 1
        resumed = {row["slide_id"]: int(row["tiles_resumed"]) for row in rows_of(out, "timings.csv")}
        tally.taken_over += sum(resumed[slide_id] for slide_id in kept)
    else:
        print(f"{tally.what}: code {code}, {said[-2:]}", file=sys.stderr)


def stop_by_signal(
    case: Stoppable,
    folder: Path,
    whole: dict[str, bytes],
    seconds: list[float],
    number: int,
    rng: random.Random,
) -> Iterator[Tally]:
    """Stop runs with a signal, each at a random moment of its own; yield the tally after each."""
    tally = Tally(NAMES[number])
    while True:
        out = folder / "run"
        run = start(case.command(out, "--workers", "2"))
        if rng.random() < BEFORE_IT_IS_A_RUN:
            time.sleep(rng.uniform(0.0, seconds[0]))
        else:
            while not (out / "run.json").exists():
                time.sleep(0.002)
            time.sleep(rng.uniform(0.0, seconds[1]))
        over = run.poll() is not None
        run.send_signal(number)
        code, said = finish(run)
        if not over:
            # Before Python is up, SIGTERM ends it in the system's own way.
            told = number == signal.SIGKILL or (not said and code == -number) or "same command again" in said[-1]
            tally.as_documented += told and code in (CODES[number], -number)
            look_and_resume(case, out, whole, tally)
            yield tally
        shutil.rmtree(out, ignore_errors=True)


@contextmanager
def disk(place: Path, size_kb: int) -> Iterator[None]:
    """Mount a disk of memory."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "none", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def stop_by_full_disk(case: Stoppable, folder: Path, whole: dict[str, bytes], rng: random.Random) -> Iterator[Tally]:
    """Stop runs on disks of random sizes, too small for the run; yield the tally after each."""
    tally = Tally("disk full")
    total_kb = sum(map(len, whole.values())) // 1024
    place = folder / "disk"
    while True:
        with disk(place, rng.randint(4, total_kb)):
            out = place / "run"
            code, said = finish(start(case.command(out, "--workers", "2")))
            last = said[-1] if said else ""
            tally.as_documented += code == 2 and last.startswith(f"slidescore: error: {out}") and "No space" in last
            subprocess.run(["mount", "-o", "remount,size=256m", str(place)], check=True)
            look_and_resume(case, out, whole, tally)
        yield tally


def second_run(case: Stoppable, folder: Path) -> list[str]:
    """Start a second run beside the first; what it says, and what it takes."""
    out = folder / "held"
    first = start(case.command(out, "--workers", "2"))
    while not (out / "run.json").exists():
        time.sleep(0.002)
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    code, _ = finish(start(case.plain_command(out)))
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    first.kill()
    first.communicate()
    return [
        "| second run on one folder | |",
        "|---|---|",
        f"| exit code | {code} |",
        f"| seconds of the clock | {seconds:.2f} |",
        f"| seconds of processor time | {spent:.2f} |",
    ]


class _Timed(TileJournal):
    """A journal that knows what it cost."""

    spent_s = 0.0

    def flush(self) -> None:
        begun = time.process_time()
        super().flush()
        self.spent_s += time.process_time() - begun


def journal_cost(folder: Path) -> list[str]:
    """Measure what keeping the finished tiles of a slide costs in processor time, and what they take."""
    assay = classical_assay()
    field = ph.draw_phantom(ph.slide_spec(60, mpp=0.5, side_px=COST_SIDE_PX, tissue_fraction=0.7))
    journal = _Timed(folder / "journal", {}, seconds=0.0)
    begun = time.process_time()
    analysis = analyze_slide(lambda: ArrayReader(field.rgb, mpp=0.5), assay, journal=journal)
    seconds = time.process_time() - begun
    size = sum(path.stat().st_size for path in (folder / "journal").iterdir())
    return [
        "| keeping finished tiles, each at once | |",
        "|---|---|",
        f"| tiles, cells | {analysis.tiles.num_rows}, {analysis.cells.num_rows:,} |",
        f"| share of the slide's processor time | {100 * journal.spent_s / seconds:.2f} % |",
        f"| bytes a cell | {size / max(1, analysis.cells.num_rows):.0f} |",
    ]


def main() -> None:
    """Stop and resume; print the tables, and write them into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--terms", type=int, default=10)
    parser.add_argument("--full-disks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="page to write the tables into")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = draw_stoppable(folder, n_slides=3)
        whole, *seconds = run_whole(case, folder / "whole")
        kinds = [
            (arguments.kills, stop_by_signal(case, folder, whole, seconds, signal.SIGKILL, rng)),
            (arguments.terms, stop_by_signal(case, folder, whole, seconds, signal.SIGTERM, rng)),
        ]
        if sys.platform == "linux" and os.geteuid() == 0:
            kinds.append((arguments.full_disks, stop_by_full_disk(case, folder, whole, rng)))
        rows = []
        for times, stops in kinds:
            tally = Tally("nothing")
            for _ in range(times):
                tally = next(stops)
                print(f"{time.monotonic() - begun:.0f} s {tally}", file=sys.stderr, flush=True)
            stops.close()
            rows += [tally.row()] if times else []
        tables = {
            "interruptions": [*HEAD, *rows],
            "second run": second_run(case, folder),
            "journal": journal_cost(folder),
        }
    publish_tables(tables, arguments.write)


if __name__ == "__main__":
    main()
