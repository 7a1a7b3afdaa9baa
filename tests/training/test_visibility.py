from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.training.scene import Scene
from slidescore.training.visibility import without_unseen

BLACK, BROWN, PALE = (40, 25, 20), (90, 55, 40), (215, 213, 220)


def scene_of(labels: NDArray[np.int32]) -> Scene:
    n = int(labels.max())
    centers = [np.argwhere(labels == k + 1)[:, ::-1].mean(axis=0) for k in range(n)]
    od, known = np.zeros(labels.shape, np.float32), np.ones(labels.shape, bool)
    return Scene("made", "made", "made", "train", 0.5, od, od, labels, np.arange(n, dtype=np.int8) % 3,
                 np.array(centers, np.float32).reshape(n, 2), known, exact_masks=True)  # fmt: skip


def three_nuclei() -> NDArray[np.int32]:
    labels = np.zeros((40, 90), np.int32)
    for k in range(3):
        labels[12:28, 8 + 30 * k : 24 + 30 * k] = k + 1
    return labels


def painted(surroundings: tuple[int, int, int], nuclei: list[tuple[int, int, int]]) -> NDArray[np.uint8]:
    return np.array([surroundings, *nuclei], np.uint8)[three_nuclei()]


def test_a_nucleus_lost_in_black_is_neither_asked_for_nor_background() -> None:
    scene = scene_of(three_nuclei())
    seen = without_unseen(scene, painted(BLACK, [BROWN, BLACK, BROWN]))
    assert seen.types.tolist() == [0, 2]
    np.testing.assert_array_equal(seen.centers_px, scene.centers_px[[0, 2]])
    assert set(np.unique(seen.nuclei)) == {0, 1, 2}
    np.testing.assert_array_equal(~seen.known, scene.nuclei == 2)
    np.testing.assert_array_equal(seen.nuclei == 2, scene.nuclei == 3)


def test_pale_nuclei_stay_however_little_they_stand_out() -> None:
    scene = scene_of(three_nuclei())
    assert without_unseen(scene, painted(PALE, [PALE, PALE, (205, 203, 212)])) is scene


def test_a_difference_no_larger_than_the_unevenness_shows_nothing() -> None:
    scene, rng = scene_of(three_nuclei()), np.random.default_rng(0)
    flat = painted((40, 30, 25), [(52, 42, 37)] * 3).astype(float)
    assert len(without_unseen(scene, flat.astype(np.uint8)).types) == 3
    lumps = np.repeat(np.repeat(rng.normal(0, 30, (10, 23)), 4, axis=0), 4, axis=1)[:, :90, None]
    uneven = np.clip(flat + lumps, 0, 255).astype(np.uint8)
    assert len(without_unseen(scene, uneven).types) < 3


def test_a_scene_without_nuclei_is_left_alone() -> None:
    scene = scene_of(np.zeros((8, 8), np.int32))
    assert without_unseen(scene, np.zeros((8, 8, 3), np.uint8)) is scene
