"""From points on two slides to a rescored run, as a pathologist does it; and one line for every mistake."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from classical_assay import classical_loaded, classical_text
from slidescore.assay import assay_digest, load_tumor_model
from slidescore.cells.table import floats, replace_column
from slidescore.cli.main import cli
from slidescore.errors import AssayError, InputError, RunFolderError, SlidescoreError
from slidescore.pipeline.export import export_run
from slidescore.pipeline.rescore import rescore
from slidescore.report.files import read_json
from slidescore.report.run_folder import RunFolder
from slidescore.scoring.tumor_model import model_probability
from training.made_run import MadeRun, make_run_folder
from training.made_tissue import KINDS, MPP, make_field, pick

LABELLED = ("a.svs", "sub/b.svs")
FILES = (*LABELLED, "c.svs")


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def refused(kind: type[SlidescoreError], *words: str | Path) -> str:
    """The one line that a command ends with."""
    done = invoke(*words)
    assert isinstance(done.exception, kind), done.exception
    line = str(done.exception)
    assert "\n" not in line
    return line


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    fields = {file: make_field(seed) for seed, file in enumerate(FILES)}
    return make_run_folder(tmp_path_factory.mktemp("train") / "run", classical_loaded(), fields)


def labelled_points(run: MadeRun, file: str, n: int = 10) -> list[tuple[float, float, str]]:
    field = run.fields[file]
    x, y = floats(field.cells, "x"), floats(field.cells, "y")
    return [(float(x[row]), float(y[row]), KINDS[field.kind[row]]) for row in pick(field, 1, n, n)]


def write_table(path: Path, run: MadeRun, files: tuple[str, ...] = LABELLED, *more: Any, n: int = 10) -> Path:
    rows = [(file, *point) for file in files for point in labelled_points(run, file, n)]
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([("file", "x", "y", "class"), *rows, *more])
    return path


def write_points(folder: Path, run: MadeRun) -> Path:
    for file in LABELLED:
        features = []
        for kind in KINDS:
            points = [(x, y) for x, y, name in labelled_points(run, file) if name == kind]
            geometry = {"type": "MultiPoint", "coordinates": points}
            properties = {"objectType": "annotation", "classification": {"name": kind}}
            features.append({"type": "Feature", "geometry": geometry, "properties": properties})
        path = folder / f"{file}.geojson"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return folder


@pytest.fixture(scope="module")
def trained(run: MadeRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("model")
    out = folder / "study.json"
    done = invoke("train", "tumor", run.path, "--labels", write_table(folder / "labels.csv", run), "--out", out)
    assert done.exception is None, done.output
    return out, done


def test_it_prints_labels_accuracy_and_what_to_do_next(run, trained):
    out, done = trained
    lines = done.output.splitlines()
    assert lines[0].split() == ["slide", *sorted(KINDS), "no", "cell", "accuracy"]
    a, b = lines[1].split(), lines[2].split()
    assert (a[0], b[0]) == LABELLED
    assert int(a[3]) == int(b[3]) == 10
    report = load_tumor_model(out).cross_validation
    assert (report.scheme, report.n_slides, report.n_tumor, report.n_other) == ("slide", 2, 20, 20)
    assert f"accuracy {report.accuracy:.2f}, AUC {report.auc:.2f}" in done.output
    assert f"Without the model: AUC {report.network_auc:.2f}" in done.output
    assert report.auc > report.network_auc
    assert f"slidescore rescore {run.path} --out {run.path}-tumor --tumor-model {out}" in lines[-1]


def test_points_and_a_table_of_the_same_cells_give_the_same_model(run, trained, tmp_path):
    done = invoke("train", "tumor", run.path, "--labels", write_points(tmp_path / "points", run), "--out",
                  tmp_path / "again.json")  # fmt: skip
    assert done.exception is None
    assert (tmp_path / "again.json").read_bytes() == trained[0].read_bytes()


def test_dab_is_looked_at_only_when_asked_for(run, trained, tmp_path):
    assert not any(name.startswith("dab") for name in load_tumor_model(trained[0]).features)
    labels = write_table(tmp_path / "labels.csv", run)
    invoke("train", "tumor", run.path, "--labels", labels, "--out", tmp_path / "dab.json", "--with-dab")
    assert "dab_od_membrane" in load_tumor_model(tmp_path / "dab.json").features


def scores(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_rescore_counts_the_cells_that_the_model_calls_tumor(run, trained, tmp_path):
    done = invoke("rescore", run.path, "--out", tmp_path / "out", "--tumor-model", trained[0])
    assert done.exception is None, done.output
    model = load_tumor_model(trained[0])
    for row, old in zip(scores(tmp_path / "out"), scores(run.path), strict=True):
        field = run.fields[row["file"]]
        probability = model_probability(field.cells, model, MPP)
        tumor = probability >= 0.5
        assert int(row["n_tumor_cells"]) == tumor.sum() < int(old["n_tumor_cells"])
        kept, dropped = tumor[field.is_tumor].mean(), (~tumor[~field.is_tumor]).mean()
        assert kept + dropped > 1.4
        assert row["h_all_cells"] == old["h_all_cells"]
        assert "tumor_not_identified" not in row["qc_flags"]
        slide = RunFolder(tmp_path / "out").slide(row["slide_id"])
        # What was measured stays what it was, so that another model can be tried on it.
        before = RunFolder(run.path).slide(row["slide_id"]).path / "cells.parquet"
        assert (slide.path / "cells.parquet").read_bytes() == before.read_bytes()
        recorded = read_json(slide.result)["assay"]["tumor_model"]
        assert (recorded["digest"], recorded["cross_validation"]["n_tumor"]) == (model.digest, 20)
    assert {row["assay_digest"] for row in scores(tmp_path / "out")} != {
        row["assay_digest"] for row in scores(run.path)
    }


def test_the_new_run_is_whole_without_the_model_file(run, trained, tmp_path):
    copy = tmp_path / "copy.json"
    copy.write_bytes(trained[0].read_bytes())
    rescore(run.path, tmp_path / "out", tumor_model=copy)
    copy.unlink()
    [row, *_] = scores(tmp_path / "out")
    path = next(iter(export_run(tmp_path / "out", "csv", tmp_path / "csv", only=[row["file"]])))
    with path.open(newline="") as handle:
        classes = [cell["class"] for cell in csv.DictReader(handle)]
    assert classes.count("Tumor") == int(row["n_tumor_cells"])
    # Rescored again without the model, the run is what it was.
    rescore(tmp_path / "out", tmp_path / "back", classical_loaded())
    assert (tmp_path / "back" / "scores.csv").read_bytes() == (run.path / "scores.csv").read_bytes()


def test_the_same_model_through_an_assay_file_gives_the_same_scores(run, trained, tmp_path):
    rescore(run.path, tmp_path / "out", tumor_model=trained[0])
    text = classical_text().replace("  rule: all", "  rule: probability")
    (tmp_path / "study.json").write_bytes(trained[0].read_bytes())
    (tmp_path / "mine.yaml").write_text(text.replace("model: null", "model: study.json"))
    summary = rescore(run.path, tmp_path / "same", str(tmp_path / "mine.yaml"))
    assert summary.rows[0]["assay_digest"] == assay_digest(RunFolder(tmp_path / "out").read_assay())
    assert (tmp_path / "same" / "scores.csv").read_bytes() == (tmp_path / "out" / "scores.csv").read_bytes()


def test_labels_without_a_cell_are_counted_and_the_first_is_named(run, tmp_path):
    cells = run.fields["a.svs"].cells
    centers = np.stack([floats(cells, "x"), floats(cells, "y")], axis=1)
    corner = next(
        (x, y) for x in range(0, 2400, 7) for y in range(0, 2400, 7)
        if np.abs(centers - (x, y)).max(axis=1).min() > 21 and np.hypot(*(centers - (x, y)).T).min() > 21
    )  # fmt: skip
    labels = write_table(tmp_path / "labels.csv", run, LABELLED, ("a.svs", *corner, "Tumor"))
    done = invoke("train", "tumor", run.path, "--labels", labels, "--out", tmp_path / "m.json")
    assert done.exception is None
    assert (
        f"1 labels have no cell within 5 um; the first is labels.csv line 42, 'Tumor' at ({corner[0]}, " in done.output
    )


def test_one_slide_is_enough_and_says_what_it_does_not_prove(run, tmp_path):
    labels = write_table(tmp_path / "labels.csv", run, ("a.svs",), n=20)
    done = invoke("train", "tumor", run.path, "--labels", labels, "--out", tmp_path / "m.json")
    assert done.exception is None
    assert "a new slide will do worse" in done.output
    assert load_tumor_model(tmp_path / "m.json").cross_validation.scheme == "stratified"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("a.svs", 10, 10, "Tumro"), "labels.csv line 42: unknown class 'Tumro' (did you mean 'Tumor'?)"),
        (("a.svs", 2401, 10, "Tumor"), "labels.csv line 42: (2401, 10) is outside the slide a.svs (2400 x 2400 px)"),
        (("d.svs", 10, 10, "Tumor"), "labels.csv line 42: the run has no slide 'd.svs'; did you mean"),
    ],
)
def test_a_wrong_label_is_one_line_and_writes_nothing(run, tmp_path, more, said):
    labels = write_table(tmp_path / "labels.csv", run, LABELLED, more)
    assert said in refused(InputError, "train", "tumor", run.path, "--labels", labels, "--out", tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_too_few_labels_are_one_line(run, tmp_path):
    labels = write_table(tmp_path / "labels.csv", run, ("a.svs",), n=4)
    line = refused(InputError, "train", "tumor", run.path, "--labels", labels, "--out", tmp_path / "m.json")
    assert "only 4 tumor cells are labelled, at least 5 are needed" in line


def test_what_is_no_run_or_no_model_is_one_line(run, trained, tmp_path):
    labels = write_table(tmp_path / "labels.csv", run)
    words = ("--labels", labels, "--out", tmp_path / "m.json")
    assert "is not a run folder" in refused(RunFolderError, "train", "tumor", tmp_path, *words)
    broken = tmp_path / "broken.json"
    broken.write_bytes(trained[0].read_bytes().replace(b'"accuracy": 0.', b'"accuracy": 0.0', 1))
    words = ("rescore", run.path, "--out", tmp_path / "out", "--tumor-model", broken)
    assert "broken.json: is no tumor model: the digest does not fit" in refused(AssayError, *words)
    words = ("rescore", run.path, "--out", tmp_path / "out", "--tumor-model", tmp_path / "gone.json")
    assert "cannot be read" in refused(AssayError, *words)
    assert invoke("rescore", run.path, "--out", tmp_path / "out").exit_code == 2
    assert "ends in .json" in invoke("train", "tumor", run.path, "--labels", labels, "--out", "model.bin").output


def test_a_model_of_another_segmenters_cells_is_refused(run, trained, tmp_path):
    other = make_run_folder(tmp_path / "run", classical_loaded(), {"a.svs": make_field(1, n=200)})
    path = RunFolder(other.path).slide(other.slide_id("a.svs")).result
    for each in (path, other.path / "run.json"):
        each.write_text(each.read_text().replace('"digest": "classical-1"', '"digest": "network-2"'))
    words = ("rescore", other.path, "--out", tmp_path / "out", "--tumor-model", trained[0])
    assert "was trained on cells of segmenter classical-1, and these are of network-2" in refused(AssayError, *words)


def test_a_run_without_network_probabilities_can_be_adapted_too(tmp_path):
    fields = {file: make_field(seed, network=False) for seed, file in enumerate(LABELLED)}
    run = make_run_folder(tmp_path / "run", classical_loaded(), fields)
    labels = write_table(tmp_path / "labels.csv", run)
    done = invoke("train", "tumor", run.path, "--labels", labels, "--out", tmp_path / "m.json")
    assert done.exception is None, done.output
    assert "the segmenter of this run tells no tumor cell from another" in done.output
    rescore(run.path, tmp_path / "out", tumor_model=tmp_path / "m.json")
    stored = pq.read_table(next((tmp_path / "out").rglob("cells.parquet")))
    assert stored.column("tumor_probability").null_count == stored.num_rows
    assert 0 < int(scores(tmp_path / "out")[0]["n_tumor_cells"]) < 900


def test_labels_that_an_annotation_settled_are_left_out_and_counted(tmp_path):
    fields = {file: make_field(seed) for seed, file in enumerate(LABELLED)}
    field = fields["a.svs"]
    rows = pick(field, 1, 10, 10)
    settled = floats(field.cells, "tumor_probability").copy()
    settled[rows[:3]] = 1.0
    cells = replace_column(field.cells, "tumor_probability", pa.array(settled, pa.float32()))
    run = make_run_folder(tmp_path / "run", classical_loaded(), fields | {"a.svs": type(field)(cells, field.kind)})
    labels = write_table(tmp_path / "labels.csv", run)
    done = invoke("train", "tumor", run.path, "--labels", labels, "--out", tmp_path / "m.json")
    assert "3 labels lie in areas whose annotation settles the type already" in done.output
    report = load_tumor_model(tmp_path / "m.json").cross_validation
    assert report.n_tumor + report.n_other == 37


def test_the_command_ends_with_2_and_one_line(run, tmp_path):
    labels = write_table(tmp_path / "labels.csv", run, LABELLED, ("a.svs", 10, 10, "Tumro"))
    words = ("train", "tumor", str(run.path), "--labels", str(labels), "--out", str(tmp_path / "m.json"))
    done = subprocess.run([sys.executable, "-m", "slidescore", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("slidescore: error: labels.csv line 42: unknown class 'Tumro'")
    assert len(done.stderr.splitlines()) == 1
