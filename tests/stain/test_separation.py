"""Optical density in, the same optical density out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.color import hdx_from_rgb, separate_stains

from slidescore.stain import StainVectors, angle_degrees, optical_density, separate, separate_slowly
from slidescore.stain.separation import separation_table

H_DAB = StainVectors((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), "fixed")
WHITES = [(255.0, 255.0, 255.0), (242.0, 240.0, 236.0)]
images = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6).map(lambda shape: (*shape, 3)))
whites = st.tuples(*[st.floats(120, 255)] * 3)
components = st.floats(0.0, 1.0)
directions = st.tuples(components, components, components)


def light(hematoxylin_od, dab_od, white) -> np.ndarray:
    """The forward model: what a scanner stores of two stains; uint8, (..., 3)."""
    h, d = np.broadcast_arrays(np.asarray(hematoxylin_od, float), np.asarray(dab_od, float))
    density = h[..., None] * H_DAB.matrix[0] + d[..., None] * H_DAB.matrix[1]
    return np.rint(np.array(white) * 10.0**-density).astype(np.uint8)


@pytest.mark.parametrize("white", WHITES)
@pytest.mark.parametrize("hematoxylin", [0.0, 0.1, 0.25, 0.5])
def test_a_dab_od_of_0_6_comes_back_as_0_6(white, hematoxylin):
    planes = separate(light(hematoxylin, 0.6, white).reshape(1, 1, 3), white, H_DAB)
    assert planes.dab_od[0, 0] == pytest.approx(0.600, abs=0.01)
    assert planes.hematoxylin_od[0, 0] == pytest.approx(hematoxylin, abs=0.01)


@pytest.mark.parametrize("white", WHITES)
@pytest.mark.parametrize("dab", [0.0, 0.2, 0.4, 0.6])
def test_a_hematoxylin_od_of_0_6_comes_back_as_0_6(white, dab):
    planes = separate(light(0.6, dab, white).reshape(1, 1, 3), white, H_DAB)
    assert planes.hematoxylin_od[0, 0] == pytest.approx(0.600, abs=0.01)
    assert planes.dab_od[0, 0] == pytest.approx(dab, abs=0.01)


@given(hematoxylin=st.floats(0, 0.6), dab=st.floats(0, 0.9), white=st.sampled_from(WHITES))
def test_any_mixture_of_the_stains_comes_back_without_residual(hematoxylin, dab, white):
    planes = separate(light(hematoxylin, dab, white).reshape(1, 1, 3), white, H_DAB, residual=True)
    # One grey level of the darkest channel, spread by the unmixing, is the most that uint8 can lose.
    step = 1.0 / (np.log(10) * light(hematoxylin, dab, white).min())
    found = np.array([planes.hematoxylin_od, planes.dab_od, planes.residual_od]).ravel()
    assert found == pytest.approx([hematoxylin, dab, 0.0], abs=1.5 * step)


@given(rgb=images, white=whites, hematoxylin=directions, dab=directions)
def test_the_fast_separation_is_the_formula(rgb, white, hematoxylin, dab):
    assume(min(np.linalg.norm(hematoxylin), np.linalg.norm(dab)) > 0.1)
    assume(angle_degrees(np.array(hematoxylin), np.array(dab)) > 25)
    vectors = StainVectors(hematoxylin, dab, "made up")
    fast, slow = separate(rgb, white, vectors, residual=True), separate_slowly(rgb, white, vectors)
    for name in ("hematoxylin_od", "dab_od", "residual_od"):
        assert getattr(fast, name).dtype == np.float32
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), atol=1e-5)


@given(rgb=images, white=whites, residual=st.booleans())
def test_the_fast_separation_is_a_sum_of_table_entries_to_the_last_bit(rgb, white, residual):
    table, planes = separation_table(white, H_DAB), separate(rgb, white, H_DAB, residual=residual)
    red, green, blue = (table[c, rgb[..., c]] for c in range(3))
    for stain, plane in enumerate((planes.hematoxylin_od, planes.dab_od, planes.residual_od)):
        if plane is None:
            assert stain == 2
            assert not residual
        else:
            assert plane.tobytes() == ((red + green) + blue)[..., stain].tobytes()


@given(images)
def test_a_view_with_strides_separates_as_its_copy_does(rgb):
    view = rgb[::-1, ::2, ::-1]
    before = rgb.copy()
    planes, copied = separate(view, WHITES[1], H_DAB), separate(view.copy(), WHITES[1], H_DAB)
    np.testing.assert_array_equal(planes.dab_od, copied.dab_od)
    np.testing.assert_array_equal(rgb, before)


def test_optical_density_is_base_10():
    assert optical_density(np.array([[24, 240, 239]], np.uint8), (240.0, 240.0, 239.0))[0] == pytest.approx([1, 0, 0])


def test_black_counts_as_the_darkest_grey_and_stays_finite():
    black, darkest = np.zeros((1, 1, 3), np.uint8), np.ones((1, 1, 3), np.uint8)
    assert optical_density(black, WHITES[0]) == pytest.approx(np.full((1, 1, 3), np.log10(255)))
    np.testing.assert_array_equal(separate(black, WHITES[0], H_DAB).dab_od, separate(darkest, WHITES[0], H_DAB).dab_od)


def test_negatives_are_kept():
    brighter_than_glass = np.full((1, 1, 3), 250, np.uint8)
    planes = separate(brighter_than_glass, WHITES[1], H_DAB)
    assert planes.dab_od[0, 0] < 0
    yellowless = separate(np.array([[[150, 240, 255]]], np.uint8), WHITES[0], H_DAB)
    assert yellowless.dab_od[0, 0] < -0.1
    assert yellowless.hematoxylin_od[0, 0] > 0.1


def test_ink_shows_in_the_residual_and_stains_do_not():
    green = np.array([[[40, 160, 60]]], np.uint8)
    stained = light(0.3, 0.5, WHITES[0]).reshape(1, 1, 3)
    assert abs(separate(green, WHITES[0], H_DAB, residual=True).residual_od[0, 0]) > 0.3
    assert abs(separate(stained, WHITES[0], H_DAB, residual=True).residual_od[0, 0]) < 0.01


def test_scikit_image_gives_a_sixth_and_clips():
    """The trap: thresholds of 0.2 / 0.4 / 0.6 applied to scikit-image's DAB would call every cell negative."""
    hematoxylin, dab = np.meshgrid(np.linspace(0, 0.5, 6), np.linspace(0, 0.9, 10))
    rgb = light(hematoxylin, dab, WHITES[0])
    theirs, ours = separate_stains(rgb, hdx_from_rgb), separate(rgb, WHITES[0], H_DAB)
    for plane, column in ((ours.hematoxylin_od, 0), (ours.dab_od, 1)):
        positive = plane > 0.02
        assert 6 * theirs[..., column][positive] == pytest.approx(plane[positive], abs=0.01)
    assert theirs[..., 1].max() < 0.2
    assert theirs.min() >= 0 > ours.dab_od.min()
