"""Stain estimation finds planted vectors, and falls back with a reason where it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import phantom as ph
from slidescore.stain import StainEstimate, angle_degrees, estimate_vectors, optical_density


@pytest.fixture
def estimate(assay, vectors):
    """Estimate the stains of a phantom with the default assay's limits, some of them changed."""

    def of(phantom: ph.Phantom, **changes) -> StainEstimate:
        pixels = phantom.rgb[phantom.truth.tissue]
        limits = {name: getattr(assay.stains.estimate, name) for name in type(assay.stains.estimate).model_fields}
        return estimate_vectors(optical_density(pixels, phantom.spec.white), vectors, **(limits | changes))

    return of


def stained(**changes) -> ph.Phantom:
    """A field with plenty of both stains; blue only between the cells."""
    spec = ph.apart_spec(2, n_cells=150, nucleus_hematoxylin_od=(0.3, 0.6), dab_od_shares=(0.2, 0.0, 0.4, 0.4))
    straight = {"hematoxylin_turn_deg": 0.0, "dab_turn_deg": 0.0, "dab_background_od": 0.0, "illumination": 0.0}
    return ph.draw_phantom(replace(spec, **(straight | changes)))


def turns(found: StainEstimate, phantom: ph.Phantom) -> tuple[float, float]:
    """Degrees between the estimated and the planted vectors."""
    h, d = np.array(found.vectors.hematoxylin), np.array(found.vectors.dab)
    return angle_degrees(h, phantom.vectors[0]), angle_degrees(d, phantom.vectors[1])


@pytest.mark.parametrize(
    ("hematoxylin_turn", "dab_turn", "azimuth"),
    [(0.0, 0.0, 0.0), (5.0, -5.0, 0.0), (-4.0, 4.0, 60.0), (6.0, 3.0, 90.0)],
)
def test_planted_vectors_are_recovered_within_2_degrees(estimate, hematoxylin_turn, dab_turn, azimuth):
    phantom = stained(hematoxylin_turn_deg=hematoxylin_turn, dab_turn_deg=dab_turn, turn_azimuth_deg=azimuth)
    found = estimate(phantom)
    assert found.used, found.reason
    assert found.vectors.source == "estimated"
    assert max(turns(found, phantom)) <= 2.0


def test_the_turn_that_is_reported_is_the_larger_one(estimate, vectors):
    found = estimate(stained(hematoxylin_turn_deg=6.0, dab_turn_deg=1.0, turn_azimuth_deg=90.0))
    reference = vectors.matrix
    larger = angle_degrees(np.array(found.vectors.hematoxylin), reference[0])
    assert found.turn_degrees == pytest.approx(larger, abs=0.5)
    assert larger > angle_degrees(np.array(found.vectors.dab), reference[1])


def test_a_negative_slide_keeps_the_fixed_vectors_and_says_why(estimate, vectors):
    found = estimate(ph.draw_phantom(ph.negative_spec(3, n_cells=200)))
    assert not found.used
    assert found.reason
    assert found.vectors == vectors


def test_too_few_stained_pixels(estimate, vectors):
    phantom = stained()
    n = int((np.linalg.norm(optical_density(phantom.rgb, phantom.spec.white), axis=2) >= 0.15).sum())
    assert estimate(phantom, min_stained_pixels=n).used
    found = estimate(phantom, min_stained_pixels=n + 1)
    assert (found.used, found.vectors, found.n_pixels) == (False, vectors, n)
    assert found.reason == f"only {n} stained pixels"
    assert found.turn_degrees is None


def test_no_pixels_at_all(vectors):
    found = estimate_vectors(
        np.empty((0, 3)), vectors, min_od=0.15, max_turn_degrees=12, max_residual_od=0.1, min_stained_pixels=100
    )
    assert (found.used, found.n_pixels, found.vectors) == (False, 0, vectors)


def test_too_large_a_turn(estimate, vectors):
    found = estimate(stained(dab_turn_deg=18.0, turn_azimuth_deg=90.0))
    assert not found.used
    assert found.turn_degrees > 12
    assert "degrees, more than 12" in found.reason
    assert found.vectors == vectors


def test_too_large_a_residual(estimate, vectors):
    found = estimate(stained(), max_residual_od=1e-4)
    assert not found.used
    assert "OD, more than 0.0001" in found.reason
    assert found.vectors == vectors
