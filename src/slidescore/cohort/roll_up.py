"""From the slides of a patient to one score: sections to blocks, blocks to the patient, by the rule of the assay.

Nothing in the literature says how the CXCR4 trials took one score from several specimens, so the rule is declared in
the assay (`patients.rule`) and written into every row. `docs/patients.md` explains the rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.cohort.patient_table import PatientRow, PatientTable, TimePoint, time_key
from slidescore.cohort.scored_slide import SCORED, ScoredSlide
from slidescore.scoring.calls import CallLabel, label_of
from slidescore.scoring.intervals import (
    Uncertainty,
    bootstrap,
    interval_of,
    replicate_counts,
    replicate_scores,
    share_meeting,
)
from slidescore.scoring.schemes import score_counts
from slidescore.scoring.squares import SquareCounts

Values = NDArray[np.float64]

METASTASIS: Final = "metastasis"
MIXED: Final = "mixed"
"""Stands for the site where slides of several sites make one score."""
MEAN_DECIMALS: Final = 9
"""To which means of scores are kept; what lies below is rounding."""
BETWEEN_SLIDES: Final = ";"
"""Between the names in `slides_used`."""


@dataclass(frozen=True, slots=True)
class PatientScore:
    """One patient: a row of patients.csv.

    Attributes
    ----------
    patient_id
        As the patient table names them.
    rule
        `patients.rule` of the assay.
    n_slides, n_used
        Slides that the table gives the patient, and those that the score is made of.
    slides_used
        slide_id of those, sorted.
    score, low, high
        On the assay's scheme and compartment, with its 95 % interval; None where there is none.
    p_high
        Share of the replicates that meet the cut-off; None without interval or cut-off.
    call
        HIGH, LOW or EQUIVOCAL, empty for a score without a cut-off; NOT_EVALUABLE without a score, also without a
        cut-off.
    reason
        Why there is no score or no interval, which slides were left out and why, and where the rule found no specimen
        of the kind it asks for; empty when there is nothing to say.
    scale, compartment
        What `score` is: the assay's scheme and compartment.
    cutoff, call_status
        The cut-off in words and its status; empty without one.
    n_blocks
        Blocks that the score is made of.
    site, time_point
        Of the slides used: `primary`, `metastasis` or `mixed`, and the date or number where it is one; else empty.
    """

    patient_id: str
    rule: str
    n_slides: int
    n_used: int
    slides_used: tuple[str, ...]
    score: float | None
    low: float | None
    high: float | None
    p_high: float | None
    call: str
    reason: str
    scale: str
    compartment: str
    cutoff: str
    call_status: str
    n_blocks: int
    site: str
    time_point: str

    def row(self) -> dict[str, Any]:
        """Return the row of patients.csv; None is empty."""
        return asdict(self) | {"slides_used": BETWEEN_SLIDES.join(self.slides_used)}


@dataclass(frozen=True, slots=True)
class Block:
    """The sections of one piece of tissue, by slide_id, and where and when it was taken."""

    slides: tuple[ScoredSlide, ...]
    site: str
    time_point: TimePoint | None

    @property
    def score(self) -> float:
        """Mean of the sections' scores."""
        return _mean([slide.value for slide in self.slides if slide.value is not None])

    @property
    def counts(self) -> Values:
        """Counts of all sections together; float64, (4,)."""
        counts: Values = np.sum([_squares_of(slide).total for slide in self.slides], axis=0)
        return counts


def roll_up(slides: Iterable[ScoredSlide], table: PatientTable, assay: Assay) -> tuple[PatientScore, ...]:
    """Score every patient of a table, by patient_id.

    Parameters
    ----------
    slides
        All slides of the run, in any order.
    table
        Which slide is of whom.
    assay
        Its `patients.rule`, score, interval and call blocks.

    Notes
    -----
    Replicates are drawn within each slide, with the seed of the slide's own interval; so a patient of one slide has
    the interval of that slide. The blocks themselves are not drawn: the interval is about this patient's blocks.
    """
    by_id = {slide.slide_id: slide for slide in slides}
    return tuple(
        _score_patient(patient, [(row, by_id.get(row.slide_id)) for row in rows], assay)
        for patient, rows in table.by_patient().items()
    )


Given = Sequence[tuple[PatientRow, ScoredSlide | None]]


