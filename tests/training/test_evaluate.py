from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nn.drawn_network import drawn_network, random_network
from slidescore.cells.decode import DecodeSettings
from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.nn.card import Calibration
from slidescore.nn.device import Device
from slidescore.nn.segmenter import calibrated
from slidescore.training.evaluate import (
    NOTHING,
    UNCALIBRATED,
    calibrate_types,
    count_field,
    count_fields,
    decode_field,
    predict_fields,
)
from slidescore.training.metrics import NO_COUNTS, Counts
from slidescore.training.scene import UNKNOWN_TYPE
from training.made_maps import made_field
from training.test_render import scene_of

CENTERS = [(20, 20), (60, 20), (100, 20), (20, 70), (60, 70), (100, 70)]
KINDS = [TUMOR, TUMOR, TUMOR, LYMPHOCYTE, LYMPHOCYTE, STROMAL]
SETTINGS = DecodeSettings()


def test_a_network_that_is_right_finds_and_types_everything() -> None:
    field = made_field(CENTERS, KINDS)
    found = decode_field(field, SETTINGS)
    assert found.nuclei.shape == field.scene.nuclei.shape
    np.testing.assert_array_equal(found.nuclei > 0, field.scene.nuclei > 0)
    counts = count_field(field, SETTINGS)
    assert counts.cells == counts.masks == Counts(6, 6, 6)
    assert counts.types == (Counts(3, 3, 3), Counts(2, 2, 2), Counts(1, 1, 1), NO_COUNTS)


def test_wrong_types_cost_both_types_and_no_cell() -> None:
    counts = count_field(
        made_field(CENTERS, KINDS, types=[TUMOR, TUMOR, LYMPHOCYTE, TUMOR, LYMPHOCYTE, STROMAL]), SETTINGS
    )
    assert counts.cells == Counts(6, 6, 6)
    assert counts.types == (Counts(2, 3, 3), Counts(1, 2, 2), Counts(1, 1, 1), NO_COUNTS)


def test_missed_and_false_cells_are_counted() -> None:
    counts = count_field(made_field(CENTERS, KINDS, false=1, heights=[1, 1, 0.1, 0.1, 1, 1]), SETTINGS)
    assert counts.cells == counts.masks == Counts(3, 5, 4)


def test_nothing_is_false_where_nothing_is_known() -> None:
    field = made_field(CENTERS, KINDS, false=2)
    assert count_field(field, SETTINGS).cells == Counts(4, 4, 6)
    known = np.ones(field.scene.nuclei.shape, bool)
    known[62:78, 92:108] = False
    assert count_field(replace(field, scene=replace(field.scene, known=known)), SETTINGS).cells == Counts(4, 4, 5)


def test_types_are_not_judged_where_some_are_unknown_nor_masks_where_they_are_rough() -> None:
    field = made_field(CENTERS, [*KINDS[:5], UNKNOWN_TYPE])
    assert count_field(field, SETTINGS).types == (NO_COUNTS,) * 4
    assert count_field(field, SETTINGS).cells == Counts(6, 6, 6)
    rough = replace(field, scene=replace(field.scene, exact_masks=False))
    assert count_field(rough, SETTINGS).masks == NO_COUNTS


def test_fields_add_up_and_an_empty_one_adds_nothing() -> None:
    one, two = made_field(CENTERS, KINDS), made_field(CENTERS[:2], KINDS[:2], false=1)
    empty = made_field([], [])
    assert count_field(empty, SETTINGS) == NOTHING
    assert count_fields([one, empty, two], SETTINGS) == count_field(one, SETTINGS) + count_field(two, SETTINGS)
    assert count_fields([], SETTINGS) == NOTHING


@pytest.mark.parametrize("calibration", [UNCALIBRATED, Calibration(type_temperature=1.7, tumor_shift=-0.8)])
def test_calibrating_afterwards_is_calibrating_at_once(calibration: Calibration) -> None:
    logits = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0)) * 3
    before = torch.softmax(logits, dim=1).numpy()
    np.testing.assert_allclose(
        calibrate_types(before, calibration, axis=1), calibrated(logits, calibration).numpy(), atol=1e-6
    )
    rows = before[0].reshape(4, -1).T
    np.testing.assert_allclose(
        calibrate_types(rows, calibration, axis=1).T, calibrate_types(before[0], calibration).reshape(4, -1), atol=1e-7
    )


def test_fields_of_any_size_are_predicted_and_the_network_stays_as_it_is() -> None:
    scenes = [scene_of([(20, 20)], [TUMOR], side=side) for side in (64, 50, 33)]
    images = [np.full((*scene.nuclei.shape, 3), 230, np.uint8) for scene in scenes]
    images[0][12:28, 12:28] = 40
    network = random_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fields = predict_fields(network, Device("cpu", "float32", "CPU"), scenes, images)
    assert [field.maps.center.shape[1:] for field in fields] == [(64, 64), (64, 64), (48, 48)]
    assert [decode_field(field, SETTINGS).nuclei.shape for field in fields] == [(64, 64), (50, 50), (33, 33)]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    [dark] = predict_fields(drawn_network(), Device("cpu", "float32", "CPU"), scenes[:1], images[:1])
    assert count_field(dark, SETTINGS).cells == Counts(1, 1, 1)
