"""What the pages are told of scores: bins and what follows from them, automatic and reviewed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slidescore.assay import Assay
from slidescore.review.opened_slide import OpenedSlide, Reviewed
from slidescore.review.slide_cells import SlideCells
from slidescore.scoring import BinCounts, Scores, make_call, score_cells
from slidescore.scoring.estimates import PIXELS
from slidescore.scoring.intervals import Uncertainty
from slidescore.scoring.schemes import SCHEMES


def bin_facts(bins: BinCounts) -> dict[str, Any]:
    """Describe counts in bins and the scores that follow from them."""
    return {
        "bins": [bins.n0, bins.n1, bins.n2, bins.n3],
        "h_score": bins.h_score,
        "percent_positive": bins.percent_positive,
    }


def automatic_score(record: Mapping[str, Any], reviewed: Reviewed) -> dict[str, Any]:
    """Describe the score of the cells as the machine left them, which result.json holds."""
    row, compartment = record["scores"], reviewed.subject.assay.score.compartment
    values = {name: record["schemes"][name][compartment]["value"] for name in SCHEMES}
    facts = score_facts(reviewed.automatic, len(reviewed.subject.bins)) | values
    return facts | {"call": row["call"], "reason": row["reason"]}


def reviewed_score(reviewed: Reviewed) -> dict[str, Any]:
    """Describe the score of the cells as reviewers left them, under their verdict."""
    score = reviewed.score
    return score_facts(score.scores, len(reviewed.subject.bins)) | {
        "call": score.label,
        "reason": score.call.reason or None,
        **scheme_values(score.scores, known=score.h_score is not None),
        **sure_facts(score.own, known=score.h_score is not None),
    }


def previewed_score(opened: OpenedSlide, cells: SlideCells, assay: Assay) -> dict[str, Any]:
    """Describe what `rescore` would make of a slide under an assay that differs in thresholds and cut-off only."""
    subject, _ = opened.judged(cells)
    scores, (squares, sure) = score_cells(cells.table, assay), opened.uncertainty(cells, assay)
    if assay.score.scheme == PIXELS:
        scores = replace(scores, pixel={assay.score.compartment: squares.total})
    call = make_call(scores, subject.coverage, assay, subject.refusal, sure)
    return bin_facts(scores.counts) | {
        "call": None if call.label is None else str(call.label),
        "reason": call.reason or None,
        # Cells that were counted have scores even where the slide has none.
        **scheme_values(scores, known=True),
        **sure_facts(sure, known=not call.reason),
    }


def scheme_values(scores: Scores, *, known: bool) -> dict[str, float | None]:
    """Return the score on every scale in the assay's compartment; all None where there is none."""
    return {name: scores.value(name) if known else None for name in SCHEMES}


def sure_facts(sure: Uncertainty, *, known: bool) -> dict[str, Any]:
    """Describe the interval of the score that the call is made on; all None where there is no score."""
    values = {"low": sure.low, "high": sure.high, "p_high": sure.p_high}
    return {**(values if known else dict.fromkeys(values)), "no_interval": sure.reason}


def score_facts(scores: Scores, n: int) -> dict[str, Any]:
    """Describe what cells come to; `n` is how many there are, excluded ones too."""
    return bin_facts(scores.counts) | {
        "n_tumor_cells": scores.n_tumor_cells,
        "n_other": scores.n_cells - scores.n_tumor_cells,
        "n_excluded": n - scores.n_cells,
    }
