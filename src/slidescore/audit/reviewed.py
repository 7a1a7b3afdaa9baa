"""The reviewed score of a slide, beside the automatic one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.audit.spreadsheet import as_text
from slidescore.audit.state import CellPlaces, SlideReview, cell_places
from slidescore.errors import RunFolderError
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
        "review_reason": as_text(review.reason or None),
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
