"""A made-up result.json and run.json, whole and plausible."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pyarrow as pa

from slidescore.assay import Assay, assay_digest, left_digest
from slidescore.report.columns import SCORE_COLUMNS
from slidescore.scoring import COMPARTMENTS, meets, score_cells
from slidescore.scoring.schemes import SCHEMES
from slidescore.scoring.sensitivity import tumor_sensitivity


def make_row(cells: pa.Table, assay: Assay, **changes: Any) -> dict[str, Any]:
    """A row of scores.csv that agrees with a cell table."""
    scores = score_cells(cells, assay)
    counts = scores.counts
    h_score = counts.h_score
    cutoff, value = assay.call.cutoff, scores.value(assay.score.scheme)
    called = None if cutoff is None else "HIGH" if value is not None and meets(value, cutoff) else "LOW"
    row: dict[str, Any] = dict.fromkeys(SCORE_COLUMNS)
    row |= {
        "slide_id": "a-01234567",
        "file": "a.svs",
        "status": "scored",
        "call": "NOT_EVALUABLE" if cutoff is not None and h_score is None else called,
        "call_status": None if cutoff is None else cutoff.status,
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
        "cutoff": None if cutoff is None else cutoff.text,
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


NO_INTERVAL = {
    "square_um": 512.0, "replicates": 2000, "seed": "ab", "n_squares": 4,
    "reason": "only 4 squares of 512 um hold tumor cells (at least 10)", "squares": [], "n_eff": None,
    "naive_low": None, "naive_high": None, "p_high": None,
}  # fmt: skip
"""The part `uncertainty` of a slide without an interval."""
INTERVAL = NO_INTERVAL | {
    "n_squares": 2, "reason": "", "squares": [[0, 0, 100, 50, 20, 30], [1, 0, 400, 1000, 300, 100]], "n_eff": 71.6,
    "naive_low": 140.04, "naive_high": 146.06, "p_high": 0.381,
}  # fmt: skip
"""The part `uncertainty` of a slide with one."""


def make_schemes(cells: pa.Table, assay: Assay, **intervals: tuple[float, float]) -> dict[str, Any]:
    """All scores of a slide, some with an interval in every compartment: `h_score=(120.0, 166.0)`."""
    scores = score_cells(cells, assay)
    return {
        scheme: {
            name: dict(zip(("low", "high"), intervals.get(scheme, (None, None)), strict=True))
            | {"value": scores.value(scheme, name)}
            for name in COMPARTMENTS
        }
        for scheme in SCHEMES
    }


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
        "schemes": make_schemes(cells, assay),
        "uncertainty": NO_INTERVAL,
        "sensitivity": None if (sensitivity := tumor_sensitivity(cells, assay)) is None else asdict(sensitivity),
        "regions": regions or [],
        "slide": {
            "width": 40_123, "height": 30_456, "mpp_x": 0.2512, "mpp_y": 0.2513, "mpp": 0.25125, "mpp_source": "file",
            "vendor": "aperio", "reader": "openslide", "level_count": 3, "scanner": "SS1234", "icc_profile": True,
            "fingerprint": "5f" * 32,
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
