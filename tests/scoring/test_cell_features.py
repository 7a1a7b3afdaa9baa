"""Features are a function of the set of cells, in micrometres, and a missing measurement stays missing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.scoring import cell_features as module
from slidescore.scoring.cell_features import (
    AROUND_FEATURES,
    DAB_FEATURES,
    FEATURES,
    OWN_FEATURES,
    RADII_UM,
    cell_features,
    settled_cells,
)
from training.made_tissue import MPP, make_field


def feature(cells: pa.Table, name: str, mpp: float = 1.0) -> np.ndarray:
    return cell_features(cells, mpp, [name])[:, 0]


def at(make_cells, x, y=None, **columns):
    return make_cells([0.1] * len(x), x=np.array(x, np.float32), y=np.array(y or [0] * len(x), np.float32), **columns)


def test_names_are_unique_and_every_one_is_computed(make_cells):
    assert len(set(FEATURES)) == len(FEATURES)
    assert (*OWN_FEATURES, *DAB_FEATURES, *AROUND_FEATURES) == FEATURES
    field = make_field(1, n=100)
    values = cell_features(field.cells, MPP)
    assert values.shape == (100, len(FEATURES))
    assert np.isfinite(values).all()


@given(seed=st.integers(0, 1000))
def test_the_order_of_the_cells_changes_no_bit(seed):
    cells = make_field(3, n=150).cells
    order = np.random.default_rng(seed).permutation(150)
    again = cell_features(cells.take(pa.array(order)), MPP)
    assert np.array_equal(again, cell_features(cells, MPP)[order], equal_nan=True)


def test_the_size_of_the_chunks_changes_no_bit(monkeypatch):
    cells = make_field(4, n=400).cells
    whole = cell_features(cells, MPP)
    monkeypatch.setattr(module, "CHUNK_CELLS", 37)
    assert np.array_equal(cell_features(cells, MPP), whole, equal_nan=True)


def test_own_features_are_logits_and_logarithms(make_cells):
    cells = make_cells([0.2, 0.3], tumor_probability=[0.75, None], nucleus_area_um2=[40.0, None])
    np.testing.assert_allclose(feature(cells, "logit_tumor"), [np.log(3), np.nan], rtol=1e-6)
    np.testing.assert_allclose(feature(cells, "log_nucleus_area_um2"), [np.log(40), np.nan], rtol=1e-6)
    np.testing.assert_allclose(feature(cells, "dab_od_cell"), [0.2, 0.3], rtol=1e-6)


def test_neighbours_are_counted_within_each_radius_without_the_cell_itself(make_cells):
    # Distances from the first: 10, 25 (on the radius), 40, 60.
    cells = at(make_cells, [100, 110, 125, 140, 160])
    for radius, counts in zip(RADII_UM, ([2, 2, 3, 2, 1], [3, 4, 4, 4, 3]), strict=True):
        assert np.expm1(feature(cells, f"log_count_{radius:g}um")) == pytest.approx(counts)
    assert np.expm1(feature(cells, "log_nearest_um")) == pytest.approx([10, 10, 15, 15, 20])


def test_distances_are_micrometres(make_cells):
    cells = at(make_cells, [0, 40])
    assert np.expm1(feature(cells, "log_nearest_um", 0.5)) == pytest.approx([20, 20])
    assert np.expm1(feature(cells, "log_count_25um", 0.5)) == pytest.approx([1, 1])
    assert np.expm1(feature(cells, "log_count_25um", 1.0)) == pytest.approx([0, 0])


def test_means_are_over_the_others_that_are_known(make_cells):
    cells = at(make_cells, [0, 10, 20], tumor_probability=[0.9, 0.2, None], nucleus_area_um2=[np.e, np.e**2, np.e**4])
    logit = np.log([0.2 / 0.8, 0.9 / 0.1, 0.55 / 0.45])
    assert feature(cells, "logit_tumor_25um") == pytest.approx(logit, rel=1e-5)
    assert feature(cells, "log_nucleus_area_um2_25um") == pytest.approx([3, 2.5, 1.5], rel=1e-5)


def test_a_cell_alone_has_its_own_values_and_the_largest_distance(make_cells):
    cells = at(make_cells, [0, 1000], tumor_probability=[0.75, None])
    np.testing.assert_allclose(feature(cells, "logit_tumor_50um"), [np.log(3), np.nan], rtol=1e-6)
    assert np.expm1(feature(cells, "log_nearest_um")) == pytest.approx([RADII_UM[-1]] * 2)


def test_one_cell_and_none(make_cells):
    assert np.isfinite(feature(make_cells([0.1]), "log_nearest_um")).all()
    assert cell_features(make_cells([]), 0.5).shape == (0, len(FEATURES))


def test_without_a_network_only_its_features_are_missing():
    values = cell_features(make_field(2, n=80, network=False).cells, MPP)
    missing = {name for name, column in zip(FEATURES, values.T, strict=True) if np.isnan(column).all()}
    assert missing == {name for name in FEATURES if name.startswith("logit_")}
    assert not np.isnan(values[:, [name not in missing for name in FEATURES]]).any()


def test_what_an_annotation_settled_is_no_probability_of_the_network(make_cells):
    cells = at(make_cells, [0, 10, 20], tumor_probability=[1.0, 0.2, 0.0])
    assert settled_cells(cells).tolist() == [True, False, True]
    assert np.isnan(feature(cells, "logit_tumor")).tolist() == [True, False, True]
    assert feature(cells, "logit_tumor_25um")[[0, 2]] == pytest.approx([np.log(0.25)] * 2, rel=1e-5)


def test_a_certain_network_gives_finite_numbers(make_cells):
    near = float(np.nextafter(np.float32(1), np.float32(0)))
    cells = at(make_cells, [0, 10], tumor_probability=[near, 1e-30])
    assert np.isfinite(feature(cells, "logit_tumor")).all()
