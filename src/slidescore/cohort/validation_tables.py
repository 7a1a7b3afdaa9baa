"""The tables of a validation's report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

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
    MAE,
    SPEARMAN,
    UPPER,
    ComparedScale,
    Comparison,
    StatisticOfPairs,
    machine_scores,
    reader_scores,
)
from slidescore.cohort.validation_cutoff import ANALYSES, LABELS
from slidescore.cohort.validation_study import Study
from slidescore.report.analysis_page import ReportTable
from slidescore.report.page import MINUS, NOTHING, show_estimate, show_fraction, show_number
from slidescore.scoring.bins import BIN_SIGNS, N_BINS
from slidescore.scoring.schemes import SCHEMES

Row = dict[str, Any]

KIND_WORDS: Final = {
    "machine_reader": "machine with a reader",
    "machine_mean": "machine with the mean of readers",
    "reader_reader": "reader with reader",
    "all_readers": "all readers together",
}
"""How the tables call each kind of comparison."""
COEFFICIENTS: Final = (ICC, CCC, SPEARMAN, KAPPA, EXACT)
DIFFERENCES: Final = (BIAS, LOWER, UPPER, MAE)
"""Statistics of the overview, in its order; a scale shows those that it has."""
COEFFICIENT_DIGITS: Final = 2
POINT_DIGITS: Final = 1


def scale_title(scale: ComparedScale) -> str:
    """Return how pages spell a scale."""
    return "Overall intensity" if scale == INTENSITY else SCHEMES[scale].title


def show_statistic(statistic: StatisticOfPairs, found: Estimate) -> str:
    """Write a statistic with its interval: `0.91 (0.84 to 0.95)`; one in points of the scale with fewer decimals."""
    digits = POINT_DIGITS if statistic.of_points else COEFFICIENT_DIGITS
    return show_estimate(found.value, found.low, found.high, digits)


def overview_tables(study: Study, scale: ComparedScale) -> tuple[ReportTable, ...]:
    """Make the tables of one scale as people read them, a row a comparison: coefficients, and differences in points."""
    coefficients = _overview(study, scale, f"overview_{scale}", "Agreement", COEFFICIENTS)
    if scale == INTENSITY:
        return (coefficients,)
    return coefficients, _overview(study, scale, f"differences_{scale}", "Differences, first less second", DIFFERENCES)


def _overview(
    study: Study, scale: ComparedScale, name: str, title: str, statistics: Sequence[StatisticOfPairs]
) -> ReportTable:
    rows: list[Row] = []
    reasons: dict[str, None] = {}
    comparisons = [each for each in study.of_scale(scale) if set(statistics) & set(each.statistics)]
    shown = [each for each in statistics if any(each in comparison.statistics for comparison in comparisons)]
    for comparison in comparisons:
        found = study.estimates(comparison)
        row: Row = {"comparison": comparison.name, "n_slides": len(comparison.slides)}
        for each in shown:
            estimate = found.get(each.name)
            if estimate is None:
                continue
            row["n_patients"] = estimate.n_patients
            row[each.name] = show_statistic(each, estimate)
            if estimate.reason:
                reasons[f"{comparison.name}, {each.title}: {estimate.reason}."] = None
        rows.append(row)
    return ReportTable(
        name=name,
        title=f"{title}, {scale_title(scale)}",
        columns=("comparison", "n_slides", "n_patients", *(each.name for each in shown)),
        rows=rows,
        note=" ".join(["In brackets: 95 % interval.", *reasons]),
        heads={"n_slides": "slides", "n_patients": "patients"} | {each.name: each.title for each in shown},
        formats=dict.fromkeys((each.name for each in shown), _keep_together),
    )


def _keep_together(text: str | None) -> str:
    """Let a page break a line before an interval, not inside it."""
    value, bracket, interval = (text or NOTHING).partition(" (")
    return value + bracket + interval.replace(" ", "\N{NO-BREAK SPACE}")


def _statistic(value: float | None) -> str:
    """Write a statistic of any kind in a column that holds them all: correlations have two decimals, points one."""
    digits = 2 if value is not None and abs(value) <= 1 else 1
    return show_number(value, digits).replace("-", MINUS)


def agreement_table(study: Study) -> ReportTable:
    """Make the table of every statistic of every comparison, one a row, as programs read it."""
    rows = [
        {
            "scale": each.comparison.scale,
            "kind": KIND_WORDS[each.comparison.kind],
            "comparison": each.comparison.name,
            "statistic": each.statistic.name,
            "n_slides": each.estimate.n_slides,
            "n_patients": each.estimate.n_patients,
            "value": each.estimate.value,
            "low": each.estimate.low,
            "high": each.estimate.high,
            "method": METHOD if each.estimate.low is not None else "",
            "reason": each.estimate.reason,
        }
        for each in study.results
    ]
    return ReportTable(
        name="agreement",
        title="Every statistic",
        columns=(
            "scale", "kind", "comparison", "statistic", "n_slides", "n_patients", "value", "low", "high", "method",
            "reason",
        ),
        rows=rows,
        formats=dict.fromkeys(("value", "low", "high"), _statistic),
        note=f"Intervals: {METHOD}, {REPLICATES:,} resamples. An empty cell was not computed; the reason says why.",
    )  # fmt: skip


def confusion_table(study: Study) -> ReportTable:
    """Make the table of slides by the classes that two raters gave them: a row a class of the first one."""
    return ReportTable(
        name="confusion",
        title="Slides by intensity class",
        columns=("comparison", "first", *(f"second_{name}" for name in BIN_SIGNS)),
        rows=[row for comparison in study.of_scale(INTENSITY) for row in _confusion_rows(comparison)],
        heads={"first": "class of the first"} | {f"second_{name}": f"second: {name}" for name in BIN_SIGNS},
    )


def _confusion_rows(comparison: Comparison) -> Iterator[Row]:
    for name, counts in zip(BIN_SIGNS, confusion(comparison.ratings.astype(np.int64), N_BINS), strict=True):
        seconds = {f"second_{second}": int(n) for second, n in zip(BIN_SIGNS, counts, strict=True)}
        yield {"comparison": comparison.name, "first": name} | seconds


def at_cutoff_table(study: Study) -> ReportTable:
    """Make the table of shares at the cut-off."""
    rows = [
        {
            "comparison": " / ".join(each.raters),
            "slides": each.analysis.replace("_", " "),
            "statistic": each.statistic.replace("_", " "),
            "k": each.share.k,
            "n": each.share.n,
            "share": each.share.share,
            "exact_low": each.share.low,
            "exact_high": each.share.high,
            "patient_low": each.by_patient.low,
            "patient_high": each.by_patient.high,
            "n_slides": each.by_patient.n_slides,
            "n_patients": each.by_patient.n_patients,
            "reason": each.by_patient.reason,
        }
        for each in study.at_cutoff.rows
    ]
    fractions = ("share", "exact_low", "exact_high", "patient_low", "patient_high")
    counted = "; ".join(f"{name.replace('_', ' ')}: {meaning}" for name, meaning in ANALYSES.items())
    return ReportTable(
        name="at_cutoff",
        title="Agreement at the cut-off",
        columns=tuple(rows[0]) if rows else ("comparison",),
        rows=rows,
        note=f"Slides that count: {counted}. Intervals, 95 %: exact is Clopper-Pearson, which takes every slide for a "
        f"patient of its own; by patient is {METHOD}, and the reason says why it is missing.",
        heads={
            "exact_low": "exact from", "exact_high": "to", "patient_low": "by patient from", "patient_high": "to",
            "n_slides": "slides in all", "n_patients": "patients",
        },
        formats=dict.fromkeys(fractions, show_fraction),
    )  # fmt: skip


def calls_table(study: Study) -> ReportTable:
    """Make the table of the machine's calls by the side that each reference is on."""
    rows: dict[tuple[str, str], Row] = {}
    for each in study.at_cutoff.counts:
        for side, n in (("HIGH", each.high), ("LOW", each.low)):
            names = {"reference": each.reference, "side": side}
            rows.setdefault((each.reference, side), names)[each.label] = n
    return ReportTable(
        name="calls",
        title="The machine's calls by the side of the reference",
        columns=("reference", "side", *LABELS),
        rows=list(rows.values()),
        heads={"side": "reference says"} | {label: f"machine: {label.replace('_', ' ')}" for label in LABELS},
    )


