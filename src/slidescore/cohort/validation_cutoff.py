"""Whether machine and readers put a slide on the same side of the cut-off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from slidescore.assay import Assay, Cutoff
from slidescore.assay.model import SCALE_RANGE
from slidescore.cohort.agreement import Ratings, Statistic, exact_agreement, sensitivity, specificity
from slidescore.cohort.bootstrap import Estimate, bootstrap_estimates
from slidescore.cohort.proportions import Proportion, proportion
from slidescore.cohort.readings import MACHINE, MEAN, Readings
from slidescore.cohort.run_scores import ScoredSlide
from slidescore.cohort.validation_comparisons import Scores, mean_scores, patients_of, reader_scores, slides_seed
from slidescore.errors import InputError
from slidescore.scoring.calls import CallLabel, label_of, meets
from slidescore.scoring.intervals import Uncertainty

FAILED: Final = "FAILED"
"""Stands for a call where a slide has no result at all."""
LABELS: Final = (*(str(label) for label in CallLabel), FAILED)
"""What the machine can say of a slide, in the order of tables."""
CALLED: Final = "called"
WITH_EQUIVOCAL: Final = "with_equivocal"
ALL: Final = "all"
ANALYSES: Final[Mapping[str, str]] = {
    CALLED: "those called HIGH or LOW",
    WITH_EQUIVOCAL: "EQUIVOCAL ones too, by the side that their score is on",
    ALL: "slides without a score too, as disagreeing",
}
"""Which slides count, from fewest to all."""
STATISTICS: Final[Mapping[str, tuple[Statistic, str]]] = {
    "sensitivity": (sensitivity, "the reference calls no slide HIGH"),
    "specificity": (specificity, "the reference calls no slide LOW"),
    "agreement": (exact_agreement, ""),
}
"""Function of each, and why it can have no value."""
FROM_OPTION: Final = "option --cutoff"


@dataclass(frozen=True, slots=True)
class CallCounts:
    """How often the machine said what, of the slides that a reference puts high or low."""

    reference: str
    label: str
    high: int
    low: int


@dataclass(frozen=True, slots=True)
class AtCutoff:
    """One share: of `share.n` slides, `share.k` are right, with the interval by slide (share) and by patient."""

    raters: tuple[str, str]
    analysis: str
    statistic: str
    share: Proportion
    by_patient: Estimate


@dataclass(frozen=True, slots=True)
class CutoffAgreement:
    """All of it; without a cut-off or readings that it can judge, `reason` says so and there are no rows."""

    cutoff: Cutoff | None
    reason: str
    calls: Mapping[str, str]
    """The machine's call by slide_id; empty without a cut-off."""
    counts: tuple[CallCounts, ...]
    rows: tuple[AtCutoff, ...]


def chosen_cutoff(assay: Assay, value: float | None) -> Cutoff | None:
    """Return the assay's cut-off, or another one on the assay's scale where a value is given.

    Raises
    ------
    InputError
        If the value is off the scale.
    """
    own, scheme = assay.call.cutoff, assay.score.scheme
    if value is None or (own is not None and own.value == value):
        return own
    low, high = SCALE_RANGE[scheme]
    if not low <= value <= high:
        raise InputError(f"{value:g} is outside the {scheme} scale ({low:g} to {high:g})", where="--cutoff")
    return Cutoff(
        scale=scheme,
        compartment=assay.score.compartment,
        operator=">=" if own is None else own.operator,
        value=float(value),
        status="provisional",
        meaning=None,
        source=FROM_OPTION,
    )


def machine_calls(slides: Sequence[ScoredSlide], assay: Assay, cutoff: Cutoff) -> dict[str, str]:
    """Return the call of every slide: the run's own, or by the same rule where the cut-off is another one."""
    own = cutoff == assay.call.cutoff
    return {slide.slide_id: _own_call(slide) if own else _new_call(slide, assay, cutoff) for slide in slides}


def _own_call(slide: ScoredSlide) -> str:
    return FAILED if slide.status == "failed" else slide.call


def _new_call(slide: ScoredSlide, assay: Assay, cutoff: Cutoff) -> str:
    if slide.status == "failed":
        return FAILED
    if slide.value is None:
        return str(CallLabel.NOT_EVALUABLE)
    interval = Uncertainty(0, "", slide.low, slide.high)
    return str(label_of(slide.value, interval, cutoff, assay.call.equivocal_margin))


