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
from slidescore.pipeline.tile_table import TILE_SCHEMA
from slidescore.qc.coverage import slide_coverage
from slidescore.qc.squares import MEASURES
from slidescore.report.columns import REGION_COLUMNS, SCORE_COLUMNS
from slidescore.stain.histograms import HISTOGRAM_BINS, HISTOGRAM_LOW_OD, HISTOGRAM_STEP_OD

IDENTITY = SlideIdentity("a-12345678", "folder/a.svs")
INTERVALS = {"h_score_low", "h_score_high", "p_high", "n_eff", "h_naive_low", "h_naive_high"}
"""Empty where the cells lie in too few squares."""
SQUARE_L0 = 2048
"""Side of a square of 512 um at 0.25 um/px."""


def tile(number: int, status: str, tissue: float, scored: float = 0, excluded: float = 0, missing: float = 0):
    nothing = [0] * HISTOGRAM_BINS
    return {
        "tile": number, "x": 0, "y": 0, "width": 512, "height": 512, "status": status, "reason": None,
        "tissue_fraction": 1.0, "tissue_um2": tissue, "scored_um2": scored, "excluded_um2": excluded,
        "missing_um2": missing, "background_dab_od": 0.02, **dict.fromkeys(MEASURES), "n_cells": 0, "square": [],
        "square_tissue_um2": [], "square_excluded": [], **{f"square_{name}": [] for name in MEASURES},
        "dab_histogram": nothing, "dab_histogram_hematoxylin": nothing, "block_column": [], "block_row": [],
        "block_histograms": [],
    }  # fmt: skip


