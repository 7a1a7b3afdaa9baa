from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from classical_assay import classical_assay, classical_text
from report.made_cells import make_cells, scattered_cells
from report.made_result import INTERVAL, make_result, make_row, make_schemes
from report.page_checks import read_page
from slidescore.assay import parse_assay
from slidescore.cells.table import replace_column
from slidescore.qc.overlay import prepare_cells
from slidescore.report.gallery import read_gallery
from slidescore.report.overlay_pyramid import write_thumbnail
from slidescore.report.slide_page import render_slide_page
from slidescore.slide import ArrayReader

ASSAY = classical_assay()
CELLS = scattered_cells(2000, 900, 900)
READER = ArrayReader(np.full((900, 900, 3), 230, np.uint8), mpp=0.25)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;.svs"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any]:
    path: Path = tmp_path_factory.mktemp("page") / "thumbnail.png"
    write_thumbnail(path, READER, 0.25, prepare_cells(CELLS, ASSAY))
    return path.read_bytes(), read_gallery(READER, 0.25, CELLS, ASSAY)


def test_every_number_is_on_the_page(pictures: tuple[bytes, Any]) -> None:
    region = make_row(CELLS, ASSAY, h_score=77.4, n_tumor_cells=4321) | {"region": "Core B7"}
    result = make_result(CELLS, ASSAY, regions=[region | {"h_score_low": 60.4, "h_score_high": 91.6, "p_high": 0.021}])
    result["schemes"] = make_schemes(CELLS, ASSAY, h_score=(141.27, 162.93), irs=(3.0, 6.0))
    result["uncertainty"] = INTERVAL
    tiles = pa.table(
        {"status": ["scored", "excluded", "excluded", "failed"], "reason": [None, "pen", "pen", "decode error"]}
    )
    text, reader = read_page(render_slide_page(result, CELLS, tiles, ASSAY, *pictures))
    scores = result["scores"]
    expected = [
        "a.svs", "a-01234567", f"{scores['h_score']:.1f}", "95 % interval 141.3 to 162.9", "PROVISIONAL",
        "cut-off H-score cytoplasm ≥ 150", f"{scores['n_tumor_cells']:,}", "12.346", "11.877", "3.1 %", "<0.1 %",
        "70 scored, 6 excluded, 1 failed", *(f"{scores[f'n{k}']:,}" for k in range(4)),
        *(f"{scores[f'h_{name}']:.1f}" for name in ("nucleus", "cytoplasm", "membrane", "cell")), "P(HIGH) 0.38",
        "141.3 to 162.9", "3 to 6", "60 to 92", "0.02", "2,000", "as much as 72 independent ones", "140.0 to 146.1",
        "provisional: not validated", "midpoint of the 0-300 scale",
        "warn", "DAB between cells is 0.163 OD.", "negative cells may read 1+", "0.173", "Core B7", "77", "4,321",
        "pen", "decode error", "40,123 × 30,456 px", "0.2512 × 0.2513 µm/px, file",
        "0.5025 µm/px from level 0, factor 2",
        "5 duplicates merged, 2 cells restored", "241.0, 239.5, 240.2 (glass)", "0.650, 0.704, 0.286",
        "0.268, 0.570, 0.776", "fallback", "turned by 17.4°", "residual 0.021 OD", "8,123 pixels", "turned too far",
        result["assay"]["digest"], result["assay"]["left_digest"], "classical-1", "cpu-float32", "numpy 2.1.3",
        "aperio", "openslide", "SS1234", "ICC profile present, not applied", "a.geojson", "2 include",
        "1 tiles could not be read", "ab" * 32,
    ]  # fmt: skip
    assert [phrase for phrase in expected if phrase not in text] == []
    assert len(reader.sources) == 25
    assert reader.scripts == 0


def test_an_interval_without_width_says_what_it_does_not_say() -> None:
    result = make_result(CELLS, ASSAY)
    result["schemes"] = make_schemes(CELLS, ASSAY, h_score=(0.0, 0.0))
    alike = {"squares": [[0, 0, 900, 0, 0, 0]], "n_eff": None, "naive_low": 0.0, "naive_high": 0.0, "p_high": 0.0}
    result["uncertainty"] = INTERVAL | alike
    text, _ = read_page(render_slide_page(result, CELLS, None, ASSAY, None))
    assert "All cells are in one bin, so the interval has no width" in text
    assert "independent ones" not in text


