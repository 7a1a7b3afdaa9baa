"""What is measured on phantoms, against what was drawn."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import phantom as ph
from slidescore.assay import Assay
from slidescore.cells.table import floats
from slidescore.pipeline.analysis import analyze_slide
from slidescore.scoring import bin_values, tumor_cells
from slidescore.slide import ArrayReader

MATCH_UM = 5.0
COMPARTMENTS = ("nucleus", "cytoplasm", "membrane", "cell")
ON_GLASS = {"tissue": "irregular", "tissue_fraction": 0.75, "n_cells": 3200}
"""Fields lie on glass, as sections do: the white reference is measured there."""
FIELDS = {
    "apart, 0.5 um/px": ph.apart_spec(1, **ON_GLASS),
    "apart, 0.25 um/px": ph.apart_spec(2, mpp=0.25, **ON_GLASS),
    "crowded, 0.5 um/px": ph.crowded_spec(1, **ON_GLASS),
    "crowded, 0.25 um/px": ph.crowded_spec(2, mpp=0.25, **ON_GLASS),
    "crowded 3,000/mm2": ph.crowded_spec(3, density_per_mm2=3000.0, **ON_GLASS),
    "crowded 6,000/mm2": ph.crowded_spec(4, density_per_mm2=6000.0, **ON_GLASS),
    "crowded, thin cytoplasm": ph.crowded_spec(5, cell_margin_um=(2.0, 7.0), **ON_GLASS),
    "membrane only": ph.crowded_spec(6, staining="membrane", **ON_GLASS),
    "nucleus only": ph.crowded_spec(7, staining="nucleus", **ON_GLASS),
    "negative, 0.5 um/px": ph.negative_spec(8, **ON_GLASS),
    "negative, 0.25 um/px": ph.negative_spec(9, mpp=0.25, **ON_GLASS),
}
STRONG_FROM = 1
"""Index of the threshold from which a cell counts as strong: 2+."""


def draw_field(name: str, cells: int = 2400) -> ph.Phantom:
    """Draw one of FIELDS, smaller or larger in proportion to the cells wanted."""
    spec, scale = FIELDS[name], (cells / 2400) ** 0.5
    return ph.draw_phantom(replace(spec, width_px=int(spec.width_px * scale), height_px=int(spec.height_px * scale)))


def score_phantom(field: ph.Phantom, assay: Assay) -> dict[str, object]:
    """Compare what is measured on a phantom with what was drawn; the tumor rule of the assay decides what counts."""
    table = analyze_slide(lambda: ArrayReader(field.rgb, mpp=field.mpp), assay, threads=2).cells
    counted = tumor_cells(table, assay)
    truth = field.truth
    found = np.stack([floats(table, "x"), floats(table, "y")], axis=1)
    matches = ph.match_points(truth.xy, found, MATCH_UM / field.mpp)
    pairs = np.asarray(matches.pairs).reshape(-1, 2)
    out: dict[str, object] = {
        "cells": len(truth.x),
        "precision": round(matches.precision, 3),
        "recall": round(matches.recall, 3),
        "counted_share": round(float(counted.mean()), 3) if len(counted) else None,
    }
    for name in COMPARTMENTS:
        measured = floats(table, f"dab_od_{name}")
        drawn = getattr(truth, f"dab_od_{name}")
        out[name] = compare(drawn, measured[counted & ~np.isnan(measured)], assay.bins.of(name))
        bias = measured[pairs[:, 1]] - drawn[pairs[:, 0]]
        out[name]["od_bias"] = round(float(np.nanmean(bias)), 3)
        strong = drawn[pairs[:, 0]] >= assay.bins.of(name)[STRONG_FROM]
        out[name]["od_bias_strong"] = round(float(np.nanmean(bias[strong])), 3) if strong.any() else None
    return out


def compare(drawn: np.ndarray, measured: np.ndarray, thresholds: tuple[float, float, float]) -> dict[str, object]:
    """Compare H-scores and bin shares of two sets of cells."""
    shares = [
        100 * np.bincount(bin_values(values.astype(np.float32), thresholds), minlength=4) / max(len(values), 1)
        for values in (drawn, measured)
    ]
    weights = np.arange(4)
    return {
        "h_drawn": round(float(shares[0] @ weights), 1),
        "h_measured": round(float(shares[1] @ weights), 1),
        "largest_share_error": round(float(np.abs(shares[1] - shares[0]).max()), 1),
    }
