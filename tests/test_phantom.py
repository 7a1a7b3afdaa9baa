"""The examiner examined: phantoms are what their specs say, and their truth is what was drawn."""

from __future__ import annotations

import functools
from dataclasses import FrozenInstanceError, replace

import numpy as np
import openslide
import pytest
from openslide import OpenSlide

import phantom as ph


@functools.cache
def small(preset: str, **changes: object) -> ph.Phantom:
    """Draw a small field of a preset once."""
    make = {"crowded": ph.crowded_spec, "apart": ph.apart_spec, "negative": ph.negative_spec, "plain": ph.plain_spec}
    return ph.draw_phantom(make[preset](3, n_cells=250, **changes))


def dab_od_of(phantom: ph.Phantom) -> np.ndarray:
    """Invert the forward model: DAB coefficient of every pixel."""
    od = -np.log10(np.maximum(phantom.rgb, 1) / np.array(phantom.spec.white))
    basis = np.vstack([phantom.vectors, np.cross(*phantom.vectors)])
    return (od.reshape(-1, 3) @ np.linalg.inv(basis))[:, 1].reshape(od.shape[:2])


def test_same_seed_same_pixels_and_other_seed_other_pixels():
    spec = ph.crowded_spec(5, n_cells=60)
    first, second, third = ph.draw_phantom(spec), ph.draw_phantom(spec), ph.draw_phantom(replace(spec, seed=6))
    assert np.array_equal(first.rgb, second.rgb)
    assert np.array_equal(first.truth.cell_labels, second.truth.cell_labels)
    assert not np.array_equal(first.rgb, third.rgb)
    with pytest.raises(FrozenInstanceError):
        spec.seed = 1


@pytest.mark.parametrize("compartment", ["nucleus", "cytoplasm", "membrane"])
def test_hard_edges_without_blur_invert_to_the_drawn_od(compartment):
    phantom = small("plain", staining=compartment)
    truth, dab = phantom.truth, dab_od_of(phantom)
    nucleus, cell = truth.nucleus_labels > 0, truth.cell_labels > 0
    mask = {"nucleus": nucleus, "cytoplasm": cell & ~nucleus, "membrane": truth.membrane}[compartment]
    assert np.abs(dab[mask] - 0.6).max() < 0.01
    assert np.abs(dab[~mask]).max() < 0.01
    assert getattr(truth, f"dab_od_{compartment}") == pytest.approx(0.6)
    assert np.abs(dab - truth.dab_od).max() < 0.01


@pytest.mark.parametrize("turn", [-3.0, 3.0])
def test_turned_stains_keep_their_length_and_angle(turn):
    straight = ph.stain_vectors(ph.PhantomSpec())
    turned = ph.stain_vectors(ph.PhantomSpec(hematoxylin_turn_deg=turn, dab_turn_deg=turn, turn_azimuth_deg=70.0))
    assert np.linalg.norm(turned, axis=1) == pytest.approx([1, 1])
    assert np.rad2deg(np.arccos(np.sum(straight * turned, axis=1))) == pytest.approx([3, 3])


@pytest.mark.parametrize("density", [3000.0, 6000.0])
def test_density_and_diameters_are_as_specified(density):
    phantom = ph.draw_phantom(ph.crowded_spec(2, n_cells=400, density_per_mm2=density))
    truth, spec = phantom.truth, phantom.spec
    area_mm2 = spec.width_px * spec.height_px * spec.mpp**2 / 1e6
    assert len(truth.x) / area_mm2 == pytest.approx(density, rel=0.02)
    diameters = 2 * np.sqrt(truth.nucleus_area_um2 / np.pi)
    low, high = spec.nucleus_diameter_um
    assert low - 0.8 < diameters.min() < 7.5
    assert 10 < diameters.max() < high + 0.3
    assert truth.hematoxylin_od_nucleus.min() > 0.08
    assert 0.4 < truth.hematoxylin_od_nucleus.max() < 0.55


@pytest.mark.parametrize("preset", ["apart", "crowded"])
def test_every_cell_has_one_nucleus_of_its_own_and_some_cytoplasm(preset):
    truth = small(preset).truth
    inside = truth.nucleus_labels > 0
    assert np.array_equal(truth.nucleus_labels[inside], truth.cell_labels[inside])
    assert not np.any(truth.membrane & inside)
    count = len(truth.x)
    assert set(np.unique(truth.nucleus_labels)) == set(range(count + 1))
    assert np.all(truth.cell_area_um2 > truth.nucleus_area_um2)
    rows, columns = (np.clip(c, 0, n - 1).astype(int) for c, n in zip((truth.y, truth.x), inside.shape, strict=True))
    assert np.mean(truth.nucleus_labels[rows, columns] == np.arange(1, count + 1)) > 0.99


