"""Every way to spoil a slide, in every format, once: through the program as a user runs it."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from classical_assay import classical_text
from faults.mutators import MUTATORS
from faults.outcomes import NO_SCORE, REFUSED, SAME, SILENT, SPOKEN, Change, judge, read_change
from faults.slides import FORMATS, SUFFIXES, Mutant, Whole, plan_mutants, write_whole

SEED = 11
N_MUTANTS = sum(len(MUTATORS[form]) for form in FORMATS)
SCORE = [sys.executable, "-m", "slidescore", "score"]

Row = dict[str, str]


@dataclass(frozen=True)
class Campaign:
    mutants: list[Mutant]
    rows: dict[str, Row]
    listed_rows: dict[str, Row]
    changes: dict[str, Change | None]
    folder: Path

    def outcome(self, mutant: Mutant) -> str:
        whole_row = self.rows[f"whole_{mutant.whole.format}/slide.{SUFFIXES[mutant.whole.format]}"]
        return judge(self.rows[mutant.file], whole_row, self.changes[mutant.name])

    def of_kind(self, kind: str) -> dict[str, str]:
        return {mutant.whole.format: self.outcome(mutant) for mutant in self.mutants if mutant.kind == kind}


def score(folder: Path, run: Path, assay: Path, *options: str) -> dict[str, Row]:
    """Score a folder; exactly one row a slide, and an exit code that says that some failed."""
    command = [*SCORE, str(folder), "--out", str(run), "--assay", str(assay), "--workers", "2"]
    done = subprocess.run([*command, "--overlay-mpp", "none", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    with (run / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_file = {row["file"]: row for row in rows}
    assert len(by_file) == len(rows)
    return by_file


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    folder = tmp_path_factory.mktemp("campaign")
    (folder / "classical.yaml").write_text(classical_text(), encoding="utf-8")
    wholes: list[Whole] = [write_whole(folder, form, SEED) for form in FORMATS]
    mutants = plan_mutants(wholes, N_MUTANTS, SEED)
    slides, lines = folder / "slides", []
    paths = {mutant.name: mutant.write(slides) for mutant in mutants}
    for name, whole in [(f"whole_{whole.format}", whole) for whole in wholes]:
        (slides / name).mkdir()
        for number, content in enumerate(whole.contents):
            (slides / name / _file(whole, number)).write_bytes(content)
    for name, whole in [*((m.name, m.whole) for m in mutants), *((f"whole_{w.format}", w) for w in wholes)]:
        for number, content in enumerate(whole.contents):
            lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}/{_file(whole, number)}\n")
    (folder / "manifest.sha256").write_text("".join(lines), encoding="utf-8")
    rows = score(slides, folder / "run", folder / "classical.yaml")
    listed = score(slides, folder / "listed", folder / "classical.yaml", "--checksums", str(folder / "manifest.sha256"))
    changes = {mutant.name: read_change(paths[mutant.name], mutant.whole) for mutant in mutants}
    return Campaign(mutants, rows, listed, changes, folder)


def _file(whole: Whole, number: int) -> str:
    return f"slide.{SUFFIXES[whole.format]}" if number == 0 else "slide1.dcm"


def test_every_slide_has_one_row_and_no_process_ended(campaign: Campaign) -> None:
    assert {mutant.file for mutant in campaign.mutants} <= set(campaign.rows)
    for row in [*campaign.rows.values(), *campaign.listed_rows.values()]:
        assert "crashed" not in row["reason"]
        assert "timeout" not in row["reason"]
        assert "internal" not in row["reason"]
        assert bool(row["reason"]) == (row["status"] != "scored")
        assert bool(row["h_score"]) == (row["status"] == "scored")


def test_whole_slides_are_scored_with_and_without_a_manifest(campaign: Campaign) -> None:
    for form in FORMATS:
        file = f"whole_{form}/slide.{SUFFIXES[form]}"
        row, listed = campaign.rows[file], campaign.listed_rows[file]
        assert row["status"] == "scored"
        assert row | {"slide_id": ""} == listed | {"slide_id": ""}
        for run, status in (("run", "unverified"), ("listed", "verified")):
            folder = campaign.folder / run / "slides" / row["slide_id"]
            integrity = json.loads((folder / "result.json").read_text(encoding="utf-8"))["integrity"]
            assert (integrity["status"], integrity["remarks"]) == (status, [])
            assert integrity["levels"]["n_tiles_differ"] == integrity["levels"]["n_glass_differ"] == 0
            assert integrity["levels"]["verdict"] == ("one level" if form in ("png", "jpeg") else "compared")
            page = (folder / "report.html").read_text(encoding="utf-8")
            assert ("integrity unverified" in page) == (status == "unverified")
    for run, unverified in (("run", True), ("listed", False)):
        page = (campaign.folder / run / "report.html").read_text(encoding="utf-8")
        assert ("integrity unverified" in page) == unverified


def test_with_a_manifest_nothing_is_silent_and_no_reader_opens_a_changed_file(campaign: Campaign) -> None:
    for mutant in campaign.mutants:
        row = campaign.listed_rows[mutant.file]
        assert row["status"] == "failed"
        assert "SHA-256" in row["reason"]


def test_without_a_manifest_most_gross_changes_are_seen(campaign: Campaign) -> None:
    outcomes = {mutant.name: campaign.outcome(mutant) for mutant in campaign.mutants}
    silent = [name for name, outcome in outcomes.items() if outcome == SILENT]
    gross = [name for name in silent if (change := campaign.changes[name]) is not None and change.gross]
    spoken = sum(outcome in SPOKEN for outcome in outcomes.values())
    # A bit of a plain JPEG has no witness; the share of 70 % is measured by `make torture`, on many.
    assert len(gross) <= 2, gross
    assert spoken >= 0.6 * len(outcomes)


@pytest.mark.parametrize("kind", ["huge claim", "no mpp"])
def test_what_cannot_be_true_or_is_not_said_is_refused(campaign: Campaign, kind: str) -> None:
    assert set(campaign.of_kind(kind).values()) == {REFUSED}


def test_what_is_not_there_is_never_scored(campaign: Campaign) -> None:
    for kind in ("truncated", "zeroed table", "missing tiles"):
        assert set(campaign.of_kind(kind).values()) <= {REFUSED, NO_SCORE, SAME}, kind
    assert campaign.of_kind("missing tiles")["svs"] == NO_SCORE


def test_no_changed_byte_of_a_png_becomes_a_pixel(campaign: Campaign) -> None:
    for kind in ("bit in data", "bit in structure", "lost block", "random bytes", "truncated"):
        assert campaign.of_kind(kind)["png"] == REFUSED
