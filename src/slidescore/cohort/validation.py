"""The story of a validation: a run and its readers' table in, a report of how they agree out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slidescore.cohort.readings import read_readings
from slidescore.cohort.run_scores import read_run_scores
from slidescore.cohort.validation_comparisons import BIAS, EXACT, ICC, INTENSITY, KAPPA, MAE, SPEARMAN, StatisticOfPairs
from slidescore.cohort.validation_cutoff import CALLED
from slidescore.cohort.validation_report import patients_known, report_facts, report_sections
from slidescore.cohort.validation_study import Study, study_agreement
from slidescore.cohort.validation_tables import scale_title, show_statistic
from slidescore.report.analysis_page import check_report_folder, write_report
from slidescore.report.files import sha256_of
from slidescore.report.page import NOTHING, show_cutoff, show_fraction

TITLE: Final = "Validation against readers"
SCORE_COLUMNS: Final = (ICC, SPEARMAN, BIAS, MAE)
"""What the terminal shows of scores."""
CLASS_COLUMNS: Final = (KAPPA, EXACT)
"""What the terminal shows of classes."""


@dataclass(frozen=True, slots=True)
class ValidationSummary:
    """What a validation came to, for the terminal.

    Attributes
    ----------
    report
        The written page.
    head, rows
        Main figures, a row a comparison, on the first scale; all text.
    lines
        What there is to say beside: shares at the cut-off, what was left out.
    """

    report: Path
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[str, ...]


def validate_run(
    run: Path, readers: Path, out: Path, *, cutoff: float | None = None, overwrite: bool = False
) -> ValidationSummary:
    """Compare a run's scores with readings, and write the report.

    Parameters
    ----------
    run
        A run folder.
    readers
        The readers' table, see `slidescore.cohort.readings`.
    out
        Folder of the report.
    cutoff
        Another cut-off than the assay's, on the assay's scale; None for the assay's own.
    overwrite
        Whether to write over an earlier report.

    Raises
    ------
    InputError
        If the table is wrong (file, row and column), or the cut-off is off the scale.
    RunFolderError
        If the run was changed, or the folder holds something else.
    """
    check_report_folder(out, overwrite=overwrite)
    scores = read_run_scores(run)
    study = study_agreement(scores, read_readings(readers, scores.files), cutoff)
    page = write_report(
        out,
        title=TITLE,
        subtitle=f"{len(scores.slides)} slides, {len(study.readings.readers)} readers, assay {scores.assay.name}",
        sections=report_sections(study),
        facts=report_facts(study, readers.name, sha256_of(readers)),
        overwrite=overwrite,
    )
    return summarize(study, page)


def summarize(study: Study, page: Path) -> ValidationSummary:
    """Say in few words what a validation came to."""
    scale = study.scales[0]
    columns: tuple[StatisticOfPairs, ...] = CLASS_COLUMNS if scale == INTENSITY else SCORE_COLUMNS
    rows = []
    for comparison in study.of_scale(scale):
        found = study.estimates(comparison)
        shown = [show_statistic(each, found[each.name]) if each.name in found else NOTHING for each in columns]
        rows.append((comparison.name, str(len(comparison.slides)), *shown))
    return ValidationSummary(
        report=page,
        head=(scale_title(scale), "slides", *(each.title for each in columns)),
        rows=tuple(rows),
        lines=(*_cutoff_lines(study), *_notes(study)),
    )


def _cutoff_lines(study: Study) -> list[str]:
    found = study.at_cutoff
    if found.cutoff is None or not found.rows:
        return [f"At the cut-off: not computed, {found.reason}."]
    lines = []
    for raters in dict.fromkeys(each.raters for each in found.rows if each.analysis == CALLED):
        shares = [each for each in found.rows if each.raters == raters and each.analysis == CALLED]
        said = [
            f"{each.statistic.replace('_', ' ')} {each.share.k}/{each.share.n}, {show_fraction(each.share.share)}"
            f" ({show_fraction(each.share.low)} to {show_fraction(each.share.high)})"
            for each in shares
        ]
        lines.append(f"{' / '.join(raters)}, {show_cutoff(found.cutoff.text)}, HIGH and LOW calls: {'; '.join(said)}")
    return lines


def _notes(study: Study) -> list[str]:
    shown = [each.estimate.reason for each in study.results if each.comparison.scale == study.scales[0]]
    notes = [f"Without an interval: {reason}." for reason in dict.fromkeys(shown) if reason]
    if not patients_known(study):
        notes.append("Slides without a patient count as a patient each (score or rescore with --patients).")
    n_slides = len({each.slide_id for each in study.left_out})
    if n_slides:
        notes.append(f"Slides in no comparison, or not in all: {n_slides}; tables/left_out.csv says why.")
    return notes
