from __future__ import annotations

import numpy as np
import pytest

from slidescore.cells.decode import DecodeSettings
from slidescore.cells.types import LYMPHOCYTE, TUMOR
from slidescore.nn.card import Calibration
from slidescore.training.choose import CANDIDATES, choose_decode, fit_calibration, typed_cells
from slidescore.training.evaluate import calibrate_types, count_fields
from slidescore.training.scene import UNKNOWN_TYPE
from training.made_maps import SURE, made_field

CENTERS_PX = [(20, 20), (60, 20), (100, 20), (20, 70), (60, 70), (100, 70)]


def test_the_threshold_lies_between_false_and_true_peaks() -> None:
    field = made_field(CENTERS_PX, false=3, heights=[0.44, 0.42, 0.41, 0.33, 0.32, 0.31])
    chosen = choose_decode({"one": [field]})
    assert 0.33 < chosen.min_center <= 0.41
    assert count_fields([field], chosen).cells.f1 == 1.0
    assert count_fields([field], DecodeSettings(min_center=0.3)).cells.f1 < 1.0


def test_faint_nuclei_lower_it() -> None:
    field = made_field(CENTERS_PX, heights=[0.28] * 6)
    assert choose_decode({"one": [field]}).min_center == min(CANDIDATES["min_center"])


def test_peaks_close_together_ask_for_a_smaller_distance() -> None:
    close = made_field([(40, 40), (44, 40), (100, 40), (104, 40)])
    chosen = choose_decode({"one": [close]})
    assert chosen.min_distance_um < 2.0
    assert count_fields([close], chosen).cells.f1 == 1.0


def test_every_group_counts_the_same_however_many_fields_it_has() -> None:
    faint = made_field(CENTERS_PX, heights=[0.28] * 6)
    noisy = made_field(CENTERS_PX, false=4, heights=[0.9, 0.9, 0.29, 0.29, 0.29, 0.29])
    # Alone each knows what it wants; three faint fields in one group do not outvote two noisy groups.
    assert choose_decode({"a": [faint] * 3, "b": [faint] * 3, "c": [noisy]}).min_center == 0.25
    assert choose_decode({"a": [noisy]}).min_center > 0.29


def test_cells_are_collected_with_what_was_said_of_them() -> None:
    kinds = [TUMOR, LYMPHOCYTE, UNKNOWN_TYPE, TUMOR, LYMPHOCYTE, TUMOR]
    heights = [1.0, 1.0, 1.0, 0.05, 1.0, 1.0]  # the fourth is missed, the third of no known type, the last not labelled
    field = made_field(CENTERS_PX, kinds, false=1, heights=heights, types=[TUMOR] * 6)
    probability, types = typed_cells([field, field], DecodeSettings())
    assert types.tolist() == [TUMOR, LYMPHOCYTE, LYMPHOCYTE] * 2
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, [[SURE, 0.01, 0.01, 0.01]] * 6, atol=1e-6)
    probability, types = typed_cells([], DecodeSettings())
    assert (probability.shape, types.shape) == ((0, 4), (0,))


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    rng = np.random.default_rng(4)
    u = rng.normal(0, 2, 20_000)
    types = np.where(rng.random(len(u)) < 1 / (1 + np.exp(-u)), TUMOR, LYMPHOCYTE).astype(np.int8)
    # What the network says: logits which the calibration turns into u against 0.
    logits = np.stack([temperature * u, 0 * u, 0 * u - 25, 0 * u - 25], axis=1)
    said = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    found = fit_calibration(said, types)
    assert found.type_temperature == pytest.approx(temperature, rel=0.08)
    tumor = calibrate_types(said, found, axis=1)[:, TUMOR]
    for low in (0.1, 0.4, 0.7):
        inside = (tumor > low) & (tumor < low + 0.2)
        assert (types[inside] == TUMOR).mean() == pytest.approx(tumor[inside].mean(), abs=0.03)


def test_the_mix_of_the_held_back_fields_shifts_nothing() -> None:
    rng = np.random.default_rng(4)
    is_tumor = np.repeat([True, False], [8000, 800])
    u = rng.normal(np.where(is_tumor, 1.5, -1.5), 1.5)
    said = np.zeros((len(u), 4), np.float32)
    said[:, TUMOR], said[:, LYMPHOCYTE] = 1 / (1 + np.exp(-u)), 1 / (1 + np.exp(u))
    found = fit_calibration(said, np.where(is_tumor, TUMOR, LYMPHOCYTE).astype(np.int8))
    assert found.tumor_shift == 0
    tumor = calibrate_types(said, found, axis=1)[:, TUMOR]
    np.testing.assert_array_equal(tumor > 0.5, said[:, TUMOR] > 0.5)


@pytest.mark.parametrize("types", [[], [TUMOR, TUMOR], [LYMPHOCYTE]])
def test_one_kind_alone_calibrates_nothing(types: list[int]) -> None:
    said = np.full((len(types), 4), 0.25, np.float32)
    assert fit_calibration(said, np.array(types, np.int8)) == Calibration(type_temperature=1.0, tumor_shift=0.0)
