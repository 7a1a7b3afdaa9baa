"""Which cells a region holds."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from slidescore.audit.region_cells import cells_inside

X, Y = (axis.ravel().astype(float) for axis in np.meshgrid(np.arange(20) + 0.25, np.arange(20) + 0.5))


def held(corners: list[tuple[float, float]], x: np.ndarray = X, y: np.ndarray = Y) -> set[tuple[float, float]]:
    inside = cells_inside(np.array(corners, float), x, y)
    assert (inside.shape, inside.dtype) == (x.shape, bool)
    return set(zip(x[inside].tolist(), y[inside].tolist(), strict=True))


def test_a_box_holds_what_lies_in_it():
    assert held([(2, 3), (5, 3), (5, 5), (2, 5)]) == {(i + 0.25, j + 0.5) for i in (2, 3, 4) for j in (3, 4)}


def test_a_region_that_crosses_itself_holds_its_two_halves():
    assert held([(0, 0), (10, 10), (10, 0), (0, 10)]) >= {(0.25, 5.5), (9.25, 5.5)}
    assert not held([(0, 0), (10, 10), (10, 0), (0, 10)]) & {(5.25, 0.5), (5.25, 9.5)}


def test_what_is_ringed_twice_is_outside():
    outer, inner = [(0, 0), (9, 0), (9, 9), (0, 9), (0, 0)], [(3, 3), (6, 3), (6, 6), (3, 6), (3, 3)]
    assert len(held(outer)) - len(held([*outer, *inner])) == 9


def test_boxes_side_by_side_share_no_cell_and_lose_none():
    x = y = np.arange(0, 4.0)
    parts = [held([(a, b), (a + 2, b), (a + 2, b + 2), (a, b + 2)], x, y) for a in (0, 2) for b in (0, 2)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 4


def test_no_cells_and_a_region_without_area_hold_nothing():
    assert held([(0, 0), (9, 0), (9, 9)], np.empty(0), np.empty(0)) == set()
    assert held([(0, 0.5), (19, 0.5), (5, 0.5)]) == set()


@given(st.lists(st.tuples(st.integers(-40, 440), st.integers(-40, 440)), min_size=3, max_size=12, unique=True))
def test_it_agrees_with_a_geometry_library(corners):
    polygon = shapely.Polygon([(x / 20, y / 20) for x, y in corners])
    if not polygon.is_valid or polygon.area == 0:
        return
    far = shapely.distance(polygon.exterior, shapely.points(X, Y)) > 1e-9
    inside = cells_inside(np.array(corners) / 20, X, Y)
    np.testing.assert_array_equal(inside[far], shapely.contains_xy(polygon, X, Y)[far])


@pytest.mark.parametrize("turn", range(4))
def test_where_a_region_begins_and_which_way_it_goes_means_nothing(turn):
    corners = [(0.5, 0.5), (17, 3), (12, 18), (4, 9)]
    assert held(corners[turn:] + corners[:turn]) == held(corners) == held(corners[::-1])
