"""From measurements to bins: on a threshold is above it, and the H-score is QuPath's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.scoring import BIN_NAMES, BinCounts, bin_values, cell_bins, count_bins

THRESHOLDS = (0.2, 0.4, 0.6)
counts = st.builds(BinCounts, *[st.integers(0, 10**6)] * 4)
rising = st.lists(st.floats(0.01, 3.0), min_size=3, max_size=3, unique_by=np.float32).map(lambda t: tuple(sorted(t)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-0.3, 0), (0.0, 0), (np.nextafter(np.float32(0.2), np.float32(0)), 0), (np.float32(0.2), 1), (0.2, 1),
        (np.nextafter(np.float32(0.4), np.float32(0)), 1), (np.float32(0.4), 2), (0.4, 2),
        (np.nextafter(np.float32(0.6), np.float32(0)), 2), (np.float32(0.6), 3), (0.6, 3), (5.0, 3),
    ],
)  # fmt: skip
def test_a_value_on_a_threshold_belongs_to_the_upper_bin(value, expected):
    assert bin_values(np.array([value], np.float32), THRESHOLDS).tolist() == [expected]


@given(rising, st.integers(0, 2))
def test_any_threshold_stored_as_float32_is_on_itself(thresholds, which):
    assert bin_values(np.array([thresholds[which]], np.float32), thresholds)[0] == which + 1


@given(rising, st.lists(st.floats(-1, 4, width=32), max_size=20))
def test_a_bin_is_the_number_of_thresholds_reached(thresholds, values):
    limits = np.array(thresholds, np.float32)
    expected = [int((np.float32(value) >= limits).sum()) for value in values]
    assert bin_values(np.array(values, np.float32), thresholds).tolist() == expected


def test_ten_cells_a_bin_give_150():
    assert BinCounts(10, 10, 10, 10).h_score == 150.0
    assert BinCounts(10, 10, 10, 10).percent_positive == 75.0


def test_all_3_plus_gives_300_and_all_negative_0():
    assert BinCounts(0, 0, 0, 7).h_score == 300.0
    assert BinCounts(7, 0, 0, 0).h_score == 0.0
    assert (BinCounts(0, 0, 0, 7).percent_positive, BinCounts(7, 0, 0, 0).percent_positive) == (100.0, 0.0)


def test_no_cells_have_no_score():
    nobody = BinCounts(0, 0, 0, 0)
    assert (nobody.total, nobody.h_score, nobody.percent_positive) == (0, None, None)


@given(counts)
def test_the_h_score_is_qupaths(each):
    """DetectionPathClassCounts.getHScore: (1 n1 + 2 n2 + 3 n3) / n * 100."""
    if each.total:
        assert each.h_score == pytest.approx((each.n1 * 1.0 + each.n2 * 2.0 + each.n3 * 3.0) / each.total * 100)
        assert 0 <= each.h_score <= 300
        assert each.percent_positive <= each.h_score <= 3 * each.percent_positive + 1e-9


@given(st.lists(st.integers(0, 3), max_size=50))
def test_counting_counts_each_bin(bins):
    found = count_bins(np.array(bins, np.int8))
    assert [found.n0, found.n1, found.n2, found.n3] == [bins.count(k) for k in range(4)]
    assert found.total == len(bins)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50))
def test_the_h_score_is_100_times_the_mean_bin(bins):
    assert count_bins(np.array(bins, np.int8)).h_score == pytest.approx(100 * np.mean(bins))


def test_each_compartment_has_its_own_column_and_thresholds(assay, make_cells, change):
    cells = make_cells(
        [0.1] * 3, dab_od_nucleus=[0.1, 0.3, 0.7], dab_od_membrane=[0.7, 0.5, 0.1], dab_od_cytoplasm=[0.25] * 3
    )
    changed = change(assay, {"bins.membrane.thresholds": (0.05, 0.5, 0.8)})
    assert cell_bins(cells, changed, "nucleus")[0].tolist() == [0, 1, 3]
    assert cell_bins(cells, changed, "membrane")[0].tolist() == [2, 2, 1]
    assert cell_bins(cells, changed, "cytoplasm")[0].tolist() == [1, 1, 1]
    assert cell_bins(cells, changed, "cell")[0].tolist() == [0, 0, 0]


def test_a_null_compartment_falls_back_to_the_cell_with_the_thresholds_of_the_cell(assay, make_cells, change):
    cells = make_cells([0.5, 0.5, 0.5], dab_od_membrane=[0.7, None, None], dab_od_cell=[0.1, 0.45, 0.05])
    changed = change(assay, {"bins.cell.thresholds": (0.1, 0.44, 0.9)})
    bins, fallback = cell_bins(cells, changed, "membrane")
    assert bins.tolist() == [3, 2, 0]
    assert fallback.tolist() == [False, True, True]


@pytest.mark.parametrize("compartment", ["nucleus", "cytoplasm", "membrane", "cell"])
def test_a_cell_of_which_nothing_was_measured_is_not_called_positive(assay, make_cells, compartment):
    bins, fallback = cell_bins(make_cells([None, 0.7]), assay, compartment)
    assert bins.tolist() == [0, 3]
    assert fallback.tolist() == [True, False]


def test_a_stored_threshold_is_on_the_threshold_after_parquet_precision(assay, make_cells):
    cells = make_cells([0.2, 0.4, 0.6])
    assert cells.column("dab_od_cytoplasm").type == pa.float32()
    assert cell_bins(cells, assay, "cytoplasm")[0].tolist() == [1, 2, 3]


def test_bins_are_named_as_qupath_names_them():
    assert BIN_NAMES == ("Negative", "1+", "2+", "3+")
