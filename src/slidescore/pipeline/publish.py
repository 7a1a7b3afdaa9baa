"""Writing what people and programs read: tables, overlay, pictures and pages of a slide and of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slidescore.annotations import AnnotationSet
from slidescore.pipeline.judge import SlideResult
from slidescore.report.files import write_parquet
from slidescore.report.run_folder import RunFolder
from slidescore.slide import SlideReader


def write_slide_files(
    folder: Path, result: SlideResult, reader: SlideReader | None, annotations: AnnotationSet, *, overlay_mpp: float | None
) -> None:
    """Write a slide's tables, pictures and page."""
    write_parquet(folder / "cells.parquet", result.cells)
    write_parquet(folder / "tiles.parquet", result.tiles)


def write_cohort_page(folder: RunFolder, rows: list[dict[str, Any]]) -> None:
    """Write report.html of a run."""
