"""The flow of slides and patients: what was there, what was left at each step, and why the others were not."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np

from slidescore.cohort.analysis import Analysis, missing_rows
from slidescore.cohort.marker_groups import EQUIVOCAL, NO_SLIDE, NOT_EVALUABLE
from slidescore.cohort.run_scores import RunScores
from slidescore.cohort.trial_plan import ENDPOINT_TITLES
from slidescore.report.analysis_page import ReportFigure, ReportSection, ReportTable
from slidescore.report.plots.patient_flow import FlowStep, draw_patient_flow

_KNOWN: Final = {"response": "a known response", "pfs": "follow-up of PFS", "os": "follow-up of OS"}
_MISSING_COLUMNS: Final = (
    "endpoint", "analysis", "patients", "used", "no_outcome", "no_score", "not_called", "no_stratum",
)  # fmt: skip
_PATIENT_COLUMNS: Final = (
    "patient_id", "arm", "score", "marker_status", "response", "responder", "pfs_months", "pfs_event", "os_months",
    "os_event",
)  # fmt: skip


def flow_steps(analysis: Analysis, run: RunScores, endpoints: tuple[str, ...]) -> list[FlowStep]:
    """Count slides and patients from the run to each endpoint.

    Parameters
    ----------
    analysis
        The patients of the clinical table.
    run
        The slides.
    endpoints
        Those that the clinical table has.
    """
    data = analysis.data
    status = Counter(slide.status for slide in run.slides)
    slides = f"{len(run.slides)} slides: {status['scored']} scored, {status['not_evaluable']} not evaluable, "
    slides += f"{status['failed']} failed"
    strangers = sum(not slide.patient_id for slide in run.slides)
    first = (slides, *([f"{strangers} slides of no listed patient"] if strangers else []))
    no_slide = int((data.group == NO_SLIDE).sum())
    not_evaluable = int((data.group == NOT_EVALUABLE).sum())
    steps = [
        FlowStep("patients of the clinical table", data.n),
        FlowStep(
            "with slides in the run",
            data.n - no_slide,
            (
                f"{no_slide} without slides in the run",
                *first,
                *([f"{len(data.unmatched)} patients of the run without a clinical row"] if data.unmatched else []),
            ),
        ),
        FlowStep(
            "with a score", data.n - no_slide - not_evaluable, (f"{not_evaluable} not evaluable, see patients.csv",)
        ),
    ]
    with_score = len(steps) - 1
    for endpoint in endpoints:
        known = analysis.scored & data.known(endpoint)
        lost = int(analysis.scored.sum() - known.sum())
        steps.append(
            FlowStep(
                f"with a score and {_KNOWN[endpoint]}",
                int(known.sum()),
                tuple(filter(None, (f"{lost} of those with a score without it", _by_arm(analysis, known)))),
                after=with_score,
            )
        )
    return steps


def flow_section(analysis: Analysis, run: RunScores, endpoints: tuple[str, ...]) -> ReportSection:
    """Report who was analysed, and what the others lack."""
    data = analysis.data
    steps = flow_steps(analysis, run, endpoints)
    rows = [{"step": step.label, "n": step.n, "why": "; ".join(filter(None, step.lost))} for step in steps]
    flow = ReportTable("patient_flow", "Patient flow", ("step", "n", "why"), rows, heads={"why": "left out, and notes"})
    missing = ReportTable(
        "missing",
        "Missing data by analysis",
        _MISSING_COLUMNS,
        missing_rows(analysis, endpoints, ENDPOINT_TITLES),
        "Each patient who was left out is counted once, under the first thing that is missing, from left to right. "
        f"EQUIVOCAL patients ({int((data.group == EQUIVOCAL).sum())}) are in every analysis but HIGH against LOW. "
        "Nothing is imputed.",
    )
    figure = ReportFigure(
        "patient_flow",
        "Patient flow",
        f"n = {data.n} patients of the clinical table, {int((~analysis.scored).sum())} missing a score. Counts.",
        draw_patient_flow(steps),
        flow,
    )
    return ReportSection("Patients", [], [flow, missing], [figure])


def listing_section(analysis: Analysis) -> ReportSection:
    """List every patient with what the analyses used."""
    data = analysis.data
    patients = analysis.table(
        "patients_analysed",
        "Every patient of the clinical table",
        _PATIENT_COLUMNS + tuple(data.levels),
        [_patient_row(analysis, number) for number in range(data.n)],
        "What every analysis of this report used.",
    )
    return ReportSection("Patients, one a row", [], [patients])


def _by_arm(analysis: Analysis, inside: Any) -> str:
    arms = analysis.data.arms
    if len(arms) < 2:  # noqa: PLR2004 - one arm is everybody
        return ""
    return ", ".join(f"{arm}: {int((inside & (analysis.data.arm == arm)).sum())}" for arm in arms)


def _patient_row(analysis: Analysis, number: int) -> dict[str, Any]:
    data = analysis.data
    row: dict[str, Any] = {
        "patient_id": data.patient_id[number],
        "arm": str(data.arm[number]),
        "score": _value(data.score[number]),
        "marker_status": str(data.group[number]),
        "response": str(data.response[number]),
        "responder": _whole(data.responder[number]),
    }
    for endpoint in ("pfs", "os"):
        row[f"{endpoint}_months"] = _value(data.months[endpoint][number])
        row[f"{endpoint}_event"] = _whole(data.event[endpoint][number])
    return row | {name: column[number] for name, column in data.levels.items()}


def _value(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def _whole(number: float) -> int | None:
    return int(number) if np.isfinite(number) else None