@pytest.fixture
def analysis_of(make_cells):
    """Made-up measurements: cells, tiles and regions as given, everything else in order."""

    def made(cells: pa.Table | None = None, tiles: list[dict[str, Any]] | None = None, **regions: AreaSums):
        facts = {
            "slide": {"mpp": 0.25, "mpp_source": "file", "width": 512, "height": 512, "fingerprint": "ab" * 32},
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
    assert (result.row["slide_id"], result.row["file"]) == ("a-12345678", "folder/a.svs")
    assert {name for name, value in result.row.items() if value is None} == INTERVALS | {
        "patient_id", "pixel_h_score", "h_strict", "reason"
    }  # fmt: skip


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
    others = ("percent_positive", "irs", "allred", "pixel_h_score", "p_high", "n_eff")
    assert {row[name] for name in SCORE_COLUMNS if name.startswith("h_") or name in others} == {None}


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


OD = {0: 0.105, 1: 0.305, 2: 0.505, 3: 0.705}
"""In the middle of a bin of the histograms."""


def in_squares(make_cells, bins: list[list[int]], **columns) -> pa.Table:
    """Cells of given bins, a list of bins for each square of a row of squares."""
    x = [SQUARE_L0 * (k + 0.5) + n for k, square in enumerate(bins) for n in range(len(square))]
    flat = [each for square in bins for each in square]
    return make_cells([OD[each] for each in flat], x=np.array(x, np.float32), **columns)


@pytest.fixture
def mixed(make_cells) -> pa.Table:
    """Sixteen squares of 24 cells that differ a little: H-scores around 150."""
    rng = np.random.default_rng(5)
    return in_squares(make_cells, [rng.integers(0, 4, 24).tolist() for _ in range(16)])


def test_with_squares_enough_the_row_has_intervals(analysis_of, assay, mixed):
    result = judge_slide(analysis_of(mixed), assay, IDENTITY)
    row, record = result.row, result.record
    assert all(row[name] is not None for name in INTERVALS)
    assert row["h_score_low"] <= row["h_naive_low"] < row["h_score"] < row["h_naive_high"] <= row["h_score_high"]
    assert 0 < row["n_eff"] <= 384
    assert 0 <= row["p_high"] <= 1
    own = record["schemes"]["h_score"]["cytoplasm"]
    assert own == {"value": row["h_score"], "low": row["h_score_low"], "high": row["h_score_high"]}
    uncertainty = record["uncertainty"]
    assert (uncertainty["n_squares"], uncertainty["square_um"], uncertainty["reason"]) == (16, 512.0, "")
    assert (uncertainty["n_eff"], uncertainty["p_high"]) == (row["n_eff"], row["p_high"])
    assert [square[:2] for square in uncertainty["squares"]] == [[k, 0] for k in range(16)]
    totals = np.array(uncertainty["squares"])[:, 2:].sum(axis=0)
    assert totals.tolist() == [row[f"n{k}"] for k in range(4)]


def test_every_scheme_is_there_in_every_compartment(analysis_of, assay, mixed):
    schemes = judge_slide(analysis_of(mixed), assay, IDENTITY).record["schemes"]
    assert list(schemes) == ["h_score", "percent_positive", "irs", "allred", "pixel_h_score"]
    for scheme, by_compartment in schemes.items():
        assert list(by_compartment) == ["nucleus", "cytoplasm", "membrane", "cell"]
        for value in by_compartment.values():
            if scheme == "pixel_h_score":
                assert value == {"value": None, "low": None, "high": None}
            else:
                assert value["low"] <= value["value"] <= value["high"]


def test_an_interval_is_the_slides_own(analysis_of, assay, mixed):
    first, again = (analysis_of(mixed) for _ in range(2))
    again.facts["slide"]["fingerprint"] = "cd" * 32
    rows = [judge_slide(each, assay, IDENTITY).row for each in (first, first, again)]
    assert rows[0] == rows[1]
    assert rows[0]["h_score"] == rows[2]["h_score"]
    assert rows[0]["h_score_low"] != rows[2]["h_score_low"]


def test_too_few_squares_say_so(analysis_of, assay):
    uncertainty = judge_slide(analysis_of(), assay, IDENTITY).record["uncertainty"]
    assert uncertainty["reason"] == "only 2 squares of 512 um hold tumor cells (at least 10)"
    assert [uncertainty[name] for name in ("n_eff", "naive_low", "naive_high", "p_high")] == [None] * 4
    assert uncertainty["squares"] == [[0, 0, 26, 26, 26, 25], [1, 0, 4, 4, 4, 5]]


def test_an_interval_around_the_cutoff_makes_the_call_equivocal(analysis_of, assay, change, mixed):
    analysis = analysis_of(mixed)
    row = judge_slide(analysis, assay, IDENTITY).row
    near = change(assay, {"call.cutoff.value": (row["h_score"] + row["h_score_high"]) / 2})
    far = change(assay, {"call.cutoff.value": row["h_score_high"] + 1})
    assert judge_slide(analysis, near, IDENTITY).call == "EQUIVOCAL"
    assert judge_slide(analysis, far, IDENTITY).call == "LOW"
    assert judge_slide(analysis, near, IDENTITY).row["status"] == "scored"


def test_a_slide_without_score_has_squares_and_no_interval(analysis_of, assay, change, mixed):
    strict = change(assay, {"qc.min_tumor_cells": 1000})
    record = judge_slide(analysis_of(mixed), strict, IDENTITY).record
    assert record["uncertainty"]["reason"] == "there is no score"
    assert len(record["uncertainty"]["squares"]) == 16
    values = [each for scheme in record["schemes"].values() for value in scheme.values() for each in value.values()]
    assert set(values) == {None}
    assert {record["scores"][name] for name in INTERVALS} == {None}


def test_without_a_cutoff_nothing_is_called(analysis_of, assay, change, mixed, make_cells):
    silent = change(assay, {"call.cutoff": None})
    result = judge_slide(analysis_of(mixed), silent, IDENTITY)
    assert (result.call, result.row["status"], result.row["reason"]) == (None, "scored", None)
    assert {result.row[name] for name in ("call", "call_status", "cutoff", "p_high")} == {None}
    assert result.row["h_score_low"] is not None
    few = judge_slide(analysis_of(make_cells([0.7] * 20)), silent, IDENTITY)
    assert (few.call, few.row["status"], few.row["qc"]) == (None, "not_evaluable", "fail")
    assert "not_evaluable" in few.row["qc_flags"]


def test_a_call_on_another_scheme_has_the_h_score_beside_it(analysis_of, assay, change, mixed):
    plain = judge_slide(analysis_of(mixed), assay, IDENTITY).row
    irs = change(assay, {"score.scheme": "irs", "call.cutoff.scale": "irs", "call.cutoff.value": 12.0})
    result = judge_slide(analysis_of(mixed), irs, IDENTITY)
    row = result.row
    for name in ("h_score", "h_score_low", "h_score_high", "n_eff", "irs", "allred"):
        assert row[name] == plain[name]
    assert (row["irs"], row["cutoff"]) == (6.0, "irs cytoplasm >= 12")
    assert result.record["uncertainty"]["p_high"] == row["p_high"] != plain["p_high"]


def bin_of(dab_od: float) -> int:
    return int((dab_od - HISTOGRAM_LOW_OD) / HISTOGRAM_STEP_OD)


def pixel_tile(blocks: list[list[int]]) -> dict[str, Any]:
    """A tile with a block of pixels for each list: hematoxylin only, 1+, 2+ and 3+."""
    histograms = np.zeros((len(blocks), 2, HISTOGRAM_BINS), np.int32)
    for block, counts in zip(histograms, blocks, strict=True):
        for dab_od, n in zip(OD.values(), counts, strict=True):
            block[0, bin_of(dab_od)] = n
        block[1, bin_of(OD[0])] = counts[0]
    return tile(0, "scored", 1e6, 1e6) | {
        "block_column": list(range(len(blocks))), "block_row": [0] * len(blocks),
        "block_histograms": histograms.ravel().tolist(),
    }  # fmt: skip


def test_pixels_are_scored_beside_the_cells(analysis_of, assay, mixed, change):
    rng = np.random.default_rng(8)
    analysis = analysis_of(mixed, [pixel_tile(rng.integers(1, 100, (12, 4)).tolist())], A=AreaSums(1e6, 1e6, 0, 0))
    counts = np.array(analysis.tiles.column("block_histograms")[0].as_py()).reshape(12, 2, -1)[:, 0].sum(axis=0)
    expected = 100 * sum(k * counts[bin_of(od)] for k, od in OD.items()) / counts.sum()
    result = judge_slide(analysis, assay, IDENTITY)
    assert result.row["pixel_h_score"] == pytest.approx(expected)
    changes = {"score.scheme": "pixel_h_score", "call.cutoff.scale": "pixel_h_score"}
    pixel = judge_slide(analysis, change(assay, changes), IDENTITY)
    assert pixel.record["uncertainty"]["n_squares"] == 12
    own = pixel.record["schemes"]["pixel_h_score"]["cytoplasm"]
    assert own["low"] < own["value"] == result.row["pixel_h_score"] < own["high"]
    assert pixel.row["h_score_low"] == result.row["h_score_low"]
    [region] = pixel.regions
    assert region["reason"] == "too few tumor cells (0, at least 100)"


def test_a_region_has_no_pixel_score(analysis_of, assay, change, make_cells):
    cells = make_cells([0.7] * 150, region=["A"] * 150)
    changes = {"score.scheme": "pixel_h_score", "call.cutoff.scale": "pixel_h_score"}
    analysis = analysis_of(cells, [pixel_tile([[1, 2, 3, 4]])], A=AreaSums(1e6, 1e6, 0, 0))
    result = judge_slide(analysis, change(assay, changes), IDENTITY)
    [region] = result.regions
    assert (result.row["status"], region["call"]) == ("scored", "NOT_EVALUABLE")
    assert region["reason"] == "no pixel H-score: stained pixels are counted for whole slides only"


def test_regions_have_intervals_of_their_own_cells(analysis_of, assay, make_cells):
    rng = np.random.default_rng(6)
    bins = [rng.integers(0, 4, 24).tolist() for _ in range(24)]
    region = ["A"] * 24 * 12 + [None] * 24 * 12
    cells = in_squares(make_cells, bins, region=region)
    result = judge_slide(analysis_of(cells, A=AreaSums(1e6, 1e6, 0, 0)), assay, IDENTITY)
    alone = judge_slide(analysis_of(in_squares(make_cells, bins[:12])), assay, IDENTITY)
    [row] = result.regions
    assert row["h_score"] == alone.row["h_score"]
    assert row["h_score_low"] < row["h_score"] < row["h_score_high"]
    assert row["n_eff"] == pytest.approx(alone.row["n_eff"])
    assert row["h_score_high"] - row["h_score_low"] > result.row["h_score_high"] - result.row["h_score_low"]


def test_what_h_would_be_with_other_cells_is_told_where_types_are(analysis_of, assay, mixed, make_cells):
    assert judge_slide(analysis_of(mixed), assay, IDENTITY).record["sensitivity"] is None
    n = mixed.num_rows
    told = make_cells(
        [0.7] * n, tumor_probability=[0.6] * (n // 2) + [0.1] * (n // 2),
        lymphocyte_probability=[0.1] * (n // 2) + [0.8] * (n // 2),
    )  # fmt: skip
    facts = judge_slide(analysis_of(told), assay, IDENTITY).record["sensitivity"]
    assert [each["probability"] for each in facts["limits"]] == list(assay.tumor.sensitivity.probabilities)
    assert orjson.loads(orjson.dumps(facts)) == facts


def test_control_tissue_is_scored_and_not_called(analysis_of, assay, make_cells):
    excluded = pa.array(["annotation: control"] * 50 + [None] * 150)
    cells = make_cells([0.7] * 50 + [0.1] * 150, excluded=excluded, region=["C"] * 50 + [None] * 150)
    analysis = analysis_of(cells)
    analysis.facts["control_areas"]["C"] = [1e5, 1e5, 0.0, 0.0]
    [row] = judge_slide(analysis, assay, IDENTITY).regions
    assert (row["role"], row["h_score"], row["irs"], row["allred"]) == ("control", 300.0, 12.0, 8.0)
    assert {row[name] for name in ("call", "call_status", "cutoff", "p_high", "pixel_h_score")} == {None}
