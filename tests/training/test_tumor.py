"""From a run and labels to a model file: what is gathered, what is refused, and that nothing else is touched."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from classical_assay import classical_loaded
from slidescore.assay import left_digest, load_tumor_model
from slidescore.cells.table import floats, replace_column
from slidescore.errors import InputError
from slidescore.report.run_folder import RunFolder
from slidescore.training.tumor import train_tumor
from training.made_run import MadeRun, make_run_folder
from training.made_tissue import KINDS, Field, make_field, pick

LOADED = classical_loaded()
FILES = ("a.svs", "b.svs")


def labels_of(path: Path, fields: dict[str, Field], n: int = 10) -> Path:
    rows: list[tuple[object, ...]] = [("file", "x", "y", "class")]
    for file, field in fields.items():
        x, y = floats(field.cells, "x"), floats(field.cells, "y")
        rows += [(file, x[row], y[row], KINDS[field.kind[row]]) for row in pick(field, 1, n, n)]
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    return path


@pytest.fixture(scope="module")
def fields() -> dict[str, Field]:
    return {file: make_field(seed) for seed, file in enumerate(FILES)}


@pytest.fixture(scope="module")
def run(fields, tmp_path_factory) -> MadeRun:
    return make_run_folder(tmp_path_factory.mktemp("tumor") / "run", LOADED, fields)


def test_the_model_is_written_with_what_measured_its_cells_and_the_run_is_untouched(run, fields, tmp_path):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    trained = train_tumor(run.path, labels_of(tmp_path / "l.csv", fields), tmp_path / "m.json")
    assert load_tumor_model(tmp_path / "m.json") == trained.model
    assert (trained.model.left_digest, trained.model.segmenter_digest) == (left_digest(LOADED.assay), "classical-1")
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    assert [slide.file for slide in trained.slides] == list(FILES)
    assert sum(n for slide in trained.slides for n in slide.classes.values()) == 40
    weights = [sum(slide.classes.values()) for slide in trained.slides]
    accuracy = np.average([slide.accuracy or 0.0 for slide in trained.slides], weights=weights)
    assert accuracy == pytest.approx(trained.model.cross_validation.accuracy)


def test_the_order_of_the_labels_changes_no_byte(run, fields, tmp_path):
    path = labels_of(tmp_path / "l.csv", fields)
    train_tumor(run.path, path, tmp_path / "m.json")
    head, *lines = path.read_text().splitlines(keepends=True)
    (tmp_path / "back.csv").write_text(head + "".join(reversed(lines)))
    train_tumor(run.path, tmp_path / "back.csv", tmp_path / "back.json")
    assert (tmp_path / "back.json").read_bytes() == (tmp_path / "m.json").read_bytes()


def test_what_annotations_settled_teaches_nothing(fields, tmp_path):
    # Whole areas drawn as Tumor around the labels of that kind: the answer must not reach the model.
    drawn = {}
    for file, field in fields.items():
        rows = pick(field, 1, 10, 10)
        probability = floats(field.cells, "tumor_probability").copy()
        probability[rows[field.is_tumor[rows]][:4]] = 1.0
        column = pa.array(probability, pa.float32())
        drawn[file] = Field(replace_column(field.cells, "tumor_probability", column), field.kind)
    run = make_run_folder(tmp_path / "run", LOADED, drawn)
    trained = train_tumor(run.path, labels_of(tmp_path / "l.csv", drawn), tmp_path / "m.json")
    assert [slide.n_settled for slide in trained.slides] == [4, 4]
    assert trained.model.cross_validation.n_tumor == 12


def test_slides_that_were_measured_in_two_ways_are_refused(fields, tmp_path):
    run = make_run_folder(tmp_path / "run", LOADED, fields)
    path = RunFolder(run.path).slide(run.slide_id("b.svs")).result
    path.write_text(path.read_text().replace('"left_digest": "', '"left_digest": "f'))
    with pytest.raises(InputError, match="measured in different ways"):
        train_tumor(run.path, labels_of(tmp_path / "l.csv", fields), tmp_path / "m.json")


def test_too_few_labels_name_those_without_a_cell(run, fields, tmp_path):
    path = labels_of(tmp_path / "l.csv", fields, 2)
    with path.open("a") as handle:
        handle.write("a.svs,0,0,Tumor\n")
    with pytest.raises(InputError, match=r"only 4 tumor cells .*; 1 labels have no cell near, .* l.csv line 10"):
        train_tumor(run.path, path, tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()
