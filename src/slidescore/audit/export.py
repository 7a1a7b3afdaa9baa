"""Reviews as other programs take them: a table of acts, QuPath objects, training labels, blind readings.

Coordinates are level-0 px, origin at the outer corner of the first pixel. Everything follows from the log and the
results; times are those of the acts.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from shapely.geometry import mapping

from slidescore.assay.left_of_wall import Annotations
from slidescore.audit.events import Event, canonical_json
from slidescore.audit.requests import MIN_CORNERS
from slidescore.audit.reviewed import ReviewSubject
from slidescore.audit.runs import count_runs
from slidescore.audit.state import ReviewRegion, SlideReview
from slidescore.cells.table import floats, unpack_outlines
from slidescore.qc.overlay import HATCH_COLOUR, ROI_COLOUR
from slidescore.report.export_geojson import CELL_NAMESPACE, IGNORE_CLASS, cell_class, cell_polygons, cell_uuid
from slidescore.report.spreadsheet import as_text
from slidescore.scoring.bins import N_BINS

EVENT_COLUMNS: Final = (
    "seq", "utc", "reviewer", "slide_id", "file", "kind", "n_cells", "cells", "set", "old", "h_score", "call",
    "reason", "active", "applies", "digest",
)  # fmt: skip
"""Columns of the table of acts."""
LABEL_COLUMNS: Final = ("slide_id", "x", "y", "class")
"""Columns of the table of labels, as `slidescore.training.labels.read_labels` takes them."""
READING_COLUMNS: Final = (
    "slide_id", "file", "reader", "h_score", "percent_positive", "p0", "p1", "p2", "p3", "intensity", "note",
    "utc",
)  # fmt: skip
"""Columns of the table of readings."""
CLASSES: Final = ("Other", "Tumor")
"""Class of a label by tumor state, 0 and 1."""
REGION_CLASSES: Final = {"include": ("Include", ROI_COLOUR), "exclude": ("Exclude", HATCH_COLOUR)}
"""Class of a region by role, unless the assay has other names for the role, and its colour (R, G, B)."""
ELSEWHERE: Final = frozenset({"cells", "n_cells", "old", "reason", "reviewed"})
"""Parts of a payload that are no part of what was set."""

Row = dict[str, Any]


def event_rows(events: Sequence[Event], reviews: Mapping[str, SlideReview], files: Mapping[str, str]) -> Iterator[Row]:
    """Yield the row of each event.

    Parameters
    ----------
    events
        In order.
    reviews
        Their fold by slide_id; a slide without a result has none, and its events do not apply.
    files
        The slides' file names by slide_id.
    """
    told = {line["seq"]: line for review in reviews.values() for line in review.history}
    for event in events:
        payload, line = event.payload, told.get(event.seq)
        signed = payload.get("reviewed") or {}
        cells = payload.get("cells")
        old = payload.get("old")
        yield {
            "seq": event.seq,
            "utc": event.utc,
            "reviewer": as_text(event.reviewer),
            "slide_id": event.slide_id,
            "file": as_text(files.get(event.slide_id)),
            "kind": event.kind,
            "n_cells": count_runs(cells) if cells else payload.get("n_cells"),
            "cells": cells,
            "set": canonical_json(
                payload["set"] if cells else {name: payload[name] for name in payload if name not in ELSEWHERE}
            ),
            "old": old if old is None or isinstance(old, str) else canonical_json(old),
            "h_score": signed.get("h_score"),
            "call": signed.get("call"),
            "reason": as_text(payload["reason"] or None),
            "active": None if line is None else _yes_no(line["active"]),
            "applies": _yes_no(line is not None and line["applies"]),
            "digest": event.digest,
        }


def _yes_no(said: bool) -> str:
    return "yes" if said else "no"


def reading_rows(events: Sequence[Event], files: Mapping[str, str]) -> Iterator[Row]:
    """Yield the row of each blind reading, whatever result the slide had then: a reader looked at the slide."""
    for event in events:
        if event.kind == "reading":
            row: Row = {name: event.payload.get(name) for name in ("h_score", "percent_positive", "intensity")}
            bins = event.payload.get("bins", [None] * N_BINS)
            row |= {f"p{number}": share for number, share in enumerate(bins)}
            file, reader = as_text(files.get(event.slide_id)), as_text(event.reviewer)
            names = {"slide_id": event.slide_id, "file": file, "reader": reader}
            yield names | row | {"note": as_text(event.payload.get("text")), "utc": event.utc}


def label_rows(subject: ReviewSubject, review: SlideReview) -> Iterator[Row]:
    """Yield a label for each cell whose tumor state a reviewer set."""
    tumor = review.corrections.tumor
    rows = np.flatnonzero(tumor >= 0)
    points = _points_inside(subject.cells.take(pa.array(rows)))
    for row, (x, y) in zip(rows.tolist(), points.tolist(), strict=True):
        yield {"slide_id": subject.slide_id, "x": x, "y": y, "class": CLASSES[int(tumor[row])]}


def _points_inside(cells: pa.Table) -> NDArray[np.float64]:
    """Return a point in the nucleus of each cell, float64 (N, 2): its centroid, unless a bent one leaves that out.

    A label means the cell whose nucleus holds it, so the centroid of a crescent could label its neighbour.
    """
    points = np.stack([floats(cells, "x"), floats(cells, "y")], axis=1).astype(np.float64)
    starts, outline = unpack_outlines(cells.column("nucleus_outline"))
    for row, center in enumerate(points):
        ring = outline[starts[row] : starts[row + 1]]
        if len(ring) < MIN_CORNERS:
            continue
        nucleus = shapely.make_valid(shapely.Polygon(center + ring))
        if nucleus.area > 0 and not shapely.contains_xy(nucleus, *center):
            points[row] = shapely.get_coordinates(shapely.point_on_surface(nucleus))[0]
    return points


def review_features(subject: ReviewSubject, review: SlideReview, roles: Annotations) -> Iterator[dict[str, Any]]:
    """Yield the regions in force as annotations, and the cells whose bin or tumor state was set as detections."""
    for region in review.regions:
        yield _region_feature(subject.slide_id, region, roles)
    yield from _cell_features(subject, review)


def _cell_features(subject: ReviewSubject, review: SlideReview) -> Iterator[dict[str, Any]]:
    said = review.corrections
    rows = np.flatnonzero((said.bins >= 0) | (said.tumor >= 0))
    bins = np.where(said.bins >= 0, said.bins, subject.bins)
    tumor = np.where(said.tumor >= 0, said.tumor, subject.tumor)
    counted = np.where(said.counted >= 0, said.counted == 1, subject.places.counted) & ~subject.places.control
    polygons = cell_polygons(subject.cells.take(pa.array(rows)))
    for row, polygon in zip(rows.tolist(), polygons, strict=True):
        yield {
            "type": "Feature",
            "id": cell_uuid(subject.slide_id, row),
            "geometry": polygon,
            "properties": {
                "objectType": "detection",
                "classification": cell_class(bool(tumor[row]), int(bins[row])) if counted[row] else IGNORE_CLASS,
                "measurements": {
                    "Automatic: bin": int(subject.bins[row]),
                    "Automatic: tumor": int(subject.tumor[row]),
                    "Reviewed: bin": int(bins[row]),
                    "Reviewed: tumor": int(tumor[row]),
                },
                "metadata": {"cell_id": str(row)},
            },
        }


def _region_feature(slide_id: str, region: ReviewRegion, roles: Annotations) -> dict[str, Any]:
    # It may cross itself; what is written holds the same places by any rule.
    geometry = shapely.make_valid(shapely.Polygon(region.polygon))
    parts = shapely.get_parts(shapely.get_parts(geometry))
    areas = [part for part in parts.tolist() if part.geom_type == "Polygon"]
    known = getattr(roles, region.role)
    usual, colour = REGION_CLASSES[region.role]
    name = usual if usual in known or not known else known[0]
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(CELL_NAMESPACE, f"{slide_id}/review/{region.seq}")),
        "geometry": mapping(areas[0] if len(areas) == 1 else shapely.MultiPolygon(areas)),
        "properties": {
            "objectType": "annotation",
            "classification": {"names": [name], "color": list(colour)},
            "metadata": {"review": str(region.seq), "reviewer": region.reviewer, "reason": region.reason},
        },
    }
