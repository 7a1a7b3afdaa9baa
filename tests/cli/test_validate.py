"""`slidescore validate` as a user meets it: from readings of the review to a report, and one line for every mistake."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from classical_assay import classical_loaded
from pipeline.made_reviews import act
from slidescore.audit.log import LOG_FILE
from slidescore.cli import main as command_line
from slidescore.cli.main import cli
from slidescore.errors import SlidescoreError
from slidescore.pipeline.rescore import rescore
from training.made_run import make_run_folder
from training.made_tissue import make_field

FILES = ("a.svs", "sub/b.svs", "c.svs")
IDS = [f"{Path(file).stem}-{number:08x}" for number, file in enumerate(FILES)]


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], standalone_mode=False)


def refused(*words: str | Path) -> str:
    """The one line that a wrong command ends with; its exit code is 2."""
    error = invoke(*words).exception
    assert isinstance(error, SlidescoreError), error
    assert command_line._exit_code(error) == command_line.EXIT_USAGE
    assert "\n" not in str(error)
    return str(error)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides of two patients, two of them read blind."""
    place = tmp_path_factory.mktemp("validate")
    made = make_run_folder(place / "made", classical_loaded(), {file: make_field(n) for n, file in enumerate(FILES)})
    (place / "patients.csv").write_text("file,patient_id\na.svs,P1\nsub/b.svs,P2\nc.svs,P2\n")
    rescore(made.path, place / "run", patients=place / "patients.csv")
    for slide_id, bins in zip(IDS, ([40, 30, 20, 10], [100, 0, 0, 0]), strict=False):
        act(place / "run", slide_id, "reading", bins=bins, reason="")
    return place / "run"


@pytest.fixture
def readings(run: Path, tmp_path: Path) -> Path:
    """What the reader gave, as the review exports it."""
    done = invoke("review", "export", run, "--to", "readings", "--out", tmp_path / "readings.csv")
    assert done.exception is None, done.output
    return tmp_path / "readings.csv"


def test_from_blind_readings_to_a_report(run: Path, readings: Path, tmp_path: Path) -> None:
    done = invoke("validate", run, "--readers", readings, "--out", tmp_path / "out", "--cutoff", "60")
    assert (done.exception, done.return_value or 0) == (None, 0), done.output
    assert f"Report: {tmp_path / 'out/report.html'}" in done.output
    assert "machine / A. Reader" in done.output
    assert "H-score cytoplasm ≥ 60" in done.output
    assert "Without an interval: 2 patients, an interval needs 10." in done.output
    assert "Slides in no comparison, or not in all: 1; tables/left_out.csv says why." in done.output
    scores = {row["slide_id"]: row for row in rows_of(run / "scores.csv")}
    slides = {row["slide_id"]: row for row in rows_of(tmp_path / "out/tables/per_slide.csv")}
    assert float(slides[IDS[0]]["h_score: machine"]) == pytest.approx(float(scores[IDS[0]]["h_score"]), rel=1e-6)
    assert [slides[slide_id]["h_score: A. Reader"] for slide_id in IDS] == ["100", "0", ""]
    assert slides[IDS[0]]["patient_id"] == "P1"
    assert rows_of(tmp_path / "out/tables/left_out.csv")[0]["reason"] == "read by nobody"
    again = refused("validate", run, "--readers", readings, "--out", tmp_path / "out")
    assert again.endswith("holds a report already (give a new folder, or --overwrite)")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("a.svs", "aa.svs", "row 2, column 'file': no slide 'aa.svs' (did you mean 'a.svs'?)"),
        (
            ",40,30,20,10,",
            ",40,30,20,20,",
            "row 2, column 'p0': p0 to p3 add up to 110, not to 100 (they may miss it by",
        ),
        (",40,30,20,10,", ",140,30,20,10,", "row 2, column 'p0': 140 is not between 0 and 100"),
        (
            ",,,100,0,0,0,",
            ",0,,,,,,",
            "row 3, column 'h_score': mixed scales: this row gives h_score, row 2 gives p0 to p3",
        ),
        ("percent_positive", "precent_positive", "row 1: unknown column 'precent_positive' (did you mean 'percent_pos"),
    ],
)
def test_a_mistake_in_the_table_is_one_line(
    run: Path, readings: Path, tmp_path: Path, old: str, new: str, line: str
) -> None:
    text = readings.read_text()
    assert old in text
    readings.write_text(text.replace(old, new, 1))
    if new == "aa.svs":
        readings.write_text(readings.read_text().replace(IDS[0], "", 1))
    said = refused("validate", run, "--readers", readings, "--out", tmp_path / "out")
    assert said.startswith(f"{readings}, {line}")
    assert not (tmp_path / "out").exists()


def test_other_mistakes_are_one_line_too(run: Path, readings: Path, tmp_path: Path) -> None:
    def refusal(of: Path, *more: str) -> str:
        return refused("validate", of, "--readers", readings, "--out", tmp_path / "out", *more)

    assert refusal(run, "--cutoff", "301") == "--cutoff: 301 is outside the h_score scale (0 to 300)"
    assert "is not a run folder" in refusal(tmp_path)
    spoilt = Path(shutil.copytree(run, tmp_path / "spoilt", ignore=shutil.ignore_patterns(f"{LOG_FILE}*")))
    (spoilt / "scores.csv").write_text("slide_id\n")
    assert "was changed since it was written" in refusal(spoilt)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    assert "holds notes.txt, which is no part of a report" in refusal(run)
