from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slidescore.cells.types import LYMPHOCYTE, TUMOR
from slidescore.training.scene import UNKNOWN_TYPE, Scene
from slidescore.training.targets import (
    CENTER_SIGMA_UM,
    IGNORED,
    ROUGH_EDGE_WEIGHT,
    TYPE_STRIDE,
    draw_targets,
    relative_distance,
)
from training.test_render import MPP, SIDE, scene_of


@pytest.fixture
def scene() -> Scene:
    return scene_of([(30, 40), (80, 40), (64, 100)], [TUMOR, LYMPHOCYTE, UNKNOWN_TYPE])


@pytest.mark.parametrize("radius", [5, 8, 13])
def test_relative_distance_of_a_disk_falls_evenly_from_one_in_its_middle(radius: int) -> None:
    y, x = np.mgrid[:64, :64]
    away = np.hypot(x - 31, y - 32)
    relative = relative_distance((away <= radius).astype(np.int32) * 3)
    assert relative.dtype == np.float32
    assert relative[32, 31] == relative.max() == 1.0
    assert not relative[away > radius].any()
    assert (relative[away <= radius] > 0).all()
    inside = away <= radius
    expected = (radius + 1 - away) / (radius + 1)
    assert np.abs(relative - expected)[inside].max() < 1.5 / (radius + 1)


def test_touching_nuclei_have_a_valley_between_them_each_with_its_own_summit() -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[10:30, 10:30], labels[10:30, 30:40] = 1, 2
    relative = relative_distance(labels)
    assert relative[labels == 1].max() == relative[labels == 2].max() == 1.0
    assert relative[20, 29] < 0.2
    assert relative[20, 30] < 0.35
    assert relative[20, 20] > 0.9


def test_relative_distance_of_nothing_is_nothing() -> None:
    assert not relative_distance(np.zeros((8, 8), np.int32)).any()


def test_centers_are_peaks_of_a_known_width_at_the_labelled_places(scene: Scene) -> None:
    center = draw_targets(scene).center
    y, x = np.mgrid[:SIDE, :SIDE]
    away_um = np.min([np.hypot(x - cx, y - cy) for cx, cy in scene.centers_px], axis=0) * MPP
    expected = 255 * np.exp(-0.5 * (away_um / CENTER_SIGMA_UM) ** 2)
    assert np.abs(center - expected).max() < 6  # OpenCV's distance is off by up to a fiftieth of a pixel
    assert [center[round(y), round(x)] for x, y in scene.centers_px] == [255] * 3


def test_centers_outside_and_scenes_without_any_draw_nothing(scene: Scene) -> None:
    moved = replace(scene, centers_px=scene.centers_px + np.float32(500))
    assert not draw_targets(moved).center.any()
    assert not draw_targets(scene_of([], [])).center.any()


def test_types_stand_on_their_nuclei_and_nowhere_else(scene: Scene) -> None:
    targets = draw_targets(scene)
    assert targets.types.shape == (SIDE // TYPE_STRIDE, SIDE // TYPE_STRIDE)
    at = [(int(y) // TYPE_STRIDE, int(x) // TYPE_STRIDE) for x, y in scene.centers_px]
    assert [targets.types[place] for place in at] == [TUMOR, LYMPHOCYTE, IGNORED]
    assert set(np.unique(targets.types)) == {TUMOR, LYMPHOCYTE, IGNORED}
    middles = scene.nuclei[2::TYPE_STRIDE, 2::TYPE_STRIDE]
    np.testing.assert_array_equal(targets.types, np.array([IGNORED, TUMOR, LYMPHOCYTE, IGNORED])[middles])


def test_unknown_zones_have_no_weight(scene: Scene) -> None:
    known = np.ones(scene.nuclei.shape, bool)
    known[:, 100:] = False
    exact = draw_targets(replace(scene, known=known))
    assert not exact.weight[:, 100:].any()
    assert (exact.weight[:, :100] == 255).all()
    rough = draw_targets(replace(scene, known=known, exact_masks=False))
    assert not rough.weight[:, 100:].any()
    assert set(np.unique(rough.weight)) == {0, ROUGH_EDGE_WEIGHT, 255}


def test_rough_masks_are_unsure_at_their_edges_alone(scene: Scene) -> None:
    weight = draw_targets(replace(scene, exact_masks=False)).weight
    x, y = 30, 40
    assert weight[y, x] == 255
    assert weight[y, x + 7] == ROUGH_EDGE_WEIGHT
    assert weight[y, x + 8] == ROUGH_EDGE_WEIGHT
    assert weight[y, x + 12] == 255


def test_foreground_is_where_nuclei_are(scene: Scene) -> None:
    targets = draw_targets(scene)
    np.testing.assert_array_equal(targets.foreground, scene.nuclei > 0)
    assert {getattr(targets, name).dtype for name in targets.__slots__} == {np.dtype(np.uint8)}
