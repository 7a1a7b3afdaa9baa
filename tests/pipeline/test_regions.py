"""Annotations decide which cells count: named regions, exclusions, control tissue, and cells whose type is settled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import shapely

import phantom as ph
from slidescore.annotations import AnnotationSet, load_annotations
from slidescore.assay import Assay
from slidescore.cells.table import floats
from slidescore.pipeline.analysis import SlideAnalysis, analyze_slide
from slidescore.pipeline.judge import SlideIdentity, SlideResult, judge_slide
from slidescore.slide import ArrayReader

MPP = 0.5
IDENTITY = SlideIdentity("tma-1", "tma.svs")


@dataclass(frozen=True)
class Tma:
    """A slide of 12 cores, how to read its annotations, and what it scores with some of them."""

    slide: ph.TmaPhantom
    assay: Assay
    folder: Path

    def annotations(self, features: list[dict[str, Any]]) -> AnnotationSet:
        path = self.folder / "tma.svs.geojson"
        path.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": features}))
        return load_annotations(path, self.assay.tissue.annotations)

    def analyze(self, features: list[dict[str, Any]]) -> SlideAnalysis:
        return analyze_slide(
            lambda: ArrayReader(self.slide.rgb, mpp=MPP), self.assay, annotations=self.annotations(features), threads=2
        )

    def score(self, features: list[dict[str, Any]]) -> SlideResult:
        return judge_slide(self.analyze(features), self.assay, IDENTITY)


@pytest.fixture(scope="module")
def tma(assay: Assay, change, tmp_path_factory: pytest.TempPathFactory) -> Tma:
    """Twelve small cores named A-1 to C-4, under an assay that evaluates as few cells as they hold."""
    slide = ph.draw_tma(3, core_um=110.0, pitch_um=150.0)
    few = change(assay, {"qc.min_tumor_cells": 10, "qc.min_tissue_mm2": 0.002, "tiles.core_px": 384})
    return Tma(slide, few, tmp_path_factory.mktemp("tma"))


@pytest.fixture(scope="module")
def together(tma: Tma) -> SlideResult:
    """All cores at once."""
    return tma.score(tma.slide.geojson["features"])


def test_twelve_named_cores_have_twelve_rows(tma, together):
    names = [core.name for core in tma.slide.cores]
    assert len(names) == 12
    assert [row["region"] for row in together.regions] == names
    assert {row["status"] for row in together.regions} == {"scored"}


def test_each_core_has_its_own_cells_and_its_own_score(tma, together):
    for core, row in zip(tma.slide.cores, together.regions, strict=True):
        assert row["n_cells"] == pytest.approx(len(core.xy), rel=0.25)
        # Of about 40 cells one in the next bin moves the score by 2.5.
        assert row["h_score"] == pytest.approx(ph.true_h_score(core.phantom, class_name=None), abs=25)
    scores = [row["h_score"] for row in together.regions]
    assert scores[0] <= 5
    assert scores[-1] > 230
    assert np.corrcoef(scores, np.arange(12))[0, 1] > 0.97


def test_no_cell_is_in_two_cores_and_none_is_lost(together):
    assert sum(row["n_cells"] for row in together.regions) == together.row["n_cells"]
    assert together.cells.column("region").null_count == 0


def test_a_core_scored_alone_equals_its_row_exactly(tma, together):
    """The other cores, their tiles and their seams leave no trace in a core's row."""
    for feature, row in zip(tma.slide.geojson["features"], together.regions, strict=True):
        alone = tma.score([feature])
        [own] = alone.regions
        # QC flags tell of the whole slide.
        for each in (own, row):
            assert each.pop("qc") in {"pass", "warn"}
            each.pop("qc_flags")
        assert own == row
        for name in ("n_cells", "n0", "n1", "n2", "n3", "h_score", "h_membrane", "tissue_mm2", "scored_mm2", "call"):
            assert alone.row[name] == row[name], name


def box(role: str, x: float, y: float, width: float, height: float, name: str = "") -> dict[str, Any]:
    ring = [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "name": name, "classification": {"name": role}},
    }


@pytest.fixture(scope="module")
def few(assay: Assay, change) -> Assay:
    """An assay that evaluates as few cells as an island holds, in small tiles."""
    return change(assay, {"qc.min_tumor_cells": 10, "qc.min_tissue_mm2": 0.002, "tiles.core_px": 384})


@pytest.fixture(scope="module")
def drawn(island: ph.Phantom, few: Assay, tmp_path_factory) -> Callable[..., SlideResult]:
    """Score the island with some areas drawn on it."""
    folder = tmp_path_factory.mktemp("island")

    def score(*features: dict[str, Any]) -> SlideResult:
        annotations = AnnotationSet((), "")
        if features:
            path = folder / "island.geojson"
            path.write_bytes(orjson.dumps(list(features)))
            annotations = load_annotations(path, few.tissue.annotations)
        reader = ArrayReader(island.rgb, mpp=MPP)
        return judge_slide(analyze_slide(lambda: reader, few, annotations=annotations, threads=1), few, IDENTITY)

    return score