def judge_at_cutoff(
    slides: Sequence[ScoredSlide], readings: Readings, assay: Assay, value: float | None = None
) -> CutoffAgreement:
    """Compare the calls with each reader's side of the cut-off and with that of their mean, and readers in pairs.

    Parameters
    ----------
    slides
        All of the run.
    readings
        They can be judged where they are on the cut-off's own scale, or give the shares of bins that it follows from.
    assay
        The run's.
    value
        Another cut-off than the assay's.

    Raises
    ------
    InputError
        If `value` is off the scale.
    """
    cutoff = chosen_cutoff(assay, value)
    if cutoff is None:
        return CutoffAgreement(None, "the assay has no cut-off; --cutoff gives one", {}, (), ())
    calls = machine_calls(slides, assay, cutoff)
    if cutoff.scale == "pixel_h_score":
        return CutoffAgreement(
            cutoff, "nobody reads a pixel H-score, so a cut-off on it judges no reader", calls, (), ()
        )
    by_reader = {reader: reader_scores(readings, reader, cutoff.scale, assay) for reader in readings.readers}
    if not any(by_reader.values()):
        reason = f"the cut-off is on the scale {cutoff.scale}, the readings ({', '.join(readings.kinds)}) are not"
        return CutoffAgreement(cutoff, reason, calls, (), ())
    references: dict[str, Scores] = dict(by_reader)
    if len(by_reader) > 1:
        references[MEAN] = mean_scores(list(by_reader.values()))
    counts: list[CallCounts] = []
    rows: list[AtCutoff] = []
    ordered = sorted(slides, key=lambda slide: slide.slide_id)
    for name, scores in references.items():
        rated = [slide for slide in ordered if slide.slide_id in scores]
        high = {slide.slide_id: meets(scores[slide.slide_id], cutoff) for slide in rated}
        counts += _count_calls(name, high, calls)
        rows += _machine_rows(name, rated, high, calls, cutoff)
    scored = [slide for slide in ordered if slide.value is not None]
    for pair in combinations(readings.readers, 2):
        rows.append(_reader_row(pair, scored, [by_reader[reader] for reader in pair], cutoff))
    return CutoffAgreement(cutoff, "", calls, tuple(counts), tuple(rows))


def _count_calls(reference: str, high: Mapping[str, bool], calls: Mapping[str, str]) -> Iterator[CallCounts]:
    found = Counter((calls[slide_id], is_high) for slide_id, is_high in high.items())
    for label in LABELS:
        yield CallCounts(reference, label, found[label, True], found[label, False])


def _machine_rows(
    reference: str,
    rated: Sequence[ScoredSlide],
    high: Mapping[str, bool],
    calls: Mapping[str, str],
    cutoff: Cutoff,
) -> Iterator[AtCutoff]:
    """Yield the shares of one reference, for each choice of slides."""
    decided = (str(CallLabel.HIGH), str(CallLabel.LOW))
    chosen = {
        CALLED: [slide for slide in rated if calls[slide.slide_id] in decided],
        WITH_EQUIVOCAL: [slide for slide in rated if slide.value is not None],
        ALL: list(rated),
    }
    for analysis, counted in chosen.items():
        pairs = [
            # Without a score there is no side; the wrong one stands for it.
            (not high[slide.slide_id] if slide.value is None else meets(slide.value, cutoff), high[slide.slide_id])
            for slide in counted
        ]
        ratings = np.array(pairs, dtype=np.float64).reshape(len(pairs), 2)
        yield from _shares((MACHINE, reference), analysis, tuple(STATISTICS), counted, ratings)


def _reader_row(
    raters: tuple[str, str], scored: Sequence[ScoredSlide], scores: Sequence[Scores], cutoff: Cutoff
) -> AtCutoff:
    """Return how often two readers are on one side; neither is the truth, so nothing else is asked of them."""
    counted = [slide for slide in scored if all(slide.slide_id in of_one for of_one in scores)]
    pairs = [[meets(of_one[slide.slide_id], cutoff) for of_one in scores] for slide in counted]
    ratings = np.array(pairs, dtype=np.float64).reshape(len(pairs), 2)
    [row] = _shares(raters, WITH_EQUIVOCAL, ("agreement",), counted, ratings)
    return row


def _shares(
    raters: tuple[str, str],
    analysis: str,
    statistics: tuple[str, ...],
    slides: Sequence[ScoredSlide],
    ratings: Ratings,
) -> Iterator[AtCutoff]:
    first, second = ratings.T
    asked = {"sensitivity": second == 1, "specificity": second == 0, "agreement": np.ones(len(ratings), np.bool_)}
    functions = [STATISTICS[name] for name in statistics]
    estimates = bootstrap_estimates(functions, ratings, patients_of(slides), slides_seed(slides))
    for name, estimate in zip(statistics, estimates, strict=True):
        share = proportion(int(np.sum((first == second) & asked[name])), int(asked[name].sum()))
        yield AtCutoff(raters, analysis, name, share, estimate)
