"""Who is compared with whom, on which scale and slides, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np

from slidescore.assay import Assay
from slidescore.assay.model import Scale
from slidescore.cohort.agreement import (
    Ratings,
    Statistic,
    bias,
    concordance,
    exact_agreement,
    icc_2_1,
    lower_limit,
    mean_absolute_error,
    spearman,
    upper_limit,
    weighted_kappa,
)
from slidescore.cohort.bootstrap import Estimate, bootstrap_estimates
from slidescore.cohort.readings import ALL_READERS, MACHINE, MEAN, Readings, modal_bin
from slidescore.cohort.roll_up import MEAN_DECIMALS
from slidescore.cohort.run_scores import ScoredSlide
from slidescore.scoring.intervals import seed_of

ComparedScale = Scale | Literal["intensity"]
Kind = Literal["machine_reader", "machine_mean", "reader_reader", "all_readers"]
Scores = Mapping[str, float]
"""Score by slide_id."""

INTENSITY: Final = "intensity"
"""The scale of one overall intensity a slide: classes 0, 1, 2, 3, of the machine its fullest bin."""
_JOINT_READERS: Final = 3
"""Readers from which agreement of all of them together says more than that of each pair."""


@dataclass(frozen=True, slots=True)
class StatisticOfPairs:
    """A statistic: its name in tables, its title on pages, what it needs, and in which unit it is."""

    name: str
    title: str
    function: Statistic
    undefined: str
    of_points: bool
    """Whether it is in points of the scale rather than a coefficient."""


_CONSTANT: Final = "the scores do not vary"
ICC: Final = StatisticOfPairs("icc_2_1", "ICC(2,1)", icc_2_1, _CONSTANT, False)
CCC: Final = StatisticOfPairs("ccc", "Lin's CCC", concordance, _CONSTANT, False)
SPEARMAN: Final = StatisticOfPairs("spearman", "Spearman", spearman, _CONSTANT, False)
BIAS: Final = StatisticOfPairs("bias", "bias", bias, "", True)
LOWER: Final = StatisticOfPairs("limit_low", "lower limit", lower_limit, "", True)
UPPER: Final = StatisticOfPairs("limit_high", "upper limit", upper_limit, "", True)
MAE: Final = StatisticOfPairs("mean_absolute_error", "mean absolute error", mean_absolute_error, "", True)
KAPPA: Final = StatisticOfPairs(
    "quadratic_kappa", "quadratic weighted kappa", weighted_kappa, "all slides are in one class", False
)
EXACT: Final = StatisticOfPairs("exact_agreement", "same class", exact_agreement, "", False)

SCORE_STATISTICS: Final = (ICC, CCC, SPEARMAN, BIAS, LOWER, UPPER, MAE)
"""Of two raters' scores."""
CLASS_STATISTICS: Final = (KAPPA, EXACT)
"""Of two raters' classes."""
JOINT_STATISTICS: Final = (ICC,)
"""Of any number of raters' scores."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two or more raters on the slides that all of them scored.

    Attributes
    ----------
    scale
        What was scored.
    kind
        Which sort of raters they are.
    raters
        `machine`, `mean of readers`, or readers' names.
    slides
        In order of slide_id.
    ratings
        float64, (slides, raters).
    """

    scale: ComparedScale
    kind: Kind
    raters: tuple[str, ...]
    slides: tuple[ScoredSlide, ...]
    ratings: Ratings

    @property
    def name(self) -> str:
        """Who is compared, in words."""
        return ALL_READERS if self.kind == "all_readers" else " / ".join(self.raters)

    @property
    def statistics(self) -> tuple[StatisticOfPairs, ...]:
        """What is computed of it."""
        if self.kind == "all_readers":
            return JOINT_STATISTICS
        return CLASS_STATISTICS if self.scale == INTENSITY else SCORE_STATISTICS

    def estimates(self) -> tuple[Estimate, ...]:
        """Return the statistics of these slides with their intervals by patient."""
        asked = [(each.function, each.undefined) for each in self.statistics]
        return bootstrap_estimates(asked, self.ratings, patients_of(self.slides), slides_seed(self.slides))


def patients_of(slides: Sequence[ScoredSlide]) -> list[str]:
    """Return the patient of each slide; a slide of no known patient is one of its own."""
    # The first character keeps a patient and a slide of one name apart.
    return [f"p{slide.patient_id}" if slide.patient_id else f"s{slide.slide_id}" for slide in slides]


