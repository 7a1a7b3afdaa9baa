"""Patients on the page of a run: rows of patients.csv in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slidescore.assay.model import SCALE_RANGE
from slidescore.report.charts import draw_small_interval
from slidescore.report.page import as_number, show_call, show_chance, show_interval, show_value

Row = Mapping[str, Any]


def show_patient(row: Row) -> dict[str, Any]:
    """Describe a patient.

    Parameters
    ----------
    row
        Of patients.csv; values may be numbers or the text of the table.
    """
    scale = str(row.get("scale") or "h_score")
    value, low, high = (as_number(row.get(name)) for name in ("score", "low", "high"))
    between = show_interval(scale, low, high)
    cutoff = as_number(str(row.get("cutoff") or "").rpartition(" ")[2])
    n_used = int(as_number(row.get("n_used")) or 0)
    return {
        "patient_id": str(row.get("patient_id") or ""),
        "rule": str(row.get("rule") or "").replace("_", " "),
        "slides": f"{n_used} of {int(as_number(row.get('n_slides')) or 0)}",
        "sort_slides": n_used,
        "used": str(row.get("slides_used") or "").replace(";", ", "),
        "value": show_value(scale, value),
        "interval": between,
        "sort_value": "" if value is None else f"{value:.6g}",
        "chart": ""
        if value is None
        else draw_small_interval(value, low, high, cutoff, SCALE_RANGE[scale][1], between or show_value(scale, value)),
        "chance": show_chance(row.get("p_high")),
        "sort_chance": str(row.get("p_high") or ""),
        "call": show_call({**row, "status": "scored" if value is not None else "not_evaluable"}),
    }
