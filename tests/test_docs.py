"""The documents are held against the code: what a page names must exist, and what exists must be on its page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
import pyarrow as pa
import pytest
from pydantic import BaseModel

from slidescore.assay import LEFT_OF_WALL, Assay, list_assays, load_assay, parse_assay
from slidescore.assay.refusals import WESTERN_BLOTS
from slidescore.audit.export import EVENT_COLUMNS
from slidescore.audit.reviewed import REVIEWED_COLUMNS
from slidescore.cells import CELL_SCHEMA
from slidescore.cli import main as command_line
from slidescore.errors import AssayError
from slidescore.pipeline.analysis import analyze_slide
from slidescore.pipeline.judge import SlideIdentity, judge_slide
from slidescore.pipeline.tile_table import TILE_SCHEMA
from slidescore.report.columns import PATIENT_COLUMNS, REGION_COLUMNS, SCORE_COLUMNS, TIMING_COLUMNS
from slidescore.report.export_csv import CSV_COLUMNS
from slidescore.scoring import SCHEMES
from slidescore.slide import ArrayReader
from test_architecture import FLOORS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "models/README.md", ROOT / "sample_slides/README.md"]
)
# README.md may still be empty; a page without text says nothing false.
PAGES = [page for page in PAGES if page.read_text().strip()]
SOURCES = sorted((ROOT / "src/slidescore").rglob("*.py"))
FOLDERS = "src|docs|tests|configs|benchmarks|models|sample_slides"
PYARROW_NAMES = {"float": "float32", "double": "float64"}

Rows = list[list[str]]


@cache
def page(name: str) -> str:
    return (ROOT / name).read_text()


def names(pages: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in pages]


def section(text: str, heading: str) -> str:
    """The text below a heading, to the next heading of any level."""
    found = re.search(rf"^(#+) {re.escape(heading)}$(.*?)(?=^#{{1,}} |\Z)", text, re.M | re.S)
    assert found, f"no heading '{heading}'"
    return found[2]


def table_rows(text: str) -> Rows:
    """The cells of every table row, without heads and rules."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    rules = [number for number, cells in enumerate(lines) if set("".join(cells)) <= set("-: ")]
    heads = {n for rule in rules for n in (rule, rule - 1)}
    return [cells for number, cells in enumerate(lines) if number not in heads]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def first_names(rows: Rows) -> list[str]:
    return [name for cells in rows for name in quoted(cells[0])]


# ---- assay.md ----


