from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from slidescore.cells.decode import DecodeSettings
from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.training.evaluate import UNCALIBRATED
from slidescore.training.field_pictures import (
    FALSE_COLOUR,
    MISSED_COLOUR,
    RING_UM,
    TYPE_COLOURS,
    ZOOM,
    best_and_worst,
    draw_field,
)
from slidescore.training.metrics import Counts
from training.made_maps import made_field

SETTINGS = DecodeSettings()
GRID = [(x, y) for y in (20, 60, 100) for x in (20, 50, 80, 110)]


def near(picture: NDArray[np.uint8], colour: tuple[int, int, int], x: int, y: int, reach_px: int) -> int:
    """Pixels of about a colour around a place of the field; JPEG blurs colours."""
    window = picture[ZOOM * (y - reach_px) : ZOOM * (y + reach_px), ZOOM * (x - reach_px) : ZOOM * (x + reach_px)]
    return int((np.abs(window.astype(int) - colour).max(axis=2) < 70).sum())


def test_found_missed_and_false_nuclei_are_told_apart() -> None:
    field = made_field(
        [(20, 20), (60, 20), (100, 20), (20, 80), (60, 80)], [TUMOR, LYMPHOCYTE, STROMAL, TUMOR, TUMOR],
        false=1, heights=[1, 1, 1, 0.01, 1],
    )  # fmt: skip
    picture = imagecodecs.jpeg_decode(draw_field(field, SETTINGS, UNCALIBRATED))
    assert picture.shape == (2 * 128, 2 * 128, 3)
    for (x, y), kind in (((20, 20), "tumor"), ((60, 20), "lymphocyte"), ((100, 20), "stromal")):
        for name, colour in TYPE_COLOURS.items():
            assert (near(picture, colour, x, y, 10) > 30) == (name == kind), (name, kind)
    ring = round(RING_UM / 0.5)
    assert near(picture, MISSED_COLOUR, 20, 80, ring + 3) > 40
    assert near(picture, FALSE_COLOUR, 60, 80, ring + 3) > 60
    assert not near(picture, MISSED_COLOUR, 60, 80, ring + 3)
    assert not near(picture, MISSED_COLOUR, 20, 20, ring + 3)
    # The cross runs through the middle of what is false, and nothing through the middle of what was missed.
    assert near(picture, FALSE_COLOUR, 60, 80, 2) > near(picture, MISSED_COLOUR, 20, 80, 2) == 0


def test_of_each_group_the_best_and_the_worst_are_shown() -> None:
    fields = [made_field(GRID, heights=[1.0] * (12 - n) + [0.01] * n) for n in (4, 0, 8)]
    few = made_field(GRID[:2], heights=[0.01, 0.01])
    best, worst = best_and_worst({"a": [fields[0], few, *fields[1:]], "b": [few]}, SETTINGS, UNCALIBRATED)
    assert [(each.group, each.cells) for each in best] == [("a", Counts(12, 12, 12)), ("b", Counts(0, 2, 0))]
    assert [(each.group, each.cells) for each in worst] == [("a", Counts(4, 12, 4))]


@pytest.mark.parametrize("centers", [[], [(0, 0)], [(127, 127), (0, 64)]])
def test_empty_fields_and_nuclei_at_the_border_are_drawn(centers: list[tuple[int, int]]) -> None:
    assert draw_field(made_field(centers), SETTINGS, UNCALIBRATED)[:3] == b"\xff\xd8\xff"
    assert draw_field(made_field(centers, false=len(centers)), SETTINGS, UNCALIBRATED)[:3] == b"\xff\xd8\xff"
