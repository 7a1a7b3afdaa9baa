from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slidescore.errors import InputError
from slidescore.monitor.batch_table import BatchRow, choose_baseline, natural, read_batches

FILES = {"a-1": "a.svs", "b-1": "b.svs", "c-1": "c.svs", "d-1": "d.svs"}


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], tuple[BatchRow, ...]]:
    def read_text(text: str) -> tuple[BatchRow, ...]:
        (tmp_path / "b.csv").write_text(text)
        return read_batches(tmp_path / "b.csv", FILES)

    return read_text


def test_batches_stand_in_the_order_of_their_names(read: Callable[[str], tuple[BatchRow, ...]]) -> None:
    rows = ["b.svs,run 2,", "d.svs,run 10,Control-Positive", "a.svs,run 2,sample", "c.svs,run 10,control_negative"]
    found = read("\n".join(["file,batch,role", *rows]) + "\n")
    assert [(row.slide_id, row.batch, row.role) for row in found] == [
        ("a-1", "run 2", "sample"), ("b-1", "run 2", "sample"), ("c-1", "run 10", "control_negative"),
        ("d-1", "run 10", "control_positive"),
    ]  # fmt: skip
    assert read("\n".join(["file,batch,role", *rows[::-1]]) + "\n") == found


def test_or_in_the_order_given(read: Callable[[str], tuple[BatchRow, ...]]) -> None:
    found = read("file;batch;order\na.svs;x;4\nb.svs;y;1\nc.svs;y;1\nd.svs;x;3.5\n")
    assert [(row.slide_id, row.batch) for row in found] == [("b-1", "y"), ("c-1", "y"), ("d-1", "x"), ("a-1", "x")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,batch\na.svs,\n", "row 2, column 'batch': is empty"),
        ("file,batch\nz.svs,x\n", "row 2, column 'file': no slide 'z.svs'"),
        ("file,batch\na.svs,x\na.svs,y\n", "row 3, column 'file': its slide is in row 2 already (one row each)"),
        ("slide_id,batch\na-1,x\na-1,x\n", "row 3, column 'slide_id': its slide is in row 2 already"),
        ("file,batch,role\na.svs,x,blank\n", "row 2, column 'role': 'blank' is none of control_positive, "),
        ("file,batch,order\na.svs,x,1\nb.svs,x,\n", "row 3, column 'order': is empty"),
        ("file,batch,order\na.svs,x,first\n", "row 2, column 'order': 'first' is not a number"),
        ("file,batch,order\na.svs,x,1\nb.svs,y,2\nc.svs,x,3\n", "row 4, column 'order': slides of another batch stand"),
        ("file,lot\na.svs,x\n", "row 1: unknown column 'lot'"),
        ("file\na.svs\n", "row 1: has no column 'batch'"),
        ("batch\nx\n", "b.csv: has no column that says which slide a row is about"),
    ],
)
def test_what_is_wrong_is_named_with_its_row_and_column(
    read: Callable[[str], tuple[BatchRow, ...]], text: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        read(text)
    assert message in str(error.value)
    assert "b.csv" in str(error.value)


def test_the_baseline() -> None:
    batches = [("a", 8), ("b", 11), ("c", 2), ("d", 30)]
    assert choose_baseline(batches) == {"a", "b", "c"}, "the first that together have 20 slides"
    assert choose_baseline(batches, names=("d", "a")) == {"a", "d"}
    assert choose_baseline(batches, n_batches=1) == {"a"}
    with pytest.raises(InputError, match=r"--baseline: no batch 'e' \(known: a, b, c, d\)"):
        choose_baseline(batches, names=("e",))
    with pytest.raises(InputError, match="--baseline-batches: there are only 4 batches"):
        choose_baseline(batches, n_batches=5)


def test_names_sort_as_people_sort_them() -> None:
    assert sorted(["b10", "b9", "a", "10", "9", "b"], key=natural) == ["a", "b", "b9", "b10", "9", "10"]
