from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slidescore.training.gland_layout import Layout, lay_out, place_capillaries, place_vacuoles
from slidescore.training.gland_style import LAYOUT_CHANCE, draw_style
from slidescore.training.gland_tubules import lay_tubules


def laid_out(name: str, seed: int, side_um: float = 180.0, grid_mpp: float = 1.0) -> Layout:
    rng = np.random.default_rng(seed)
    return lay_out(replace(draw_style(rng), layout=name), side_um, grid_mpp, rng)


@pytest.mark.parametrize("name", LAYOUT_CHANCE)
def test_lumens_lie_in_glands_and_depth_is_bounded(name: str) -> None:
    layout = laid_out(name, 5)
    assert (layout.depth_um[layout.lumen] > 0).all()
    assert np.abs(layout.depth_um).max() <= np.hypot(*layout.depth_um.shape) + 1
    assert np.hypot(layout.cos2, layout.sin2).max() <= 1 + 1e-5
    assert (layout.depth_um > 0).any() == (name != "stroma")


@pytest.mark.parametrize("grid_mpp", [1.0, 25.0])
def test_fields_without_a_border_are_as_deep_as_they_are_wide(grid_mpp: float) -> None:
    layout = laid_out("stroma", 0, 180.0 * grid_mpp, grid_mpp)
    far = np.hypot(*layout.depth_um.shape) * grid_mpp
    np.testing.assert_allclose(layout.depth_um, grid_mpp / 2 - far, rtol=1e-6)


@pytest.mark.parametrize("mpp", [1.0, 8.0, 25.0])
def test_tubules_are_laid_at_any_resolution(mpp: float) -> None:
    # warnings are errors: an infinite depth would raise here
    shares = [lay_tubules(30.0, max(int(180 / mpp), 8), mpp, np.random.default_rng(seed)).mean() for seed in range(20)]
    assert 0.2 < np.mean(shares) < 1


def test_vacuoles_lie_apart_in_epithelium_and_capillaries_in_stroma() -> None:
    rng = np.random.default_rng(2)
    style = replace(draw_style(rng), layout="branching", goblet=0.8)
    layout = lay_out(style, 180.0, 1.0, rng)
    vacuoles, capillaries = place_vacuoles(style, layout, rng), place_capillaries(layout, rng)
    assert len(vacuoles) > 3
    assert (layout.depth_um[tuple(vacuoles[:, 1::-1].astype(int).T)] > 0).all()
    assert (layout.depth_um[tuple(capillaries[:, 1::-1].astype(int).T)] < 0).all()
    gaps = np.hypot(*(vacuoles[:, None, :2] - vacuoles[None, :, :2]).transpose(2, 0, 1))
    reach = vacuoles[:, None, 2] + vacuoles[None, :, 2]
    apart = ~np.eye(len(vacuoles), dtype=bool)
    assert (gaps[apart] > 0.9 * reach[apart]).all()
    assert len(place_vacuoles(replace(style, goblet=0.0), layout, rng)) == 0
