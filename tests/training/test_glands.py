from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from scipy import ndimage

from slidescore.cells.types import CELL_TYPES, LYMPHOCYTE, STROMAL, TUMOR
from slidescore.training.glands import compose_glands
from slidescore.training.nucleus_drawing import (
    Canvas,
    Chromatin,
    Donor,
    Placement,
    cut_donors,
    donor_prototypes,
    draw_nucleus,
    procedural_prototypes,
)
from slidescore.training.scene import UNKNOWN_TYPE, Scene

SEEDS = range(6)


def composed(seed: int, size: int = 192, mpp: float = 0.5, donors: tuple[Donor, ...] = ()) -> Scene:
    return compose_glands(size, mpp, donors, np.random.default_rng(seed))


def elliptic_donor(semi_major: float = 11.0, semi_minor: float = 6.0, angle: float = 0.6) -> Donor:
    y, x = np.mgrid[-16:17, -16:17].astype(np.float64)
    u, v = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    mask = np.hypot(u / semi_major, v / semi_minor) < 1
    # one half of the nucleus is dark, so that its chromatin can be told from a drawn one
    return Donor(np.where(mask, np.where(u > 0, 0.9, 0.3), 0.05).astype(np.float32), mask, 0.4, TUMOR)


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
def test_small_fields_and_coarse_resolutions(size: int, mpp: float) -> None:
    scene = composed(1, size=size, mpp=mpp)
    assert scene.nuclei.shape == (size, size)
    assert scene.nuclei.max() == len(scene.types) == len(scene.centers_px)
    assert np.isfinite(scene.hematoxylin_od).all()


def test_a_donor_comes_back_with_the_wanted_axes_and_its_chromatin() -> None:
    mpp = 0.5
    bank = donor_prototypes([elliptic_donor()], mpp)
    canvas = Canvas(np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32), np.zeros((64, 64), np.int32))
    area = draw_nucleus(canvas, bank.layers[0], bank.semi_axis_px, Placement(32, 30, 12, 6, 0.0, 0.5, 1.0), 1)
    mask = canvas.nuclei == 1
    assert area == mask.sum() == pytest.approx(np.pi * 12 * 6, rel=0.12)
    ys, xs = np.nonzero(mask)
    assert xs.mean() == pytest.approx(32, abs=0.6)
    assert ys.mean() == pytest.approx(30, abs=0.6)
    assert np.ptp(xs) == pytest.approx(24, abs=2)
    assert np.ptp(ys) == pytest.approx(12, abs=2)
    halves = [
        canvas.nuclear_od[mask & side].mean() for side in np.array([np.arange(64) < 31, np.arange(64) > 33])[:, None]
    ]
    assert max(halves) / min(halves) > 2
    assert bank.types.tolist() == [TUMOR]


def test_the_upper_nucleus_owns_the_overlap_and_hematoxylin_adds_partly() -> None:
    bank = procedural_prototypes(np.full(2, Chromatin.LYMPHOID, np.int8), 0.5, np.random.default_rng(0))
    canvas = Canvas(np.zeros((48, 48), np.float32), np.zeros((48, 48), np.float32), np.zeros((48, 48), np.int32))
    lower = draw_nucleus(canvas, bank.layers[0], bank.semi_axis_px, Placement(20, 24, 8, 8, 0, 0.5, 1), 1)
    alone = canvas.nuclear_od.copy()
    upper = draw_nucleus(canvas, bank.layers[1], bank.semi_axis_px, Placement(28, 24, 8, 8, 0, 0.5, 1), 2)
    assert (canvas.nuclei == 2).sum() == upper
    assert 0 < (canvas.nuclei == 1).sum() < lower
    middle = canvas.nuclear_od[22:27, 23:26].mean()
    assert alone[22:27, 23:26].mean() * 1.1 < middle < 2 * 0.5 * 1.6


def test_donors_are_whole_isolated_nuclei_of_exact_scenes() -> None:
    nuclei = np.zeros((80, 80), np.int32)
    y, x = np.mgrid[:80, :80]
    for label, (cx, cy) in enumerate([(20, 20), (0, 60), (50, 50), (63, 50)], start=1):
        nuclei[np.hypot(x - cx, y - cy) < 8] = label
    od = np.where(nuclei > 0, 0.6, 0.1).astype(np.float32)
    types = np.array([LYMPHOCYTE, TUMOR, TUMOR, UNKNOWN_TYPE], np.int8)
    centers = np.zeros((4, 2), np.float32)
    everywhere = np.ones((80, 80), bool)
    scene = Scene("s", "p", "d", "train", 0.5, od, od, nuclei, types, centers, everywhere, exact_masks=True)
    grown = Scene("s", "p", "d", "train", 0.5, od, od, nuclei, types, centers, everywhere, exact_masks=False)
    donors = cut_donors([scene, grown])
    assert [donor.type for donor in donors] == [LYMPHOCYTE]  # 2 is cut by the border, 3 and 4 touch
    assert donors[0].mask.sum() == (nuclei == 1).sum()
    assert donors[0].mask.shape == donors[0].hematoxylin_od.shape
