from __future__ import annotations

from dataclasses import replace

import numpy as np

from slidescore.training.gland_layout import lay_out, place_capillaries
from slidescore.training.gland_nuclei import keep_apart, propose_nuclei
from slidescore.training.gland_populations import MAX_PROPOSALS, GlandNuclei
from slidescore.training.gland_style import draw_style


def ellipses(x_um: list[float], angle: float, closeness: float = 1.0) -> GlandNuclei:
    n = len(x_um)
    same = {"major_um": 10.0, "minor_um": 5.0, "angle": angle, "mean_od": 0.5, "closeness": closeness}
    return GlandNuclei(
        x_um=np.array(x_um),
        y_um=np.zeros(n),
        type=np.zeros(n, np.int8),
        chromatin=np.zeros(n, np.int8),
        **{name: np.full(n, value) for name, value in same.items()},
    )


def test_distance_is_measured_in_radii_towards_the_other() -> None:
    # 6 um apart: side by side there is room between two that are 5 um wide, end to end there is none
    assert len(keep_apart(ellipses([0.0, 6.0], np.pi / 2)).x_um) == 2
    assert len(keep_apart(ellipses([0.0, 6.0], 0.0)).x_um) == 1
    assert len(keep_apart(ellipses([0.0, 6.0], 0.0, closeness=0.5)).x_um) == 2
    assert len(keep_apart(ellipses([], 0.0)).x_um) == 0


def test_the_first_of_two_is_kept_and_a_dropped_one_drops_none() -> None:
    kept = keep_apart(ellipses([4.0, 0.0, 8.0, -4.0], np.pi / 2))
    assert kept.x_um.tolist() == [4.0, -4.0]


def test_no_nucleus_is_proposed_in_a_vacuole() -> None:
    rng = np.random.default_rng(1)
    style = replace(draw_style(rng), layout="tubules")
    layout = lay_out(style, 150.0, 1.0, rng)
    capillaries = place_capillaries(layout, rng)
    vacuoles = np.array([[50.0, 60.0, 12.0], [100.0, 40.0, 20.0]])
    nuclei = propose_nuclei(style, layout, vacuoles, capillaries, rng)
    assert 0 < len(nuclei.x_um) <= MAX_PROPOSALS
    walls = 3 * len(capillaries)
    for x, y, radius in vacuoles:
        assert (np.hypot(nuclei.x_um - x, nuclei.y_um - y)[walls:] > radius).all()
