"""A label means the cell that a person pointed at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon

from slidescore.cells.pointing import _inside
from slidescore.cells.table import build_cells, pack_outlines
from slidescore.errors import InputError
from slidescore.training.label_matching import match_labels
from slidescore.training.labels import Label


def cells_at(*centers: tuple[float, float], nucleus: int = 8, cell: int = 20):
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.int16)
    n = len(centers)
    return build_cells(
        {
            "cell_id": np.arange(n),
            "x": np.array([x for x, _ in centers], np.float32),
            "y": np.array([y for _, y in centers], np.float32),
            "tile": np.zeros(n, np.int32),
            "nucleus_outline": pack_outlines([nucleus * square] * n),
            "cell_outline": pack_outlines([cell * square] * n),
        },
        n,
    )


def label(x: float, y: float, *, tumor: bool = True) -> Label:
    return Label("a-00000001", x, y, "Tumor" if tumor else "Stroma", tumor, f"at {x:g}")


def test_a_label_means_the_nucleus_then_the_outline_then_the_nearest_within_reach():
    cells = cells_at((100, 100), (125, 100), (300, 100))
    # In the outlines of both, nearer to the first, but in the nucleus of the second.
    found = match_labels([label(118, 100)], cells, 0.25)
    assert found.rows.tolist() == [1]
    assert match_labels([label(111, 100)], cells, 0.25).rows.tolist() == [0]
    # 5 um are 20 px from the centroid, diagonally outside the outline of a smaller cell.
    small = cells_at((100, 100), nucleus=3, cell=6)
    assert match_labels([label(100, 119.9)], small, 0.25).rows.tolist() == [0]
    out = match_labels([label(100, 120.1)], small, 0.25)
    assert (out.rows.tolist(), [lost.y_l0 for lost in out.lost]) == ([], [120.1])


def test_two_labels_of_a_kind_on_a_cell_are_one_and_of_two_kinds_an_error():
    cells = cells_at((100, 100), (300, 100))
    found = match_labels([label(301, 100, tumor=False), label(100, 100), label(102, 100)], cells, 0.25)
    assert found.rows.tolist() == [0, 1]
    assert found.is_tumor.tolist() == [True, False]
    assert [each.class_name for each in found.labels] == ["Tumor", "Stroma"]
    with pytest.raises(
        InputError, match=r"at 102: label 'Stroma': is on the same cell as the label 'Tumor' \(at 100\)"
    ):
        match_labels([label(100, 100), label(102, 100, tumor=False)], cells, 0.25)


def test_without_cells_every_label_is_lost():
    found = match_labels([label(1, 2)], cells_at(), 0.25)
    assert (len(found.rows), len(found.lost)) == (0, 1)


@given(
    corners=st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=8),
    x=st.integers(-10, 9),
    y=st.integers(-10, 9),
)
def test_inside_agrees_with_shapely(corners, x, y):
    polygon = Polygon(corners)
    # Between whole numbers no point lies on a horizontal or vertical edge; crossed rings differ by convention.
    px, py = x + 0.37, y + 0.41
    if polygon.is_valid and polygon.area > 0 and polygon.exterior.distance(Point(px, py)) > 1e-6:
        assert _inside(np.array(corners, float), px, py) == polygon.contains(Point(px, py))
