from __future__ import annotations

import pytest

from slidescore.report.page import (
    as_number,
    show_call,
    show_chance,
    show_cutoff,
    show_estimate,
    show_fraction,
    show_interval,
    show_number,
    show_percent,
    show_score,
    show_value,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), ("", "–"), (float("nan"), "–"), (0, "0 %"), (0.04, "<0.1 %"), (0.1, "0.1 %"), (3.14, "3.1 %"),
        (10, "10 %"), (65.43, "65 %"), (99.7, ">99 %"), (100, "100 %"), ("12.7", "13 %"), (9.97, "10.0 %"),
    ],
)  # fmt: skip
def test_percents(value: object, shown: str) -> None:
    assert show_percent(value) == shown


def test_numbers() -> None:
    assert show_number(1234567) == "1,234,567"
    assert show_number(0.12345, 3) == "0.123"
    assert show_number(None) == show_score("") == show_fraction(None) == "–"
    assert show_score(299.96, 1) == "300.0"
    assert show_fraction(0.5) == "50 %"
    assert as_number(float("inf")) is None


def test_cutoffs() -> None:
    assert show_cutoff("irs cytoplasm > 7") == "immunoreactive score cytoplasm > 7"
    assert show_cutoff("h_score cytoplasm >= 150") == "H-score cytoplasm ≥ 150"
    assert show_cutoff(None) == ""


def test_calls() -> None:
    assert show_call({"status": "failed", "reason": "broken"}) == {
        "text": "FAILED", "style": "call-failed", "status": "", "reason": "broken",
    }  # fmt: skip
    scored = {"status": "scored", "call": "HIGH"}
    assert show_call(scored | {"call_status": "provisional"})["status"] == "PROVISIONAL"
    assert show_call(scored | {"call_status": "unverified"})["status"] == "UNVERIFIED"
    assert show_call(scored | {"call_status": "validated"})["status"] == ""


def test_without_a_cutoff_nothing_is_called() -> None:
    none = {"call": "", "call_status": ""}
    assert show_call({"status": "scored"} | none) | {"reason": ""} == {
        "text": "no call", "style": "call-none", "status": "", "reason": "",
    }  # fmt: skip
    assert show_call({"status": "not_evaluable", "reason": "no tissue"} | none)["text"] == "NOT EVALUABLE"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        ("", "–"),
        (0, "0.00"),
        (0.004, "<0.01"),
        (0.01, "0.01"),
        ("0.381", "0.38"),
        (0.996, ">0.99"),
        (1, "1.00"),
    ],
)
def test_chances(value: object, shown: str) -> None:
    assert show_chance(value) == shown


def test_scores_and_intervals_are_written_as_their_scale_is() -> None:
    assert show_value("h_score", 143.26, 1) == "143.3"
    assert show_value("pixel_h_score", "92.65") == "93"
    assert show_value("percent_positive", 3.14, 1) == "3.1 %"
    assert show_value("irs", 8.0, 1) == show_value("allred", 8) == "8"
    assert show_interval("h_score", 120.96, "166.3", 1) == "121.0 to 166.3"
    assert show_interval("percent_positive", 9.5, 12.5) == "9.5 % to 12 %"
    assert show_interval("h_score", None, 3.0) == ""


def test_estimates_stand_with_their_interval_and_a_true_minus() -> None:
    assert show_estimate(-1.25, -2.5, 0.04, 1) == "−1.2 (−2.5 to 0.0)"
    assert show_estimate(1.25, float("nan"), 2, 1) == show_estimate(1.25, None, 2, 1) == "1.2"
    assert show_estimate(float("nan"), 1, 2, 1) == show_estimate(None, 1, 2, 1) == "–"
