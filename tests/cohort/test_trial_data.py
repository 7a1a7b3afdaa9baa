"""Scores beside outcomes: who is in, who is not, and what HIGH means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cohort.made_trial import made_patient
from slidescore.cohort.clinical_table import read_clinical
from slidescore.cohort.marker_groups import group_patients
from slidescore.cohort.trial_data import join_trial
from slidescore.cohort.trial_plan import TrialPlan
from slidescore.errors import InputError

UNDECLARED = TrialPlan()


def joined(tmp_path: Path, scores, text: str, plan: TrialPlan = UNDECLARED):
    path = tmp_path / "clinical.csv"
    path.write_text(text, encoding="utf-8")
    return join_trial(scores, read_clinical(path, plan), plan)


def test_patients_without_slides_stay_and_those_without_a_row_are_counted(tmp_path):
    scores = [made_patient("A", 200.0), made_patient("B", None), made_patient("Z", 30.0)]
    data = joined(tmp_path, scores, "patient_id,response,pfs_months,pfs_event\nB,SD,2,1\nA,PR,3,0\nQ7,,,\n")
    assert data.patient_id == ("A", "B", "Q7")
    assert data.group.tolist() == ["HIGH", "NOT_EVALUABLE", "NO_SLIDE"]
    assert data.unmatched == ("Z",)
    np.testing.assert_array_equal(data.score, [200.0, np.nan, np.nan])
    np.testing.assert_array_equal(data.responder, [1, 0, np.nan])
    np.testing.assert_array_equal(data.months["pfs"], [3, 2, np.nan])
    assert data.known("os").sum() == 0


def test_strata_are_combined_and_a_missing_level_is_known_to_be_missing(tmp_path):
    scores = [made_patient(name, 10.0) for name in "ABC"]
    text = "patient_id,response,line,visceral\nA,PR,2nd,yes\nB,SD,3rd,\nC,SD,2nd,yes\n"
    data = joined(tmp_path, scores, text, TrialPlan(strata=("line", "visceral")))
    assert data.in_stratum.tolist() == [True, False, True]
    assert data.stratum[0] == data.stratum[2] != data.stratum[1]
    assert joined(tmp_path, scores, text).in_stratum.all()


@pytest.mark.parametrize("spelt", ["p-7", "P 007", "P007", "p_7"])
def test_another_spelling_of_a_patient_is_refused(tmp_path, spelt):
    scores = [made_patient("P-007", 10.0), made_patient("P-008", 20.0)]
    with pytest.raises(InputError, match=r"clinical.csv, row 3, column 'patient_id': .*did you mean 'P-007'"):
        joined(tmp_path, scores, f"patient_id,response\nP-008,PR\n{spelt},SD\n")


def test_a_table_of_other_patients_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"clinical.csv: none of its 1 patients .*like 'A', the table like 'X'"):
        joined(tmp_path, [made_patient("A", 10.0)], "patient_id,response\nX,PR\n")


SCORES = [made_patient(f"P{k}", score) for k, score in enumerate([10.0, 60.0, 140.0, 155.0, 250.0])]


def test_the_calls_of_the_run_are_taken_as_they_are():
    groups, rule = group_patients(
        [*SCORES, made_patient("E", 150.0, "EQUIVOCAL"), made_patient("N", None)], TrialPlan()
    )
    assert groups == ("LOW", "LOW", "LOW", "HIGH", "HIGH", "EQUIVOCAL", "NOT_EVALUABLE")
    assert rule.note == "PROVISIONAL cut-off: HIGH is H-score cytoplasm ≥ 150, which is not validated."
    assert rule.value == 150


def test_splits_of_the_cohort_are_called_data_derived():
    groups, rule = group_patients(SCORES, TrialPlan(cutoff="median"))
    assert groups == ("LOW", "LOW", "HIGH", "HIGH", "HIGH")
    assert "data-derived, exploratory" in rule.note
    groups, rule = group_patients([*SCORES, made_patient("N", None)], TrialPlan(cutoff="tertile"))
    assert groups == ("LOW", "LOW", "MIDDLE", "HIGH", "HIGH", "NOT_EVALUABLE")
    assert "data-derived, exploratory" in rule.note


def test_a_split_that_ties_empty_says_so():
    scores = [made_patient(f"P{k}", score) for k, score in enumerate([0.0, 0.0, 0.0, 155.0, 250.0])]
    groups, rule = group_patients(scores, TrialPlan(cutoff="median"))
    assert groups == ("HIGH",) * 5
    assert rule.note.endswith("No patient is LOW: too many have the same score.")


def test_a_number_makes_its_own_equivocal_patients():
    groups, rule = group_patients(SCORES, TrialPlan(cutoff=50.0))
    assert groups == ("LOW", "EQUIVOCAL", "HIGH", "HIGH", "HIGH")
    assert "stated for this analysis and not validated" in rule.note
    with pytest.raises(InputError, match="--cutoff: 400 is not on the scale h_score"):
        group_patients(SCORES, TrialPlan(cutoff=400.0))


def test_without_a_cutoff_nobody_is_called():
    scores = [made_patient("A", 10.0, cutoff="", call_status="", call=" ")]
    groups, rule = group_patients(scores, TrialPlan())
    assert groups == ("SCORED",)
    assert rule.note == "The assay has no cut-off, so no patient is called HIGH or LOW."