def per_slide_table(study: Study) -> ReportTable:
    """Make the table of every slide with the machine's scores and all readings."""
    assay = study.run.assay
    of_machine = {scale: machine_scores(study.run.slides, scale) for scale in study.scales}
    of_readers = {
        (reader, scale): reader_scores(study.readings, reader, scale, assay)
        for reader in study.readings.readers
        for scale in study.scales
    }
    names = {
        (rater, scale): f"{scale}: {rater}" for rater in (MACHINE, *study.readings.readers) for scale in study.scales
    }
    rows: list[Row] = []
    for slide in sorted(study.run.slides, key=lambda each: each.slide_id):
        row: Row = {
            "slide_id": slide.slide_id,
            "file": slide.file,
            "patient_id": slide.patient_id,
            "status": slide.status,
            "reason": slide.reason,
            "call": study.at_cutoff.calls.get(slide.slide_id, ""),
            "low": slide.low,
            "high": slide.high,
        }
        for scale in study.scales:
            row[names[MACHINE, scale]] = _whole(scale, of_machine[scale].get(slide.slide_id))
            for reader in study.readings.readers:
                row[names[reader, scale]] = _whole(scale, of_readers[reader, scale].get(slide.slide_id))
        rows.append(row)
    scored_on = f"{assay.score.scheme} {assay.score.compartment}"
    return ReportTable(
        name="per_slide",
        title="Scores and readings",
        columns=tuple(rows[0]) if rows else ("slide_id",),
        rows=rows,
        note=f"low and high: 95 % interval of the machine's score ({scored_on}) within the slide.",
    )


def _whole(scale: ComparedScale, score: float | None) -> float | int | None:
    """Write a class as the whole number that it is."""
    return int(score) if scale == INTENSITY and score is not None else score


def readers_table(study: Study) -> ReportTable:
    """Make the table of what became of each reader's readings."""
    return ReportTable(
        name="readers",
        title="Readers",
        columns=("reader", "n_read", "n_compared", "n_not_read", "n_superseded"),
        rows=[
            {
                "reader": each.reader,
                "n_read": each.n_read,
                "n_compared": each.n_compared,
                "n_not_read": each.n_not_read,
                "n_superseded": each.n_superseded,
            }
            for each in study.readers
        ],
        heads={
            "n_read": "slides read",
            "n_compared": "of these with a score of the machine",
            "n_not_read": "slides of the run not read",
            "n_superseded": "readings replaced by a later one",
        },
    )


def left_out_table(study: Study) -> ReportTable:
    """Make the table of slides and readings that are in no comparison, or not in all of them."""
    files = study.run.files
    return ReportTable(
        name="left_out",
        title="Left out, and why",
        columns=("slide_id", "file", "reader", "reason"),
        rows=[
            {
                "slide_id": each.slide_id,
                "file": files[each.slide_id],
                "reader": each.reader,
                "reason": each.reason,
            }
            for each in study.left_out
        ],
        note="A row without a reader is about the slide itself.",
    )
