"""Changed bytes of a run, and what verify says: `python benchmarks/changed_bytes.py --write docs/trust.md`.

A drawn slide is scored. In every file one random byte at a time is changed, taken away or added,
and the files are held against their digests. Then numbers are changed together with every digest, as a forger would who
knows how, and the scores are computed again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from page_tables import publish_tables

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import phantom as ph
from classical_assay import classical_loaded
from slidescore.pipeline.cohort import RunOptions, score_directory
from slidescore.pipeline.verify import verify_run
from slidescore.pipeline.verify_files import check_files
from slidescore.report.digests import SEAL, seal, write_digests
from slidescore.report.files import read_json, write_bytes

NUMBERS = (
    "h_score", "percent_positive", "n_cells", "n_tumor_cells", "n0", "n1", "n2", "n3", "n_fallback", "h_nucleus",
    "h_cytoplasm", "h_membrane", "h_cell", "h_all_cells", "tissue_mm2", "scored_mm2",
)  # fmt: skip
"""Columns of scores.csv that a forger changes."""


def main() -> None:
    """Change bytes and numbers, and print or write the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", type=Path, help="page to put the table into")
    options.add_argument("--changes", type=int, default=400, help="changed bytes a file")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        run = score_one(Path(place))
        lines = ["| changed | changes | noticed |", "|---|---|---|"]
        for kind, paths in files_by_kind(run).items():
            changes = noticed = 0
            for path in paths:
                done, seen = spoil(run, path, given.changes)
                changes, noticed = changes + done, noticed + seen
            lines.append(f"| a byte of {kind} | {changes:,} | {noticed:,} |")
        forged, caught = forge(run)
        lines.append(f"| a number of scores.csv and result.json, with all digests | {forged} | {caught} |")
    publish_tables({"changed bytes": lines}, given.write)


def score_one(place: Path) -> Path:
    """Score one drawn slide."""
    field = ph.draw_phantom(ph.crowded_spec(31, n_cells=250, tissue="irregular", tissue_fraction=0.7))
    (place / "in").mkdir()
    ph.write_pyramid(place / "in" / "field.tiff", field.rgb, field.mpp, levels=(1, 4))
    score_directory(place / "in", place / "run", classical_loaded(), options=RunOptions(workers=1))
    return place / "run"


def files_by_kind(run: Path) -> dict[str, list[Path]]:
    """Group the files of a run by name; a page of a run and one of a slide are of one kind."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        kinds.setdefault(path.name, []).append(path)
    return dict(sorted(kinds.items()))


def spoil(run: Path, path: Path, n: int) -> tuple[int, int]:
    """Change a file n times, by one byte each time; return changes and how many were noticed under the file's name."""
    whole, noticed = path.read_bytes(), 0
    name = path.relative_to(run).as_posix()
    rng = np.random.default_rng(len(whole))
    for changed in changes_of(whole, n, rng):
        path.write_bytes(changed)
        noticed += any(line.startswith(f"{name}: ") for line in check_files(run).differences)
    path.write_bytes(whole)
    return n, noticed


def changes_of(whole: bytes, n: int, rng: np.random.Generator) -> Iterator[bytes]:
    """Yield a file with one byte changed (four times in six), taken away, or added."""
    for number in range(n):
        at = int(rng.integers(0, len(whole)))
        if number % 6 == 0:
            yield whole[:at] + whole[at + 1 :]
        elif number % 6 == 1:
            yield whole[:at] + bytes([int(rng.integers(0, 256))]) + whole[at:]
        else:
            yield whole[:at] + bytes([whole[at] ^ int(rng.integers(1, 256))]) + whole[at + 1 :]


def forge(run: Path) -> tuple[int, int]:
    """Change a number at a time in both, with all digests; return how many were changed and how many showed."""
    [result] = run.glob("slides/*/result.json")
    table, whole, record = run / "scores.csv", result.read_bytes(), read_json(result)
    rows, caught = table.read_text(encoding="utf-8"), 0
    header, line = rows.splitlines()
    for name in NUMBERS:
        value = record["scores"][name]
        scores = record["scores"] | {name: value + 1}
        forged = {key: part for key, part in record.items() if key != SEAL} | {"scores": scores}
        write_bytes(result, seal(forged))
        cells = line.split(",")
        cells[header.split(",").index(name)] = f"{value + 1:.7g}"
        table.write_text(f"{header}\n{','.join(cells)}\n", encoding="utf-8")
        write_digests(run)
        caught += any(f"scores.{name} is" in said for said in verify_run(run).differences)
    write_bytes(result, whole)
    table.write_text(rows, encoding="utf-8")
    return len(NUMBERS), caught


if __name__ == "__main__":
    main()
