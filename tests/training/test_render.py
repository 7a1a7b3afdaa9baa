from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from slidescore.cells.types import LYMPHOCYTE, TUMOR
from slidescore.training.photograph import DAB_KINDS, HEMATOXYLIN_KINDS, transmit
from slidescore.training.ranges import PATTERNS, TRAINING, RenderRanges
from slidescore.training.render import StainMaps, render_he, render_ihc, stain_maps
from slidescore.training.scene import UNKNOWN_TYPE, Scene
from slidescore.training.territory import nearest_label

MPP = 0.5
SIDE = 128


def scene_of(
    centers: list[tuple[int, int]], types: list[int], *, side: int = SIDE, backdrop: float = 0.2, name: str = "made"
) -> Scene:
    """Round nuclei of 7 um on tissue."""
    nuclei = np.zeros((side, side), np.int32)
    for label, (x, y) in enumerate(centers, start=1):
        cv2.circle(nuclei, (x, y), 7, label, -1)
    rng = np.random.default_rng(5)
    texture = rng.uniform(0.8, 1.2, size=nuclei.shape).astype(np.float32)
    return Scene(
        name=name,
        patient="p",
        source="made",
        split="train",
        mpp=MPP,
        hematoxylin_od=(np.where(nuclei > 0, 0.6, 0.5 * backdrop) * texture).astype(np.float32),
        eosin_od=(np.where(nuclei > 0, 0.05, backdrop) * texture).astype(np.float32),
        nuclei=nuclei,
        types=np.asarray(types, np.int8),
        centers_px=np.asarray(centers, np.float32).reshape(-1, 2),
        known=np.ones(nuclei.shape, bool),
        exact_masks=True,
    )


def field(*, side: int = SIDE) -> Scene:
    """A grid of tumor cells, some cut by the border, and two lymphocytes."""
    centers = [(x, y) for y in range(2, side, 24) for x in range(2, side, 24)]
    return scene_of(centers, [LYMPHOCYTE, LYMPHOCYTE] + [TUMOR] * (len(centers) - 2), side=side)


def only(pattern: str, **changes: object) -> RenderRanges:
    """One pattern at a known level, on all tumor cells, with nothing beside it."""
    return replace(
        TRAINING,
        pattern_weights=((pattern, 1.0),),
        **{  # type: ignore[arg-type]
            "dab_level_od": (0.8, 0.8),
            "cell_spread": (0.0, 0.0),
            "patch_spread": (0.0, 0.0),
            "all_cells_probability": 1.0,
            "whole_tumor_probability": 1.0,
            "clean_background_probability": 1.0,
            "artefact_probability": 0.0,
            "vacuole_probability": 0.0,
            **changes,
        },
    )


def ring(scene: Scene, near_um: float, far_um: float) -> NDArray[np.bool_]:
    """Pixels so far from any nucleus."""
    _, distance = nearest_label(scene.nuclei)
    return np.asarray((distance * scene.mpp > near_um) & (distance * scene.mpp <= far_um))


def maps_of(pattern: str, seed: int = 0, **changes: object) -> tuple[Scene, StainMaps]:
    scene = field()
    return scene, stain_maps(scene, only(pattern, **changes), np.random.default_rng(seed))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_gives_finite_stains_and_a_picture_of_the_scenes_size(pattern: str) -> None:
    scene = field()
    for seed in range(3):
        maps = stain_maps(scene, only(pattern, artefact_probability=1.0), np.random.default_rng(seed))
        assert maps.pattern == pattern
        for plane in (maps.hematoxylin_od, maps.dab_od):
            assert plane.dtype == np.float32
            assert np.isfinite(plane).all()
            assert plane.min() >= 0.0
        picture = render_ihc(scene, only(pattern), np.random.default_rng(seed))
        assert picture.shape == (SIDE, SIDE, 3)
        assert picture.dtype == np.uint8


