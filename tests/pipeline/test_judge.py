"""Right of the wall: the same measurements under the same assay are the same result, and nothing is read."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from made_colours import made_colours
from slidescore.assay import assay_digest, left_digest
from slidescore.pipeline.analysis import SlideAnalysis
from slidescore.pipeline.judge import SlideIdentity, SlideResult, judge_slide
from slidescore.pipeline.tile_parts import AreaSums
from slidescore.pipeline.tile_sums import HISTOGRAM_BINS
from slidescore.pipeline.tile_table import TILE_SCHEMA
from slidescore.qc.coverage import slide_coverage
from slidescore.qc.squares import MEASURES
from slidescore.report.columns import REGION_COLUMNS, SCORE_COLUMNS

IDENTITY = SlideIdentity("a-12345678", "folder/a.svs", "P1")
NOT_COMPUTED_YET = {
    "h_score_low", "h_score_high", "p_high", "pixel_h_score", "irs", "allred", "h_strict", "n_eff", "h_naive_low",
    "h_naive_high",
}  # fmt: skip


def tile(number: int, status: str, tissue: float, scored: float = 0, excluded: float = 0, missing: float = 0):
    nothing = [0] * HISTOGRAM_BINS
    return {
        "tile": number, "x": 0, "y": 0, "width": 512, "height": 512, "status": status, "reason": None,
        "tissue_fraction": 1.0, "tissue_um2": tissue, "scored_um2": scored, "excluded_um2": excluded,
        "missing_um2": missing, "background_dab_od": 0.02, **dict.fromkeys(MEASURES), "n_cells": 0, "square": [],
        "square_tissue_um2": [], "square_excluded": [], **{f"square_{name}": [] for name in MEASURES},
        "dab_histogram": nothing, "dab_histogram_hematoxylin": nothing,
    }  # fmt: skip


@pytest.fixture
def analysis_of(make_cells):
    """Made-up measurements: cells, tiles and regions as given, everything else in order."""

    def made(cells: pa.Table | None = None, tiles: list[dict[str, Any]] | None = None, **regions: AreaSums):
        facts = {
            "slide": {"mpp": 0.25, "mpp_source": "file", "width": 512, "height": 512},
            "analysis": {"upsampled": False, "mpp": 0.5},
            "stains": {"white_source": "glass", "vectors_source": "fixed", "estimate": None},
            "colours": made_colours(),
            "control_areas": {},
            "annotations": None,
            "notes": [],
            "degradations": [],
            "profile": "cpu-float32-classical-exact",
            "model": {"name": "classical", "digest": "classical-1"},
        }
        rows = [tile(0, "scored", 1e6, 1e6)] if tiles is None else tiles
        table = pa.Table.from_pylist(rows, schema=TILE_SCHEMA)
        return SlideAnalysis(make_cells([0.1, 0.3, 0.5, 0.7] * 30) if cells is None else cells, table, facts, regions)

    return made


def test_the_row_has_the_columns_of_the_contract_in_their_order(analysis_of, assay):
    result = judge_slide(analysis_of(), assay, IDENTITY)
    assert tuple(result.row) == SCORE_COLUMNS
    assert (result.row["slide_id"], result.row["file"], result.row["patient_id"]) == (
        "a-12345678",
        "folder/a.svs",
        "P1",
    )
    assert {name for name, value in result.row.items() if value is None} == NOT_COMPUTED_YET | {"reason"}


def test_the_row_says_what_the_cells_amount_to(analysis_of, assay):
    row = judge_slide(analysis_of(), assay, IDENTITY).row
    assert [row[name] for name in ("n_cells", "n_tumor_cells", "n0", "n1", "n2", "n3")] == [120, 120, 30, 30, 30, 30]
    assert row["h_score"] == row["h_cytoplasm"] == row["h_cell"] == row["h_all_cells"] == 150.0
    assert (row["percent_positive"], row["call"], row["call_status"]) == (75.0, "HIGH", "provisional")
    assert (row["tissue_mm2"], row["scored_mm2"], row["excluded_fraction"]) == (1.0, 1.0, 0.0)
    assert (row["assay_digest"], row["cutoff"]) == (assay_digest(assay), "h_score cytoplasm >= 150")
    assert (row["qc"], row["qc_flags"]) == ("pass", "tumor_not_identified")


def test_the_result_answers_for_its_row(analysis_of, assay):
    result = judge_slide(analysis_of(), assay, IDENTITY)
    assert (result.h_score, result.call, result.regions) == (150.0, "HIGH", [])


def test_judging_twice_gives_the_same_and_changes_nothing(analysis_of, assay, change):
    analysis = analysis_of(A=AreaSums(1e6, 1e6, 0, 0))
    facts, cells = copy.deepcopy(analysis.facts), analysis.cells
    first = judge_slide(analysis, assay, IDENTITY)
    judge_slide(analysis, change(assay, {"bins.cytoplasm.thresholds": (0.01, 0.02, 0.03)}), IDENTITY)
    second = judge_slide(analysis, assay, IDENTITY)
    assert first.record == second.record
    assert analysis.facts == facts
    assert analysis.cells is cells is first.cells


def test_the_record_is_json_and_holds_no_clock_host_or_path(analysis_of, assay):
    record = judge_slide(analysis_of(A=AreaSums(1e6, 1e6, 0, 0)), assay, IDENTITY).record
    assert orjson.loads(orjson.dumps(record)) == record
    assert not {"time", "date", "host", "created", "path"} & set(record)
    assert record["assay"] == {
        "name": "cxcr4", "digest": assay_digest(assay), "left_digest": left_digest(assay), "tumor_model": None
    }  # fmt: skip


def test_other_thresholds_score_the_same_cells_otherwise(analysis_of, assay, change):
    analysis = analysis_of()
    changed = change(assay, {"bins.cytoplasm.thresholds": (0.05, 0.2, 0.4)})
    row = judge_slide(analysis, changed, IDENTITY).row
    assert [row[name] for name in ("n0", "n1", "n2", "n3")] == [0, 30, 30, 60]
    assert row["h_score"] == 225.0
    assert row["h_nucleus"] == 150.0


def test_a_slide_that_is_not_evaluable_has_counts_and_a_reason_but_no_score(analysis_of, assay, make_cells):
    row = judge_slide(analysis_of(make_cells([0.7] * 20)), assay, IDENTITY).row
    assert (row["status"], row["call"]) == ("not_evaluable", "NOT_EVALUABLE")
    assert row["reason"] == "too few tumor cells (20, at least 100)"
    assert (row["n_cells"], row["n3"], row["qc"]) == (20, 20, "fail")
    scores = [name for name in SCORE_COLUMNS if name.startswith("h_") or name == "percent_positive"]
    assert {row[name] for name in scores} == {None}


def test_coverage_sums_the_ledger(analysis_of):
    tiles = [
        tile(0, "scored", 600.0, 500.0, excluded=90.0, missing=10.0), tile(1, "failed", 300.0),
        tile(2, "excluded", 100.0, excluded=100.0),
    ]  # fmt: skip
    coverage = slide_coverage(analysis_of(tiles=tiles).tiles)
    assert (coverage.tissue_um2, coverage.scored_um2) == (1000.0, 500.0)
    assert (coverage.excluded_fraction, coverage.failed_fraction, coverage.missing_fraction) == (0.19, 0.3, 0.01)


def test_no_tiles_cover_nothing_and_divide_by_nothing(analysis_of, assay, make_cells):
    result = judge_slide(analysis_of(make_cells([]), tiles=[]), assay, IDENTITY)
    assert result.row["reason"] == "no tissue"
    assert (result.row["tissue_mm2"], result.row["excluded_fraction"]) == (0.0, 0.0)


def test_a_failed_share_beyond_the_limit_has_no_score(analysis_of, assay):
    tiles = [tile(0, "scored", 980_000.0, 980_000.0), tile(1, "failed", 20_000.0)]
    result = judge_slide(analysis_of(tiles=tiles), assay, IDENTITY)
    assert result.row["reason"] == "2.0 % of the tissue could not be processed (limit 1 %)"
    assert result.row["failed_fraction"] == pytest.approx(0.02)
    assert result.record["ledger"] == {"scored": 1, "excluded": 0, "failed": 1, "missing": 0}


def regions_of(analysis_of, assay, make_cells) -> SlideResult:
    od = [0.1] * 150 + [0.7] * 150 + [0.5] * 20 + [0.3] * 200
    region = ["A"] * 150 + ["B"] * 150 + ["C"] * 20 + [None] * 200
    areas = {
        "A": AreaSums(1e5, 1e5, 0, 0),
        "B": AreaSums(1e5, 4e4, 6e4, 0),
        "C": AreaSums(1e5, 1e5, 0, 0),
        "D": AreaSums(0, 0, 0, 0),
    }
    return judge_slide(analysis_of(make_cells(od, region=region), **areas), assay, IDENTITY)


def test_every_named_region_has_its_own_row(analysis_of, assay, make_cells):
    rows = regions_of(analysis_of, assay, make_cells).regions
    assert [row["region"] for row in rows] == ["A", "B", "C", "D"]
    assert {tuple(row) for row in rows} == {REGION_COLUMNS}
    assert [row["n_cells"] for row in rows] == [150, 150, 20, 0]
    assert [row["call"] for row in rows] == ["LOW", "NOT_EVALUABLE", "NOT_EVALUABLE", "NOT_EVALUABLE"]
    assert [row["h_score"] for row in rows] == [0.0, None, None, None]
    reasons = [row["reason"] for row in rows]
    assert reasons[0] is None
    assert "60.0 % of the tissue is excluded" in reasons[1]
    assert "too few tumor cells (20" in reasons[2]
    assert reasons[3] == "no tissue"


def test_regions_do_not_change_the_slides_own_row(analysis_of, assay, make_cells):
    row = regions_of(analysis_of, assay, make_cells).row
    assert (row["n_cells"], row["n0"], row["n1"], row["n2"], row["n3"]) == (520, 150, 200, 20, 150)


def test_what_of_a_region_is_neither_scored_excluded_nor_missing_has_failed(analysis_of, assay, make_cells):
    cells = make_cells([0.7] * 150, region=["A"] * 150)
    [row] = judge_slide(analysis_of(cells, A=AreaSums(1e5, 7e4, 1e4, 1e3)), assay, IDENTITY).regions
    assert row["failed_fraction"] == pytest.approx(0.19)
    assert "could not be processed" in row["reason"]


def test_areas_that_do_not_quite_add_up_are_no_failure(analysis_of, assay, make_cells):
    cells = make_cells([0.7] * 150, region=["A"] * 150)
    [row] = judge_slide(analysis_of(cells, A=AreaSums(1e5, np.nextafter(1e5, 2e5), 0, 0)), assay, IDENTITY).regions
    assert row["failed_fraction"] == 0.0
