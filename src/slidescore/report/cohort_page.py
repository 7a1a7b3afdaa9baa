"""report.html of a run: every slide on one page, the ones that need an eye first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from slidescore.assay import Assay, parse_assay
from slidescore.assay.model import SCALE_RANGE
from slidescore.report.charts import Tick, draw_small_bin_bar, draw_small_interval, draw_strip
from slidescore.report.page import (
    SCALE_WORDS,
    as_number,
    data_uri,
    render_page,
    show_call,
    show_chance,
    show_cutoff,
    show_interval,
    show_number,
    show_value,
)
from slidescore.report.patient_rows import show_patient
from slidescore.report.score_tables import cutoff_words
from slidescore.scoring import BIN_NAMES
from slidescore.scoring.schemes import SCHEMES

Row = Mapping[str, Any]

_QC_ORDER: Final = {"fail": 0, "warn": 1}
_STATUS_WORDS: Final = {"scored": "scored", "not_evaluable": "not evaluable", "failed": "failed"}
_UNDECIDED: Final = 0.5
"""Probability of HIGH that says nothing."""
_TITLES: Final[dict[str, str]] = {
    **{name: scheme.title for name, scheme in SCHEMES.items()},
    "percent_positive": "Percent positive cells",
}
"""Of the axis on which slides are drawn, by scale."""
_HEADS: Final = {"percent_positive": "positive", "irs": "IRS", "allred": "Allred", "pixel_h_score": "pixel H-score"}
"""Of the column that stands beside the H-score, by the scale of the cut-off."""
_UNREVIEWED: Final = "unreviewed"
"""State of a slide that nobody reviewed, see `slidescore.audit.state`."""


@dataclass(frozen=True, slots=True)
class _CutoffText:
    """A cut-off as the tables state it, for example `h_score cytoplasm >= 150`."""

    scale: str
    compartment: str
    value: float
    text: str


def render_cohort_page(
    run: Mapping[str, Any],
    rows: Sequence[Row],
    thumbnails: Mapping[str, bytes],
    patients: Sequence[Row] | None = None,
) -> str:
    """Render the page of a run.

    Parameters
    ----------
    run
        Content of run.json.
    rows
        Rows of scores.csv; values may be numbers or the text of the table. Where they hold the reviewed columns
        (`slidescore.audit.reviewed`), the reviewed score stands next to the automatic one.
    thumbnails
        Small JPEG pictures by slide_id, see `slidescore.report.overlay_pyramid.small_jpeg`; may be incomplete.
    patients
        Rows of patients.csv, in the same way; None for a run without patients.

    Returns
    -------
    str
        A whole HTML page that needs no other file, and links to the slides' own pages beside it.
    """
    assay = _assay_of(run)
    cutoff = _common_cutoff(rows)
    scale = cutoff.scale if cutoff else assay.score.scheme if assay else "h_score"
    compartment = cutoff.compartment if cutoff else assay.score.compartment if assay else "the assay's compartment"
    status = next((word for row in rows if (word := show_call(row)["status"])), "")
    said = cutoff_words(assay.call.cutoff if assay else None)
    ticks = _ticks(rows, scale)
    return render_page(
        "cohort.html",
        script="cohort.js",
        assay_name=run["assay"]["name"],
        status=status,
        cutoff=said,
        no_cutoff=assay is not None and assay.call.cutoff is None,
        summary=summarize_rows(rows),
        shortfall=_shortfall(rows),
        reviewed=_reviewed(rows),
        axis=f"{_TITLES[scale]}, {compartment}",
        strip=draw_strip(
            ticks,
            cutoff.value if cutoff else None,
            show_cutoff(f"cut-off {cutoff.text}{f' ({status.lower()})' if status else ''}") if cutoff else "",
            SCALE_WORDS[scale],
            _end(scale),
        ),
        n_scored=len(ticks),
        scale=scale,
        own_head="" if scale == "h_score" else _HEADS[scale],
        show_value=show_value,
        rows=[_show_row(row, thumbnails, scale) for row in sort_worst_first(rows)],
        patients=[show_patient(row) for row in patients or []],
        provenance=_provenance(run, rows, said["source"]),
        version=(run.get("versions") or {}).get("slidescore", ""),
    )


def _assay_of(run: Mapping[str, Any]) -> Assay | None:
    """Return what the run was scored under, where run.json tells."""
    text = str(run["assay"].get("text") or "")
    return parse_assay(text, where="run.json") if text else None


def sort_worst_first(rows: Sequence[Row]) -> list[Row]:
    """Sort rows of scores.csv by how much they need an eye.

    Failed, not evaluable, QC fail, then nearest their cut-off; of those alike the widest interval first, then the
    least certain call; ties by file.
    """

    def rank(row: Row) -> tuple[int, float, float, float, str]:
        if row.get("status") == "failed":
            group = 0
        elif row.get("call") == "NOT_EVALUABLE" or row.get("status") == "not_evaluable":
            group = 1
        else:
            group = 2 if row.get("qc") == "fail" else 3
        away = cutoff_distance(row)
        low, high = as_number(row.get("h_score_low")), as_number(row.get("h_score_high"))
        width = high - low if low is not None and high is not None else 0.0
        p_high = as_number(row.get("p_high"))
        certainty = abs(p_high - _UNDECIDED) if p_high is not None else _UNDECIDED
        return group, float("inf") if away is None else away, -width, certainty, str(row.get("file") or "")

    return sorted(rows, key=rank)


def cutoff_distance(row: Row) -> float | None:
    """Return how far a slide's score is from its cut-off, on the cut-off's scale; None without a score."""
    cutoff = _read_cutoff(row)
    value = as_number(row.get(cutoff.scale)) if cutoff else None
    return abs(value - cutoff.value) if cutoff and value is not None else None


def _read_cutoff(row: Row) -> _CutoffText | None:
    parts = str(row.get("cutoff") or "").split()
    try:
        scale, compartment, _, value = parts
        return _CutoffText(scale, compartment, float(value), " ".join(parts[2:]))
    except ValueError:
        return None


def _common_cutoff(rows: Sequence[Row]) -> _CutoffText | None:
    """Return the cut-off that all rows share, if they do."""
    found = {cutoff for row in rows if (cutoff := _read_cutoff(row))}
    return found.pop() if len(found) == 1 else None


def _end(scale: str) -> float:
    return SCALE_RANGE[scale][1]


def _ends(row: Row, scale: str) -> tuple[float | None, float | None]:
    """Return the interval of a row's score; the table has those of the H-score only."""
    return as_number(row.get(f"{scale}_low")), as_number(row.get(f"{scale}_high"))


