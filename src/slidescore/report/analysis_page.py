"""The report of an analysis: one page, its tables as CSV, its figures as SVG, PNG and the CSV that drew them.

The page needs no other file: figures are inside it, in the page's colours, so that they follow a dark screen and print
on paper. The same numbers give the same bytes in every file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from slidescore.errors import RunFolderError
from slidescore.report.files import write_bytes, write_csv
from slidescore.report.page import MINUS, NOTHING, RESEARCH_USE, as_number, render_page, show_number
from slidescore.report.spreadsheet import as_text
from slidescore.version import slidescore_version

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE: Final = "report.html"
TABLES: Final = "tables"
FIGURES: Final = "figures"
SUFFIXES: Final = {TABLES: (".csv",), FIGURES: (".svg", ".png", ".csv")}
"""What the folders of a report hold, and nothing else."""
MOST_ROWS: Final = 500
"""Rows of a table that the page shows; the CSV holds all."""
LEAST_P: Final = 0.001
"""P values below it are written `<0.001`: a smaller one says nothing that a trial could use."""

RUN_JSON: Final = "run.json"
"""What makes a folder a run."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
SHORT_TEXT: Final = 24
"""A column of texts no longer than this is not broken into lines."""
WIDE_COLUMNS: Final = 9
"""A table of more columns is printed smaller."""
_P_COLUMN: Final = re.compile(r"p|p_value|.*_p")
"""Columns that hold P values."""
_DECIMALS: Final = ((100.0, 0), (10.0, 1), (1.0, 2))
"""A column whose largest number is at least the first has as many decimals as the second; else three."""
_MOST_DECIMALS: Final = 3
_IDENTITY: Final = re.compile(r'\b(id="|href="#|url\(#)')
_FIGURE_MARKER: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table: tables/NAME.csv, and shown on the page."""

    name: str
    """File name without suffix: lower-case letters, digits, `_`, `-`."""
    title: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    """None is empty; numbers as int or float, so that they can be formatted and aligned."""
    note: str = ""
    heads: Mapping[str, str] = field(default_factory=dict)
    """Column heads on the page where the column's own name will not do."""
    formats: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    """How a column's values are written on the page, such as `page.show_percent` or `show_p`; without one, whole
    numbers are grouped, and other numbers of a column have as many decimals as its largest needs."""


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """A figure: figures/NAME.svg, .png and .csv (`data`), and shown on the page with its caption."""

    name: str
    """File name without suffix, as of a table."""
    title: str
    caption: str
    """Says n, what is missing and the method; the version is appended."""
    figure: Figure
    data: ReportTable
    """What was drawn; only its columns and rows are used."""


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A part of the page: paragraphs, then tables, then figures."""

    title: str
    paragraphs: Sequence[str]
    tables: Sequence[ReportTable] = ()
    figures: Sequence[ReportFigure] = ()


def show_p(value: Any) -> str:
    """Write a P value: three decimals, `<0.001` below, and never 1.000 for less than 1."""
    number = as_number(value)
    if number is None:
        return NOTHING
    if number < LEAST_P:
        return f"<{LEAST_P:g}"
    return ">0.999" if 1 - LEAST_P / 2 <= number < 1 else f"{number:.3f}"


def write_report(
    out: Path,
    *,
    title: str,
    subtitle: str,
    sections: Sequence[ReportSection],
    facts: Sequence[tuple[str, str]],
    overwrite: bool = False,
) -> Path:
    """Write report.html, tables/ and figures/ into a folder; the page comes last.

    Parameters
    ----------
    out
        A folder that is new, empty, or (with `overwrite`) holds an older report and nothing else.
    title, subtitle
        The head of the page.
    sections
        What it says. Names of tables are unique in the report, and those of figures.
    facts
        What the analysis rests on: names and values.
    overwrite
        Whether an older report is replaced.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    RunFolderError
        If the folder holds something else or cannot be written.
    ValueError
        If a name is no file name or is there twice.
    """
    tables = [table for section in sections for table in section.tables]
    figures = [figure for section in sections for figure in section.figures]
    _check_names([table.name for table in tables])
    _check_names([figure.name for figure in figures])
    check_report_folder(out, overwrite=overwrite)
    _clear(out)
    for table in tables:
        _write_table(out / TABLES / f"{table.name}.csv", table)
    drawn = {figure.name: _write_figure(out / FIGURES, figure) for figure in figures}
    page = render_page(
        "analysis.html",
        title=title,
        subtitle=subtitle,
        sections=[
            {
                "title": section.title,
                "paragraphs": section.paragraphs,
                "tables": [_shown_table(table) for table in section.tables],
                "figures": [
                    {"name": each.name, "title": each.title, "caption": _caption(each), "svg": drawn[each.name]}
                    for each in section.figures
                ],
            }
            for section in sections
        ],
        facts=facts,
        version=slidescore_version(),
    )
    write_bytes(out / PAGE, page.encode("utf-8"))
    return out / PAGE


def check_report_folder(out: Path, *, overwrite: bool = False) -> None:
    """Refuse a folder that `write_report` would refuse; for verbs that compute long before they write.

    Raises
    ------
    RunFolderError
        If it is a file or a link, lies in a run folder, holds something else than a report, or holds a report and
        `overwrite` is False.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise RunFolderError("is not a folder", where=str(out), remedy="give a new folder")
    # A file that a run does not list would make `verify` call the run changed.
    run = next((folder for folder in out.resolve().parents if (folder / RUN_JSON).is_file()), None)
    if run is not None:
        raise RunFolderError(f"lies in the run {run.name}", where=str(out), remedy="give a folder outside of it")
    entries = sorted(out.iterdir()) if out.exists() else []
    for entry in entries:
        if stranger := _stranger(entry):
            raise RunFolderError(
                f"holds {stranger}, which is no part of a report", where=str(out), remedy="give a new folder"
            )
    if entries and not overwrite:
        raise RunFolderError("holds a report already", where=str(out), remedy="give a new folder, or --overwrite")