def touching(labels: np.ndarray, reach: int) -> float:
    """Share of labels that come within `reach` pixels of another one along a row or a column."""
    met: set[int] = set()
    for step in range(1, reach + 1):
        for first, second in ((labels[step:], labels[:-step]), (labels[:, step:], labels[:, :-step])):
            both = (first != second) & (first > 0) & (second > 0)
            met |= set(first[both]) | set(second[both])
    return len(met) / labels.max()


def test_apart_cells_never_touch_and_crowded_nuclei_touch_as_often_as_asked():
    apart, crowded = small("apart"), small("crowded")
    assert touching(apart.truth.cell_labels, 1) == 0
    assert touching(apart.truth.nucleus_labels, round(2.5 / apart.mpp)) < 0.02
    assert touching(crowded.truth.nucleus_labels, 1) == pytest.approx(crowded.spec.touching_fraction, abs=0.08)


def test_cytoplasm_is_the_area_weighted_mean_with_the_membrane():
    truth = small("plain", staining="membrane", dab_od=0.9).truth
    count = len(truth.x)
    cytoplasm = np.where(truth.nucleus_labels > 0, 0, truth.cell_labels)
    area = np.bincount(cytoplasm.ravel(), minlength=count + 1)[1:]
    band = np.bincount(np.where(truth.membrane, truth.cell_labels, 0).ravel(), minlength=count + 1)[1:]
    assert truth.dab_od_cytoplasm == pytest.approx(0.9 * band / area)
    assert truth.dab_od_cell == pytest.approx(
        truth.dab_od_cytoplasm * (1 - truth.nucleus_area_um2 / truth.cell_area_um2), abs=1e-6
    )


def test_membrane_contrast_keeps_the_mean_of_the_cytoplasm():
    phantom = small("plain", staining="membrane_cytoplasm", dab_od=0.5)
    assert phantom.truth.dab_od_cytoplasm == pytest.approx(0.5)
    assert np.all(phantom.truth.dab_od_membrane > 0.5)


def test_bins_count_thresholds_upwards_and_give_the_h_score():
    phantom = small("plain")
    count = len(phantom.truth.x)
    od = np.resize([0.1, 0.2, 0.45, 0.7, np.nan], count)
    truth = replace(phantom.truth, dab_od_cytoplasm=od, dab_od_cell=np.full(count, 0.6))
    drawn = replace(phantom, truth=truth)
    assert list(ph.true_bins(drawn)[:5]) == [0, 1, 2, 3, 3]
    assert list(ph.true_bins(drawn, thresholds=(0.3, 0.5, 0.8))[:5]) == [0, 0, 1, 2, 2]
    shares = ph.bin_shares(drawn)
    assert shares.sum() == pytest.approx(1)
    assert ph.true_h_score(drawn) == pytest.approx(100 * np.mean(ph.true_bins(drawn)))
    other = replace(truth, class_name=np.where(np.arange(count) == 0, "stroma", "tumor"))
    assert len(ph.true_bins(replace(drawn, truth=other))) == count - 1
    assert len(ph.true_bins(replace(drawn, truth=other), class_name=None)) == count


@pytest.mark.parametrize("preset", ["apart", "crowded"])
def test_presets_fill_all_four_bins(preset):
    assert ph.bin_shares(small(preset)).min() > 0.15


def test_levels_stay_away_from_the_thresholds():
    od = small("apart").truth.dab_od_cytoplasm
    assert np.abs(od[:, None] - [0.2, 0.4, 0.6]).min() > 0.04


def test_negative_phantom_has_background_only():
    phantom = small("negative")
    assert phantom.truth.dab_od.max() <= 0.03 + 1e-6
    assert ph.true_h_score(phantom) == 0


def test_slide_has_glass_stroma_and_all_classes():
    phantom = ph.draw_phantom(ph.slide_spec(4, mpp=0.5, side_px=900, lymphocyte_dab_od=(0.3, 0.5)))
    truth = phantom.truth
    assert set(truth.class_name) == {"tumor", "lymphocyte", "stroma"}
    assert truth.tissue.mean() == pytest.approx(0.7, abs=0.04)
    glass = phantom.rgb[~truth.tissue]
    assert np.abs(np.median(glass, axis=0) - phantom.spec.white).max() < 10
    assert truth.dab_od[~truth.tissue].max() == 0
    assert truth.dab_od_cell[truth.class_name == "stroma"].max() < 0.04
    assert truth.dab_od_cytoplasm[truth.class_name == "lymphocyte"].min() > 0.2
    diameters = 2 * np.sqrt(truth.nucleus_area_um2[truth.class_name == "lymphocyte"] / np.pi)
    assert 4.5 < diameters.min() < diameters.max() < 7


