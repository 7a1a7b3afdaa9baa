"""Reviews as tables and QuPath objects, from made-up events and folds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
import shapely
from shapely.geometry import shape

from classical_assay import classical_assay
from report.made_cells import scattered_cells
from slidescore.annotations import load_annotations
from slidescore.assay.left_of_wall import Annotations
from slidescore.audit.events import NO_DIGEST, Event, Kind
from slidescore.audit.export import (
    EVENT_COLUMNS,
    LABEL_COLUMNS,
    READING_COLUMNS,
    event_rows,
    label_rows,
    reading_rows,
    review_features,
)
from slidescore.audit.reviewed import ReviewSubject
from slidescore.audit.state import CellPlaces, ReviewRegion, SlideReview, fold_review
from slidescore.cells.table import floats, pack_outlines, replace_column
from slidescore.report.export_geojson import cell_uuid
from slidescore.scoring import Corrections, Coverage, no_corrections

ASSAY = classical_assay()
N = 40
SLIDE = "a-01234567"
FILES = {SLIDE: "sub/a.svs"}
CROSSED = ((0.0, 0.0), (100.0, 100.0), (100.0, 0.0), (0.0, 100.0))
"""A bow tie: two triangles that meet in the middle."""


def make_subject(cells: pa.Table) -> ReviewSubject:
    n = cells.num_rows
    counted, control = np.ones(n, np.bool_), np.zeros(n, np.bool_)
    places = CellPlaces(floats(cells, "x").astype(float), floats(cells, "y").astype(float), counted, control)
    bins, tumor = np.zeros(n, np.int8), np.ones(n, np.int8)
    return ReviewSubject(SLIDE, "d", cells, places, bins, tumor, ASSAY, Coverage(1.0, 1.0, 0, 0, 0), "", 0.5, 7)


def make_review(corrections: Corrections, **changes: Any) -> SlideReview:
    places = make_subject(scattered_cells(len(corrections.bins), 900, 900)).places
    return replace(fold_review((), SLIDE, "d", places), corrections=corrections, **changes)


def event(seq: int, kind: Kind, slide_id: str = SLIDE, **payload: Any) -> Event:
    utc = f"2026-03-0{seq}T10:00:00+00:00"
    return Event(seq, utc, "A. Reader", slide_id, "d", kind, {"reason": "", **payload}, NO_DIGEST, f"{seq:064x}")


def told(seq: int, *, active: bool = True, applies: bool = True) -> dict[str, Any]:
    return {"seq": seq, "active": active, "applies": applies}


def test_every_act_is_a_row_that_says_what_was_set_and_what_was_there() -> None:
    events = [
        event(1, "cells", cells="5-9,12", set={"bin": 2}, old="0*4,2,1", reason="too pale"),
        event(2, "region", role="exclude", polygon=[[0.0, 0.0], [9.5, 0.0], [0.0, 9.5]], n_cells=3, old="1*3"),
        event(3, "undo", of=1),
        event(4, "verdict", state="overridden", call="LOW", old={"state": "open", "call": None},
              reviewed={"h_score": 120.5, "call": "HIGH"}, reason="folded"),
        event(5, "comment", text="two\nlines, \"quoted\""),
        event(6, "comment", "gone-00000000", text="of a slide without a result"),
    ]  # fmt: skip
    history = (told(1, active=False), told(2), told(3), told(4), told(5, applies=False))
    review = make_review(no_corrections(N), history=history)
    rows = list(event_rows(events, {SLIDE: review}, FILES))
    assert all(tuple(row) == EVENT_COLUMNS for row in rows)
    assert [(row["n_cells"], row["cells"], row["old"]) for row in rows[:3]] == [
        (6, "5-9,12", "0*4,2,1"), (3, None, "1*3"), (None, None, None),
    ]  # fmt: skip
    assert [json.loads(row["set"]) for row in rows] == [
        {"bin": 2},
        {"role": "exclude", "polygon": [[0.0, 0.0], [9.5, 0.0], [0.0, 9.5]]},
        {"of": 1},
        {"state": "overridden", "call": "LOW"},
        {"text": 'two\nlines, "quoted"'},
        {"text": "of a slide without a result"},
    ]
    assert json.loads(rows[3]["old"]) == {"state": "open", "call": None}
    assert [(row["active"], row["applies"]) for row in rows] == [
        ("no", "yes"), ("yes", "yes"), ("yes", "yes"), ("yes", "yes"), ("yes", "no"), (None, "no"),
    ]  # fmt: skip
    signed = [(row["h_score"], row["call"]) for row in rows]
    assert signed == [*[(None, None)] * 3, (120.5, "HIGH"), *[(None, None)] * 2]
    assert [row["reason"] for row in rows] == ["too pale", None, None, "folded", None, None]
    assert [row["file"] for row in rows] == ["sub/a.svs"] * 5 + [None]


def test_readings_are_rows_of_their_own() -> None:
    events = [
        event(1, "reading", h_score=120.0, text=""),
        event(2, "reading", percent_positive=7.5, text="pale"),
        event(3, "comment", text="no reading"),
        event(4, "reading", bins=[40.0, 30.0, 20.0, 10.0], text=""),
        event(5, "reading", intensity=2, text=""),
    ]
    rows = list(reading_rows(events, FILES))
    assert all(set(row) == set(READING_COLUMNS) for row in rows)
    filled = ["h_score", "percent_positive", "p0", "p1", "p2", "p3", "intensity"]
    assert [{name: row[name] for name in filled if row[name] is not None} for row in rows] == [
        {"h_score": 120.0},
        {"percent_positive": 7.5},
        {"p0": 40.0, "p1": 30.0, "p2": 20.0, "p3": 10.0},
        {"intensity": 2},
    ]
    assert {(row["reader"], row["file"]) for row in rows} == {("A. Reader", "sub/a.svs")}
    assert [row["note"] for row in rows] == ["", "pale", "", ""]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1"])
def test_what_a_spreadsheet_takes_for_a_formula_is_text(text: str) -> None:
    files = {SLIDE: f"{text}.svs"}
    acts = [
        replace(event(1, "comment", text="x", reason=text), reviewer=text),
        replace(event(2, "reading", h_score=1.0, text=""), reviewer=text),
    ]
    row = next(event_rows(acts, {}, files))
    assert (row["reviewer"], row["file"], row["reason"]) == (f"'{text}", f"'{text}.svs", f"'{text}")
    [reading] = reading_rows(acts, files)
    assert (reading["reader"], reading["file"]) == (f"'{text}", f"'{text}.svs")


def test_labels_are_the_cells_whose_tumor_state_was_set() -> None:
    cells = scattered_cells(N, 900, 900)
    said = no_corrections(N)
    said.tumor[[3, 7]] = 1, 0
    said.bins[5] = 2
    said.counted[6] = 0
    rows = list(label_rows(make_subject(cells), make_review(said)))
    assert [tuple(row) for row in rows] == [LABEL_COLUMNS] * 2
    x, y = floats(cells, "x"), floats(cells, "y")
    assert [tuple(row.values()) for row in rows] == [
        (SLIDE, float(x[3]), float(y[3]), "Tumor"),
        (SLIDE, float(x[7]), float(y[7]), "Other"),
    ]


def test_the_label_of_a_bent_nucleus_lies_in_it() -> None:
    cells = scattered_cells(N, 900, 900)
    crescent = np.array([(-9, -9), (9, -9), (9, -6), (-6, -6), (-6, 6), (9, 6), (9, 9), (-9, 9)], np.int16)
    cells = replace_column(cells, "nucleus_outline", pack_outlines([crescent] * N))
    said = no_corrections(N)
    said.tumor[4] = 1
    [row] = label_rows(make_subject(cells), make_review(said))
    center = np.array([floats(cells, "x")[4], floats(cells, "y")[4]], np.float64)
    nucleus = shapely.Polygon(crescent + center)
    assert not shapely.contains_xy(nucleus, *center)
    assert shapely.contains_xy(nucleus, row["x"], row["y"])


def region(seq: int, role: Any, polygon: tuple[tuple[float, float], ...] = CROSSED) -> ReviewRegion:
    return ReviewRegion(seq, role, polygon, "A. Reader", "a fold")


def test_corrected_cells_are_detections_with_both_bins() -> None:
    cells = scattered_cells(N, 900, 900)
    said = no_corrections(N)
    said.bins[[2, 4]] = 3
    said.tumor[[3, 5]] = 0, 1
    said.counted[[4, 8]] = 0
    subject = make_subject(cells)
    features = list(review_features(subject, make_review(said), ASSAY.tissue.annotations))
    assert orjson.loads(orjson.dumps(features, option=orjson.OPT_SERIALIZE_NUMPY))
    shown = [(f["properties"]["metadata"]["cell_id"], f["properties"]["classification"]["names"]) for f in features]
    # Cell 8 lies in an excluded region, and nobody said anything of the cell itself.
    assert shown == [("2", ["Tumor", "3+"]), ("3", ["Other"]), ("4", ["Ignore*"]), ("5", ["Tumor", "Negative"])]
    assert features[0]["properties"]["measurements"] == {
        "Automatic: bin": 0, "Automatic: tumor": 1, "Reviewed: bin": 3, "Reviewed: tumor": 1,
    }  # fmt: skip
    assert features[0]["id"] == cell_uuid(SLIDE, 2)
    for feature in features:
        row = int(feature["properties"]["metadata"]["cell_id"])
        assert shape(feature["geometry"]).contains(shapely.Point(floats(cells, "x")[row], floats(cells, "y")[row]))


def write_features(path: Path, roles: Annotations, *regions: ReviewRegion) -> Path:
    review = make_review(no_corrections(N), regions=regions)
    features = list(review_features(make_subject(scattered_cells(N, 900, 900)), review, roles))
    path.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_regions_are_annotations_that_the_assay_reads(tmp_path: Path) -> None:
    roles = ASSAY.tissue.annotations
    square = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0))
    path = write_features(tmp_path / "a.geojson", roles, region(3, "include", square), region(5, "exclude"))
    areas = load_annotations(path, roles).areas
    assert [(area.role, area.name) for area in areas] == [("include", ""), ("exclude", "")]
    assert areas[0].geometry.area == pytest.approx(100)
    # Of the bow tie both triangles, by the rule that says which cells a region holds.
    assert areas[1].geometry.area == pytest.approx(5000)
    assert shapely.contains_xy(areas[1].geometry, [90, 10, 50, 50], [50, 50, 90, 10]).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_a_region_takes_the_name_that_the_assay_has_for_its_role(tmp_path: Path) -> None:
    roles = ASSAY.tissue.annotations.model_copy(update={"include": ("Core",), "exclude": ()})
    content = json.loads(write_features(tmp_path / "a", roles, region(1, "include"), region(2, "exclude")).read_text())
    classes = [feature["properties"]["classification"]["names"] for feature in content["features"]]
    assert classes == [["Core"], ["Exclude"]]
    assert content["features"][0]["properties"]["metadata"] == {
        "review": "1", "reviewer": "A. Reader", "reason": "a fold",
    }  # fmt: skip
