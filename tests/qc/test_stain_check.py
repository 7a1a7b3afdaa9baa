"""A slide of another stain is told by its colours, a slide of DAB with hematoxylin is not, however it was scanned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import phantom_wrong as wrong
from made_colours import FRAME, made_colours
from slidescore.assay import Assay
from slidescore.qc.glass import measure_glass, measure_light, white_for_hues
from slidescore.qc.squares import measure_squares, plan_squares
from slidescore.qc.stain_check import measure_stain, wrong_stain
from slidescore.qc.stain_counts import ColourCounts, add_colours, count_colours, no_colours
from slidescore.slide import ArrayReader, plan_grid, read_thumbnail
from slidescore.stain import StainVectors
from slidescore.tissue import find_tissue

MPP = 0.5
Look = Callable[[NDArray[np.uint8]], dict[str, float | int | None]]


@pytest.fixture(scope="session")
def fields() -> list[wrong.Field]:
    return wrong.draw_fields(4, side_px=512)


@pytest.fixture(scope="session")
def look(assay: Assay, vectors: StainVectors) -> Look:
    """Measure the colours of a small slide as the pipeline does, without looking for cells."""

    def measure(rgb: NDArray[np.uint8]) -> dict[str, float | int | None]:
        reader = ArrayReader(rgb, mpp=MPP)
        coarse, grid = (plan_grid(reader, MPP, mpp, 0.03) for mpp in (assay.tissue.mpp, MPP))
        small, valid = read_thumbnail(reader, coarse)
        tissue, white = find_tissue(
            small, valid, mpp=coarse.analysis_mpp, l0_per_px=coarse.px_to_l0, tissue=assay.tissue, stains=assay.stains,
            vectors=vectors,
        )  # fmt: skip
        hue_white = white_for_hues(small, valid, white, assay.stains.min_glass_intensity)
        plan = plan_squares(grid, vectors, hue_white, assay.artifacts)
        here = tissue.sample(0, 0, rgb.shape[:2], grid.px_to_l0)
        _, colours = measure_squares(rgb, here, plan)
        counts = count_colours(colours, np.ones_like(colours.whole), assay.artifacts.ink_degrees)
        return {
            **measure_light(small, valid), **measure_glass(small, valid, tissue, white, vectors),
            **measure_stain(counts, plan.frame),
        }  # fmt: skip

    return measure


SAID = {
    "h&e": "looks like H&E",
    "fluorescence": "looks like fluorescence",
    "unstained": "looks unstained",
    "aec": "red chromogen, looks like AEC",
}


@pytest.mark.parametrize("kind", wrong.WRONG_KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_a_wrong_slide_is_refused_and_named(look, fields, assay, kind, seed):
    measures = look(wrong.draw_slide(kind, fields[seed % 4], seed))
    said = wrong_stain(measures, assay.qc.stain)
    # Where no tissue was found there is none to judge, and the slide has no score for that.
    assert said == "" if not measures["tissue_blocks"] and kind != "fluorescence" else said.endswith(SAID[kind])
    assert said == "" or said.startswith("stain is not DAB with hematoxylin: ")


@pytest.mark.parametrize("kind", ["negative", "weak", "ordinary", "strong"])
@pytest.mark.parametrize("seed", range(6))
def test_dab_with_hematoxylin_is_not_refused(look, fields, assay, kind, seed):
    assert wrong_stain(look(wrong.draw_slide(kind, fields[seed % 4], seed)), assay.qc.stain) == ""


def test_vectors_of_other_scanners_are_not_refused(look, fields, assay):
    """Turned by up to 8 degrees; only DAB that turns by more than 6 of them to the red side looks like AEC."""
    said = [wrong_stain(look(wrong.draw_slide("turned", fields[seed % 4], seed)), assay.qc.stain) for seed in range(24)]
    assert sum(map(bool, said)) <= 1


def test_real_immunohistochemistry_is_not_refused_and_far_from_it(look, assay):
    from skimage.data import immunohistochemistry

    measures = look(immunohistochemistry())
    assert wrong_stain(measures, assay.qc.stain) == ""
    assert measures["red_fraction"] == 0
    assert measures["other_fraction"] == 0
    assert measures["across_low_degrees"] > 3
    assert measures["chromogen_across_degrees"] == pytest.approx(4.3, abs=1)


def test_each_limit_decides(assay, change):
    told = {
        "tissue_blocks": 50_000, "density_od": 0.6, "stained_fraction": 0.5, "grey_fraction": 0.0, "red_fraction": 0.0,
        "other_fraction": 0.0, "chromogen_fraction": 0.3, "red_along_degrees": None, "across_low_degrees": -1.0,
        "across_high_degrees": 2.0, "along_low_degrees": 0.0, "along_high_degrees": 35.0,
        "chromogen_across_degrees": 0.0,
    }  # fmt: skip

    def said(limits=assay.qc.stain, **changes: float) -> str:
        return wrong_stain(made_colours(**{**told, **changes}), limits)

    assert said() == ""
    assert "fluorescence" in said(dark_fraction=0.5, light_fraction=0.1)
    assert said(dark_fraction=0.4, light_fraction=0.5) == "", "black margins around a bright slide"
    assert "unstained" in said(density_od=0.05)
    assert "grey picture" in said(grey_fraction=0.9)
    assert "H&E" in said(red_fraction=0.1, red_along_degrees=15.0)
    assert "AEC" in said(red_fraction=0.1, red_along_degrees=36.0)
    pink = {"across_low_degrees": -6.0, "across_high_degrees": -1.0}
    assert "H&E" in said(**pink, along_low_degrees=8.0, along_high_degrees=15.0)
    assert said(**pink, along_low_degrees=0.0, along_high_degrees=35.0) == "", "hues turn with DAB"
    assert said(**pink, along_low_degrees=8.0, along_high_degrees=15.0, stained_fraction=0.2) == "", "pale, so noise"
    assert "AEC" in said(chromogen_across_degrees=-8.0)
    assert said(chromogen_across_degrees=-8.0, chromogen_fraction=0.01) == "", "hardly any chromogen"
    assert "another chromogen" in said(other_fraction=0.5)
    assert "AEC" in said(chromogen_across_degrees=-5.5, along_high_degrees=29.0), "published AEC with hematoxylin"
    assert said(chromogen_across_degrees=-5.5, along_high_degrees=33.0) == "", "reddish DAB"
    assert said(chromogen_across_degrees=-4.5, along_high_degrees=29.0) == "", "weak DAB, a little red"
    lenient = change(
        assay, {"qc.stain.max_chromogen_red_degrees": 20.0, "qc.stain.doubtful_chromogen_red_degrees": 20.0}
    ).qc.stain
    assert said(lenient, chromogen_across_degrees=-8.0, along_high_degrees=29.0) == ""


def test_a_slide_without_stained_tissue_is_no_other_stain(assay):
    assert wrong_stain(made_colours(), assay.qc.stain) == ""
    assert wrong_stain(made_colours(dark_fraction=None, light_fraction=None), assay.qc.stain) == ""


def counts_of(density: NDArray[np.float64], assay: Assay, vectors: StainVectors) -> ColourCounts:
    """Counts of flat blocks of given densities, one row of blocks each."""
    rgb = np.rint(255 * 10.0**-density).astype(np.uint8)
    picture = np.repeat(np.repeat(rgb[:, None], 4, axis=0), 128, axis=1)
    picture = np.pad(picture, ((0, -len(picture) % 128), (0, 0), (0, 0)), constant_values=255)
    grid = plan_grid(ArrayReader(picture, mpp=MPP), MPP, MPP, 0.03)
    plan = plan_squares(grid, vectors, (255.0, 255.0, 255.0), assay.artifacts)
    _, colours = measure_squares(picture, np.ones(picture.shape[:2], bool), plan)
    return count_colours(colours, np.ones_like(colours.whole), assay.artifacts.ink_degrees)


def test_the_hue_of_the_chromogen_is_that_of_what_is_mixed_with_hematoxylin(assay, vectors):
    """Every block is a mixture, none is pure, and the hue of the pure one is told all the same."""
    hematoxylin, dab, normal = vectors.matrix
    for turn in (-8.0, -3.0, 0.0, 5.0):
        chromogen = np.cos(np.radians(turn)) * dab + np.sin(np.radians(turn)) * normal
        shares = np.linspace(0.35, 0.6, 32)[:, None]
        mixed = 0.9 * (shares * chromogen + (1 - shares) * hematoxylin)
        measures = measure_stain(counts_of(mixed, assay, vectors), FRAME)
        assert measures["chromogen_across_degrees"] == pytest.approx(turn, abs=1.2)


def test_counts_add_up_whatever_the_parts(assay, vectors):
    hematoxylin, dab, _ = vectors.matrix
    density = np.linspace(0.1, 1.2, 64)[:, None] * hematoxylin + np.linspace(0.8, 0, 64)[:, None] * dab
    whole = counts_of(density, assay, vectors)
    parts = [counts_of(density[start : start + 32], assay, vectors) for start in (0, 32)]
    for total in (add_colours(parts), add_colours(parts[::-1])):
        assert (total.across == whole.across).all()
        assert (total.moments == whole.moments).all()
        assert (total.singles == whole.singles).all()
    assert add_colours([]).length.sum() == no_colours().length.sum() == 0


def test_light_and_glass_are_measured(vectors, look):
    rgb = np.full((512, 512, 3), (240, 236, 224), np.uint8)
    rgb[100:400, 100:400] = (90, 60, 150)
    measures = look(rgb)
    assert measures["light_fraction"] == pytest.approx(1 - 300**2 / 512**2, abs=0.02)
    assert measures["dark_fraction"] == 0
    assert measures["glass_tint_od"] == pytest.approx(np.log10(240 / 224), abs=0.003)
    assert measures["glass_dab_od"] == pytest.approx(0, abs=0.01)


def test_brown_haze_on_glass_shows(look):
    """A film over a third of the glass, next to glass that is clear enough to measure white on."""
    rgb = np.full((1024, 512, 3), 240, np.uint8)
    rgb[100:300, 100:300] = (90, 60, 150)
    rgb[600:] = np.rint(240 * 10 ** -(0.05 * np.array([0.27, 0.57, 0.78])))
    measured = look(rgb)["glass_dab_od"]
    assert measured is None or measured < 0.1
