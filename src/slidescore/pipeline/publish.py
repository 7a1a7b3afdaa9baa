"""Writing what people and programs read: tables, overlay, pictures and pages of a slide and of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slidescore.annotations import AnnotationSet
from slidescore.pipeline.judge import SlideResult
from slidescore.qc.cell_drawing import prepare_cells
from slidescore.report.files import write_parquet
from slidescore.report.overlay_pyramid import write_overlay, write_thumbnail
from slidescore.report.run_folder import RunFolder
from slidescore.slide import SlideReader


def write_slide_files(
    folder: Path,
    result: SlideResult,
    reader: SlideReader | None,
    annotations: AnnotationSet,
    *,
    overlay_mpp: float | None,
    threads: int = 1,
) -> None:
    """Write a slide's tables, pictures and page.

    Parameters
    ----------
    folder
        Where to write.
    result
        The slide's result.
    reader
        The slide, or None when it cannot be reached: then no picture is drawn.
    annotations
        Areas drawn on the slide.
    overlay_mpp
        Resolution of overlay.tiff; None writes none.
    threads
        Tiles drawn at once.
    """
    write_parquet(folder / "cells.parquet", result.cells)
    write_parquet(folder / "tiles.parquet", result.tiles)
    if reader is None:
        return
    drawing = prepare_cells(result.cells, result.assay)
    mpp = result.record["slide"]["mpp"]
    hatched = [area.geometry for area in annotations.of("exclude", "control")]
    outlined = [area.geometry for area in annotations.limits]
    if overlay_mpp is not None:
        write_overlay(folder / "overlay.tiff", reader, mpp, overlay_mpp, drawing, hatched, outlined, threads=threads)
    write_thumbnail(folder / "thumbnail.png", reader, mpp, drawing, hatched, outlined, threads=threads)


def write_cohort_page(folder: RunFolder, rows: list[dict[str, Any]]) -> None:
    """Write report.html of a run."""
