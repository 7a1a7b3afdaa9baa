"""Writing what people and programs read: tables, overlay, pictures and pages of a slide and of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slidescore.annotations import AnnotationSet
from slidescore.cohort.roll_up import PatientScore
from slidescore.pipeline.judge import SlideResult
from slidescore.qc.artifacts import excluded_boxes
from slidescore.qc.cell_drawing import prepare_cells
from slidescore.report.cohort_page import render_cohort_page
from slidescore.report.files import read_json, write_bytes, write_parquet, written_whole
from slidescore.report.gallery import GalleryCell, read_gallery
from slidescore.report.overlay_pyramid import small_jpeg, write_overlay, write_thumbnail
from slidescore.report.run_folder import RunFolder
from slidescore.report.slide_page import render_slide_page
from slidescore.slide import SlideReader

TABLES = ("cells.parquet", "tiles.parquet")
"""What a slide's measurements are; every score follows from them."""


def write_slide_tables(folder: Path, result: SlideResult) -> None:
    """Write cells.parquet and tiles.parquet."""
    for name, table in zip(TABLES, (result.cells, result.tiles), strict=True):
        write_parquet(folder / name, table)


def write_slide_pictures(
    folder: Path,
    result: SlideResult,
    reader: SlideReader | None,
    annotations: AnnotationSet,
    *,
    overlay_mpp: float | None,
    threads: int = 1,
) -> None:
    """Write a slide's pictures and page.

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
    thumbnail: bytes | None = None
    gallery: tuple[GalleryCell, ...] = ()
    if reader is not None:
        mpp = result.record["slide"]["mpp"]
        _draw(folder, result, reader, annotations, overlay_mpp, threads)
        thumbnail = (folder / "thumbnail.png").read_bytes()
        gallery = read_gallery(reader, mpp, result.judged, result.assay)
    page = render_slide_page(result.record, result.judged, result.tiles, result.assay, thumbnail, gallery)
    write_bytes(folder / "report.html", page.encode("utf-8"))


def _draw(
    folder: Path,
    result: SlideResult,
    reader: SlideReader,
    annotations: AnnotationSet,
    overlay_mpp: float | None,
    threads: int,
) -> None:
    drawing, mpp = prepare_cells(result.judged, result.assay), result.record["slide"]["mpp"]
    analysis = result.record["analysis"]
    side_l0 = analysis["square_px"] * analysis["mpp"] / mpp
    hatched = [area.geometry for area in annotations.of("exclude", "control")]
    hatched += excluded_boxes(result.tiles, side_l0, analysis["square_columns"])
    outlined = [area.geometry for area in annotations.limits]
    if overlay_mpp is not None:
        with written_whole(folder / "overlay.tiff") as path:
            write_overlay(path, reader, mpp, overlay_mpp, drawing, hatched, outlined, threads=threads)
    with written_whole(folder / "thumbnail.png") as path:
        write_thumbnail(path, reader, mpp, drawing, hatched, outlined, threads=threads)


def write_cohort_page(
    folder: RunFolder, rows: Sequence[Mapping[str, Any]], patients: Sequence[PatientScore] = ()
) -> None:
    """Write report.html of a run, with its patients where it has some."""
    thumbnails = {}
    for row in rows:
        picture = folder.slide(row["slide_id"]).path / "thumbnail.png"
        if row["status"] != "failed" and picture.is_file():
            thumbnails[row["slide_id"]] = small_jpeg(picture.read_bytes())
    shown = [patient.row() for patient in patients] or None
    page = render_cohort_page(read_json(folder.run_json), rows, thumbnails, shown)
    write_bytes(folder.path / "report.html", page.encode("utf-8"))
