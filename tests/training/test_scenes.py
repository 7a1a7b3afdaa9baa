from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slidescore.cells.types import CELL_TYPES, TUMOR
from slidescore.errors import InputError
from slidescore.training.scene import UNKNOWN_TYPE, Scene
from slidescore.training.scenes import (
    BRECAHAD,
    DSB,
    DSB_MPP,
    M2C,
    M2C_MPP,
    TYPICAL_NUCLEUS_UM2,
    WORKING_MPP,
    centroids,
    load_scenes,
)
from training.made_data import BRECAHAD_CASES, M2C_SPLITS, N_DSB, m2c_name, made_field, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def scenes(data: Path) -> list[Scene]:
    return load_scenes(data, ("train", "val", "test"))


def of(scenes: list[Scene], source: str) -> list[Scene]:
    return [scene for scene in scenes if scene.source == source]


def test_every_field_is_loaded_once_in_a_fixed_order(data: Path, scenes: list[Scene]) -> None:
    assert [len(of(scenes, source)) for source in (DSB, M2C, BRECAHAD)] == [N_DSB, len(M2C_SPLITS), len(BRECAHAD_CASES)]
    again = load_scenes(data, ("train", "val", "test"))
    for one, two in zip(scenes, again, strict=True):
        assert one.name == two.name
        assert np.array_equal(one.nuclei, two.nuclei)
        assert np.array_equal(one.hematoxylin_od, two.hematoxylin_od)


def test_splits_hold_apart_and_the_test_list_is_not_loaded_unasked(data: Path, scenes: list[Scene]) -> None:
    assert [scene.split for scene in of(scenes, DSB)] == ["val"] + ["train"] * 7 + ["val"]
    assert [scene.split for scene in of(scenes, M2C)] == list(M2C_SPLITS)
    assert [scene.split for scene in of(scenes, BRECAHAD)] == ["val", "train"]
    assert {scene.split for scene in load_scenes(data)} == {"train", "val"}
    splits: dict[tuple[str, str], set[str]] = {}
    for scene in scenes:
        splits.setdefault((scene.source, scene.patient), set()).add(scene.split)
    assert all(len(each) == 1 for each in splits.values())


def test_what_a_scene_promises_holds(scenes: list[Scene]) -> None:
    for scene in scenes:
        n = int(scene.nuclei.max())
        assert set(np.unique(scene.nuclei)) == set(range(n + 1))
        assert scene.types.shape == (n,)
        assert scene.types.dtype == np.int8
        assert scene.centers_px.shape == (n, 2)
        assert scene.types.min(initial=0) >= UNKNOWN_TYPE
        assert scene.types.max(initial=0) < len(CELL_TYPES)
        for plane in (scene.hematoxylin_od, scene.eosin_od):
            assert plane.dtype == np.float32
            assert plane.shape == scene.nuclei.shape == scene.known.shape
            assert plane.min() >= 0
        assert scene.mpp >= WORKING_MPP
        assert scene.known[scene.nuclei > 0].all()


def test_masks_are_kept_and_their_resolution_guessed_from_the_typical_nucleus(scenes: list[Scene]) -> None:
    for number, scene in enumerate(of(scenes, DSB)):
        true, _ = made_field(number)
        np.testing.assert_array_equal(scene.nuclei, true.nuclei)
        assert scene.exact_masks
        assert (scene.types == UNKNOWN_TYPE).all()
        median_um2 = np.median(np.bincount(true.nuclei.ravel())[1:]) * scene.mpp**2
        assert median_um2 == pytest.approx(TYPICAL_NUCLEUS_UM2, rel=1e-6) or scene.mpp in DSB_MPP


def test_typed_points_become_typed_nuclei(scenes: list[Scene]) -> None:
    for number, scene in enumerate(of(scenes, M2C)):
        true, _ = made_field(100 + number)
        assert (scene.name, scene.patient, scene.mpp) == (m2c_name(number), f"TCGA-XX-{number:04d}", M2C_MPP)
        assert not scene.exact_masks
        # A point whose pixel another nucleus took may be lost; hardly any is.
        assert len(scene.types) >= 0.95 * len(true.types)
        own = [true.nuclei[round(y), round(x)] for x, y in scene.centers_px.tolist()]
        kinds = true.types[np.array(own) - 1]
        assert (scene.types == kinds).mean() > 0.95
        assert ((scene.nuclei > 0) & (true.nuclei > 0)).sum() > 0.6 * (scene.nuclei > 0).sum()


def test_of_boxes_only_what_is_labelled_is_known(scenes: list[Scene]) -> None:
    for scene in of(scenes, BRECAHAD):
        np.testing.assert_array_equal(scene.known, scene.nuclei > 0)
        assert set(np.unique(scene.types)) <= {UNKNOWN_TYPE, TUMOR}
        assert scene.mpp == WORKING_MPP
        at = np.rint(scene.centers_px).astype(int)
        assert (scene.nuclei[at[:, 1], at[:, 0]] == np.arange(1, len(at) + 1)).mean() > 0.95


def test_one_data_set_is_enough_and_none_is_said_in_one_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / DSB).symlink_to(data / DSB)
    assert {scene.source for scene in load_scenes(tmp_path)} == {DSB}
    with pytest.raises(InputError, match="holds none of the training data sets") as error:
        load_scenes(tmp_path / "nowhere")
    assert "\n" not in str(error.value)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    write_data(tmp_path)
    (tmp_path / M2C / "images" / m2c_name(0)).write_bytes(b"no picture")
    with pytest.raises(InputError, match=m2c_name(0)):
        load_scenes(tmp_path)


def test_centroids_are_means_of_pixels() -> None:
    labels = np.zeros((10, 12), np.int32)
    labels[2:5, 3:8], labels[7, 1] = 1, 2
    np.testing.assert_allclose(centroids(labels), [[5, 3], [1, 7]])
    assert centroids(np.zeros((4, 4), np.int32)).shape == (0, 2)


def test_a_field_of_a_patient_that_is_trained_on_is_not_held_back(tmp_path: Path) -> None:
    write_data(tmp_path)
    table = tmp_path / M2C / "labels_points.csv"
    name, same = m2c_name(M2C_SPLITS.index("train")), m2c_name(M2C_SPLITS.index("train")).replace("field", "more")
    (tmp_path / M2C / "images" / same).write_bytes((tmp_path / M2C / "images" / name).read_bytes())
    table.write_text(table.read_text() + f"{same},val,9,9,stromal\n")
    found = [scene.name for scene in load_scenes(tmp_path)]
    assert name in found
    assert same not in found


@pytest.mark.parametrize("damage", ["missing", "class", "column"])
def test_a_damaged_table_is_one_line(tmp_path: Path, damage: str) -> None:
    write_data(tmp_path)
    table = tmp_path / M2C / "labels_points.csv"
    text = table.read_text()
    if damage == "missing":
        table.unlink()
    else:
        table.write_text(text.replace("stromal", "fat") if damage == "class" else text.replace("class", "kind", 1))
    with pytest.raises(InputError, match="not laid out as its data set") as error:
        load_scenes(tmp_path)
    assert "\n" not in str(error.value)
