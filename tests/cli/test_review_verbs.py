"""`slidescore review` as a user meets it: serve by default, check, export; from corrected cells to a tumor model."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from classical_assay import classical_loaded, classical_text
from pipeline.made_reviews import act
from slidescore.annotations import load_annotations
from slidescore.assay import load_tumor_model
from slidescore.audit.export import EVENT_COLUMNS, READING_COLUMNS
from slidescore.audit.log import LOG_FILE, ReviewLog
from slidescore.cli import main as command_line
from slidescore.cli.main import cli
from slidescore.errors import SlidescoreError
from slidescore.report.run_folder import RunFolder
from training.made_run import MadeRun, make_run_folder
from training.made_tissue import make_field, pick

FILES = ("a.svs", "sub/b.svs", "c.svs")
A, B, C = (f"{Path(file).stem}-{number:08x}" for number, file in enumerate(FILES))
KINDS = ("csv", "geojson", "labels", "readings")


def invoke(*words: str | Path) -> Result:
    """Run a command as `main` does: an error comes through, and what a command returns is its exit code."""
    return CliRunner().invoke(cli, [str(word) for word in words], standalone_mode=False)


def done_well(*words: str | Path) -> Result:
    done = invoke(*words)
    assert (done.exception, done.return_value or 0) == (None, 0), done.output
    return done


def refused(*words: str | Path) -> str:
    """The one line that a wrong command ends with; its exit code is 2."""
    error = invoke(*words).exception
    if isinstance(error, SlidescoreError):
        assert command_line._exit_code(error) == command_line.EXIT_USAGE
        line = str(error)
    else:
        assert isinstance(error, click.ClickException), error
        line = error.format_message()
    assert "\n" not in line
    return line


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    fields = {file: make_field(seed) for seed, file in enumerate(FILES)}
    return make_run_folder(tmp_path_factory.mktemp("verbs") / "run", classical_loaded(), fields)


@pytest.fixture(scope="module")
def reviewed(made: MadeRun) -> Path:
    """Two slides on which cells of both kinds were set to what they are, and some other acts."""
    for slide_id, file in ((A, FILES[0]), (B, FILES[1])):
        field = made.fields[file]
        rows = pick(field, 1, 12, 12)
        for tumor in (True, False):
            act(made.path, slide_id, "cells", cells=rows[field.is_tumor[rows] == tumor].tolist(), tumor=tumor)
    act(made.path, B, "cells", cells=[1, 2, 3], bin=3, reviewer="B. Reader")
    act(made.path, B, "undo", of=5, reviewer="B. Reader", reason="")
    act(made.path, A, "region", role="exclude", polygon=[[0, 0], [400, 0], [400, 400]], reason="a fold")
    act(made.path, A, "region", role="include", polygon=[[400, 400], [900, 400], [900, 900]], reason="no fold")
    act(made.path, A, "verdict", state="accepted", reason="after correction")
    act(made.path, C, "reading", bins=[40, 30, 20, 10], reviewer="C. Reader", reason="")
    return made.path


@pytest.fixture
def copy(reviewed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(reviewed, tmp_path / "copy"))


# ---- the group ----


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int | None]]:
    """What the serving command was called with; it has a file of its own."""
    calls: list[tuple[str, int | None]] = []

    @click.command()
    @click.argument("run")
    @click.option("--port", type=int)
    def serve(run: str, port: int | None) -> None:
        """Serve a run."""
        calls.append((run, port))

    monkeypatch.setitem(sys.modules, "slidescore.cli.review_serve", SimpleNamespace(serve=serve))
    return calls


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (("RUN",), ("RUN", None)),
        (("RUN", "--port", "8000"), ("RUN", 8000)),
        (("--port", "8000", "RUN"), ("RUN", 8000)),
        (("serve", "RUN"), ("RUN", None)),
        (("./verify",), ("./verify", None)),
        (("--", "-run"), ("-run", None)),
    ],
)
def test_a_first_word_that_is_no_command_is_a_run(
    served: list[tuple[str, int | None]], words: tuple[str, ...], call: tuple[str, int | None]
) -> None:
    done_well("review", *words)
    assert served == [call]


def test_help_names_the_commands(served: list[tuple[str, int | None]]) -> None:
    said = done_well("review", "--help").output
    assert all(name in said for name in ("serve", "verify", "export", "review RUN"))
    assert "--port" in invoke("review", "RUN", "--help").output
    assert "Usage" in str(invoke("review").exception)
    assert served == []


# ---- verify ----


def test_an_untouched_log_verifies(reviewed: Path) -> None:
    done = done_well("review", "verify", reviewed)
    head = ReviewLog(reviewed / LOG_FILE).read()[-1].digest
    assert done.stdout == f"10 reviews looked at: all are as they were made.\nSHA-256 of the last: {head}\n"


def test_every_changed_byte_of_the_log_is_found(copy: Path) -> None:
    log = copy / LOG_FILE
    whole, rng = log.read_bytes(), np.random.default_rng(5)
    for at in (18, len(whole) // 2, *rng.integers(0, len(whole), 12).tolist(), len(whole) - 1):
        changed = bytearray(whole)
        changed[at] ^= 1
        log.write_bytes(changed)
        done = invoke("review", "verify", copy)
        assert done.return_value == command_line.EXIT_SOME_FAILED, (at, done.output, done.exception)
        assert done.stdout.splitlines()[0].startswith(f"{LOG_FILE}: ")


def test_exit_codes_are_those_of_the_process(copy: Path) -> None:
    command = [sys.executable, "-m", "slidescore", "review", "verify"]
    assert subprocess.run([*command, str(copy)], capture_output=True, check=False).returncode == 0
    (copy / LOG_FILE).write_bytes((copy / LOG_FILE).read_bytes() + b"x")
    assert subprocess.run([*command, str(copy)], capture_output=True, check=False).returncode == 3
    done = subprocess.run([*command, str(copy / "slides")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_reviews_of_other_results_are_a_note(copy: Path) -> None:
    shutil.rmtree(copy / "slides" / A)
    done = done_well("review", "verify", copy)
    assert done.stderr == "note: 5 reviews are about other results than those of this run: not applied\n"


# ---- export ----


def exported(run: Path, kind: str, out: Path) -> list[Path]:
    done = done_well("review", "export", run, "--to", kind, "--out", out)
    return [Path(line) for line in done.stdout.splitlines()]


def test_the_table_of_acts_tells_who_did_what_and_what_holds(reviewed: Path, tmp_path: Path) -> None:
    [path] = exported(reviewed, "csv", tmp_path / "new" / "reviews.csv")
    rows, events = rows_of(path), ReviewLog(reviewed / LOG_FILE).read()
    assert path == tmp_path / "new" / "reviews.csv"
    assert tuple(rows[0]) == EVENT_COLUMNS
    assert [(row["digest"], row["utc"], row["reviewer"]) for row in rows] == [
        (event.digest, event.utc, event.reviewer) for event in events
    ]
    assert [row["kind"] for row in rows] == [*["cells"] * 5, "undo", "region", "region", "verdict", "reading"]
    assert {row["applies"] for row in rows} == {"yes"}
    assert [row["seq"] for row in rows if row["active"] == "no"] == ["5"]
    assert (rows[4]["cells"], rows[4]["n_cells"], rows[4]["set"]) == ("1-3", "3", '{"bin":3}')
    assert int(rows[6]["n_cells"]) > 10
    assert [row["file"] for row in rows] == ["a.svs"] * 2 + ["sub/b.svs"] * 4 + ["a.svs"] * 3 + ["c.svs"]


def test_readings_are_a_table(reviewed: Path, tmp_path: Path) -> None:
    [row] = rows_of(exported(reviewed, "readings", tmp_path / "readings.csv")[0])
    assert tuple(row) == READING_COLUMNS
    assert (row["slide_id"], row["reader"], row["p0"], row["p3"], row["h_score"]) == (C, "C. Reader", "40", "10", "")


def test_geojson_loads_as_annotations_and_as_objects(reviewed: Path, tmp_path: Path) -> None:
    paths = exported(reviewed, "geojson", tmp_path / "qupath")
    assert [path.name for path in paths] == [f"{A}.geojson", f"{B}.geojson"]
    features = json.loads(paths[0].read_text())["features"]
    kinds = [feature["properties"]["objectType"] for feature in features]
    assert (kinds.count("annotation"), kinds.count("detection")) == (2, 24)
    roles = RunFolder(reviewed).read_assay().tissue.annotations
    assert [area.role for area in load_annotations(paths[0], roles).areas] == ["exclude", "include"]


def test_corrected_cells_train_a_tumor_model_that_rescores_the_run(
    made: MadeRun, reviewed: Path, tmp_path: Path
) -> None:
    """The loop: correct, write out, train, rescore."""
    [labels] = exported(reviewed, "labels", tmp_path / "labels.csv")
    rows = rows_of(labels)
    assert {(row["slide_id"], row["class"]) for row in rows} == {
        (slide_id, name) for slide_id in (A, B) for name in ("Tumor", "Other")
    }
    assert len(rows) == 48
    trained = done_well("train", "tumor", reviewed, "--labels", labels, "--out", tmp_path / "m.json")
    assert "no cell within" not in trained.output
    assert load_tumor_model(tmp_path / "m.json").cross_validation.n_tumor == 24
    done_well("rescore", reviewed, "--out", tmp_path / "new", "--tumor-model", tmp_path / "m.json")
    old, new = (rows_of(path / "scores.csv") for path in (reviewed, tmp_path / "new"))
    # The labels said that only part of the cells are tumor cells, and the rule learned it.
    assert all(int(b["n_tumor_cells"]) < int(a["n_tumor_cells"]) for a, b in zip(old, new, strict=True))
    assert "needs the run's own assay" in refused(
        "rescore", reviewed, "--out", tmp_path / "x", "--tumor-model", tmp_path / "m.json", "--with-reviews"
    )


# ---- what is refused ----


def other_assay(folder: Path) -> Path:
    path = folder / "other.yaml"
    path.write_text(classical_text().replace("[0.2, 0.4, 0.6]", "[0.15, 0.4, 0.6]"))
    return path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("review", "verify", "nowhere"), "is not a run folder"),
        (("review", "verify", "PLAIN"), f"holds no {LOG_FILE} (review it: 'slidescore review RUN')"),
        (("review", "export", "PLAIN", "--to", "csv", "--out", "OUT/a.csv"), f"holds no {LOG_FILE}"),
        (("review", "export", "nowhere", "--to", "csv", "--out", "OUT/a.csv"), "is not a run folder"),
        (("review", "export", "RUN", "--to", "xml", "--out", "OUT/a.csv"), "--to xml: no such export; known: csv, "),
        (("review", "export", "RUN", "--to", "label", "--out", "OUT/a.csv"), "did you mean 'labels'?"),
        (("review", "export", "RUN", "--to", "csv", "--out", "OUT/there.csv"), "exists already (give another name"),
        (("review", "export", "RUN", "--to", "csv", "--out", "OUT/there"), "ends in .csv"),
        (("review", "export", "RUN", "--to", "labels", "--out", "OUT/a.txt"), "ends in .csv"),
        (("review", "export", "RUN", "--to", "csv", "--out", "RUN/a.csv"), "lies in the run"),
        (("review", "export", "RUN", "--to", "geojson", "--out", "RUN/exports"), "lies in the run"),
        (("review", "export", "RUN", "--to", "geojson", "--out", "OUT/there.csv"), "is a file, and geojson needs a f"),
        (("review", "export", "RUN", "--to", "geojson", "--out", "OUT/there"), f"{B}.geojson: exists already"),
        (("review", "export", "RUN", "--to", "csv"), "Missing option '--out'"),
        (("rescore", "PLAIN", "--out", "OUT/new", "--with-reviews"), f"holds no {LOG_FILE}"),
        (("rescore", "RUN", "--out", "OUT/new", "--with-reviews", "--assay", "OTHER"), "needs the run's own assay"),
        (("rescore", "RUN", "--out", "OUT/new"), "give --assay, --tumor-model, --patients or --with-reviews"),
        (("rescore", "RUN", "--out", "RUN", "--with-reviews"), "is the run itself"),
    ],
)
def test_a_wrong_command_is_one_line(
    reviewed: Path, tmp_path: Path, words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    (out / "there").mkdir(parents=True)
    (out / "there.csv").write_text("mine")
    (out / "there" / f"{B}.geojson").write_text("mine")
    plain = Path(shutil.copytree(reviewed, tmp_path / "plain"))
    (plain / LOG_FILE).unlink()
    before = sorted(out.rglob("*"))
    places = {"RUN": reviewed, "PLAIN": plain, "OUT": out, "OTHER": other_assay(tmp_path)}
    real = [str(places[word.split("/")[0]]) + word[len(word.split("/")[0]) :] if word.split("/")[0] in places else word
            for word in words]  # fmt: skip
    assert said in refused(*real)
    assert sorted(out.rglob("*")) == before
    assert (out / "there.csv").read_text() == "mine"


def test_nothing_to_write_is_said(made: MadeRun, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made.path, tmp_path / "run"))
    (run / LOG_FILE).unlink(missing_ok=True)
    act(run, A, "comment", text="nothing to correct", reason="")
    for kind in ("labels", "readings", "geojson"):
        out = tmp_path / f"{kind}.csv"
        assert "the reviews hold no " in refused("review", "export", run, "--to", kind, "--out", out)
        assert not out.exists()


def test_a_damaged_log_is_one_line(copy: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(copy / LOG_FILE)) as connection, connection:
        connection.execute("DROP TRIGGER events_hold")
        connection.execute("UPDATE events SET reviewer = 'D. Reader' WHERE seq = 1")
    for kind in KINDS:
        assert LOG_FILE in refused("review", "export", copy, "--to", kind, "--out", tmp_path / "out.csv")
    assert "see 'slidescore review verify'" in refused("rescore", copy, "--out", tmp_path / "new", "--with-reviews")
    assert not (tmp_path / "new").exists()


def test_edits_of_another_result_are_not_exported(copy: Path, tmp_path: Path) -> None:
    done_well("rescore", copy, "--out", tmp_path / "new", "--assay", other_assay(tmp_path))
    shutil.copy(copy / LOG_FILE, tmp_path / "new" / LOG_FILE)
    for kind in ("labels", "geojson"):
        said = refused("review", "export", tmp_path / "new", "--to", kind, "--out", tmp_path / f"{kind}.csv")
        assert "the reviews hold no " in said
    rows = rows_of(exported(tmp_path / "new", "csv", tmp_path / "all.csv")[0])
    assert {row["applies"] for row in rows} == {"no"}
    # A reader looked at the slide, not at a result.
    assert len(rows_of(exported(tmp_path / "new", "readings", tmp_path / "readings.csv")[0])) == 1


def test_the_same_reviews_give_the_same_bytes(reviewed: Path, tmp_path: Path) -> None:
    for kind in KINDS:
        first, again = (
            [path.read_bytes() for path in exported(reviewed, kind, tmp_path / name / "out.csv")] for name in "ab"
        )
        assert first == again
        shutil.rmtree(tmp_path / "a")
        shutil.rmtree(tmp_path / "b")


def test_a_rescore_with_reviews_says_what_it_found(reviewed: Path, tmp_path: Path) -> None:
    done = done_well("rescore", reviewed, "--out", tmp_path / "new", "--with-reviews")
    assert "Reviews: of 2 of 3 slides; scores.csv and report have the reviewed scores." in done.stdout
    assert "warning" not in done.stderr
    verified = done_well("verify", tmp_path / "new")
    assert f"note: {LOG_FILE} holds 10 reviews; SHA-256 of the last: " in verified.stderr
    again = done_well("review", "verify", tmp_path / "new")
    assert again.stdout == done_well("review", "verify", reviewed).stdout
