from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slidescore.errors import InputError
from slidescore.report.spreadsheet import as_text
from slidescore.report.user_tables import UserRow, UserTable, match_slides, quoted, read_user_table

SLIDES = {"a-11111111": "cohort/a.svs", "b-22222222": "cohort/b.svs", "b-33333333": "other/b.svs"}
WRITTEN = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
"""The one file of a test is written anew for each example."""


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., UserTable]:
    def read(content: str | bytes, **columns: object) -> UserTable:
        path = tmp_path / "t.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_user_table(path, **(columns or {"open_columns": True}))  # type: ignore[arg-type]

    return read


@pytest.fixture
def refusal(table: Callable[..., UserTable]) -> Callable[..., str]:
    """The message of the refusal of a table, without its folder."""

    def refuse(content: str | bytes, use: Callable[[UserTable], object] = lambda read: read, **columns: object) -> str:
        with pytest.raises(InputError) as error:
            use(table(content, **columns))
        assert "\n" not in str(error.value)
        folder, _, message = str(error.value).partition("t.csv")
        assert folder
        return f"t.csv{message}"

    return refuse


@pytest.mark.parametrize(
    "content",
    [
        "file,h_score\na.svs,12.5\n",
        "\ufefffile,h_score\na.svs,12.5\n",
        "file;h_score\r\na.svs;12.5\r\n",
        "file\th_score\ra.svs\t12.5\r",
        ' File , "H-Score"\n\n a.svs ,\u00a012.5\n,\n',
        "FILE,H score,,\na.svs,12.5,,\n",
        '"file";"h_score, of 300"\n"a.svs";"12.5"\n'.replace(", of 300", ""),
    ],
    ids=["plain", "mark", "semicolon", "tab and CR", "blanks", "nameless columns", "quotes"],
)
def test_what_programs_write_is_read(table: Callable[..., UserTable], content: str) -> None:
    read = table(content, required=("file",), optional=("h_score", "note"))
    assert read.columns == ("file", "h_score")
    assert read.has("h_score")
    assert not read.has("note")
    (row,) = read.rows
    assert row.text("file") == "a.svs"
    assert row.number("h_score", 0, 300) == 12.5
    assert row.optional_text("note") is row.optional_number("note") is None


def test_lines_are_those_of_the_file(table: Callable[..., UserTable]) -> None:
    read = table('note,h\n\n"two\nlines",1\n\nlast,x\n')
    assert [row.line for row in read.rows] == [3, 6]
    assert read.rows[0].text("note") == "two\nlines"
    assert str(read.rows[1].error("h", "is wrong")).endswith("t.csv, row 6, column 'h': is wrong")


