"""What reviewers changed, in the score."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.made_cells import BIN_OD
from slidescore.audit.state import cell_places
from slidescore.cells.table import floats, replace_column
from slidescore.scoring import BinCounts, Corrections, control_table, corrected_cells, no_corrections, score_cells

OD = [0.1, 0.3, 0.5, 0.7]


def corrections(n: int, **of_cells: dict[int, int]) -> Corrections:
    made = no_corrections(n)
    for name, values in of_cells.items():
        for cell, value in values.items():
            getattr(made, name)[cell] = value
    return made


def test_no_corrections_change_nothing(assay, make_cells):
    cells = make_cells(OD, excluded=[None, "blur", None, None], tumor_probability=[None, 0.3, 0.0, 1.0])
    none = no_corrections(4)
    assert (none.n_corrected, none.corrected.tolist()) == (0, [False] * 4)
    assert corrected_cells(cells, none).equals(cells)
    assert score_cells(cells, assay, corrected_bins=none.bins) == score_cells(cells, assay)


def test_a_cell_is_corrected_whatever_was_said_of_it_and_counted_once():
    said = corrections(5, bins={0: 0, 1: 3}, tumor={1: 0}, counted={3: 1})
    assert said.corrected.tolist() == [True, True, False, True, False]
    assert said.n_corrected == 3


def test_bins_count_in_the_assays_compartment_and_nowhere_else(assay, make_cells, change):
    cells = make_cells([0.1] * 4, dab_od_membrane=[0.9] * 4)
    bins = np.array([-1, 1, 2, 3], np.int8)
    scores = score_cells(cells, assay, corrected_bins=bins)
    assert scores.counts == BinCounts(1, 1, 1, 1)
    assert scores.h_by_compartment == {"nucleus": 0.0, "cytoplasm": 150.0, "membrane": 300.0, "cell": 0.0}
    assert (scores.h_all_cells, scores.h_without_exclusions) == (150.0, 150.0)
    membrane = score_cells(cells, change(assay, {"score.compartment": "membrane"}), corrected_bins=bins)
    assert membrane.h_by_compartment == {"nucleus": 0.0, "cytoplasm": 0.0, "membrane": 225.0, "cell": 0.0}


def test_a_cell_that_a_reviewer_binned_fell_back_to_nothing(assay, make_cells):
    cells = make_cells([0.5] * 3, dab_od_cytoplasm=[None, None, 0.5])
    scores = score_cells(cells, assay, corrected_bins=np.array([1, -1, -1], np.int8))
    assert (scores.n_fallback, scores.counts) == (1, BinCounts(0, 1, 2, 0))


def test_a_subset_takes_its_own_corrections(assay, make_cells):
    bins, only = np.array([3, -1, 0, -1], np.int8), np.array([False, True, True, True])
    assert score_cells(make_cells(OD), assay, only=only, corrected_bins=bins).counts == BinCounts(1, 1, 0, 1)


@pytest.mark.parametrize("rule", ["all", "probability"])
def test_a_tumor_state_holds_under_every_rule(assay, make_cells, change, rule):
    cells = make_cells(OD, tumor_probability=[None, 0.9, 0.1, 0.9])
    said = corrected_cells(cells, corrections(4, tumor={0: 1, 1: 0, 2: 1}))
    assert said.column("tumor_probability").to_pylist() == [1.0, 0.0, 1.0, pytest.approx(0.9)]
    assert said.schema == cells.schema
    scores = score_cells(said, change(assay, {"tumor.rule": rule}))
    assert (scores.n_cells, scores.n_tumor_cells, scores.counts) == (4, 3, BinCounts(1, 0, 1, 1))
    assert corrected_cells(cells, corrections(4, tumor={1: 0})).column("tumor_probability").null_count == 1


def test_cells_are_taken_out_and_put_back_but_control_tissue_never_counts(assay, make_cells):
    excluded = [None, "blur", "annotation: control", "annotation: control", None, "annotation: exclude"]
    cells = make_cells([0.7] * 6, excluded=excluded, region=[None, None, "C", "C", None, None])
    said = corrected_cells(cells, corrections(6, counted={0: 0, 1: 1, 2: 1, 3: 0, 5: 1}))
    out = ["annotation: review", None, "annotation: control", "annotation: control", None, None]
    assert said.column("excluded").to_pylist() == out
    assert said.schema == cells.schema
    scores = score_cells(said, assay)
    # What a person took out stays out of the score without exclusions, too.
    assert (scores.n_cells, scores.h_without_exclusions) == (3, 300.0)
    control = [score_cells(control_table(each, "C"), assay) for each in (said, cells)]
    assert control[0] == control[1]


def test_control_tissue_in_an_excluded_square_is_control_tissue_too(make_cells):
    """As `mark_cells` joins the two reasons."""
    both = "annotation: control; qc: ink"
    cells = make_cells([0.7] * 2, excluded=[both, "annotation: exclude; qc: ink"])
    said = corrected_cells(cells, corrections(2, counted={0: 1, 1: 1}))
    assert said.column("excluded").to_pylist() == [both, None]
    assert cell_places(cells).control.tolist() == [True, False]


def test_columns_that_no_score_needs_may_be_missing(assay, make_cells):
    cells = make_cells(OD).drop_columns(["nucleus_outline", "cell_outline", "region"])
    said = corrected_cells(cells, corrections(4, counted={0: 0}, tumor={1: 0}))
    assert score_cells(said, assay).counts == BinCounts(0, 0, 1, 1)


STATES = st.integers(-1, 1)
ONE = st.tuples(
    st.sampled_from(OD), st.sampled_from([None, "blur", "annotation: exclude"]),
    st.sampled_from([None, 0.0, 0.2, 0.7, 1.0]), st.integers(-1, 3), STATES, STATES,
)  # fmt: skip


@given(st.lists(ONE, min_size=1, max_size=30), st.sampled_from(["all", "probability"]))
def test_corrections_score_as_if_the_values_themselves_were_changed(assay, make_cells, change, drawn, rule):
    od, excluded, probability, bins, tumor, counted = (list(column) for column in zip(*drawn, strict=True))
    probability = pa.array(probability, pa.float32())
    cells = make_cells(od, excluded=pa.array(excluded, pa.string()), tumor_probability=probability)
    said = Corrections(*(np.array(column, np.int8) for column in (bins, tumor, counted)))
    assay = change(assay, {"tumor.rule": rule})

    changed = make_cells(
        [BIN_OD[b] if b >= 0 else value for b, value in zip(bins, od, strict=True)],
        excluded=pa.array(
            [{-1: why, 0: "annotation: by hand", 1: None}[c] for c, why in zip(counted, excluded, strict=True)],
            pa.string(),
        ),
    )
    said_tumor = np.where(said.tumor >= 0, said.tumor, floats(cells, "tumor_probability")).astype(np.float32)
    changed = replace_column(changed, "tumor_probability", pa.array(said_tumor, from_pandas=True))
    scores = asdict(score_cells(corrected_cells(cells, said), assay, corrected_bins=said.bins))
    expected = asdict(score_cells(changed, assay))
    # In the copy all compartments were changed, in the review the assay's own.
    own, of_copy = (each.pop("counts_by_compartment")[assay.score.compartment] for each in (scores, expected))
    assert own == of_copy
    assert scores == expected
