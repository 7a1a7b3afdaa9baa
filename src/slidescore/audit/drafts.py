"""From what a reviewer asks for to the event that is stored, with the values that it replaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from slidescore.audit.events import EDITS, STEPS, Draft, Event
from slidescore.audit.requests import ReviewRequest
from slidescore.audit.reviewed import ReviewSubject, score_review
from slidescore.audit.runs import format_lengths, format_runs
from slidescore.audit.state import SlideReview, fold_review
from slidescore.errors import InputError


def draft_event(request: ReviewRequest, events: Sequence[Event], subject: ReviewSubject) -> Draft:
    """Make the event of a request, with the values that it replaces; for `ReviewLog.append`.

    Parameters
    ----------
    events
        All events of the run, or all of this slide.

    Raises
    ------
    InputError
        If the request is about another result, names cells or events that are not there, or would change nothing that
        can be changed: an undo of what is undone already.
    """
    if request.result_digest != subject.result_digest:
        raise InputError("is not that of the slide's result", where="result_digest", remedy="load the slide again")
    content = dict(request.content)
    if request.kind in EDITS | STEPS | {"verdict"}:
        review = fold_review(events, subject.slide_id, subject.result_digest, subject.places)
        if request.kind == "cells":
            content = _draft_cells(content, review, subject)
        elif request.kind == "region":
            content = _draft_region(content, review, subject)
        elif request.kind == "verdict":
            content = _draft_verdict(content, review, subject)
        else:
            _refuse_step(request.kind, content["of"], review)
    content["reason"] = request.reason
    return Draft(subject.slide_id, subject.result_digest, request.kind, request.reviewer, content)


def _draft_cells(content: dict[str, Any], review: SlideReview, subject: ReviewSubject) -> dict[str, Any]:
    ids = content["cells"]
    n = len(subject.bins)
    if ids[-1] >= n:
        raise InputError(f"name cell {ids[-1]}, and the slide has {n:,} cells", where="cells")
    if "bin" in content["set"]:
        said, measured = review.corrections.bins[ids], subject.bins[ids]
    else:
        said, measured = review.corrections.tumor[ids], subject.tumor[ids]
    return {
        "cells": format_runs(ids),
        "set": content["set"],
        "old": format_lengths(np.where(said >= 0, said, measured)),
    }


def _draft_region(content: dict[str, Any], review: SlideReview, subject: ReviewSubject) -> dict[str, Any]:
    touched = subject.places.touched(content["polygon"])
    if not len(touched):
        raise InputError("holds no cell that could count", where="polygon", remedy="draw it around cells")
    said, measured = review.corrections.counted[touched], subject.places.counted[touched]
    return content | {"n_cells": len(touched), "old": format_lengths(np.where(said >= 0, said, measured))}


def _draft_verdict(content: dict[str, Any], review: SlideReview, subject: ReviewSubject) -> dict[str, Any]:
    score = score_review(subject, review)
    h_score = None if score.call.reason else score.scores.counts.h_score
    label = score.call.label
    return content | {
        "old": {"state": review.state, "call": review.call},
        "reviewed": {"h_score": h_score, "call": None if label is None else str(label)},
    }


def _refuse_step(kind: str, of: int, review: SlideReview) -> None:
    """Refuse to undo what is not in force, and to redo what is."""
    row = next((row for row in review.history if row["seq"] == of), None)
    if row is None or row["kind"] not in EDITS or not row["applies"]:
        raise InputError(f"{of} is no edit of this slide", where="of")
    if not row[f"{kind}able"]:
        raise InputError(f"{of} is {'undone already' if kind == 'undo' else 'in force'}", where="of")