def test_a_header_with_two_kinds_of_separators(table: Callable[..., UserTable]) -> None:
    assert table("file;a,b\nx;y\n").columns == ("file", "a,b")
    assert table("file,a;b\nx,y\n", required=("file",), open_columns=True).columns == ("file", "a;b")
    assert table("file\na.svs\n").columns == ("file",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "t.csv: holds nothing (its first line names columns: file, h_score)"),
        ("\n,,\n", "t.csv: holds nothing (its first line names columns: file, h_score)"),
        ("file,h_score\n", "t.csv: has column names but no row"),
        ("h_score\n1\n", "t.csv, row 1: has no column 'file' (it has: h_score)"),
        ("file,hscore\na,1\n", "t.csv, row 1: unknown column 'hscore' (did you mean 'h_score'?)"),
        ("file,File\na,b\n", "t.csv, row 1: column 'file' is there twice"),
        ("file,,h_score\na,,1\n", "t.csv, row 1: column 2 has no name"),
        ("file,h_score\na,1\nb\n", "t.csv, row 3: has 1 values, but there are 2 columns"),
        ("file,h_score\na,1,5\n", "t.csv, row 2: has 3 values, but there are 2 columns"),
        ("file;h_score\na;1;5\n", "t.csv, row 2: has 3 values, but there are 2 columns"),
        ('file,h_score\na,1\n"b,1\n', "t.csv, row 3: cannot be read: unexpected end of data"),
        ('file,h_score\n"a"b,1\n', "t.csv, row 2: cannot be read: ',' expected after '\"'"),
        ("file,h_score\nM\xfcller,1\n".encode("latin-1"), "t.csv, row 2: holds a byte that is not UTF-8"),
        ("file,h_score\na,1\n\xfc,1\n".encode("latin-1"), "t.csv, row 3: holds a byte that is not UTF-8"),
        ("file,h_score\na,1\n".encode("utf-16"), "t.csv: is UTF-16, not UTF-8 (save it as 'CSV UTF-8')"),
        ("file,h_score\na\0,1\n", "t.csv, row 2: holds a zero byte"),
        (b"PK\x03\x04\x14\0", "t.csv: is a workbook, not CSV (save the sheet as CSV"),
        ("file,h_score\n" + "x" * 200_000 + ",1\n", "t.csv, row 2: cannot be read: field larger than field limit"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_is_refused(refusal: Callable[..., str], content: str | bytes, message: str) -> None:
    assert refusal(content, required=("file",), optional=("h_score",)).startswith(message)


def test_a_comma_too_many_says_what_it_may_be(refusal: Callable[..., str]) -> None:
    assert "write decimals with a point" in refusal("file,h\na,0,5\n")
    assert "decimals" not in refusal("file;h\na;0;5\n")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: cannot be read: No such file"):
        read_user_table(tmp_path / "none.csv", required=("file",))
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_user_table(tmp_path, required=("file",))


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    with path.open("wb") as handle:
        handle.truncate(100 << 20)
    with pytest.raises(InputError, match="is larger than 64 MB; is it a table"):
        read_user_table(path, required=("file",))


def _cell(read: Callable[[UserRow], object]) -> Callable[[UserTable], object]:
    return lambda table: read(table.rows[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("412", "412 is not between 0 and 300"),
        ("-1", "-1 is not between 0 and 300"),
        ("0,5", "'0,5' is not a number (write a decimal point, not a comma, and nothing between thousands)"),
        ("1.234,5", "'1.234,5' is not a number (write a decimal point"),
        ("NaN", "'NaN' is not a number (leave the cell empty"),
        ("inf", "'inf' is not a number"),
        ("1e999", "'1e999' is not a number"),
        ("1_0", "'1_0' is not a number"),
        ("0x10", "'0x10' is not a number"),
        ("١٢", "'١٢' is not a number"),
        ("12 H", "'12 H' is not a number"),
        ("", "is empty"),
        ("x" * 100, f"'{'x' * 40}…' is not a number"),
        ("\x1b[31mred", "'·[31mred' is not a number"),
    ],
)
def test_a_number_that_is_none_is_refused(refusal: Callable[..., str], text: str, message: str) -> None:
    said = refusal(f'file,h_score\na,"{text}"\n', _cell(lambda row: row.number("h_score", 0, 300)))
    assert said.startswith(f"t.csv, row 2, column 'h_score': {message}")


@pytest.mark.parametrize("text", ["3", "3.0", "+3", "3.", "3e0"])
def test_numbers(table: Callable[..., UserTable], text: str) -> None:
    row = table(f"n\n{text}\n").rows[0]
    assert row.number("n") == row.optional_number("n", 0) == 3.0
    if "e" not in text:
        assert row.whole("n", 1, 3) == 3
        assert isinstance(row.whole("n"), int)


@pytest.mark.parametrize(
    ("text", "message"),
    [("3.5", "'3.5' is not a whole number"), ("4", "4 is above 3"), ("1" * 16, "is not a whole number")],
)
def test_a_whole_number_that_is_none_is_refused(refusal: Callable[..., str], text: str, message: str) -> None:
    assert message in refusal(f"n\n{text}\n", _cell(lambda row: row.whole("n", None, 3)))
    assert "below 5" in refusal("n\n4\n", _cell(lambda row: row.optional_whole("n", 5)))


def test_words_flags_and_dates(table: Callable[..., UserTable]) -> None:
    row = table("site,use,day,none\nPRIMARY,Yes,2024-02-29,\n").rows[0]
    assert row.choice("site", ("primary", "metastasis")) == "primary"
    assert row.flag("use") is True
    assert table("use\nFALSE\n").rows[0].optional_flag("use") is False
    assert row.date("day") == datetime.date(2024, 2, 29)
    assert row.optional_choice("none", ("a",)) is row.optional_flag("none") is None


@pytest.mark.parametrize(
    ("text", "read", "message"),
    [
        ("lymph", lambda row: row.choice("x", ("primary", "metastasis")), "'lymph' is none of primary, metastasis"),
        ("ja", lambda row: row.flag("x"), "'ja' is neither yes nor no (write yes or no, or 1 or 0)"),
        ("9.3.2024", lambda row: row.date("x"), "'9.3.2024' is not a date (write year-month-day, such as 2024-03-09)"),
        ("2023-02-29", lambda row: row.date("x"), "'2023-02-29' is no day of the calendar"),
        ("20240309", lambda row: row.date("x"), "'20240309' is not a date"),
    ],
)
def test_other_values_that_are_none_are_refused(
    refusal: Callable[..., str], text: str, read: Callable[[UserRow], object], message: str
) -> None:
    assert refusal(f"x\n{text}\n", _cell(read)).startswith(f"t.csv, row 2, column 'x': {message}")


def test_columns_that_options_name(table: Callable[..., UserTable]) -> None:
    read = table("patient_id,Prior CDK4/6\np,1\n", required=("patient_id",), open_columns=True)
    assert read.columns == ("patient_id", "Prior CDK4/6")
    assert read.column("prior_cdk4/6", "--strata") == "Prior CDK4/6"
    with pytest.raises(
        InputError, match=r"^--strata: .*t\.csv has no column 'prior cdk' \(did you mean 'Prior CDK4/6'"
    ):
        read.column("prior cdk", "--strata")
    assert str(read.error("is odd", column="patient_id")).endswith("t.csv, column 'patient_id': is odd")
    assert str(read.error("is odd", "mend it")).endswith("t.csv: is odd (mend it)")


def test_rows_that_must_be_unique(table: Callable[..., UserTable], refusal: Callable[..., str]) -> None:
    content = "patient_id,reader\np1,a\np1,b\np2,a\n"
    table(content).require_unique("patient_id", "reader")
    said = refusal(content, lambda read: read.require_unique("patient_id"))
    assert said == "t.csv, row 3, column 'patient_id': 'p1' stands in row 2 already (one row each)"


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ("slide_id\na-11111111\n", ["a-11111111"]),
        ("file\ncohort/a.svs\na.svs\n", ["a-11111111", "a-11111111"]),
        ("file\ncohort\\b.svs\n./other/b.svs\n", ["b-22222222", "b-33333333"]),
        ("slide_id,file\nb-33333333,b.svs\n,a.svs\na-11111111,\n", ["b-33333333", "a-11111111", "a-11111111"]),
    ],
)
def test_slides_are_found(table: Callable[..., UserTable], content: str, ids: list[str]) -> None:
    assert match_slides(table(content), SLIDES) == ids


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("h\n1\n", "t.csv: has no column that says which slide a row is about (add slide_id or file)"),
        ("slide_id\na-1111111\n", ", row 2, column 'slide_id': no slide 'a-1111111' (did you mean 'a-11111111'?)"),
        ("file\nzebra\n", ", row 2, column 'file': no slide 'zebra' (none of the 5 names comes close)"),
        ("file\na.svs\nb.svs\n", ", row 3, column 'file': 'b.svs' is the file of 2 slides (give slide_id as well)"),
        ("slide_id,file\na-11111111,b.svs\n", "'b.svs' is not the file of slide_id 'a-11111111'"),
        ("slide_id,file,h\n,,1\n", ", row 2, column 'slide_id': is empty"),
        ("file,h\n,1\n", ", row 2, column 'file': is empty"),
    ],
)
def test_slides_that_cannot_be_found(refusal: Callable[..., str], content: str, message: str) -> None:
    assert message in refusal(content, lambda read: match_slides(read, SLIDES))


