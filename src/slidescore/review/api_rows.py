"""The run and its slides as lists: GET /api/run and GET /api/slides."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from slidescore.assay import Assay
from slidescore.report.cohort_page import summarize_rows
from slidescore.report.page import RESEARCH_USE
from slidescore.review.api_answers import json_answer
from slidescore.review.api_params import Asked
from slidescore.review.desk import Desk
from slidescore.review.row_facts import blind_row, fixed_rows, readable
from slidescore.review.summaries import NOT_REVIEWED
from slidescore.scoring import COMPARTMENTS
from slidescore.version import slidescore_version


def get_run(desk: Desk, asked: Asked) -> Response:
    """Answer GET /api/run: the assay, and what became of the slides unless readers are blind."""
    view = desk.run.view()
    facts: dict[str, Any] = {
        "run": desk.run.name,
        "assay": assay_facts(view.assay),
        "n_slides": len(view.rows),
        "blind": desk.options.blind,
        "reviewer": desk.options.reviewer,
        "version": slidescore_version(),
        "research_use": RESEARCH_USE,
    }
    if desk.options.blind:
        return json_answer(facts | {"summary": f"{len(readable(view))} slides to read."})
    return json_answer(facts | {"summary": summarize_rows(view.rows)})


def get_slides(desk: Desk, asked: Asked) -> Response:
    """Answer GET /api/slides: a row a slide, worst first; to blind readers names only, in their own order."""
    view, head = desk.run.view(), desk.book.refresh()
    if desk.options.blind:
        reader = asked.query_reviewer(desk.options.reviewer)
        rows = [blind_row(desk, view.by_id[slide_id], reader) for slide_id in readable(view)]
        return json_answer({"slides": rows, "head": head})
    found, sources = desk.summaries(), desk.sources()
    rows = [
        {**row, "source": sources.get(row["id"], "unknown"), "review": found.get(row["id"], NOT_REVIEWED)}
        for row in fixed_rows(view)
    ]
    return json_answer({"slides": rows, "head": head})


def assay_facts(assay: Assay) -> dict[str, Any]:
    """Describe an assay for the pages."""
    cutoff = assay.call.cutoff
    return {
        "name": assay.name,
        "title": assay.title,
        "scheme": assay.score.scheme,
        "compartment": assay.score.compartment,
        "thresholds": {name: list(assay.bins.of(name)) for name in COMPARTMENTS},
        "cutoff": None
        if cutoff is None
        else {
            "scale": cutoff.scale,
            "compartment": cutoff.compartment,
            "operator": cutoff.operator,
            "value": cutoff.value,
            "status": cutoff.status,
            "text": cutoff.text,
            "meaning": cutoff.meaning,
        },
    }
