from __future__ import annotations

import re
from typing import Any

import numpy as np
from imagecodecs import jpeg8_encode

from classical_assay import classical_assay, classical_text
from report.made_cells import scattered_cells
from report.made_result import make_row, make_run
from report.page_checks import read_page
from slidescore.report.cohort_page import cutoff_distance, render_cohort_page, sort_worst_first
from slidescore.report.columns import PATIENT_COLUMNS

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


def test_as_far_from_the_cutoff_the_less_certain_comes_first() -> None:
    rows = [
        slide("narrow", h_score=160.0, h_score_low=155.0, h_score_high=165.0, p_high=0.9, qc="pass"),
        slide("wide", h_score=140.0, h_score_low=100.0, h_score_high=180.0, p_high=0.4, qc="pass"),
        slide("doubtful", h_score=140.0, h_score_low=135.0, h_score_high=145.0, p_high=0.45, qc="pass"),
        slide("unknown", h_score=160.0, qc="pass"),
        slide("nearer", h_score=159.0, qc="pass"),
    ]
    names = ["nearer.svs", "wide.svs", "doubtful.svs", "narrow.svs", "unknown.svs"]
    assert [row["file"] for row in sort_worst_first(rows)] == names
    as_text = [{name: None if value is None else str(value) for name, value in row.items()} for row in rows]
    assert [row["file"] for row in sort_worst_first(as_text)] == names


def test_the_distance_is_on_the_cutoffs_own_scale() -> None:
    assert cutoff_distance(slide("a", h_score=140.0)) == 10.0
    assert cutoff_distance(slide("a", percent_positive=42.0, cutoff="percent_positive cell >= 40")) == 2.0
    assert cutoff_distance(slide("a", h_score=None)) is None
    assert cutoff_distance(failed("a")) is None


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


def test_intervals_and_chances_stand_beside_the_score() -> None:
    row = slide("a", h_score=140.0, h_score_low=120.6, h_score_high=160.2, p_high=0.381, call="EQUIVOCAL")
    page = render_cohort_page(RUN, [row], {})
    text, _ = read_page(page)
    assert "121 to 160" in text
    assert "0.38" in text
    assert "H-score 140 (121 to 160)" in text
    # On an axis of 118 px for 300 H.
    assert f'x="{1 + 120.6 * 118 / 300:.2f}" y="3.00" width="{39.6 * 118 / 300:.2f}"' in page
    assert '<span class="call call-equivocal">EQUIVOCAL</span>' in page


def test_without_a_cutoff_there_is_no_call() -> None:
    text = classical_text()
    start = text.index("  cutoff:")
    text = text[:start] + "  cutoff: null\n\n" + text[text.index("patients:") :]
    run = RUN | {"assay": RUN["assay"] | {"text": text}}
    row = slide("a", call=None, call_status=None, cutoff=None)
    page, _ = read_page(render_cohort_page(run, [row], {}))
    assert "No cut-off: no call." in page
    assert "1 slide: 1 scored." in page
    assert "Calls" not in page
    assert "H-score, cytoplasm" in page
    assert "no call" in page.split("Worst first")[0]
    assert "HIGH" not in page.replace("P(HIGH)", "")


def test_other_scales_have_their_own_column_and_axis() -> None:
    rows = [slide("a", cutoff="irs cytoplasm > 7", irs=8.0, call="HIGH", call_status="unverified")]
    page = render_cohort_page(RUN, rows, {})
    text, _ = read_page(page)
    assert "Immunoreactive score, cytoplasm" in text
    assert "UNVERIFIED CUT-OFF" in text
    assert page.count("<td") == page.count('<th scope="col"') + 1
    assert f'x1="{1 + 8 * 118 / 12:.2f}"' in page


def patient(name: str, **changes: Any) -> dict[str, Any]:
    row = dict.fromkeys(PATIENT_COLUMNS) | {
        "patient_id": name, "rule": "most_recent_metastatic", "n_slides": 3, "n_used": 2, "slides_used": "a-0;b-0",
        "score": 143.4, "low": 121.2, "high": 166.4, "p_high": 0.381, "call": "EQUIVOCAL", "scale": "h_score",
        "compartment": "cytoplasm", "cutoff": "h_score cytoplasm >= 150", "call_status": "provisional",
    }  # fmt: skip
    return row | changes


def test_patients_have_a_table_of_their_own() -> None:
    none = {"score": None, "low": None, "high": None, "p_high": None, "call": "NOT_EVALUABLE", "n_used": 0}
    rows = [patient("P-1"), patient("P-<2>", reason="no evaluable slide", **none)]
    page = render_cohort_page(RUN, ROWS, {}, rows)
    text, _ = read_page(page)
    assert "n = 2 patients" in text
    for phrase in ("most recent metastatic", "2 of 3", "121 to 166", "P-<2>", "no evaluable slide", "a-0, b-0"):
        assert phrase in (page if phrase == "a-0, b-0" else text)
    as_text = [{key: None if value is None else str(value) for key, value in row.items()} for row in rows]
    assert render_cohort_page(RUN, ROWS, {}, as_text) == page
    assert "Patients" not in read_page(render_cohort_page(RUN, ROWS, {}))[0]


def test_percent_positive_runs_are_drawn_on_their_scale() -> None:
    rows = [slide("a", cutoff="percent_positive cytoplasm >= 1", percent_positive=0.5, call="LOW")]
    text, _ = read_page(render_cohort_page(RUN, rows, {}))
    assert "Percent positive cells, cytoplasm" in text
    assert "0.5 %" in text


def reviewed(name: str, state: str, **columns: Any) -> dict[str, Any]:
    said = {"reviewers": "A. Reader;B. Reader", "review_reason": "", "reviewed_h_score": None, "reviewed_call": "HIGH"}
    return slide(name, h_score=160.0, call="HIGH", qc="pass") | said | {"review_state": state} | columns


def test_what_reviewers_made_of_a_slide_stands_beside_it() -> None:
    rows = [
        reviewed("a", "overridden", reviewed_h_score=141.4, reviewed_call="LOW", review_reason="a <fold>"),
        reviewed("b", "accepted", reviewed_h_score=160.0, reviewed_call="HIGH"),
        reviewed("c", "unreviewed", reviewers="", reviewed_call=None),
        failed("broken") | {"review_state": None},
    ]
    page = render_cohort_page(RUN, rows, {})
    text, _ = read_page(page)
    assert "Review: 1 accepted, 1 overridden, 2 unreviewed." in text
    assert "141" in text
    assert "overridden (A. Reader, B. Reader): a <fold>" in text
    assert "a &lt;fold&gt;" in page
    assert "accepted (A. Reader, B. Reader)" in text
    # The call of a person is said where it is another one.
    assert text.count("reviewed: ") == 1
    assert "reviewed: LOW" in text
    assert "unreviewed (" not in text
    heads, cells = page.count('<th scope="col"') + 1, page.count("<td")
    assert cells == heads * len(rows)


def test_a_page_of_a_run_that_nobody_reviewed_says_nothing_of_reviews() -> None:
    text, _ = read_page(render_cohort_page(RUN, ROWS, {}))
    assert "review" not in text.lower()
