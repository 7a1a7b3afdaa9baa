"""What is drawn in a compartment is what is measured there."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phantom as ph
from slidescore.cells import CellMeasurements, Compartments, measure_cells
from slidescore.cells.measure import MIN_CLEAR_PIXELS
from slidescore.cells.rims import find_guard
from slidescore.stain import StainPlanes, StainVectors, separate

COMPARTMENTS = ("nucleus", "cytoplasm", "membrane", "cell")
NAMES = CellMeasurements.__dataclass_fields__


@cache
def plain(staining: str) -> ph.Phantom:
    return ph.draw_phantom(ph.plain_spec(3, n_cells=120, staining=staining))


@pytest.fixture
def measure_truth(assay, vectors: StainVectors):
    """Measure a plain phantom through its true masks."""

    def measured(phantom: ph.Phantom, *, guard_um: float) -> CellMeasurements:
        t = phantom.truth
        guard = find_guard(t.nucleus_labels, t.cell_labels, guard_um / phantom.mpp)
        return measure_cells(
            Compartments(t.nucleus_labels, t.cell_labels, t.membrane, guard),
            separate(phantom.rgb, phantom.spec.white, vectors),
            membrane_percentile=assay.cells.membrane_percentile,
            min_pixels=assay.cells.min_compartment_px,
        )

    return measured


@pytest.mark.parametrize("guard_um", [0.0, 0.75])
@pytest.mark.parametrize("staining", ["nucleus", "cytoplasm", "membrane"])
def test_the_one_stained_compartment_reads_0_6(measure_truth, staining, guard_um):
    measured = measure_truth(plain(staining), guard_um=guard_um)
    values = getattr(measured, f"dab_od_{staining}")
    assert len(values) > 100
    assert np.abs(values - 0.600).max() <= 0.01


@pytest.mark.parametrize("guard_um", [0.0, 0.75])
@pytest.mark.parametrize("staining", ["nucleus", "cytoplasm", "membrane"])
def test_every_compartment_reads_what_was_drawn_in_it(measure_truth, staining, guard_um):
    phantom = plain(staining)
    measured = measure_truth(phantom, guard_um=guard_um)
    for name in COMPARTMENTS:
        drawn = getattr(phantom.truth, f"dab_od_{name}")
        np.testing.assert_allclose(getattr(measured, f"dab_od_{name}"), drawn, atol=0.01, err_msg=name)


@pytest.mark.parametrize("guard_um", [0.0, 0.75])
def test_with_a_stained_membrane_alone_cytoplasm_is_the_area_weighted_mean(measure_truth, guard_um):
    phantom = plain("membrane")
    t = phantom.truth
    n = len(t.x)
    band = np.bincount(t.cell_labels[t.membrane], minlength=n + 1)[1:]
    cytoplasm = np.bincount(t.cell_labels[t.nucleus_labels == 0], minlength=n + 1)[1:]
    measured = measure_truth(phantom, guard_um=guard_um)
    np.testing.assert_allclose(measured.dab_od_cytoplasm, 0.600 * band / cytoplasm, atol=0.01)
    cell = np.bincount(t.cell_labels.ravel(), minlength=n + 1)[1:]
    np.testing.assert_allclose(measured.dab_od_cell, 0.600 * band / cell, atol=0.01)


def test_places_areas_and_hematoxylin_are_those_that_were_drawn(measure_truth):
    phantom = plain("cytoplasm")
    t, measured = phantom.truth, measure_truth(phantom, guard_um=0.75)
    np.testing.assert_allclose(measured.x_px + 0.5, t.x, atol=1e-6)
    np.testing.assert_allclose(measured.y_px + 0.5, t.y, atol=1e-6)
    np.testing.assert_allclose(measured.nucleus_area_px * phantom.mpp**2, t.nucleus_area_um2)
    np.testing.assert_allclose(measured.cell_area_px * phantom.mpp**2, t.cell_area_um2)
    np.testing.assert_allclose(measured.hematoxylin_od_nucleus, t.hematoxylin_od_nucleus, atol=0.01)


SHAPE = (9, 10)


def random_field(seed: int) -> tuple[Compartments, StainPlanes]:
    """Compartments at random: any pixel may be of any cell and part."""
    rng = np.random.default_rng(seed)
    flags = rng.random((3, *SHAPE)) < rng.random((3, 1, 1))
    cells = rng.integers(0, rng.integers(1, 6), SHAPE).astype(np.int32)
    nuclei = np.where(flags[0], cells, 0).astype(np.int32)
    od = rng.uniform(-0.1, 2.0, (2, *SHAPE)).astype(np.float32)
    planes = StainPlanes(od[0], od[1])
    return Compartments(nuclei, cells, flags[1] & (cells > 0) & (nuclei == 0), flags[2]), planes


def mean_of(values: np.ndarray, guard: np.ndarray) -> float:
    """Mean of the clear pixels, or of all where hardly any is clear."""
    clear = values[~guard]
    return float((clear if len(clear) >= MIN_CLEAR_PIXELS else values).mean(dtype=np.float64)) if len(values) else 0.0


def eccentricity(rows: np.ndarray, columns: np.ndarray) -> float:
    """Eccentricity of the ellipse with the second moments of some pixels, each a square of area 1."""
    if not len(rows):
        return np.nan
    short, long = np.linalg.eigvalsh(np.cov(rows, columns, bias=True) + np.eye(2) / 12)
    return float(np.sqrt(1 - short / long))


def measured_slowly(c: Compartments, planes: StainPlanes, percentile: float, min_pixels: int) -> dict[str, list[float]]:
    """The same measurements by looking at one cell after the other."""
    out: dict[str, list[float]] = {name: [] for name in NAMES}
    dab = planes.dab_od
    for k in range(1, int(c.cells.max(initial=0)) + 1):
        cell, nucleus = c.cells == k, c.nuclei == k
        rim, rest = cell & c.membrane, cell & ~nucleus & ~c.membrane
        means = [mean_of(dab[part], c.guard[part]) for part in (nucleus, rest, rim)]
        # Optics can only dilute a rim: the higher of its means, clear or whole, stands.
        means[2] = max(means[2], mean_of(dab[rim], np.zeros(rim.sum(), bool)))
        areas = [nucleus.sum(), rest.sum(), rim.sum()]

        def weighted(chosen: slice, areas=areas, means=means) -> float:
            area = np.sum(areas[chosen])
            return float(np.dot(areas[chosen], means[chosen]) / area) if area >= min_pixels else np.nan

        rows, columns = np.nonzero(nucleus)
        out["x_px"].append(columns.mean() if len(columns) else np.nan)
        out["y_px"].append(rows.mean() if len(rows) else np.nan)
        out["nucleus_area_px"].append(nucleus.sum())
        out["cell_area_px"].append(cell.sum())
        out["nucleus_eccentricity"].append(eccentricity(rows, columns))
        blue = planes.hematoxylin_od[nucleus]
        out["hematoxylin_od_nucleus"].append(blue.mean(dtype=float) if len(blue) >= min_pixels else np.nan)
        out["dab_od_nucleus"].append(weighted(np.s_[:1]))
        out["dab_od_cytoplasm"].append(weighted(np.s_[1:]))
        out["dab_od_cell"].append(weighted(np.s_[:]))
        enough = rim.sum() >= max(min_pixels, 1)
        out["dab_od_membrane"].append(np.percentile(dab[rim].astype(float), percentile) if enough else np.nan)
    return out


@given(st.integers(0, 2**30), st.sampled_from([0.0, 33.0, 50.0, 75.0, 100.0]), st.sampled_from([1, 4]))
def test_one_pass_over_all_pixels_equals_one_look_at_each_cell(seed, percentile, min_pixels):
    compartments, planes = random_field(seed)
    fast = measure_cells(compartments, planes, membrane_percentile=percentile, min_pixels=min_pixels)
    slow = measured_slowly(compartments, planes, percentile, min_pixels)
    for name in NAMES:
        # The square root magnifies rounding where a nucleus is as long as it is broad.
        atol = 1e-4 if name == "nucleus_eccentricity" else 1e-6
        np.testing.assert_allclose(getattr(fast, name), slow[name], atol=atol, err_msg=name)


@given(st.lists(st.floats(-0.125, 3.0, width=32), min_size=1, max_size=30), st.floats(0, 100))
def test_the_percentile_is_numpys(values, percentile):
    n = len(values)
    row = np.ones((1, n), np.int32)
    dab = np.array([values], np.float32)
    rim = Compartments(np.zeros_like(row), row, row > 0, row < 1)
    measured = measure_cells(rim, StainPlanes(dab, dab, dab), membrane_percentile=percentile, min_pixels=1)
    assert measured.dab_od_membrane[0] == pytest.approx(np.percentile(values, percentile), abs=1e-6)


def test_a_compartment_of_too_few_pixels_is_null():
    cells = np.array([[1, 1, 1, 1, 1, 1, 1]], np.int32)
    nuclei = np.array([[1, 1, 1, 1, 0, 0, 0]], np.int32)
    rim = np.array([[0, 0, 0, 0, 0, 1, 1]], bool)
    plane = np.full((1, 7), 0.5, np.float32)
    measured = measure_cells(
        Compartments(nuclei, cells, rim, np.zeros_like(rim)), StainPlanes(plane, plane, plane),
        membrane_percentile=75.0, min_pixels=4,
    )  # fmt: skip
    assert measured.dab_od_nucleus.tolist() == [0.5]
    assert measured.dab_od_cell.tolist() == [0.5]
    assert np.isnan([*measured.dab_od_cytoplasm, *measured.dab_od_membrane]).all()


def test_mixed_pixels_keep_their_area_and_take_the_mean_of_the_clear_ones():
    cells = np.ones((1, 12), np.int32)
    nuclei = np.array([[1] * 6 + [0] * 6], np.int32)
    none, guard = np.zeros((1, 12), bool), np.array([[0] * 5 + [1, 1] + [0] * 5], bool)
    dab = np.array([[0.0] * 5 + [0.5, 0.5] + [1.0] * 5], np.float32)
    planes = StainPlanes(dab, dab, dab)
    mixed = measure_cells(Compartments(nuclei, cells, none, none), planes, membrane_percentile=75.0, min_pixels=4)
    clear = measure_cells(Compartments(nuclei, cells, none, guard), planes, membrane_percentile=75.0, min_pixels=4)
    assert (mixed.dab_od_nucleus[0], mixed.dab_od_cytoplasm[0]) == pytest.approx((0.5 / 6, 5.5 / 6))
    assert (clear.dab_od_nucleus[0], clear.dab_od_cytoplasm[0]) == (0.0, 1.0)
    assert clear.dab_od_cell[0] == pytest.approx(0.5)


def test_no_cells_no_rows():
    none = np.zeros((5, 5), np.int32)
    plane = np.zeros((5, 5), np.float32)
    measured = measure_cells(
        Compartments(none, none, none > 0, none > 0), StainPlanes(plane, plane, plane),
        membrane_percentile=75.0, min_pixels=4,
    )  # fmt: skip
    assert {name: len(getattr(measured, name)) for name in NAMES} == dict.fromkeys(NAMES, 0)
