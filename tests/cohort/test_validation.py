"""A validation from made scores and readings: who is compared, on what, at the cut-off, and what the report says."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cohort.made_scores import ASSAY, drawn_study, failed, not_evaluable, run_of, scored, write_readings
from slidescore.assay import Assay
from slidescore.assay.model import Score
from slidescore.cohort import validation
from slidescore.cohort.agreement import icc_2_1
from slidescore.cohort.readings import read_readings
from slidescore.cohort.validation import summarize, validate_run
from slidescore.cohort.validation_comparisons import mean_scores
from slidescore.cohort.validation_cutoff import chosen_cutoff
from slidescore.cohort.validation_report import report_facts, report_sections
from slidescore.cohort.validation_study import study_agreement
from slidescore.cohort.validation_tables import (
    agreement_table,
    at_cutoff_table,
    calls_table,
    confusion_table,
    overview_tables,
    per_slide_table,
)
from slidescore.errors import InputError


def other_assay(scheme: str, *, with_cutoff: bool = True, value: float = 4) -> Assay:
    score = Score(scheme=scheme, compartment="cytoplasm", irs_intensity="modal")
    cutoff = ASSAY.call.cutoff.model_copy(update={"scale": scheme, "value": value}) if with_cutoff else None
    return ASSAY.model_copy(update={"score": score, "call": ASSAY.call.model_copy(update={"cutoff": cutoff})})


@pytest.fixture
def read(tmp_path):
    def of(run, *lines):
        path = tmp_path / "readers.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return read_readings(path, run.files)

    return of


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    run, readings = drawn_study(40, 3)
    run = run_of([*run.slides, not_evaluable("n1"), failed("f1")])
    readings["Reader A"]["n1.svs"] = 200
    readings["Reader A"]["f1.svs"] = 20
    del readings["Reader B"]["s03.svs"]
    path = write_readings(tmp_path_factory.mktemp("readers") / "readers.csv", readings)
    return study_agreement(run, read_readings(path, run.files))


def at_cutoff(study, raters, analysis, statistic):
    [found] = [
        each
        for each in study.at_cutoff.rows
        if (" / ".join(each.raters), each.analysis, each.statistic) == (raters, analysis, statistic)
    ]
    return found


def test_machine_and_readers_are_paired_with_one_another(study):
    names = [(each.kind, each.name, len(each.slides)) for each in study.comparisons]
    assert names == [
        ("machine_reader", "machine / Reader A", 40),
        ("machine_reader", "machine / Reader B", 39),
        ("machine_reader", "machine / Reader C", 40),
        ("machine_mean", "machine / mean of readers", 39),
        ("reader_reader", "Reader A / Reader B", 39),
        ("reader_reader", "Reader A / Reader C", 40),
        ("reader_reader", "Reader B / Reader C", 39),
        ("all_readers", "all readers", 39),
    ]


def test_numbers_are_those_of_the_scores_themselves(study):
    comparison = study.comparisons[0]
    machine = np.array([slide.h_score for slide in study.run.scored])
    reader = np.array([study.readings.by_reader["Reader A"][slide.slide_id].h_score for slide in study.run.scored])
    found = study.estimates(comparison)
    assert comparison.ratings == pytest.approx(np.stack([machine, reader], axis=1))
    assert found["spearman"].value == pytest.approx(stats.spearmanr(machine, reader).statistic)
    assert found["bias"].value == pytest.approx((machine - reader).mean())
    assert found["mean_absolute_error"].value == pytest.approx(np.abs(machine - reader).mean())
    assert found["icc_2_1"].value == pytest.approx(icc_2_1(comparison.ratings, np.ones((1, 40)))[0])
    assert (found["icc_2_1"].n_slides, found["icc_2_1"].n_patients) == (40, 20)
    assert found["icc_2_1"].low < found["icc_2_1"].value < found["icc_2_1"].high
    joint = study.estimates(study.comparisons[-1])["icc_2_1"]
    columns = study.comparisons[-1].ratings
    assert columns.shape == (39, 3)
    assert joint.value == pytest.approx(icc_2_1(columns, np.ones((1, 39)))[0])


def test_the_mean_of_readers_is_of_slides_that_all_read(study):
    mean = study.comparisons[3]
    of_all = [
        np.mean([study.readings.by_reader[reader][slide.slide_id].h_score for reader in study.readings.readers])
        for slide in mean.slides
    ]
    assert mean.ratings[:, 1] == pytest.approx(of_all)
    assert "s03-00" not in [slide.slide_id for slide in mean.slides]


def test_rounding_moves_no_mean_of_readers_off_the_cut_off():
    # Below 150 when added up in binary.
    assert mean_scores([{"s": 135.6}, {"s": 155.2}, {"s": 159.2}]) == {"s": 150.0}


def test_what_is_left_out_is_named(study):
    said = {(each.slide_id, each.reader, each.reason) for each in study.left_out}
    assert said == {
        ("f1-00", "", "no score: cannot be read"),
        ("f1-00", "Reader B", "not read"),
        ("f1-00", "Reader C", "not read"),
        ("n1-00", "", "no score: too few tumor cells (12, at least 100)"),
        ("n1-00", "Reader B", "not read"),
        ("n1-00", "Reader C", "not read"),
        ("s03-00", "Reader B", "not read"),
    }
    counts = [(each.reader, each.n_read, each.n_compared, each.n_not_read) for each in study.readers]
    assert counts == [("Reader A", 42, 40, 0), ("Reader B", 39, 39, 3), ("Reader C", 40, 40, 2)]


def test_the_cut_off_with_and_without_equivocal_and_unscored(study):
    calls = study.at_cutoff.calls
    reader = {slide: each.h_score >= 150 for slide, each in study.readings.by_reader["Reader A"].items()}
    score = {slide.slide_id: slide.value for slide in study.run.slides}
    decided = [slide for slide in reader if calls[slide] in ("HIGH", "LOW")]
    called = at_cutoff(study, "machine / Reader A", "called", "sensitivity")
    assert called.share.n == sum(reader[slide] for slide in decided)
    assert called.share.k == sum(reader[slide] and calls[slide] == "HIGH" for slide in decided)
    with_equivocal = at_cutoff(study, "machine / Reader A", "with_equivocal", "agreement")
    both = [slide for slide in reader if score[slide] is not None]
    assert (with_equivocal.share.k, with_equivocal.share.n) == (
        sum((score[slide] >= 150) == reader[slide] for slide in both), 40,
    )  # fmt: skip
    # Of the two slides without a score the reader puts one high and one low; both disagree.
    for statistic, more in (("sensitivity", 1), ("specificity", 1), ("agreement", 2)):
        less = at_cutoff(study, "machine / Reader A", "with_equivocal", statistic).share
        every = at_cutoff(study, "machine / Reader A", "all", statistic).share
        assert (every.k, every.n) == (less.k, less.n + more)
    exact = stats.binomtest(called.share.k, called.share.n).proportion_ci(method="exact")
    assert (called.share.low, called.share.high) == pytest.approx((exact.low, exact.high))
    assert called.by_patient.value == pytest.approx(called.share.share)
    patients = {slide.patient_id for slide in study.run.slides if slide.slide_id in decided}
    assert called.by_patient.n_patients == len(patients)


def test_calls_are_counted_by_the_side_of_each_reference(study):
    rows = {(row["reference"], row["side"]): row for row in calls_table(study).rows}
    one, other = rows["Reader A", "HIGH"], rows["Reader A", "LOW"]
    assert (one["NOT_EVALUABLE"], one["FAILED"], other["NOT_EVALUABLE"], other["FAILED"]) == (1, 0, 0, 1)
    assert sum(row[label] for row in (one, other) for label in ("HIGH", "LOW", "EQUIVOCAL")) == 40
    assert one["EQUIVOCAL"] + other["EQUIVOCAL"] == sum(call == "EQUIVOCAL" for call in study.at_cutoff.calls.values())
    assert ("mean of readers", "LOW") in rows


def test_readers_agree_at_the_cut_off_too(study):
    found = at_cutoff(study, "Reader A / Reader B", "with_equivocal", "agreement")
    first, second = (study.readings.by_reader[f"Reader {letter}"] for letter in "AB")
    shared = [slide.slide_id for slide in study.run.scored if slide.slide_id in second]
    same = sum((first[slide].h_score >= 150) == (second[slide].h_score >= 150) for slide in shared)
    assert (found.share.k, found.share.n) == (same, 39)


def test_another_cut_off_calls_again_by_the_same_rule(tmp_path):
    run = run_of([scored("a", 100, half_width=10), scored("b", 90, half_width=12), scored("c", 40), not_evaluable("d")])
    path = write_readings(tmp_path / "r.csv", {"A": {"a.svs": 100, "b.svs": 10, "c.svs": 80, "d.svs": 200}})
    readings = read_readings(path, run.files)
    found = study_agreement(run, readings, 85).at_cutoff
    assert found.cutoff.text == "h_score cytoplasm >= 85"
    assert list(found.calls.values()) == ["HIGH", "EQUIVOCAL", "LOW", "NOT_EVALUABLE"]
    assert list(study_agreement(run, readings).at_cutoff.calls.values()) == ["LOW", "LOW", "LOW", "NOT_EVALUABLE"]
    assert chosen_cutoff(ASSAY, 150) is ASSAY.call.cutoff
    with pytest.raises(InputError, match=r"^--cutoff: 412 is outside the h_score scale \(0 to 300\)$"):
        study_agreement(run, readings, 412)


def test_without_a_cut_off_or_on_another_scale_nobody_is_judged(read):
    run = run_of([scored("a", 100), scored("b", 200)], other_assay("h_score", with_cutoff=False))
    h_scores = read(run, "file,reader,h_score", "a.svs,A,100", "b.svs,A,190")
    found = study_agreement(run, h_scores).at_cutoff
    assert (found.rows, found.calls, found.reason) == ((), {}, "the assay has no cut-off; --cutoff gives one")
    assert len(study_agreement(run, h_scores, 150).at_cutoff.rows) == 9
    irs = run_of([scored("a", 100, value=4.0), scored("b", 200, value=8.0)], other_assay("irs"))
    found = study_agreement(irs, h_scores).at_cutoff
    assert found.reason == "the cut-off is on the scale irs, the readings (h_score) are not"
    assert list(found.calls.values()) == ["LOW", "HIGH"]
    pixels = run_of([scored("a", 100), scored("b", 200)], other_assay("pixel_h_score"))
    found = study_agreement(pixels, h_scores)
    assert found.at_cutoff.reason == "nobody reads a pixel H-score, so a cut-off on it judges no reader"
    assert found.scales == ("pixel_h_score", "h_score")
    page = report_sections(found)
    assert any("Not computed: nobody reads" in text for section in page for text in section.paragraphs)


def test_shares_of_bins_give_every_scale(read):
    run = run_of([scored("a", 150, value=6.0), scored("b", 250, value=12.0)], other_assay("irs"))
    readings = read(run, "file,reader,p0,p1,p2,p3", "a.svs,A,10,40,40,10", "b.svs,A,0,0,20,80")
    found = study_agreement(run, readings)
    assert found.scales == ("irs", "h_score", "percent_positive", "intensity")
    ratings = {each.scale: each.ratings.tolist() for each in found.comparisons}
    assert ratings == {
        "h_score": [[150, 150], [250, 280]],
        "percent_positive": [[100, 90], [100, 100]],
        "irs": [[6, 4], [12, 12]],
        "intensity": [[1, 1], [2, 3]],
    }
    assert [(each.analysis, each.share.k) for each in found.at_cutoff.rows if each.statistic == "agreement"] == [
        ("called", 2), ("with_equivocal", 2), ("all", 2),
    ]  # fmt: skip
    table = confusion_table(found).rows
    assert [row["second_3+"] for row in table] == [0, 0, 1, 0]


def test_an_intensity_is_compared_with_the_fullest_bin(read):
    run = run_of([scored("a", 20), scored("b", 90), scored("c", 250), scored("d", 290)])
    readings = read(
        run, "file,reader,intensity", "a.svs,A,0", "b.svs,A,1", "c.svs,A,2", "d.svs,A,2", "a.svs,B,0", "b.svs,B,1",
    )  # fmt: skip
    found = study_agreement(run, readings)
    assert found.scales == ("intensity",)
    assert [each.kind for each in found.comparisons] == ["machine_reader", "machine_reader", "reader_reader"]
    assert found.comparisons[0].ratings.tolist() == [[0, 0], [1, 1], [2, 2], [3, 2]]
    assert found.estimates(found.comparisons[0])["exact_agreement"].value == 0.75
    assert found.at_cutoff.reason == "the cut-off is on the scale h_score, the readings (intensity) are not"
    assert per_slide_table(found).rows[2]["intensity: machine"] == 2
    assert [section.title for section in report_sections(found)][1] == "Agreement, overall intensity"


@pytest.mark.parametrize(
    ("machine", "reader", "reasons"),
    [
        ([100], [90], {"one slide only"}),
        ([100, 200], [110, 190], {"2 patients, an interval needs 10"}),
        ([100] * 12, [100] * 12, {"the scores do not vary", "every resample has the same value"}),
        ([100.0 + k for k in range(12)], [100.0 + k for k in range(12)], {"every resample has the same value"}),
        ([100.0 + k for k in range(12)], [80] * 12, {"the scores do not vary", "every resample has the same value"}),
        ([], [], {"no slide"}),
    ],
)
def test_degenerate_readings_have_reasons_not_crashes(tmp_path, machine, reader, reasons):
    slides = [scored(f"s{number}", h) for number, h in enumerate(machine)] or [not_evaluable("s0")]
    run = run_of(slides)
    scores = {f"s{number}.svs": h for number, h in enumerate(reader)} or {"s0.svs": 10}
    readings = read_readings(write_readings(tmp_path / "r.csv", {"A": scores}), run.files)
    found = study_agreement(run, readings)
    said = {each.estimate.reason for each in found.results}
    assert reasons <= said
    for each in found.results:
        assert (each.estimate.low is None) == bool(each.estimate.reason)
        assert each.estimate.value is not None or each.estimate.reason
    assert report_sections(found)
    assert summarize(found, tmp_path).rows


def test_a_reader_without_a_score_is_named_and_takes_nobody_along(read):
    run = run_of([scored("a", 100), scored("b", 200)])
    found = study_agreement(
        run, read(run, "file,reader,h_score", "a.svs,A,90", "b.svs,A,180", "a.svs,B,70", "b.svs,C,")
    )
    assert [each.name for each in found.comparisons] == [
        "machine / A",
        "machine / B",
        "machine / mean of readers",
        "A / B",
    ]
    assert [(each.slide_id, each.reader, each.reason) for each in found.left_out] == [
        ("b-00", "B", "not read"), ("b-00", "C", "the row holds no score"),
    ]  # fmt: skip


def test_without_patients_each_slide_is_one_and_the_report_says_so(tmp_path):
    run, readings = drawn_study(24, 1)
    alone = run_of([replace(slide, patient_id="") for slide in run.slides])
    path = write_readings(tmp_path / "r.csv", readings)
    found = study_agreement(alone, read_readings(path, alone.files))
    assert {each.estimate.n_patients for each in found.results} == {24}
    assert (
        dict(report_facts(found, "r.csv", "0"))["Patients"] == "not known: every slide counts as a patient of its own"
    )
    assert "Not every slide has a patient" in " ".join(report_sections(found)[0].paragraphs)
    assert any("count as a patient each" in line for line in summarize(found, tmp_path).lines)
    some = run_of([*run.slides[:-1], replace(run.slides[-1], patient_id="")])
    found = study_agreement(some, read_readings(path, some.files))
    assert {each.estimate.n_patients for each in found.results} == {13}
    assert dict(report_facts(found, "r.csv", "0"))["Patients"] == "12, and 1 of slides whose patient is not known"


def test_same_numbers_whatever_the_order_of_rows_and_slides(tmp_path):
    run, readings = drawn_study(20, 2)
    forth = write_readings(tmp_path / "forth.csv", readings)
    lines = forth.read_text().splitlines()
    back = tmp_path / "back.csv"
    back.write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    turned = run_of(run.slides[::-1])
    one = study_agreement(run, read_readings(forth, run.files))
    other = study_agreement(turned, read_readings(back, turned.files))
    for make in (agreement_table, at_cutoff_table, calls_table, per_slide_table):
        assert make(one).rows == make(other).rows


def test_correlations_keep_two_decimals_beside_differences_in_points(study):
    table = agreement_table(study)
    assert [table.formats["value"](value) for value in (0.953, -16.42, 0.4, None)] == ["0.95", "−16.4", "0.40", "–"]


def test_overview_has_intervals_where_there_are_any(study):
    coefficients, differences = overview_tables(study, "h_score")
    assert coefficients.columns[3:] == ("icc_2_1", "ccc", "spearman")
    assert differences.columns[3:] == ("bias", "limit_low", "limit_high", "mean_absolute_error")
    assert re.fullmatch(r"0\.\d\d \(0\.\d\d to 0\.\d\d\)", coefficients.rows[0]["icc_2_1"])
    assert re.fullmatch(r"−\d+\.\d \(−\d+\.\d to −\d+\.\d\)", differences.rows[0]["limit_low"])
    assert (len(coefficients.rows), len(differences.rows)) == (8, 7)


def test_the_story_writes_a_report(tmp_path, monkeypatch):
    run, readings = drawn_study(14, 1)
    monkeypatch.setattr(validation, "read_run_scores", lambda path: run)
    path = write_readings(tmp_path / "readers.csv", readings)
    summary = validate_run(tmp_path / "run", path, tmp_path / "out")
    assert summary.report == tmp_path / "out/report.html"
    assert summary.head == ("H-score", "slides", "ICC(2,1)", "Spearman", "bias", "mean absolute error")
    assert [row[:2] for row in summary.rows] == [("machine / Reader A", "14")]
    tables = {each.stem for each in (tmp_path / "out/tables").iterdir()}
    assert {"agreement", "at_cutoff", "calls", "per_slide", "readers", "left_out", "literature"} <= tables
    with (tmp_path / "out/tables/agreement.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == [
        "scale", "kind", "comparison", "statistic", "n_slides", "n_patients", "value", "low", "high", "method",
        "reason",
    ]  # fmt: skip
    assert len(rows) == 7
    assert rows[0]["reason"] == "7 patients, an interval needs 10"
    figures = {each.name for each in (tmp_path / "out/figures").iterdir()}
    assert {"agreement_h_score_1.svg", "bland_altman_h_score_1.png", "slides_h_score.csv"} <= figures
    page = summary.report.read_text(encoding="utf-8")
    assert "14 slides of the run, 0 without a score of the machine" in page
    assert str(tmp_path) not in page
