"""Which cells are tumor cells, and which count."""

from __future__ import annotations

import numpy as np

from slidescore.cells.types import CELL_TYPES
from slidescore.scoring import cell_types, counted_cells, strict_tumor_cells, tumor_cells


def test_under_rule_all_every_cell_is_a_tumor_cell_but_those_that_an_annotation_settled(assay, make_cells):
    cells = make_cells([0.1] * 3, tumor_probability=[None, 1.0, 0.0])
    assert tumor_cells(cells, assay).tolist() == [True, True, False]


def test_under_rule_all_what_a_network_thinks_does_not_matter(assay, make_cells):
    cells = make_cells([0.1] * 3, tumor_probability=[0.0001, 0.4, 0.9])
    assert tumor_cells(cells, assay).all()


def test_strict_cells_are_those_beyond_doubt_under_every_rule(assay, make_cells, change):
    cells = make_cells([0.1] * 5, tumor_probability=[None, 0.5, 0.79, 0.8, 1.0])
    for rule in ("all", "probability"):
        changed = change(assay, {"tumor.rule": rule})
        assert strict_tumor_cells(cells, changed).tolist() == [False, False, False, True, True]


def test_a_cell_that_is_no_tumor_cell_is_what_is_likeliest_of_the_rest(assay, make_cells, change):
    cells = make_cells(
        [0.1] * 6,
        tumor_probability=[0.6, 0.4, 0.1, 0.1, None, 0.0],
        lymphocyte_probability=[0.3, 0.5, 0.2, 0.1, None, 0.3],
        stromal_probability=[0.1, 0.1, 0.6, 0.1, None, 0.2],
    )
    types = cell_types(cells, change(assay, {"tumor.rule": "probability"}))
    assert [CELL_TYPES[k] for k in types] == ["tumor", "lymphocyte", "stromal", "other", "other", "other"]


def test_under_rule_all_types_are_the_likeliest_whatever_counts(assay, make_cells):
    cells = make_cells(
        [0.1] * 6,
        tumor_probability=[0.4, 0.2, 0.1, 1.0, 0.0, None],
        lymphocyte_probability=[0.3, 0.5, 0.1, 0.9, 0.4, None],
        stromal_probability=[0.2, 0.2, 0.6, 0.1, 0.3, None],
    )
    types = [CELL_TYPES[k] for k in cell_types(cells, assay)]
    assert types == ["tumor", "lymphocyte", "stromal", "tumor", "lymphocyte", "other"]
    assert tumor_cells(cells, assay).tolist() == [True, True, True, True, False, True]


def test_an_annotation_holds_under_every_rule(assay, make_cells, change):
    cells = make_cells([0.1] * 3, tumor_probability=[0.0, 1.0, 1e-4])
    for rule, least in (("all", 0.5), ("probability", 0.0), ("probability", 1.0)):
        values = {"tumor.rule": rule, "tumor.min_probability": least, "tumor.strict_probability": least}
        changed = change(assay, values)
        assert tumor_cells(cells, changed)[:2].tolist() == [False, True]
        assert strict_tumor_cells(cells, changed)[:2].tolist() == [False, True]
        assert cell_types(cells, changed)[:2].tolist() == [CELL_TYPES.index("other"), CELL_TYPES.index("tumor")]
    nothing_asked = change(assay, {"tumor.rule": "probability", "tumor.min_probability": 0.0})
    assert tumor_cells(cells, nothing_asked).tolist() == [False, True, True]


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
