from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slidescore.training.examination import EXAMINATIONS, examination_seed, render_examination
from slidescore.training.ranges import HEAVY, SHEET, TRAINING
from training.test_render import field

PINNED = {
    "synthetic": (166.30, 157.51, 172.99),
    "sheet": (176.19, 161.12, 173.80),
    "heavy": (124.30, 104.24, 100.76),
}
"""Mean of red, green and blue."""


def test_examinations_are_the_same_every_time_and_differ_by_scene_and_kind() -> None:
    scene = field()
    other = replace(scene, name="another")
    pictures = [render_examination(one, kind) for one in (scene, other) for kind in EXAMINATIONS]
    again = [render_examination(one, kind) for one in (scene, other) for kind in EXAMINATIONS]
    for first, second in zip(pictures, again, strict=True):
        assert np.array_equal(first, second)
    for left in range(len(pictures)):
        for right in range(left):
            assert not np.array_equal(pictures[left], pictures[right])


def test_seeds_are_fixed_numbers() -> None:
    """Would fail if anyone changed root or derivation."""
    assert examination_seed("field", "sheet").generate_state(2).tolist() == [3740678117, 2258346860]


@pytest.mark.parametrize(("kind", "rgb"), sorted(PINNED.items()))
def test_pictures_stay_as_they_were_committed(kind: str, rgb: tuple[float, float, float]) -> None:
    """Would fail if a change of the renderer eased an examination; to half a grey level, as libraries round."""
    picture = render_examination(field(), kind)
    assert picture.mean(axis=(0, 1)) == pytest.approx(rgb, abs=0.5)


def test_examinations_are_as_wide_as_training() -> None:
    assert EXAMINATIONS["heavy"] is HEAVY
    assert EXAMINATIONS["synthetic"] is TRAINING
    assert replace(SHEET, pattern_weights=TRAINING.pattern_weights) == TRAINING
    assert [name for name, _ in SHEET.pattern_weights] == ["sheet"]


def test_there_is_no_other_examination() -> None:
    with pytest.raises(KeyError):
        render_examination(field(), "easy")
