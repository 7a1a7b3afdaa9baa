"""What became of a slide's reviews, for the list of slides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from slidescore.audit.events import Event
from slidescore.audit.reviewed import ReviewedScore
from slidescore.audit.runs import parse_runs
from slidescore.audit.state import SIGNED, SlideReview, edits_in_force, sign_off
from slidescore.scoring import CallLabel

Summary = Mapping[str, Any]
"""state, reviewer, h_score, call and n_corrected; None where it was not computed."""

NOT_REVIEWED: Final[Summary] = {
    "state": "unreviewed",
    "reviewer": "",
    "h_score": None,
    "call": None,
    "n_corrected": 0,
}


def summarize_review(review: SlideReview, score: ReviewedScore) -> Summary:
    """Summarize the reviews of a slide whose cells are at hand."""
    if review.state == "unreviewed":
        return NOT_REVIEWED
    return {
        "state": review.state,
        "reviewer": review.reviewer,
        "h_score": score.h_score,
        "call": score.label,
        "n_corrected": review.n_corrected,
    }


def summarize_events(events: Sequence[Event], result_digest: str) -> Summary:
    """Summarize the reviews of a slide without its cells, which would take seconds for a list of many slides.

    A verdict that stands holds the score of its moment, and that still holds. Of edits without a verdict the score is
    None until somebody opens the slide, and so is the number of corrected cells where regions are among them.

    Parameters
    ----------
    events
        Of one slide.
    result_digest
        Of its result.
    """
    applied = [event for event in events if event.result_digest == result_digest]
    signature, edits = sign_off(applied), edits_in_force(applied)
    if signature.state == "unreviewed":
        return NOT_REVIEWED
    verdict = next((event.payload for event in applied if event.seq == signature.seq), None)
    standing = verdict is not None and signature.state in SIGNED
    return {
        "state": signature.state,
        "reviewer": signature.reviewer,
        **(_judged(verdict) if verdict is not None and standing else {"h_score": None, "call": None}),
        "n_corrected": _n_corrected(edits),
    }


def _judged(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the score and the call that a verdict leaves."""
    if verdict["state"] == "rejected":
        return {"h_score": None, "call": str(CallLabel.NOT_EVALUABLE)}
    return {
        "h_score": verdict["reviewed"]["h_score"],
        "call": verdict["call"] if verdict["state"] == "overridden" else verdict["reviewed"]["call"],
    }


def _n_corrected(edits: Sequence[Event]) -> int | None:
    if any(event.kind == "region" for event in edits):
        return None
    ids = [parse_runs(event.payload["cells"]) for event in edits]
    return len(np.unique(np.concatenate(ids))) if ids else 0
