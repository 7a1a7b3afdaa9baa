"""Squares lie on the slide, each is measured from its own pixels, and what is drawn into one shows in its measures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import phantom as ph
import phantom_artifacts as drawn
from slidescore.assay import Assay
from slidescore.qc.squares import MEASURES, SquareMeasures, SquarePlan, measure_squares, plan_squares
from slidescore.slide import ArrayReader, plan_grid
from slidescore.stain import StainVectors

MPP, SIDE = 0.5, 128
WHITE = (242.0, 240.0, 236.0)


def plan_for(shape: tuple[int, ...], assay: Assay, vectors: StainVectors, mpp: float = MPP) -> SquarePlan:
    grid = plan_grid(ArrayReader(np.zeros(shape, np.uint8), mpp=mpp), mpp, assay.reading.mpp, 0.03)
    return plan_squares(grid, vectors, WHITE, assay.artifacts)


@pytest.fixture(scope="session")
def tissue() -> NDArray[np.uint8]:
    """Five by five squares of tissue without glass."""
    spec = ph.slide_spec(5, mpp=MPP, side_px=5 * SIDE, tissue="full", tissue_fraction=1.0, jpeg_quality=85)
    return ph.draw_phantom(spec).rgb


@pytest.fixture(scope="session")
def measured(assay: Assay, vectors: StainVectors) -> Callable[..., SquareMeasures]:
    def measure(rgb: NDArray[np.uint8], where: NDArray[np.bool_] | None = None) -> SquareMeasures:
        here = np.ones(rgb.shape[:2], bool) if where is None else where
        return measure_squares(rgb, here, plan_for(rgb.shape, assay, vectors))[0]

    return measure


def box(column: int, row: int) -> drawn.Box:
    return column * SIDE, row * SIDE, SIDE, SIDE


@pytest.mark.parametrize(
    ("mpp", "side_px", "fine_px"), [(0.5, 128, 2), (0.505, 128, 2), (0.46, 144, 2), (0.25, 256, 4), (1.0, 64, 1)]
)
def test_a_square_is_64_um_to_the_nearest_whole_patch(assay, vectors, change, mpp, side_px, fine_px):
    own = change(assay, {"reading.mpp": mpp})
    plan = plan_for((4000, 3000, 3), own, vectors, mpp)
    assert (plan.side_px, plan.fine_px) == (side_px, fine_px)
    assert plan.columns == -(-3000 // side_px)
    assert plan.side_px * mpp == pytest.approx(64, rel=0.05)


def test_numbers_run_along_rows_of_the_whole_slide(assay, vectors):
    plan = plan_for((1000, 1000, 3), assay, vectors)
    x, y = np.array([0.0, 127.9, 128.0, 640.0]), np.array([0.0, 0.0, 300.0, 999.0])
    assert plan.columns == 8
    assert plan.number_at(x, y).tolist() == [0, 0, 17, 61]
    assert plan.window(130, 0, 300, 128) == (128, 0, 384, 128)
    assert plan.numbers(128, 256, 2, 3).tolist() == [[17, 18, 19], [25, 26, 27]]


def test_a_square_is_the_same_whatever_lies_around_it(measured, tissue):
    whole, part = measured(tissue), measured(tissue[SIDE : 3 * SIDE, 2 * SIDE : 4 * SIDE])
    for name in MEASURES:
        np.testing.assert_array_equal(getattr(whole, name)[1:3, 2:4], getattr(part, name), err_msg=name)


def test_good_tissue_is_sharp_and_holds_nothing_odd(measured, tissue):
    measures = measured(tissue)
    assert (measures.sharpness > 0.3).all()
    for name in MEASURES:
        if name.endswith("_fraction"):
            assert (getattr(measures, name) == 0).all(), name
    assert (measures.hematoxylin_floor_od < 0.1).all()


@pytest.mark.parametrize(
    ("change_rgb", "measure", "least", "most"),
    [
        (drawn.out_of_focus, "sharpness", 0.12, 0.2),
        (drawn.ink, "ink_fraction", 0.4, 1.0),
        (drawn.carbon, "black_fraction", 0.2, 0.6),
        (drawn.hemosiderin, "pigment_fraction", 0.2, 0.6),
        (drawn.bubble_rim, "grey_fraction", 0.99, 1.0),
        (lambda rgb, where: drawn.fold(rgb, where, WHITE), "hematoxylin_floor_od", 0.2, 1.0),
    ],
)
def test_what_is_drawn_into_a_square_shows_there_and_nowhere_else(measured, tissue, change_rgb, measure, least, most):
    before, after = measured(tissue), measured(change_rgb(tissue, box(2, 3)))
    assert least <= getattr(after, measure)[3, 2] <= most
    others = np.ones((5, 5), bool)
    others[3, 2] = False
    for name in MEASURES:
        np.testing.assert_array_equal(getattr(after, name)[others], getattr(before, name)[others], err_msg=name)


@pytest.mark.parametrize("sigma_um", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_sharpness_falls_with_blur(measured, tissue, sigma_um):
    sharp, soft = (measured(drawn.out_of_focus(tissue, (0, 0, 640, 640), s / MPP)) for s in (sigma_um - 0.49, sigma_um))
    assert (soft.sharpness < sharp.sharpness).all()
    # What 2 um of blur leave is below the shipped limit, what 0.5 um leave is above it.
    if sigma_um >= 2.0:
        assert np.median(soft.sharpness) < 0.22
    if sigma_um <= 0.5:
        assert (soft.sharpness > 0.25).all()


def test_noise_does_not_make_a_blurred_square_sharp(measured, tissue):
    rng = np.random.default_rng(0)
    soft = drawn.out_of_focus(tissue, (0, 0, 640, 640), 6.0)
    noisy = np.clip(np.rint(soft + 2.0 * rng.standard_normal(soft.shape)), 0, 255).astype(np.uint8)
    assert (measured(noisy).sharpness < 0.22).all()


def test_where_there_is_too_little_tissue_or_contrast_nothing_is_told(measured, tissue, assay):
    here = np.zeros(tissue.shape[:2], bool)
    here[:SIDE, :30] = True
    here[:30, SIDE : SIDE + 6] = True
    measures = measured(tissue, here)
    assert not np.isnan(measures.ink_fraction[0, 0])
    for name in MEASURES:
        assert np.isnan(getattr(measures, name)[0, 1]), name
        assert np.isnan(getattr(measures, name)[1:]).all(), name
    flat = np.full_like(tissue, 200)
    assert np.isnan(measured(flat).sharpness).all()
    assert not np.isnan(measured(flat).ink_fraction).any()


def test_pixels_outside_the_tissue_do_not_count(measured, tissue):
    spoilt = drawn.ink(tissue, (0, 0, 64, 640))
    here = np.ones(tissue.shape[:2], bool)
    here[:, :64] = False
    assert measured(spoilt, here).ink_fraction[0, 0] == 0


def test_at_another_resolution_of_analysis_the_same_artifacts_are_seen(assay, vectors, change):
    spec = ph.slide_spec(5, mpp=0.25, side_px=1024, tissue="full", tissue_fraction=1.0)
    fine = drawn.out_of_focus(drawn.ink(ph.draw_phantom(spec).rgb, (0, 0, 256, 256)), (512, 512, 256, 256), 10.0)
    plan = plan_for(fine.shape, change(assay, {"reading.mpp": 0.25}), vectors, 0.25)
    measures, _ = measure_squares(fine, np.ones(fine.shape[:2], bool), plan)
    assert measures.ink_fraction[0, 0] > 0.25
    assert measures.sharpness[2, 2] < 0.22
    assert measures.sharpness[0, 2] > 0.3


def test_too_coarse_a_picture_tells_nothing_of_focus(assay, vectors, change):
    rgb = ph.draw_phantom(ph.slide_spec(5, mpp=2.0, side_px=256, tissue="full", tissue_fraction=1.0)).rgb
    plan = plan_for(rgb.shape, change(assay, {"reading.mpp": 2.0}), vectors, 2.0)
    measures, _ = measure_squares(rgb, np.ones(rgb.shape[:2], bool), plan)
    assert np.isnan(measures.sharpness).all()
