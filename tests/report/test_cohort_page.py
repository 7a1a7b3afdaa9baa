from __future__ import annotations

import re
from typing import Any

import numpy as np
from imagecodecs import jpeg8_encode

from classical_assay import classical_assay
from report.made_cells import scattered_cells
from report.made_result import make_row, make_run
from report.page_checks import read_page
from slidescore.report.cohort_page import render_cohort_page, sort_worst_first

ASSAY = classical_assay()
CELLS = scattered_cells(400, 900, 900)
RUN = make_run(ASSAY)


def slide(name: str, **changes: Any) -> dict[str, Any]:
    return make_row(CELLS, ASSAY, file=f"{name}.svs", slide_id=f"{name}-01234567", **changes)


def failed(name: str) -> dict[str, Any]:
    row = dict.fromkeys(slide(name))
    return row | {"slide_id": f"{name}-0", "file": f"{name}.svs", "status": "failed", "reason": "not a slide"}


ROWS = [
    slide("far", h_score=20.0, call="LOW", qc="pass"),
    slide("near", h_score=151.0, call="HIGH", qc="pass"),
    slide("flagged", h_score=290.0, call="HIGH", qc="fail"),
    slide("blank", h_score=None, call="NOT_EVALUABLE", status="not_evaluable", reason="no tissue", qc="fail"),
    failed("broken"),
]


def test_worst_come_first() -> None:
    names = [row["file"] for row in sort_worst_first(ROWS)]
    assert names == ["broken.svs", "blank.svs", "flagged.svs", "near.svs", "far.svs"]
    assert [row["file"] for row in sort_worst_first(ROWS[::-1])] == names


def test_every_slide_has_a_row_and_a_link_to_its_page() -> None:
    text, reader = read_page(render_cohort_page(RUN, ROWS, {}))
    assert "5 slides: 3 scored, 1 not evaluable, 1 failed. Calls: 2 HIGH, 1 LOW." in text
    assert "2 with QC fail" in text
    assert reader.links == [f"slides/{name}-01234567/report.html" for name in ("blank", "flagged", "near", "far")]
    for phrase in ("151", "290", "no tissue", "not a slide", "PROVISIONAL", "NOT EVALUABLE", "FAILED", "n = 3 slides"):
        assert phrase in text
    assert RUN["assay"]["digest"] in text


def test_pseudonyms_are_said_to_be_pseudonyms() -> None:
    hidden, _ = read_page(render_cohort_page({**RUN, "pseudonymized": True}, ROWS, {}))
    named, _ = read_page(render_cohort_page({**RUN, "pseudonymized": False}, ROWS, {}))
    assert "only the key file leads back" in hidden
    assert "pseudonym" not in named


def test_pictures_are_inside() -> None:
    picture = bytes(jpeg8_encode(np.full((8, 8, 3), 200, np.uint8)))
    _, reader = read_page(render_cohort_page(RUN, ROWS, {"near-01234567": picture}))
    assert len(reader.sources) == 1


def test_rows_may_be_text_as_read_from_the_table() -> None:
    as_text = [{key: None if value is None else str(value) for key, value in row.items()} for row in ROWS]
    assert render_cohort_page(RUN, as_text, {}) == render_cohort_page(RUN, ROWS, {})


def test_hostile_names_stay_text() -> None:
    hostile = '<script>alert(1)</script>"onmouseover="alert(1).svs'
    row = slide("x", patient_id=hostile, reason=hostile, qc_flags=hostile) | {"file": hostile, "slide_id": "../../x y"}
    html = render_cohort_page(RUN, [row], {})
    _, reader = read_page(html)
    assert reader.scripts == 1
    assert html.count("<script>") == 1
    assert reader.links == ["slides/..%2F..%2Fx%20y/report.html"]


def test_the_only_script_is_the_one_that_the_policy_names() -> None:
    html = render_cohort_page(RUN, ROWS, {})
    assert re.search(r"script-src &#39;sha256-[\w+/=]+&#39;|script-src 'sha256-[\w+/=]+'", html)


def test_an_empty_run_and_mixed_cutoffs() -> None:
    text, _ = read_page(render_cohort_page(RUN, [], {}))
    assert "0 slides: none." in text
    mixed = [slide("a"), slide("b", cutoff="h_score cytoplasm >= 100")]
    assert "cut-off" not in read_page(render_cohort_page(RUN, mixed, {}))[0].split("Worst first")[0]


def test_percent_positive_runs_are_drawn_on_their_scale() -> None:
    rows = [slide("a", cutoff="percent_positive cytoplasm >= 1", percent_positive=0.5, call="LOW")]
    text, _ = read_page(render_cohort_page(RUN, rows, {}))
    assert "Percent positive cells, cytoplasm" in text
    assert "0.5 %" in text
