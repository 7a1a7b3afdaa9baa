"""The list's summary of a review, made without cells, against the fold of the same events with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.audit.events import NO_DIGEST, Event
from slidescore.audit.runs import format_lengths, format_runs
from slidescore.audit.state import CellPlaces, fold_review
from slidescore.review.summaries import NOT_REVIEWED, summarize_events

SLIDE, RESULT, OTHER = "a-01234567", "1" * 64, "2" * 64
N = 30
PLACES = CellPlaces(np.arange(N) * 10.0, np.zeros(N), np.ones(N, bool), np.zeros(N, bool))
VERDICTS = ("accepted", "rejected", "flagged", "overridden", "open")


def event(seq: int, kind: str, payload: dict[str, Any], *, reviewer: str = "A", digest: str = RESULT) -> Event:
    return Event(seq, "2026-01-01T00:00:00+00:00", reviewer, SLIDE, digest, kind, payload, NO_DIGEST, NO_DIGEST)  # type: ignore[arg-type]


def cells(ids: list[int]) -> dict[str, Any]:
    rising = np.array(sorted(ids))
    old = format_lengths(np.zeros(len(rising), np.int8))
    return {"cells": format_runs(rising), "set": {"bin": 1}, "old": old, "reason": ""}


def region() -> dict[str, Any]:
    polygon = [[-5.0, -5.0], [45.0, -5.0], [45.0, 5.0], [-5.0, 5.0]]
    return {"role": "exclude", "polygon": polygon, "n_cells": 5, "old": "1*5", "reason": ""}


def verdict(state: str) -> dict[str, Any]:
    said = {"call": "LOW"} if state == "overridden" else {}
    return {"state": state, "reason": "r", "reviewed": {"h_score": 12.5, "call": "HIGH"}, "old": {}} | said


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    for seq in range(1, draw(st.integers(0, 12)) + 1):
        edits = [each.seq for each in events if each.kind in ("cells", "region")]
        kind = draw(st.sampled_from(["cells", "cells", "region", "verdict", "comment", "reading", "undo", "redo"]))
        if kind in ("undo", "redo") and not edits:
            continue
        payload: dict[str, Any] = {"text": "x", "reason": "", "h_score": 1.0}
        if kind == "cells":
            payload = cells(draw(st.lists(st.integers(0, N - 1), min_size=1, max_size=6, unique=True)))
        elif kind == "region":
            payload = region()
        elif kind == "verdict":
            payload = verdict(draw(st.sampled_from(VERDICTS)))
        elif kind in ("undo", "redo"):
            payload = {"of": draw(st.sampled_from(edits)), "reason": ""}
        digest = draw(st.sampled_from([RESULT, RESULT, RESULT, OTHER]))
        events.append(event(seq, kind, payload, reviewer=draw(st.sampled_from("AB")), digest=digest))
    return events


@given(histories())
def test_a_summary_says_what_the_fold_says(events: list[Event]) -> None:
    found = summarize_events(events, RESULT)
    review = fold_review(events, SLIDE, RESULT, PLACES)
    assert found["state"] == review.state
    if review.state != "unreviewed":
        assert found["reviewer"] == review.reviewer
    assert found["n_corrected"] in (None, review.n_corrected)
    if not review.regions:
        assert found["n_corrected"] == review.n_corrected


@pytest.mark.parametrize(
    ("state", "h_score", "call"),
    [("accepted", 12.5, "HIGH"), ("flagged", 12.5, "HIGH"), ("overridden", 12.5, "LOW"),
     ("rejected", None, "NOT_EVALUABLE"), ("open", None, None)],
)  # fmt: skip
def test_a_verdict_brings_the_score_of_its_moment(state: str, h_score: float | None, call: str | None) -> None:
    found = summarize_events([event(1, "cells", cells([1, 2])), event(2, "verdict", verdict(state))], RESULT)
    assert (found["h_score"], found["call"], found["n_corrected"]) == (h_score, call, 2)


def test_after_a_later_edit_the_score_is_unknown() -> None:
    found = summarize_events([event(1, "verdict", verdict("accepted")), event(2, "cells", cells([1]))], RESULT)
    assert (found["state"], found["h_score"], found["call"], found["n_corrected"]) == ("changed", None, None, 1)


def test_reviews_of_another_result_do_not_count() -> None:
    assert summarize_events([event(1, "verdict", verdict("accepted"), digest=OTHER)], RESULT) == NOT_REVIEWED
    assert summarize_events([], RESULT) == NOT_REVIEWED
