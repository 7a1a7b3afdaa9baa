from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from report.page_checks import VOID, read_page
from slidescore.errors import RunFolderError
from slidescore.report.analysis_page import (
    MOST_ROWS,
    ReportFigure,
    ReportSection,
    ReportTable,
    check_report_folder,
    show_p,
    write_report,
)
from slidescore.report.page import show_percent
from slidescore.report.plots.readers_strip import draw_readers_strip

ROWS: list[dict[str, Any]] = [
    {"arm": "=A <b>", "n": 1200, "rate": 37.5, "p": 0.0004, "declared": True, "shift": -1.25},
    {"arm": None, "n": 7, "rate": None, "p": 0.9999, "declared": False, "shift": float("nan")},
]
TABLE = ReportTable(
    "response", "Response", tuple(ROWS[0]), ROWS, note="Clopper-Pearson.", heads={"rate": "rate, %"},
    formats={"rate": show_percent},
)  # fmt: skip


def _figure(name: str = "h-strip") -> ReportFigure:
    values = np.array([120.0, 180.0])
    figure = draw_readers_strip(["<a>", "b & c"], values, values - 5, values + 5, {}, cutoff=150.0)
    data = ReportTable("", "", ("slide", "h"), [{"slide": "<a>", "h": 120.0}, {"slide": "b & c", "h": 180.0}])
    return ReportFigure(name, 'Scores "of" slides', "n = 2, none missing", figure, data)


def _write(
    out: Path, tables: tuple[ReportTable, ...] = (TABLE,), figures: tuple[str, ...] = (), overwrite: bool = False
) -> Path:
    sections = [
        ReportSection("Response", ["A paragraph of <text>."], tables),
        *(ReportSection("Again", [], (), [_figure(name)]) for name in figures),
        ReportSection("Nothing", ["None."]),
    ]
    facts = [("run", "demo & co")]
    return write_report(out, title="CXCR4", subtitle="54 patients", sections=sections, facts=facts, overwrite=overwrite)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("analysis") / "out", figures=("h-strip", "again")).parent


@pytest.fixture
def page(report: Path) -> str:
    return (report / "report.html").read_text()


