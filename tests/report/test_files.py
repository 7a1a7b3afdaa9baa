"""A file is there whole or not at all, and the same content gives the same bytes."""

from __future__ import annotations

import csv
import hashlib
import io
import os

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.cells import CELL_SCHEMA
from slidescore.errors import RunFolderError, SlideOpenError
from slidescore.report.files import (
    read_json,
    read_parquet,
    sha256_of,
    write_bytes,
    write_csv,
    write_json,
    write_parquet,
    written_whole,
)


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "er" / "table.csv"
    with written_whole(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail_halfway() -> None:
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_who_reads_the_old_file_goes_on_reading_it(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with path.open() as reader:
        write_bytes(path, b"new and longer")
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"


def test_what_the_disk_says_is_one_line_with_the_place(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "table.csv"
    with pytest.raises(RunFolderError) as caught:
        write_bytes(path, b"x")
    assert str(caught.value).startswith(f"{path}: cannot be written: ")
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_named(tmp_path):
    with pytest.raises(RunFolderError, match="No space left"), written_whole(tmp_path / "overlay.tiff"):
        raise OSError(28, os.strerror(28))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [SlideOpenError, RunFolderError])
def test_an_error_of_ours_passes_as_it_is(tmp_path, kind):
    """A slide that cannot be read while its overlay is written is not a folder that cannot be written."""
    error = kind("tile 7 is damaged", where="a.svs", remedy="copy it again")
    with pytest.raises(kind) as caught, written_whole(tmp_path / "overlay.tiff"):
        raise error
    assert caught.value is error


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc é", max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text("abcdé ", max_size=5), json_values, max_size=4))
def test_json_reads_back_as_it_was_written(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "record.json"
    write_json(path, content)
    assert read_json(path) == content
    assert list(read_json(path)) == list(content)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"5", b"\xff\xfe"])
def test_damaged_json_is_refused(tmp_path, content):
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"result\.json"):
        read_json(path)


def test_missing_json_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_json(tmp_path / "none.json")


def test_a_table_reads_back_and_gives_the_same_bytes_twice(tmp_path, make_cells):
    cells = make_cells([0.1, None, 0.3], region=["A", None, "é"], excluded=[None, "blur", None])
    one, other = tmp_path / "1.parquet", tmp_path / "2.parquet"
    write_parquet(one, cells)
    # The same rows in other chunks, with metadata that pandas would add.
    parts = pa.concat_tables([cells.slice(0, 2), cells.slice(2)]).combine_chunks()
    write_parquet(other, parts.replace_schema_metadata({"pandas": "{}"}))
    assert one.read_bytes() == other.read_bytes()
    assert read_parquet(one, CELL_SCHEMA).equals(cells)


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "columns"])
def test_a_damaged_table_is_refused(tmp_path, make_cells, damage):
    path = tmp_path / "cells.parquet"
    if damage != "missing":
        cells = make_cells([0.1, 0.2])
        write_parquet(path, cells.drop_columns(["tile"]) if damage == "columns" else cells)
    if damage == "text":
        path.write_text("not a table")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RunFolderError, match=r"cells\.parquet"):
        read_parquet(path, CELL_SCHEMA)


def rows_of(path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def test_columns_keep_their_order_and_unknown_is_empty_never_zero(tmp_path):
    path = tmp_path / "scores.csv"
    write_csv(path, ("a", "b", "c"), [{"c": 1, "a": None, "b": 0, "extra": 9}, {"b": 0.0}])
    assert rows_of(path) == [["a", "b", "c"], ["", "0", "1"], ["", "0", ""]]


@given(st.floats(1e-6, 1e6))
def test_numbers_have_seven_digits(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "one.csv"
    write_csv(path, ("value",), [{"value": value}])
    [[_], [text]] = rows_of(path)
    assert float(text) == pytest.approx(value, rel=6e-7)
    assert len(text.lower().split("e")[0].replace(".", "").lstrip("0")) <= 7


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.integers()), max_size=5))
def test_any_text_survives_csv(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    write_csv(path, ("file", "n"), [{"file": file, "n": n} for file, n in rows])
    assert rows_of(path)[1:] == [[file, str(n)] for file, n in rows]


def test_csv_has_unix_line_ends_and_is_the_same_for_numpys_floats(tmp_path):
    one, other = tmp_path / "1.csv", tmp_path / "2.csv"
    write_csv(one, ("a",), [{"a": 0.25}, {"a": 150.0}])
    write_csv(other, ("a",), [{"a": np.float64(0.25)}, {"a": np.float64(150.0)}])
    assert one.read_bytes() == other.read_bytes() == b"a\n0.25\n150\n"


@given(st.binary(max_size=300))
def test_the_digest_is_that_of_the_bytes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()