def _ticks(rows: Sequence[Row], scale: str) -> list[Tick]:
    values = [(row, as_number(row.get(scale))) for row in rows]
    return [Tick(value, *_ends(row, scale), str(row.get("file") or "")) for row, value in values if value is not None]


def summarize_rows(rows: Sequence[Row]) -> str:
    """Say how many slides there are, what became of them and what they were called."""
    calls = Counter(str(row["call"]) for row in rows if row.get("status") == "scored" and row.get("call"))
    states = Counter(str(row.get("status") or "pending") for row in rows)
    known = [f"{states.pop(name)} {words}" for name, words in _STATUS_WORDS.items() if name in states]
    other = [f"{n} {name}" for name, n in sorted(states.items())]
    text = f"{show_number(len(rows))} slide{'' if len(rows) == 1 else 's'}: {', '.join(known + other) or 'none'}."
    if calls:
        text += f" Calls: {', '.join(f'{n} {name}' for name, n in sorted(calls.items()))}."
    return text


def _shortfall(rows: Sequence[Row]) -> str:
    levels = Counter(str(row.get("qc") or "") for row in rows)
    words = [f"{levels[level]} with QC {level}" for level in ("fail", "warn") if levels[level]]
    return f"{', '.join(words)}." if words else ""


def _reviewed(rows: Sequence[Row]) -> str:
    """Say what became of the slides in review; empty for a run without reviewed columns."""
    if not any("review_state" in row for row in rows):
        return ""
    states = Counter(str(row.get("review_state") or _UNREVIEWED) for row in rows)
    return f"Review: {', '.join(f'{n} {state}' for state, n in sorted(states.items()))}."


