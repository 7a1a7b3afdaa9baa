"""Drawn areas: what QuPath writes is understood, what nobody can use is refused in one line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from slidescore.annotations import NO_ANNOTATIONS, Area, inside, load_annotations, name_regions, paint_areas
from slidescore.assay import load_assay
from slidescore.errors import AnnotationError

ROLES = load_assay("cxcr4").assay.tissue.annotations


def ring(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def square(x: float = 0, y: float = 0, side: float = 100) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [ring(x, y, side)]}


def feature(geometry: Any = None, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry or square(), "properties": properties}


@pytest.fixture(scope="session")
def write(tmp_path_factory):
    """Write a document as a GeoJSON file."""
    folder = tmp_path_factory.mktemp("roi")

    def written(document: Any) -> Path:
        path = folder / "slide é.svs.geojson"
        path.write_bytes(document if isinstance(document, bytes) else orjson.dumps(document))
        return path

    return written


@pytest.fixture(scope="session")
def load(write):
    return lambda document: load_annotations(write(document), ROLES)


def complaint(path: Path) -> str:
    with pytest.raises(AnnotationError) as caught:
        load_annotations(path, ROLES)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("slide é.svs.geojson")
    return said


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Include", "include"), ("Region*", "include"), ("Core", "include"), ("Exclude", "exclude"),
        ("Ignore*", "exclude"), ("Necrosis", "exclude"), ("Control", "control"), ("Tumor", "tumor"),
        ("Stroma", "other"), ("Other", "other"), ("Immune cells", "other"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("spelling", ["name", "names", "plain"])
def test_a_class_gives_the_role_however_qupath_spells_it(load, name, role, spelling):
    classification = {"name": {"name": name, "color": [1, 2, 3]}, "names": {"names": [name]}, "plain": name}[spelling]
    [area] = load({"features": [feature(classification=classification)]}).areas
    assert area.role == role


@pytest.mark.parametrize("properties", [{}, {"classification": None}, {"classification": {}}, {"classification": ""}])
def test_an_area_without_a_class_includes(load, properties):
    [area] = load({"features": [feature(**properties)]}).areas
    assert area.role == "include"


def test_one_feature_a_list_and_a_collection_say_the_same(load):
    one = feature(name="A-1")
    documents = [one, [one], {"type": "FeatureCollection", "features": [one]}]
    assert [[a.name for a in load(document).areas] for document in documents] == [["A-1"]] * 3


def test_detections_and_missing_cores_are_not_areas(load):
    kinds = [
        feature(objectType="annotation", name="a"), feature(objectType="tmaCore", name="b"), feature(name="c"),
        feature(objectType="detection"), feature(objectType="cell"), feature(objectType="tmaCore", isMissing=True),
    ]  # fmt: skip
    assert load(kinds).region_names == ["a", "b", "c"]


def test_regions_are_the_named_areas_that_count_each_once_in_the_order_of_the_file(load):
    found = load(
        [
            feature(name="B"), feature(name="A", classification="Tumor"), feature(name="B"), feature(),
            feature(name="gone", classification="Exclude"), feature(name="C", classification="Control"),
            feature(name="fat", classification="Other"),
        ]
    )  # fmt: skip
    assert found.region_names == ["B", "A"]
    assert found.counts() == {"control": 1, "exclude": 1, "include": 3, "other": 1, "tumor": 1}
    assert [area.role for area in found.limits] == ["include", "tumor", "include", "include"]
    assert len(found.of("exclude", "other")) == 2


def test_the_digest_is_that_of_the_file(load):
    one, other = load(feature(name="A")), load(feature(name="B"))
    assert one.digest != other.digest
    assert one.digest == load(feature(name="A")).digest
    assert len(one.digest) == 64


def test_no_annotations_limit_nothing():
    assert NO_ANNOTATIONS.limits == []
    assert NO_ANNOTATIONS.region_names == []
    assert NO_ANNOTATIONS.counts() == {}


@pytest.mark.parametrize("classification", ["Tumour", {"name": "Tumour"}, {"names": ["Tumour"]}])
def test_an_unknown_class_is_named_with_the_nearest(write, classification):
    said = complaint(write([feature(), feature(classification=classification)]))
    assert "feature 2" in said
    assert "'Tumour'" in said
    assert "did you mean 'Tumor'?" in said


def test_a_subclass_is_not_taken_for_its_parent(write):
    assert "'Tumor: Positive'" in complaint(write(feature(classification={"names": ["Tumor", "Positive"]})))


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "LineString", "coordinates": [[0, 0], [5, 5]]},
        {"type": "Point", "coordinates": [3, 3]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [20, 0], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1e300, 0], [1e300, 1e300], [0, 0]]]},
    ],
)
def test_what_has_no_area_is_refused(write, geometry):
    assert "has no area" in complaint(write(feature(geometry)))


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{", b"\x00\xff", b"\xef\xbb\xbf{}", 5, "text", None, {}, {"features": {}}, [], [5], ["a"], [None],
        {"type": "Feature"}, {"type": "Feature", "geometry": None}, {"type": "Feature", "geometry": [1]},
        feature({"type": "Circle", "coordinates": [1]}), feature({"type": "Polygon"}),
        feature({"type": "Polygon", "coordinates": "abc"}), feature({"type": "Polygon", "coordinates": [[[0], [1]]]}),
        feature({"type": "Polygon", "coordinates": [[[None, 0], [1, 1], [0, 1], [0, 0]]]}),
        feature(classification=[["Tumor"]]), feature(classification={"name": ["x"]}), feature(classification=7),
        feature(classification={"names": 5}), feature(objectType="detection"),
    ],
)  # fmt: skip
def test_what_is_no_annotation_file_is_refused_in_one_line(write, document):
    complaint(write(document))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match="cannot be read"):
        load_annotations(tmp_path / "none.geojson", ROLES)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1e6, 1e6) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
geometries = st.fixed_dictionaries(
    {"type": st.sampled_from(["Polygon", "MultiPolygon", "Point", "GeometryCollection", "x"]) | json_values},
    optional={"coordinates": json_values, "geometries": json_values},
)
properties = json_values | st.fixed_dictionaries(
    {}, optional={"classification": json_values, "name": json_values, "objectType": st.just("annotation") | json_values}
)


@given(geometry=geometries | st.just(square()) | json_values, properties=properties)
def test_any_feature_is_an_area_or_one_line(write, geometry, properties):
    path = write([{"type": "Feature", "geometry": geometry, "properties": properties}])
    try:
        areas = load_annotations(path, ROLES).areas
    except AnnotationError:
        complaint(path)
        return
    assert [area.geometry.area > 0 for area in areas] == [True]


def test_an_outline_that_crosses_itself_keeps_both_halves(load):
    bow = {"type": "Polygon", "coordinates": [[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]]}
    areas = list(load(feature(bow)).areas)
    assert inside(areas, np.array([2.0, 8.0, 5.0]), np.array([5.0, 5.0, 9.0])).tolist() == [True, True, False]


def test_holes_are_outside(load):
    geometry = {"type": "Polygon", "coordinates": [ring(0, 0, 100), ring(40, 40, 20)]}
    areas = list(load(feature(geometry)).areas)
    points = np.array([10.0, 50.0, 90.0, 101.0])
    assert inside(areas, points, points).tolist() == [True, False, True, False]
    painted = paint_areas(areas, 0, 0, (110, 110), 1.0)
    assert painted[10, 10]
    assert not painted[50, 50]


def test_the_smaller_of_two_nested_regions_names_a_cell_whatever_their_order():
    large, small = (
        Area("include", name, shapely.box(*box)) for name, box in (("L", (0, 0, 9, 9)), ("s", (2, 2, 5, 5)))
    )
    nameless = Area("include", "", shapely.box(2, 2, 3, 3))
    x = np.array([1.0, 2.5, 4.0, 20.0])
    for areas in ([large, small, nameless], [nameless, small, large]):
        assert name_regions(areas, x, x) == ["L", "s", "s", None]


def test_nothing_drawn_holds_nothing():
    x = np.array([1.0, 2.0])
    assert not inside([], x, x).any()
    assert name_regions([], x, x) == [None, None]
    assert not paint_areas([], 0, 0, (3, 4), 1.0).any()


coordinates = st.integers(-3000, 13000).map(lambda hundredths: hundredths / 100)
corners = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=7)


@given(corners, coordinates, coordinates, st.sampled_from([1.0, 2.0, 3.7]))
def test_painting_agrees_with_asking_but_for_the_pixels_at_the_outline(points, x_l0, y_l0, l0_per_px):
    polygon = shapely.convex_hull(shapely.MultiPoint(points))
    if polygon.area < 1:
        return
    areas = [Area("include", "", polygon)]
    painted = paint_areas(areas, x_l0, y_l0, (24, 30), l0_per_px)
    rows, columns = np.indices(painted.shape) + 0.5
    x, y = (x_l0 + columns * l0_per_px).ravel(), (y_l0 + rows * l0_per_px).ravel()
    far = shapely.distance(polygon.exterior, shapely.points(x, y)) > 2 * l0_per_px
    np.testing.assert_array_equal(painted.ravel()[far], inside(areas, x, y)[far])


@given(corners)
def test_tiles_painted_apart_are_the_whole_painted_at_once(points):
    polygon = shapely.convex_hull(shapely.MultiPoint(points))
    if polygon.area < 1:
        return
    areas = [Area("include", "", polygon)]
    whole = paint_areas(areas, 0, 0, (100, 100), 1.0)
    parts = [[paint_areas(areas, x, y, (50, 50), 1.0) for x in (0, 50)] for y in (0, 50)]
    # Where a tile's border cuts the outline, rounding may move a pixel at the outline; no pixel farther inside.
    rows, columns = np.nonzero(np.block(parts) != whole)
    assert (shapely.distance(polygon.exterior, shapely.points(columns + 0.5, rows + 0.5)) <= 2).all()


def test_a_painted_square_has_exactly_its_pixels() -> None:
    square = Area("include", "", shapely.box(10, 10, 20, 20))
    mask = paint_areas([square], 0, 0, (40, 40), 1.0)
    assert mask.sum() == 100
    assert mask[10:20, 10:20].all()


def test_a_painted_ring_leaves_its_hole_and_tiles_agree() -> None:
    ring = Area("include", "", shapely.Point(100, 90).buffer(60).difference(shapely.Point(100, 90).buffer(25)))
    whole = paint_areas([ring], 0, 0, (200, 200), 1.0)
    assert abs(whole.sum() - ring.geometry.area) < 0.01 * ring.geometry.area
    assert not whole[90, 100]
    parts = [[paint_areas([ring], x, y, (100, 100), 1.0) for x in (0, 100)] for y in (0, 100)]
    assert (np.block(parts) == whole).all()


def test_areas_are_asked_from_many_threads_at_once():
    # Tiles share the areas; a library that prepares a geometry in place crashed the process here.
    angle = np.linspace(0, 2 * np.pi, 4001)
    ring = np.stack([500 + 400 * np.cos(angle), 500 + (380 + 20 * np.sin(90 * angle)) * np.sin(angle)], axis=1)
    x = np.random.default_rng(1).uniform(0, 1000, 200)

    def ask(areas: list[Area], number: int) -> tuple[int, int]:
        painted = paint_areas(areas, 0.0, 0.0, (40, 40), 25.0) if number % 2 else paint_areas(areas, 900, 0, (4, 4), 25)
        return int(inside(areas, x, x[::-1].copy()).sum()), int(painted.sum())

    with ThreadPoolExecutor(8) as pool:
        for _ in range(30):
            areas = [Area("include", "", shapely.Polygon(ring))]
            answers = set(pool.map(partial(ask, areas), range(16)))
            assert answers == {ask(areas, 0), ask(areas, 1)}
