"""A validation as numbers: a run's scores and its readings, every comparison and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slidescore.cohort.bootstrap import Estimate
from slidescore.cohort.readings import Reading, Readings
from slidescore.cohort.run_scores import RunScores, ScoredSlide
from slidescore.cohort.validation_comparisons import (
    ComparedScale,
    Comparison,
    StatisticOfPairs,
    compare,
    compared_scales,
)
from slidescore.cohort.validation_cutoff import CutoffAgreement, judge_at_cutoff


@dataclass(frozen=True, slots=True)
class Result:
    """One statistic of one comparison."""

    comparison: Comparison
    statistic: StatisticOfPairs
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A slide or reading that is in no comparison, or not in all of them, and why; no reader where it has none."""

    slide_id: str
    reader: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReaderCounts:
    """What became of one reader's readings.

    Attributes
    ----------
    reader
        Name.
    n_read
        Slides with a reading that counts.
    n_compared
        Of these, slides that the machine scored too.
    n_superseded
        Readings replaced by a later one.
    n_not_read
        Slides of the run without a reading.
    """

    reader: str
    n_read: int
    n_compared: int
    n_superseded: int
    n_not_read: int


@dataclass(frozen=True, slots=True)
class Study:
    """A validation, computed.

    Attributes
    ----------
    run, readings
        What it is of.
    results
        Every statistic of every comparison: by scale, then by comparison.
    at_cutoff
        Which side of the cut-off.
    readers
        In the order of their names.
    left_out
        By slide_id, then by reader.
    """

    run: RunScores
    readings: Readings
    scales: tuple[ComparedScale, ...]
    comparisons: tuple[Comparison, ...]
    results: tuple[Result, ...]
    at_cutoff: CutoffAgreement
    readers: tuple[ReaderCounts, ...]
    left_out: tuple[LeftOut, ...]

    def of_scale(self, scale: ComparedScale) -> tuple[Comparison, ...]:
        """Return the comparisons on one scale."""
        return tuple(comparison for comparison in self.comparisons if comparison.scale == scale)

    def estimates(self, comparison: Comparison) -> dict[str, Estimate]:
        """Return what a comparison comes to, by the name of the statistic."""
        return {each.statistic.name: each.estimate for each in self.results if each.comparison is comparison}


def study_agreement(run: RunScores, readings: Readings, cutoff: float | None = None) -> Study:
    """Compute a validation.

    Parameters
    ----------
    run
        Every slide of it counts, scored or not.
    readings
        Of its slides.
    cutoff
        Another cut-off than the assay's, on the assay's scale.

    Raises
    ------
    InputError
        If the cut-off is off the scale.
    """
    at_cutoff = judge_at_cutoff(run.slides, readings, run.assay, cutoff)
    scales = compared_scales(readings, run.assay)
    comparisons = tuple(each for scale in scales for each in compare(run.slides, readings, run.assay, scale))
    return Study(
        run=run,
        readings=readings,
        scales=scales,
        comparisons=comparisons,
        results=tuple(
            Result(each, statistic, estimate)
            for each in comparisons
            for statistic, estimate in zip(each.statistics, each.estimates(), strict=True)
        ),
        at_cutoff=at_cutoff,
        readers=tuple(_count(reader, run, readings) for reader in readings.readers),
        left_out=tuple(_left_out(run.slides, readings)),
    )


def _count(reader: str, run: RunScores, readings: Readings) -> ReaderCounts:
    read = readings.by_reader[reader]
    return ReaderCounts(
        reader=reader,
        n_read=len(read),
        n_compared=sum(slide.slide_id in read for slide in run.scored),
        n_superseded=sum(each.reader == reader for each in readings.superseded),
        n_not_read=len(run.slides) - len(read),
    )


def _left_out(slides: Sequence[ScoredSlide], readings: Readings) -> list[LeftOut]:
    said = set(readings.not_read)
    readers = sorted({*readings.readers, *(reader for reader, _ in said)})
    replaced: dict[tuple[str, str], list[Reading]] = {}
    for each in readings.superseded:
        replaced.setdefault((each.slide_id, each.reader), []).append(each)
    found: list[LeftOut] = []
    for slide in sorted(slides, key=lambda each: each.slide_id):
        read_by = [reader for reader in readings.readers if slide.slide_id in readings.by_reader[reader]]
        if slide.status != "scored":
            found.append(LeftOut(slide.slide_id, "", f"no score: {slide.reason}"))
        if not read_by:
            found.append(LeftOut(slide.slide_id, "", "read by nobody"))
        for reader in readers:
            if (reader, slide.slide_id) in said:
                found.append(LeftOut(slide.slide_id, reader, "the row holds no score"))
            elif read_by and reader in readings.readers and reader not in read_by:
                found.append(LeftOut(slide.slide_id, reader, "not read"))
            found += [
                LeftOut(slide.slide_id, reader, f"row {each.line}: replaced by a later reading")
                for each in replaced.get((slide.slide_id, reader), ())
            ]
    return found
