"""The report of a cohort: what it says, what it must not say, and that it is the same every time."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

from cohort.made_trial import STRATA, made_patient, made_run, made_trial, write_clinical
from slidescore.cohort import association, cut_resampling, cutpoint, score_section
from slidescore.cohort.effect_curve import response_curve, survival_curve
from slidescore.cohort.survival import log_rank
from slidescore.cohort.trial_plan import TrialPlan
from slidescore.report import analysis_page
from slidescore.report.analysis_page import ReportFigure

RANDOMISED = TrialPlan(randomised=True, control="eribulin", strata=STRATA, search_cutoff=True)
FEW = 19


def write_only_data(folder: Path, figure: ReportFigure) -> Markup:
    """Stands for the drawing of a figure, which takes most of a report's time and has tests of its own."""
    analysis_page._write_table(folder / f"{figure.name}.csv", figure.data)
    return Markup("")


def hurry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(score_section, "response_curve", lambda *given: response_curve(*given, FEW))
    patch.setattr(score_section, "survival_curve", lambda *given: survival_curve(*given, FEW))
    patch.setattr(cut_resampling, "RESAMPLES", 40)
    patch.setattr(cut_resampling, "REPEATS", 5)
    patch.setattr(cutpoint, "PERMUTATIONS", 1000)
    patch.setattr(analysis_page, "_write_figure", write_only_data)


@pytest.fixture(autouse=True)
def _hurry(request, monkeypatch):
    if "real_figures" not in request.fixturenames:
        hurry(monkeypatch)


@pytest.fixture
def real_figures():
    """Asks for figures that are drawn."""


def analyse(monkeypatch, tmp_path: Path, scores, rows, plan: TrialPlan, name: str = "out"):
    monkeypatch.setattr(association, "read_patients", lambda run: tuple(scores))
    monkeypatch.setattr(association, "read_run_scores", lambda run: made_run(scores))
    clinical = write_clinical(tmp_path / "clinical.csv", rows)
    return association.analyse_cohort(Path("run"), clinical, tmp_path / name, plan)


def table(out: Path, name: str) -> list[dict[str, str]]:
    with (out / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def words(out: Path) -> str:
    return "\n".join(
        path.read_text(encoding="utf-8") for path in sorted(out.rglob("*")) if path.suffix in (".html", ".csv", ".svg")
    )


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """The report of a randomised trial of 200 patients, made once."""
    place = tmp_path_factory.mktemp("trial")
    scores, rows = made_trial(200)
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        summary = analyse(patch, place, scores, rows, RANDOMISED)
    return place / "out", rows, summary


def test_rates_are_those_of_the_rows(trial):
    out, rows, summary = trial
    known = [row for row in rows if row["response"]]
    responders = sum(row["response"] in ("CR", "PR") for row in known)
    first = table(out, "response_rates")[0]
    assert (first["arm"], first["marker_status"]) == ("all", "all")
    counts = [int(first[name]) for name in ("patients", "response_unknown", "known", "responders")]
    assert counts == [200, 200 - len(known), len(known), responders]
    assert summary.rates[0]["responders"] == responders


def test_groups_add_up(trial):
    out, _, _ = trial
    rows = table(out, "response_rates")
    for arm in ("all", "eribulin", "combination"):
        inside = [row for row in rows if row["arm"] == arm]
        whole = next(row for row in inside if row["marker_status"] == "all")
        for name in ("patients", "known", "responders"):
            assert sum(int(r[name]) for r in inside if r["marker_status"] != "all") == int(whole[name])


def test_missing_data_are_counted_for_each_analysis(trial):
    out, _, _ = trial
    for row in table(out, "missing"):
        lost = sum(int(row[name] or 0) for name in ("no_outcome", "no_score", "not_called", "no_stratum"))
        assert int(row["patients"]) - lost == int(row["used"])


def test_a_randomised_trial_has_an_interaction_and_only_that_is_called_predictive(trial):
    out, _, summary = trial
    terms = [row["term"] for row in summary.models if row["endpoint"] == "progression-free survival"]
    assert terms[2] == "treatment x marker, per 50"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"[^.]*[Pp]redictive[^.]*\.", page) == [
        " Only the term &#39;treatment x marker&#39; speaks to a predictive marker: whether the effect of treatment "
        "changes with the score."
    ]


