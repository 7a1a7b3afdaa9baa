"""Right of the wall: from measurements to scores and calls. Reads no pixel, so a `rescore` is this and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.assay import Assay, Compartment, assay_digest, left_digest
from slidescore.pipeline.analysis import SlideAnalysis
from slidescore.pipeline.judged_parts import scheme_facts, sensitivity_facts, uncertainty_facts
from slidescore.pipeline.score_row import Judgement, Row, score_row
from slidescore.pipeline.score_row import SlideIdentity as SlideIdentity
from slidescore.pipeline.tile_parts import AreaSums
from slidescore.qc.checks import (
    artifact_areas,
    check_controls,
    check_slide,
    measure_slide,
    pixel_divergence,
    sort_flags,
)
from slidescore.qc.coverage import share_areas, slide_coverage
from slidescore.qc.stain_check import wrong_stain
from slidescore.report.columns import REGION_COLUMNS
from slidescore.scoring import Call, Coverage, control_table, make_call, score_cells
from slidescore.scoring.cell_squares import cell_squares, pixel_blocks
from slidescore.scoring.estimates import estimate, slide_seed
from slidescore.scoring.sensitivity import tumor_sensitivity
from slidescore.scoring.squares import SquareCounts
from slidescore.scoring.tumor_model import judged_cells, refuse_other_cells
from slidescore.version import library_versions

RESULT_SCHEMA = 1
NOT_OF_CONTROLS = (
    "call", "call_status", "cutoff", "p_high", "qc", "h_all_cells", "h_strict", "h_without_exclusions",
)  # fmt: skip
"""Columns that say nothing about control tissue: it has no call, and all of its cells count."""


@dataclass(frozen=True, slots=True)
class SlideResult:
    """One slide, measured and scored.

    Attributes
    ----------
    record
        The content of result.json, without the digests of the other files.
    cells, tiles
        The tables beside it.
    judged
        The cells with the tumor_probability that the rule looked at: another one than measured under a tumor model.
    assay
        What it was scored under.
    """

    record: dict[str, Any]
    cells: pa.Table
    judged: pa.Table
    tiles: pa.Table
    assay: Assay

    @property
    def row(self) -> Row:
        """The slide's row of scores.csv."""
        row: Row = self.record["scores"]
        return row

    @property
    def regions(self) -> list[Row]:
        """The slide's rows of regions.csv."""
        rows: list[Row] = self.record["regions"]
        return rows

    @property
    def h_score(self) -> float | None:
        """H-score in the assay's compartment."""
        value: float | None = self.row["h_score"]
        return value

    @property
    def call(self) -> str | None:
        """HIGH, LOW, EQUIVOCAL or NOT_EVALUABLE; None where the assay has no cut-off."""
        call: str | None = self.row["call"]
        return call


def judge_slide(analysis: SlideAnalysis, assay: Assay, identity: SlideIdentity) -> SlideResult:
    """Score a slide's measurements under an assay.

    Parameters
    ----------
    analysis
        Measurements made under an assay with the same left half.
    assay
        Thresholds, tumor rule, cut-off and limits.
    identity
        Name of the slide.

    Raises
    ------
    AssayError
        If the assay's tumor model was trained on the cells of another segmenter.
    """
    facts, cells, tiles = analysis.facts, analysis.cells, analysis.tiles
    refuse_other_cells(assay, facts["model"]["digest"])
    judged = judged_cells(cells, assay, facts["slide"]["mpp"])
    refusal = wrong_stain(facts["colours"], assay.qc.stain)
    pixels = pixel_blocks(tiles, assay)
    seed = slide_seed(facts["slide"]["fingerprint"])
    whole = _judge(judged, facts, slide_coverage(tiles), assay, seed, refusal, pixels)
    measures = measure_slide(cells, tiles, facts["colours"], assay)
    measures["pixel_divergence_h"] = pixel_divergence(whole.scores)
    flags = check_slide(facts, measures, whole.coverage, whole.call, assay)
    controls = _control_rows(analysis, judged, assay, identity, refusal)
    flags = sort_flags([*flags, *check_controls(controls, assay)])
    row = score_row(identity, facts, whole, flags, assay)
    record = {
        "schema": RESULT_SCHEMA,
        "slide_id": identity.slide_id,
        "file": identity.file,
        "status": row["status"],
        "reason": row["reason"],
        "scores": row,
        "schemes": scheme_facts(whole),
        "uncertainty": uncertainty_facts(whole, assay, seed),
        "sensitivity": sensitivity_facts(tumor_sensitivity(judged, assay) if whole.evaluable else None),
        "regions": [*_region_rows(analysis, judged, measures, assay, identity, refusal), *controls],
        **facts,
        "region_areas": {name: _area_values(areas) for name, areas in analysis.region_areas.items()},
        "ledger": _ledger(tiles),
        "qc": {
            "flags": [{"name": flag.name, "level": flag.level, "text": flag.text} for flag in flags],
            "measures": measures,
            "artifacts": artifact_areas(tiles),
        },
        "assay": {
            "name": assay.name,
            "digest": assay_digest(assay),
            "left_digest": left_digest(assay),
            "tumor_model": _model_facts(assay),
        },
        "versions": library_versions(),
    }
    return SlideResult(record, cells, judged, tiles, assay)


