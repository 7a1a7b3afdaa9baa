from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from scipy import ndimage

from slidescore.cells.types import CELL_TYPES, LYMPHOCYTE, STROMAL, TUMOR
from slidescore.training.donors import Donor
from slidescore.training.glands import compose_glands
from slidescore.training.scene import Scene
from training.made_donor import elliptic_donor

SEEDS = range(6)


def composed(seed: int, size: int = 192, mpp: float = 0.5, donors: tuple[Donor, ...] = ()) -> Scene:
    return compose_glands(size, mpp, donors, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_scene_keeps_its_contract(seed: int) -> None:
    scene = composed(seed)
    n = len(scene.types)
    assert scene.nuclei.dtype == np.int32
    assert scene.nuclei.shape == (192, 192)
    assert set(np.unique(scene.nuclei)) - {0} == set(range(1, n + 1))
    assert scene.types.dtype == np.int8
    assert set(scene.types.tolist()) <= set(range(len(CELL_TYPES)))
    assert scene.centers_px.shape == (n, 2)
    assert scene.centers_px.dtype == np.float32
    expected = np.array(ndimage.center_of_mass(scene.nuclei > 0, scene.nuclei, np.arange(1, n + 1)))
    np.testing.assert_allclose(scene.centers_px, expected[:, ::-1], atol=1e-3)
    for od in (scene.hematoxylin_od, scene.eosin_od):
        assert od.dtype == np.float32
        assert od.shape == scene.nuclei.shape
        assert np.isfinite(od).all()
        assert od.min() >= 0
    assert (scene.source, scene.split, scene.exact_masks) == ("glands", "train", True)
    assert scene.known[scene.nuclei > 0].all()
    assert scene.known.mean() > 0.9


def test_the_same_seed_gives_the_same_scene() -> None:
    first, second, other = composed(3), composed(3), composed(4)
    for field in fields(Scene):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))
    assert not np.array_equal(first.hematoxylin_od, other.hematoxylin_od)


@pytest.mark.parametrize("seed", SEEDS)
def test_nuclei_are_darker_than_what_surrounds_them(seed: int) -> None:
    scene = composed(seed)
    inside = scene.nuclei > 0
    away = ~ndimage.binary_dilation(inside, iterations=2) & scene.known
    assert scene.hematoxylin_od[inside].mean() > scene.hematoxylin_od[away].mean() + 0.12


def test_gland_nuclei_crowd() -> None:
    touching, total, area_mm2 = 0, 0, 0.0
    for seed in range(12):
        scene = composed(seed)
        tumor = np.concatenate([[False], scene.types == TUMOR])
        a, b = scene.nuclei[:, :-1].ravel(), scene.nuclei[:, 1:].ravel()
        c, d = scene.nuclei[:-1].ravel(), scene.nuclei[1:].ravel()
        left, right = np.concatenate([a, c]), np.concatenate([b, d])
        pair = (left != right) & (left > 0) & (right > 0)
        met = np.unique(np.concatenate([left[pair], right[pair]]))
        touching += int(tumor[met].sum())
        total += int(tumor.sum())
        area_mm2 += (192 * 0.5e-3) ** 2
    assert touching / total > 0.4
    assert total / area_mm2 > 3000


@pytest.mark.parametrize("mpp", [0.35, 0.7])
def test_areas_are_those_of_nuclei_at_any_resolution(mpp: float) -> None:
    areas: dict[int, list[float]] = {TUMOR: [], LYMPHOCYTE: [], STROMAL: []}
    for seed in range(8):
        scene = composed(seed, size=160, mpp=mpp)
        area = np.bincount(scene.nuclei.ravel(), minlength=len(scene.types) + 1)[1:] * mpp**2
        for kind, values in areas.items():
            values.extend(area[scene.types == kind])
    assert 20 < np.median(areas[TUMOR]) < 60
    assert 15 < np.median(areas[LYMPHOCYTE]) < 40
    assert 12 < np.median(areas[STROMAL]) < 50
    assert min(min(values) for values in areas.values()) >= 8 - 1e-6


def test_donors_are_used() -> None:
    donor = elliptic_donor()
    without, with_donor = composed(8), composed(8, donors=(donor,))
    assert not np.array_equal(without.hematoxylin_od, with_donor.hematoxylin_od)
    np.testing.assert_array_equal(np.unique(with_donor.nuclei), np.arange(len(with_donor.types) + 1))


@pytest.mark.parametrize(("size", "mpp"), [(64, 0.35), (64, 0.5), (33, 0.7), (96, 4.0), (64, 20.0)])
@pytest.mark.parametrize("seed", [1, 3])
def test_small_fields_and_coarse_resolutions(size: int, mpp: float, seed: int) -> None:
    scene = composed(seed, size=size, mpp=mpp)
    assert scene.nuclei.shape == (size, size)
    assert scene.nuclei.max() == len(scene.types) == len(scene.centers_px)
    assert np.isfinite(scene.hematoxylin_od).all()
