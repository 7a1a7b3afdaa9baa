"""The reviewed score beside the automatic one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.made_reviews import DIGEST, SLIDE, Desk, body_of, box, make_subject
from report.made_cells import BIN_OD, make_cells
from report.made_result import make_result
from slidescore.assay import Assay
from slidescore.audit.drafts import draft_event
from slidescore.audit.requests import parse_request
from slidescore.audit.reviewed import REVIEWED_COLUMNS, review_subject, reviewed_row, score_review
from slidescore.cells import CELL_SCHEMA
from slidescore.errors import InputError, RunFolderError
from slidescore.report.digests import result_digest
from slidescore.scoring import COMPARTMENTS, BinCounts, Coverage, score_cells
from slidescore.scoring.squares import SquareCounts

OD = [0.1, 0.3, 0.5, 0.9] * 30
"""A hundred and twenty cells, 30 in each bin: enough to be called, H-score 150, on the cut-off."""


def desk_of(assay: Assay, od: list[float] = OD, **changes: Any) -> Desk:
    return Desk(make_subject(make_cells([(20 * i, 0) for i in range(len(od))], od), assay, **changes))


@pytest.fixture
def desk(assay: Assay) -> Desk:
    return desk_of(assay)


def row_of(desk: Desk) -> dict[str, Any]:
    row = reviewed_row(desk.subject, desk.review)
    assert tuple(row) == REVIEWED_COLUMNS
    return row


def test_an_unreviewed_slide_has_no_reviewed_score(desk):
    assert {name: value for name, value in row_of(desk).items() if value is not None} == {
        "review_state": "unreviewed", "n_corrected": 0,
    }  # fmt: skip
    desk.act("comment", text="pale", reviewer="Cy")
    row = row_of(desk)
    assert (row["reviewers"], row["reviewed_h_score"], row["reviewed_call"]) == ("Cy", None, None)
    assert row["review_head"] == desk.events[0].digest


def test_corrected_cells_are_scored_and_called(desk):
    assert score_review(desk.subject, desk.review).scores == score_cells(desk.subject.cells, desk.subject.assay)
    desk.act("cells", cells=[3], bin=0)
    desk.act("cells", cells=[4], tumor=False, reviewer="Bob")
    row = row_of(desk)
    assert (row["review_state"], row["reviewers"], row["n_corrected"]) == ("open", "Ann;Bob", 2)
    assert [row[f"reviewed_n{k}"] for k in range(4)] == [30, 30, 30, 29]
    assert (row["reviewed_n_cells"], row["reviewed_n_tumor_cells"]) == (120, 119)
    assert row["reviewed_h_score"] == pytest.approx(100 * (30 + 60 + 87) / 119)
    assert (row["reviewed_percent_positive"], row["reviewed_call"]) == (pytest.approx(100 * 89 / 119), "LOW")
    assert (row["review_reason"], row["review_head"]) == (None, desk.events[-1].digest)


def test_a_verdict_accepts_rejects_and_overrides(desk):
    desk.act("verdict", state="accepted", reason="as seen")
    row = row_of(desk)
    assert (row["review_state"], row["reviewed_h_score"], row["reviewed_call"]) == ("accepted", 150.0, "HIGH")
    assert (row["review_reason"], row["n_corrected"]) == ("as seen", 0)
    desk.act("verdict", state="overridden", call="EQUIVOCAL", reason="edge")
    row = row_of(desk)
    assert (row["reviewed_h_score"], row["reviewed_call"], row["review_reason"]) == (150.0, "EQUIVOCAL", "edge")
    desk.act("verdict", state="accepted", reason="=SUM(A1)")
    assert row_of(desk)["review_reason"] == "'=SUM(A1)", "people open the table in a spreadsheet"
    desk.act("verdict", state="rejected", reason="crushed")
    row = row_of(desk)
    assert (row["reviewed_h_score"], row["reviewed_percent_positive"]) == (None, None)
    assert (row["reviewed_call"], row["reviewed_n3"]) == ("NOT_EVALUABLE", 30)
    desk.act("cells", cells=[3], bin=0)
    row = row_of(desk)
    assert (row["review_state"], row["reviewed_call"], row["review_reason"]) == ("changed", "LOW", None)


def test_a_verdict_stores_what_it_was_given_on(desk):
    desk.act("cells", cells=[3], bin=0)
    desk.act("verdict", state="overridden", call="HIGH")
    assert desk.last["reviewed"] == {"h_score": pytest.approx(147.5), "call": "LOW"}
    assert desk.last["old"] == {"state": "open", "call": None}
    desk.act("verdict", state="rejected")
    # The call of the cells, not that of the verdict before.
    assert desk.last["reviewed"] == {"h_score": pytest.approx(147.5), "call": "LOW"}
    assert desk.last["old"] == {"state": "overridden", "call": "HIGH"}


def test_too_few_cells_left_are_not_evaluable_and_coverage_is_that_of_the_run(desk, assay):
    desk.act("region", role="exclude", polygon=box(-5, 1000))
    row = row_of(desk)
    assert (row["reviewed_h_score"], row["reviewed_call"], row["reviewed_n_tumor_cells"]) == (None, "NOT_EVALUABLE", 70)
    desk.act("verdict", state="flagged")
    assert desk.last["reviewed"] == {"h_score": None, "call": "NOT_EVALUABLE"}
    # Cells that were taken out do not count as excluded tissue; what was excluded before still does.
    bad = desk_of(assay, coverage=Coverage(1e6, 1e5, 0.9, 0.0, 0.0))
    bad.act("cells", cells=[0], bin=3)
    assert row_of(bad)["reviewed_call"] == "NOT_EVALUABLE"
    refused = desk_of(assay, refusal="wrong stain")
    refused.act("verdict", state="overridden", call="LOW")
    assert (row_of(refused)["reviewed_call"], row_of(refused)["reviewed_h_score"]) == ("LOW", None)


@given(
    st.dictionaries(st.integers(0, len(OD) - 1), st.integers(0, 3), min_size=1), st.sets(st.integers(0, len(OD) - 1))
)
def test_the_reviewed_score_is_that_of_cells_whose_values_were_changed(assay, bins, others):
    desk = desk_of(assay)
    for value in range(4):
        if cells := [cell for cell, said in bins.items() if said == value]:
            desk.act("cells", cells=cells, bin=value)
    if others:
        desk.act("cells", cells=list(others), tumor=False)
    od = [BIN_OD[bins[i]] if i in bins else value for i, value in enumerate(OD)]
    tumor = [0.0 if i in others else None for i in range(len(OD))]
    changed = make_cells([(20 * i, 0) for i in range(len(OD))], od, tumor=tumor)
    counts = score_review(desk.subject, desk.review).scores.counts
    assert counts == score_cells(changed, assay).counts
    row = row_of(desk)
    assert BinCounts(*(row[f"reviewed_n{k}"] for k in range(4))) == counts


def test_a_request_about_another_result_or_cell_is_refused(desk):
    other = parse_request(body_of("cells", cells=[1], bin=2, digest="cd" * 32))
    with pytest.raises(InputError, match="result_digest: is not that of the slide's result"):
        draft_event(other, [], desk.subject)
    with pytest.raises(InputError, match="cells: name cell 120, and the slide has 120 cells"):
        desk.act("cells", cells=[5, 120], bin=2)
    with pytest.raises(InputError, match="polygon: holds no cell"):
        desk.act("region", role="exclude", polygon=box(3, 17))
    assert desk.events == []


def test_drafts_hold_what_was_asked_for_and_no_more(desk):
    draft = draft_event(parse_request(body_of("reading", h_score=99, text="thin", reason="")), [], desk.subject)
    assert (draft.slide_id, draft.result_digest, draft.kind, draft.reviewer) == (SLIDE, DIGEST, "reading", "Ann")
    assert draft.payload == {"h_score": 99.0, "text": "thin", "reason": ""}
    desk.act("cells", cells=[1], bin=3)
    desk.act("undo", of=1, reason="mistaken")
    assert desk.last == {"of": 1, "reason": "mistaken"}


COLOURS = {
    "dark_fraction": 0.0, "light_fraction": 1.0, "tissue_blocks": 0, "density_od": None, "red_fraction": None,
}  # fmt: skip
TILES = {"status": ["scored"], "tissue_um2": [1e6], "scored_um2": [9e5], "excluded_um2": [1e5], "missing_um2": [0.0]}


@pytest.fixture
def record(assay: Assay) -> dict[str, Any]:
    made = make_result(make_cells([(0, 0)], [0.5]), assay)
    return {**made, "colours": COLOURS, "digests": {"cells.parquet": "1" * 64, "tiles.parquet": "2" * 64}}


def test_a_subject_is_made_of_what_a_run_holds(assay, record):
    excluded = ["annotation: control", "blur", None]
    cells = make_cells([(1, 2), (3, 4), (5, 6)], [0.1, 0.5, 0.9], excluded=excluded, tumor=[None, 0.0, None])
    subject = review_subject(record, cells, pa.table(TILES), assay)
    assert (subject.slide_id, subject.result_digest) == (record["slide_id"], result_digest(record))
    assert (subject.bins.tolist(), subject.tumor.tolist()) == ([0, 2, 3], [1, 0, 1])
    assert (subject.places.x_l0.tolist(), subject.places.y_l0.tolist()) == ([1.0, 3.0, 5.0], [2.0, 4.0, 6.0])
    assert subject.places.control.tolist() == [True, False, False]
    assert subject.places.counted.tolist() == [False, False, True]
    assert (subject.coverage, subject.refusal) == (Coverage(1e6, 9e5, 0.1, 0.0, 0.0), "")
    few = cells.select([name for name in CELL_SCHEMA.names if not name.endswith("outline") and name != "cell_id"])
    assert review_subject(record, few, pa.table(TILES), assay).bins.tolist() == [0, 2, 3]
    fluorescence = record | {"colours": COLOURS | {"dark_fraction": 1.0, "light_fraction": 0.0}}
    assert "fluorescence" in review_subject(fluorescence, cells, pa.table(TILES), assay).refusal


def spread(assay: Assay, **changes: Any) -> Desk:
    """Twelve squares of 512 um at 0.5 um/px, each with 10 cells that differ from square to square."""
    od = [OD[(k * k + n * (k % 3 + 1)) % 4] for k in range(12) for n in range(10)]
    places = [(1024 * k + 20 * n + 100, 0) for k in range(12) for n in range(10)]
    return Desk(make_subject(make_cells(places, od), assay, **changes))


def test_the_reviewed_interval_is_that_of_the_reviewed_bins(assay, change):
    desk = spread(assay)
    before = score_review(desk.subject, desk.review)
    desk.act("cells", cells=list(range(0, 120, 2)), bin=3)
    row, after = row_of(desk), score_review(desk.subject, desk.review)
    assert before.h.low < before.scores.counts.h_score < before.h.high
    assert row["reviewed_h_score_low"] == after.h.low > before.h.low
    assert after.h.low <= row["reviewed_h_score"] <= row["reviewed_h_score_high"] == after.h.high
    assert row["reviewed_p_high"] == after.own.p_high > before.own.p_high
    assert (row["reviewed_irs"], row["reviewed_allred"]) == (after.scores.value("irs"), after.scores.value("allred"))
    between = (after.h_score + after.h.high) / 2
    near = spread(change(assay, {"call.cutoff.value": between}))
    near.act("cells", cells=list(range(0, 120, 2)), bin=3)
    assert row_of(near)["reviewed_call"] == "EQUIVOCAL"
    near.act("verdict", state="overridden", call="HIGH")
    assert row_of(near)["reviewed_call"] == "HIGH"


def test_without_a_cutoff_only_a_verdict_gives_a_call(assay, change):
    desk = spread(change(assay, {"call.cutoff": None}))
    desk.act("cells", cells=[1], bin=3)
    row = row_of(desk)
    assert (row["reviewed_call"], row["reviewed_p_high"]) == (None, None)
    assert row["reviewed_h_score_low"] is not None
    desk.act("verdict", state="accepted")
    assert desk.last["reviewed"]["call"] is None
    assert row_of(desk)["reviewed_call"] is None
    desk.act("verdict", state="rejected")
    assert row_of(desk)["reviewed_call"] == "NOT_EVALUABLE"


def test_reviewers_change_no_pixel(assay, change):
    pixel = change(assay, {"score.scheme": "pixel_h_score", "call.cutoff.scale": "pixel_h_score"})
    places = np.stack([np.arange(12), np.zeros(12, np.int64)], axis=1)
    blocks = SquareCounts(places, np.array([[4.0, 3 + k % 2, 2, 1] for k in range(12)]))
    desk = spread(pixel, pixels=dict.fromkeys(COMPARTMENTS, blocks))
    before = score_review(desk.subject, desk.review)
    desk.act("cells", cells=[0, 1, 2], bin=3)
    after = score_review(desk.subject, desk.review)
    assert after.own == before.own
    assert after.h != before.h
    assert (after.label, after.own.n_squares) == ("LOW", 12)


def test_a_record_that_lacks_a_part_and_cells_in_another_order_are_refused(assay, record):
    cells = make_cells([(0, 0), (1, 1)], [0.1, 0.5])
    for part in ("slide_id", "colours", "digests"):
        lacking = {name: value for name, value in record.items() if name != part}
        with pytest.raises(RunFolderError):
            review_subject(lacking, cells, pa.table(TILES), assay)
    with pytest.raises(RunFolderError, match=r"not in order of cell_id"):
        review_subject(record, cells.take(np.array([1, 0])), pa.table(TILES), assay)
