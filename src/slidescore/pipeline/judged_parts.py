"""Parts of result.json that say how sure a score is; JSON values only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from slidescore.assay import Assay
from slidescore.pipeline.score_row import Judgement
from slidescore.scoring.estimates import PIXELS
from slidescore.scoring.pixel_h_score import BLOCK_UM
from slidescore.scoring.sensitivity import Sensitivity
from slidescore.scoring.squares import squares_to_lists

NO_SCORE = "there is no score"
"""Why a slide that is not evaluable has no interval."""


def scheme_facts(judgement: Judgement) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return every score with its interval, by scheme and compartment; all None where the slide has no score."""
    return {
        scheme: {
            compartment: asdict(estimate) if judgement.evaluable else dict.fromkeys(asdict(estimate))
            for compartment, estimate in of_scheme.items()
        }
        for scheme, of_scheme in judgement.estimates.schemes.items()
    }


def uncertainty_facts(judgement: Judgement, assay: Assay, seed: int) -> dict[str, Any]:
    """Say how the interval of the score was made that the call is made on, and from which squares it follows."""
    estimates, evaluable = judgement.estimates, judgement.evaluable
    own = estimates.own
    return {
        "square_um": BLOCK_UM if assay.score.scheme == PIXELS else assay.interval.square_um,
        "replicates": assay.interval.replicates,
        "seed": f"{seed:x}",
        "n_squares": own.n_squares,
        "reason": own.reason if evaluable else NO_SCORE,
        "squares": squares_to_lists(estimates.squares),
        "n_eff": own.n_eff if evaluable else None,
        "naive_low": own.naive_low if evaluable else None,
        "naive_high": own.naive_high if evaluable else None,
        "p_high": own.p_high if evaluable else None,
    }


def sensitivity_facts(sensitivity: Sensitivity | None) -> dict[str, Any] | None:
    """Say what the H-score would be with other cells; None where nothing tells tumor cells from others."""
    if sensitivity is None:
        return None
    facts = asdict(sensitivity)
    return {**facts, "limits": list(facts["limits"]), "contaminated": list(facts["contaminated"])}
