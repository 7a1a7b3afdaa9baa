from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from scipy import ndimage

from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.training.lattice import compose_lattice
from slidescore.training.lattice_layout import lay_lattice
from slidescore.training.render import StainMaps
from slidescore.training.scene import Scene
from slidescore.training.territory import borders

SEEDS = range(5)


def composed(seed: int, size: int = 192, mpp: float = 0.5) -> tuple[Scene, StainMaps]:
    return compose_lattice(size, mpp, (), np.random.default_rng(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lattice_keeps_the_contract_of_scenes(seed: int) -> None:
    scene, maps = composed(seed)
    n = len(scene.types)
    assert set(np.unique(scene.nuclei)) - {0} == set(range(1, n + 1))
    assert set(scene.types.tolist()) <= {TUMOR, LYMPHOCYTE, STROMAL}
    expected = np.array(ndimage.center_of_mass(scene.nuclei > 0, scene.nuclei, np.arange(1, n + 1)))
    np.testing.assert_allclose(scene.centers_px, expected[:, ::-1], atol=1e-3)
    assert (scene.source, scene.split, scene.exact_masks) == ("lattice", "train", True)
    assert scene.known[scene.nuclei > 0].all()
    assert scene.known.mean() > 0.9
    for od in (maps.hematoxylin_od, maps.dab_od):
        assert od.dtype == np.float32
        assert od.shape == scene.nuclei.shape == (192, 192)
        assert np.isfinite(od).all()
        assert od.min() >= 0


def test_the_same_seed_gives_the_same_field() -> None:
    (first, maps), (second, again), (other, _) = composed(3), composed(3), composed(4)
    for field in fields(Scene):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))
    np.testing.assert_array_equal(maps.dab_od, again.dab_od)
    assert not np.array_equal(first.hematoxylin_od, other.hematoxylin_od)


def test_many_cells_have_no_nucleus_in_the_section() -> None:
    shares = []
    for seed in range(12):
        scene, maps = composed(seed)
        cells = np.count_nonzero(np.bincount(maps.cell.ravel())[1:] > 150)
        shares.append(np.count_nonzero(scene.types == TUMOR) / cells)
    assert 0.2 < np.mean(shares) < 0.9


def test_dab_follows_membranes_and_hematoxylin_nuclei() -> None:
    on_line = []
    for seed in SEEDS:
        scene, maps = composed(seed)
        gland, nuclei = maps.cell > 0, scene.nuclei > 0
        away_um = ndimage.distance_transform_edt(~borders(maps.cell)) * scene.mpp
        line, middle = gland & (away_um < 1) & ~nuclei, gland & (away_um > 3) & ~nuclei
        on_line.append(float(maps.dab_od[line].mean() / maps.dab_od[middle].mean()))
        assert maps.dab_od[gland].mean() > 2 * maps.dab_od[~gland].mean()
        assert maps.hematoxylin_od[nuclei].mean() > 1.5 * maps.hematoxylin_od[gland & ~nuclei].mean()
    # Cells may be solid with DAB, so that their membranes hardly stand out in some fields.
    assert min(on_line) > 1.0
    assert np.mean(on_line) > 1.4


def test_tumor_nuclei_lie_in_glands_and_others_between() -> None:
    tumor, others = [], []
    for seed in SEEDS:
        scene, maps = composed(seed)
        at = np.rint(scene.centers_px).astype(int)
        in_gland = maps.cell[at[:, 1], at[:, 0]] > 0
        tumor += in_gland[scene.types == TUMOR].tolist()
        others += in_gland[scene.types != TUMOR].tolist()
    # Some are pushed against the rim and bulge out of it.
    assert np.mean(tumor) > 0.75
    assert np.mean(others) < 0.05


def test_borders_are_as_far_as_the_layout_says() -> None:
    layout = lay_lattice(256, 0.5, np.random.default_rng(2))
    measured_um = ndimage.distance_transform_edt(~borders(layout.cell)) * 0.5
    near = layout.gland & (layout.border_um < 1)
    deep = layout.gland & (layout.border_um > 3)
    assert np.percentile(measured_um[near], 90) < 2.5
    assert measured_um[deep].min() > 0.5
    assert (layout.rim_um[~layout.gland] == 0).all()