@pytest.fixture(scope="module")
def undrawn(drawn) -> SlideResult:
    return drawn()


def xy(result: SlideResult) -> np.ndarray:
    return np.stack([floats(result.cells, "x"), floats(result.cells, "y")], axis=1).astype(float)


def inside(result: SlideResult, x: float, y: float, width: float, height: float) -> np.ndarray:
    return shapely.contains_xy(shapely.box(x, y, x + width, y + height), *xy(result).T)


LEFT_HALF = (0, 0, 380, 760)


def bins_of(result: SlideResult, which: np.ndarray) -> list[int]:
    od = floats(result.cells, "dab_od_cytoplasm")[which]
    return np.bincount(np.searchsorted(np.array([0.2, 0.4, 0.6], np.float32), od, side="right"), minlength=4).tolist()


def counts(result: SlideResult) -> list[int]:
    return [result.row[name] for name in ("n0", "n1", "n2", "n3")]


def test_an_included_area_limits_the_score_to_itself(drawn, undrawn):
    result = drawn(box("Include", *LEFT_HALF))
    within = inside(undrawn, *LEFT_HALF)
    assert 20 < within.sum() < undrawn.cells.num_rows
    assert result.cells.num_rows == within.sum()
    assert counts(result) == bins_of(undrawn, within)
    assert result.row["tissue_mm2"] < 0.8 * undrawn.row["tissue_mm2"]


def test_an_excluded_area_takes_its_cells_and_its_area_out(drawn, undrawn):
    result = drawn(box("Exclude", *LEFT_HALF))
    without = ~inside(undrawn, *LEFT_HALF)
    assert result.cells.num_rows == undrawn.cells.num_rows
    assert result.row["n_cells"] == without.sum()
    assert counts(result) == bins_of(undrawn, without)
    assert result.row["tissue_mm2"] == undrawn.row["tissue_mm2"]
    scored = undrawn.row["scored_mm2"]
    assert result.row["excluded_fraction"] == pytest.approx(1 - result.row["scored_mm2"] / scored, abs=1e-6)
    assert result.row["h_without_exclusions"] == result.row["h_score"]


def test_exclusion_wins_over_inclusion(drawn, undrawn):
    result = drawn(box("Include", *LEFT_HALF), box("Exclude", 0, 0, 380, 400))
    both = inside(undrawn, *LEFT_HALF) & ~inside(undrawn, 0, 0, 380, 400)
    assert counts(result) == bins_of(undrawn, both)


def test_control_tissue_is_no_tissue_to_be_scored(drawn, undrawn):
    result = drawn(box("Control", *LEFT_HALF, name="tonsil"))
    rest = ~inside(undrawn, *LEFT_HALF)
    assert counts(result) == bins_of(undrawn, rest)
    assert result.row["tissue_mm2"] < undrawn.row["tissue_mm2"]
    assert result.row["excluded_fraction"] == 0


def test_control_tissue_is_scored_apart(drawn, undrawn):
    result = drawn(box("Control", *LEFT_HALF, name="tonsil"))
    [row] = result.regions
    left = inside(undrawn, *LEFT_HALF)
    assert (row["region"], row["role"], row["status"], row["call"]) == ("tonsil", "control", "scored", None)
    assert row["n_cells"] == row["n_tumor_cells"] == left.sum()
    assert [row[name] for name in ("n0", "n1", "n2", "n3")] == bins_of(undrawn, left)
    assert row["tissue_mm2"] == pytest.approx(undrawn.row["tissue_mm2"] - result.row["tissue_mm2"])
    names = np.array(result.cells.column("region").to_pylist(), dtype=object)
    assert set(names[inside(result, *LEFT_HALF)]) == {"tonsil"}
    assert set(names[~inside(result, *LEFT_HALF)]) == {None}


def test_control_tissue_outside_the_include_areas_is_measured_all_the_same(drawn, undrawn):
    """The usual way to draw: the tumor here, the control tissue there, and nothing else."""
    right = (420, 0, 340, 760)
    result = drawn(box("Include", *right, name="tumor"), box("Control", *LEFT_HALF))
    rows = {row["region"]: row for row in result.regions}
    assert {name: row["role"] for name, row in rows.items()} == {"tumor": "region", "Control": "control"}
    assert rows["Control"]["n_cells"] == inside(undrawn, *LEFT_HALF).sum()
    assert result.row["n_cells"] == rows["tumor"]["n_cells"] == inside(undrawn, *right).sum()
    assert counts(result) == bins_of(undrawn, inside(undrawn, *right))


