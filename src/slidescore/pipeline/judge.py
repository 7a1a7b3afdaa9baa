"""Right of the wall: from measurements to scores and calls. Reads no pixel, so a `rescore` is this and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from slidescore.assay import Assay, assay_digest, left_digest
from slidescore.pipeline.analysis import SlideAnalysis
from slidescore.pipeline.tile_parts import AreaSums
from slidescore.qc.checks import (
    Flag,
    artifact_areas,
    check_controls,
    check_slide,
    measure_slide,
    sort_flags,
    worst_level,
)
from slidescore.qc.coverage import share_areas, slide_coverage
from slidescore.qc.stain_check import wrong_stain
from slidescore.report.columns import REGION_COLUMNS, SCORE_COLUMNS
from slidescore.scoring import Call, CallLabel, Coverage, Scores, make_call, score_cells, score_control
from slidescore.scoring.tumor_model import judged_cells, refuse_other_cells
from slidescore.version import library_versions, slidescore_version

RESULT_SCHEMA = 1
UM2_PER_MM2 = 1e6
NOT_OF_CONTROLS = ("call", "call_status", "cutoff", "qc", "h_all_cells", "h_strict", "h_without_exclusions")
"""Columns that say nothing about control tissue: it has no call, and all of its cells count."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SlideIdentity:
    """How a slide is named in every table."""

    slide_id: str
    file: str
    patient_id: str | None = None


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
    def call(self) -> str:
        """HIGH, LOW, EQUIVOCAL or NOT_EVALUABLE."""
        return str(self.row["call"])


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
    coverage = slide_coverage(tiles)
    scores = score_cells(judged, assay)
    refusal = wrong_stain(facts["colours"], assay.qc.stain)
    call = make_call(scores, coverage, assay, refusal)
    measures = measure_slide(cells, tiles, facts["colours"], assay)
    flags = check_slide(facts, measures, coverage, call, assay)
    controls = _control_rows(analysis, judged, assay, identity, refusal)
    flags = sort_flags([*flags, *check_controls(controls, assay)])
    row = _row(identity, facts, scores, coverage, call, flags, assay)
    record = {
        "schema": RESULT_SCHEMA,
        "slide_id": identity.slide_id,
        "file": identity.file,
        "status": row["status"],
        "reason": row["reason"],
        "scores": row,
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
    region = judged.column("region")
    rows = []
    for name, areas in analysis.region_areas.items():
        coverage = _part_coverage(areas)
        scores = score_cells(judged, assay, only=pc.fill_null(pc.equal(region, name), False).to_numpy())
        call = make_call(scores, coverage, assay, refusal)
        flags = check_slide(analysis.facts, measures, coverage, call, assay)
        row = _row(identity, analysis.facts, scores, coverage, call, flags, assay)
        rows.append({**row, "region": name, "role": "region"})
    assert all(tuple(row) == REGION_COLUMNS for row in rows)
    return rows


def _control_rows(
    analysis: SlideAnalysis, judged: pa.Table, assay: Assay, identity: SlideIdentity, refusal: str
) -> list[Row]:
    """Fill the rows of on-slide control tissue: scores without a call, for a cut-off is about tumors."""
    rows = []
    for name, values in analysis.facts["control_areas"].items():
        coverage = _part_coverage(AreaSums(*values))
        scores = score_control(judged, assay, name)
        no_call = Call(CallLabel.NOT_EVALUABLE, refusal or ("" if scores.n_cells else "no cells"), "", "")
        row = _row(identity, analysis.facts, scores, coverage, no_call, [], assay)
        rows.append({**row, **dict.fromkeys(NOT_OF_CONTROLS), "region": name, "role": "control"})
    assert all(tuple(row) == REGION_COLUMNS for row in rows)
    return rows


def _row(
    identity: SlideIdentity,
    facts: Mapping[str, Any],
    scores: Scores,
    coverage: Coverage,
    call: Call,
    flags: list[Flag],
    assay: Assay,
) -> Row:
    """Fill a row of scores.csv; what is not computed stays None, never zero."""
    evaluable = not call.reason
    h = scores.h_by_compartment
    values: Row = dict.fromkeys(SCORE_COLUMNS)
    values |= {
        "slide_id": identity.slide_id,
        "file": identity.file,
        "patient_id": identity.patient_id,
        "status": "scored" if evaluable else "not_evaluable",
        "reason": call.reason or None,
        "call": str(call.label),
        "call_status": call.status,
        "n_cells": scores.n_cells,
        "n_tumor_cells": scores.n_tumor_cells,
        "n0": scores.counts.n0,
        "n1": scores.counts.n1,
        "n2": scores.counts.n2,
        "n3": scores.counts.n3,
        "n_fallback": scores.n_fallback,
        "compartment": assay.score.compartment,
        "cutoff": call.cutoff,
        "qc": worst_level(flags),
        "qc_flags": ";".join(flag.name for flag in flags) or None,
        "mpp": facts["slide"]["mpp"],
        "mpp_source": facts["slide"]["mpp_source"],
        "tissue_mm2": coverage.tissue_um2 / UM2_PER_MM2,
        "scored_mm2": coverage.scored_um2 / UM2_PER_MM2,
        "excluded_fraction": coverage.excluded_fraction,
        "failed_fraction": coverage.failed_fraction,
        "profile": facts["profile"],
        "assay_digest": assay_digest(assay),
        "model_digest": facts["model"]["digest"],
        "slidescore_version": slidescore_version(),
    }
    if evaluable:
        values |= {
            "h_score": scores.counts.h_score,
            "percent_positive": scores.counts.percent_positive,
            "h_nucleus": h["nucleus"],
            "h_cytoplasm": h["cytoplasm"],
            "h_membrane": h["membrane"],
            "h_cell": h["cell"],
            "h_all_cells": scores.h_all_cells,
            "h_strict": scores.h_strict,
            "h_without_exclusions": scores.h_without_exclusions,
        }
    return values


def _model_facts(assay: Assay) -> dict[str, Any] | None:
    """Say which tumor model decided and how well it is known to do."""
    model = assay.tumor.model
    return None if model is None else {"digest": model.digest, "cross_validation": asdict(model.cross_validation)}


def _area_values(areas: AreaSums) -> list[float]:
    return [areas.tissue_um2, areas.scored_um2, areas.excluded_um2, areas.missing_um2]


def _ledger(tiles: pa.Table) -> dict[str, int]:
    statuses = tiles.column("status").to_pylist()
    return {status: statuses.count(status) for status in ("scored", "excluded", "failed", "missing")}
