from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classical_assay import classical_assay
from report.made_cells import BIN_OD, make_cells, scattered_cells
from slidescore.cells.table import CELL_SCHEMA
from slidescore.report import export_csv as module
from slidescore.report.export_csv import CSV_COLUMNS, export_csv
from slidescore.scoring import score_cells

ASSAY = classical_assay()


def exported(cells: pa.Table, tmp_path: Path) -> list[dict[str, str]]:
    path = tmp_path / "cells.csv"
    export_csv(cells, ASSAY, path)
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_the_columns_are_those_of_the_cell_table_without_outlines_then_class_and_bin() -> None:
    expected = [field.name for field in CELL_SCHEMA if not field.name.endswith("_outline")]
    assert [*expected, "class", "bin"] == list(CSV_COLUMNS)


def test_values_classes_and_bins(tmp_path: Path) -> None:
    cells = make_cells(
        [(10.5, 20.25), (1, 2), (3, 4), (5, 6)],
        BIN_OD,
        tumor=[0.9, 0.9, 0.0, None],
        excluded=[None, "out of focus", None, None],
        region=["Core A1", 'say "é", twice', None, None],
    )
    rows = exported(cells, tmp_path)
    assert [row["class"] for row in rows] == ["Tumor", "Tumor", "Other", "Tumor"]
    assert [row["bin"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[0]["x"] == "10.5"
    assert rows[0]["y"] == "20.25"
    assert rows[3]["dab_od_cytoplasm"] == "0.9"
    assert rows[3]["tumor_probability"] == rows[3]["region"] == rows[3]["excluded"] == ""
    assert rows[1]["excluded"] == "out of focus"
    assert rows[1]["region"] == 'say "é", twice'


def test_a_cell_without_any_dab_has_no_bin(tmp_path: Path) -> None:
    assert exported(make_cells([(1, 1)], [None]), tmp_path)[0]["bin"] == ""


def test_bins_add_up_to_the_slides_counts(tmp_path: Path) -> None:
    cells = scattered_cells(500, 1000, 1000)
    rows = exported(cells, tmp_path)
    counts = score_cells(cells, ASSAY).counts
    found = [sum(row["bin"] == str(number) for row in rows) for number in range(4)]
    assert found == [counts.n0, counts.n1, counts.n2, counts.n3]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-2, 4, width=32, allow_nan=False), min_size=1, max_size=20))
def test_numbers_come_back_to_six_digits(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    cells = make_cells([(1, 1)] * len(values), values)
    rows = exported(cells, tmp_path_factory.mktemp("csv"))
    for value, row in zip(values, rows, strict=True):
        assert float(row["dab_od_cell"]) == pytest.approx(np.float32(value), rel=5e-6)
        assert len(row["dab_od_cell"].split("e")[0].replace("-", "").replace(".", "").lstrip("0")) <= 6


def test_gzip_and_chunks_change_nothing_but_the_packing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = scattered_cells(100, 1000, 1000)
    export_csv(cells, ASSAY, tmp_path / "whole.csv")
    monkeypatch.setattr(module, "CHUNK_CELLS", 7)
    for name in ("a.csv.gz", "b.csv.gz"):
        export_csv(cells, ASSAY, tmp_path / name, gzip=True)
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert b"a.csv" not in (tmp_path / "a.csv.gz").read_bytes()[:40]


def test_no_cells_give_a_header(tmp_path: Path) -> None:
    export_csv(make_cells([], []), ASSAY, tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text() == ",".join(CSV_COLUMNS) + "\n"
