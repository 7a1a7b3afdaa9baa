"""Reviewers at work on a run folder, without a browser: acts go the way they go in the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slidescore.audit.drafts import draft_event
from slidescore.audit.events import Event
from slidescore.audit.log import LOG_FILE, ReviewLog
from slidescore.audit.requests import parse_request
from slidescore.audit.reviewed import ReviewSubject, review_subject
from slidescore.cells import CELL_SCHEMA
from slidescore.pipeline.tile_table import TILE_SCHEMA
from slidescore.report.files import read_json, read_parquet
from slidescore.report.run_folder import RunFolder
from slidescore.scoring.tumor_model import judged_cells


def subject_of(run: Path, slide_id: str) -> ReviewSubject:
    folder = RunFolder(run)
    assay, slide = folder.read_assay(), folder.slide(slide_id)
    record = read_json(slide.result)
    cells = read_parquet(slide.path / "cells.parquet", CELL_SCHEMA)
    judged = judged_cells(cells, assay, record["slide"]["mpp"])
    return review_subject(record, judged, read_parquet(slide.path / "tiles.parquet", TILE_SCHEMA), assay)


def act(
    run: Path, slide_id: str, kind: str, *, reviewer: str = "A. Reader", reason: str = "as seen", **content: Any
) -> Event:
    """Store one act on the slide's result as it is now."""
    subject = subject_of(run, slide_id)
    said = {"kind": kind, "reviewer": reviewer, "reason": reason, "result_digest": subject.result_digest, **content}
    request = parse_request(said)
    return ReviewLog(run / LOG_FILE).append(lambda events: draft_event(request, events, subject))