@pytest.mark.parametrize("seed", range(4))
def test_nuclear_dab_lies_in_tumor_nuclei(seed: int) -> None:
    scene, maps = maps_of("nuclear", seed, bystander_fraction=(0.0, 0.0))
    tumor = np.isin(scene.nuclei, np.flatnonzero(scene.types == TUMOR) + 1)
    core = cv2.erode(tumor.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert 0.5 < maps.dab_od[core].mean() < 1.1
    assert maps.dab_od[ring(scene, 1.0, 3.0)].mean() < 0.35 * maps.dab_od[core].mean()


@pytest.mark.parametrize("seed", range(4))
def test_cytoplasm_dab_lies_beside_the_nucleus(seed: int) -> None:
    scene, maps = maps_of("cytoplasm", seed, tumor_radius_um=(5.0, 5.0), nuclear_haze=(0.1, 0.1))
    _, hazy = maps_of("cytoplasm", seed, tumor_radius_um=(5.0, 5.0), nuclear_haze=(0.4, 0.4))
    core = cv2.erode((scene.nuclei > 2).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    beside = ring(scene, 0.6, 2.5) & (maps.cell > 2)
    assert maps.dab_od[beside].mean() > 0.35
    assert maps.dab_od[core].mean() < 0.3 * maps.dab_od[beside].mean()
    assert hazy.dab_od[core].mean() > 2.0 * maps.dab_od[core].mean()


@pytest.mark.parametrize("seed", range(4))
def test_membrane_dab_lies_on_borders_of_cells(seed: int) -> None:
    scene, maps = maps_of("membrane", seed, membrane_width_um=(1.0, 1.0), bystander_fraction=(0.0, 0.0))
    edge = cv2.morphologyEx(maps.cell.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    edge &= (maps.cell > 2) & (scene.nuclei == 0)
    away = (cv2.dilate(edge.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0) & (maps.cell > 2)
    assert maps.dab_od[edge].mean() > 0.35
    assert maps.dab_od[away].mean() < 0.4 * maps.dab_od[edge].mean()


def test_sheets_are_a_brown_lattice_with_pale_nuclei_of_every_type() -> None:
    scene, maps = maps_of("sheet")
    for label in range(1, len(scene.types) + 1):
        own = (maps.cell == label) & (scene.nuclei == 0)
        assert maps.dab_od[own].mean() > maps.dab_od[scene.nuclei == label].mean()
    assert maps.hematoxylin_od[scene.nuclei > 0].mean() < TRAINING.sheet_hematoxylin_od[1] * 1.3


def test_immune_stains_spare_tumor_cells() -> None:
    scene, maps = maps_of("immune", seed=2, bystander_fraction=(0.0, 0.0))
    assert maps.dab_od[maps.cell > 2].max() < 0.2
    del scene


def test_negative_leaves_nothing_above_the_background() -> None:
    _, maps = maps_of("negative")
    assert maps.dab_od.max() == 0.0
    _, hazy = maps_of("negative", clean_background_probability=0.0, background_dab_od=(0.1, 0.1))
    assert 0.02 < hazy.dab_od.mean() < 0.2


def test_stains_part_again_with_their_vectors() -> None:
    _, maps = maps_of("cytoplasm_membrane")
    vectors = [np.asarray(HEMATOXYLIN_KINDS[0]), np.asarray(DAB_KINDS[0])]
    light = transmit([maps.hematoxylin_od, maps.dab_od], vectors)
    od = -np.log10(light).reshape(-1, 3)
    amounts, *_ = np.linalg.lstsq(np.stack(vectors).T, od.T.astype(np.float64), rcond=None)
    np.testing.assert_allclose(amounts[1].reshape(SIDE, SIDE), maps.dab_od, atol=1e-3)


def test_the_same_generator_gives_the_same_bytes() -> None:
    scene = field()
    for seed in range(5):
        first = render_ihc(scene, TRAINING, np.random.default_rng(seed))
        assert np.array_equal(first, render_ihc(scene, TRAINING, np.random.default_rng(seed)))
        assert not np.array_equal(first, render_ihc(scene, TRAINING, np.random.default_rng(seed + 100)))
        he = render_he(scene, np.random.default_rng(seed))
        assert np.array_equal(he, render_he(scene, np.random.default_rng(seed)))


@pytest.mark.parametrize("seed", range(6))
def test_nuclei_stay_where_they_are(seed: int) -> None:
    scene = field()
    inside = cv2.erode((scene.nuclei > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    outside = ring(scene, 1.0, 20.0)
    maps = stain_maps(scene, only("negative"), np.random.default_rng(seed))
    assert maps.hematoxylin_od[inside].mean() > 1.3 * maps.hematoxylin_od[outside].mean()
    for picture in (
        render_ihc(scene, only("negative"), np.random.default_rng(seed)),
        render_he(scene, np.random.default_rng(seed)),
    ):
        red = picture[..., 0].astype(np.float64)  # hematoxylin takes red away, eosin does not
        # Shifted copies of the mask fit worse: nothing was moved.
        contrast = {
            (dx, dy): red[np.roll(scene.nuclei > 0, (dy, dx), (0, 1))].mean() for dx in (-4, 0, 4) for dy in (-4, 0, 4)
        }
        assert min(contrast, key=contrast.__getitem__) == (0, 0)


def test_glass_stays_clear() -> None:
    scene = field()
    glass = np.zeros(scene.nuclei.shape, bool)
    glass[:, SIDE // 2 :] = True
    nuclei = np.where(glass, 0, scene.nuclei).astype(np.int32)
    scene = replace(
        scene,
        nuclei=nuclei,
        hematoxylin_od=np.where(glass, 0, scene.hematoxylin_od).astype(np.float32),
        eosin_od=np.where(glass, 0, scene.eosin_od).astype(np.float32),
    )
    maps = stain_maps(scene, only("sheet", clean_background_probability=0.0), np.random.default_rng(1))
    far = np.s_[:, SIDE // 2 + 12 :]
    assert maps.dab_od[far].max() < 0.01
    assert maps.hematoxylin_od[far].max() < 0.01


def test_nuclei_on_nothing_get_tissue_around_them() -> None:
    scene = scene_of([(40, 40), (70, 60)], [UNKNOWN_TYPE, UNKNOWN_TYPE], backdrop=0.0)
    kept = only("negative", eosin_kept=(0.1, 0.1))
    maps = stain_maps(scene, kept, np.random.default_rng(0))
    assert maps.hematoxylin_od[ring(scene, 1.0, 5.0)].std() > 0.003


@pytest.mark.parametrize("pattern", PATTERNS)
def test_scenes_without_nuclei_or_with_one_work(pattern: str) -> None:
    for scene in (scene_of([], []), scene_of([(60, 60)], [TUMOR]), scene_of([(0, 0)], [UNKNOWN_TYPE], side=40)):
        for seed in range(3):
            maps = stain_maps(scene, only(pattern), np.random.default_rng(seed))
            assert np.isfinite(maps.dab_od).all()
            assert np.isfinite(maps.hematoxylin_od).all()
            assert render_ihc(scene, only(pattern), np.random.default_rng(seed)).shape == (*scene.nuclei.shape, 3)
        assert render_he(scene, np.random.default_rng(0)).shape == (*scene.nuclei.shape, 3)


def test_mirrored_views_render_like_copies() -> None:
    scene = field()
    turned = replace(
        scene,
        hematoxylin_od=np.rot90(scene.hematoxylin_od, 2),
        eosin_od=np.rot90(scene.eosin_od, 2),
        nuclei=np.rot90(scene.nuclei, 2),
        centers_px=(SIDE - 1 - scene.centers_px).astype(np.float32),
    )
    copied = replace(
        turned,
        hematoxylin_od=turned.hematoxylin_od.copy(),
        eosin_od=turned.eosin_od.copy(),
        nuclei=turned.nuclei.copy(),
    )
    for pattern in PATTERNS:
        first, second = (
            render_ihc(one, only(pattern, artefact_probability=1.0), np.random.default_rng(3))
            for one in (turned, copied)
        )
        assert np.array_equal(first, second)


def test_strengths_span_weak_to_strong() -> None:
    scene = field(side=96)
    levels = [
        float(
            np.quantile(stain_maps(scene, replace(TRAINING, pattern_weights=(("cytoplasm", 1.0),)), rng).dab_od, 0.95)
        )
        for rng in map(np.random.default_rng, range(60))
    ]
    assert min(levels) < 0.25
    assert max(levels) > 1.2