def _show_review(row: Row, field: str) -> dict[str, Any]:
    """Describe what a person made of a slide: score, state, the call where it is another one, by whom and why."""
    state = str(row.get("review_state") or _UNREVIEWED)
    if state == _UNREVIEWED:
        return {"state": state, "value": None, "sort": "", "call": "", "by": ""}
    call = str(row.get("reviewed_call") or "")
    reviewers = str(row.get("reviewers") or "").replace(";", ", ")
    reason = f": {row['review_reason']}" if row.get("review_reason") else ""
    return {
        "state": state,
        "value": row.get(f"reviewed_{field}"),
        "sort": _sort_value(row, f"reviewed_{field}"),
        "call": call.replace("_", " ") if call != row.get("call") else "",
        "by": f"{state} ({reviewers}){reason}",
    }


def _draw_score(row: Row, scale: str) -> Markup | str:
    """Draw the score that the call is made on, with its interval and cut-off; nothing without a score."""
    value, cutoff = as_number(row.get(scale)), _read_cutoff(row)
    if value is None:
        return ""
    low, high = _ends(row, scale)
    between = show_interval(scale, low, high)
    words = f"{_TITLES[scale]} {show_value(scale, value)}{f' ({between})' if between else ''}"
    return draw_small_interval(value, low, high, cutoff.value if cutoff else None, _end(scale), words)


def _show_row(row: Row, thumbnails: Mapping[str, bytes], scale: str) -> dict[str, Any]:
    slide_id = str(row.get("slide_id") or "")
    picture = thumbnails.get(slide_id)
    counts = [int(as_number(row.get(f"n{k}")) or 0) for k in range(len(BIN_NAMES))]
    # A failed slide has no folder to link to.
    linked = bool(slide_id) and row.get("status") in ("scored", "not_evaluable")
    qc = str(row.get("qc") or "")
    # That a slide is not evaluable its call says already.
    flags = [name for name in str(row.get("qc_flags") or "").split(";") if name and name != "not_evaluable"]
    return {
        "file": str(row.get("file") or ""),
        "patient_id": row.get("patient_id"),
        "link": f"slides/{quote(slide_id, safe='')}/report.html" if linked else "",
        "thumbnail": data_uri(picture, "image/jpeg") if picture else "",
        "h_score": row.get("h_score"),
        "interval": show_interval("h_score", *_ends(row, "h_score")),
        "own": show_value(scale, row.get(scale)),
        "chart": _draw_score(row, scale),
        "chance": show_chance(row.get("p_high")),
        "n_tumor_cells": row.get("n_tumor_cells"),
        "sort_h": _sort_value(row, "h_score"),
        "sort_own": _sort_value(row, scale),
        "sort_chance": _sort_value(row, "p_high"),
        "sort_cells": _sort_value(row, "n_tumor_cells"),
        "bar": draw_small_bin_bar(counts) if sum(counts) else "",
        "call": show_call(row),
        "qc": qc,
        "qc_order": _QC_ORDER.get(qc, len(_QC_ORDER)),
        "flags": ", ".join(name.replace("_", " ") for name in flags),
        "review": _show_review(row, scale),
    }


def _sort_value(row: Row, field: str) -> str:
    value = as_number(row.get(field))
    return "" if value is None else f"{value:.6g}"


def _integrity(run: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Say how far the pixels are known to be those that were scanned."""
    if not run.get("checksums"):
        return "integrity unverified: no manifest of checksums was given"
    scored = [row for row in rows if row.get("status") != "failed"]
    n_open = sum("not_in_manifest" in str(row.get("qc_flags") or "").split(";") for row in scored)
    unlisted = f"; integrity unverified of {n_open} that it does not list" if n_open else ""
    return f"{len(scored) - n_open} of {len(scored)} slides verified by SHA-256{unlisted}"


def _provenance(run: Mapping[str, Any], rows: Sequence[Row], cutoff_source: str) -> list[tuple[str, str]]:
    assay, model = run["assay"], run.get("model") or {}
    versions = run.get("versions") or {}
    return [
        ("Assay", f"{assay['name']}, digest {assay['digest']}"),
        *([("Cut-off", cutoff_source)] if cutoff_source else []),
        ("Segmenter", f"{model.get('name', '')}, {model.get('digest', '')}".strip(", ")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Created", str(run.get("created") or "")),
        ("Integrity", _integrity(run, rows)),
        *([("Names", "pseudonyms; only the key file leads back")] if run.get("pseudonymized") else []),
    ]
