"""The reviewed score of a slide, beside the automatic one, and the events that lead to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.audit.events import EDITS, STEPS, Draft, Event
from slidescore.audit.requests import ReviewRequest
from slidescore.audit.runs import format_lengths, format_runs
from slidescore.audit.state import CellPlaces, SlideReview, cell_places, fold_review
from slidescore.errors import InputError, RunFolderError
from slidescore.qc.coverage import slide_coverage
from slidescore.qc.stain_check import wrong_stain
from slidescore.report.digests import result_digest
from slidescore.scoring import (
    Call,
    CallLabel,
    Coverage,
    Scores,
    cell_bins,
    corrected_cells,
    make_call,
    score_cells,
    tumor_cells,
)

REVIEWED_COLUMNS: Final[tuple[str, ...]] = (
    "review_state", "reviewers", "n_corrected", "reviewed_h_score", "reviewed_percent_positive", "reviewed_n_cells",
    "reviewed_n_tumor_cells", "reviewed_n0", "reviewed_n1", "reviewed_n2", "reviewed_n3", "reviewed_call",
    "review_reason", "review_head",
)  # fmt: skip
"""Columns that follow the public ones in scores.csv after `rescore --with-reviews`."""


@dataclass(frozen=True, slots=True, eq=False)
class ReviewSubject:
    """One result as reviews see it.

    Attributes
    ----------
    slide_id, result_digest
        What it is.
    cells
        The cells as the assay's rule sees them (`judged_cells`), in order of cell_id; outlines are not needed.
    places
        Where they are.
    bins, tumor
        int8, (N,): the machine's bin in the assay's compartment; 1 a tumor cell, 0 another one.
    assay
        The run's.
    coverage, refusal
        Of the automatic run: areas stay what they were, whatever cells reviewers take out.
    """

    slide_id: str
    result_digest: str
    cells: pa.Table
    places: CellPlaces
    bins: NDArray[np.int8]
    tumor: NDArray[np.int8]
    assay: Assay
    coverage: Coverage
    refusal: str


def review_subject(record: Mapping[str, Any], cells: pa.Table, tiles: pa.Table, assay: Assay) -> ReviewSubject:
    """Make a subject of a result.json, the judged cells, tiles.parquet and the run's assay.

    Parameters
    ----------
    cells
        After `slidescore.scoring.tumor_model.judged_cells`; at least x, y, excluded, tumor_probability and the dab_od
        columns.

    Raises
    ------
    RunFolderError
        If the record lacks a part, or the cells are in another order.
    """
    try:
        identity, colours = str(record["slide_id"]), record["colours"]
        refusal = wrong_stain(colours, assay.qc.stain)
    except (LookupError, TypeError) as error:
        raise RunFolderError(f"lacks a part: {error}", where="result.json") from error
    if "cell_id" in cells.column_names and not (cells.column("cell_id").to_numpy() == np.arange(len(cells))).all():
        raise RunFolderError("is not in order of cell_id", where="cells.parquet")
    bins, _ = cell_bins(cells, assay, assay.score.compartment)
    return ReviewSubject(
        slide_id=identity,
        result_digest=result_digest(record),
        cells=cells,
        places=cell_places(cells),
        bins=bins,
        tumor=tumor_cells(cells, assay).astype(np.int8),
        assay=assay,
        coverage=slide_coverage(tiles),
        refusal=refusal,
    )


@dataclass(frozen=True, slots=True)
class ReviewedScore:
    """What the corrected cells come to.

    Attributes
    ----------
    scores, call
        Of the corrected cells under the assay, with the coverage of the automatic run; no verdict in it.
    label
        The call after the verdict: the given one where overridden, NOT_EVALUABLE where rejected.
    h_score, percent_positive
        None where there is no score: too few tumor cells and the like, or rejected.
    """

    scores: Scores
    call: Call
    label: str
    h_score: float | None
    percent_positive: float | None


def score_review(subject: ReviewSubject, review: SlideReview) -> ReviewedScore:
    """Score the corrected cells through the same code as the automatic ones."""
    cells = corrected_cells(subject.cells, review.corrections)
    scores = score_cells(cells, subject.assay, corrected_bins=review.corrections.bins)
    call = make_call(scores, subject.coverage, subject.assay, subject.refusal)
    rejected = review.state == "rejected"
    label = str(CallLabel.NOT_EVALUABLE if rejected else review.call or call.label)
    if rejected or call.reason:
        return ReviewedScore(scores, call, label, None, None)
    return ReviewedScore(scores, call, label, scores.counts.h_score, scores.counts.percent_positive)


def reviewed_row(subject: ReviewSubject, review: SlideReview) -> dict[str, Any]:
    """Fill `REVIEWED_COLUMNS` of a slide; without an edit or a verdict there is no reviewed score, and it is None.

    `review_head` is the digest of the last event that went in: whoever checks the row later folds the events up to it.
    """
    row: dict[str, Any] = dict.fromkeys(REVIEWED_COLUMNS)
    row |= {
        "review_state": review.state,
        "reviewers": ";".join(review.reviewers) or None,
        "n_corrected": review.n_corrected,
        "review_reason": review.reason or None,
        "review_head": review.head or None,
    }
    if review.state != "unreviewed":
        score = score_review(subject, review)
        counts = score.scores.counts
        row |= {
            "reviewed_h_score": score.h_score,
            "reviewed_percent_positive": score.percent_positive,
            "reviewed_n_cells": score.scores.n_cells,
            "reviewed_n_tumor_cells": score.scores.n_tumor_cells,
            "reviewed_n0": counts.n0,
            "reviewed_n1": counts.n1,
            "reviewed_n2": counts.n2,
            "reviewed_n3": counts.n3,
            "reviewed_call": score.label,
        }
    return row


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
    return content | {
        "old": {"state": review.state, "call": review.call},
        "reviewed": {"h_score": h_score, "call": str(score.call.label)},
    }


def _refuse_step(kind: str, of: int, review: SlideReview) -> None:
    """Refuse to undo what is not in force, and to redo what is."""
    row = next((row for row in review.history if row["seq"] == of), None)
    if row is None or row["kind"] not in EDITS or not row["applies"]:
        raise InputError(f"{of} is no edit of this slide", where="of")
    if not row[f"{kind}able"]:
        raise InputError(f"{of} is {'undone already' if kind == 'undo' else 'in force'}", where="of")