def _stranger(entry: Path) -> str:
    """Name what is at a place in a report's folder and does not belong there; "" where all does."""
    if entry.name in SUFFIXES and entry.is_dir() and not entry.is_symlink():
        names = [each for each in sorted(entry.iterdir()) if each.suffix not in SUFFIXES[entry.name] or each.is_dir()]
        return f"{entry.name}/{names[0].name}" if names else ""
    return "" if entry.name == PAGE and entry.is_file() else entry.name


def _clear(out: Path) -> None:
    """Remove an older report, its page first, so that no page stands beside numbers of another."""
    (out / PAGE).unlink(missing_ok=True)
    for folder in SUFFIXES:
        for file in (out / folder).glob("*"):
            file.unlink()


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name) or names.count(name) > 1:
            raise ValueError(f"{name!r} is no name of a table or figure, or is there twice")


def _write_table(path: Path, table: ReportTable) -> None:
    # Names come from tables of users; none may be a formula in the spreadsheet of another.
    write_csv(path, table.columns, [{name: _cell(value) for name, value in row.items()} for row in table.rows])


def _write_figure(folder: Path, figure: ReportFigure) -> Markup:
    from slidescore.report.plots.style import png_bytes, svg_bytes

    svg = svg_bytes(figure.figure, figure.name)
    write_bytes(folder / f"{figure.name}.svg", svg)
    write_bytes(folder / f"{figure.name}.png", png_bytes(figure.figure))
    _write_table(folder / f"{figure.name}.csv", figure.data)
    return _inline(svg.decode("utf-8"), figure)


def _inline(svg: str, figure: ReportFigure) -> Markup:
    """Make an SVG file a part of a page: no prologue, names of its own, the page's colours, and a title to be read."""
    from slidescore.report.plots.style import PAGE_COLORS

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style.*?</style>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", body).replace("xlink:href", "href")
    body = _IDENTITY.sub(lambda found: f"{found[1]}{_FIGURE_MARKER.sub('-', figure.name)}-", body)
    for color, name in PAGE_COLORS.items():
        body = body.replace(f": {color}", f": var({name})")
    label = Markup('<svg role="img" aria-label="{}"').format(figure.title)
    return Markup(body.replace("<svg", str(label), 1).strip())


def _caption(figure: ReportFigure) -> str:
    said = figure.caption.rstrip()
    return f"{said}{'' if said.endswith('.') else '.'} slidescore {slidescore_version()}. {RESEARCH_USE}"


def _shown_table(table: ReportTable) -> dict[str, Any]:
    shown = list(table.rows[:MOST_ROWS])
    columns = [_column(table, name) for name in table.columns]
    rows = [
        [
            {"text": write(row.get(name)), "style": style}
            for name, (write, style) in zip(table.columns, columns, strict=True)
        ]
        for row in shown
    ]
    heads = [
        {"head": table.heads.get(name, name.replace("_", " ")), "style": style}
        for name, (_, style) in zip(table.columns, columns, strict=True)
    ]
    return {
        "name": table.name, "title": table.title, "note": table.note, "columns": heads, "rows": rows,
        "left_out": len(table.rows) - len(shown), "wide": len(table.columns) > WIDE_COLUMNS,
    }  # fmt: skip


def _column(table: ReportTable, name: str) -> tuple[Callable[[Any], str], str]:
    """Choose how a column is written, and its style: `n`, on the right, `short` or `long` text."""
    values = [row.get(name) for row in table.rows]
    known = [value for value in values if value is not None and value != ""]
    right = bool(known) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    if name in table.formats:
        return table.formats[name], "n" if right else "short"
    if right and _P_COLUMN.fullmatch(name):
        return show_p, "n"
    if not right:
        return _text, "short" if all(len(_text(value)) <= SHORT_TEXT for value in known) else "long"
    numbers = [number for value in known if (number := as_number(value)) is not None]
    if all(isinstance(value, int) for value in known):
        return partial(_decimal, digits=0), "n"
    largest = max(map(abs, numbers), default=0.0)
    digits = next((digits for least, digits in _DECIMALS if largest >= least), _MOST_DECIMALS)
    return partial(_decimal, digits=digits), "n"


def _decimal(value: Any, digits: int) -> str:
    """Write a number with a column's decimals; one that would only round to 0 keeps two figures of its own."""
    number = as_number(value)
    if number is not None and 0 < abs(number) < 10.0**-digits / 2:
        return f"{number:.2g}".replace("-", MINUS)
    return show_number(number, digits).replace("-", MINUS)


def _cell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return as_text(value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    if value is None or value == "":
        return NOTHING
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
