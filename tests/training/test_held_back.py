from __future__ import annotations

import numpy as np
import pytest

from slidescore.training import held_back
from slidescore.training.held_back import FIELD_MPP, draw_held_back
from slidescore.training.scene import Scene
from slidescore.training.scenes import BRECAHAD, DSB, M2C, load_scenes
from training.made_data import M2C_SPLITS, write_data


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return load_scenes(write_data(tmp_path_factory.mktemp("data")), ("train", "val", "test"))


@pytest.fixture(autouse=True)
def _few_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_back, "N_COMPOSED", 2)
    monkeypatch.setattr(held_back, "COMPOSED_SIZE_PX", 96)


def test_only_held_back_fields_are_drawn_each_in_every_stain(scenes: list[Scene]) -> None:
    groups = {group.name: group for group in draw_held_back(scenes)}
    assert list(groups) == [
        "m2c_he", "m2c_ihc", "m2c_sheet", "dsb_he", "dsb_ihc", "brecahad_ihc", "glands_he", "glands_ihc",
        "glands_heavy", "lattice",
    ]  # fmt: skip
    held = {
        source: {s.name for s in scenes if s.source == source and s.split == "val"} for source in (DSB, M2C, BRECAHAD)
    }
    assert len(held[M2C]) == M2C_SPLITS.count("val")
    for prefix, source in (("m2c", M2C), ("dsb", DSB), ("brecahad", BRECAHAD)):
        for name, group in groups.items():
            if name.startswith(prefix):
                assert {scene.name for scene in group.scenes} == held[source]
    assert [scene.name for scene in groups["glands_he"].scenes] == ["glands-0", "glands-1"]
    for group in groups.values():
        assert len(group.scenes) == len(group.images)
        for scene, image in zip(group.scenes, group.images, strict=True):
            assert image.dtype == np.uint8
            assert image.shape == (*scene.nuclei.shape, 3)
            assert scene.mpp == pytest.approx(FIELD_MPP, rel=1e-3)


def test_the_same_fields_come_out_every_time_whatever_is_trained_on(scenes: list[Scene]) -> None:
    once = draw_held_back(scenes)
    again = draw_held_back([scene for scene in scenes if scene.split == "val"])
    for one, two in zip(once, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.images, two.images, strict=True))
    pictures = [image.tobytes() for group in once for image in group.images]
    assert len(set(pictures)) == len(pictures)


def test_without_held_back_fields_composed_fields_remain(scenes: list[Scene]) -> None:
    groups = draw_held_back([scene for scene in scenes if scene.split == "train"])
    assert [group.name for group in groups] == ["glands_he", "glands_ihc", "glands_heavy", "lattice"]
