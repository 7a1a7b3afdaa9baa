"""Scores of a set of cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.scoring import COMPARTMENTS, BinCounts, score_cells

OD = [0.1, 0.3, 0.5, 0.7]


def test_ten_cells_a_bin_score_150(assay, make_cells):
    scores = score_cells(make_cells(OD * 10), assay)
    assert scores.counts == BinCounts(10, 10, 10, 10)
    assert scores.h_by_compartment == dict.fromkeys(COMPARTMENTS, 150.0)
    assert (scores.value("h_score"), scores.value("percent_positive")) == (150.0, 75.0)
    assert (scores.n_cells, scores.n_tumor_cells, scores.n_fallback) == (40, 40, 0)


def test_no_cells_score_nothing(assay, make_cells):
    scores = score_cells(make_cells([]), assay)
    assert scores.counts == BinCounts(0, 0, 0, 0)
    assert scores.h_by_compartment == dict.fromkeys(COMPARTMENTS)
    assert (scores.value("h_score"), scores.h_all_cells, scores.h_without_exclusions) == (None, None, None)


@pytest.mark.parametrize(("compartment", "h"), [("nucleus", 0), ("cytoplasm", 100), ("membrane", 300), ("cell", 200)])
def test_the_counts_are_those_of_the_assays_compartment(assay, make_cells, change, compartment, h):
    cells = make_cells([0.3] * 4, dab_od_nucleus=[0.1] * 4, dab_od_membrane=[0.9] * 4, dab_od_cell=[0.5] * 4)
    scores = score_cells(cells, change(assay, {"score.compartment": compartment}))
    assert scores.counts.h_score == scores.value("h_score") == h
    assert scores.h_by_compartment == {"nucleus": 0, "cytoplasm": 100, "membrane": 300, "cell": 200}


def test_cells_that_are_no_tumor_cells_leave_the_score_but_not_the_count(assay, make_cells):
    cells = make_cells(OD, tumor_probability=[None, None, None, 0.0])
    scores = score_cells(cells, assay)
    assert (scores.n_cells, scores.n_tumor_cells) == (4, 3)
    assert scores.counts == BinCounts(1, 1, 1, 0)
    assert scores.h_all_cells == 150.0


def test_the_three_rules_each_take_their_own_cells(assay, make_cells, change):
    cells = make_cells([*OD, 0.7], tumor_probability=[0.1, 0.6, 0.85, 0.95, None])
    by_rule = score_cells(cells, change(assay, {"tumor.rule": "probability"}))
    assert (by_rule.n_cells, by_rule.n_tumor_cells) == (5, 3)
    assert by_rule.counts == BinCounts(0, 1, 1, 1)
    assert (by_rule.h_all_cells, by_rule.counts.h_score, by_rule.h_strict) == (180.0, 200.0, 250.0)
    everything = score_cells(cells, assay)
    assert everything.counts.h_score == everything.h_all_cells == 180.0
    assert everything.h_strict == 250.0


def test_strict_is_nothing_where_nothing_tells_tumor_from_others(assay, make_cells):
    assert score_cells(make_cells(OD * 10), assay).h_strict is None
    assert score_cells(make_cells(OD, tumor_probability=[None, 0.5, 0.6, 0.7]), assay).h_strict is None


def test_excluded_cells_are_in_none_of_the_three(assay, make_cells, change):
    cells = make_cells([0.1, 0.7], tumor_probability=[0.9, 0.9], excluded=[None, "blur"])
    scores = score_cells(cells, change(assay, {"tumor.rule": "probability"}))
    assert scores.counts.h_score == scores.h_all_cells == scores.h_strict == 0.0


def test_excluded_cells_leave_score_and_count(assay, make_cells):
    scores = score_cells(make_cells(OD, excluded=[None, None, "blur", "annotation: exclude"]), assay)
    assert (scores.n_cells, scores.n_tumor_cells) == (2, 2)
    assert scores.counts == BinCounts(1, 1, 0, 0)
    assert scores.h_all_cells == 50.0


def test_without_exclusions_counts_what_qc_took_out_and_not_what_a_person_took_out(assay, make_cells):
    excluded = [None, "annotation: control", "blur", "annotation: exclude"]
    scores = score_cells(make_cells(OD, excluded=excluded), assay)
    assert scores.counts.h_score == 0.0
    assert scores.h_without_exclusions == 100.0


def test_fallbacks_are_counted_for_the_scored_tumor_cells_only(assay, make_cells):
    cells = make_cells(
        [0.5] * 4, dab_od_cytoplasm=[None, None, None, 0.5], dab_od_cell=[0.7] * 4,
        excluded=[None, "blur", None, None], tumor_probability=[None, None, 0.0, None],
    )  # fmt: skip
    scores = score_cells(cells, assay)
    assert scores.n_fallback == 1
    assert scores.counts == BinCounts(0, 0, 1, 1)


def test_a_subset_is_scored_as_if_it_were_alone(assay, make_cells):
    cells = make_cells(OD * 3, excluded=[None] * 11 + ["blur"], tumor_probability=[0.0] + [None] * 11)
    only = np.arange(12) % 3 == 0
    alone = cells.take(np.flatnonzero(only))
    assert score_cells(cells, assay, only=only) == score_cells(alone, assay)


values = st.lists(st.floats(-0.125, 1.25, width=32), min_size=1, max_size=30)


@given(values, st.integers(0, 2**30))
def test_the_order_of_cells_means_nothing(assay, make_cells, od, seed):
    shuffled = np.random.default_rng(seed).permutation(od).tolist()
    assert score_cells(make_cells(shuffled), assay) == score_cells(make_cells(od), assay)


@given(values)
def test_scores_of_parts_add_up(assay, make_cells, od):
    half = np.arange(len(od)) < len(od) // 2
    cells = make_cells(od)
    parts = [score_cells(cells, assay, only=mask).counts for mask in (half, ~half)]
    whole = score_cells(cells, assay).counts
    assert [getattr(parts[0], n) + getattr(parts[1], n) for n in ("n0", "n1", "n2", "n3")] == [
        whole.n0, whole.n1, whole.n2, whole.n3
    ]  # fmt: skip


@given(values, st.floats(0, 1, width=32))
def test_more_dab_never_lowers_the_score(assay, make_cells, od, more):
    darker = [np.float32(value) + np.float32(more) for value in od]
    assert score_cells(make_cells(darker), assay).value("h_score") >= score_cells(make_cells(od), assay).value(
        "h_score"
    )