def _judge(
    cells: pa.Table,
    facts: Mapping[str, Any],
    coverage: Coverage,
    assay: Assay,
    seed: int,
    refusal: str,
    pixels: Mapping[Compartment, SquareCounts] | None = None,
    only: NDArray[np.bool_] | None = None,
) -> Judgement:
    """Score a set of cells, say how sure the scores are, and call it."""
    scores = score_cells(cells, assay, only=only)
    if pixels is not None:
        scores = replace(scores, pixel={name: squares.total for name, squares in pixels.items()})
    squares = cell_squares(cells, assay, facts["slide"]["mpp"], only=only)
    estimates = estimate(scores, squares, assay, seed, pixels)
    return Judgement(scores, estimates, coverage, make_call(scores, coverage, assay, refusal, estimates.own))


def _part_coverage(areas: AreaSums) -> Coverage:
    """Put the areas of a part of a slide as shares; failed is what is neither scored, nor excluded, nor missing."""
    failed_um2 = areas.tissue_um2 - areas.scored_um2 - areas.excluded_um2 - areas.missing_um2
    return share_areas(
        areas.tissue_um2,
        scored_um2=areas.scored_um2,
        excluded_um2=areas.excluded_um2,
        failed_um2=max(0.0, failed_um2),
        missing_um2=areas.missing_um2,
    )


def _region_rows(
    analysis: SlideAnalysis,
    judged: pa.Table,
    measures: Mapping[str, float | None],
    assay: Assay,
    identity: SlideIdentity,
    refusal: str,
) -> list[Row]:
    region, facts = judged.column("region"), analysis.facts
    rows = []
    for name, areas in analysis.region_areas.items():
        only = pc.fill_null(pc.equal(region, name), False).to_numpy()
        seed = slide_seed(facts["slide"]["fingerprint"], name)
        part = _judge(judged, facts, _part_coverage(areas), assay, seed, refusal, only=only)
        flags = check_slide(facts, measures, part.coverage, part.call, assay)
        row = score_row(identity, facts, part, flags, assay)
        rows.append({**row, "region": name, "role": "region"})
    assert all(tuple(row) == REGION_COLUMNS for row in rows)
    return rows


def _control_rows(
    analysis: SlideAnalysis, judged: pa.Table, assay: Assay, identity: SlideIdentity, refusal: str
) -> list[Row]:
    """Fill the rows of on-slide control tissue: scores without a call, for a cut-off is about tumors."""
    facts = analysis.facts
    rows = []
    for name, values in facts["control_areas"].items():
        coverage = _part_coverage(AreaSums(*values))
        part = _judge(
            control_table(judged, name),
            facts,
            coverage,
            assay,
            slide_seed(facts["slide"]["fingerprint"], name),
            refusal,
        )
        no_call = Call(None, refusal or ("" if part.scores.n_cells else "no cells"), "", "")
        row = score_row(identity, facts, replace(part, call=no_call), [], assay)
        rows.append({**row, **dict.fromkeys(NOT_OF_CONTROLS), "region": name, "role": "control"})
    assert all(tuple(row) == REGION_COLUMNS for row in rows)
    return rows


def _model_facts(assay: Assay) -> dict[str, Any] | None:
    """Say which tumor model decided and how well it is known to do."""
    model = assay.tumor.model
    return None if model is None else {"digest": model.digest, "cross_validation": asdict(model.cross_validation)}


def _area_values(areas: AreaSums) -> list[float]:
    return [areas.tissue_um2, areas.scored_um2, areas.excluded_um2, areas.missing_um2]


def _ledger(tiles: pa.Table) -> dict[str, int]:
    statuses = tiles.column("status").to_pylist()
    return {status: statuses.count(status) for status in ("scored", "excluded", "failed", "missing")}