def test_matches_are_one_to_one_and_as_many_as_possible():
    truth = np.array([[0, 0], [10, 0], [20, 0], [100, 100]])
    found = np.array([[1, 0], [2, 0], [11, 0], [50, 50]])
    matches = ph.match_points(truth, found, 12)
    assert (matches.tp, matches.fp, matches.fn) == (3, 1, 1)
    assert matches.precision == matches.recall == matches.f1 == 0.75
    crossed = ph.match_points([[0, 0], [4, 0]], [[3, 0], [9, 0]], 5)
    assert [tuple(pair) for pair in crossed.pairs] == [(0, 0), (1, 1)]
    for first, second in ((truth, []), ([], found), ([], [])):
        nothing = ph.match_points(first, second, 5)
        assert (nothing.tp, nothing.fp, nothing.fn) == (0, len(second), len(first))


def test_matching_many_shuffled_points_finds_all_of_them():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 500, (3000, 2))
    order = rng.permutation(3000)
    matches = ph.match_points(truth, truth[order] + rng.normal(0, 0.3, (3000, 2)), 4)
    assert len(set(matches.pairs[:, 0])) == len(set(matches.pairs[:, 1])) == matches.tp > 2990
    assert np.mean(order[matches.pairs[:, 1]] == matches.pairs[:, 0]) > 0.99


@pytest.mark.parametrize("kind", ["generic-tiff", "aperio"])
def test_openslide_reads_the_pyramid_back(tmp_path, kind):
    rgb = np.full((700, 1000, 3), 236, np.uint8)
    rgb[100:400, 200:600] = (150, 90, 50)
    write = ph.write_pyramid if kind == "generic-tiff" else ph.write_svs
    path = write(tmp_path / "a slide.svs", rgb, 0.25)
    with OpenSlide(path) as slide:
        assert slide.properties[openslide.PROPERTY_NAME_VENDOR] == kind
        assert slide.level_dimensions == ((1000, 700), (250, 175), (62, 43))
        assert float(slide.properties[openslide.PROPERTY_NAME_MPP_X]) == pytest.approx(0.25, rel=1e-4)
        assert float(slide.properties[openslide.PROPERTY_NAME_MPP_Y]) == pytest.approx(0.25, rel=1e-4)
        for level, downsample in enumerate((1, 4, 16)):
            read = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB"))
            assert np.abs(read[250 // downsample, 400 // downsample] - [150.0, 90, 50]).max() <= 4
            assert np.abs(read[600 // downsample, 900 // downsample] - [236.0, 236, 236]).max() <= 4


def test_pyramid_can_lack_a_resolution_and_is_the_same_twice(tmp_path):
    rgb = small("apart").rgb
    first = ph.write_pyramid(tmp_path / "1.tiff", rgb, None, levels=(1,))
    second = ph.write_pyramid(tmp_path / "2.tiff", rgb, None, levels=(1,))
    assert first.read_bytes() == second.read_bytes()
    with OpenSlide(first) as slide:
        assert openslide.PROPERTY_NAME_MPP_X not in slide.properties
        assert slide.level_count == 1


def test_tma_cores_lie_where_their_annotations_say():
    slide = ph.draw_tma(1, rows=2, columns=2, core_um=160, pitch_um=220)
    assert [core.name for core in slide.cores] == ["A-1", "A-2", "B-1", "B-2"]
    scores = [ph.true_h_score(core.phantom) for core in slide.cores]
    assert scores == sorted(scores)
    assert scores[0] == 0
    assert scores[-1] > 230
    for core, feature in zip(slide.cores, slide.geojson["features"], strict=True):
        assert feature["properties"]["name"] == core.name
        ring = np.array(feature["geometry"]["coordinates"][0])
        assert np.array_equal(ring[0], ring[-1])
        centre, radius = (ring.min(axis=0) + ring.max(axis=0)) / 2, np.ptp(ring[:, 0]) / 2
        assert np.hypot(*(core.xy - centre).T).max() < radius
        side = core.phantom.rgb.shape[0]
        part = slide.rgb[core.top_px : core.top_px + side, core.left_px : core.left_px + side]
        assert np.array_equal(part, core.phantom.rgb)
    assert len({feature["id"] for feature in slide.geojson["features"]}) == 4
