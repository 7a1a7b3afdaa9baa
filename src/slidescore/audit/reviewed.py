"""The reviewed score of a slide, beside the automatic one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.assay import Assay, Compartment
from slidescore.audit.state import CellPlaces, SlideReview, cell_places
from slidescore.errors import RunFolderError
from slidescore.qc.coverage import slide_coverage
from slidescore.qc.stain_check import wrong_stain
from slidescore.report.digests import result_digest
from slidescore.report.spreadsheet import as_text
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
from slidescore.scoring.cell_squares import cell_squares, pixel_blocks
from slidescore.scoring.estimates import CELLS_OF, PIXELS, call_uncertainty, slide_seed
from slidescore.scoring.intervals import Uncertainty, uncertainty
from slidescore.scoring.squares import SquareCounts

REVIEWED_COLUMNS: Final[tuple[str, ...]] = (
    "review_state", "reviewers", "n_corrected", "reviewed_h_score", "reviewed_h_score_low", "reviewed_h_score_high",
    "reviewed_p_high", "reviewed_percent_positive", "reviewed_irs", "reviewed_allred", "reviewed_n_cells",
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
    mpp, seed
        um per level-0 px, and the seed of the slide's random numbers.
    pixels
        Pixels by block and compartment where the call is made on them; else None. Reviewers change no pixel.
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
    mpp: float
    seed: int
    pixels: Mapping[Compartment, SquareCounts] | None = None


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
        mpp, seed = float(record["slide"]["mpp"]), slide_seed(record["slide"]["fingerprint"])
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
        mpp=mpp,
        seed=seed,
        pixels=pixel_blocks(tiles, assay) if assay.score.scheme == PIXELS else None,
    )


@dataclass(frozen=True, slots=True)
class ReviewedScore:
    """What the corrected cells come to.

    Attributes
    ----------
    scores, call
        Of the corrected cells under the assay, with the coverage of the automatic run; no verdict in it.
    own, h
        How sure the score is that the call is made on, and the H-score, both from the squares of the corrected cells.
    label
        The call after the verdict: the given one where overridden, NOT_EVALUABLE where rejected; None where the assay
        has no cut-off and no verdict gives a call.
    h_score, percent_positive
        None where there is no score: too few tumor cells and the like, or rejected.
    """

    scores: Scores
    call: Call
    own: Uncertainty
    h: Uncertainty
    label: str | None
    h_score: float | None
    percent_positive: float | None


def score_review(subject: ReviewSubject, review: SlideReview) -> ReviewedScore:
    """Score the corrected cells through the same code as the automatic ones."""
    assay, corrected = subject.assay, review.corrections.bins
    cells = corrected_cells(subject.cells, review.corrections)
    scores = score_cells(cells, assay, corrected_bins=corrected)
    compartment = assay.score.compartment
    squares = cell_squares(cells, assay, subject.mpp, corrected_bins=corrected, compartments=(compartment,))[
        compartment
    ]
    h = uncertainty(squares, CELLS_OF, assay.score, assay.interval, subject.seed, assay.call.cutoff)
    own = h
    if subject.pixels is not None:
        scores = replace(scores, pixel={name: each.total for name, each in subject.pixels.items()})
        own = call_uncertainty(subject.pixels[compartment], assay, subject.seed)
    elif assay.score.scheme != CELLS_OF:
        own = call_uncertainty(squares, assay, subject.seed)
    call = make_call(scores, subject.coverage, assay, subject.refusal, own)
    rejected = review.state == "rejected"
    label = CallLabel.NOT_EVALUABLE if rejected else review.call or call.label
    none = rejected or bool(call.reason)
    h_score, percent = (None, None) if none else (scores.counts.h_score, scores.counts.percent_positive)
    return ReviewedScore(scores, call, own, h, None if label is None else str(label), h_score, percent)


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
        if score.h_score is not None:
            row |= {
                "reviewed_h_score": score.h_score,
                "reviewed_h_score_low": score.h.low,
                "reviewed_h_score_high": score.h.high,
                "reviewed_p_high": score.own.p_high,
                "reviewed_percent_positive": score.percent_positive,
                "reviewed_irs": score.scores.value("irs"),
                "reviewed_allred": score.scores.value("allred"),
            }
        row |= {
            "reviewed_n_cells": score.scores.n_cells,
            "reviewed_n_tumor_cells": score.scores.n_tumor_cells,
            "reviewed_n0": counts.n0,
            "reviewed_n1": counts.n1,
            "reviewed_n2": counts.n2,
            "reviewed_n3": counts.n3,
            "reviewed_call": score.label,
        }
    return row
