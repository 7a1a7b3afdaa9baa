from __future__ import annotations

import pytest

from slidescore.report.page import (
    as_number,
    show_call,
    show_cutoff,
    show_fraction,
    show_number,
    show_percent,
    show_score,
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
    assert show_cutoff("h_score cytoplasm >= 150") == "H-score cytoplasm ≥ 150"
    assert show_cutoff(None) == ""


def test_calls() -> None:
    assert show_call({"status": "failed", "reason": "broken"}) == {
        "text": "FAILED", "style": "call-failed", "provisional": "", "reason": "broken",
    }  # fmt: skip
    assert show_call({"status": "scored", "call": "HIGH", "call_status": "provisional"})["provisional"] == "PROVISIONAL"
    assert show_call({})["text"] == "–"