def walk(model: type[BaseModel], values: list[Any], prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every leaf of an assay with its dotted key and its value in each of the shipped assays."""
    for name, field in model.model_fields.items():
        inner = [getattr(value, name) for value in values]
        kind = field.annotation
        parts = [part for part in get_args(kind) if isinstance(part, type) and issubclass(part, BaseModel)]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from walk(kind, inner, f"{prefix}{name}.")
        elif parts and None in inner:
            # An optional block: what the assays that have it say, and that it may be null.
            yield prefix + name, [None]
            yield from walk(parts[0], [value for value in inner if value is not None], f"{prefix}{name}.")
        elif parts:
            for part in parts[0].model_fields:
                yield f"{prefix}{name}[].{part}", [tuple(getattr(each, part) for each in value) for value in inner]
        else:
            yield prefix + name, inner


def shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(shown(each) for each in value)
    if value is None:
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)


@cache
def leaves() -> dict[str, list[Any]]:
    return dict(walk(Assay, [load_assay(name).assay for name in list_assays()]))


def key_rows() -> Rows:
    """The rows of keys, which end with what must run again after a change; other tables explain."""
    return [cells for cells in table_rows(page("docs/assay.md")) if cells[-1] in ("score", "rescore")]


def assay_rows() -> dict[str, list[str]]:
    return {quoted(cells[0])[0]: cells for cells in key_rows()}


def test_the_assay_page_lists_every_key_and_no_other():
    assert first_names(key_rows()) == list(dict.fromkeys(first_names(key_rows())))
    assert set(assay_rows()) == set(leaves())


def test_the_assay_page_lists_every_shipped_assay_and_every_scheme():
    text = page("docs/assay.md")
    shipped = {quoted(cells[0])[0]: cells for cells in table_rows(section(text, "Shipped assays"))}
    assert set(shipped) == set(list_assays())
    for name, cells in shipped.items():
        cutoff = load_assay(name).assay.call.cutoff
        assert (cutoff.status if cutoff else "") in cells[3]
        assert cutoff is None or f"{cutoff.operator} {cutoff.value:g}" in cells[2]
    assert first_names(table_rows(section(text, "Schemes"))) == list(SCHEMES)
    assert all(name in text for name in WESTERN_BLOTS)


@pytest.mark.parametrize("key", leaves())
def test_a_key_is_shown_with_its_shipped_values_and_its_side_of_the_wall(key):
    _, _, meaning, shipped, needs = assay_rows()[key]
    assert meaning
    for value in leaves()[key]:
        is_prose = isinstance(value, str) and " " in value
        assert is_prose or re.search(rf"(?<![\w.]){re.escape(shown(value))}(?![\w.])", shipped), (key, shown(value))
    assert needs == ("score" if key.split(".")[0] in LEFT_OF_WALL else "rescore")


MISTAKES = (
    ("  snap_fraction:", "  snap_fractoin:"),
    ("  halo_um: 64.0\n", ""),
    ("    source: midpoint.*\n", ""),
    (r"thresholds: \[0.2, 0.4, 0.6\]", "thresholds: [0.4, 0.2, 0.6]"),
    ("    scale: h_score(?s:(.*))value: 150", r"    scale: percent_positive\1value: 50"),
    ("value: 150", "value: 400"),
    ("value: 150", 'value: "150"'),
    (r"control: \[Control\]", "control: [Tumor]"),
    ("  halo_um: 64.0", "  halo_um: 64.0\n  halo_um: 65.0"),
)


def test_the_error_lines_on_the_assay_page_are_those_of_the_code():
    said = []
    for pattern, replacement in MISTAKES:
        text, n = re.subn(pattern, replacement, load_assay("cxcr4").text, count=1)
        assert n == 1, pattern
        with pytest.raises(AssayError) as caught:
            parse_assay(text, where="my-assay.yaml")
        said.append(str(caught.value))
    printed = re.findall(r"^my-assay\.yaml.*$", page("docs/assay.md"), re.M)
    assert sorted(printed) == sorted(said)


# ---- outputs.md ----


def column_names(heading: str) -> list[str]:
    return first_names(table_rows(section(page("docs/outputs.md"), heading)))


def test_the_columns_of_the_tables_are_on_the_outputs_page_in_their_order():
    assert tuple(column_names("scores.csv")) == SCORE_COLUMNS
    assert (*SCORE_COLUMNS, *column_names("regions.csv")) == REGION_COLUMNS
    assert tuple(column_names("patients.csv")) == PATIENT_COLUMNS
    assert tuple(column_names("timings.csv")) == TIMING_COLUMNS
    outlines = [name for name in CELL_SCHEMA.names if name.endswith("_outline")]
    assert (*(n for n in CELL_SCHEMA.names if n not in outlines), *column_names("Exports")) == CSV_COLUMNS
    assert tuple(column_names("Reviewed columns")) == REVIEWED_COLUMNS
    assert tuple(column_names("Exports of reviews")) == EVENT_COLUMNS


@pytest.mark.parametrize(("heading", "schema"), [("cells.parquet", CELL_SCHEMA), ("tiles.parquet", TILE_SCHEMA)])
def test_the_columns_of_a_parquet_file_are_on_the_outputs_page_with_their_types(heading, schema):
    rows = table_rows(section(page("docs/outputs.md"), heading))
    assert first_names(rows) == schema.names
    for cells, field in zip(rows, schema, strict=True):
        is_list = pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type)
        inner = str(field.type.value_type) if is_list else ""
        kind = f"list of {PYARROW_NAMES.get(inner, inner)}" if is_list else str(field.type)
        assert cells[1] == PYARROW_NAMES.get(kind, kind), field.name


def flags_in(source: str) -> Iterator[tuple[str, str]]:
    """Name and level of every flag a source can raise: `Flag(name, level, ...)`, or a note that becomes one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Flag":
            literal = [part.value for part in node.args[:2] if isinstance(part, ast.Constant)]
            if len(literal) == 2:
                yield literal[0], literal[1]
        if isinstance(node, ast.Dict):
            note = {k.value: v for k, v in zip(node.keys, node.values, strict=True) if isinstance(k, ast.Constant)}
            if {"name", "level", "text"} <= set(note) and isinstance(note["level"], ast.Constant):
                assert isinstance(note["name"], ast.Constant)
                yield note["name"].value, note["level"].value


def test_every_flag_is_on_the_outputs_page_with_its_level():
    raised = {flag for path in SOURCES for flag in flags_in(path.read_text())}
    assert len(raised) >= 10
    listed = [(quoted(row[0])[0], row[1]) for row in table_rows(section(page("docs/outputs.md"), "QC flags"))]
    assert len(listed) == len(set(listed))
    assert set(listed) == raised


def test_flags_are_found_in_both_forms():
    source = (
        'a = Flag("one", "warn", "text")\nb = {"name": "two", "level": "info", "text": text}\nc = Flag(n["name"], l, t)'
    )
    assert list(flags_in(source)) == [("one", "warn"), ("two", "info")]


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    """What result.json holds, made of an empty slide; the run folder adds `key`, `digests` and `seal`."""
    blank = np.full((64, 64, 3), 240, np.uint8)
    assay = load_assay().assay
    analysis = analyze_slide(lambda: ArrayReader(blank, mpp=0.5), assay)
    analysis.facts.update(annotations=None, notes=[])
    return judge_slide(analysis, assay, SlideIdentity("blank", "blank")).record


def test_the_keys_of_result_json_are_on_the_outputs_page(record):
    rows = table_rows(section(page("docs/outputs.md"), "result.json"))
    assert set(first_names(rows)) == {*record, "key", "digests", "seal"}
    by_key = {name: set(quoted(" ".join(cells))) for cells in rows for name in quoted(cells[0])}
    for part in ("slide", "analysis", "stains", "model", "qc", "assay"):
        assert set(record[part]) <= by_key[part], part


def dict_keys(path: str, function: str) -> set[str]:
    """The literal keys of the dictionaries written in a function, those of inner ones left out."""
    tree = ast.parse(page(path))
    [node] = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == function]
    dicts = [n for n in ast.walk(node) if isinstance(n, ast.Dict)]
    inner = {id(child) for each in dicts for value in each.values for child in ast.walk(value)}
    return {k.value for each in dicts if id(each) not in inner for k in each.keys if isinstance(k, ast.Constant)}


