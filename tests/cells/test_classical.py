"""The classical segmenter finds pale nuclei beside dark ones, splits touching ones, and sees only its surroundings."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

import phantom as ph
from slidescore.assay import load_assay
from slidescore.cells import ClassicalSegmenter
from slidescore.cells.classical import blob_response, find_seeds
from slidescore.stain import StainVectors, separate

MPP = 0.5
ASSAY = load_assay("cxcr4").assay
ENOUGH_UM = 40.0
"""The classical segmenter looks no further than this; the network's halo is wider."""
VECTORS = StainVectors(ASSAY.stains.hematoxylin, ASSAY.stains.dab, "fixed")
WHITE = (242.0, 240.0, 236.0)


def segment(rgb: np.ndarray, usable: np.ndarray | None = None) -> np.ndarray:
    """Label the nuclei of a picture."""
    rgb = np.ascontiguousarray(rgb)
    everywhere = np.ones(rgb.shape[:2], bool) if usable is None else usable
    found = ClassicalSegmenter(ASSAY.cells.classical).segment(rgb, separate(rgb, WHITE, VECTORS), everywhere, MPP)
    assert found.nuclei.dtype == np.int32
    assert set(np.unique(found.nuclei)) - {0} == set(range(1, int(found.nuclei.max()) + 1))
    return found.nuclei


def centroids(labels: np.ndarray) -> np.ndarray:
    """x, y of each label in px from the corner of the picture, (N, 2)."""
    n = int(labels.max())
    rows, columns = np.indices(labels.shape)
    area = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    sums = [np.bincount(labels.ravel(), plane.ravel(), n + 1)[1:] for plane in (columns, rows)]
    return np.stack([total / area + 0.5 for total in sums], axis=1).reshape(-1, 2)


def picture(*parts: tuple[np.ndarray, float, float], side: int = 120) -> np.ndarray:
    """Draw masks with their hematoxylin and DAB OD as a scanner sees them: blurred light and noise."""
    hematoxylin, dab = np.full((side, side), 0.03, np.float32), np.zeros((side, side), np.float32)
    for mask, h, d in parts:
        hematoxylin[mask], dab[mask] = h, d
    density = hematoxylin[..., None] * VECTORS.matrix[0] + dab[..., None] * VECTORS.matrix[1]
    light = cv2.GaussianBlur(np.array(WHITE) * 10.0**-density, (0, 0), 0.5 / MPP)
    noise = np.random.default_rng(1).normal(0, 1.5, light.shape)
    return np.clip(np.rint(light + noise), 0, 255).astype(np.uint8)


def disc(x_um: float, y_um: float, radius_um: float, side: int = 120) -> np.ndarray:
    rows, columns = (np.indices((side, side)) + 0.5) * MPP
    return np.hypot(columns - x_um, rows - y_um) <= radius_um


def found_at(rgb: np.ndarray, *places_um: tuple[float, float]) -> ph.Matches:
    return ph.match_points(np.array(places_um) / MPP, centroids(segment(rgb)), 2.5 / MPP)


def test_cells_apart_are_found(apart):
    found = ph.match_points(apart.truth.xy, centroids(segment(apart.rgb)), 5 / MPP)
    assert found.precision >= 0.95
    assert found.recall >= 0.95


def test_crowded_and_touching_cells_are_found(crowded):
    side = 560
    truth = crowded.truth.xy
    found = ph.match_points(truth[(truth < side).all(axis=1)], centroids(segment(crowded.rgb[:side, :side])), 5 / MPP)
    assert found.precision >= 0.85
    assert found.recall >= 0.85


@pytest.mark.parametrize("hematoxylin", [0.12, 0.3, 0.5])
@pytest.mark.parametrize("radius_um", [3.0, 4.5, 6.0])
def test_a_nucleus_is_found_where_it_lies_with_its_size(radius_um, hematoxylin):
    labels = segment(picture((disc(30, 31, radius_um), hematoxylin, 0.0)))
    assert labels.max() == 1
    assert centroids(labels)[0] * MPP == pytest.approx([30, 31], abs=0.4)
    assert np.sqrt((labels > 0).sum() / np.pi) * MPP == pytest.approx(radius_um, abs=0.7)


