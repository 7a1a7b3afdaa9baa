from __future__ import annotations

import numpy as np
import pytest

from slidescore.training.nucleus_drawing import Canvas, Placement, draw_nucleus
from slidescore.training.procedural_nuclei import Chromatin, procedural_prototypes


def test_the_upper_nucleus_owns_the_overlap_and_hematoxylin_adds_partly() -> None:
    bank = procedural_prototypes(np.full(2, Chromatin.LYMPHOID, np.int8), 0.5, np.random.default_rng(0))
    canvas = Canvas(np.zeros((48, 48), np.float32), np.zeros((48, 48), np.float32), np.zeros((48, 48), np.int32))
    lower = draw_nucleus(canvas, bank.layers[0], bank.semi_axis_px, Placement(20, 24, 8, 8, 0, 0.5, 1), 1)
    alone = canvas.nuclear_od.copy()
    upper = draw_nucleus(canvas, bank.layers[1], bank.semi_axis_px, Placement(28, 24, 8, 8, 0, 0.5, 1), 2)
    assert (canvas.nuclei == 2).sum() == upper
    assert 0 < (canvas.nuclei == 1).sum() < lower
    middle = canvas.nuclear_od[22:27, 23:26].mean()
    assert alone[22:27, 23:26].mean() * 1.1 < middle < 2 * 0.5 * 1.6


def test_a_nucleus_beyond_the_canvas_draws_nothing() -> None:
    bank = procedural_prototypes(np.zeros(1, np.int8), 0.5, np.random.default_rng(0))
    canvas = Canvas(np.zeros((16, 16), np.float32), np.zeros((16, 16), np.float32), np.zeros((16, 16), np.int32))
    assert draw_nucleus(canvas, bank.layers[0], bank.semi_axis_px, Placement(60, 8, 8, 8, 0, 0.5, 1), 1) == 0
    assert not canvas.cover.any()


@pytest.mark.parametrize("mpp", [0.25, 0.5, 1.0])
def test_chromatin_has_a_mean_of_one_and_vesicular_nuclei_a_dark_rim(mpp: float) -> None:
    kinds = np.repeat(np.array([Chromatin.VESICULAR, Chromatin.HYPERCHROMATIC], np.int8), 12)
    texture, field = np.moveaxis(procedural_prototypes(kinds, mpp, np.random.default_rng(0)).layers, -1, 0)
    rim, middle = (field > 0) & (field < 0.12), field > 0.3
    contrast = []
    for k in range(len(kinds)):
        assert texture[k][field[k] > 0].mean() == pytest.approx(1, abs=1e-4)
        contrast.append(texture[k][rim[k]].mean() - texture[k][middle[k]].mean())
    assert np.mean(contrast[:12]) > np.mean(contrast[12:]) + 0.1
