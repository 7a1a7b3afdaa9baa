"""The REMARK table of a report: what the record of the run and the declared plan can say, and what only the user can.

The 20 items are those of the reporting recommendations for tumor marker prognostic studies (Altman, McShane, Sauerbrei
and Taube, BMC Med 10 (2012) 51), in words of our own.
"""

from __future__ import annotations

from typing import Final

from slidescore.assay import Assay
from slidescore.cohort.analysis import Analysis
from slidescore.cohort.run_scores import RunScores
from slidescore.cohort.trial_plan import ENDPOINT_TITLES
from slidescore.report.analysis_page import ReportSection, ReportTable
from slidescore.report.page import show_cutoff
from slidescore.version import slidescore_version

TO_BE_STATED: Final = "To be stated"

_COLUMNS: Final = ("item", "section", "asked", "stated_here", "to_be_stated")


def remark_section(analysis: Analysis, run: RunScores, endpoints: tuple[str, ...]) -> ReportSection:
    """Write the REMARK table."""
    answers = _answers(analysis, run, endpoints)
    rows = [
        {"item": number, "section": section, "asked": asked, "stated_here": here, "to_be_stated": open_points}
        for number, ((section, asked), (here, open_points)) in enumerate(zip(ITEMS, answers, strict=True), start=1)
    ]
    table = ReportTable(
        "remark", "REMARK checklist", _COLUMNS, rows,
        f"The column '{TO_BE_STATED.lower()}' is for the authors: no record of a run can know it.",
    )  # fmt: skip
    words = ["The 20 items of REMARK (BMC Med 2012, 10:51), filled in as far as the record of the run goes."]
    return ReportSection("REMARK", words, [table])


ITEMS: Final = (
    ("Introduction", "Marker, objectives, hypotheses declared beforehand"),
    ("Patients", "Source, characteristics, criteria of inclusion and exclusion"),
    ("Patients", "Treatments, and how they were chosen"),
    ("Specimens", "Biological material, controls, preservation and storage"),
    ("Assay", "Method, reagents, quality control, reproducibility, scoring, blinding to outcome"),
    ("Design", "Selection of cases, prospective or retrospective, period, end and median of follow-up"),
    ("Design", "Definition of the endpoints"),
    ("Design", "All variables examined or considered"),
    ("Design", "Reason for the sample size"),
    ("Statistics", "All methods, selection of variables, assumptions, handling of missing data"),
    ("Statistics", "How marker values were handled; how cut-offs were determined"),
    ("Data", "Flow of patients, number at each step and of events, reasons for dropping out"),
    ("Data", "Distribution of characteristics, standard variables and the marker, with missing values"),
    ("Results", "The marker against standard prognostic variables"),
    ("Results", "The marker against the outcome, alone, with effect and interval"),
    ("Results", "Key models with effects and intervals of the marker and of all other variables"),
    ("Results", "Effects of the marker beside standard prognostic variables, significant or not"),
    ("Results", "Further investigations: assumptions, sensitivity, internal validation"),
    ("Discussion", "Interpretation against the hypotheses declared and other studies; limitations"),
    ("Discussion", "Implications for research and clinical value"),
)
"""Section and question of each REMARK item, 1 to 20."""


def _answers(analysis: Analysis, run: RunScores, endpoints: tuple[str, ...]) -> list[tuple[str, str]]:
    data, plan, assay = analysis.data, analysis.plan, run.assay
    titles = ", ".join(ENDPOINT_TITLES[endpoint] for endpoint in endpoints)
    strata = ", ".join(data.levels) or "none declared"
    treatment = (
        f"Randomised: {data.arms[1]} against {data.arms[0]} (control)"
        if plan.randomised
        else f"Arms, not declared as randomised: {', '.join(data.arms)}"
        if data.arms
        else "One arm, or none stated"
    )
    asked = "the effect of treatment by marker" if plan.randomised else "association of marker and outcome"
    events = "; ".join(f"{ENDPOINT_TITLES[endpoint]}: {_events(analysis, endpoint)}" for endpoint in endpoints)
    searched = "cut-off search with correction and resampling, exploratory" if plan.search_cutoff else ""
    return [
        (f"{assay.marker}; {asked}", "Objectives and hypotheses, and when they were declared"),
        (f"{data.n} patients of the clinical table", "Source, criteria, stage, comorbidities"),
        (treatment, "Treatments, and how they were chosen"),
        ("", "Tissue, site and time of sampling, fixation, storage, age of sections"),
        (_assay_words(assay, run), "Clone and dilution unless above, staining protocol, controls; whether staining and "
         "regions were done blind to outcome"),
        (f"Patients by the rule '{assay.patients.rule}' over their slides; median follow-up beside each curve",
         "Selection, period, prospective or retrospective"),
        (f"{titles}; NE counts as no response; times in months",
         "Definitions, assessor (investigator or independent), time zero"),
        (f"Score, arm, strata ({strata})", "Other variables that were considered"),
        ("", "Reason for the sample size; power"),
        ("Clopper-Pearson, Newcombe, Fisher; Cochran-Mantel-Haenszel or exact conditional; logistic and Cox models; "
         f"Kaplan-Meier, log-rank; STEPP. Nothing is imputed or selected. slidescore {slidescore_version()}",
         "Deviations from the plan of analysis"),
        (f"Continuous, per {analysis.step:g} points; groups: {data.rule.note}",
         "Whether the cut-off was declared before the outcomes were known"),
        (f"Figure and table 'Patient flow', table 'Missing data by analysis'. {events}", "Reasons for missing slides"),
        ("Table 'marker': score and CXCR4 status by arm and stratum", "Demographic and standard variables not in the "
         "clinical table"),
        ("Table 'marker'", "Standard variables that are no strata"),
        ("Tables of rates, curves and comparisons", ""),
        (f"Table 'models', adjusted for or stratified by: {strata}", "Models with other covariates"),
        (f"Table 'models' ({strata})", "Standard variables that are no strata"),
        ("; ".join(filter(None, ("Proportional hazards tested; homogeneity over strata; effect along the score",
                                 searched))),
         "Sensitivity to the tumor rule (result.json of each slide); validation in other patients"),
        ("", "Interpretation and limitations"),
        ("Research use only", "Implications"),
    ]  # fmt: skip


def _events(analysis: Analysis, endpoint: str) -> str:
    data = analysis.data
    known = data.known(endpoint)
    values = data.responder if endpoint == "response" else data.event[endpoint]
    return f"{int(values[known].sum())} in {int(known.sum())} patients"


def _assay_words(assay: Assay, run: RunScores) -> str:
    cutoff = assay.call.cutoff
    bins = getattr(assay.bins, assay.score.compartment)
    called = "no cut-off" if cutoff is None else f"cut-off {show_cutoff(cutoff.text)}, {cutoff.status}: {cutoff.source}"
    return (
        f"Assay {assay.name} ({assay.title}), digest {run.assay_digest[:12]}. {assay.notes} "
        f"{assay.score.scheme} of {assay.score.compartment}, DAB OD thresholds "
        f"{', '.join(f'{each:g}' for each in bins.thresholds)} ({bins.source}); {called}. Scored by slidescore "
        f"{run.version}, which sees no outcome"
    )
