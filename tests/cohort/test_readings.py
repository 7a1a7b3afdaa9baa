"""The readers' table: what is read, and the line that each mistake gets."""

from __future__ import annotations

import pytest

from slidescore.assay import load_assay
from slidescore.audit.export import READING_COLUMNS
from slidescore.cohort.readings import NUMBER_COLUMNS, TABLE_COLUMNS, modal_bin, read_readings
from slidescore.errors import InputError

SLIDES = {"a-1": "a.svs", "b-2": "sub/b.svs", "c-3": "c.svs"}
SCORE = load_assay("cxcr4").assay.score


@pytest.fixture
def write(tmp_path):
    def written(*lines):
        path = tmp_path / "readers.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return written


@pytest.fixture
def read(write):
    return lambda *lines: read_readings(write(*lines), SLIDES)


@pytest.fixture
def refusal(write, tmp_path):
    def said(*lines):
        with pytest.raises(InputError) as caught:
            read_readings(write(*lines), SLIDES)
        text = str(caught.value)
        assert "\n" not in text
        return text.removeprefix(f"{tmp_path}/")

    return said


def test_h_scores_of_two_readers(read):
    found = read("slide_id,reader,h_score", "a-1,B. B,120", "b-2,B. B,0", "a-1,A. A,300")
    assert (found.kinds, found.readers) == (("h_score",), ("A. A", "B. B"))
    assert {slide: each.h_score for slide, each in found.by_reader["B. B"].items()} == {"a-1": 120, "b-2": 0}
    one = found.by_reader["A. A"]["a-1"]
    assert one.on_scale("h_score", SCORE) == 300
    assert (one.on_scale("percent_positive", SCORE), one.intensity_class) == (None, None)


def test_the_columns_of_an_export_are_those_of_a_table(read):
    assert {"reader", *TABLE_COLUMNS} == set(READING_COLUMNS)
    found = read(
        ",".join(READING_COLUMNS),
        "a-1,a.svs,A,,,10,20,30,40,,dark,2026-03-09T14:30:00Z",
        "b-2,sub/b.svs,A,,,100,0,0,0,,,2026-03-09T14:31:00Z",
    )
    assert found.kinds == ("shares",)
    one = found.by_reader["A"]["a-1"]
    assert one.on_scale("h_score", SCORE) == pytest.approx(200)
    assert one.on_scale("percent_positive", SCORE) == pytest.approx(90)
    assert one.on_scale("irs", SCORE) == 8  # above 80 %: 4, mean of positives 2.2: 2
    assert one.on_scale("allred", SCORE) == 7
    assert one.on_scale("pixel_h_score", SCORE) is None
    assert one.intensity_class == 3


@pytest.mark.parametrize(("shares", "h_score"), [("10.2,20,30,40", 20000 / 100.2), ("9.9,20,30,39.9", 19970 / 99.8)])
def test_percents_may_miss_100_a_little_and_are_scaled(read, shares, h_score):
    found = read("file,reader,p0,p1,p2,p3", f"a.svs,A,{shares}")
    assert found.by_reader["A"]["a-1"].on_scale("h_score", SCORE) == pytest.approx(h_score)


def test_an_intensity(read):
    found = read("file;reader;intensity", "a.svs;A;2", "b.svs;A;0")
    assert [each.intensity_class for each in found.by_reader["A"].values()] == [2, 0]


def test_of_equal_bins_the_weaker_is_modal():
    assert [modal_bin(shares) for shares in ((40, 10, 40, 10), (0, 0, 0, 1), (25, 25, 25, 25))] == [0, 3, 0]


def test_several_kinds_in_every_row(read):
    found = read("file,reader,h_score,percent_positive,intensity", "a.svs,A,140,80,2", "b.svs,A,0,0,0")
    assert found.kinds == ("h_score", "percent_positive", "intensity")
    one = found.by_reader["A"]["a-1"]
    assert (one.on_scale("h_score", SCORE), one.on_scale("percent_positive", SCORE), one.intensity_class) == (
        140,
        80,
        2,
    )


def test_a_given_number_goes_before_what_bins_come_to(read):
    found = read("file,reader,h_score,p0,p1,p2,p3,intensity", "a.svs,A,202,10,20,30,40,2")
    one = found.by_reader["A"]["a-1"]
    assert (one.on_scale("h_score", SCORE), one.intensity_class) == (202, 2)


def test_a_slide_read_again_counts_once_by_time(read):
    found = read(
        "file,reader,h_score,utc",
        "a.svs,A,100,2026-03-09T15:00:00Z",
        "a.svs,A,120,2026-03-09T16:30:00+02:00",
        "a.svs,A,140,2026-03-10",
    )
    assert found.by_reader["A"]["a-1"].h_score == 140
    assert [(each.h_score, each.line) for each in found.superseded] == [(120, 3), (100, 2)]


def test_a_row_without_a_score_is_told(read):
    found = read("file,reader,h_score,note", "a.svs,A,100,", "b.svs,A,,too pale", "c.svs,B,,")
    assert found.readers == ("A",)
    assert found.not_read == (("A", "b-2"), ("B", "c-3"))


def test_order_of_rows_does_not_matter(read):
    rows = ["a.svs,B,100", "b.svs,A,90", "c.svs,A,80", "a.svs,A,70"]
    one, other = (read("file,reader,h_score", *each) for each in (rows, rows[::-1]))
    assert one.readers == other.readers
    for reader in one.readers:
        scores = [[(slide, each.h_score) for slide, each in found.by_reader[reader].items()] for found in (one, other)]
        assert scores[0] == scores[1]


