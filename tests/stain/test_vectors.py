"""Stain vectors are directions: unit length, residual across both, invertible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from slidescore.stain import StainVectors, angle_degrees

components = st.floats(0.01, 1.0)
directions = st.tuples(components, components, components)


@given(directions, directions)
def test_rows_have_length_1_and_the_residual_stands_across(hematoxylin, dab):
    assume(angle_degrees(np.array(hematoxylin), np.array(dab)) > 1)
    matrix = StainVectors(hematoxylin, dab, "x").matrix
    assert np.linalg.norm(matrix, axis=1) == pytest.approx([1, 1, 1])
    assert matrix[2] @ matrix[:2].T == pytest.approx([0, 0], abs=1e-9)


@given(directions, directions)
def test_unmixing_undoes_mixing(hematoxylin, dab):
    assume(angle_degrees(np.array(hematoxylin), np.array(dab)) > 5)
    vectors = StainVectors(hematoxylin, dab, "x")
    assert vectors.matrix @ vectors.unmixing == pytest.approx(np.eye(3), abs=1e-8)


@given(directions, st.floats(0.1, 10))
def test_the_length_of_a_given_vector_means_nothing(hematoxylin, scale):
    assume(angle_degrees(np.array(hematoxylin), np.array((0.27, 0.57, 0.78))) > 5)
    one = StainVectors(hematoxylin, (0.27, 0.57, 0.78), "x").matrix
    other = StainVectors(tuple(scale * c for c in hematoxylin), (0.27, 0.57, 0.78), "x").matrix
    assert other == pytest.approx(one, abs=1e-9)


@pytest.mark.parametrize(("other", "degrees"), [((1, 0, 0), 0), ((5, 0, 0), 0), ((1, 1, 0), 45), ((0, 0, 2), 90)])
def test_angles_are_in_degrees(other, degrees):
    assert angle_degrees(np.array([1.0, 0, 0]), np.array(other, float)) == pytest.approx(degrees)


def test_the_default_assay_has_ruifrok_and_johnstons_vectors(assay):
    assert assay.stains.hematoxylin == (0.65, 0.70, 0.29)
    assert assay.stains.dab == (0.27, 0.57, 0.78)