@pytest.mark.parametrize("distance_um", [7.0, 8.0, 10.0])
@pytest.mark.parametrize("dab", [0.0, 0.5])
def test_touching_nuclei_are_split(distance_um, dab):
    left, right = 30 - distance_um / 2, 30 + distance_um / 2
    cytoplasm = disc(left, 30, 8) | disc(right, 30, 8)
    nuclei = disc(left, 30, 4) | disc(right, 30, 4)
    found = found_at(picture((cytoplasm, 0.04, dab), (nuclei, 0.3, 0.1 * dab)), (left, 30), (right, 30))
    assert (found.tp, found.fp) == (2, 0)


@pytest.mark.parametrize("dab", [0.6, 0.9, 1.2])
def test_a_pale_negative_nucleus_is_found_beside_a_dark_brown_one(dab):
    dark_cell, dark, pale = disc(24, 30, 9), disc(24, 30, 4.5), disc(39, 30, 4)
    rgb = picture((dark_cell, 0.05, dab), (dark, 0.4, 0.3 * dab), (pale, 0.12, 0.0))
    found = found_at(rgb, (24, 30), (39, 30))
    assert (found.tp, found.fp) == (2, 0)


def test_a_blue_nucleus_in_a_brown_cell_is_found():
    rgb = picture((disc(30, 30, 9), 0.05, 0.7), (disc(30, 30, 4.5), 0.35, 0.05))
    found = found_at(rgb, (30, 30))
    assert (found.tp, found.fp) == (1, 0)


def test_brown_without_hematoxylin_is_no_nucleus():
    assert segment(picture((disc(30, 30, 4), 0.0, 0.8))).max() == 0


@pytest.mark.parametrize("level", [255, 240, 128, 0])
def test_a_plain_picture_has_no_nuclei(level):
    assert segment(np.full((100, 100, 3), level, np.uint8)).max() == 0


def test_noise_alone_has_no_nuclei():
    assert segment(picture()).max() == 0


def test_nothing_is_found_where_there_is_nothing_to_use():
    rgb = picture((disc(20, 30, 4), 0.4, 0.0), (disc(40, 30, 4), 0.4, 0.0))
    usable = np.ones((120, 120), bool)
    usable[:, 60:] = False
    labels = segment(rgb, usable)
    assert labels.max() == 1
    assert not labels[~usable].any()


@cache
def large_field() -> ph.Phantom:
    return ph.draw_phantom(ph.crowded_spec(5, n_cells=500))


@pytest.mark.parametrize(("left", "top"), [(50, 60), (121, 37), (203, 200)])
def test_a_nucleus_is_the_same_in_every_tile_that_holds_it_with_its_halo(left, top):
    rgb, side = large_field().rgb, 400
    halo = round(ENOUGH_UM / MPP)
    whole = segment(rgb)[top : top + side, left : left + side]
    part = segment(rgb[top : top + side, left : left + side])
    compared = 0
    for label, (x, y) in enumerate(centroids(part), start=1):
        if halo <= x < side - halo and halo <= y < side - halo:
            mask = part == label
            other = whole[mask]
            assert other.min() == other.max() > 0
            np.testing.assert_array_equal(whole == other[0], mask)
            compared += 1
    assert compared > 40


def test_a_disc_answers_with_0_74_of_its_contrast_at_its_own_scale():
    rows, columns = np.indices((81, 81)) - 40
    plane = (0.5 * (np.hypot(columns, rows) <= 8)).astype(np.float32)
    response = blob_response(plane, [8 / np.sqrt(2)])[40, 40]
    assert response == pytest.approx(0.5 * 2 / np.e, rel=0.05)
    assert blob_response(plane, [3.0, 8 / np.sqrt(2), 14.0])[40, 40] == pytest.approx(response)


def test_seeds_keep_their_distance_and_a_plateau_is_one_seed():
    blobs = np.zeros((40, 40), np.float32)
    blobs[10, 10:13] = 0.5
    blobs[10, 16] = 0.4
    blobs[30, 30] = 0.3
    seeds = find_seeds(blobs, 0.05, 6)
    assert seeds.max() == 2
    assert len({seeds[10, 10], seeds[10, 11], seeds[10, 12]}) == 1
    assert seeds[10, 16] == 0
    assert find_seeds(blobs, 0.35, 6).max() == 1
