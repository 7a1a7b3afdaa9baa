"""What the pages are told of a slide in a list: its row of scores.csv; to blind readers, its name."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from slidescore.qc.checks import usual_level
from slidescore.report.cohort_page import cutoff_distance
from slidescore.report.page import as_number
from slidescore.review.desk import Desk
from slidescore.review.run_store import Row, RunView
from slidescore.scoring import BIN_NAMES

TEXTS: Final = ("patient_id", "status", "reason", "call", "call_status", "qc")
NUMBERS: Final = {
    "h_score": "h_score",
    "h_low": "h_score_low",
    "h_high": "h_score_high",
    "p_high": "p_high",
    "percent_positive": "percent_positive",
    "irs": "irs",
    "allred": "allred",
    "pixel_h_score": "pixel_h_score",
}
"""Numbers of a row by the column that they stand in."""


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
