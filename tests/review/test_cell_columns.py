"""Outlines read from the cell table: the same points in as few bytes as hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from report.made_cells import make_cells, square
from review.made_folder import star, write_cells
from slidescore.cells.table import replace_column, unpack_outlines
from slidescore.review.cell_columns import read_outlines


@pytest.mark.parametrize(("reach", "dtype"), [(100, np.int8), (2000, np.int16)])
def test_outlines_are_held_in_bytes_where_they_fit(tmp_path: Path, reach: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    # More than one batch; the only large one comes late, and some have no points at all.
    outlines = [square(3)] * 20_000
    outlines[5], outlines[19_000] = np.empty((0, 2), np.int16), star(rng, reach)
    table = make_cells([(9.0, 9.0)] * 20_000, [0.5] * 20_000, cell_outlines=outlines)
    nuclei = [None, *table.column("nucleus_outline").to_pylist()[1:]]
    table = replace_column(table, "nucleus_outline", pa.array(nuclei, pa.list_(pa.int16())))
    write_cells(tmp_path, table)
    for part in ("cell", "nucleus"):
        starts, points = unpack_outlines(table.column(f"{part}_outline"))
        read = read_outlines(tmp_path / "cells.parquet", part)
        assert np.array_equal(read.starts, starts)
        assert np.array_equal(read.points, points)
        assert read.reach_l0 == np.abs(points.astype(int)).max()
    assert read_outlines(tmp_path / "cells.parquet", "cell").points.dtype == dtype