def test_each_gallery_cell_says_where_and_how_much(pictures: tuple[bytes, Any]) -> None:
    text, _ = read_page(render_slide_page(make_result(CELLS, ASSAY), CELLS, None, ASSAY, *pictures))
    for cell in pictures[1]:
        assert f"{cell.x_l0:.0f}, {cell.y_l0:.0f}" in text
        assert f"{cell.dab_od['cytoplasm']:.3f}" in text


def test_without_an_interval_the_page_says_why() -> None:
    text, _ = read_page(render_slide_page(make_result(CELLS, ASSAY), CELLS, None, ASSAY, None))
    assert "No interval and no probability of HIGH: only 4 squares of 512 µm hold tumor cells (at least 10)." in text
    assert "95 % interval" not in text.split("All scores")[0]
    assert "P(HIGH) " not in text


def test_the_pixel_score_stands_beside_that_of_all_cells() -> None:
    result = make_result(CELLS, ASSAY)
    assert "Pixel H-score 9" not in read_page(render_slide_page(result, CELLS, None, ASSAY, None))[0]
    result["schemes"]["pixel_h_score"]["cytoplasm"] = {"value": 92.65, "low": 79.31, "high": 105.04}
    text, _ = read_page(render_slide_page(result, CELLS, None, ASSAY, None))
    assert f"Pixel H-score 92.7 (79.3 to 105.0), beside {result['scores']['h_all_cells']:.1f} of all cells" in text


def test_without_a_cutoff_there_is_no_call(change: Any) -> None:
    assay = change(ASSAY, {"call.cutoff": None})
    text, _ = read_page(render_slide_page(make_result(CELLS, assay), CELLS, None, assay, None))
    assert "no cut-off: no call" in text
    assert "none: nothing is called" in text
    assert "No interval: only 4 squares" in text
    assert "cut-off ≥" not in text
    assert "HIGH" not in text.split("Regions")[0].split("All scores")[0]


def test_what_high_stood_for_is_said_and_how_far_a_cutoff_is_to_be_trusted(change: Any) -> None:
    changes = {"meaning": "better <recurrence-free> survival", "status": "unverified"}
    assay = change(ASSAY, {f"call.cutoff.{name}": value for name, value in changes.items()})
    text, _ = read_page(render_slide_page(make_result(CELLS, assay), CELLS, None, assay, None))
    assert "What high stood for in the cut-off's source: better <recurrence-free> survival" in text
    assert "UNVERIFIED" in text
    assert "unverified: what its source says leaves open" in text


def test_hostile_names_stay_text(pictures: tuple[bytes, Any]) -> None:
    region = make_row(CELLS, ASSAY, reason=HOSTILE) | {"region": HOSTILE}
    result = make_result(CELLS, ASSAY, regions=[region], file=HOSTILE)
    result["slide"]["scanner"] = result["annotations"]["file"] = HOSTILE
    result["degradations"] = [HOSTILE]
    result["qc"]["flags"] = [{"name": HOSTILE, "level": "warn", "text": HOSTILE}]
    html = render_slide_page(result, CELLS, None, ASSAY, *pictures)
    text, reader = read_page(html)
    assert reader.scripts == 0
    assert "<script>alert" not in html
    assert text.count("<script>alert(1)</script>") >= 7


def test_a_name_that_is_no_utf_8_can_be_written() -> None:
    html = render_slide_page(make_result(CELLS, ASSAY, file="caf\udce9.svs"), CELLS, None, ASSAY, None)
    assert "caf\\udce9.svs" in html
    html.encode("utf-8")


def test_a_slide_that_is_not_evaluable_says_why() -> None:
    cells = make_cells([], [])
    result = make_result(
        cells, ASSAY, status="not_evaluable", call="NOT_EVALUABLE", reason="too few tumor cells (0, at least 100)",
        percent_positive=None,
    )  # fmt: skip
    text, reader = read_page(render_slide_page(result, cells, None, ASSAY, None))
    assert "NOT EVALUABLE" in text
    assert "too few tumor cells (0, at least 100)" in text
    assert "PROVISIONAL" not in text
    assert "– H-score" in text
    assert "No pictures" in text
    assert reader.sources == []


@pytest.mark.parametrize(
    ("call", "style"), [("HIGH", "call-high"), ("LOW", "call-low"), ("EQUIVOCAL", "call-equivocal")]
)
def test_calls_differ_in_form(call: str, style: str) -> None:
    html = render_slide_page(make_result(CELLS, ASSAY, call=call), CELLS, None, ASSAY, None)
    assert f'<span class="call {style}">{call}</span>' in html