def test_the_keys_of_run_json_and_of_a_slides_key_are_on_the_outputs_page():
    written = dict_keys("src/slidescore/pipeline/cohort.py", "_write_run_json")
    written |= dict_keys("src/slidescore/pipeline/rescore.py", "_write_run_json")
    assert set(column_names("run.json")) == written
    rows = table_rows(section(page("docs/outputs.md"), "result.json"))
    [key_row] = [cells for cells in rows if quoted(cells[0]) == ["key"]]
    assert set(quoted(key_row[1])) == dict_keys("src/slidescore/pipeline/slide.py", "slide_key")


def test_every_exit_code_is_on_the_outputs_page():
    codes = {value for name, value in vars(command_line).items() if name.startswith("EXIT_")}
    assert {int(row[0]) for row in table_rows(section(page("docs/outputs.md"), "Exit codes"))} == {0, *codes}


# ---- the command line ----


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")


COMMANDS = dict(commands(command_line.cli))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself_and_is_on_a_page(name):
    command, pages = COMMANDS[name], page("README.md") + page("docs/outputs.md")
    assert command.help
    assert all(word in pages for word in name.split())
    for option in (each for each in command.params if isinstance(each, click.Option)):
        assert option.help, option.name
        long = next(text for text in option.opts if text.startswith("--"))
        assert re.search(rf"{long}(?![\w-])", pages), long


def test_every_verb_has_a_row_with_its_options():
    rows = table_rows(section(page("docs/outputs.md"), "Which command writes what"))
    listed = {quoted(cells[0])[0].split()[1]: set(quoted(cells[2])) for cells in rows}
    assert set(listed) == set(command_line.VERBS)
    for verb, options in listed.items():
        own = {o.opts[0] for o in COMMANDS[verb].params if isinstance(o, click.Option)}
        assert options == own, verb


# ---- what pages name ----


def missing_paths(text: str, folder: Path) -> list[str]:
    """Relative links, and quoted paths from the top of the repository, that lead nowhere."""
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    paths = [name for name in quoted(text) if re.fullmatch(rf"(?:{FOLDERS})/[\w./-]*", name)]
    return [name for name in links if not (folder / name).exists()] + [p for p in paths if not (ROOT / p).exists()]


@cache
def defined() -> set[str]:
    kinds = (ast.FunctionDef, ast.ClassDef)
    files = [*SOURCES, *(ROOT / "benchmarks").glob("*.py")]
    return {n.name for path in files for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, kinds)}


def unknown_calls(text: str) -> list[str]:
    """Quoted `name()` or `Class.name()` that neither the package nor a benchmark defines."""
    calls = [name for name in quoted(text) if re.fullmatch(r"[\w.]+\(\)", name)]
    return [name for name in calls if not set(name[:-2].split(".")) <= defined()]


@pytest.mark.parametrize("name", names(PAGES))
def test_what_a_page_names_exists(name):
    text = page(name)
    assert missing_paths(text, (ROOT / name).parent) == []
    assert set(unknown_calls(text)) <= {"skimage.data.immunohistochemistry()"}


@pytest.mark.parametrize("name", names(PAGES))
def test_a_page_holds_no_path_of_a_machine(name):
    assert re.findall(r"(?<![\w.])/(?:work|home|root|tmp|Users|mnt|data)/\S*|[A-Z]:\\\S*", page(name)) == []


def test_what_is_wrong_on_a_page_is_seen():
    text = "[x](nowhere.md) [y](README.md#top) `src/slidescore/no.py` `docs/<name>.md` `find_tissue()` `find_nothing()`"
    assert missing_paths(text, ROOT) == ["nowhere.md", "src/slidescore/no.py"]
    assert unknown_calls(text) == ["find_nothing()"]


def test_the_floors_on_the_tour_are_those_that_the_architecture_test_holds():
    [picture] = re.findall(r"```\n(.*?)```", section(page("docs/tour.md"), "Import floors"), re.S)
    assert [set(line.split()) for line in picture.splitlines()] == list(reversed([set(f) for f in FLOORS]))
