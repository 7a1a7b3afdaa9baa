from __future__ import annotations

import numpy as np
import pytest

from slidescore.cells.types import LYMPHOCYTE, TUMOR
from slidescore.training.donors import cut_donors, donor_axes, donor_prototypes
from slidescore.training.nucleus_drawing import Canvas, Placement, draw_nucleus
from slidescore.training.scene import UNKNOWN_TYPE, Scene
from training.made_donor import elliptic_donor


def test_the_axes_of_a_donor_are_those_of_its_ellipse() -> None:
    donor = elliptic_donor(semi_major=11.0, semi_minor=6.0, angle=0.6)
    centre_px, semi_axes_px, directions = donor_axes(donor)
    np.testing.assert_allclose(centre_px, [16, 16], atol=1e-6)
    np.testing.assert_allclose(semi_axes_px, [11, 6], rtol=0.02)
    assert abs(directions[:, 0] @ [np.cos(0.6), np.sin(0.6)]) == pytest.approx(1, abs=1e-3)


def test_a_donor_comes_back_with_the_wanted_axes_and_its_chromatin() -> None:
    mpp = 0.5
    bank = donor_prototypes([elliptic_donor()], mpp)
    canvas = Canvas(np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32), np.zeros((64, 64), np.int32))
    area = draw_nucleus(canvas, bank.layers[0], bank.semi_axis_px, Placement(32, 30, 12, 6, 0.0, 0.5, 1.0), 1)
    mask = canvas.nuclei == 1
    assert area == mask.sum() == pytest.approx(np.pi * 12 * 6, rel=0.12)
    ys, xs = np.nonzero(mask)
    assert xs.mean() == pytest.approx(32, abs=0.6)
    assert ys.mean() == pytest.approx(30, abs=0.6)
    assert np.ptp(xs) == pytest.approx(24, abs=2)
    assert np.ptp(ys) == pytest.approx(12, abs=2)
    halves = [
        canvas.nuclear_od[mask & side].mean() for side in np.array([np.arange(64) < 31, np.arange(64) > 33])[:, None]
    ]
    assert max(halves) / min(halves) > 2
    assert bank.types.tolist() == [TUMOR]


def test_donors_are_whole_isolated_nuclei_of_exact_scenes() -> None:
    nuclei = np.zeros((80, 80), np.int32)
    y, x = np.mgrid[:80, :80]
    for label, (cx, cy) in enumerate([(20, 20), (0, 60), (50, 50), (63, 50)], start=1):
        nuclei[np.hypot(x - cx, y - cy) < 8] = label
    od = np.where(nuclei > 0, 0.6, 0.1).astype(np.float32)
    types = np.array([LYMPHOCYTE, TUMOR, TUMOR, UNKNOWN_TYPE], np.int8)
    centers = np.zeros((4, 2), np.float32)
    everywhere = np.ones((80, 80), bool)
    scene = Scene("s", "p", "d", "train", 0.5, od, od, nuclei, types, centers, everywhere, exact_masks=True)
    grown = Scene("s", "p", "d", "train", 0.5, od, od, nuclei, types, centers, everywhere, exact_masks=False)
    donors = cut_donors([scene, grown])
    assert [donor.type for donor in donors] == [LYMPHOCYTE]  # 2 is cut by the border, 3 and 4 touch
    assert donors[0].mask.sum() == (nuclei == 1).sum()
    assert donors[0].mask.shape == donors[0].hematoxylin_od.shape
