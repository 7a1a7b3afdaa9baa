"""Rectangles in level-0 pixels are half-open."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.geometry import Region

regions = st.builds(Region, st.integers(-6, 6), st.integers(-6, 6), st.integers(0, 8), st.integers(0, 8))


def pixels(region: Region) -> set[tuple[int, int]]:
    return {(x, y) for x in range(region.x, region.x_end) for y in range(region.y, region.y_end)}


@given(regions, regions)
def test_regions_intersect_when_they_share_a_pixel(one, other):
    assert one.intersects(other) == bool(pixels(one) & pixels(other))


@given(regions, regions)
def test_intersecting_is_mutual(one, other):
    assert one.intersects(other) == other.intersects(one)


@given(regions)
def test_ends_are_one_past_the_last_pixel(region):
    assert len(pixels(region)) == region.width * region.height
    assert (region.x_end - region.x, region.y_end - region.y) == (region.width, region.height)


def test_neighbours_that_share_an_edge_do_not_intersect():
    left, right, below = Region(0, 0, 10, 10), Region(10, 0, 10, 10), Region(0, 10, 10, 10)
    assert not left.intersects(right)
    assert not left.intersects(below)
    assert left.intersects(Region(9, 9, 1, 1))


def test_geometry_never_changes():
    region = Region(0, 0, 1, 1)
    with pytest.raises(FrozenInstanceError):
        region.width = 2
