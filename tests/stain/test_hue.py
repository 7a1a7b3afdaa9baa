"""A hue is a direction: along the arc from hematoxylin to DAB, across it, and off it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.stain import StainVectors, angle_degrees, hue_angles, hue_frame, off_arc_degrees

VECTORS = StainVectors((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), "fixed")
FRAME = hue_frame(VECTORS)
H, DAB, NORMAL = VECTORS.matrix
amounts = st.floats(0.05, 2.0)


def angles(density: np.ndarray) -> tuple[float, float, float]:
    length, along, across = hue_angles(np.asarray(density, float), FRAME)
    return float(length), float(along), float(across)


def off(density: np.ndarray) -> float:
    _, along, across = hue_angles(np.asarray(density, float)[None], FRAME)
    return float(off_arc_degrees(along, across, FRAME)[0])


def test_the_axes_stand_at_right_angles():
    assert pytest.approx(np.eye(3), abs=1e-12) == FRAME.axes @ FRAME.axes.T
    assert FRAME.separation_degrees == pytest.approx(angle_degrees(H, DAB))


def test_the_stains_lie_at_the_ends_of_the_arc():
    assert angles(0.7 * H) == pytest.approx((0.7, 0.0, 0.0), abs=1e-9)
    assert angles(0.3 * DAB) == pytest.approx((0.3, FRAME.separation_degrees, 0.0), abs=1e-9)


@given(amounts, amounts)
def test_every_mixture_lies_on_the_arc(of_h, of_dab):
    _, along, across = angles(of_h * H + of_dab * DAB)
    assert 0 < along < FRAME.separation_degrees
    assert across == pytest.approx(0, abs=1e-6)
    assert off(of_h * H + of_dab * DAB) == pytest.approx(0, abs=1e-4)


@given(st.floats(0.1, 3.0), amounts, amounts)
def test_a_hue_does_not_depend_on_how_much_there_is(strength, of_h, aside):
    first, second = (angles(scale * (of_h * H + aside * NORMAL)) for scale in (1.0, strength))
    assert first[1:] == pytest.approx(second[1:], abs=1e-6)


@given(st.tuples(amounts, amounts, amounts))
def test_off_the_arc_is_the_angle_to_the_nearest_mixture(density):
    density = np.array(density)
    shares = np.linspace(0, 1, 2001)[:, None]
    mixtures = (1 - shares) * H + shares * DAB
    nearest = min(angle_degrees(density, mixture) for mixture in mixtures)
    assert off(density) == pytest.approx(nearest, abs=0.02)


@pytest.mark.parametrize(
    ("rgb", "across", "beyond"),
    [
        ((230, 160, 200), -28, None),  # eosin
        ((150, 190, 235), 15, "hematoxylin"),  # light blue felt pen
        ((60, 60, 62), 7, None),  # neutral grey
        ((180, 130, 50), 7, "dab"),  # hemosiderin
    ],
)
def test_what_is_neither_stain_lies_where_the_page_says(rgb, across, beyond):
    _, along, side = angles(-np.log10(np.array(rgb) / np.array([242.0, 240.0, 236.0])))
    assert side == pytest.approx(across, abs=1.5)
    expected = "hematoxylin" if along < 0 else "dab" if along > FRAME.separation_degrees else None
    assert expected == beyond


def test_nothing_has_no_hue():
    assert angles(np.zeros(3)) == (0.0, 0.0, 0.0)
    assert hue_angles(np.zeros((0, 3)), FRAME)[0].shape == (0,)