H = "file,reader,h_score"
BINS = "file,reader,p0,p1,p2,p3"


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ([H, "a.svs,A,412"], "readers.csv, row 2, column 'h_score': 412 is not between 0 and 300"),
        (
            [H, "a.svs,A,100", "aa.svs,A,1"],
            "readers.csv, row 3, column 'file': no slide 'aa.svs' (did you mean 'a.svs'?)",
        ),
        ([H, "a.svs,,100"], "readers.csv, row 2, column 'reader': is empty"),
        ([H, "a.svs,A,high"], "readers.csv, row 2, column 'h_score': 'high' is not a number"),
        (
            [BINS, "a.svs,A,10,20,30,50"],
            "readers.csv, row 2, column 'p0': p0 to p3 add up to 110, not to 100 (they may miss it by 0.5)",
        ),
        ([BINS, "a.svs,A,10,-20,60,50"], "readers.csv, row 2, column 'p1': -20 is not between 0 and 100"),
        (
            [BINS, "a.svs,A,10,20,,70"],
            "readers.csv, row 2, column 'p2': is empty while other bins have a percent"
            " (write 0 where there are no such cells)",
        ),
        (
            ["file,reader,p1,p2,p3", "a.svs,A,10,20,70"],
            "readers.csv: has column p1 but not p0 (give p0, p1, p2 and p3)",
        ),
        (
            ["file,reader,intensity", "a.svs,A,4"],
            "readers.csv, row 2, column 'intensity': 4 is not between 0 and 3",
        ),
        (
            ["file,reader,intensity", "a.svs,A,1.5"],
            "readers.csv, row 2, column 'intensity': '1.5' is not a whole number",
        ),
        (
            ["file,reader,h_score,percent_positive", "a.svs,A,250,70"],
            "readers.csv, row 2, column 'h_score': 250 is impossible with 70 % positive cells (between 70 and 210)",
        ),
        (
            ["file,reader,h_score,p0,p1,p2,p3", "a.svs,A,150,10,20,30,40"],
            "readers.csv, row 2, column 'h_score': 150 is not p1 + 2 p2 + 3 p3, 200",
        ),
        (
            ["file,reader,percent_positive,p0,p1,p2,p3", "a.svs,A,80,10,20,30,40"],
            "readers.csv, row 2, column 'percent_positive': 80 is not p1 + p2 + p3, 90",
        ),
        (
            ["file,reader,h_score,p0,p1,p2,p3", "a.svs,A,,10,20,30,40", "b.svs,A,100,,,,"],
            "readers.csv, row 3, column 'h_score': mixed scales: this row gives h_score, row 2 gives p0 to p3"
            " (one kind of reading a table; put the others into a table of their own)",
        ),
        (
            ["file,reader,h_score,intensity", "a.svs,A,100,1", "b.svs,B,100,"],
            "readers.csv, row 3, column 'intensity': mixed scales: this row gives h_score,"
            " row 2 gives h_score and intensity"
            " (one kind of reading a table; put the others into a table of their own)",
        ),
        (
            [H, "a.svs,A,100", "b.svs,A,100", "a.svs,A,110"],
            "readers.csv, row 4, column 'reader': 'A' reads this slide again, after row 2"
            " (keep one row, or give each its time in column utc: then the latest counts)",
        ),
        (
            [f"{H},utc", "a.svs,A,100,2026-01-01T00:00:00Z", "a.svs,A,110,2026-01-01T01:00:00+01:00"],
            "readers.csv, row 3, column 'utc': 'A' reads this slide again, after row 2"
            " (keep one row, or give each its time in column utc: then the latest counts)",
        ),
        (
            [f"{H},utc", "a.svs,A,100,yesterday", "a.svs,A,110,2026-01-01"],
            "readers.csv, row 2, column 'utc': 'yesterday' is no ISO time (such as 2026-03-09T14:30:00Z)",
        ),
        (
            [H, "a.svs,machine,100"],
            "readers.csv, row 2, column 'reader': 'machine' is a name that the report itself uses"
            " (give the reader's own)",
        ),
        (
            [H, "a.svs,A. Name,100", "b.svs,a.  name,100"],
            "readers.csv, row 3, column 'reader': 'a.  name' is spelt 'A. Name' in row 2 (spell each reader one way)",
        ),
        (
            ["file,reader,note", "a.svs,A,fine"],
            f"readers.csv: holds no readings (it needs a column of: {', '.join(NUMBER_COLUMNS)})",
        ),
        ([H, "a.svs,A,"], "readers.csv: holds no readings (no row has a score)"),
        ([f"{H},hscore", "a.svs,A,1,1"], "readers.csv, row 1: unknown column 'hscore' (did you mean 'h_score'?)"),
        (["file,h_score", "a.svs,1"], "readers.csv, row 1: has no column 'reader' (it has: file, h_score)"),
        (
            ["reader,h_score", "A,1"],
            "readers.csv: has no column that says which slide a row is about (add slide_id or file)",
        ),
    ],
)
def test_a_mistake_gets_a_line_with_file_row_and_column(refusal, lines, line):
    assert refusal(*lines) == line


def test_times_in_one_row_only_are_not_enough(refusal):
    said = refusal(f"{H},utc", "a.svs,A,100,2026-01-01", "a.svs,A,110,")
    assert said.startswith("readers.csv, row 3, column 'reader': 'A' reads this slide again, after row 2")
    said = refusal(f"{H},utc", "a.svs,A,100,", "a.svs,A,110,2026-01-01")
    assert said.startswith("readers.csv, row 3, column 'utc': 'A' reads this slide again, after row 2")
