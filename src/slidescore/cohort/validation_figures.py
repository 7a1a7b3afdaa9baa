"""The figures of a validation's report: scores against scores, differences, classes, and every slide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slidescore.assay.model import SCALE_RANGE
from slidescore.cohort.agreement import confusion
from slidescore.cohort.bootstrap import METHOD, REPLICATES, Estimate
from slidescore.cohort.readings import MACHINE
from slidescore.cohort.validation_comparisons import (
    BIAS,
    CCC,
    EXACT,
    ICC,
    INTENSITY,
    KAPPA,
    LOWER,
    SPEARMAN,
    UPPER,
    ComparedScale,
    Comparison,
    Scores,
    machine_scores,
    reader_scores,
)
from slidescore.cohort.validation_study import Study
from slidescore.cohort.validation_tables import scale_title, show_statistic
from slidescore.report.analysis_page import ReportFigure, ReportTable
from slidescore.report.plots.agreement import draw_agreement
from slidescore.report.plots.bland_altman import Triple, draw_bland_altman
from slidescore.report.plots.confusion import draw_confusion
from slidescore.report.plots.readers_strip import draw_readers_strip
from slidescore.report.plots.style import short_label
from slidescore.scoring.bins import BIN_SIGNS, N_BINS
from slidescore.scoring.calls import CallLabel

EQUIVOCAL: Final = str(CallLabel.EQUIVOCAL)
NOTED: Final = (ICC, CCC, SPEARMAN)
"""Statistics written on a scatter plot."""
INTERVALS: Final = f"Intervals: 95 %, {METHOD}, {REPLICATES:,} resamples"


def score_figures(study: Study, scale: ComparedScale) -> Iterator[ReportFigure]:
    """Yield the plots of the machine against each reader, and their mean, on a scale of scores."""
    for number, comparison in enumerate(_with_machine(study, scale), start=1):
        yield _scatter(study, comparison, f"agreement_{scale}_{number}")
        yield _differences(study, comparison, f"bland_altman_{scale}_{number}")


def class_figures(study: Study) -> Iterator[ReportFigure]:
    """Yield the table of classes of the machine and each reader, drawn."""
    for number, comparison in enumerate(_with_machine(study, INTENSITY), start=1):
        reader = short_label(comparison.raters[1])
        counts = confusion(comparison.ratings.astype(np.int64), N_BINS).T
        rows = [
            {"reader": BIN_SIGNS[row], "machine": BIN_SIGNS[column], "n_slides": int(counts[row, column])}
            for row in range(N_BINS)
            for column in range(N_BINS)
        ]
        found = study.estimates(comparison)
        kappa, same = (show_statistic(each, found[each.name]) for each in (KAPPA, EXACT))
        yield ReportFigure(
            name=f"confusion_{number}",
            title=f"Intensity classes, {comparison.name}",
            caption=f"{_counted(study, comparison)} The machine's class is its fullest bin. Quadratic weighted kappa "
            f"{kappa}, same class {same}. {INTERVALS}.",
            figure=draw_confusion(counts, row_name=reader, column_name=MACHINE, labels=BIN_SIGNS),
            data=ReportTable(f"confusion_{number}", "Slides", ("reader", "machine", "n_slides"), rows),
        )


def strip_figure(study: Study, scale: ComparedScale) -> ReportFigure:
    """Draw the machine's score of every slide and every reader's, on a scale of scores."""
    assay = study.run.assay
    slides = sorted(study.run.slides, key=lambda slide: slide.slide_id)
    names = [slide.slide_id for slide in slides]

    def of(scores: Scores) -> NDArray[np.float64]:
        return np.array([scores.get(name, np.nan) for name in names], dtype=np.float64)

    with_interval = scale == assay.score.scheme
    machine = of(machine_scores(slides, scale))
    low, high = (
        np.array([np.nan if each is None or not with_interval else each for each in ends], dtype=np.float64)
        for ends in ([slide.low for slide in slides], [slide.high for slide in slides])
    )
    readers = {name: of(reader_scores(study.readings, name, scale, assay)) for name in study.readings.readers}
    cutoff = study.at_cutoff.cutoff
    columns = {"machine": machine, "low": low, "high": high} | {
        f"reader {name}": of_one for name, of_one in readers.items()
    }
    rows: list[dict[str, Any]] = [
        {"slide_id": slide.slide_id, "file": slide.file}
        | {column: None if np.isnan(values[number]) else float(values[number]) for column, values in columns.items()}
        for number, slide in enumerate(slides)
    ]
    bars = "Bars: 95 % interval of the machine's score within the slide. " if with_interval else ""
    return ReportFigure(
        name=f"slides_{scale}",
        title=f"Every slide, {scale_title(scale)}",
        caption=f"{len(slides)} slides of the run, {int(np.isnan(machine).sum())} without a score of the machine, "
        f"{sum(not any(np.isfinite(of_one[k]) for of_one in readers.values()) for k in range(len(slides)))} without a "
        f"reading. {bars}In falling order of the machine's score.",
        figure=draw_readers_strip(
            [slide.file for slide in slides],
            machine,
            low,
            high,
            readers,
            cutoff=cutoff.value if cutoff is not None and cutoff.scale == scale else None,
            axis=scale_title(scale),
            limits=SCALE_RANGE[scale],
        ),
        data=ReportTable(f"slides_{scale}", "Scores", ("slide_id", "file", *columns), rows),
    )


def _with_machine(study: Study, scale: ComparedScale) -> Iterator[Comparison]:
    """Yield the comparisons with the machine that hold at least one slide."""
    for comparison in study.of_scale(scale):
        if comparison.kind in ("machine_reader", "machine_mean") and comparison.slides:
            yield comparison


def _scatter(study: Study, comparison: Comparison, name: str) -> ReportFigure:
    found, scale, reader = study.estimates(comparison), comparison.scale, short_label(comparison.raters[1])
    title = scale_title(scale)
    machine, readings = comparison.ratings.T
    ends: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    if scale == study.run.assay.score.scheme:
        low = [np.nan if slide.low is None else slide.low for slide in comparison.slides]
        high = [np.nan if slide.high is None else slide.high for slide in comparison.slides]
        ends = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
    cutoff = study.at_cutoff.cutoff
    bars = " Bars: 95 % interval of the machine's score within the slide." if ends else ""
    return ReportFigure(
        name=name,
        title=f"{title}, {comparison.name}",
        caption=f"{_counted(study, comparison)}{bars} Equal pairs lie on one another. {INTERVALS}.",
        figure=draw_agreement(
            readings,
            machine,
            first_name=f"{title}, {reader}",
            second_name=f"{title}, {MACHINE}",
            limits=SCALE_RANGE["h_score" if scale == INTENSITY else scale],
            second_low=ends[0] if ends else None,
            second_high=ends[1] if ends else None,
            cutoff=cutoff.value if cutoff is not None and cutoff.scale == scale else None,
            marked=_equivocal(study, comparison),
            marked_name=EQUIVOCAL,
            notes=[f"{each.title} {show_statistic(each, found[each.name])}" for each in NOTED],
        ),
        data=_pairs(study, comparison, name),
    )


def _differences(study: Study, comparison: Comparison, name: str) -> ReportFigure:
    found, reader = study.estimates(comparison), short_label(comparison.raters[1])
    machine, readings = comparison.ratings.T
    bias, lower, upper = (_triple(found[each.name]) for each in (BIAS, LOWER, UPPER))
    return ReportFigure(
        name=name,
        title=f"Differences, {comparison.name}",
        caption=f"{_counted(study, comparison)} Limits of agreement: bias ± 1.96 standard deviations of the "
        f"differences. Shaded: their 95 % intervals. {INTERVALS}.",
        figure=draw_bland_altman(
            machine,
            readings,
            first_name=MACHINE,
            second_name=reader,
            bias=bias,
            lower=lower,
            upper=upper,
            unit=scale_title(comparison.scale),
            marked=_equivocal(study, comparison),
            marked_name=EQUIVOCAL,
        ),
        data=_pairs(study, comparison, name),
    )


def _pairs(study: Study, comparison: Comparison, name: str) -> ReportTable:
    rows = [
        {
            "slide_id": slide.slide_id,
            "patient_id": slide.patient_id,
            "call": study.at_cutoff.calls.get(slide.slide_id, ""),
            "machine": float(machine),
            "reader": float(reading),
            "difference": float(machine - reading),
        }
        for slide, (machine, reading) in zip(comparison.slides, comparison.ratings, strict=True)
    ]
    return ReportTable(name, "Pairs", ("slide_id", "patient_id", "call", "machine", "reader", "difference"), rows)


def _equivocal(study: Study, comparison: Comparison) -> NDArray[np.bool_]:
    return np.array([study.at_cutoff.calls.get(slide.slide_id) == EQUIVOCAL for slide in comparison.slides], dtype=bool)


def _triple(estimate: Estimate) -> Triple:
    value, low, high = (np.nan if each is None else each for each in (estimate.value, estimate.low, estimate.high))
    return value, low, high


def _counted(study: Study, comparison: Comparison) -> str:
    """Say n and what is missing."""
    n = len(comparison.slides)
    patients = len({slide.patient_id or f"\0{slide.slide_id}" for slide in comparison.slides})
    without = len(study.run.slides) - len(study.run.scored)
    unread = len(study.run.scored) - n
    whose = f"{patients} patients" if any(slide.patient_id for slide in comparison.slides) else "patients not known"
    whom = "all readers" if comparison.kind == "machine_mean" else comparison.raters[1]
    missing = f"{without} slides without a score of the machine, {unread} scored but not read by {whom}"
    return f"n = {n} slides, {whose}; {missing}."