def test_the_page_is_whole(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("report.page_checks.VOID", VOID | {"path", "use"})
    page = re.sub(r"<g [^>]*/>", "", page)
    # The one kind of address that needs no other file: a place on this page.
    text, reader = read_page(re.sub(r"url\(#[\w-]+\)", "", page))
    assert all(link.startswith("#") for link in reader.links)
    assert reader.scripts == 0
    assert "A paragraph of <text>." in text
    assert "n = 2, none missing. slidescore " in text
    assert "demo & co" in text
    assert "Clopper-Pearson. tables/response.csv" in text
    assert text.count("Research use only") == 3, "both figures and the foot"
    assert 'aria-label="Scores &#34;of&#34; slides"' in page


def test_numbers_stand_on_the_right_and_are_written_for_readers(page: str) -> None:
    cells = re.findall(r'<td class="(\w+)">(.*?)</td>', page)
    assert cells[:12] == [
        ("short", "=A &lt;b&gt;"), ("n", "1,200"), ("n", "38 %"), ("n", "&lt;0.001"), ("short", "yes"), ("n", "−1.25"),
        ("short", "–"), ("n", "7"), ("n", "–"), ("n", "&gt;0.999"), ("short", "no"), ("n", "–"),
    ]  # fmt: skip
    assert '<th scope="col" class="n">rate, %</th>' in page


def test_the_files_beside_it(report: Path) -> None:
    files = sorted(str(path.relative_to(report)) for path in report.rglob("*") if path.is_file())
    assert files == [
        "figures/again.csv", "figures/again.png", "figures/again.svg", "figures/h-strip.csv", "figures/h-strip.png",
        "figures/h-strip.svg", "report.html", "tables/response.csv",
    ]  # fmt: skip
    with (report / "tables/response.csv").open(newline="") as handle:
        rows = list(csv.reader(handle))
    assert rows[1:] == [["'=A <b>", "1200", "37.5", "0.0004", "True", "-1.25"], ["", "7", "", "0.9999", "False", ""]]
    assert (report / "figures/h-strip.csv").read_text() == "slide,h\n<a>,120\nb & c,180\n"


def test_the_same_numbers_give_the_same_bytes(report: Path, tmp_path: Path) -> None:
    again = _write(tmp_path / "again", figures=("h-strip", "again")).parent
    for path in report.rglob("*"):
        assert path.is_dir() or path.read_bytes() == (again / path.relative_to(report)).read_bytes()


def test_names_inside_figures_are_their_own_and_colors_the_pages(page: str) -> None:
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    used = set(re.findall(r'href="#([\w-]+)"|url\(#([\w-]+)\)', page))
    assert {a or b for a, b in used} <= set(names)
    assert "stroke: var(--ink)" in page
    assert "#1a1a1a" not in page.split("</head>")[1]


def test_a_long_table_is_whole_in_the_file_only(tmp_path: Path) -> None:
    table = ReportTable("long", "Long", ("n",), [{"n": k} for k in range(MOST_ROWS + 3)])
    page = _write(tmp_path / "out", (table,))
    assert "3 more rows in the file." in page.read_text()
    assert len((page.parent / "tables/long.csv").read_text().splitlines()) == MOST_ROWS + 4


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([123.456, 1.0], ["123", "1"]), ([12.34, 0.5], ["12.3", "0.5"]), ([1.234, 0.001], ["1.23", "0.001"]),
        ([0.1234, 1e-9], ["0.123", "1e−09"]), ([1, 2.5], ["1.00", "2.50"]), ([0.0, 0.0], ["0.000", "0.000"]),
    ],
)  # fmt: skip
def test_a_column_has_the_decimals_its_largest_number_needs(
    tmp_path: Path, values: list[float], shown: list[str]
) -> None:
    page = _write(tmp_path / "out", (ReportTable("t", "", ("x",), [{"x": value} for value in values]),))
    assert re.findall(r'<td class="n">(.*?)</td>', page.read_text()) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.00099, "<0.001"), (0.001, "0.001"), (0.0496, "0.050"), (0.9994, "0.999"), (0.9996, ">0.999"), (1.0, "1.000"),
     (None, "–"), (float("nan"), "–")],
)  # fmt: skip
def test_p_values(value: float | None, shown: str) -> None:
    assert show_p(value) == shown


def test_an_older_report_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _write(out)
    (out / "tables/older.csv").write_text("x\n")
    with pytest.raises(RunFolderError, match=r"out: holds a report already \(give a new folder, or --overwrite\)"):
        _write(out)
    _write(out, overwrite=True)
    assert not (out / "tables/older.csv").exists()
    check_report_folder(out, overwrite=True)
    check_report_folder(tmp_path / "new")


@pytest.mark.parametrize("entry", ["run.json", "tables/notes.txt", "figures/deep/x.csv", ".hidden"])
def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path, entry: str) -> None:
    out = tmp_path / "out"
    path = out / entry
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(RunFolderError, match="no part of a report"):
        _write(out, overwrite=True)
    assert path.read_text() == "mine"


def test_a_report_does_not_go_into_a_run_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    for out in (tmp_path / "run" / "report", tmp_path / "run" / "a" / "b"):
        with pytest.raises(RunFolderError, match="lies in the run run"):
            _write(out)
        assert not out.exists()


def test_a_table_without_rows_says_none(tmp_path: Path) -> None:
    table = ReportTable("alarms", "Alarms", ("batch", "why"), [])
    sections = [ReportSection("Charts", [], [table])]
    page = write_report(tmp_path / "out", title="t", subtitle="s", sections=sections, facts=[])
    assert '<td colspan="2" class="quiet">none</td>' in page.read_text(encoding="utf-8")


def test_a_file_or_a_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("file", "link"):
        with pytest.raises(RunFolderError, match="is not a folder"):
            _write(tmp_path / name, overwrite=True)


@pytest.mark.parametrize("name", ["", "A", "a/b", "../a", "a b", "response"])
def test_names_are_file_names_and_unique(tmp_path: Path, name: str) -> None:
    table = ReportTable(name, "", ("x",), [])
    with pytest.raises(ValueError, match="no name of a table or figure"):
        _write(tmp_path / "out", (TABLE, table))
    assert not (tmp_path / "out").exists()
