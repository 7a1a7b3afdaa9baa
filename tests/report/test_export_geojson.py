from __future__ import annotations

import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import shape

from classical_assay import classical_assay
from report.made_cells import BIN_OD, make_cells, scattered_cells
from slidescore.report.export_geojson import Outlines, export_geojson

ASSAY = classical_assay()


def exported(cells: pa.Table, folder: Path, **options: Any) -> list[dict[str, Any]]:
    path = folder / "cells.geojson"
    export_geojson(cells, ASSAY, path, slide_id="a-01234567", **options)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["type"] == "FeatureCollection"
    features: list[dict[str, Any]] = document["features"]
    return features


def test_classes_are_qupaths(tmp_path: Path) -> None:
    cells = make_cells([(k * 100, 50) for k in range(5)], [*BIN_OD, 0.9], tumor=[0.9] * 4 + [0.0])
    features = exported(cells, tmp_path)
    classes = [feature["properties"]["classification"] for feature in features]
    assert [c["names"] for c in classes] == [
        ["Tumor", "Negative"], ["Tumor", "1+"], ["Tumor", "2+"], ["Tumor", "3+"], ["Other"],
    ]  # fmt: skip
    assert [c["color"] for c in classes] == [
        [90, 90, 180], [255, 215, 0], [225, 150, 50], [200, 50, 50], [154, 154, 154],
    ]  # fmt: skip
    assert {feature["properties"]["objectType"] for feature in features} == {"detection"}


def test_polygons_lie_at_their_place_in_level_0_px(tmp_path: Path) -> None:
    (feature,) = exported(make_cells([(100.5, 50.25)], [0.5], half=8), tmp_path)
    polygon = shape(feature["geometry"])
    assert polygon.bounds == (92.5, 42.25, 108.5, 58.25)
    (nucleus,) = exported(make_cells([(100.5, 50.25)], [0.5], half=8), tmp_path, outlines="nucleus")
    assert shape(nucleus["geometry"]).bounds == (96.5, 46.25, 104.5, 54.25)


def test_measurements_have_qupaths_names(tmp_path: Path) -> None:
    (feature,) = exported(make_cells([(100, 50)], [0.5]), tmp_path)
    assert feature["properties"]["measurements"] == {
        "Nucleus: Area µm^2": 40.0,
        "Cell: Area µm^2": 160.0,
        "Nucleus: Eccentricity": 0.5,
        "Nucleus: Hematoxylin OD mean": 0.25,
        "Nucleus: DAB OD mean": 0.5,
        "Cytoplasm: DAB OD mean": 0.5,
        "Membrane: DAB OD 75th percentile": 0.5,
        "Cell: DAB OD mean": 0.5,
    }


def test_cells_with_nuclei_are_qupath_cells(tmp_path: Path) -> None:
    (feature,) = exported(make_cells([(100, 50)], [0.5]), tmp_path, outlines="both")
    assert feature["properties"]["objectType"] == "cell"
    assert shape(feature["geometry"]).contains(shape(feature["nucleusGeometry"]))


def test_points(tmp_path: Path) -> None:
    (feature,) = exported(make_cells([(100.123, 50)], [0.5]), tmp_path, outlines="point")
    assert feature["geometry"] == {"type": "Point", "coordinates": [100.12, 50.0]}


def test_excluded_cells_are_left_out_or_ignored(tmp_path: Path) -> None:
    cells = make_cells([(100, 50), (200, 50)], [0.5, 0.5], excluded=["out of focus", None], region=[None, "A1"])
    (kept,) = exported(cells, tmp_path)
    assert kept["properties"]["metadata"] == {"cell_id": "1", "region": "A1"}
    ignored, _ = exported(cells, tmp_path, include_excluded=True)
    assert ignored["properties"]["classification"]["names"] == ["Ignore*"]
    assert ignored["properties"]["metadata"]["excluded"] == "out of focus"


def test_ids_are_uuids_of_their_own_that_last(tmp_path: Path) -> None:
    cells = scattered_cells(50, 1000, 1000)
    ids = [feature["id"] for feature in exported(cells, tmp_path)]
    assert len(set(ids)) == 50
    assert all(str(uuid.UUID(text)) == text for text in ids)
    assert ids == [feature["id"] for feature in exported(cells, tmp_path, outlines="nucleus")]
    # Written down, so that no later version gives a cell another id.
    assert ids[0] == "bf6143cd-b8e4-57ce-9cdf-ccd4aca669f9"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=0, max_size=12),
        min_size=1,
        max_size=6,
    )
)
def test_every_polygon_is_closed_and_valid(
    tmp_path_factory: pytest.TempPathFactory, outlines: list[list[tuple[int, int]]]
) -> None:
    arrays = [np.array(outline, np.int16).reshape(-1, 2) for outline in outlines]
    cells = make_cells([(1000.7, 70_000.1)] * len(arrays), [0.5] * len(arrays), cell_outlines=arrays)
    for feature in exported(cells, tmp_path_factory.mktemp("geojson")):
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        polygon = shape(feature["geometry"])
        assert shapely.is_valid(polygon)
        assert polygon.area > 0


@pytest.mark.parametrize("outlines", ["cell", "both", "point"])
def test_streaming_gzip_and_empty_tables(tmp_path: Path, outlines: Outlines) -> None:
    cells = scattered_cells(5000, 4000, 4000)
    assert len(exported(cells, tmp_path, outlines=outlines)) == 5000
    for name in ("a.gz", "b.gz"):
        export_geojson(cells, ASSAY, tmp_path / name, slide_id="a-01234567", gzip=True, outlines=outlines)
    plain = (tmp_path / "cells.geojson").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == plain
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert exported(make_cells([], []), tmp_path, outlines=outlines) == []