def slides_seed(slides: Sequence[ScoredSlide]) -> int:
    """Return the seed of resampling these slides; it hangs on nothing but what they are."""
    return seed_of("validate", *sorted(slide.fingerprint for slide in slides))


def compared_scales(readings: Readings, assay: Assay) -> tuple[ComparedScale, ...]:
    """Return the scales on which these readings can be held against this assay's scores, the assay's own first."""
    kinds, scheme = set(readings.kinds), assay.score.scheme
    scales: list[ComparedScale] = []
    if kinds & {"h_score", "shares"}:
        scales.append("h_score")
        if scheme == "pixel_h_score":
            scales.append(scheme)
    if kinds & {"percent_positive", "shares"}:
        scales.append("percent_positive")
    if "shares" in kinds and scheme in ("irs", "allred"):
        scales.append(scheme)
    if kinds & {"intensity", "shares"}:
        scales.append(INTENSITY)
    return tuple(sorted(scales, key=lambda scale: scale != scheme))


def machine_scores(slides: Sequence[ScoredSlide], scale: ComparedScale) -> Scores:
    """Return the machine's scores of the slides that have one; scales beside the common ones are the assay's own."""
    found = {slide.slide_id: _machine_score(slide, scale) for slide in slides if slide.status == "scored"}
    return {slide_id: score for slide_id, score in found.items() if score is not None}


def _machine_score(slide: ScoredSlide, scale: ComparedScale) -> float | None:
    if scale == "h_score":
        return slide.h_score
    if scale == "percent_positive":
        return slide.percent_positive
    if scale == INTENSITY:
        return None if slide.counts is None else modal_bin(slide.counts)
    return slide.value


def reader_scores(readings: Readings, reader: str, scale: ComparedScale, assay: Assay) -> Scores:
    """Return the scores of one reader.

    An H-score that a reader gave is held against the machine's H-score of pixels too: both mean the same quantity.
    """
    found: dict[str, float | None] = {}
    for slide_id, reading in readings.by_reader[reader].items():
        if scale == INTENSITY:
            found[slide_id] = reading.intensity_class
        else:
            found[slide_id] = reading.on_scale("h_score" if scale == "pixel_h_score" else scale, assay.score)
    return {slide_id: score for slide_id, score in found.items() if score is not None}


def mean_scores(each: Sequence[Scores]) -> Scores:
    """Return the mean over readers of the slides that every one of them read."""
    everywhere = set.intersection(*(set(scores) for scores in each))
    # Freed of rounding: a mean on the cut-off must not fall below it.
    return {
        slide_id: round(sum(scores[slide_id] for scores in each) / len(each), MEAN_DECIMALS) for slide_id in everywhere
    }


def compare(
    slides: Sequence[ScoredSlide], readings: Readings, assay: Assay, scale: ComparedScale
) -> tuple[Comparison, ...]:
    """Pair the machine with each reader and with their mean, the readers with one another, and all of them.

    Readers are compared on slides that the machine scored too, so that both kinds of agreement are of the same slides.
    A mean of classes is no class, so on the scale of intensities no mean is compared.
    """
    machine = machine_scores(slides, scale)
    by_reader = {reader: reader_scores(readings, reader, scale, assay) for reader in readings.readers}
    ordered = sorted((slide for slide in slides if slide.slide_id in machine), key=lambda slide: slide.slide_id)

    def pair(kind: Kind, raters: tuple[str, ...], scores: Sequence[Scores]) -> Comparison:
        rated = tuple(slide for slide in ordered if all(slide.slide_id in of_one for of_one in scores))
        table = np.array([[of_one[slide.slide_id] for of_one in scores] for slide in rated], dtype=np.float64)
        return Comparison(scale, kind, raters, rated, table.reshape(len(rated), len(scores)))

    def pairs() -> Iterator[Comparison]:
        for reader in readings.readers:
            yield pair("machine_reader", (MACHINE, reader), (machine, by_reader[reader]))
        several = len(readings.readers) > 1 and scale != INTENSITY
        if several:
            yield pair("machine_mean", (MACHINE, MEAN), (machine, mean_scores(list(by_reader.values()))))
        for first, second in combinations(readings.readers, 2):
            yield pair("reader_reader", (first, second), (by_reader[first], by_reader[second]))
        if several and len(readings.readers) >= _JOINT_READERS:
            yield pair("all_readers", readings.readers, list(by_reader.values()))

    return tuple(pairs())
