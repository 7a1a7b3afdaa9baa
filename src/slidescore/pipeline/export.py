"""The story of an export: the cells of a run, written for another program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from slidescore.assay import Assay
from slidescore.cells import CELL_SCHEMA
from slidescore.errors import RunFolderError, UnknownNameError, nearest_names
from slidescore.report.digests import refuse_changed
from slidescore.report.export_csv import export_csv
from slidescore.report.export_geojson import export_geojson
from slidescore.report.files import read_parquet, written_whole
from slidescore.report.run_folder import RunFolder, list_results
from slidescore.scoring.tumor_model import judged_cells

Writer = Callable[[pa.Table, Assay, Path, str, bool], None]

WRITERS: dict[str, tuple[str, Writer]] = {
    "csv": ("csv", lambda cells, assay, path, slide_id, gzip: export_csv(cells, assay, path, gzip=gzip)),
    "geojson": (
        "geojson",
        lambda cells, assay, path, slide_id, gzip: export_geojson(cells, assay, path, slide_id=slide_id, gzip=gzip),
    ),
}
"""Exporters by name: file suffix and function. To add one, add its line here."""


def export_run(run: Path, kind: str, out: Path, *, only: Sequence[str] = (), compress: bool = False) -> Iterator[Path]:
    """Write one file a slide and yield its path.

    Parameters
    ----------
    run
        A run folder.
    kind
        A key of `WRITERS`.
    out
        Folder to write to, made if need be.
    only
        slide_ids or files; all slides when empty.
    compress
        Whether to gzip.

    Raises
    ------
    UnknownNameError
        If `kind` or one of `only` is unknown.
    RunFolderError
        If the run cannot be read, a slide's cells were changed since they were written, or the folder cannot be
        written to.
    """
    if kind not in WRITERS:
        raise UnknownNameError(f"no such export; {nearest_names(kind, WRITERS)}", where=f"--to {kind}")
    folder = RunFolder(run)
    assay = folder.read_assay()
    results = _chosen(list_results(folder), only)
    if not results:
        raise RunFolderError("holds no finished slide", where=str(run))
    for record in results:
        refuse_changed(folder.slide(record["slide_id"]).path, ("cells.parquet",))
        yield export_slide(folder, record, assay, kind, out, compress=compress)


def export_slide(
    folder: RunFolder, record: Mapping[str, Any], assay: Assay, kind: str, out: Path, *, compress: bool
) -> Path:
    """Write the cells of one slide; arguments as in `export_run`, and the slide's result.json."""
    slide_id = record["slide_id"]
    suffix, write = WRITERS[kind]
    measured = read_parquet(folder.slide(slide_id).path / "cells.parquet", CELL_SCHEMA)
    cells = judged_cells(measured, assay, record["slide"]["mpp"])
    path: Path = out / f"{slide_id}.{suffix}{'.gz' if compress else ''}"
    with written_whole(path) as temporary:
        write(cells, assay, temporary, slide_id, compress)
    return path


def _chosen(results: list[dict[str, Any]], only: Sequence[str]) -> list[dict[str, Any]]:
    if not only:
        return results
    known = {name for record in results for name in (record["slide_id"], record["file"])}
    for name in only:
        if name not in known:
            raise UnknownNameError(f"no such slide in the run; {nearest_names(name, known)}", where=f"--slide {name}")
    return [record for record in results if record["slide_id"] in only or record["file"] in only]
