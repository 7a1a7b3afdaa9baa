from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slidescore.training.pool import COMPOSED, GLANDS, Pool, PoolPainter, PoolRecipe, draw_crop, group_scenes
from slidescore.training.ranges import HEAVY
from slidescore.training.scene import Scene
from slidescore.training.scenes import BRECAHAD, DSB, M2C, load_scenes
from training.made_data import write_data

RECIPE = PoolRecipe(size_px=64)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return load_scenes(write_data(tmp_path_factory.mktemp("data")), ("train",))


def drawn(scenes: list[Scene], processes: int, *rounds: int) -> list[Pool]:
    painter = PoolPainter(scenes, RECIPE, processes=processes)
    try:
        return [painter.draw(9, 5, number) for number in rounds]
    finally:
        painter.close()


def test_the_number_of_processes_changes_nothing_and_every_round_is_fresh(scenes: list[Scene]) -> None:
    [one, next_round], [two] = drawn(scenes, 1, 0, 1), drawn(scenes, 2, 0)
    for name in Pool.__slots__:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
        assert getattr(one, name).dtype == np.uint8
        assert len(getattr(one, name)) == 9
    assert one.rgb.shape == (9, 64, 64, 3)
    assert one.types.shape == (9, 16, 16)
    assert not any(np.array_equal(a, b) for a, b in zip(one.rgb, next_round.rgb, strict=True))
    assert len({image.tobytes() for image in one.rgb}) == 9


def test_crops_come_from_each_source_by_its_share(scenes: list[Scene]) -> None:
    groups = group_scenes(scenes)
    assert {name: len(group) for name, group in groups.items()} == {DSB: 7, M2C: 3, BRECAHAD: 1}
    recipe = replace(RECIPE, size_px=16, sources=((DSB, 0.0), (M2C, 0.75), (BRECAHAD, 0.25), ("elsewhere", 5.0)))
    rng = np.random.default_rng(0)
    sources = [draw_crop(groups, (), recipe, rng)[1].source for _ in range(60)]
    assert set(sources) == {M2C, BRECAHAD}
    assert 0.6 < sources.count(M2C) / 60 < 0.9


@pytest.mark.parametrize("source", COMPOSED)
def test_composed_fields_need_no_scenes(source: str) -> None:
    recipe = replace(RECIPE, sources=((source, 1.0), (M2C, 1.0)))
    rgb, crop = draw_crop({}, (), recipe, np.random.default_rng(1))
    assert crop.source == source
    assert crop.nuclei.shape == (64, 64) == rgb.shape[:2]
    assert 0.35 <= crop.mpp <= 0.70


def test_nuclei_lost_in_black_are_taken_back() -> None:
    recipe = replace(RECIPE, size_px=192, ihc_share=1.0, ihc_ranges=((HEAVY, 1.0),), sources=((GLANDS, 1.0),))
    unknown = [1 - draw_crop({}, (), recipe, np.random.default_rng(k))[1].known.mean() for k in range(8)]
    plain = replace(recipe, ihc_share=0.0)
    before = [1 - draw_crop({}, (), plain, np.random.default_rng(k))[1].known.mean() for k in range(8)]
    assert sum(unknown) > sum(before)


def test_ihc_and_he_by_their_share(scenes: list[Scene]) -> None:
    groups = group_scenes(scenes)

    def blue_minus_red(share: float) -> float:
        recipe = replace(RECIPE, ihc_share=share, sources=((M2C, 1.0),))
        pictures = [draw_crop(groups, (), recipe, np.random.default_rng(k))[0].astype(float) for k in range(24)]
        return float(np.mean([picture[..., 2].mean() - picture[..., 0].mean() for picture in pictures]))

    # H&E is never brown; IHC is so mostly.
    assert blue_minus_red(0.0) > blue_minus_red(1.0) + 5
