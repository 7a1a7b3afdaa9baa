"""What a validation's report says, section by section."""

from __future__ import annotations

from collections import Counter
from typing import Final

from slidescore.cohort.bootstrap import METHOD, MIN_PATIENTS, REPLICATES
from slidescore.cohort.validation_comparisons import INTENSITY
from slidescore.cohort.validation_cutoff import FROM_OPTION, LABELS
from slidescore.cohort.validation_figures import class_figures, score_figures, strip_figure
from slidescore.cohort.validation_literature import literature_table
from slidescore.cohort.validation_study import Study
from slidescore.cohort.validation_tables import (
    agreement_table,
    at_cutoff_table,
    calls_table,
    confusion_table,
    left_out_table,
    overview_tables,
    per_slide_table,
    readers_table,
    scale_title,
)
from slidescore.report.analysis_page import ReportSection
from slidescore.report.page import show_cutoff

KINDS: Final = {
    "h_score": "H-scores",
    "percent_positive": "percent positive",
    "shares": "percents at 0, 1+, 2+ and 3+",
    "intensity": "one overall intensity",
}
"""How the page calls what was read."""
METHODS: Final = (
    "ICC(2,1): two-way random effects, absolute agreement, single rating (Shrout and Fleiss 1979; McGraw and Wong "
    "1996, ICC(A,1)). Lin's CCC: Lin 1989, moments over n. Spearman: ranks, ties shared. Bias and limits of agreement: "
    "mean difference, and 1.96 standard deviations (over n - 1) to each side (Bland and Altman 1986); the limits are "
    "of slides, also where a patient has several. Quadratic weighted kappa: Cohen 1968, of the classes 0, 1+, 2+, 3+.",
    f"Intervals, 95 %: {REPLICATES:,} resamples in which patients are drawn with all their slides; ends bias-corrected "
    "and accelerated (Efron 1987), widened for few patients (Hesterberg 2015). The random numbers follow from the "
    f"slides, so the same run and readings give the same ends. With fewer than {MIN_PATIENTS} patients there is no "
    "interval. Beside shares at the cut-off stand the exact intervals of Clopper and Pearson, slide by slide.",
)


def report_sections(study: Study) -> list[ReportSection]:
    """Write the report of a validation."""
    scores = [scale for scale in study.scales if scale != INTENSITY]
    sections = [
        ReportSection("What was compared", _compared(study), (readers_table(study),)),
        *(
            ReportSection(
                f"Agreement, {scale_title(scale)}",
                ["Readers are compared with one another on slides that the machine scored too."],
                overview_tables(study, scale),
                tuple(score_figures(study, scale)),
            )
            for scale in scores
        ),
    ]
    if INTENSITY in study.scales:
        words = [
            "One class a slide: of the machine its fullest bin; of a reader the intensity given, or else the fullest "
            "bin. A mean of classes is no class, so there is no mean of readers here.",
        ]
        tables = (*overview_tables(study, INTENSITY), confusion_table(study))
        sections.append(ReportSection("Agreement, overall intensity", words, tables, tuple(class_figures(study))))
    sections.append(_cutoff_section(study))
    strips = tuple(strip_figure(study, scale) for scale in scores[:1])
    return [
        *sections,
        ReportSection("Every slide", [], (per_slide_table(study), left_out_table(study)), strips),
        ReportSection("Literature", [], (literature_table(),)),
        ReportSection("Every statistic, and methods", METHODS, (agreement_table(study),)),
    ]


def report_facts(study: Study, table_name: str, table_digest: str) -> list[tuple[str, str]]:
    """List what the validation rests on.

    Parameters
    ----------
    study
        The validation.
    table_name, table_digest
        Name of the readers' table, and SHA-256 of its bytes.
    """
    run, cutoff = study.run, study.at_cutoff.cutoff
    assay = run.assay
    status = Counter(slide.status.replace("_", " ") for slide in run.slides)
    return [
        ("Slides", f"{len(run.slides)}: " + ", ".join(f"{n} {name}" for name, n in sorted(status.items()))),
        ("Patients", _patients(study)),
        ("Readers", ", ".join(study.readings.readers)),
        ("Readings", ", ".join(KINDS[kind] for kind in study.readings.kinds)),
        ("Score", f"{scale_title(assay.score.scheme)}, {assay.score.compartment}"),
        ("Cut-off", "none" if cutoff is None else f"{show_cutoff(cutoff.text)}, {_origin(study)}"),
        ("Assay", f"{assay.name}, {run.assay_digest}"),
        ("Run", f"digests.sha256 {run.digest}, scored by slidescore {run.version}"),
        ("Readers' table", f"{table_name}, SHA-256 {table_digest}"),
        ("Intervals", f"{METHOD}, {REPLICATES:,} resamples"),
    ]


def patients_known(study: Study) -> bool:
    """Say whether every slide of a comparison has a patient."""
    return all(slide.patient_id for comparison in study.comparisons for slide in comparison.slides)


def _patients(study: Study) -> str:
    known = {slide.patient_id for slide in study.run.slides if slide.patient_id}
    without = sum(not slide.patient_id for slide in study.run.slides)
    if not known:
        return "not known: every slide counts as a patient of its own"
    return f"{len(known)}" + (f", and {without} of slides whose patient is not known" if without else "")


def _origin(study: Study) -> str:
    cutoff = study.at_cutoff.cutoff
    if cutoff is None:
        return ""
    return "given with --cutoff" if cutoff.source == FROM_OPTION else cutoff.status


def _compared(study: Study) -> list[str]:
    run = study.run
    anybody = {slide_id for read in study.readings.by_reader.values() for slide_id in read}
    unscored = [slide for slide in run.slides if slide.status != "scored"]
    words = [
        f"{len(run.slides)} slides, {len(run.scored)} with a score of the machine, {len(anybody)} with a reading, "
        f"{sum(slide.slide_id in anybody for slide in run.scored)} with both. Scores are the automatic ones; reviews "
        "do not enter. What the readers knew when they read cannot be seen from a table: whether they were blinded "
        "to the machine and to one another is for the study to say.",
    ]
    if unscored:
        read = sum(slide.slide_id in anybody for slide in unscored)
        words.append(
            f"Slides without a score of the machine (not evaluable or failed): {len(unscored)}, of which {read} read. "
            "They are in no correlation or difference; at the cut-off they are shown left out, and as disagreeing."
        )
    if not patients_known(study):
        words.append(
            "Not every slide has a patient ('score' or 'rescore' with --patients). One without counts as a patient "
            "of its own, so intervals are too narrow where slides share a patient."
        )
    return words


def _cutoff_section(study: Study) -> ReportSection:
    found, title = study.at_cutoff, "At the cut-off"
    if found.cutoff is None or not found.rows:
        return ReportSection(title, [f"Not computed: {found.reason}."])
    calls = Counter(found.calls.values())
    said = ", ".join(f"{calls[label]} {label.replace('_', ' ')}" for label in LABELS if calls[label])
    words = [
        f"{show_cutoff(found.cutoff.text)}, {_origin(study)}. The machine's calls of the run: {said}. A reader's score "
        "is judged by the same rule, and stands for the truth of its rows; it has an error of its own, which the "
        "agreement between readers shows.",
        "Each share is given three times: of slides called HIGH or LOW; with EQUIVOCAL ones, taken for the side that "
        "their score is on; and with slides that have no score, taken for disagreeing.",
    ]
    if found.cutoff.meaning:
        words.insert(1, f"What HIGH meant in the source of the cut-off: {found.cutoff.meaning}.")
    return ReportSection(title, words, (calls_table(study), at_cutoff_table(study)))
