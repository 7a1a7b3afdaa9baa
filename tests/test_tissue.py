"""Tissue is found though it is pale; glass, ink and dust are not tissue."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import phantom as ph
import phantom_wrong as wrong
from slidescore.assay import Assay
from slidescore.slide import ArrayReader, plan_grid, read_thumbnail
from slidescore.stain import StainVectors, WhiteReference
from slidescore.tissue import TissueMask, find_tissue

MPP = 2.0
INKS = {
    "blue": (30, 60, 190), "green": (0, 130, 70), "black": (25, 25, 28), "red": (200, 30, 40),
    "light blue felt": (150, 190, 235), "pale blue felt": (180, 210, 240), "violet": (110, 50, 150),
}  # fmt: skip


@dataclass(frozen=True)
class Survey:
    """What was found on a picture, and truths brought to the same pixels."""

    mask: TissueMask
    white: WhiteReference

    def share(self, truth: NDArray[np.bool_]) -> float:
        """Share of a true area, given in the picture's pixels, that was taken for tissue."""
        height, width = self.mask.tissue.shape
        part = cv2.resize(truth.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        return float(part[self.mask.tissue].sum() / part.sum())


@pytest.fixture(scope="session")
def survey(assay: Assay, vectors: StainVectors):
    """Look at a picture of `MPP` um/px as the pipeline does."""

    def look(pixels: NDArray[np.uint8], mpp: float = MPP) -> Survey:
        reader = ArrayReader(pixels, mpp=mpp)
        grid = plan_grid(reader, mpp, assay.tissue.mpp, assay.reading.snap_fraction)
        rgb, valid = read_thumbnail(reader, grid)
        found = find_tissue(
            rgb, valid, mpp=grid.analysis_mpp, l0_per_px=grid.px_to_l0, tissue=assay.tissue, stains=assay.stains,
            vectors=vectors,
        )  # fmt: skip
        return Survey(*found)

    return look


def pale(seed: int, **changes) -> ph.Phantom:
    """A round island of weakly counterstained tissue without any DAB: nuclei 0.1 OD, stroma and cytoplasm 0.03 OD."""
    looks = {
        "tissue": "round", "tissue_fraction": 0.45, "staining": "negative", "dab_background_od": 0.0,
        "nucleus_hematoxylin_od": (0.1, 0.1), "stroma_hematoxylin_od": (0.01, 0.05),
        "cytoplasm_hematoxylin_od": (0.03, 0.03), "illumination": 0.0, "density_per_mm2": 3000.0,
        "stroma_cells_per_mm2": 1000.0, "lymphocytes_per_mm2": 400.0,
    }  # fmt: skip
    return ph.draw_phantom(ph.slide_spec(seed, mpp=MPP, side_px=700, **(looks | changes)))


@pytest.fixture(scope="session")
def pale_island() -> ph.Phantom:
    return pale(1)


@pytest.fixture(scope="session")
def dark_island() -> ph.Phantom:
    return pale(3, staining="cytoplasm", nucleus_hematoxylin_od=(0.2, 0.5), stroma_hematoxylin_od=(0.05, 0.1))


def strokes(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A stroke along the top, over glass, and one down the middle, over tissue; 60 um broad."""
    ink = np.zeros(shape[:2], np.uint8)
    cv2.line(ink, (30, 25), (670, 40), 1, 30)
    cv2.line(ink, (350, 10), (360, 690), 1, 30)
    return ink > 0


def test_pale_tissue_is_found(survey, pale_island):
    found = survey(pale_island.rgb)
    assert found.share(pale_island.truth.tissue) >= 0.95


def test_pale_tissue_is_found_under_uneven_light(survey, pale_island):
    light = np.linspace(0.97, 1.0, 700)[:, None, None]
    rgb = np.rint(pale_island.rgb * light).astype(np.uint8)
    assert survey(rgb).share(pale_island.truth.tissue) >= 0.95


def test_glass_around_pale_tissue_is_not_tissue(survey, pale_island):
    assert survey(pale_island.rgb).share(~pale_island.truth.tissue) <= 0.02


def test_stained_tissue_is_found_and_no_glass_far_from_it(survey, dark_island):
    found, tissue = survey(dark_island.rgb), dark_island.truth.tissue
    assert found.share(tissue) >= 0.98
    away_um = cv2.distanceTransform((~tissue).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * MPP
    assert found.share(away_um > 50) == 0


def test_the_area_is_that_of_the_tissue(survey, pale_island):
    mask = survey(pale_island.rgb).mask
    assert mask.area_um2 == pytest.approx(mask.tissue.mean() * (700 * MPP) ** 2, rel=0.01)


def test_white_is_that_of_the_glass(survey, pale_island):
    white = survey(pale_island.rgb).white
    assert white.source == "glass"
    assert white.rgb == pytest.approx(pale_island.spec.white, abs=2)


@pytest.mark.parametrize("ink", INKS)
def test_ink_is_not_tissue(survey, pale_island, ink):
    rgb, drawn = pale_island.rgb.copy(), strokes(pale_island.rgb.shape)
    rgb[drawn] = INKS[ink]
    found = survey(rgb)
    assert found.share(drawn) <= 0.01
    assert found.share(~pale_island.truth.tissue & ~drawn) <= 0.03
    assert found.mask.pen.any()
    assert not (found.mask.pen & found.mask.tissue).any()
    assert found.white.rgb == pytest.approx(pale_island.spec.white, abs=2)


@pytest.mark.parametrize("ink", ["blue", "light blue felt", "green"])
def test_a_stroke_that_is_streaked_and_lets_light_through_is_ink_too(survey, pale_island, ink):
    rgb, drawn = pale_island.rgb, strokes(pale_island.rgb.shape)
    y, x = np.mgrid[:700, :700]
    amount = (1 + 0.25 * np.sin(x / 3) * np.sin(y / 11))[..., None]
    inked = rgb * 10.0 ** (amount * np.log10(np.maximum(INKS[ink], 1) / np.array(pale_island.spec.white)))
    found = survey(np.where(drawn[..., None], np.clip(np.rint(inked), 0, 255), rgb).astype(np.uint8))
    on_glass = drawn & ~pale_island.truth.tissue
    assert found.share(on_glass) <= 0.02


@pytest.mark.parametrize(("turn", "azimuth"), [(8.0, 90.0), (-8.0, 90.0), (8.0, 0.0), (-8.0, 45.0)])
def test_strong_dab_of_another_scanner_is_no_ink(survey, turn, azimuth):
    looks = {
        "staining": "cytoplasm", "nucleus_hematoxylin_od": (0.2, 0.6), "dab_od_shares": (0.0, 0.0, 0.2, 0.8),
        "dab_turn_deg": turn, "hematoxylin_turn_deg": turn, "turn_azimuth_deg": azimuth,
    }  # fmt: skip
    strong = pale(4, **looks, dab_od_edges=(0.0, 0.2, 0.4, 0.9, 1.5))
    found = survey(strong.rgb)
    assert not found.mask.pen.any()
    assert found.share(strong.truth.tissue) >= 0.98


def test_tissue_of_another_stain_is_tissue_and_not_ink(survey):
    """Then its colours are judged, and the slide is refused with the right reason."""
    [field] = wrong.draw_fields(1, seed=3)
    for seed in range(6):
        found = survey(wrong.draw_slide("h&e", field, seed), mpp=0.5)
        assert found.share(field.tissue) > 0.6


def test_without_ink_nothing_is_taken_for_ink(survey, pale_island):
    assert not survey(pale_island.rgb).mask.pen.any()


@pytest.mark.parametrize("grey", [60, 110, 180])
def test_dust_on_glass_is_not_tissue(survey, grey):
    rgb = np.full((700, 700, 3), 240, np.uint8)
    for x in range(50, 700, 100):
        for y in range(50, 700, 100):
            cv2.circle(rgb, (x, y), (x + y) // 100 % 6 + 1, (grey,) * 3, -1)
    assert not survey(rgb).mask.tissue.any()


def test_strong_dab_is_not_taken_for_black_ink(survey, vectors):
    rgb = np.full((300, 300, 3), 240, np.uint8)
    brown = 240 * 10 ** -(1.6 * vectors.matrix[1] + 0.2 * vectors.matrix[0])
    rgb[100:200, 100:200] = np.rint(brown)
    found = survey(rgb)
    assert found.mask.tissue[26:49, 26:49].all()
    assert not found.mask.pen.any()


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((400, 300, 3), 255, np.uint8),
        np.full((400, 300, 3), 240, np.uint8),
        np.zeros((400, 300, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.full((1, 1, 3), 128, np.uint8),
        np.zeros((400, 300, 4), np.uint8),
    ],
    ids=["white", "glass", "black", "one black pixel", "one grey pixel", "transparent"],
)
def test_a_picture_without_tissue_has_none(survey, pixels):
    found = survey(pixels)
    assert not found.mask.tissue.any()
    assert found.mask.area_um2 == 0


def without_pixels(phantom: ph.Phantom, left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
    """The phantom with a transparent rectangle, black under the alpha as scanners leave it."""
    rgba = np.dstack([phantom.rgb, np.full(phantom.rgb.shape[:2], 255, np.uint8)])
    rgba[top : top + height, left : left + width] = 0
    return rgba


@pytest.mark.parametrize("side", [20, 34, 200])
def test_tissue_that_is_missing_inside_tissue_is_counted(survey, dark_island, side):
    start = 350 - side // 2
    whole = survey(dark_island.rgb).mask
    holed = survey(without_pixels(dark_island, start, start, side, side)).mask
    assert holed.area_um2 == pytest.approx(whole.area_um2, rel=0.01)
    assert holed.tissue[350 // 4, 350 // 4]


def test_what_has_no_pixels_at_the_border_of_a_scan_is_not_tissue(survey, dark_island, assay):
    mask = survey(without_pixels(dark_island, 0, 0, 350, 700)).mask
    # Closing may round the corners off, no farther than its radius.
    reach = int(np.ceil(assay.tissue.close_um / mask.mpp))
    assert not mask.tissue[:, : 350 // 4 - reach].any()
    assert mask.tissue[:, 350 // 4 + 1 :].any()


def test_small_holes_are_filled_and_large_ones_are_not(survey, vectors):
    rgb = np.full((400, 400, 3), 240, np.uint8)
    tissue = 240 * 10 ** -(0.3 * vectors.matrix[0])
    rgb[50:350, 50:350] = np.rint(tissue)
    rgb[100:110, 100:110] = 240
    rgb[200:300, 200:300] = 240
    mask = survey(rgb).mask.tissue
    assert mask[26, 26]
    assert not mask[62, 62]


masks = st.integers(0, 2**30).map(lambda seed: np.random.default_rng(seed).random((7, 9)) < 0.5)


@given(
    masks,
    st.floats(-40, 120),
    st.floats(-40, 120),
    st.sampled_from([1.0, 2.5, 16.0]),
    st.sampled_from([2.0, 4.0, 15.7]),
)
def test_resampling_is_asking_at_the_middle_of_each_pixel(tissue, x_l0, y_l0, l0_per_px, mask_l0_per_px):
    mask = TissueMask(tissue, np.zeros_like(tissue), mask_l0_per_px, 8.0)
    sampled = mask.sample(x_l0, y_l0, (5, 6), l0_per_px)
    rows, columns = np.indices((5, 6)) + 0.5
    asked = mask.at((x_l0 + columns * l0_per_px).ravel(), (y_l0 + rows * l0_per_px).ravel())
    np.testing.assert_array_equal(sampled.ravel(), asked)


def test_a_mask_pixel_is_half_open():
    tissue = np.array([[False, True]])
    mask = TissueMask(tissue, ~tissue, 16.0, 8.0)
    asked = mask.at(np.array([15.99, 16.0, 31.99, 32.0, 16.0]), np.array([0.0, 0.0, 15.99, 0.0, -0.01]))
    assert asked.tolist() == [False, True, True, False, False]
