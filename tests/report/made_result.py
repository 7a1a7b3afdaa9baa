"""A made-up result.json and run.json, whole and plausible."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from slidescore.assay import Assay, assay_digest, left_digest
from slidescore.report.columns import SCORE_COLUMNS
from slidescore.scoring import score_cells


def make_row(cells: pa.Table, assay: Assay, **changes: Any) -> dict[str, Any]:
    """A row of scores.csv that agrees with a cell table."""
    scores = score_cells(cells, assay)
    counts = scores.counts
    h_score = counts.h_score
    call = "NOT_EVALUABLE" if h_score is None else "HIGH" if h_score >= assay.call.cutoff.value else "LOW"
    row: dict[str, Any] = dict.fromkeys(SCORE_COLUMNS)
    row |= {
        "slide_id": "a-01234567",
        "file": "a.svs",
        "status": "scored",
        "call": call,
        "call_status": assay.call.cutoff.status,
        "h_score": h_score,
        "percent_positive": counts.percent_positive,
        "n_cells": scores.n_cells,
        "n_tumor_cells": scores.n_tumor_cells,
        **{f"n{k}": getattr(counts, f"n{k}") for k in range(4)},
        "n_fallback": scores.n_fallback,
        **{f"h_{name}": value for name, value in scores.h_by_compartment.items()},
        "h_all_cells": scores.h_all_cells,
        "h_strict": scores.h_strict,
        "h_without_exclusions": scores.h_without_exclusions,
        "compartment": assay.score.compartment,
        "cutoff": assay.call.cutoff.text,
        "qc": "warn",
        "qc_flags": "dab_background",
        "mpp": 0.25,
        "mpp_source": "file",
        "tissue_mm2": 12.3456,
        "scored_mm2": 11.8765,
        "excluded_fraction": 0.0314,
        "failed_fraction": 0.0007,
        "profile": "cpu-float32",
        "assay_digest": assay_digest(assay),
        "model_digest": "classical-1",
        "slidescore_version": "0.1.0",
    }
    return row | changes


def make_result(cells: pa.Table, assay: Assay, *, regions: list[dict[str, Any]] | None = None, **row: Any) -> Any:
    """A result.json of a slide with those cells."""
    scores = make_row(cells, assay, **row)
    return {
        "schema": 1,
        "slide_id": scores["slide_id"],
        "file": scores["file"],
        "status": scores["status"],
        "reason": scores["reason"],
        "scores": scores,
        "regions": regions or [],
        "slide": {
            "width": 40_123, "height": 30_456, "mpp_x": 0.2512, "mpp_y": 0.2513, "mpp": 0.25125, "mpp_source": "file",
            "vendor": "aperio", "reader": "openslide", "level_count": 3, "scanner": "SS1234", "icc_profile": True,
        },
        "analysis": {
            "mpp": 0.5025, "level": 0, "factor": 2.0, "n_tiles": 77, "n_seam_merged": 5, "n_seam_restored": 2,
        },
        "stains": {
            "white": [241.0, 239.5, 240.25], "white_source": "glass", "hematoxylin": [0.65, 0.704, 0.286],
            "dab": [0.268, 0.57, 0.776], "vectors_source": "fallback",
            "estimate": {
                "used": False, "reason": "turned too far", "turn_degrees": 17.4, "residual_od": 0.021, "n_pixels": 8123,
            },
        },
        "ledger": {"scored": 70, "excluded": 6, "failed": 1, "empty": 0},
        "qc": {
            "flags": [{"name": "dab_background", "level": "warn", "text": "DAB between cells is 0.163 OD."}],
            "measures": {"counterstain_od": 0.173, "background_dab_od": 0.163},
        },
        "annotations": {"file": "a.geojson", "digest": "c0ffee" * 10 + "0000", "counts": {"include": 2}},
        "assay": {"name": assay.name, "digest": assay_digest(assay), "left_digest": left_digest(assay)},
        "model": {"name": "classical", "digest": "classical-1"},
        "profile": "cpu-float32",
        "device": "cpu",
        "versions": {"slidescore": "0.1.0", "numpy": "2.1.3"},
        "degradations": ["1 tiles could not be read: decode error"],
        "key": {},
        "digests": {"cells.parquet": "ab" * 32},
    }  # fmt: skip


def make_run(assay: Assay) -> dict[str, Any]:
    """A run.json."""
    return {
        "schema": 1,
        "assay": {"name": assay.name, "digest": assay_digest(assay), "text": ""},
        "model": {"name": "classical", "digest": "classical-1"},
        "versions": {"slidescore": "0.1.0", "numpy": "2.1.3"},
        "command": ["slidescore", "score"],
        "created": "2001-02-03T04:05:06+00:00",
        "inputs": [],
    }
