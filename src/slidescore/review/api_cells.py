"""What one cell and an area come to: GET cell, POST counts, POST preview."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from starlette.responses import Response

from slidescore.assay import Assay
from slidescore.audit.runs import MAX_CELLS
from slidescore.audit.state import edits_of
from slidescore.cells.types import CELL_TYPES, OTHER, TUMOR
from slidescore.errors import InputError
from slidescore.review.api_answers import json_answer
from slidescore.review.api_params import ApiError, Asked, box_of, number_of, polygon_of, refuse_unknown, thresholds_of
from slidescore.review.desk import Desk
from slidescore.review.opened_slide import Reviewed
from slidescore.review.preview import preview_assay
from slidescore.review.score_facts import bin_facts, previewed_score
from slidescore.review.seen_cells import count_cells
from slidescore.review.slide_cells import SlideCells
from slidescore.scoring import COMPARTMENTS, cell_types

PROBABILITIES: Final = ("tumor", "lymphocyte", "stromal", "detection")
COUNT_KEYS: Final = ("polygon", "box", "t", "cutoff", "ids")
PREVIEW_KEYS: Final = ("t", "cutoff")


def get_cell(desk: Desk, asked: Asked) -> Response:
    """Answer GET /api/slides/{id}/cell: the cell at a place, or of a number, and why it is in its bin."""
    desk.refuse_blind()
    opened = desk.open(asked.path["id"])
    desk.book.refresh()
    cells, reviewed = opened.reviewed()
    if "cell_id" in asked.query:
        cell_id: int | None = asked.query_integer("cell_id", 0)
        if cell_id is not None and cell_id >= cells.n:
            raise ApiError(404, "there is no such cell")
    else:
        cell_id = cells.cell_at(asked.query_number("x"), asked.query_number("y"))
    facts = None if cell_id is None else cell_facts(cells, reviewed, cell_id)
    opened.trim()
    return json_answer({"cell": facts})


def post_counts(desk: Desk, asked: Asked) -> Response:
    """Answer POST /api/slides/{id}/counts: the cells of an area as reviewers left them.

    With thresholds `t` they are counted as a new assay would, without the corrections made under the old one.
    """
    desk.refuse_blind()
    content = asked.json()
    refuse_unknown(content, COUNT_KEYS)
    if ("polygon" in content) == ("box" in content):
        raise ApiError(400, "give either polygon or box")
    t = thresholds_of(content["t"]) if content.get("t") is not None else None
    with_ids = content.get("ids", False)
    if not isinstance(with_ids, bool):
        raise ApiError(400, "ids is neither true nor false")
    area = box_of(content["box"]) if "box" in content else polygon_of(content["polygon"])
    opened = desk.open(asked.path["id"])
    desk.book.refresh()
    cells, reviewed = opened.reviewed()
    ids = cells.ids_in_box(*area) if isinstance(area, tuple) else cells.ids_in(area)
    counts = count_cells(cells.seen(None if t else reviewed.review.corrections, t), ids)
    facts = {
        "n_cells": counts.n_cells,
        "n_tumor_cells": counts.n_tumor_cells,
        "n_excluded": counts.n_excluded,
        **bin_facts(counts.bins),
    }
    if with_ids:
        if len(ids) > MAX_CELLS:
            raise ApiError(400, f"more than {MAX_CELLS:,} cells lie inside", "draw a smaller area")
        facts["cell_ids"] = ids
    return json_answer(facts)


def post_preview(desk: Desk, asked: Asked) -> Response:
    """Answer POST /api/slides/{id}/preview: what `rescore` would make of the slide with these values; nothing is saved.

    Corrections were made under the run's own assay and do not enter.
    """
    desk.refuse_blind()
    content = asked.json()
    refuse_unknown(content, PREVIEW_KEYS)
    opened = desk.open(asked.path["id"])
    cells = opened.cells()
    assay, _ = previewed_assay(cells.assay, content)
    return json_answer(previewed_score(opened, cells, assay))


def previewed_assay(assay: Assay, content: dict[str, Any]) -> tuple[Assay, tuple[float, float, float] | None]:
    """Return the assay with the thresholds `t` and the `cutoff` of a request, and those thresholds.

    Raises
    ------
    ApiError
        If they make no assay.
    """
    t = thresholds_of(content["t"]) if content.get("t") is not None else None
    cutoff = number_of(content["cutoff"], "cutoff") if content.get("cutoff") is not None else None
    try:
        return preview_assay(assay, t, cutoff), t
    except InputError as error:
        raise ApiError(400, error.message, error.remedy) from error


def cell_facts(cells: SlideCells, reviewed: Reviewed, cell_id: int) -> dict[str, Any]:
    """Describe a cell: its measurements, its bin and class now and as the machine said, and why."""
    subject, corrections = reviewed.subject, reviewed.review.corrections
    values, now, before = cells.measures(cell_id), cells.seen(corrections), cells.seen()
    likeliest = int(cell_types(cells.table.slice(cell_id, 1), cells.assay)[0])
    compartment = cells.assay.score.compartment
    fallback = bool(before.fallback[cell_id])
    return {
        "cell_id": cell_id,
        "x": float(cells.x_l0[cell_id]),
        "y": float(cells.y_l0[cell_id]),
        "class": _class_name(tumor=bool(now.tumor[cell_id]), likeliest=likeliest),
        "automatic_class": _class_name(tumor=bool(before.tumor[cell_id]), likeliest=likeliest),
        "bin": int(now.bins[cell_id]),
        "automatic_bin": int(before.bins[cell_id]),
        "counted": bool(now.counted[cell_id]),
        "automatic_counted": bool(before.counted[cell_id]),
        "dab_od": {name: values[f"dab_od_{name}"] for name in COMPARTMENTS},
        "hematoxylin_od_nucleus": values["hematoxylin_od_nucleus"],
        **{f"{name}_probability": values[f"{name}_probability"] for name in PROBABILITIES},
        "nucleus_area_um2": values["nucleus_area_um2"],
        "cell_area_um2": values["cell_area_um2"],
        "excluded": values["excluded"],
        "region": values["region"],
        "between": _between(cells.assay, "cell" if fallback else compartment, values, fallback=fallback),
        "tumor_rule": tumor_rule(cells.assay),
        "outline": cells.outline(cell_id, "cell"),
        "nucleus": cells.outline(cell_id, "nucleus"),
        "edits": edits_of(reviewed.events, subject.slide_id, subject.result_digest, subject.places, cell_id),
    }


def tumor_rule(assay: Assay) -> str:
    """Say in words which cells are tumor cells."""
    if assay.tumor.rule == "all":
        return "every cell, but those in areas of class Other"
    return f"tumor probability of at least {assay.tumor.min_probability:g}"


def _between(assay: Assay, compartment: Any, values: dict[str, Any], *, fallback: bool) -> dict[str, Any]:
    """Say between which thresholds a cell's value lies; null beyond the first and the last."""
    value = values[f"dab_od_{compartment}"]
    thresholds = assay.bins.of(compartment)
    # Compared as float32, as bins are.
    place = int(np.searchsorted(np.asarray(thresholds, np.float32), np.float32(value or 0.0), side="right"))
    return {
        "compartment": compartment,
        "thresholds": list(thresholds),
        "lower": thresholds[place - 1] if place else None,
        "value": value,
        "upper": thresholds[place] if place < len(thresholds) else None,
        "fallback": fallback,
    }


def _class_name(*, tumor: bool, likeliest: int) -> str:
    """Name what a cell counts as; one that is no tumor cell by the rule or by a reviewer is of another type."""
    kind = TUMOR if tumor else OTHER if likeliest == TUMOR else likeliest
    return CELL_TYPES[kind].capitalize()
