"""Cells grow from their nuclei, never into one another, and end where their stain ends."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from slidescore.assay import load_assay
from slidescore.cells import Compartments, cut_compartments
from slidescore.cells.boxes import bounding_boxes
from slidescore.cells.growing import grow_nuclei
from slidescore.cells.rims import find_guard, find_membranes
from slidescore.pipeline.tile import compartment_sizes

MPP = 0.5
SIZES = compartment_sizes(load_assay("cxcr4").assay.cells, MPP)
SIDE = 64
CHAMFER = 1.02
"""OpenCV measures distances with a 5 x 5 mask, at most 2 % too short or too long."""


def disc(x: float, y: float, radius: float, side: int = SIDE) -> np.ndarray:
    rows, columns = np.indices((side, side))
    return np.hypot(columns - x, rows - y) <= radius


def nuclei_at(*places: tuple[float, float, float], side: int = SIDE) -> np.ndarray:
    labels = np.zeros((side, side), np.int32)
    for number, (x, y, radius) in enumerate(places, start=1):
        labels[disc(x, y, radius, side) & (labels == 0)] = number
    return labels


def stain(*parts: tuple[np.ndarray, float], side: int = SIDE) -> np.ndarray:
    plane = np.zeros((side, side), np.float32)
    for mask, od in parts:
        plane[mask] = od
    return plane


def cut(nuclei: np.ndarray, dab: np.ndarray, usable: np.ndarray | None = None, **changes: float) -> Compartments:
    everywhere = np.ones(nuclei.shape, bool) if usable is None else usable
    return cut_compartments(nuclei, dab, everywhere, replace(SIZES, **changes))


def radius_of(mask: np.ndarray) -> float:
    """Radius in px of the disc of the same area."""
    return float(np.sqrt(mask.sum() / np.pi))


def random_field(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nuclei anywhere, touching or not, random DAB, and which places have pixels."""
    rng = np.random.default_rng(seed)
    nuclei = nuclei_at(*[(*rng.uniform(0, SIDE, 2), rng.uniform(2, 9)) for _ in range(count)])
    # Labels run without gaps though later discs may be covered by earlier ones.
    numbers = np.unique(nuclei[nuclei > 0])
    nuclei = np.searchsorted(np.concatenate([[0], numbers]), nuclei).astype(np.int32)
    usable = ~disc(*rng.uniform(0, SIDE, 2), rng.uniform(0, 12)) | (nuclei > 0)
    dab = cv2.GaussianBlur(rng.uniform(0, 1, (SIDE, SIDE)).astype(np.float32), (0, 0), rng.choice([0.5, 4.0]))
    return nuclei, dab, usable


fields = given(seed=st.integers(0, 2**30), count=st.integers(0, 8))


@fields
def test_compartments_are_disjoint_and_fit_together(seed, count):
    nuclei, dab, usable = random_field(seed, count)
    c = cut(nuclei, dab, usable)
    inside = nuclei > 0
    np.testing.assert_array_equal(c.cells[inside], nuclei[inside])
    assert not (c.membrane & inside).any()
    assert (c.cells[c.membrane] > 0).all()
    assert not (c.cells[~usable & ~inside]).any()
    assert set(np.unique(c.cells)) <= set(np.unique(nuclei)) | {0}


@fields
def test_no_cell_reaches_farther_than_the_expansion(seed, count):
    nuclei, dab, usable = random_field(seed, count)
    cells = cut(nuclei, dab, usable).cells
    for k in range(1, int(nuclei.max()) + 1):
        distance = distance_transform_edt(nuclei != k)[cells == k]
        assert distance.max() <= CHAMFER * SIZES.expansion_px


@fields
def test_a_pixel_goes_to_the_nearest_nucleus(seed, count):
    nuclei, _, usable = random_field(seed, count)
    cells = grow_nuclei(nuclei, usable, bounding_boxes(nuclei, int(nuclei.max())), SIZES.expansion_px).cells
    if not nuclei.any():
        assert not cells.any()
        return
    distances = np.array([distance_transform_edt(nuclei != k) for k in range(1, int(nuclei.max()) + 1)])
    nearest = distances.min(axis=0)
    rows, columns = np.nonzero(cells)
    own = distances[cells[rows, columns] - 1, rows, columns]
    assert (own <= CHAMFER**2 * nearest[rows, columns]).all()
    reached = usable & (CHAMFER * nearest <= SIZES.expansion_px)
    assert (cells[reached] > 0).all()


def test_a_lone_negative_cell_keeps_the_whole_expansion():
    nuclei = nuclei_at((32, 32, 8))
    cells = cut(nuclei, stain()).cells
    assert radius_of(cells > 0) == pytest.approx(8 + SIZES.expansion_px, abs=0.5)