def test_every_table_with_groups_and_every_caption_names_the_provisional_cutoff(trial):
    out, _, _ = trial
    page = (out / "report.html").read_text(encoding="utf-8")
    tables = len(list((out / "tables").glob("*.csv"))) - 3  # flow, missing data and REMARK show no group
    figures = len(list((out / "figures").glob("*.csv"))) - 1  # the flow
    assert page.count("PROVISIONAL cut-off") >= tables + figures


def test_captions_name_n_missing_and_version(trial):
    out, _, _ = trial
    captions = re.findall(r"<figcaption.*?</figcaption>", (out / "report.html").read_text(encoding="utf-8"), re.DOTALL)
    assert len(captions) == len(list((out / "figures").glob("*.csv")))
    for caption in captions:
        assert re.search(r"n = \d+ patients", caption)
        assert "missing" in caption
        assert "slidescore " in caption


def test_a_searched_cutoff_is_exploratory_and_never_without_its_correction(trial):
    out, _, _ = trial
    rows = table(out, "cutoff_search")
    assert [(row["endpoint"], row["arm"]) for row in rows][:2] == [
        ("objective response", "eribulin"),
        ("objective response", "combination"),
    ]
    for row in rows:
        assert row["status"] == "EXPLORATORY"
        assert float(row["p_adjusted"]) > float(row["p_naive"])
    for row in table(out, "cutoff_resampled"):
        assert row["status"] == "EXPLORATORY"
        assert row["cut_low"]
        assert row["held_out"]
    captions = re.findall(r"Adjusted P [\d.&lt;]+, naive P", (out / "report.html").read_text(encoding="utf-8"))
    assert len(captions) == sum(bool(row["best_cut"]) for row in rows) == 6


def test_remark_has_twenty_items_and_says_what_only_authors_know(trial):
    out, _, _ = trial
    rows = table(out, "remark")
    assert [int(row["item"]) for row in rows] == list(range(1, 21))
    assert "blind" in rows[4]["to_be_stated"]
    assert "provisional" in rows[4]["stated_here"]
    assert "midpoint" in rows[4]["stated_here"]
    assert sum(bool(row["to_be_stated"]) for row in rows) >= 15


def test_no_path_and_no_time_is_written(trial):
    out, _, _ = trial
    assert str(out.parent) not in words(out)
    assert not re.search(r"20\d\d-\d\d-\d\d", words(out))


@pytest.mark.parametrize(
    ("plan", "arms"),
    [
        (TrialPlan(strata=("line",), search_cutoff=True), ("one",)),
        (TrialPlan(cutoff="median"), ("one",)),
        (TrialPlan(cutoff="tertile"), ("first", "second", "third")),
        (TrialPlan(cutoff=100.0), ("one",)),
    ],
)
def test_without_randomisation_the_report_says_association_and_never_predictive(monkeypatch, tmp_path, plan, arms):
    scores, rows = made_trial(45, arms=arms)
    for row in rows:
        del row["os_months"], row["os_event"]
    analyse(monkeypatch, tmp_path, scores, rows, plan)
    text = words(tmp_path / "out").lower()
    assert "predict" not in text
    assert "association" in text
    assert "treatment x marker" not in text


def test_the_order_of_rows_changes_no_byte(monkeypatch, tmp_path):
    scores, rows = made_trial(44)
    for row in rows:
        del row["os_months"], row["os_event"]
    plan = TrialPlan(randomised=True, control="eribulin", strata=("line",), search_cutoff=True)
    analyse(monkeypatch, tmp_path, scores, rows, plan, "first")
    analyse(monkeypatch, tmp_path, scores[::-1], rows[::-1], plan, "second")
    first = {path.relative_to(tmp_path / "first"): path for path in (tmp_path / "first").rglob("*.*")}
    for name, path in first.items():
        if name.suffix == ".csv":
            assert path.read_bytes() == (tmp_path / "second" / name).read_bytes(), name


