"""Quality changes what happens: bad squares are left out with their reason, and other stains have no call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import tifffile
from numpy.typing import NDArray

import phantom as ph
import phantom_artifacts as spoil
import phantom_wrong as wrong
from slidescore.annotations import NO_ANNOTATIONS, AnnotationSet, Area
from slidescore.assay import Assay
from slidescore.cells.table import floats
from slidescore.pipeline.analysis import SlideAnalysis, analyze_slide
from slidescore.pipeline.judge import SlideIdentity, SlideResult, judge_slide
from slidescore.pipeline.publish import write_slide_pictures
from slidescore.qc.overlay import HATCH_COLOUR
from slidescore.qc.squares import MEASURES
from slidescore.slide import ArrayReader

MPP, SIDE = 0.5, 128
IDENTITY = SlideIdentity("x", "x.svs")
SPOILT = {
    "qc: out of focus": (1, 2, 2, 1), "qc: ink": (4, 1, 1, 2), "qc: black": (2, 4, 1, 1), "qc: pigment": (4, 4, 1, 1),
    "qc: bubble or edge": (1, 4, 1, 1), "qc: fold": (3, 5, 1, 1),
}  # fmt: skip
"""Column, row, columns and rows of the squares that are spoilt, by what QC should say."""


def box(columns_and_rows: tuple[int, int, int, int]) -> spoil.Box:
    left, top, width, height = (SIDE * value for value in columns_and_rows)
    return left, top, width, height


@pytest.fixture(scope="session")
def whole() -> ph.Phantom:
    """Seven by seven squares, an island of tissue with glass around."""
    return ph.draw_phantom(ph.slide_spec(21, mpp=MPP, side_px=7 * SIDE, tissue_fraction=0.75, jpeg_quality=85))


@pytest.fixture(scope="session")
def spoilt(whole: ph.Phantom) -> NDArray[np.uint8]:
    rgb = spoil.out_of_focus(whole.rgb, box(SPOILT["qc: out of focus"]))
    rgb = spoil.ink(rgb, box(SPOILT["qc: ink"]))
    rgb = spoil.carbon(rgb, box(SPOILT["qc: black"]))
    rgb = spoil.hemosiderin(rgb, box(SPOILT["qc: pigment"]))
    rgb = spoil.bubble_rim(rgb, box(SPOILT["qc: bubble or edge"]))
    return spoil.fold(rgb, box(SPOILT["qc: fold"]), whole.spec.white)


@pytest.fixture(scope="session")
def few(assay: Assay, change) -> Assay:
    return change(assay, {"qc.min_tumor_cells": 20})


@pytest.fixture(scope="session")
def measured(spoilt: NDArray[np.uint8], few: Assay, change) -> Callable[..., SlideAnalysis]:
    """Measure the spoilt slide under a tile grid, each grid once."""

    @cache
    def measure(core_px: int = 1024, origin_px: tuple[int, int] = (0, 0), halo_um: float = 64.0) -> SlideAnalysis:
        values: dict[str, Any] = {"tiles.core_px": core_px, "tiles.halo_um": halo_um}
        analysis = analyze_slide(
            lambda: ArrayReader(spoilt, mpp=MPP), change(few, values), origin_px=origin_px, threads=2
        )
        analysis.facts.update(annotations=None, notes=[])
        return analysis

    return measure


def judged(analysis: SlideAnalysis, assay: Assay) -> SlideResult:
    return judge_slide(analysis, assay, IDENTITY)


def inside(analysis: SlideAnalysis, where: spoil.Box) -> NDArray[np.bool_]:
    x, y = floats(analysis.cells, "x"), floats(analysis.cells, "y")
    left, top, width, height = where
    return (x >= left) & (x < left + width) & (y >= top) & (y < top + height)


def test_cells_in_a_spoilt_square_say_why_they_do_not_count(measured):
    analysis = measured()
    reasons = np.array(analysis.cells.column("excluded").to_pylist(), dtype=object)
    anywhere = np.zeros(len(reasons), bool)
    for reason, where in SPOILT.items():
        here = inside(analysis, box(where))
        assert set(reasons[here]) <= {reason}
        anywhere |= here
    assert anywhere.sum() > 20
    assert set(reasons[~anywhere]) == {None}
    assert {"qc: out of focus", "qc: ink", "qc: fold"} <= set(reasons[anywhere])


def test_what_is_left_out_is_accounted_for(measured, few):
    analysis, result = measured(), judged(measured(), few)
    found = result.record["qc"]["artifacts"]
    assert {reason: part["squares"] for reason, part in found.items()} == {
        reason: columns * rows for reason, (_, _, columns, rows) in SPOILT.items()
    }
    tissue = sum(part["tissue_um2"] for part in found.values())
    row = result.row
    assert sum(analysis.tiles.column("excluded_um2").to_pylist()) == pytest.approx(tissue)
    assert row["excluded_fraction"] == pytest.approx(tissue / 1e6 / row["tissue_mm2"])
    assert row["scored_mm2"] == pytest.approx(row["tissue_mm2"] - tissue / 1e6)
    assert row["n_cells"] == analysis.cells.column("excluded").null_count < analysis.cells.num_rows
    assert "many_artifacts" in row["qc_flags"]
    assert row["qc"] == "warn"


def test_the_score_without_exclusions_is_given_and_differs(measured, few):
    analysis = measured()
    row = judged(analysis, few).row
    od = floats(analysis.cells, "dab_od_cytoplasm")
    everything = np.bincount(np.searchsorted(np.array([0.2, 0.4, 0.6], np.float32), od, side="right"), minlength=4)
    assert row["h_without_exclusions"] == pytest.approx(100 * everything @ np.arange(4) / everything.sum())
    assert abs(row["h_without_exclusions"] - row["h_score"]) > 1


def test_an_unspoilt_slide_loses_nothing(whole, few):
    analysis = analyze_slide(lambda: ArrayReader(whole.rgb, mpp=MPP), few)
    analysis.facts.update(annotations=None, notes=[])
    result = judged(analysis, few)
    assert (result.row["excluded_fraction"], result.record["qc"]["artifacts"]) == (0.0, {})
    assert result.row["h_without_exclusions"] == result.row["h_score"]
    assert analysis.cells.column("excluded").null_count == analysis.cells.num_rows
    measures = result.record["qc"]["measures"]
    assert 0.3 < measures["sharpness"] < 0.7
    assert measures["soft_fraction"] == measures["artifact_fraction"] == 0
    assert abs(measures["glass_dab_od"]) < 0.01


GRIDS = [(512, (0, 0), 64.0), (384, (-77, -131), 64.0), (300, (0, 0), 40.0)]


def squares(analysis: SlideAnalysis) -> dict[int, tuple[Any, ...]]:
    """Reason and measures of each square; asserts that tiles that share one agree, and adds their tissue up."""
    names = ["square", "square_excluded", *(f"square_{name}" for name in MEASURES)]
    columns = [list(chain.from_iterable(analysis.tiles.column(name).to_pylist())) for name in names]
    tissue = list(chain.from_iterable(analysis.tiles.column("square_tissue_um2").to_pylist()))
    found: dict[int, tuple[Any, ...]] = {}
    area: dict[int, float] = {}
    for (number, *rest), um2 in zip(zip(*columns, strict=True), tissue, strict=True):
        assert found.setdefault(number, tuple(rest)) == tuple(rest)
        area[number] = area.get(number, 0.0) + um2
    return {number: (*rest, area[number]) for number, rest in found.items()}


@pytest.mark.parametrize("grid", GRIDS)
def test_squares_do_not_depend_on_tiles(measured, grid):
    """Not on their size, not on where they begin, and not on a halo that is narrower than a square."""
    one, other = measured(), measured(*grid)
    assert one.tiles.num_rows == 1 < other.tiles.num_rows
    assert squares(other) == squares(one)
    assert other.facts["colours"] == one.facts["colours"]
    excluded = [sorted(filter(None, each.cells.column("excluded").to_pylist())) for each in (one, other)]
    assert len(excluded[0]) == pytest.approx(len(excluded[1]), abs=2)
    areas = [sum(each.tiles.column("excluded_um2").to_pylist()) for each in (one, other)]
    assert areas[0] == pytest.approx(areas[1])


def test_a_tile_says_what_took_out_all_of_it(measured, few):
    tiles = measured(128).tiles
    x, y = (tiles.column(name).to_numpy() for name in ("x", "y"))
    reasons = dict(zip(zip(x.tolist(), y.tolist(), strict=True), tiles.column("reason").to_pylist(), strict=True))
    for reason, (column, row, _, _) in SPOILT.items():
        assert reasons[column * SIDE, row * SIDE] == reason
    blurred = tiles.filter(pc.equal(tiles.column("reason"), "qc: out of focus"))
    sharpness = blurred.column("sharpness").to_pylist()[0]
    assert sharpness < few.artifacts.min_sharpness


def test_excluded_squares_are_hatched_in_the_overlay_and_others_are_not(measured, few, spoilt, tmp_path: Path):
    result = judged(measured(), few)
    write_slide_pictures(tmp_path, result, ArrayReader(spoilt, mpp=MPP), NO_ANNOTATIONS, overlay_mpp=MPP)
    picture = tifffile.imread(tmp_path / "overlay.tiff").astype(int)
    hatched = np.abs(picture - np.array(HATCH_COLOUR)).max(axis=2) < 12

    def share(column: int, row: int) -> float:
        # Not the outline of the square, which neighbours share.
        return float(hatched[row * SIDE + 8 : (row + 1) * SIDE - 8, column * SIDE + 8 : (column + 1) * SIDE - 8].mean())

    assert min(share(column, row) for column, row, *_ in SPOILT.values()) > 0.02
    assert share(3, 3) < 0.01
    page = (tmp_path / "report.html").read_text()
    assert "Squares excluded" in page
    assert "out of focus" in page
    assert "hatch" in page


def test_too_much_excluded_has_no_score(measured, few, change):
    row = judged(measured(), change(few, {"qc.max_excluded_fraction": 0.05})).row
    assert row["call"] == "NOT_EVALUABLE"
    assert "of the tissue is excluded (limit 5 %)" in row["reason"]
    assert row["h_score"] is None


def test_too_few_tumor_cells_have_no_score(measured, few, change):
    row = judged(measured(), change(few, {"qc.min_tumor_cells": 100_000})).row
    assert (row["call"], row["status"]) == ("NOT_EVALUABLE", "not_evaluable")
    assert row["reason"].startswith("too few tumor cells")


@pytest.mark.parametrize(("side", "call"), [(20, "scored"), (160, "not_evaluable")])
def test_more_than_a_percent_of_missing_tissue_has_no_score(whole, few, side, call):
    rgba = np.dstack([whole.rgb, np.full(whole.rgb.shape[:2], 255, np.uint8)])
    rgba[400 : 400 + side, 400 : 400 + side] = 0
    analysis = analyze_slide(lambda: ArrayReader(rgba, mpp=MPP), few)
    analysis.facts.update(annotations=None, notes=[])
    row = judged(analysis, few).row
    assert row["status"] == call
    assert "missing_pixels" in row["qc_flags"]
    if call == "not_evaluable":
        assert "of the tissue has no pixels (limit 1 %)" in row["reason"]


@pytest.fixture(scope="session")
def field() -> wrong.Field:
    [field] = wrong.draw_fields(1, seed=5)
    return field


@pytest.mark.parametrize("kind", wrong.WRONG_KINDS)
def test_a_slide_of_another_stain_has_no_call(field, few, kind):
    rgb = wrong.draw_slide(kind, field, 3)
    named = AnnotationSet((Area("include", "A", _square(rgb.shape[0])),), "digest")
    for drawn in (NO_ANNOTATIONS, named):
        analysis = analyze_slide(lambda: ArrayReader(rgb, mpp=MPP), few, annotations=drawn)
        analysis.facts.update(annotations=None, notes=[])
        result = judged(analysis, few)
        assert (result.row["call"], result.row["qc"], result.row["h_score"]) == ("NOT_EVALUABLE", "fail", None)
        assert {row["call"] for row in result.regions} <= {"NOT_EVALUABLE"}
        assert all(row["reason"] == result.row["reason"] for row in result.regions)


def test_the_verdict_on_the_stain_follows_the_limits_without_a_pixel(field, few, change):
    analysis = analyze_slide(lambda: ArrayReader(wrong.draw_slide("aec", field, 3), mpp=MPP), few)
    analysis.facts.update(annotations=None, notes=[])
    assert judged(analysis, few).row["reason"] == "stain is not DAB with hematoxylin: red chromogen, looks like AEC"
    lenient = change(few, {"qc.stain.max_chromogen_red_degrees": 30.0, "qc.stain.doubtful_chromogen_red_degrees": 30.0})
    assert judged(analysis, lenient).row["call"] in ("HIGH", "LOW")


def test_an_excluded_square_in_control_tissue_does_not_count_there(spoilt, few):
    area = Area("control", "tonsil", _square(7 * SIDE))
    analysis = analyze_slide(lambda: ArrayReader(spoilt, mpp=MPP), few, annotations=AnnotationSet((area,), "digest"))
    analysis.facts.update(annotations=None, notes=[])
    result = judged(analysis, few)
    [row] = result.regions
    reasons = analysis.cells.column("excluded").to_pylist()
    assert "annotation: control; qc: out of focus" in reasons
    assert row["n_cells"] == reasons.count("annotation: control")
    assert row["excluded_fraction"] > 0.05
    assert (result.row["call"], result.row["reason"]) == ("NOT_EVALUABLE", "no tissue")


def test_white_may_be_unknown_and_the_stain_is_told_all_the_same(field, few):
    """A field without glass: densities are scored against 255, and hues are not."""
    inner = np.s_[200:456, 200:456]
    for kind in ("h&e", "ordinary"):
        spec = replace(field.spec, white=(222.0, 224.0, 219.0))
        rgb = wrong.draw_slide(kind, replace(field, spec=spec), 11)[inner]
        analysis = analyze_slide(lambda rgb=rgb: ArrayReader(rgb, mpp=MPP), few)
        analysis.facts.update(annotations=None, notes=[])
        assert analysis.facts["stains"]["white_source"] == "255"
        reason = judged(analysis, few).row["reason"] or ""
        assert ("looks like H&E" in reason) == (kind == "h&e")


def _square(side_l0: int):
    import shapely

    return shapely.box(0, 0, side_l0, side_l0)