def _score_patient(patient_id: str, given: Given, assay: Assay) -> PatientScore:
    usable = [(row, slide) for row, slide in given if row.use and slide is not None and slide.status == SCORED]
    blocks = make_blocks(usable)
    dropped = [(row, slide) for row, slide in given if row.use and (slide is None or slide.status != SCORED)]
    remarks = [*_not_for_use(given), *_dropped(dropped)]
    if not blocks:
        return _patient(patient_id, given, (), assay, reason="; ".join(["no slide has a score", *remarks]))
    chosen = blocks
    if assay.patients.rule == "most_recent_metastatic":
        chosen, choice = take_most_recent(blocks, [row for row, _ in dropped])
        remarks = [*choice, *remarks]
    score = combine(chosen, assay)
    replicates, no_interval = combine_replicates(chosen, assay)
    reason = "; ".join([*no_interval, *remarks])
    return _patient(patient_id, given, chosen, assay, score=score, replicates=replicates, reason=reason)


def make_blocks(usable: Sequence[tuple[PatientRow, ScoredSlide]]) -> tuple[Block, ...]:
    """Put the sections of one block together; a slide without a block is one, and so are its identical copies.

    Blocks and their slides come in the order of their slide_ids.
    """
    found: dict[tuple[str, ...], list[tuple[PatientRow, ScoredSlide]]] = {}
    for row, slide in sorted(usable, key=lambda pair: pair[0].slide_id):
        # A copy that the table calls another specimen is taken for one.
        own = (slide.fingerprint, row.site, str(row.time_point))
        found.setdefault((row.block,) if row.block else own, []).append((row, slide))
    return tuple(
        Block(tuple(slide for _, slide in pairs), pairs[0][0].site, pairs[0][0].time_point) for pairs in found.values()
    )


def take_most_recent(blocks: Sequence[Block], dropped: Sequence[PatientRow]) -> tuple[tuple[Block, ...], list[str]]:
    """Take the blocks of the latest time point with a metastatic specimen; without any, of the latest one at all.

    Parameters
    ----------
    blocks
        Blocks that have a score; at least one.
    dropped
        Rows of slides that have none: one of them may be later than what is taken.

    Returns
    -------
    tuple
        The blocks, and what the reason must say of the choice.
    """
    remarks = []
    metastatic = tuple(block for block in blocks if block.site == METASTASIS)
    if not metastatic:
        remarks.append("no metastatic specimen has a score: the most recent specimen was taken")
    pool = metastatic or tuple(blocks)
    dated = [block for block in pool if block.time_point is not None]
    if not dated:
        if len(pool) > 1:
            remarks.append(f"no time point says which of {len(pool)} blocks is the most recent: the mean of all")
        return pool, remarks
    latest = max((block.time_point for block in dated if block.time_point is not None), key=time_key)
    undated = [slide.slide_id for block in pool if block.time_point is None for slide in block.slides]
    if undated:
        remarks.append(f"left out for want of a time point: {', '.join(undated)}")
    of_kind = [row for row in dropped if not metastatic or row.site == METASTASIS]
    lost = max((row.time_point for row in of_kind if row.time_point is not None), key=time_key, default=latest)
    if time_key(lost) > time_key(latest):
        remarks.append(f"the specimen of {lost} has no score: that of {latest} was taken")
    return tuple(block for block in dated if block.time_point == latest), remarks