def test_validated_cutoffs_are_not_called_provisional() -> None:
    html = render_slide_page(make_result(CELLS, ASSAY, call_status="validated"), CELLS, None, ASSAY, None)
    assert "PROVISIONAL" not in html


def test_an_assay_on_percent_positive() -> None:
    text = classical_text()
    text = text.replace("scheme: h_score", "scheme: percent_positive").replace(
        "scale: h_score", "scale: percent_positive"
    )
    assay = parse_assay(text.replace("value: 150", "value: 1"), where="test")
    page, _ = read_page(render_slide_page(make_result(CELLS, assay), CELLS, None, assay, None))
    assert "cut-off percent positive cytoplasm ≥ 1" in page
    assert "% positive" in page


def test_types_and_the_three_rules_are_on_the_page_where_they_are_known() -> None:
    text = classical_text().replace("segmenter: classical", "segmenter: network")
    assay = parse_assay(text.replace("rule: all", "rule: probability"), where="test")
    n = 40
    tumor = np.tile([0.9, 0.6, 0.2, 0.1], n // 4)
    cells = make_cells([(20 * k, 50) for k in range(n)], [0.1 + 0.02 * k for k in range(n)], tumor=tumor.tolist())
    for name, values in (("lymphocyte", [0.05, 0.2, 0.7, 0.1]), ("stromal", [0.05, 0.2, 0.1, 0.1])):
        column = pa.array(np.tile(values, n // 4), pa.float32())
        cells = replace_column(cells, f"{name}_probability", column)
    result = make_result(cells, assay)
    page, _ = read_page(render_slide_page(result, cells, None, assay, None))
    scores = result["scores"]
    lymphocytes = result["sensitivity"]["h_lymphocytes"]
    assert len({scores["h_score"], scores["h_all_cells"], scores["h_strict"]}) == 3
    rows = [
        f"This assay's rule tumor probability ≥ 0.5 20 {scores['h_score']:.1f}",
        f"All cells tumor or not 40 {scores['h_all_cells']:.1f} {scores['h_all_cells'] - scores['h_score']:+.1f}",
        f"Strict tumor probability ≥ 0.8 10 {scores['h_strict']:.1f}",
        f"Lymphocytes these alone 10 {lymphocytes:.1f}",
        f"Lymphocytes mixed in 10 % of the cells {0.9 * scores['h_score'] + 0.1 * lymphocytes:.1f}",
        *(
            f"Other limit tumor probability ≥ {each['probability']:g} {each['n']} {each['h']:.1f}"
            for each in result["sensitivity"]["limits"]
        ),
    ]
    words = "".join(page.split())
    assert [row for row in rows if row.replace(" ", "") not in words] == []
    assert "Tumorcells20Lymphocytes10Stromalcells0Othercells10" in words
    assert "H-score of all cells" not in page


def test_under_rule_all_the_page_counts_types_by_highest_probability() -> None:
    assay = parse_assay(classical_text().replace("segmenter: classical", "segmenter: network"), where="test")
    n = 40
    tumor = np.tile([0.6, 0.4, 0.2, 0.1], n // 4)
    cells = make_cells([(20 * k, 50) for k in range(n)], [0.3] * n, tumor=tumor.tolist())
    for name, values in (("lymphocyte", [0.1, 0.5, 0.7, 0.1]), ("stromal", [0.1, 0.05, 0.05, 0.7])):
        cells = replace_column(cells, f"{name}_probability", pa.array(np.tile(values, n // 4), pa.float32()))
    result = make_result(cells, assay)
    assert result["scores"]["n_tumor_cells"] == n
    page, _ = read_page(render_slide_page(result, cells, None, assay, None))
    note = "byhighestprobability;therulecountseverycell"
    shown = f"Ofthetypetumor{note}10Lymphocytes{note}20Stromalcells{note}10Othercells{note}0"
    assert f"Tumorcells40{shown}" in "".join(page.split())


def test_where_nothing_tells_types_the_page_does_not_pretend() -> None:
    page, _ = read_page(render_slide_page(make_result(CELLS, ASSAY), CELLS, None, ASSAY, None))
    assert "hangs on the tumor rule" not in page
    assert "Lymphocytes" not in page
    assert "H-score of all cells" in page
