"""Spoilt slides by the hundred: `python benchmarks/torture.py --count 1000 --write docs/trust.md`, or `make torture`.

Small phantoms in five formats are spoilt in ten ways (tests/faults/mutators.py) and scored in batches as a user would,
with and without a manifest of checksums. Each outcome is held against the pixels of the whole slide, and against what
OpenSlide or Pillow alone make of the same file. A batch that is done is kept in --work: the same command goes on.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from page_tables import publish_tables

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from classical_assay import classical_text
from faults.outcomes import FLAGGED, NO_SCORE, REFUSED, SAME, SILENT, SPOKEN, judge, read_change
from faults.slides import FORMATS, SUFFIXES, Mutant, Whole, plan_mutants, write_whole
from slidescore.slide import find_slides

ROOT = Path(__file__).resolve().parent.parent
SCORE = [sys.executable, "-m", "slidescore", "score"]
TIMEOUT_S = 120
OUTCOMES = (REFUSED, NO_SCORE, FLAGGED, SAME, SILENT)
BARE = ("ends the process", "hangs", "raises", "same", "wrong", "grossly wrong")
HEADS = {
    REFUSED: "refused",
    NO_SCORE: "read, no score",
    FLAGGED: "scored, flagged",
    SAME: "scored, pixels right",
    SILENT: "scored, pixels wrong, nothing said",
}

Record = dict[str, Any]


def score(slides: Path, run: Path, assay: Path, *options: str) -> tuple[int, dict[str, dict[str, str]], float]:
    """Score a folder; return exit code, rows by file, seconds."""
    command = [*SCORE, str(slides), "--out", str(run), "--assay", str(assay), "--overlay-mpp", "none", "--workers", "2"]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--timeout", str(TIMEOUT_S), *options], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode not in (0, 3):
        raise SystemExit(f"score ended with exit code {done.returncode}: {done.stderr[-2000:]}")
    with (run / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_file = {row["file"]: row for row in rows}
    expected = sorted(slide.file for slide in find_slides([slides]))
    if sorted(row["file"] for row in rows) != expected:
        raise SystemExit(f"{len(rows)} rows for {len(expected)} slides")
    return done.returncode, by_file, seconds


def read_bare(jobs: Sequence[dict[str, str]], work: Path) -> dict[str, str]:
    """Read slides with the readers alone, in children, each going on after the slide that ended the one before it."""
    outcomes: dict[str, str] = {}
    script, plan = Path(__file__).with_name("bare_readers.py"), work / "bare.json"
    while rest := [job for job in jobs if job["path"] not in outcomes]:
        plan.write_text(json.dumps(rest), encoding="utf-8")
        done = subprocess.run([sys.executable, str(script), str(plan)], capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            answer = json.loads(line)
            outcomes[answer["path"]] = answer["outcome"]
        unread = [job for job in rest if job["path"] not in outcomes]
        if unread:
            outcomes[unread[0]["path"]] = "hangs" if done.returncode == -14 else "ends the process"
    return outcomes


def run_batch(wholes: Sequence[Whole], mutants: Sequence[Mutant], assay: Path, work: Path) -> Record:
    """Write, score and judge a batch of spoilt slides, the whole ones among them."""
    slides = work / "slides"
    paths = [mutant.write(slides) for mutant in mutants]
    for whole in wholes:
        _write_again(slides, whole)
    code, rows, seconds = score(slides, work / "run", assay)
    whole_rows = {whole.format: rows[_whole_file(whole)] for whole in wholes}
    for form, row in whole_rows.items():
        if row["status"] != "scored":
            raise SystemExit(f"the whole {form} slide has no score: {row['reason']}")
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {mutant.name}/{name}\n"
        for mutant in mutants
        for name, content in zip((Path(mutant.file).name, "slide1.dcm"), mutant.whole.contents, strict=False)
    )
    (work / "manifest.sha256").write_text(sums, encoding="utf-8")
    options = ("--checksums", str(work / "manifest.sha256"))
    listed_code, listed_rows, listed_seconds = score(slides, work / "listed", assay, *options)
    for whole in wholes:
        np.save(work / f"{whole.format}.npy", whole.rgba)
    jobs = [
        {"path": str(path), "format": mutant.whole.format, "truth": str(work / f"{mutant.whole.format}.npy")}
        for mutant, path in zip(mutants, paths, strict=True)
    ]
    bare = read_bare(jobs, work)
    records = []
    for mutant, path in zip(mutants, paths, strict=True):
        row, change = rows[mutant.file], read_change(path, mutant.whole)
        records.append(
            {
                "format": mutant.whole.format,
                "kind": mutant.kind,
                "file": mutant.number,
                "seed": list(mutant.seed),
                "outcome": judge(row, whole_rows[mutant.whole.format], change),
                "n_changed": None if change is None else change.n_pixels,
                "gross": change is not None and change.gross,
                "bare": bare[str(path)],
                "status": row["status"],
                "reason": row["reason"],
                "flags": row["qc_flags"],
                "listed": judge(listed_rows[mutant.file], whole_rows[mutant.whole.format], change),
            }
        )
    return {"records": records, "codes": [code, listed_code], "seconds": [seconds, listed_seconds]}


def campaign(count: int, size: int, seed: int, keep: Path) -> list[Record]:
    """Run the batches that are not done, each on a phantom of its own; return all of them."""
    keep.mkdir(parents=True, exist_ok=True)
    batches = []
    for first in range(0, count, size):
        n_mutants = min(size, count - first)
        path = keep / f"seed{seed}-{first:05d}-{first + n_mutants:05d}.json"
        if not path.is_file():
            with tempfile.TemporaryDirectory() as folder:
                work = Path(folder)
                assay = work / "classical.yaml"
                assay.write_text(classical_text(), encoding="utf-8")
                (work / "wholes").mkdir()
                phantom_seed = 1_000 * seed + first // size
                wholes = [write_whole(work / "wholes", form, phantom_seed) for form in FORMATS]
                mutants = plan_mutants(wholes, n_mutants, phantom_seed)
                batch = run_batch(wholes, mutants, assay, work)
            unfinished = path.with_suffix(".tmp")
            unfinished.write_text(json.dumps(batch), encoding="utf-8")
            unfinished.replace(path)
        batches.append(json.loads(path.read_text(encoding="utf-8")))
        found = Counter(record["outcome"] for record in batches[-1]["records"])
        print(f"{path.name}: {', '.join(f'{n} {name}' for name, n in found.most_common())}", flush=True)
    return batches


def _whole_file(whole: Whole) -> str:
    return f"whole_{whole.format}/slide.{SUFFIXES[whole.format]}"


def _write_again(folder: Path, whole: Whole) -> None:
    for number, content in enumerate(whole.contents):
        path = folder / _whole_file(whole)
        path.parent.mkdir(parents=True, exist_ok=True)
        (path if number == 0 else path.with_name("slide1.dcm")).write_bytes(content)


def tables(batches: Sequence[Record]) -> Iterator[tuple[str, list[str]]]:
    """Yield the tables of the page."""
    records = [record for batch in batches for record in batch["records"]]
    yield "torture totals", _totals(batches, records)
    yield "torture formats", _outcome_rows(records, "format", "format")
    yield "torture kinds", _outcome_rows(records, "kind", "fault")
    lines = ["| the reader alone | files | slidescore speaks | pixels right | silent |", "|---|---|---|---|---|"]
    for name in BARE:
        those = [record for record in records if record["bare"] == name]
        spoken = sum(record["outcome"] in SPOKEN for record in those)
        same = sum(record["outcome"] == SAME for record in those)
        lines.append(f"| {name} | {len(those)} | {spoken} | {same} | {len(those) - spoken - same} |")
    yield "torture readers", lines


def _totals(batches: Sequence[Record], records: Sequence[Record]) -> list[str]:
    gross = [record for record in records if record["gross"] or record["bare"] == "grossly wrong"]
    spoken = sum(record["outcome"] in SPOKEN for record in gross)
    reasons = [record["reason"] or "" for record in records]
    codes = sorted({code for batch in batches for code in batch["codes"]})
    share = f"{100 * spoken / len(gross):.0f} %" if gross else ""
    return [
        "| | |",
        "|---|---|",
        f"| spoilt slides, formats | {len(records):,}, {len({record['format'] for record in records})} |",
        f"| batches, exit codes | {len(batches)}, {' and '.join(map(str, codes))} |",
        "| batches that crashed, slides without exactly one row (the script stops at the first) | 0 |",
        f"| slides whose process ended; that were given up after {TIMEOUT_S} s | "
        f"{sum('crashed' in reason for reason in reasons)}; {sum('timeout' in reason for reason in reasons)} |",
        f"| slides of which more than 2,000 pixels would be read wrongly | {len(gross)} |",
        f"| of these refused, without a score, or flagged, without a manifest | {spoken} ({share}) |",
        f"| silent with a manifest | {sum(record['listed'] not in SPOKEN for record in records)} |",
    ]


def _outcome_rows(records: Sequence[Record], field: str, head: str) -> list[str]:
    lines = [
        f"| {head} | files | {' | '.join(HEADS[each] for each in OUTCOMES)} | of these gross |",
        "|---" * (len(OUTCOMES) + 3) + "|",
    ]
    names = list(dict.fromkeys(sorted(record[field] for record in records)))
    for name in [*names, "all"]:
        those = [record for record in records if name in ("all", record[field])]
        found = Counter(record["outcome"] for record in those)
        gross = sum(record["outcome"] == SILENT and record["gross"] for record in those)
        counts = " | ".join(str(found[each]) for each in OUTCOMES)
        lines.append(f"| {name} | {len(those)} | {counts} | {gross} |")
    return lines


def main() -> None:
    """Run the campaign, print its tables, and write them into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="spoilt slides")
    parser.add_argument("--batch", type=int, default=100, help="spoilt slides a run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "torture", help="where finished batches are kept")
    parser.add_argument("--write", type=Path, help="page to write the tables into")
    arguments = parser.parse_args()
    batches = campaign(arguments.count, arguments.batch, arguments.seed, arguments.work)
    publish_tables(dict(tables(batches)), arguments.write)
    minutes = sum(sum(batch["seconds"]) for batch in batches) / 60
    print(f"\n{minutes:.1f} minutes of scoring")


if __name__ == "__main__":
    main()
