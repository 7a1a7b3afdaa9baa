"""The clinical table: what it says, and every error with file, row and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from slidescore.cohort.clinical_table import FollowUp, read_clinical
from slidescore.cohort.trial_plan import TrialPlan
from slidescore.errors import InputError

RANDOMISED = TrialPlan(randomised=True, control="eribulin")

UNDECLARED = TrialPlan()


def read(tmp_path: Path, text: str, plan: TrialPlan = UNDECLARED):
    path = tmp_path / "clinical.csv"
    path.write_text(text, encoding="utf-8")
    return read_clinical(path, plan)


def test_a_whole_table(tmp_path):
    text = (
        "patient_id,arm,response,pfs_months,pfs_event,os_months,os_event,line,age\n"
        "P2,eribulin,PD,2.5,1,4,0,2nd,61\nP1,combination,PR,7.1,0,12,1,,54\nP3,eribulin,NE,,,3,1,2nd,70\n"
    )
    found = read(tmp_path, text, TrialPlan(randomised=True, control="eribulin", strata=("Line",)))
    assert [patient.patient_id for patient in found.patients] == ["P1", "P2", "P3"]
    assert found.arms == ("eribulin", "combination")
    assert found.endpoints == ("response", "pfs", "os")
    assert found.strata == ("line",)
    one, two, three = found.patients
    assert (one.responder, one.pfs, one.os, one.strata) == (True, FollowUp(7.1, False), FollowUp(12.0, True), (None,))
    assert (two.responder, two.strata) == (False, ("2nd",))
    assert (three.response, three.responder, three.pfs) == ("NE", False, None)


def test_responders_semicolons_and_other_names_for_the_arm(tmp_path):
    found = read(tmp_path, "patient_id;cohort;responder\nA;x;yes\nB;x;0\nC;x;\n", TrialPlan(arm="Cohort"))
    assert [patient.responder for patient in found.patients] == [True, False, None]
    assert found.arms == ("x",)
    assert found.endpoints == ("response",)


def test_the_order_of_rows_does_not_matter(tmp_path):
    first = read(tmp_path, "patient_id,response\nA,PR\nB,SD\n")
    second = read(tmp_path, "patient_id,response\nB,SD\nA,PR\n")
    assert [p.responder for p in first.patients] == [p.responder for p in second.patients]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient_id,response\nA,PR\nA,SD\n", "row 3, column 'patient_id': 'A' stands in row 2 already"),
        ("patient_id,response\nA,PR\n,SD\n", "row 3, column 'patient_id': is empty"),
        ("patient_id,response\nA,XX\n", "row 2, column 'response': 'XX' is none of CR, PR, SD, PD, NE"),
        ("patient_id,responder\nA,2\n", "row 2, column 'responder': '2' is neither yes nor no"),
        ("patient_id,pfs_months,pfs_event\nA,-1,0\n", "row 2, column 'pfs_months': -1 is not between 0 and 600"),
        ("patient_id,pfs_months,pfs_event\nA,1260,0\n", "row 2, column 'pfs_months': 1260 is not between 0 and 600"),
        ("patient_id,pfs_months,pfs_event\nA,3.5,\n", "row 2, column 'pfs_event': is empty, but pfs_months is not"),
        ("patient_id,os_months,os_event\nA,,1\n", "row 2, column 'os_months': is empty, but os_event is not"),
        ('patient_id,os_months,os_event\nA,"3,5",1\n', "row 2, column 'os_months': '3,5' is not a number"),
        (
            "patient_id,pfs_months,pfs_event,os_months,os_event\nA,6,1,5,1\n",
            "row 2, column 'pfs_months': 6 is later than os_months, 5",
        ),
        (
            "patient_id,pfs_months,pfs_event,os_months,os_event\nA,5,0,5,1\n",
            "row 2, column 'pfs_event': is 0, but the patient died at 5 months",
        ),
        ("patient_id,pfs_months\nA,5\n", "column 'pfs_months': needs column 'pfs_event' beside it"),
        ("patient_id,responder,response\nA,1,PR\n", "column 'responder': says the same as response"),
        ("patient_id,age\nA,54\n", "has no outcome"),
        (
            "patient_id,respons\nA,PR\n",
            "column 'respons': is not a column of a clinical table (did you mean 'response'?)",
        ),
        ("patient,response\nA,PR\n", "has no column 'patient_id'"),
        ("patient_id,response\n", "has column names but no row"),
        ("patient_id,response\nA,PR,3\n", "row 2: has 3 values, but there are 2 columns"),
    ],
)
def test_errors_name_file_row_and_column(tmp_path, text, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert "clinical.csv" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "plan", "message"),
    [
        ("patient_id,response\nA,PR\n", RANDOMISED, "has no column 'arm', which --randomised needs"),
        ("patient_id,response,arm\nA,PR,x\nB,PR,x\n", RANDOMISED, "column 'arm': holds one arm, 'x'"),
        ("patient_id,response,arm\nA,PR,x\nB,PR,y\nC,PR,z\n", RANDOMISED, "holds 3 arms: 'x', 'y', 'z'"),
        ("patient_id,response,arm\nA,PR,eribulin\nB,PR,\n", RANDOMISED, "row 3, column 'arm': is empty"),
        (
            "patient_id,response,arm\nA,PR,eribuline\nB,PR,y\n",
            RANDOMISED,
            "no arm 'eribulin' (did you mean 'eribuline'?)",
        ),
        ("patient_id,response,arm\nA,PR,x\nB,PR,y\n", TrialPlan(randomised=True), "--control"),
        ("patient_id,response,arm\nA,PR,x\nB,PR,y\n", TrialPlan(control="x"), "not that the arms were randomised"),
        ("patient_id,response,line\nA,PR,x\n", TrialPlan(strata=("lines",)), "--strata"),
        ("patient_id,response\nA,PR\n", TrialPlan(strata=("response",)), "'response' cannot be a stratum"),
        ("patient_id,response\nA,PR\n", TrialPlan(arm="drug"), "--arm"),
    ],
)
def test_errors_of_the_plan(tmp_path, text, plan, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, plan)
    assert message in str(caught.value)


def test_an_age_is_no_stratum(tmp_path):
    rows = "".join(f"P{k},PR,{40 + k}\n" for k in range(12))
    with pytest.raises(InputError, match="column 'age': has 12 levels, too many for a stratum"):
        read(tmp_path, f"patient_id,response,age\n{rows}", TrialPlan(strata=("age",)))
