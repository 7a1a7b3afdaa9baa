"""The cell table as CSV, with the class and bin that an assay gives each cell; outlines are left out.

The bytes depend on the table and the assay alone: no clock, no locale, and a gzip header without time or name.
"""

from __future__ import annotations

import csv
import gzip as gzip_module
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.cells.table import CELL_SCHEMA, OUTLINE, floats
from slidescore.scoring import cell_bins, tumor_cells

CSV_COLUMNS: Final[tuple[str, ...]] = (
    *(field.name for field in CELL_SCHEMA if field.type != OUTLINE),
    "class",
    "bin",
)
"""Columns of the CSV, in order: those of cells.parquet without outlines, then class (Tumor, Other) and bin (0 to 3)."""

CHUNK_CELLS: Final = 20_000
"""Cells that are formatted at once; bounds memory, changes no byte."""


def export_csv(cells: pa.Table, assay: Assay, path: Path, *, gzip: bool = False) -> None:
    """Write a cell table as CSV (UTF-8, LF); numbers with at most 6 significant digits, null as an empty field.

    Parameters
    ----------
    cells
        Rows of `slidescore.cells.table.CELL_SCHEMA`.
    assay
        Gives class and bin. A cell without any DAB measurement has no bin.
    path
        File to write.
    gzip
        Whether to compress it.
    """
    with open_output(path, gzip=gzip) as stream, io.TextIOWrapper(stream, "utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for start in range(0, cells.num_rows, CHUNK_CELLS):
            chunk = cells.slice(start, CHUNK_CELLS)
            columns = [_format(chunk, field) for field in CELL_SCHEMA if field.type != OUTLINE]
            tumor, bins = classify(chunk, assay)
            columns.append(["Tumor" if is_tumor else "Other" for is_tumor in tumor.tolist()])
            columns.append(["" if number < 0 else str(number) for number in bins.tolist()])
            writer.writerows(zip(*columns, strict=True))


def classify(cells: pa.Table, assay: Assay) -> tuple[NDArray[np.bool_], NDArray[np.int8]]:
    """Return which cells are tumor cells, bool (N,), and every cell's bin, int8 (N,), -1 where no DAB is measured."""
    compartment = assay.score.compartment
    bins, _ = cell_bins(cells, assay, compartment)
    unmeasured = np.isnan(floats(cells, f"dab_od_{compartment}")) & np.isnan(floats(cells, "dab_od_cell"))
    return tumor_cells(cells, assay), np.where(unmeasured, -1, bins).astype(np.int8)


@contextmanager
def open_output(path: Path, *, gzip: bool) -> Iterator[BinaryIO]:
    """Open a file for writing, compressed or not; a gzip header holds neither time nor file name."""
    with path.open("wb") as raw:
        if not gzip:
            yield raw
            return
        with gzip_module.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed:
            yield packed  # type: ignore[misc]  # a GzipFile is a binary stream in all but name


def _format(cells: pa.Table, field: pa.Field) -> list[str]:
    values = cells.column(field.name).to_pylist()
    if pa.types.is_floating(field.type):
        return ["" if value is None else f"{value:.6g}" for value in values]
    return ["" if value is None else str(value) for value in values]
