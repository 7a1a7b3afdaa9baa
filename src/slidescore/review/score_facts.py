"""What the pages are told of scores: bins and what follows from them, automatic and reviewed."""

from __future__ import annotations

from typing import Any

from slidescore.review.opened_slide import Reviewed
from slidescore.scoring import BinCounts, Scores, make_call


def bin_facts(bins: BinCounts) -> dict[str, Any]:
    """Describe counts in bins and the scores that follow from them."""
    return {
        "bins": [bins.n0, bins.n1, bins.n2, bins.n3],
        "h_score": bins.h_score,
        "percent_positive": bins.percent_positive,
    }


def automatic_score(reviewed: Reviewed) -> dict[str, Any]:
    """Describe the score of the cells as the machine left them."""
    subject, scores = reviewed.subject, reviewed.automatic
    call = make_call(scores, subject.coverage, subject.assay, subject.refusal)
    facts = score_facts(scores, len(subject.bins)) | {"call": str(call.label), "reason": call.reason or None}
    return facts | ({"h_score": None, "percent_positive": None} if call.reason else {})


def reviewed_score(reviewed: Reviewed) -> dict[str, Any]:
    """Describe the score of the cells as reviewers left them, under their verdict."""
    score = reviewed.score
    return score_facts(score.scores, len(reviewed.subject.bins)) | {
        "call": score.label,
        "reason": score.call.reason or None,
        "h_score": score.h_score,
        "percent_positive": score.percent_positive,
    }


def score_facts(scores: Scores, n: int) -> dict[str, Any]:
    """Describe what cells come to; `n` is how many there are, excluded ones too."""
    return bin_facts(scores.counts) | {
        "n_tumor_cells": scores.n_tumor_cells,
        "n_other": scores.n_cells - scores.n_tumor_cells,
        "n_excluded": n - scores.n_cells,
    }
