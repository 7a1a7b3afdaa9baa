"""The pages' files: nothing inline, nothing from elsewhere, nothing missing, numbers written as in reports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import slidescore.review
from slidescore.assay.model import SCALE_RANGE
from slidescore.audit.requests import MAX_CORNERS, MAX_REASON, MAX_REVIEWER, MAX_TEXT, PERCENT_SLACK
from slidescore.report.page import (
    SCALE_WORDS,
    show_chance,
    show_cutoff,
    show_number,
    show_percent,
    show_score,
    show_value,
)
from slidescore.review import api_assay
from slidescore.review.overlay_tiles import COLOURBLIND_COLOURS
from slidescore.review.stain_views import HEAT_MAX_OD
from slidescore.scoring.schemes import SCHEMES

WEB = Path(slidescore.review.__file__).parent / "web"
PAGES = sorted(WEB.glob("*.html"))
MODULES = sorted(WEB.glob("*.js"))
STYLES = sorted(WEB.glob("*.css"))
QUPATH_KEYS = {"a", "d", "f", "g", "n"}
NUMBERS = [
    None, 0, 0.05, 0.1, 0.25, 0.35, 0.5, 0.75, 1.005, 1.5, 2.5, 9.95, 9.96, 10, 10.5, 11.5, 38.57143, 61.5, 99.4, 99.51,
    99.95, 100, 150, 186.5, 187.25, 187.5, 187.6092, 299.95, 300, 999.5, 1000, 1234.5, 1234567.25,
]  # fmt: skip


CUTOFFS = ["irs cytoplasm > 7", "pixel_h_score cell >= 80", "percent_positive membrane >= 1"]
CHANCES = [None, 0, 0.004, 0.01, 0.125, 0.381, 0.99, 0.996, 1]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_holds_no_script_style_or_handler_of_its_own(page):
    text = read(page)
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", text) == []
    assert re.findall(r"<script(?![^>]*\ssrc=)", text) == []


@pytest.mark.parametrize("path", [*PAGES, *MODULES, *STYLES], ids=lambda path: path.name)
def test_a_file_names_no_address_elsewhere(path):
    assert set(re.findall(r"https?://[^\"'` )]+", read(path))) <= {"http://www.w3.org/2000/svg"}
    assert (
        re.findall(r"@import|url\(|\beval\b|new Function|innerHTML|insertAdjacentHTML|document\.write", read(path))
        == []
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_what_a_page_loads_is_there(page):
    from slidescore.review.api_pages import static_files

    wanted = set(re.findall(r'"/static/([^"]+)"', read(page)))
    assert {"tokens.css", "app.css", "icon.svg"} <= wanted
    # The viewer comes from npm, which not every machine has.
    assert wanted - {"openseadragon.min.js"} <= set(static_files())


def test_what_modules_import_is_exported_and_the_other_way_round():
    imported = {
        (source, name.strip())
        for module in MODULES
        for names, source in re.findall(r'import \{([^}]+)\} from "\./([^"]+)"', read(module))
        for name in names.split(",")
        if name.strip()
    }
    exports = re.compile(r"^export (?:async )?(?:const|function|class) (\w+)", re.MULTILINE)
    exported = {(module.name, name) for module in MODULES for name in exports.findall(read(module))}
    assert imported == exported


@pytest.mark.parametrize("style", STYLES, ids=lambda path: path.name)
def test_no_stray_semicolon_drops_a_rule(style):
    assert not re.search(r"^[^{]*\};|\}\s*;", read(style), re.MULTILINE)


def test_what_pages_repeat_of_the_server_is_what_the_server_has():
    def said(name: str, pattern: str) -> str:
        [found] = re.findall(pattern, read(WEB / name))
        return found

    assert int(said("shapes.js", r"MOST_CORNERS = (\d+)")) == MAX_CORNERS
    assert said("preview.js", r"const NAME = /\^(.+)\$/;") == api_assay._NAME.pattern
    assert float(said("slide.html", r"<span>DAB OD</span>\s*<span>([\d.]+)</span>")) == HEAT_MAX_OD
    colours = re.findall(r"--bin\d: #(\w{6});", said("app.css", r'"colourblind"\] \{(.*?)\}'))
    assert [tuple(bytes.fromhex(colour)) for colour in colours] == list(COLOURBLIND_COLOURS)
    assert float(said("read.js", r"const SLACK = ([\d.]+)")) == PERCENT_SLACK
    lengths = {
        *re.findall(r'name="(\w+)" maxlength="(\d+)"', "".join(map(read, PAGES))),
        ("reviewer", said("dialogs.js", r'name: "reviewer".*maxlength: (\d+)')),
    }
    assert {(name, int(most)) for name, most in lengths} == {
        ("reviewer", MAX_REVIEWER),
        ("reason", MAX_REASON),
        ("text", MAX_TEXT),
        ("name", api_assay.MAX_NAME),
        ("source", api_assay.MAX_SOURCE),
    }


def test_every_module_is_reached_from_a_page():
    reached: set[str] = set()
    waiting = {name for page in PAGES for name in re.findall(r'"/static/([^"]+\.js)"', read(page))}
    while waiting:
        name = waiting.pop()
        if name not in reached and (WEB / name).is_file():
            reached.add(name)
            waiting |= set(re.findall(r'from "\./([^"]+)"', read(WEB / name)))
    assert reached == {path.name for path in MODULES}


def test_every_icon_that_is_named_is_drawn():
    drawn = set(re.findall(r"^  (\w+): \"M", read(WEB / "icons.js"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r'data-icon="([^"]+)"', read(page))}
    named |= {name for path in MODULES for name in re.findall(r'\bicon\("(\w+)"\)', read(path))}
    assert named <= drawn


def test_letters_that_mean_something_else_in_qupath_are_left_alone():
    bound = {
        key
        for path in MODULES
        for keys in re.findall(r"keys: \[([^\]]*)\]", read(path))
        for key in re.findall(r'"([^"]+)"', keys)
    }
    assert {"1", "2", "3", "y", "x", "o", "m", "?", "j", "k"} <= bound
    assert {key.split("+")[-1] for key in bound if key} & QUPATH_KEYS == set()


def test_every_control_of_a_page_has_a_name():
    for page in PAGES:
        for tag, inside in re.findall(r"<button([^>]*)>(.*?)</button>", read(page), re.DOTALL):
            assert "aria-label=" in tag or re.sub(r"<[^>]+>", "", inside).strip(), (page.name, tag)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_numbers_are_written_as_in_reports(tmp_path):
    # A module by its ending, so that node needs no package file.
    shutil.copy(WEB / "format.js", tmp_path / "format.mjs")
    script = tmp_path / "run.mjs"
    script.write_text(
        'import * as f from "./format.mjs";\n'
        f"const numbers = {json.dumps(NUMBERS)};\n"
        "const cutoff = f.showCutoff({ text: 'h_score cytoplasm >= 150' });\n"
        "const scores = (n) => [f.showScore(n), f.showScore(n, 1)];\n"
        "const rows = numbers.map((n) => [f.showNumber(n), f.showNumber(n, 3), ...scores(n), f.showPercent(n)]);\n"
        f"const cutoffs = {json.dumps(CUTOFFS)}.map((text) => f.showCutoff({{ text }}));\n"
        f"const chances = {json.dumps(CHANCES)}.map(f.showChance);\n"
        "const scales = Object.keys(f.SCALES).map((scale) => [scale, f.SCALES[scale].end, f.SCALES[scale].words,\n"
        "  numbers.filter((n) => n === null || n <= 100).map((n) => f.SCALES[scale].write(n, 1))]);\n"
        "const between = [f.showBetween(1.2, 3.4), f.showBetween(1.2, null), f.showBetween(9.5, 12, f.showPercent)];\n"
        "console.log(JSON.stringify({ rows, cutoff, cutoffs, chances, scales, between }));\n"
    )
    done = subprocess.run(["node", str(script)], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    rows, cutoff = said["rows"], said["cutoff"]
    for number, row in zip(NUMBERS, rows, strict=True):
        numbers, scores = [show_number(number), show_number(number, 3)], [show_score(number), show_score(number, 1)]
        assert row == [*numbers, *scores, show_percent(number)], number
    assert cutoff == show_cutoff("h_score cytoplasm >= 150")
    assert said["cutoffs"] == [show_cutoff(text) for text in CUTOFFS]
    assert said["chances"] == [show_chance(chance) for chance in CHANCES]
    assert said["between"] == ["1 to 3", "", "9.5 % to 12 %"]
    small = [number for number in NUMBERS if number is None or number <= 100]
    assert said["scales"] == [
        [scale, SCALE_RANGE[scale][1], SCALE_WORDS[scale], [show_value(scale, number, 1) for number in small]]
        for scale in SCHEMES
    ]
