"""Labels are read as QuPath or a table gives them, and every mistake in a file is one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from slidescore.assay import load_assay
from slidescore.errors import InputError
from slidescore.training.labels import Label, LabelledSlide, known_classes, read_labels

A = LabelledSlide("a-00000001", "one/a.svs", 4000, 3000, 0.25)
B = LabelledSlide("b-00000002", "two/b.svs", 4000, 3000, 0.25)
TWIN = LabelledSlide("a-00000003", "two/a.svs", 4000, 3000, 0.25)
CLASSES = known_classes(load_assay("cxcr4").assay.tissue.annotations)


def point(name: str | None, *xy: float, **properties: Any) -> dict[str, Any]:
    pairs = [list(pair) for pair in zip(xy[::2], xy[1::2], strict=True)]
    geometry = {"type": "Point", "coordinates": pairs[0]} if len(pairs) == 1 else {
        "type": "MultiPoint", "coordinates": pairs}  # fmt: skip
    given = {"objectType": "annotation"} | ({"classification": {"name": name}} if name else {}) | properties
    return {"type": "Feature", "geometry": geometry, "properties": given}


def area(name: str, x: float, y: float, side: float) -> dict[str, Any]:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    feature = point(name, 0, 0)
    return feature | {"geometry": {"type": "Polygon", "coordinates": [ring]}}


def geojson(path: Path, *features: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def table(path: Path, *rows: Any, columns: tuple[str, ...] = ("file", "x", "y", "class")) -> Path:
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([columns, *rows])
    return path


def places(labels: list[Label]) -> list[tuple[str, float, float, bool]]:
    return [(label.slide_id, label.x_l0, label.y_l0, label.is_tumor) for label in labels]


def complaint(path: Path, *slides: LabelledSlide) -> str:
    with pytest.raises(InputError) as caught:
        read_labels(path, slides or (A, B), CLASSES)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_points_multipoints_and_small_areas_of_qupath_are_labels(tmp_path):
    path = geojson(
        tmp_path / "a.svs.geojson",
        point("Tumor", 10, 20),
        point("Lymphocyte", 30, 40, 50, 60),
        area("Stroma", 100, 200, 20),
        point(None, 70, 80, classification={"names": ["Tumor", "Positive"]}),
        point("immune CELLS", 90, 10),
        point("Tumor: Negative", 5, 5),
    )
    assert places(read_labels(path, (A, B), CLASSES)) == [
        ("a-00000001", 10, 20, True), ("a-00000001", 30, 40, False), ("a-00000001", 50, 60, False),
        ("a-00000001", 110, 210, False), ("a-00000001", 70, 80, True), ("a-00000001", 90, 10, False),
        ("a-00000001", 5, 5, True),
    ]  # fmt: skip


def test_detections_and_what_is_marked_missing_are_no_labels(tmp_path):
    detection = point("Tumor", 1, 1, objectType="detection")
    missing = point("Tumor", 2, 2, isMissing=True)
    path = geojson(tmp_path / "a.geojson", detection, missing, point("Tumor", 3, 3))
    assert places(read_labels(path, (A,), CLASSES)) == [("a-00000001", 3, 3, True)]
    assert "holds no labels" in complaint(geojson(tmp_path / "a.geojson", detection))


def test_a_folder_holds_one_file_a_slide(tmp_path):
    geojson(tmp_path / "one" / "a.svs.geojson", point("Tumor", 1, 2))
    geojson(tmp_path / "b.geojson", point("Stroma", 3, 4))
    labels = read_labels(tmp_path, (A, B, TWIN), CLASSES)
    assert sorted(places(labels)) == [("a-00000001", 1, 2, True), ("b-00000002", 3, 4, False)]


def test_a_run_of_one_slide_needs_no_name(tmp_path):
    path = geojson(tmp_path / "labels.geojson", point("Tumor", 1, 2))
    assert places(read_labels(path, (A,), CLASSES)) == [("a-00000001", 1, 2, True)]


def test_a_table_names_slides_by_file_or_slide_id(tmp_path):
    path = table(tmp_path / "labels.csv", ("one/a.svs", 1.5, 2, "Tumor"), ("b", "3", "4", "Lymphocyte"))
    assert places(read_labels(path, (A, B), CLASSES)) == [("a-00000001", 1.5, 2, True), ("b-00000002", 3, 4, False)]
    path = table(tmp_path / "ids.csv", ("a-00000003", 1, 2, "tumour"), columns=("slide_id", "x", "y", "class"))
    assert places(read_labels(path, (A, B, TWIN), CLASSES)) == [("a-00000003", 1, 2, True)]


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ([point("Tumro", 1, 2)], "a.geojson feature 1: unknown class 'Tumro' (did you mean 'Tumor'?)"),
        ([point("Tumor", 1, 2), point(None, 1, 2)], "a.geojson feature 2: has no class"),
        ([point("Xyzzy", 1, 2)], "known: Endothelium, "),
        ([point("Tumor", 1, 2, 4001, 5)], "(4001, 5) is outside the slide one/a.svs (4000 x 3000 px)"),
        ([point("Tumor", -1, 5)], "(-1, 5) is outside the slide"),
        ([area("Tumor", 0, 0, 2000)], "Polygon of 250000 um2 marks no single cell"),
        ([area("Tumor", 0, 0, 0)], "marks no single cell"),
        ([point("Tumor", 1, 2) | {"geometry": None}], "has no usable geometry"),
        ([{"type": "Feature", "properties": {"classification": "Tumor"}}], "has no usable geometry"),
        ([], "holds no labels"),
    ],
)
def test_a_mistake_in_a_geojson_file_is_one_line(tmp_path, features, said):
    assert said in complaint(geojson(tmp_path / "a.geojson", *features))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("a.svs", 1, 2, "Tumro"), "labels.csv line 2: unknown class 'Tumro' (did you mean 'Tumor'?)"),
        (("a.svs", 9000, 2, "Tumor"), "labels.csv line 2: (9000, 2) is outside the slide"),
        (("a.svs", "nan", 2, "Tumor"), "is outside the slide"),
        (("a.svs", "here", 2, "Tumor"), "x 'here', y '2' are no numbers"),
        (("a.svs", 1), "are no numbers"),
        (("c.svs", 1, 2, "Tumor"), "the run has no slide 'c.svs'"),
        (("one/a.sv", 1, 2, "Tumor"), "did you mean 'one/a.svs'?"),
        (("", 1, 2, "Tumor"), "the run has no slide ''"),
        (("a.svs", 1, 2, ""), "has no class"),
    ],
)
def test_a_mistake_in_a_table_is_one_line(tmp_path, row, said):
    assert said in complaint(table(tmp_path / "labels.csv", row))


def test_ambiguous_and_strange_files_are_one_line(tmp_path):
    assert "'a' may mean one/a.svs and two/a.svs" in complaint(geojson(tmp_path / "a.geojson"), A, TWIN)
    assert "the run has no slide 'c'" in complaint(geojson(tmp_path / "c.geojson"))
    assert "no such file" in complaint(tmp_path / "gone.csv")
    (tmp_path / "x.txt").touch()
    assert "neither .geojson nor .csv" in complaint(tmp_path / "x.txt")
    (tmp_path / "a.geojson").write_text("{")
    assert "cannot be read as GeoJSON" in complaint(tmp_path / "a.geojson")
    assert "has no column 'class'" in complaint(table(tmp_path / "y.csv", columns=("file", "x", "y")))
    assert "has no column 'slide_id' or 'file'" in complaint(table(tmp_path / "y.csv", columns=("x", "y", "class")))
    (tmp_path / "z.csv").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in complaint(tmp_path / "z.csv")
    (tmp_path / "empty").mkdir()
    assert "holds no .geojson file" in complaint(tmp_path / "empty")
    both = geojson(tmp_path / "both" / "a.svs.geojson").parent
    geojson(both / "a.geojson")
    assert "are labels of the same slide" in complaint(both)
    both_columns = table(tmp_path / "w.csv", ("a-00000001", "two/b.svs", 1, 2, "Tumor"),
                         columns=("slide_id", "file", "x", "y", "class"))  # fmt: skip
    assert "are two slides" in complaint(both_columns)