@pytest.mark.usefixtures("real_figures")
def test_figures_are_drawn_and_are_the_same_every_time(monkeypatch, tmp_path):
    scores, rows = made_trial(45, arms=("one",))
    rows = [{"patient_id": row["patient_id"], "response": row["response"]} for row in rows]
    for name in ("first", "second"):
        analyse(monkeypatch, tmp_path, scores, rows, TrialPlan(), name)
    for name in ("patient_flow", "response_rates", "response_along_score"):
        for suffix in (".svg", ".png", ".csv"):
            path = Path("figures") / f"{name}{suffix}"
            assert (tmp_path / "first" / path).read_bytes() == (tmp_path / "second" / path).read_bytes()
    assert "predict" not in words(tmp_path / "first").lower()


@pytest.mark.parametrize("n", [1, 5])
def test_a_few_patients_give_reasons_and_no_crash(monkeypatch, tmp_path, n):
    scores, rows = made_trial(n, seed=9)
    plan = TrialPlan(strata=STRATA, search_cutoff=True)
    analyse(monkeypatch, tmp_path, scores, rows, plan)
    assert table(tmp_path / "out", "models")[0]["notes"]


@pytest.mark.parametrize("spoil", ["no_response", "all_respond", "all_censored", "no_score", "one_score", "empty_arm"])
def test_degenerate_outcomes_give_reasons_and_no_crash(monkeypatch, tmp_path, spoil):
    scores, rows = made_trial(44, seed=10)
    changes = {
        "no_response": {"response": "SD"},
        "all_respond": {"response": "PR"},
        "all_censored": {"pfs_event": 0},
    }.get(spoil, {})
    rows = [{name: value for name, value in (row | changes).items() if not name.startswith("os")} for row in rows]
    if spoil == "empty_arm":
        rows = [
            row | ({"response": "", "pfs_months": "", "pfs_event": ""} if k % 2 else {}) for k, row in enumerate(rows)
        ]
    if spoil in ("no_score", "one_score"):
        scores = [made_patient(each.patient_id, 99.0 if spoil == "one_score" else None) for each in scores]
    plan = TrialPlan(randomised=True, control="eribulin", strata=("line",), search_cutoff=True)
    analyse(monkeypatch, tmp_path, scores, rows, plan)
    assert any(row["notes"] for row in table(tmp_path / "out", "models"))
    assert any(row["reason"] for row in table(tmp_path / "out", "cutoff_search"))


def test_an_assay_without_a_cutoff_leaves_the_score_as_it_is(monkeypatch, tmp_path):
    scores, rows = made_trial(50, arms=("one",))
    scores = [
        replace(s, cutoff="", call_status="", p_high=None, call="" if s.score is not None else "NOT_EVALUABLE")
        for s in scores
    ]
    analyse(monkeypatch, tmp_path, scores, rows, TrialPlan())
    assert {row["marker_status"] for row in table(tmp_path / "out", "response_rates")} >= {"all", "SCORED"}
    assert table(tmp_path / "out", "response_differences") == []
    assert "has no cut-off" in words(tmp_path / "out")


def test_over_all_arms_high_and_low_are_compared_within_arms(trial):
    out, _, _ = trial
    patients = [
        row
        for row in table(out, "patients_analysed")
        if row["marker_status"] in ("HIGH", "LOW") and row["pfs_months"] and all(row[name] for name in STRATA)
    ]
    stratum = [(row["arm"], *(row[name] for name in STRATA)) for row in patients]
    _, numbers = np.unique(stratum, axis=0, return_inverse=True)
    expected = log_rank(
        np.array([row["marker_status"] == "HIGH" for row in patients], np.int64),
        np.array([float(row["pfs_months"]) for row in patients]),
        np.array([row["pfs_event"] == "1" for row in patients]),
        numbers,
    )
    [row] = [
        row
        for row in table(out, "pfs_comparisons")
        if row["comparison"] == "HIGH against LOW" and row["among"] == "all patients"
    ]
    assert float(row["stratified_log_rank_p"]) == pytest.approx(expected.p, rel=1e-5)
    assert int(row["stratified_patients"]) == len(patients)