def test_control_tissue_inside_an_include_area_belongs_to_the_control_alone(drawn, undrawn):
    result = drawn(box("Include", 0, 0, 760, 760, name="tonsil"), box("Control", *LEFT_HALF, name="tonsil"))
    left = inside(undrawn, *LEFT_HALF)
    found = [(row["role"], row["n_cells"]) for row in result.regions]
    assert found == [("region", (~left).sum()), ("control", left.sum())]


def test_what_is_excluded_in_control_tissue_does_not_count_there_either(drawn, undrawn):
    result = drawn(box("Control", *LEFT_HALF), box("Exclude", 0, 0, 380, 400))
    left = inside(undrawn, *LEFT_HALF) & ~inside(undrawn, 0, 0, 380, 400)
    assert result.regions[0]["n_cells"] == left.sum()


def test_control_tissue_that_did_not_react_is_a_warning_where_the_assay_expects_it(drawn, few, change):
    result = drawn(box("Control", *LEFT_HALF, name="tonsil"))
    facts = {key: result.record[key] for key in (*_FACTS, "annotations", "notes") if key in result.record}
    analysis = SlideAnalysis(result.cells, result.tiles, facts, {})
    h_score = result.regions[0]["h_score"]
    for least, raised in ((None, False), (h_score - 1, False), (h_score + 1, True)):
        again = judge_slide(analysis, change(few, {"qc.control_min_h": least}), IDENTITY)
        assert ("control_missing" in (again.row["qc_flags"] or "")) == raised
        assert again.row["h_score"] == result.row["h_score"]


def test_other_settles_that_cells_are_no_tumor_cells(drawn, undrawn):
    result = drawn(box("Other", *LEFT_HALF))
    rest = ~inside(undrawn, *LEFT_HALF)
    assert result.row["n_cells"] == undrawn.row["n_cells"]
    assert result.row["n_tumor_cells"] == rest.sum()
    assert counts(result) == bins_of(undrawn, rest)
    assert result.row["h_all_cells"] == undrawn.row["h_score"]


def test_tumor_limits_and_settles(drawn, undrawn, assay, change):
    result = drawn(box("Tumor", *LEFT_HALF), box("Stroma", 0, 0, 380, 300))
    tumor = inside(undrawn, *LEFT_HALF) & ~inside(undrawn, 0, 0, 380, 300)
    assert result.row["n_cells"] == inside(undrawn, *LEFT_HALF).sum()
    assert result.row["n_tumor_cells"] == tumor.sum()
    assert counts(result) == bins_of(undrawn, tumor)
    by_rule = judge_slide(
        SlideAnalysis(result.cells, result.tiles, {k: result.record[k] for k in _FACTS}, {}),
        change(assay, {"tumor.rule": "probability", "qc.min_tumor_cells": 10, "qc.min_tissue_mm2": 0.002}), IDENTITY,
    )  # fmt: skip
    assert counts(by_rule) == counts(result)


_FACTS = ("slide", "analysis", "stains", "colours", "control_areas", "degradations", "profile", "model")


def test_nested_regions_give_each_cell_to_the_smallest(drawn, undrawn):
    result = drawn(box("Include", 0, 0, 760, 760, name="all"), box("Include", *LEFT_HALF, name="left"))
    left = inside(undrawn, *LEFT_HALF)
    rows = {row["region"]: row["n_cells"] for row in result.regions}
    assert rows == {"all": int((~left).sum()), "left": int(left.sum())}


def test_two_areas_of_one_name_are_one_region(drawn, undrawn):
    result = drawn(box("Include", 0, 0, 380, 300, name="S"), box("Include", 0, 400, 380, 360, name="S"))
    [row] = result.regions
    both = inside(undrawn, 0, 0, 380, 300) | inside(undrawn, 0, 400, 380, 360)
    assert (row["region"], row["n_cells"]) == ("S", both.sum())
    assert [row[name] for name in ("n0", "n1", "n2", "n3")] == bins_of(undrawn, both)


def test_a_region_on_glass_is_a_row_without_tissue(drawn):
    result = drawn(box("Include", 0, 0, 20, 20, name="nothing"), box("Include", 200, 200, 300, 300, name="there"))
    rows = {row["region"]: row for row in result.regions}
    assert (rows["nothing"]["call"], rows["nothing"]["reason"]) == ("NOT_EVALUABLE", "no tissue")
    assert rows["there"]["n_cells"] > 10


def test_an_area_far_outside_the_slide_scores_nothing(drawn):
    result = drawn(box("Include", 10_000, 10_000, 500, 500, name="lost"))
    assert (result.row["call"], result.row["reason"], result.row["n_cells"]) == ("NOT_EVALUABLE", "no tissue", 0)
    assert [row["reason"] for row in result.regions] == ["no tissue"]
