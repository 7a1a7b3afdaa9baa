"""The story of a cohort: a run and a clinical table in, a report of how score and outcome go together out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slidescore.cohort.analysis import Analysis
from slidescore.cohort.clinical_table import ClinicalTable, read_clinical
from slidescore.cohort.marker_groups import NO_SLIDE
from slidescore.cohort.marker_section import marker_section
from slidescore.cohort.patient_flow import flow_section, listing_section
from slidescore.cohort.quiet_fit import require_stats
from slidescore.cohort.remark import remark_section
from slidescore.cohort.response_section import response_section
from slidescore.cohort.run_scores import RunScores, read_patients, read_run_scores
from slidescore.cohort.score_section import cutpoint_section, model_section
from slidescore.cohort.survival_section import survival_section
from slidescore.cohort.trial_data import join_trial
from slidescore.cohort.trial_plan import TrialPlan
from slidescore.report.analysis_page import ReportSection, check_report_folder, write_report
from slidescore.report.page import show_cutoff

_DIGEST_SHOWN: Final = 16


@dataclass(frozen=True, slots=True)
class AssociationSummary:
    """What a cohort came to, for the terminal.

    Attributes
    ----------
    report
        The written page.
    rates
        Rows of the table of response rates; empty without responses.
    models
        Rows of the table of models.
    notes
        What a reader must know, one sentence each.
    """

    report: Path
    rates: tuple[dict[str, object], ...]
    models: tuple[dict[str, object], ...]
    notes: tuple[str, ...]


def analyse_cohort(
    run: Path, clinical: Path, out: Path, plan: TrialPlan, *, overwrite: bool = False
) -> AssociationSummary:
    """Relate the patients of a run to their outcomes, and write the report.

    Parameters
    ----------
    run
        A run folder with patients.csv.
    clinical
        The clinical table, see `slidescore.cohort.clinical_table`.
    out
        Folder of the report.
    plan
        What is asked, declared beforehand.
    overwrite
        Whether to write over an earlier report.

    Raises
    ------
    InputError
        If the table is wrong (file, row and column), does not fit the plan, or the packages of the extra `stats` are
        missing.
    RunFolderError
        If the run has no patients or was changed, or the folder holds something else.
    """
    require_stats("slidescore cohort")
    check_report_folder(out, overwrite=overwrite)
    scores, runs = read_patients(run), read_run_scores(run)
    table = read_clinical(clinical, plan)
    analysis = Analysis(join_trial(scores, table, plan), plan, runs.assay.marker)
    endpoints = table.endpoints
    sections = [flow_section(analysis, runs, endpoints), marker_section(analysis)]
    if "response" in endpoints:
        sections.append(response_section(analysis))
    sections.append(model_section(analysis, endpoints))
    sections += [survival_section(analysis, endpoint) for endpoint in endpoints if endpoint != "response"]
    if plan.search_cutoff:
        sections.append(cutpoint_section(analysis, endpoints))
    sections += [remark_section(analysis, runs, endpoints), listing_section(analysis)]
    page = write_report(
        out,
        title=f"{analysis.marker} and outcome",
        subtitle=f"{analysis.data.n} patients, assay {runs.assay.name}, clinical table {table.file}",
        sections=sections,
        facts=_facts(analysis, runs, table),
        overwrite=overwrite,
    )
    return AssociationSummary(
        report=page,
        rates=_rows(sections, "response_rates"),
        models=_rows(sections, "models"),
        notes=(analysis.data.rule.note, *_notes(analysis)),
    )


def _rows(sections: list[ReportSection], name: str) -> tuple[dict[str, object], ...]:
    return tuple(
        dict(row) for section in sections for table in section.tables if table.name == name for row in table.rows
    )


def _notes(analysis: Analysis) -> list[str]:
    data = analysis.data
    notes = []
    if data.unmatched:
        notes.append(f"Patients of the run without a row in the clinical table: {len(data.unmatched)}.")
    if missing := int((data.group == NO_SLIDE).sum()):
        notes.append(f"Patients of the clinical table without a slide in the run: {missing}.")
    return notes


def _facts(analysis: Analysis, run: RunScores, table: ClinicalTable) -> list[tuple[str, str]]:
    data, plan, assay = analysis.data, analysis.plan, run.assay
    design = f"randomised, {data.arms[1]} against {data.arms[0]}" if plan.randomised else "not randomised: association"
    facts = [
        ("design", design),
        ("strata", ", ".join(data.levels) or "none declared"),
        ("endpoints", ", ".join(table.endpoints)),
        ("groups", f"{show_cutoff(data.rule.text) or 'none: the assay has no cut-off'} ({data.rule.status or 'none'})"),
        ("score", f"{analysis.score_axis}; ratios per {analysis.step:g}"),
        ("patients by", assay.patients.rule),
        ("cut-off search", "exploratory, corrected" if plan.search_cutoff else "none"),
        ("blinding of assay to outcome", "to be stated"),
        ("assay", f"{assay.name}, {assay.title}; digest {run.assay_digest[:_DIGEST_SHOWN]}"),
        ("run", f"{len(run.slides)} slides, slidescore {run.version}; digest {run.digest[:_DIGEST_SHOWN]}"),
        ("clinical table", f"{table.file}; SHA-256 {table.sha256[:_DIGEST_SHOWN]}"),
    ]
    if assay.call.cutoff is not None and assay.call.cutoff.meaning and plan.cutoff == "assay":
        facts.append(("what HIGH stood for in the cut-off's source", assay.call.cutoff.meaning))
    return facts
