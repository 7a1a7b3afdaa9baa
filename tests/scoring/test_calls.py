"""From a score to a call: against its own cut-off only, and with a reason where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.errors import AssayError
from slidescore.scoring import Call, CallLabel, Coverage, Scores, make_call, meets, score_cells
from slidescore.scoring.calls import NO_PIXELS
from slidescore.scoring.intervals import Uncertainty

GOOD = Coverage(tissue_um2=1e6, scored_um2=1e6, excluded_fraction=0.0, failed_fraction=0.0, missing_fraction=0.0)


@pytest.fixture(scope="session")
def scores_of(assay, make_cells):
    """Scores of some cells at each of the four intensities."""

    def scored(n0: int, n1: int, n2: int, n3: int) -> Scores:
        return score_cells(make_cells([0.1] * n0 + [0.3] * n1 + [0.5] * n2 + [0.7] * n3), assay)

    return scored


def test_150_is_high_because_the_cutoff_is_at_least(assay, scores_of):
    assert assay.call.cutoff.operator == ">="
    assert make_call(scores_of(50, 50, 50, 50), GOOD, assay).label is CallLabel.HIGH
    assert make_call(scores_of(51, 50, 50, 50), GOOD, assay).label is CallLabel.LOW


def test_150_is_low_when_the_cutoff_is_above(assay, change, scores_of):
    above = change(assay, {"call.cutoff.operator": ">"})
    assert make_call(scores_of(50, 50, 50, 50), GOOD, above).label is CallLabel.LOW
    assert make_call(scores_of(50, 50, 50, 51), GOOD, above).label is CallLabel.HIGH


@given(st.floats(0, 300), st.floats(0, 300))
def test_at_least_and_above_differ_on_the_cutoff_only(assay, change, value, cutoff):
    at_least = change(assay.call.cutoff, {"value": cutoff})
    above = change(at_least, {"operator": ">"})
    assert meets(value, at_least) == (value >= cutoff)
    assert meets(value, above) == (value > cutoff)


def test_a_call_says_its_rule_and_whether_it_is_provisional(assay, change, scores_of):
    call = make_call(scores_of(0, 0, 0, 100), GOOD, assay)
    assert call == Call(CallLabel.HIGH, "", "provisional", "h_score cytoplasm >= 150")
    validated = change(assay, {"call.cutoff.status": "validated"})
    assert make_call(scores_of(0, 0, 0, 100), GOOD, validated).status == "validated"


def test_percent_positive_is_called_on_its_own_scale(assay, change, scores_of):
    percent = change(
        assay, {"score.scheme": "percent_positive", "call.cutoff.scale": "percent_positive", "call.cutoff.value": 1.0}
    )
    assert make_call(scores_of(99, 1, 0, 0), GOOD, percent).label is CallLabel.HIGH
    assert make_call(scores_of(100, 1, 0, 0), GOOD, percent).label is CallLabel.LOW


def interval(low: float | None, high: float | None) -> Uncertainty:
    return Uncertainty(20, "" if low is not None else "only 4 squares", low, high)


@pytest.mark.parametrize(
    ("operator", "low", "high", "label"),
    [
        (">=", 140.0, 190.0, "EQUIVOCAL"), (">=", 149.9, 150.0, "EQUIVOCAL"), (">=", 150.0, 190.0, "HIGH"),
        (">=", 100.0, 149.9, "HIGH"), (">", 150.0, 190.0, "EQUIVOCAL"), (">", 150.1, 190.0, "HIGH"),
        (">", 140.0, 150.0, "HIGH"), (">=", None, None, "HIGH"),
    ],
)  # fmt: skip
def test_an_interval_whose_ends_are_called_differently_is_equivocal(
    assay, change, scores_of, operator, low, high, label
):
    changed = change(assay, {"call.cutoff.operator": operator})
    assert make_call(scores_of(50, 50, 50, 51), GOOD, changed, uncertainty=interval(low, high)).label == label


def test_without_an_interval_only_a_margin_is_equivocal(assay, change, scores_of):
    on_cutoff = scores_of(50, 50, 50, 50)
    assert make_call(on_cutoff, GOOD, assay).label is CallLabel.HIGH
    margin = change(assay, {"call.equivocal_margin": 15.0})
    assert make_call(on_cutoff, GOOD, margin).label is CallLabel.EQUIVOCAL
    # The margin reaches 15 to either side of it, and no further.
    assert make_call(scores_of(0, 50, 50, 0), GOOD, change(margin, {"call.cutoff.value": 165.0})).label == "EQUIVOCAL"
    assert make_call(scores_of(0, 50, 50, 0), GOOD, change(margin, {"call.cutoff.value": 135.0})).label == "EQUIVOCAL"
    assert make_call(scores_of(0, 50, 50, 0), GOOD, change(margin, {"call.cutoff.value": 165.5})).label == "LOW"
    # H 140.2 lies 9.8 below 150, in binary a little more.
    tenths = change(assay, {"call.equivocal_margin": 9.8, "call.cutoff.value": 150.0})
    assert make_call(scores_of(0, 598, 402, 0), GOOD, tenths).label == "EQUIVOCAL"
    # An interval on one side does not outweigh the margin.
    assert make_call(on_cutoff, GOOD, margin, uncertainty=interval(151.0, 160.0)).label is CallLabel.EQUIVOCAL


def test_without_a_cutoff_nothing_is_called(assay, change, scores_of):
    silent = change(assay, {"call.cutoff": None, "call.equivocal_margin": 10.0})
    assert make_call(scores_of(0, 0, 0, 100), GOOD, silent) == Call(None, "", "", "")
    assert make_call(scores_of(0, 0, 0, 9), GOOD, silent) == Call(None, "too few tumor cells (9, at least 100)", "", "")


def test_a_part_without_pixels_has_no_pixel_score_to_call(assay, change, scores_of):
    pixel = change(assay, {"score.scheme": "pixel_h_score", "call.cutoff.scale": "pixel_h_score"})
    scores = replace(scores_of(0, 0, 0, 100), settings=pixel.score)
    assert make_call(scores, GOOD, pixel).reason == NO_PIXELS
    counted = replace(scores, pixel={"cytoplasm": np.array([10.0, 0, 0, 30])})
    assert make_call(counted, GOOD, pixel).label is CallLabel.HIGH
    assert counted.value("pixel_h_score") == 225.0


def test_every_scheme_is_called_on_its_own_scale(assay, change, scores_of):
    irs = change(assay, {"score.scheme": "irs", "call.cutoff.scale": "irs", "call.cutoff.value": 8.0})
    scores = replace(scores_of(10, 0, 90, 0), settings=irs.score)
    assert make_call(scores, GOOD, irs) == Call(CallLabel.HIGH, "", "provisional", "irs cytoplasm >= 8")
    above = change(irs, {"call.cutoff.operator": ">"})
    assert make_call(scores, GOOD, above).label is CallLabel.LOW


@pytest.mark.parametrize(
    ("key", "value"), [("call.cutoff.scale", "percent_positive"), ("call.cutoff.compartment", "membrane")]
)
def test_a_cutoff_on_another_scale_or_compartment_is_an_error(assay, change, scores_of, key, value):
    with pytest.raises(AssayError, match="cannot judge h_score cytoplasm"):
        make_call(scores_of(0, 0, 0, 100), GOOD, change(assay, {key: value}))


@pytest.mark.parametrize(
    ("coverage", "reason"),
    [
        (replace(GOOD, tissue_um2=0.0), "no tissue"),
        (replace(GOOD, tissue_um2=9_000.0), "too little tissue (0.009 mm2)"),
        (replace(GOOD, failed_fraction=0.02), "2.0 % of the tissue could not be processed (limit 1 %)"),
        (replace(GOOD, missing_fraction=0.015), "1.5 % of the tissue has no pixels (limit 1 %)"),
        (replace(GOOD, excluded_fraction=0.501), "50.1 % of the tissue is excluded (limit 50 %)"),
    ],
)
def test_what_was_not_covered_makes_a_slide_not_evaluable(assay, scores_of, coverage, reason):
    call = make_call(scores_of(0, 0, 0, 100), coverage, assay)
    assert (call.label, call.reason) == (CallLabel.NOT_EVALUABLE, reason)
    assert call.cutoff == "h_score cytoplasm >= 150"


def test_shares_on_their_limit_still_pass(assay, scores_of):
    qc = assay.qc
    edge = Coverage(
        qc.min_tissue_mm2 * 1e6, 1e4, qc.max_excluded_fraction, qc.max_failed_fraction, qc.max_missing_fraction
    )
    assert make_call(scores_of(0, 0, 0, 100), edge, assay).label is CallLabel.HIGH


@pytest.mark.parametrize("n", [0, 1, 99])
def test_too_few_tumor_cells_are_not_evaluable(assay, scores_of, n):
    call = make_call(scores_of(0, 0, 0, n), GOOD, assay)
    assert (call.label, call.reason) == (CallLabel.NOT_EVALUABLE, f"too few tumor cells ({n}, at least 100)")


def test_too_few_counts_tumor_cells_and_not_cells(assay, make_cells):
    cells = make_cells([0.7] * 150, tumor_probability=[None] * 99 + [0.0] * 51)
    assert make_call(score_cells(cells, assay), GOOD, assay).reason == "too few tumor cells (99, at least 100)"


def test_labels_read_as_the_table_shows_them():
    assert [str(label) for label in CallLabel] == ["HIGH", "LOW", "EQUIVOCAL", "NOT_EVALUABLE"]
