"""The row of scores.csv: what of a judged slide, region or control area stands in which column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slidescore.assay import Assay, assay_digest
from slidescore.qc.checks import Flag, worst_level
from slidescore.report.columns import SCORE_COLUMNS
from slidescore.scoring import Call, Coverage, Scores
from slidescore.scoring.estimates import CELLS_OF, Estimates
from slidescore.version import slidescore_version

UM2_PER_MM2 = 1e6

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SlideIdentity:
    """How a slide is named in every table; whose it is stands in the tables of the run alone."""

    slide_id: str
    file: str


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What was made of a set of cells.

    Attributes
    ----------
    scores, estimates
        The scores, and how sure they are.
    coverage
        How much of the tissue they stand for.
    call
        What they are called.
    """

    scores: Scores
    estimates: Estimates
    coverage: Coverage
    call: Call

    @property
    def evaluable(self) -> bool:
        """Whether the cells have a score."""
        return not self.call.reason


def score_row(
    identity: SlideIdentity, facts: Mapping[str, Any], judgement: Judgement, flags: list[Flag], assay: Assay
) -> Row:
    """Fill a row of scores.csv; what is not computed stays None, never zero.

    Parameters
    ----------
    identity
        Name of the slide.
    facts
        What was measured, see `slidescore.pipeline.judge.SlideResult.record`.
    judgement
        Of the slide, or of a part of it.
    flags
        Findings about it.
    assay
        What it was judged under.
    """
    scores, coverage, call = judgement.scores, judgement.coverage, judgement.call
    values: Row = dict.fromkeys(SCORE_COLUMNS)
    values |= {
        "slide_id": identity.slide_id,
        "file": identity.file,
        "status": "scored" if judgement.evaluable else "not_evaluable",
        "reason": call.reason or None,
        "call": None if call.label is None else str(call.label),
        "call_status": call.status or None,
        "n_cells": scores.n_cells,
        "n_tumor_cells": scores.n_tumor_cells,
        "n0": scores.counts.n0,
        "n1": scores.counts.n1,
        "n2": scores.counts.n2,
        "n3": scores.counts.n3,
        "n_fallback": scores.n_fallback,
        "compartment": assay.score.compartment,
        "cutoff": call.cutoff or None,
        "qc": worst_level(flags),
        "qc_flags": ";".join(flag.name for flag in flags) or None,
        "mpp": facts["slide"]["mpp"],
        "mpp_source": facts["slide"]["mpp_source"],
        "tissue_mm2": coverage.tissue_um2 / UM2_PER_MM2,
        "scored_mm2": coverage.scored_um2 / UM2_PER_MM2,
        "excluded_fraction": coverage.excluded_fraction,
        "failed_fraction": coverage.failed_fraction,
        "profile": facts["profile"],
        "assay_digest": assay_digest(assay),
        "model_digest": facts["model"]["digest"],
        "slidescore_version": slidescore_version(),
    }
    return values | _score_values(judgement, assay) if judgement.evaluable else values


def _score_values(judgement: Judgement, assay: Assay) -> Row:
    scores, estimates, compartment = judgement.scores, judgement.estimates, assay.score.compartment
    schemes = estimates.schemes
    return {
        "h_score": scores.counts.h_score,
        "h_score_low": schemes[CELLS_OF][compartment].low,
        "h_score_high": schemes[CELLS_OF][compartment].high,
        "p_high": estimates.own.p_high,
        "percent_positive": scores.counts.percent_positive,
        **{f"h_{name}": value for name, value in scores.h_by_compartment.items()},
        "pixel_h_score": schemes["pixel_h_score"][compartment].value,
        "irs": schemes["irs"][compartment].value,
        "allred": schemes["allred"][compartment].value,
        "h_all_cells": scores.h_all_cells,
        "h_strict": scores.h_strict,
        "h_without_exclusions": scores.h_without_exclusions,
        "n_eff": estimates.h.n_eff,
        "h_naive_low": estimates.h.naive_low,
        "h_naive_high": estimates.h.naive_high,
    }