_VALUES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=12)


@WRITTEN
@given(
    rows=st.lists(st.tuples(_VALUES, _VALUES, st.integers(0, 9)), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t"),
    mark=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_wrote_comes_back(
    table: Callable[..., UserTable], rows: list[tuple[str, str, int]], delimiter: str, mark: bool, end: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow(["a", "b", "n"])
    writer.writerows([as_text(a.strip()), as_text(b.strip()), n] for a, b, n in rows)
    read = table("\ufeff" * mark + text.getvalue(), required=("a", "b", "n"))
    assert [(row.optional_text("a") or "", row.optional_text("b") or "", row.whole("n")) for row in read.rows] == [
        (_typed(a), _typed(b), n) for a, b, n in rows
    ]


def _typed(value: str) -> str:
    """A value as it comes back: an apostrophe that a user put before a formula cannot be told from ours."""
    value = value.strip()
    return value[1:] if value.startswith("'") and value[1:].startswith(("=", "+", "-", "@")) else value


@WRITTEN
@given(content=st.binary(max_size=60) | st.text("abc,;\t\"\n\r '1.", max_size=40).map(str.encode))
def test_no_file_breaks_the_reader(table: Callable[..., UserTable], content: bytes) -> None:
    try:
        read = table(content)
    except InputError as error:
        message = str(error)
        read = None
    if read is None:
        assert "\n" not in message
    else:
        assert all(set(row.values) == set(read.columns) for row in read.rows)
        assert all(any(row.values.values()) for row in read.rows)
        assert [row.line for row in read.rows] == sorted({row.line for row in read.rows})


def test_quoting_a_value() -> None:
    assert quoted("a\nb") == "'a·b'"