def test_a_cell_in_an_even_stain_keeps_the_whole_expansion():
    nuclei = nuclei_at((32, 32, 8))
    cells = cut(nuclei, np.full((SIDE, SIDE), 0.6, np.float32)).cells
    assert radius_of(cells > 0) == pytest.approx(8 + SIZES.expansion_px, abs=0.5)


@pytest.mark.parametrize("od", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("rim_px", [3, 5, 8])
def test_a_cell_ends_where_its_dab_ends(rim_px, od):
    nuclei = nuclei_at((32, 32, 8))
    drawn = disc(32, 32, 8 + rim_px) & (nuclei == 0)
    cells = cut(nuclei, stain((drawn, od))).cells
    assert radius_of(cells > 0) == pytest.approx(8 + rim_px, abs=1.0)


def test_a_fall_smaller_than_the_least_one_ends_nothing():
    nuclei = nuclei_at((32, 32, 8))
    drawn = disc(32, 32, 12) & (nuclei == 0)
    little, enough = 0.9 * SIZES.min_fall_od, 1.2 * SIZES.min_fall_od
    assert radius_of(cut(nuclei, stain((drawn, little))).cells > 0) == pytest.approx(18, abs=0.5)
    assert radius_of(cut(nuclei, stain((drawn, enough))).cells > 0) == pytest.approx(12, abs=1.0)


def test_a_cell_may_end_on_one_side_only():
    nuclei = nuclei_at((32, 32, 8))
    drawn = disc(32, 32, 20) & (np.indices((SIDE, SIDE))[1] < 32 + 11)
    cells = cut(nuclei, stain((drawn & (nuclei == 0), 0.5))).cells > 0
    rows, columns = np.nonzero(cells)
    assert columns.min() == pytest.approx(32 - 18, abs=1)
    assert columns[np.abs(rows - 32) < 4].max() == pytest.approx(32 + 10, abs=1)


def test_a_cell_beside_glass_ends_and_its_negative_neighbour_does_not():
    nuclei = nuclei_at((16, 32, 5), (48, 32, 5))
    drawn = disc(16, 32, 9) & (nuclei == 0)
    cells = cut(nuclei, stain((drawn, 0.5))).cells
    assert radius_of(cells == 1) == pytest.approx(9, abs=1.0)
    assert radius_of(cells == 2) == pytest.approx(15, abs=0.5)


def test_neighbours_meet_halfway():
    nuclei = nuclei_at((22, 32, 6), (42, 32, 6))
    cells = cut(nuclei, stain()).cells
    assert (cells[32, 29:32] == 1).all()
    assert (cells[32, 33:36] == 2).all()


@pytest.mark.parametrize("width_um", [1.0, 1.5, 2.5])
def test_the_membrane_is_the_outer_band(width_um):
    nuclei, cells = nuclei_at((32, 32, 8)), nuclei_at((32, 32, 20))
    depth = distance_transform_edt(cells > 0) - 0.5
    band = find_membranes(nuclei, cells, width_px=width_um / MPP)
    # Measured to the middle of a pixel, by a distance that may be a little short.
    assert band[(cells > 0) & (depth <= width_um / MPP - 0.6)].all()
    assert not band[depth > CHAMFER * width_um / MPP + 0.6].any()


def test_the_membrane_follows_the_border_between_two_cells():
    cells = np.ones((20, 20), np.int32)
    cells[:, 10:] = 2
    band = find_membranes(np.zeros_like(cells), cells, width_px=2.0)
    assert band[10].nonzero()[0].tolist() == [8, 9, 10, 11]


def test_the_guard_lies_on_both_sides_of_a_border():
    nuclei = np.zeros((20, 20), np.int32)
    nuclei[:, :10] = 1
    guard = find_guard(nuclei, np.ones_like(nuclei), 1.5)
    assert guard[10].nonzero()[0].tolist() == [8, 9, 10, 11]
    assert not find_guard(nuclei, np.ones_like(nuclei), 0.0).any()


def test_no_nuclei_no_cells():
    c = cut(np.zeros((SIDE, SIDE), np.int32), stain())
    assert not c.cells.any()
    assert not c.membrane.any()


def test_sizes_are_in_pixels_of_the_tile(assay):
    half, quarter = compartment_sizes(assay.cells, 0.5), compartment_sizes(assay.cells, 0.25)
    assert half.expansion_px * 0.5 == quarter.expansion_px * 0.25 == assay.cells.expansion_um
    assert half.membrane_px * 0.5 == quarter.membrane_px * 0.25 == assay.cells.membrane_um
    assert half.guard_px * 0.5 == quarter.guard_px * 0.25 == assay.cells.guard_um
    assert half.min_fall_od == quarter.min_fall_od == assay.cells.min_fall_od
