"""`slidescore calibrate` as a user meets it: what it prints, and a line for every mistake."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from classical_assay import classical_text
from made_controls import draw_fields, scan_fields, write_controls, write_table
from phantom_scanner import Scanner
from slidescore.assay import load_assay
from slidescore.cli.assay import check
from slidescore.cli.calibrate import calibrate
from slidescore.cli.main import cli
from slidescore.errors import AssayError, InputError

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "calibrate.md").read_text()
SCANNER = Scanner("turned", dab_turn_deg=5.0, turn_azimuth_deg=60.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrate")
    fields = draw_fields({"negative": None, "middle": (0.25, 0.25, 0.25, 0.25)}, seed=3, side_px=640)
    scan_fields(folder / "slides", fields, SCANNER)
    write_controls(folder / "controls.csv", fields, with_shares=False)
    (folder / "base.yaml").write_text(classical_text())
    return folder


def run(folder: Path, *more: str, out: str = "lab-a.yaml") -> Result:
    given = [folder / "slides", "--controls", folder / "controls.csv", "--assay", folder / "base.yaml"]
    given += ["--run", folder / "run", "--out", folder / out, "--workers", "1"]
    return CliRunner().invoke(calibrate, [*map(str, given), *more], standalone_mode=False)


@pytest.fixture(scope="module")
def done(folder: Path) -> Result:
    result = run(folder)
    assert result.exception is None, result.exception
    return result


def test_it_prints_vectors_thresholds_blank_and_where_the_files_are(folder: Path, done: Result) -> None:
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Hematoxylin  ")
    assert lines[0].endswith("1 control")
    assert lines[1].startswith("DAB          ")
    assert "turned 5." in lines[1] or "turned 4." in lines[1]
    assert lines[2] == "Thresholds   kept: 0.2, 0.4, 0.6 OD, cytoplasm"
    assert lines[3] == "Limit of blank not determined: 1 negative control, at least 20."
    assert lines[4] == "The cut-off (h_score cytoplasm >= 150) is PROVISIONAL. Research use only."
    assert lines[5].startswith(f"Assay: {folder / 'lab-a.yaml'} (digest ")
    assert lines[6] == f"Report: {folder / 'lab-a-report' / 'report.html'}"
    assert done.return_value == 0
    assert "warning: no thresholds were fitted: 0 controls have expected percents p0 to p3" in done.stderr


def test_assay_check_takes_the_new_file(folder: Path, done: Result) -> None:
    result = CliRunner().invoke(check, [str(folder / "lab-a.yaml")], standalone_mode=False)
    assert result.exception is None
    assert "valid, assay lab-a, digest" in result.stdout
    assert load_assay(folder / "lab-a.yaml").assay.stains.vectors == "fixed"


def test_the_new_file_is_not_written_over_unless_asked(folder: Path, done: Result) -> None:
    result = run(folder)
    assert isinstance(result.exception, InputError)
    assert "is there already (give another --out, or --overwrite)" in str(result.exception)


def test_a_mistake_in_a_table_is_one_line(folder: Path, tmp_path: Path) -> None:
    controls = write_table(tmp_path / "wrong.csv", ("file", "rolle"), [("negative.tiff", "negative")])
    result = run(folder, "--controls", str(controls), out="other.yaml")
    assert isinstance(result.exception, InputError)
    assert "wrong.csv" in str(result.exception)
    assert "role" in str(result.exception)
    assert not (folder / "other.yaml").exists()


def test_a_base_with_a_missing_key_is_named(folder: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text(classical_text().replace("  dab: [0.27, 0.57, 0.78]\n", ""))
    result = run(folder, "--assay", str(base), out="other.yaml")
    assert isinstance(result.exception, AssayError)


def test_a_missing_annotation_folder_is_named(folder: Path) -> None:
    result = run(folder, "--roi", str(folder / "none"), out="other.yaml")
    assert isinstance(result.exception, InputError)
    assert "--roi" in str(result.exception)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+|\d+", text)]


@pytest.mark.slow
def test_the_example_of_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = PAGE[PAGE.index("## Example") :]
    shutil.copytree(ROOT / "sample_slides", tmp_path / "sample_slides", ignore=shutil.ignore_patterns("*.py", "*.json"))
    (tmp_path / "controls.csv").write_text(re.findall(r"```csv\n(.*?)```", example, re.DOTALL)[0])
    monkeypatch.chdir(tmp_path)
    printed = ""
    commands = re.findall(r"^    slidescore (.*)$", example, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["calibrate", "assay", "rescore"]
    for command in commands:
        result = CliRunner().invoke(cli, command.split(), standalone_mode=False)
        assert result.exception is None, result.exception
        printed += result.stdout
    shown = re.findall(r"```text\n(.*?)```", example, re.DOTALL)[0].splitlines()
    for promised, line in zip(shown, printed.splitlines(), strict=False):
        assert re.sub(r"[\d.]+", "#", promised) == re.sub(r"[\d.]+", "#", line)
        # Another processor may round otherwise.
        assert numbers(line) == pytest.approx(numbers(promised), abs=0.011)
    with (tmp_path / "runs" / "calibrated" / "scores.csv").open(encoding="utf-8", newline="") as handle:
        scores = {row["file"]: float(row["h_score"]) for row in csv.DictReader(handle)}
    said = re.search(r"read H ([\d.]+) and ([\d.]+), drawn", example)
    assert said is not None
    assert scores["phantom_low.tiff"] == pytest.approx(float(said[1]), abs=1)
    assert scores["phantom_high.tiff"] == pytest.approx(float(said[2]), abs=1)
