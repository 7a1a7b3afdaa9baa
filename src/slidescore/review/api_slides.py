"""One slide: GET /api/slides/{id}, and its thumbnail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from starlette.responses import Response

from slidescore.cells.table import floats
from slidescore.report.charts import od_histogram
from slidescore.report.overlay_pyramid import small_jpeg
from slidescore.report.score_tables import headline, pixel_words, rule_rows, scheme_rows, uncertainty_words
from slidescore.report.slide_page import FLAG_MEANINGS, count_rows, measure_rows
from slidescore.review.api_answers import json_answer, picture_answer
from slidescore.review.api_params import ApiError, Asked
from slidescore.review.desk import Desk
from slidescore.review.opened_slide import OpenedSlide, Pixels
from slidescore.review.row_facts import NUMBERS, blind_row, fixed_rows, readable
from slidescore.review.run_store import WITHOUT_RESULT, RunView
from slidescore.review.slide_cells import SlideCells
from slidescore.review.stain_views import view_tile
from slidescore.review.summaries import NOT_REVIEWED
from slidescore.review.tile_grid import TILE_PX
from slidescore.scoring import COMPARTMENTS

THUMBNAIL_PX: Final = 320
"""Longer side of a thumbnail: twice what a list shows, for dense screens."""
MORE_SCORES: Final = {"all_cells": "h_all_cells", "strict": "h_strict", "without_exclusions": "h_without_exclusions"}
"""Second opinions by the column that they stand in."""
REGION_VALUES: Final = (
    "region", "role", "call", "call_status", "reason", "h_score", "h_score_low", "h_score_high", "p_high",
    "percent_positive", "n_tumor_cells", "tissue_mm2",
)  # fmt: skip


def get_slide(desk: Desk, asked: Asked) -> Response:
    """Answer GET /api/slides/{id}; to blind readers only where it is and how large."""
    slide_id = asked.path["id"]
    opened = desk.open(slide_id)
    record, pixels = opened.result.record, opened.pixels()
    facts = {
        "result_digest": opened.result.digest,
        **{name: record["slide"][name] for name in ("mpp", "mpp_source", "width", "height")},
        "pixels": pixel_facts(opened, pixels),
        "neighbours": neighbours(opened.result.view, slide_id, blind=desk.options.blind),
    }
    desk.book.refresh()
    if desk.options.blind:
        reader = asked.query_reviewer(desk.options.reviewer)
        return json_answer(blind_row(desk, opened.result.view.by_id[slide_id], reader) | facts)
    row = next(row for row in fixed_rows(opened.result.view) if row["id"] == slide_id)
    reviews = {"source": pixels.kind, "review": desk.summaries().get(slide_id, NOT_REVIEWED)}
    cells = opened.cells()
    return json_answer({**row, **reviews, **facts, **result_facts(record, cells), "histogram": histogram(cells)})


def get_small_picture(desk: Desk, asked: Asked) -> Response:
    """Answer GET /api/slides/{id}/thumbnail: the run's small picture; to blind readers the slide alone."""
    opened = desk.open(asked.path["id"])
    if desk.options.blind:
        opened.pixels()
        picture = desk.tiles.get((opened.name, "blind thumbnail"), lambda: _whole_slide(opened))
        return picture_answer(picture, "image/jpeg", f"{opened.name} blind", asked)
    picture = desk.tiles.get((opened.name, "thumbnail"), lambda: _small_picture(opened))
    return picture_answer(picture, "image/jpeg", opened.name, asked)


def pixel_facts(opened: OpenedSlide, pixels: Pixels) -> dict[str, Any]:
    """Describe where a slide's pixels come from and on which grid its tiles are asked for."""
    grid = pixels.grid
    return {
        "source": pixels.kind,
        "note": pixels.note,
        "tile": TILE_PX,
        "k_min": grid.k_min if grid else None,
        "k_max": grid.k_max if grid else None,
        "revision": opened.pixel_revision,
    }


def neighbours(view: RunView, slide_id: str, *, blind: bool) -> dict[str, str | None]:
    """Return the slides before and after one that can be opened: worst first, to blind readers by id.

    Raises
    ------
    ApiError
        409 if the table does not have the slide among them, for it is being written.
    """
    ids = [str(row["slide_id"]) for row in view.rows if row["status"] != WITHOUT_RESULT]
    if blind:
        ids = readable(view)
    if slide_id not in ids:
        raise ApiError(409, "the run is being scored again", "wait until that is done, then reload")
    place = ids.index(slide_id)
    return {
        "previous": ids[place - 1] if place else None,
        "next": ids[place + 1] if place + 1 < len(ids) else None,
    }


def result_facts(record: Mapping[str, Any], cells: SlideCells) -> dict[str, Any]:
    """Describe what was found on a slide: scores as they were computed, not as the table rounds them."""
    scores, flags = record["scores"], record["qc"]["flags"]
    return {
        **{name: scores[column] for name, column in NUMBERS.items()},
        "flags": [{**flag, "meaning": FLAG_MEANINGS.get(flag["name"], "")} for flag in flags],
        "scores": {
            **{name: scores[f"h_{name}"] for name in COMPARTMENTS},
            **{name: scores[column] for name, column in MORE_SCORES.items()},
        },
        "interval": interval_facts(record, cells),
        "schemes": scheme_rows(record, cells.assay),
        "rules": rule_rows(record, cells.table, cells.assay),
        "count_rows": _rows(count_rows(record, cells.table, cells.assay)),
        "measures": _rows(measure_rows(record)),
        "regions": [{name: row[name] for name in REGION_VALUES} for row in record.get("regions") or []],
        "notes": list(record.get("degradations") or []),
    }


def interval_facts(record: Mapping[str, Any], cells: SlideCells) -> dict[str, Any]:
    """Describe the interval of the score that the call is made on, in words too; ends are null where there is none."""
    assay, head = cells.assay, headline(record, cells.assay)
    found = record["schemes"][assay.score.scheme][assay.score.compartment]
    words = [uncertainty_words(record, assay), pixel_words(record, assay)]
    return {
        "low": found["low"],
        "high": found["high"],
        "text": head["interval"],
        "none": head["no_interval"],
        "words": [each for each in words if each],
    }


def _rows(rows: Sequence[tuple[str, str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "text": text, "note": note} for name, text, note in rows]


def histogram(cells: SlideCells) -> dict[str, Any]:
    """Count the tumor cells that the score rests on by DAB optical density, in the bars of the report."""
    assay, seen = cells.assay, cells.seen()
    compartment = assay.score.compartment
    od = floats(cells.table, f"dab_od_{compartment}")
    od = np.where(np.isnan(od), floats(cells.table, "dab_od_cell"), od)
    edges, counts = od_histogram(od[seen.tumor & seen.counted])
    return {
        "compartment": compartment,
        "edges": edges,
        "counts": counts,
        "thresholds": list(assay.bins.of(compartment)),
    }


def _small_picture(opened: OpenedSlide) -> bytes:
    try:
        return small_jpeg((opened.folder.path / "thumbnail.png").read_bytes(), THUMBNAIL_PX)
    except (OSError, ValueError, RuntimeError) as error:  # a decoder's own errors are RuntimeErrors
        raise ApiError(404, "there is no small picture of this slide", "score it again to have one") from error


def _whole_slide(opened: OpenedSlide) -> bytes:
    with opened.source() as source:
        return view_tile(source, opened.stains, "rgb", source.grid.k_max, 0, 0)
