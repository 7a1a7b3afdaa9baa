"""What a reader of a score must know is said, once, and no more than that."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from made_colours import made_colours
from slidescore.qc import checks
from slidescore.qc.checks import (
    Flag,
    artifact_areas,
    check_controls,
    check_slide,
    measure_slide,
    pixel_divergence,
    usual_level,
    worst_level,
)
from slidescore.qc.squares import MEASURES
from slidescore.scoring import COMPARTMENTS, Call, CallLabel, Coverage, score_cells

GOOD = Coverage(1e6, 1e6, 0.0, 0.0, 0.0)
HIGH = Call(CallLabel.HIGH, "", "provisional", "h_score cytoplasm >= 150")


def facts_of(**changes: Any) -> dict[str, Any]:
    """Facts of a slide that nothing is wrong with, some changed: `facts_of(stains={"white_source": "255"})`."""
    facts: dict[str, Any] = {
        "slide": {"mpp": 0.25, "mpp_source": "file"},
        "analysis": {"upsampled": False},
        "stains": {"white_source": "glass", "vectors_source": "fixed", "estimate": None},
        "annotations": {"file": "a.geojson", "counts": {"include": 1}},
        "notes": [],
    }
    for part, values in changes.items():
        facts[part] = {**facts[part], **values} if isinstance(values, dict) else values
    return facts


GOOD_SQUARE = {
    "sharpness": 0.5, "clipped_fraction": 0.0, "black_fraction": 0.0, "pigment_fraction": 0.0, "ink_fraction": 0.0,
    "grey_fraction": 0.0, "hematoxylin_floor_od": 0.05,
}  # fmt: skip


def tiles_of(*background_and_area: tuple[float | None, float], squares: list[dict[str, Any]] | None = None) -> pa.Table:
    """Tiles with a background; the first one has squares of 4096 um2: `{"sharpness": 0.1, "excluded": "qc: fold"}`."""
    background, area = zip(*background_and_area, strict=True) if background_and_area else ((), ())
    rows = [GOOD_SQUARE | {"excluded": None, "tissue_um2": 4096.0} | square for square in squares or []]
    lists = [rows, *[[]] * (len(area) - 1)] if area else []
    columns = {
        "background_dab_od": pa.array(background, pa.float32()),
        "scored_um2": pa.array(area, pa.float64()),
        "square": pa.array([list(range(len(part))) for part in lists], pa.list_(pa.int64())),
        "square_excluded": pa.array([[row["excluded"] for row in part] for part in lists], pa.list_(pa.string())),
    }
    for name in ("tissue_um2", *MEASURES):
        values = [[row[name] for row in part] for part in lists]
        columns[f"square_{name}"] = pa.array(values, pa.list_(pa.float32()))
    return pa.table(columns)


@pytest.fixture
def check(assay, make_cells):
    """Check a slide that is good but for what is given."""

    def checked(
        *, facts=None, cells=None, tiles=None, coverage=GOOD, call=HIGH, of=assay, squares=None, **colours
    ) -> list[Flag]:
        cells = make_cells([0.3] * 4) if cells is None else cells
        tiles = tiles_of((0.01, 1e6), squares=squares) if tiles is None else tiles
        measures = measure_slide(cells, tiles, made_colours(**colours), of)
        return check_slide(facts or facts_of(), measures, coverage, call, of)

    return checked


def test_a_good_slide_raises_no_flag(check):
    assert check() == []
    assert worst_level([]) == "pass"


@pytest.mark.parametrize(
    ("changes", "name", "level"),
    [
        ({"annotations": None}, "tumor_not_identified", "info"),
        ({"slide": {"mpp_source": "supplied"}}, "resolution_supplied", "info"),
        ({"analysis": {"upsampled": True}}, "coarse_resolution", "warn"),
        ({"stains": {"white_source": "255"}}, "white_assumed", "warn"),
        (
            {"stains": {"vectors_source": "fallback", "estimate": {"reason": "only 3 stained pixels"}}},
            "stain_estimate_rejected",
            "warn",
        ),
        ({"notes": [{"name": "duplicate_slide", "level": "warn", "text": "A copy."}]}, "duplicate_slide", "warn"),
    ],
)
def test_each_fact_raises_its_own_flag(check, changes, name, level):
    [flag] = check(facts=facts_of(**changes))
    assert (flag.name, flag.level) == (name, level)
    assert flag.text.endswith(".")
    assert "\n" not in flag.text


def test_a_rejected_estimate_says_why(check):
    stains = {"vectors_source": "fallback", "estimate": {"reason": "only 3 stained pixels"}}
    assert "only 3 stained pixels" in check(facts=facts_of(stains=stains))[0].text


def test_255_is_no_finding_where_the_assay_asks_for_it(check, assay, change):
    facts = facts_of(stains={"white_source": "255"})
    assert check(facts=facts, of=change(assay, {"stains.white": "255"})) == []


def test_tumor_cells_are_identified_by_a_rule_or_a_region(check, assay, change):
    by_rule = change(assay, {"tumor.rule": "probability"})
    assert check(facts=facts_of(annotations=None), of=by_rule) == []
    for role in ("include", "tumor"):
        assert check(facts=facts_of(annotations={"counts": {role: 2}})) == []


@pytest.mark.parametrize("counts", [{}, {"exclude": 1}, {"control": 1}, {"other": 3}])
def test_an_area_that_limits_nothing_identifies_no_tumor(check, counts):
    [flag] = check(facts=facts_of(annotations={"counts": counts}))
    assert flag.name == "tumor_not_identified"


@pytest.mark.parametrize(
    ("share", "name"), [("failed_fraction", "failed_tiles"), ("missing_fraction", "missing_pixels")]
)
def test_any_failed_or_missing_tissue_is_flagged(check, share, name):
    shares = {"excluded_fraction": 0.0, "failed_fraction": 0.0, "missing_fraction": 0.0, share: 0.0012}
    [flag] = check(coverage=Coverage(1e6, 1e6, **shares))
    assert (flag.name, flag.level) == (name, "warn")
    assert "0.12 %" in flag.text


def test_not_evaluable_fails_and_comes_first(check):
    call = Call(CallLabel.NOT_EVALUABLE, "no tissue", "provisional", "")
    flags = check(call=call, facts=facts_of(annotations=None, analysis={"upsampled": True}))
    assert [flag.name for flag in flags] == ["not_evaluable", "coarse_resolution", "tumor_not_identified"]
    assert "no tissue" in flags[0].text
    assert worst_level(flags) == "fail"


def test_an_info_leaves_a_pass_a_pass():
    info, warn = Flag("a", "info", "A."), Flag("b", "warn", "B.")
    assert worst_level([info]) == "pass"
    assert worst_level([info, warn]) == "warn"


def test_a_weak_counterstain_is_flagged_by_its_median(check, assay, make_cells):
    limit = assay.qc.warn_counterstain_od
    weak = make_cells([0.1] * 3, hematoxylin_od_nucleus=[0.9 * limit, 0.8 * limit, 0.5])
    strong = make_cells([0.1] * 3, hematoxylin_od_nucleus=[1.1 * limit, 1.2 * limit, None])
    assert [flag.name for flag in check(cells=weak)] == ["weak_counterstain"]
    assert check(cells=strong) == []


def test_dab_between_the_cells_is_flagged(check, assay):
    limit = assay.qc.warn_stroma_dab_od
    assert [flag.name for flag in check(tiles=tiles_of((1.1 * limit, 1e6)))] == ["dab_background"]
    assert check(tiles=tiles_of((0.9 * limit, 1e6))) == []


def test_the_background_is_weighted_by_what_was_scored(make_cells, assay):
    tiles = tiles_of((0.1, 3.0), (0.5, 1.0), (0.9, 0.0), (None, 5.0))
    cells = make_cells([0.3, 0.4], hematoxylin_od_nucleus=[0.1, 0.3])
    measures = measure_slide(cells, tiles, made_colours(), assay)
    assert measures["background_dab_od"] == pytest.approx(0.2)
    assert measures["counterstain_od"] == pytest.approx(0.2)


def test_nothing_measured_is_none_and_no_finding(check, make_cells, assay):
    unknown = {"glass_tint_od": None, "glass_dab_od": None}
    for tiles in (tiles_of(), tiles_of((None, 0.0)), tiles_of((0.5, 0.0))):
        measures = measure_slide(make_cells([]), tiles, made_colours(**unknown), assay)
        assert set(measures.values()) == {None}
        assert check(cells=make_cells([]), tiles=tiles, **unknown) == []


@pytest.mark.parametrize(("apart", "said"), [(1.01, "above"), (-1.01, "below"), (1.0, ""), (None, "")])
def test_a_pixel_score_far_from_the_cells_is_flagged(assay, apart, said):
    limit = assay.qc.warn_pixel_divergence_h
    measures = {"pixel_divergence_h": None if apart is None else apart * limit}
    known = dict.fromkeys(("counterstain_od", "background_dab_od"))
    flags = check_slide(facts_of(), known | measures, GOOD, HIGH, assay)
    assert [(flag.name, flag.level) for flag in flags] == ([("pixel_score_diverges", "warn")] if said else [])
    assert all(f"{1.01 * limit:.0f} {said} the H-score of all cells" in flag.text for flag in flags)


def test_pixels_are_compared_with_all_cells_tumor_or_not(assay, make_cells):
    cells = make_cells([0.1, 0.3, 0.5, 0.7], tumor_probability=[0.0, 0.9, 0.9, 0.9])
    scores = score_cells(cells, assay)
    assert pixel_divergence(scores) is None
    pixels = dict.fromkeys(COMPARTMENTS, np.array([50.0, 50.0, 0.0, 0.0]))
    assert pixel_divergence(replace(scores, pixel=pixels)) == pytest.approx(50 - 150)
    assert pixel_divergence(replace(score_cells(make_cells([]), assay), pixel=pixels)) is None


def test_squares_are_averaged_by_their_tissue(make_cells, assay):
    squares = [
        {"sharpness": 0.2, "tissue_um2": 1000.0}, {"sharpness": 0.6, "tissue_um2": 3000.0},
        {"sharpness": float("nan"), "tissue_um2": 4000.0}, {"sharpness": 0.9, "tissue_um2": 0.0},
    ]  # fmt: skip
    measures = measure_slide(make_cells([0.1]), tiles_of((0.0, 1.0), squares=squares), made_colours(), assay)
    assert measures["sharpness"] == pytest.approx(0.5)
    assert measures["soft_fraction"] == pytest.approx(1000 / 8000)


def test_what_is_excluded_is_told_from_what_is_soft(make_cells, assay):
    out = {"sharpness": 0.1, "excluded": "qc: out of focus"}
    measures = measure_slide(make_cells([0.1]), tiles_of((0.0, 1.0), squares=[out, {}, {}, {}]), made_colours(), assay)
    assert (measures["artifact_fraction"], measures["soft_fraction"]) == (0.25, 0.0)


@pytest.mark.parametrize(
    ("squares", "name", "level"),
    [
        ([{"excluded": "qc: ink"}, *[{}] * 99], "artifacts", "info"),
        ([{"excluded": "qc: ink"}] * 6 + [{}] * 94, "many_artifacts", "warn"),
        ([{"sharpness": 0.27}] * 30 + [{}] * 70, "soft_focus", "warn"),
        ([{"clipped_fraction": 0.05}], "clipped_stain", "warn"),
        ([{"pigment_fraction": 0.05}], "pigment", "warn"),
    ],
)
def test_each_quality_of_squares_raises_its_own_flag(check, squares, name, level):
    [flag] = check(squares=squares)
    assert (flag.name, flag.level) == (name, level)
    assert flag.text.endswith(".")


@pytest.mark.parametrize(
    ("colours", "name"), [({"glass_tint_od": 0.08}, "tinted_glass"), ({"glass_dab_od": 0.05}, "dab_on_glass")]
)
def test_odd_glass_is_flagged(check, colours, name):
    assert [flag.name for flag in check(**colours)] == [name]


def test_excluded_areas_are_listed_by_reason_and_a_shared_square_counts_once():
    squares = [{"excluded": "qc: ink"}, {"excluded": "qc: fold"}, {"excluded": "qc: ink", "tissue_um2": 0.0}, {}]
    twice = pa.concat_tables([tiles_of((0.0, 1.0), squares=squares)] * 2)
    assert artifact_areas(twice) == {
        "qc: ink": {"squares": 1, "tissue_um2": 8192.0}, "qc: fold": {"squares": 1, "tissue_um2": 8192.0}
    }  # fmt: skip
    assert artifact_areas(tiles_of()) == {}


def test_control_tissue_is_held_against_what_is_expected(assay, change):
    rows = [{"region": name, "h_score": h} for name, h in (("weak", 20.0), ("strong", 250.0), ("lost", None))]
    assert check_controls(rows, assay) == []
    [flag] = check_controls(rows, change(assay, {"qc.control_min_h": 100.0}))
    assert (flag.name, flag.level) == ("control_missing", "warn")
    assert "'weak' has an H-score of 20, at least 100 expected" in flag.text


def test_the_usual_level_of_a_finding_is_the_one_it_is_raised_with():
    """Of every finding that the source names together with its level."""
    source = Path(checks.__file__).read_text()
    raised = re.findall(r'Flag\(\s*"(\w+)",\s*"(\w+)"', source)
    assert len(raised) > 15
    assert {name: usual_level(name) for name, _ in raised} == dict(raised)
