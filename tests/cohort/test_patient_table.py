"""The slide-to-patient table: what it may say, and that every mistake in it names file, row and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.cohort.patient_table import (
    PatientRow,
    PatientTable,
    match_patients,
    open_patient_table,
    patients_from_json,
    unlisted_slides,
)
from slidescore.errors import InputError, RunFolderError

SLIDES = {"a-1": "x/a.svs", "b-2": "x/b.svs", "c-3": "y/c.svs"}
PRINTS = {"a-1": "1" * 8, "b-2": "2" * 8, "c-3": "3" * 8}


def read(tmp_path: Path, text: str, *, shown: bool = True, prints: dict[str, str] | None = None) -> PatientTable:
    path = tmp_path / "patients.csv"
    path.write_text(text)
    return match_patients(open_patient_table(path), SLIDES, PRINTS if prints is None else prints, shown=shown)


def error_of(tmp_path: Path, text: str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, **options)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "patients.csv"))
    assert "\n" not in message
    return message.removeprefix(str(tmp_path / "patients.csv")).removeprefix(", ")


def test_every_column_is_read_and_rows_are_sorted_by_slide(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        "file;patient_id;block;time_point;site;use\ny/c.svs;P2;B1;2024-03-09;Metastasis;no\na.svs;P1;;;primary;\n",
    )
    assert table.rows == (
        PatientRow("a-1", "P1", "", None, "primary", True),
        PatientRow("c-3", "P2", "B1", "2024-03-09", "metastasis", False),
    )
    assert table.patient_of == {"a-1": "P1", "c-3": "P2"}


def test_only_a_patient_and_a_slide_are_needed(tmp_path: Path) -> None:
    table = read(tmp_path, "slide_id,patient_id\nb-2,7\n")
    assert table.rows == (PatientRow("b-2", "7", "", None, "", True),)
    assert unlisted_slides(table, SLIDES) == (
        "2 slides have no row in the patient table and no patient: x/a.svs, y/c.svs",
    )


def test_time_points_may_be_whole_numbers(tmp_path: Path) -> None:
    table = read(tmp_path, "file,patient_id,time_point\na.svs,P,-1\nb.svs,P,12\n")
    assert [row.time_point for row in table.rows] == [-1, 12]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient_id\nP1\n", "has no column that says which slide a row is about"),
        ("file\na.svs\n", "row 1: has no column 'patient_id' (it has: file)"),
        ("file,patient_id,siet\na.svs,P,primary\n", "row 1: unknown column 'siet' (did you mean 'site'?)"),
        ("file,patient_id\na.svs,P\nd.svs,P\n", "row 3, column 'file': no slide 'd.svs' (did you mean"),
        ("slide_id,patient_id\na-7,P\n", "row 2, column 'slide_id': no slide 'a-7' (did you mean 'a-1'?)"),
        ("file,patient_id\na.svs,\n", "row 2, column 'patient_id': is empty"),
        (
            "file,patient_id\na.svs,P\nx/a.svs,P\n",
            "row 3, column 'file': slide 'x/a.svs' stands in row 2 already (one row a slide)",
        ),
        (
            "file,patient_id\na.svs,P\nx/a.svs,Q\n",
            "row 3, column 'patient_id': 'Q', and row 2 says that slide 'x/a.svs' is of 'P' (a slide is of one",
        ),
        ("file,patient_id\na.svs,=1+1\n", "row 2, column 'patient_id': '=1+1' begins like a formula"),
        ('file,patient_id\na.svs,"P\n1"\n', "row 2, column 'patient_id': 'P·1' holds a line break"),
        (
            "file,patient_id\na.svs,P-1\nb.svs,p 1\n",
            "row 3, column 'patient_id': 'p 1' is written 'P-1' in row 2",
        ),
        (
            "file,patient_id,time_point\na.svs,P,2024-03-09\nb.svs,Q,3\n",
            "row 3, column 'time_point': '3' is a whole number, and row 2 has a date (one kind in all of the table)",
        ),
        ("file,patient_id,time_point\na.svs,P,9.3.2024\n", "row 2, column 'time_point': '9.3.2024' is neither a date"),
        ("file,patient_id,time_point\na.svs,P,2024-02-30\n", "row 2, column 'time_point': '2024-02-30' is no day"),
        ("file,patient_id,site\na.svs,P,liver\n", "row 2, column 'site': 'liver' is none of primary, metastasis"),
        ("file,patient_id,use\na.svs,P,perhaps\n", "row 2, column 'use': 'perhaps' is neither yes nor no"),
        (
            "file,patient_id,block,site\na.svs,P,B,primary\nb.svs,P,B,metastasis\n",
            "row 3, column 'site': block 'B' has 'metastasis' here and 'primary' in row 2",
        ),
        (
            "file,patient_id,block,time_point\na.svs,P,B,\nb.svs,P,B,2\n",
            "row 3, column 'time_point': block 'B' has '2' here and none in row 2",
        ),
    ],
)  # fmt: skip
def test_a_mistake_names_file_row_and_column(tmp_path: Path, text: str, message: str) -> None:
    assert error_of(tmp_path, text).removeprefix(": ").startswith(message)


def test_blocks_of_two_patients_may_have_one_name(tmp_path: Path) -> None:
    table = read(tmp_path, "file,patient_id,block,site\na.svs,P,B,primary\nb.svs,Q,B,metastasis\n")
    assert [row.site for row in table.rows] == ["primary", "metastasis"]


def test_identical_copies_cannot_be_of_two_patients(tmp_path: Path) -> None:
    text = "file,patient_id,use\na.svs,P,yes\nb.svs,Q,{}\n"
    prints = PRINTS | {"b-2": PRINTS["a-1"]}
    message = error_of(tmp_path, text.format("yes"), prints=prints)
    assert message.startswith("row 3, column 'patient_id': the slide is an identical copy of that of row 2")
    assert len(read(tmp_path, text.format("no"), prints=prints).rows) == 2


def test_of_unreadable_slides_nobody_knows_whether_they_are_copies(tmp_path: Path) -> None:
    assert len(read(tmp_path, "file,patient_id\na.svs,P\nb.svs,Q\n", prints={"a-1": "", "b-2": ""}).rows) == 2


def test_under_pseudonyms_an_error_does_not_repeat_the_name(tmp_path: Path) -> None:
    message = error_of(tmp_path, "file,patient_id\nJane Roe.svs,P\n", shown=False)
    assert message.startswith("row 2, column 'file': the slide of this row is not one of the run")
    assert "Roe" not in message
    for patient in ("P", "Q"):
        message = error_of(tmp_path, f"file,patient_id\na.svs,P\nx/a.svs,{patient}\n", shown=False)
        assert "this slide" in message
        assert "a.svs" not in message
    missing = error_of(tmp_path, "patient_id\nP\n", shown=False)
    assert "has no column that says which slide" in missing


def test_dates_and_blocks_become_numbers_that_keep_their_order() -> None:
    rows = (
        PatientRow("a", "P", "H24-17", "2024-03-09", "primary", True),
        PatientRow("b", "P", "H24-02", "2025-01-01", "metastasis", True),
        PatientRow("c", "Q", "H24-17", "2024-03-09", "", False),
        PatientRow("d", "Q", "", None, "", True),
    )
    hidden = PatientTable(rows).without_dates_and_names()
    assert [(row.block, row.time_point) for row in hidden.rows] == [("2", 1), ("1", 2), ("1", 1), ("", None)]
    assert [(row.slide_id, row.patient_id, row.site, row.use) for row in hidden.rows] == [
        (row.slide_id, row.patient_id, row.site, row.use) for row in rows
    ]


ROWS = st.lists(
    st.builds(
        PatientRow,
        slide_id=st.text("abc", min_size=1),
        patient_id=st.text(min_size=1, max_size=5),
        block=st.text(max_size=3),
        time_point=st.none() | st.integers(-9, 9),
        site=st.sampled_from(["primary", "metastasis", ""]),
        use=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda row: row.slide_id,
)


@given(ROWS)
def test_what_run_json_keeps_reads_back(rows: list[PatientRow]) -> None:
    table = PatientTable(tuple(rows))
    assert patients_from_json(table.to_json()) == table


@pytest.mark.parametrize(
    "change",
    [
        {"patient_id": "Q"}, {"use": 1}, {"site": "liver"}, {"time_point": 1.5}, {"patient_id": ""}, {"block": None},
        {"more": 1},
    ],
)  # fmt: skip
def test_a_changed_row_in_run_json_is_refused(change: dict[str, Any]) -> None:
    content = PatientTable((PatientRow("a", "P", "B", 1, "primary", True),)).to_json()
    content["rows"][0] |= change
    with pytest.raises(RunFolderError, match="not as they were written"):
        patients_from_json(content)


@pytest.mark.parametrize("content", [[], {"rows": []}, {"rows": 3, "sha256": ""}, "x", {"rows": [3], "sha256": ""}])
def test_something_else_in_run_json_is_refused(content: Any) -> None:
    with pytest.raises(RunFolderError, match="not as they were written"):
        patients_from_json(content)
