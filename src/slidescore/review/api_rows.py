"""The run and its slides as lists: GET /api/run and GET /api/slides."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any, Final

from starlette.responses import Response

from slidescore.assay import Assay, assay_digest
from slidescore.audit.state import SIGNED
from slidescore.qc.checks import usual_level
from slidescore.report.cohort_page import cutoff_distance, summarize_rows
from slidescore.report.page import RESEARCH_USE, as_number
from slidescore.review.api_answers import json_answer
from slidescore.review.api_params import Asked
from slidescore.review.desk import Desk
from slidescore.review.run_store import Row, RunView
from slidescore.review.summaries import NOT_REVIEWED
from slidescore.scoring import BIN_NAMES, COMPARTMENTS
from slidescore.version import slidescore_version

TEXTS: Final = ("patient_id", "status", "reason", "call", "call_status", "qc")
NUMBERS: Final = {
    "h_score": "h_score",
    "h_low": "h_score_low",
    "h_high": "h_score_high",
    "p_high": "p_high",
    "percent_positive": "percent_positive",
}
"""Numbers of a row by the column that they stand in."""


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
    desk.book.refresh()
    states = Counter(str(row["status"]) for row in view.rows)
    facts |= {
        "summary": summarize_rows(view.rows),
        "n_scored": states["scored"],
        "n_not_evaluable": states["not_evaluable"],
        "n_failed": states["failed"],
        "n_reviewed": sum(found["state"] in SIGNED for found in desk.summaries().values()),
    }
    return json_answer(facts)


def get_slides(desk: Desk, asked: Asked) -> Response:
    """Answer GET /api/slides: a row a slide, worst first; to blind readers names only, in their own order."""
    view, head = desk.run.view(), desk.book.refresh()
    if desk.options.blind:
        reader = asked.query.get("reviewer", desk.options.reviewer)
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
        "digest": assay_digest(assay),
        "scheme": assay.score.scheme,
        "compartment": assay.score.compartment,
        "thresholds": {name: list(assay.bins.of(name)) for name in COMPARTMENTS},
        "cutoff": {
            "scale": cutoff.scale,
            "compartment": cutoff.compartment,
            "operator": cutoff.operator,
            "value": cutoff.value,
            "status": cutoff.status,
            "text": cutoff.text,
        },
        "tumor": {"rule": assay.tumor.rule, "min_probability": assay.tumor.min_probability},
    }


@lru_cache(maxsize=2)
def fixed_rows(view: RunView) -> tuple[dict[str, Any], ...]:
    """Return what the rows of a run say while its tables do not change, worst first."""
    return tuple(row_facts(row, pictured=str(row["slide_id"]) in view.pictured) for row in view.rows)


def row_facts(row: Row, *, pictured: bool) -> dict[str, Any]:
    """Describe a row of scores.csv, whose values are text; what was not computed is null.

    Parameters
    ----------
    row
        The row.
    pictured
        Whether there is a thumbnail.
    """
    counts = [as_number(row[f"n{number}"]) for number in range(len(BIN_NAMES))]
    n_tumor = as_number(row["n_tumor_cells"])
    return {
        "id": row["slide_id"],
        "file": row["file"],
        **{name: row[name] for name in TEXTS},
        **{name: as_number(row[column]) for name, column in NUMBERS.items()},
        "n_tumor_cells": None if n_tumor is None else int(n_tumor),
        "bins": None if None in counts else [int(count or 0) for count in counts],
        "flags": [{"name": name, "level": usual_level(name)} for name in str(row["qc_flags"] or "").split(";") if name],
        "picture": pictured,
        "cutoff_distance": cutoff_distance(row),
    }


def readable(view: RunView) -> list[str]:
    """Return the slides that a blind reader reads, in the order of their ids, which says nothing."""
    return sorted(str(row["slide_id"]) for row in view.rows if row["status"] != "failed")


def blind_row(desk: Desk, row: Row, reader: str) -> dict[str, Any]:
    """Describe a slide to a blind reader: its name, and whether this reader has read it."""
    slide_id = str(row["slide_id"])
    read = any(event.kind == "reading" and event.reviewer == reader for event in desk.book.of(slide_id))
    return {"id": slide_id, "file": row["file"], "patient_id": None, "read": read}
