"""The cell table keeps what is given, in one order, with null for what nobody knows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.cells import CELL_SCHEMA, build_cells, empty_cells, join_cells
from slidescore.cells.table import floats, pack_outlines, replace_column, unpack_outlines

COLUMNS = [
    "cell_id", "x", "y", "tile", "nucleus_area_um2", "cell_area_um2", "nucleus_eccentricity", "hematoxylin_od_nucleus",
    "dab_od_nucleus", "dab_od_cytoplasm", "dab_od_membrane", "dab_od_cell", "detection_probability",
    "tumor_probability", "lymphocyte_probability", "stromal_probability", "region", "excluded", "nucleus_outline",
    "cell_outline",
]  # fmt: skip
outlines = st.lists(
    st.lists(st.tuples(*[st.integers(-(2**15), 2**15 - 1)] * 2), max_size=6).map(
        lambda points: np.array(points, np.int16).reshape(-1, 2)
    ),
    max_size=8,
)


def test_the_columns_are_the_contract():
    assert CELL_SCHEMA.names == COLUMNS
    assert CELL_SCHEMA.field("cell_id").type == pa.int64()
    assert CELL_SCHEMA.field("x").type == CELL_SCHEMA.field("dab_od_cell").type == pa.float32()
    assert CELL_SCHEMA.field("nucleus_outline").type == pa.list_(pa.int16())
    assert empty_cells().schema == CELL_SCHEMA


def test_no_bin_and_no_class_is_stored():
    assert not {"bin", "class", "call"} & set(CELL_SCHEMA.names)


def test_what_is_not_given_is_null_and_so_is_nan():
    table = build_cells({"cell_id": np.array([7, 8]), "dab_od_cell": np.array([0.25, np.nan])}, 2)
    assert table.schema == CELL_SCHEMA
    assert table.column("dab_od_cell").to_pylist() == [0.25, None]
    assert table.column("tumor_probability").to_pylist() == [None, None]
    assert table.column("cell_outline").to_pylist() == [None, None]


def test_null_reads_as_nan():
    table = build_cells({"dab_od_cell": np.array([0.25, np.nan])}, 2)
    assert floats(table, "dab_od_cell").dtype == np.float32
    np.testing.assert_array_equal(floats(table, "dab_od_cell"), np.array([0.25, np.nan], np.float32))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 5)), max_size=20), st.integers(1, 4))
def test_joined_cells_are_sorted_and_numbered_however_they_come(places, parts):
    def table(rows):
        tile, y, x = np.array(rows, float).reshape(-1, 3).T
        return build_cells({"cell_id": tile * 0, "tile": tile, "x": x, "y": y}, len(rows))

    joined = join_cells(table(places[start::parts]) for start in range(parts))
    found = list(zip(*(joined.column(name).to_pylist() for name in ("tile", "y", "x")), strict=True))
    assert found == sorted(places)
    assert joined.column("cell_id").to_pylist() == list(range(len(places)))
    assert joined.schema == CELL_SCHEMA


def test_joining_nothing_gives_an_empty_table():
    assert join_cells([]).equals(empty_cells())
    assert join_cells([empty_cells(), empty_cells()]).equals(empty_cells())


@given(outlines)
def test_outlines_unpack_as_they_were_packed(given_outlines):
    offsets, points = unpack_outlines(pack_outlines(given_outlines))
    assert len(offsets) == len(given_outlines) + 1
    for number, outline in enumerate(given_outlines):
        np.testing.assert_array_equal(points[offsets[number] : offsets[number + 1]], outline)


@given(outlines, st.data())
def test_outlines_survive_filtering_slicing_and_chunks(given_outlines, data):
    keep = data.draw(st.lists(st.booleans(), min_size=len(given_outlines), max_size=len(given_outlines)))
    packed = pack_outlines(given_outlines)
    start = data.draw(st.integers(0, len(given_outlines)))
    column = pa.chunked_array([packed.slice(start), packed.filter(pa.array(keep, pa.bool_()))], packed.type)
    expected = given_outlines[start:] + [outline for outline, kept in zip(given_outlines, keep, strict=True) if kept]
    offsets, points = unpack_outlines(column)
    assert len(offsets) == len(expected) + 1
    for number, outline in enumerate(expected):
        np.testing.assert_array_equal(points[offsets[number] : offsets[number + 1]], outline)


def test_a_null_outline_has_no_points():
    offsets, points = unpack_outlines(pa.array([[1, 2, 3, 4], None, [5, 6]], pa.list_(pa.int16())))
    assert offsets.tolist() == [0, 2, 2, 3]
    assert points.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert unpack_outlines(pa.chunked_array([], pa.list_(pa.int16())))[0].tolist() == [0]


@pytest.mark.parametrize("name", ["cell_id", "region"])
def test_replacing_a_column_keeps_the_schema(make_cells, name):
    table = make_cells([0.1, 0.2])
    values = pa.array([5, 6], pa.int64()) if name == "cell_id" else pa.array(["a", None], pa.string())
    replaced = replace_column(table, name, values)
    assert replaced.schema == CELL_SCHEMA
    assert replaced.column(name).to_pylist() == values.to_pylist()
    assert replaced.drop_columns([name]).equals(table.drop_columns([name]))