def combine(blocks: Sequence[Block], assay: Assay) -> float:
    """Return the score of blocks by the assay's rule; `most_recent_metastatic` has chosen them before."""
    if assay.patients.rule == "pooled_cells":
        # A multiple of the sections' mean counts: whole cells meet the edges of a scheme exactly, thirds do not.
        multiple = math.lcm(*(len(block.slides) for block in blocks))
        pooled = np.sum([block.counts * (multiple // len(block.slides)) for block in blocks], axis=0)
        return float(score_counts(assay.score.scheme, pooled, assay.score))
    scores = [block.score for block in blocks]
    return max(scores) if assay.patients.rule == "max" else _mean(scores)


def _mean(scores: Sequence[float]) -> float:
    """Return the mean; that of scores about a cut-off is on it where it should be, for it is freed of rounding."""
    return scores[0] if len(set(scores)) == 1 else round(float(np.mean(scores)), MEAN_DECIMALS)


def combine_replicates(blocks: Sequence[Block], assay: Assay) -> tuple[Values | None, list[str]]:
    """Return replicates of what `combine` returns; float64, (R,); or None and why there are none.

    Notes
    -----
    Under `max` they are those of the block that has the highest score. The maximum of replicates would not do: it lies
    above the maximum of the scores, the more so the more blocks are alike, and those are above their truth already.
    """
    rule = assay.patients.rule
    if rule == "max":
        blocks = [max(blocks, key=lambda block: block.score)]
    for slide in (slide for block in blocks for slide in block.slides):
        if slide.interval_reason:
            return None, [f"no interval: {slide.slide_id}: {slide.interval_reason}"]
    if rule == "pooled_cells":
        counts = np.sum([_block_counts(block, assay) for block in blocks], axis=0)
        return score_counts(assay.score.scheme, counts, assay.score), []
    replicates: Values = np.mean([_block_scores(block, assay) for block in blocks], axis=0)
    return replicates, []


def _block_scores(block: Block, assay: Assay) -> Values:
    """Return replicates of a block's score; float64, (R,)."""
    drawn = []
    for slide in block.slides:
        replicates = bootstrap(_squares_of(slide), assay.interval, slide.seed)
        drawn.append(replicate_scores(replicates, _squares_of(slide).counts, assay.score.scheme, assay.score))
    return _as_one(drawn, drawn)


def _block_counts(block: Block, assay: Assay) -> Values:
    """Return replicates of a block's counts; float64, (R, 4)."""
    drawn = []
    for slide in block.slides:
        replicates = bootstrap(_squares_of(slide), assay.interval, slide.seed)
        drawn.append(replicate_counts(replicates, _squares_of(slide).counts, assay.score.scheme))
    return _as_one(drawn, [score_counts(assay.score.scheme, counts, assay.score) for counts in drawn])


def _as_one(sections: Sequence[Values], scores: Sequence[Values]) -> Values:
    """Average replicates of the sections of a block, the lowest with the lowest and the highest with the highest.

    Sections of one block show the same tissue a few um apart, so their errors go together: averaging independent
    replicates would make the interval narrower with every further section. The order stays that of the first section,
    which is random, for other blocks are independent.
    """
    rank = np.argsort(np.argsort(scores[0], kind="stable"), kind="stable")
    sorted_sections = [each[np.argsort(score, kind="stable")] for each, score in zip(sections, scores, strict=True)]
    mean: Values = np.mean(sorted_sections, axis=0)[rank]
    return mean


def _squares_of(slide: ScoredSlide) -> SquareCounts:
    assert slide.squares is not None, "a scored slide has squares"
    return slide.squares


def _patient(
    patient_id: str,
    given: Given,
    blocks: Sequence[Block],
    assay: Assay,
    *,
    reason: str,
    score: float | None = None,
    replicates: Values | None = None,
) -> PatientScore:
    cutoff = assay.call.cutoff
    low, high = (None, None) if replicates is None or score is None else _interval(replicates, score)
    call = "" if score is not None else str(CallLabel.NOT_EVALUABLE)
    if score is not None and cutoff is not None:
        sure = Uncertainty(n_squares=0, reason="", low=low, high=high)
        call = str(label_of(score, sure, cutoff, assay.call.equivocal_margin))
    used = sorted(slide.slide_id for block in blocks for slide in block.slides)
    return PatientScore(
        patient_id=patient_id,
        rule=assay.patients.rule,
        n_slides=len(given),
        n_used=len(used),
        slides_used=tuple(used),
        score=score,
        low=low,
        high=high,
        p_high=None if replicates is None or cutoff is None else share_meeting(replicates, cutoff),
        call=call,
        reason=reason,
        scale=assay.score.scheme,
        compartment=assay.score.compartment,
        cutoff=cutoff.text if cutoff else "",
        call_status=cutoff.status if cutoff else "",
        n_blocks=len(blocks),
        site=_one_of([block.site for block in blocks], MIXED),
        time_point=_one_of(["" if block.time_point is None else str(block.time_point) for block in blocks], ""),
    )


def _interval(replicates: Values, score: float) -> tuple[float, float]:
    """Return the interval; as of a slide, steps of a scheme can put a score on the edge of its own replicates."""
    low, high = interval_of(replicates)
    return min(low, score), max(high, score)


def _one_of(values: Sequence[str], several: str) -> str:
    """Return what all blocks have; `several` where they differ."""
    return (values[0] if len(set(values)) == 1 else several) if values else ""


def _not_for_use(given: Given) -> list[str]:
    n = sum(not row.use for row, _ in given)
    return [f"{n} slide{'' if n == 1 else 's'} not for use"] if n else []


def _dropped(dropped: Given) -> list[str]:
    """Name the slides without a score, each with its reason."""
    return [f"left out {row.slide_id}: {slide.reason if slide else 'not reached'}" for row, slide in dropped]
