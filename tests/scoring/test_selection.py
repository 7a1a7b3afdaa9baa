"""Which cells are tumor cells, and which count."""

from __future__ import annotations

import numpy as np

from slidescore.scoring import counted_cells, tumor_cells


def test_under_rule_all_every_cell_is_a_tumor_cell_but_those_that_an_annotation_settled(assay, make_cells):
    cells = make_cells([0.1] * 3, tumor_probability=[None, 1.0, 0.0])
    assert tumor_cells(cells, assay).tolist() == [True, True, False]


def test_under_rule_probability_a_cell_that_nothing_decided_is_none(assay, make_cells, change):
    cells = make_cells([0.1] * 4, tumor_probability=[None, 0.49, 0.5, 0.9])
    changed = change(assay, {"tumor.rule": "probability"})
    assert tumor_cells(cells, changed).tolist() == [False, False, True, True]


def test_the_least_probability_counts_as_enough_in_float32(assay, make_cells, change):
    changed = change(assay, {"tumor.rule": "probability", "tumor.min_probability": 0.7})
    cells = make_cells([0.1] * 2, tumor_probability=[0.7, float(np.nextafter(np.float32(0.7), np.float32(0)))])
    assert tumor_cells(cells, changed).tolist() == [True, False]


def test_a_cell_counts_unless_something_excluded_it(make_cells):
    cells = make_cells([0.1] * 3, excluded=[None, "annotation: exclude", "blur"])
    assert counted_cells(cells).tolist() == [True, False, False]
