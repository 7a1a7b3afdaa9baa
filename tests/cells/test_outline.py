"""Outlines lie where the pixels lie, not half a pixel away."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from slidescore.cells import trace_outlines
from slidescore.cells.outline import INT16, contour_points


def ellipse(x: float, y: float, a: float, b: float, degrees: float) -> np.ndarray:
    rows, columns = np.indices((60, 60))
    turn = np.radians(degrees)
    u = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
    v = -(columns - x) * np.sin(turn) + (rows - y) * np.cos(turn)
    return ((u / a) ** 2 + (v / b) ** 2 <= 1).astype(np.int32)


def center_of(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([[columns.mean(), rows.mean()]])


@pytest.mark.parametrize(("x", "y"), [(2, 3), (0, 0), (6, 5)])
def test_a_square_is_traced_a_quarter_pixel_inside_its_outer_edges(x, y):
    labels = np.zeros((12, 12), np.int32)
    labels[y : y + 4, x : x + 6] = 1
    # The middle of the first pixel is 0, so the square's outer edges are at x - 0.5 and x + 5.5.
    center = np.array([[x + 2.5, y + 1.5]])
    [outline] = trace_outlines(labels, np.array([True]), center, 4.0)
    assert outline.dtype == np.int16
    half_width, half_height = (3 - 0.25) * 4, (2 - 0.25) * 4
    expected = {(sx * half_width, sy * half_height) for sx in (-1, 1) for sy in (-1, 1)}
    assert {tuple(point) for point in outline.tolist()} == expected


shapes = given(
    st.floats(26, 34), st.floats(26, 34), st.floats(4, 16), st.floats(4, 16), st.floats(0, 180),
    st.sampled_from([1.0, 2.0, 8.0]),
)  # fmt: skip


@shapes
def test_the_polygon_has_the_area_of_the_mask_but_for_its_rim(x, y, a, b, degrees, scale):
    mask = ellipse(x, y, a, b, degrees)
    [outline] = trace_outlines(mask, np.array([True]), center_of(mask), scale)
    polygon = shapely.Polygon(outline / scale)
    # A quarter of a pixel inside, half a pixel of simplification and the rounding to whole level-0 pixels.
    assert abs(polygon.area - mask.sum()) <= polygon.length * (0.5 + 0.5 / scale)


@shapes
def test_the_outline_of_a_convex_shape_holds_its_centre_and_is_centred_on_it(x, y, a, b, degrees, scale):
    mask = ellipse(x, y, a, b, degrees)
    [outline] = trace_outlines(mask, np.array([True]), center_of(mask), scale)
    polygon = shapely.Polygon(outline / scale)
    assert polygon.contains(shapely.Point(0, 0))
    assert np.hypot(polygon.centroid.x, polygon.centroid.y) <= 0.3 + 0.5 / scale


@shapes
def test_the_outline_holds_the_pixels_of_the_mask_and_no_others(x, y, a, b, degrees, scale):
    mask = ellipse(x, y, a, b, degrees)
    center = center_of(mask)
    [outline] = trace_outlines(mask, np.array([True]), center, scale)
    polygon = shapely.Polygon(outline / scale + center)
    rows, columns = np.indices(mask.shape)
    near = shapely.distance(polygon.exterior, shapely.points(columns.ravel(), rows.ravel())) < 0.75 + 0.5 / scale
    held = shapely.contains_xy(polygon, columns.ravel(), rows.ravel())
    np.testing.assert_array_equal(held[~near], mask.ravel()[~near] > 0)
    assert (held == (mask.ravel() > 0)).mean() > 0.97


def test_only_kept_labels_are_traced_in_their_order():
    labels = np.zeros((10, 30), np.int32)
    labels[2:8, 2:8], labels[2:8, 10:18], labels[2:8, 20:30] = 1, 2, 3
    centers = np.array([[4.5, 4.5], [13.5, 4.5], [24.5, 4.5]])
    first, third = trace_outlines(labels, np.array([True, False, True]), centers, 4.0)
    assert np.ptp(first[:, 0]) == pytest.approx(6 * 4, abs=3)
    assert np.ptp(third[:, 0]) == pytest.approx(10 * 4, abs=3)
    assert trace_outlines(labels, np.zeros(3, bool), centers, 4.0) == []


def test_a_neighbour_is_not_traced_along():
    labels = np.ones((10, 20), np.int32)
    labels[:, 10:] = 2
    [left] = trace_outlines(labels, np.array([True, False]), np.array([[4.5, 4.5], [14.5, 4.5]]), 4.0)
    assert left[:, 0].max() == pytest.approx((5 - 0.25) * 4)


def test_of_a_cell_in_two_parts_the_larger_is_traced():
    mask = np.zeros((20, 20), np.uint8)
    mask[1:3, 1:3] = 1
    mask[8:18, 8:18] = 1
    points = contour_points(mask)
    assert points.min() >= 7


def test_offsets_stay_within_16_bits():
    labels = np.ones((10, 10), np.int32)
    [outline] = trace_outlines(labels, np.array([True]), np.array([[4.5, 4.5]]), 1e5)
    assert (outline.min(), outline.max()) == (INT16.min, INT16.max)
