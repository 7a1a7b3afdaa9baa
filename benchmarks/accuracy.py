"""Accuracy on phantoms with known truth, and on real fields with labelled nuclei: `python benchmarks/accuracy.py`.

Phantoms are drawn by tests/phantom.py; nothing is read from disk for them. `--nuclei DIR` adds fields with masks in
the style of DeepLIIF's sample data: NAME.png beside NAME_truth.png, red positive, blue negative nuclei. Every figure
of docs/accuracy.md comes from here.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import phantom as ph
from slidescore.assay import load_assay
from slidescore.cells.table import floats
from slidescore.pipeline.analysis import analyze_slide
from slidescore.scoring import bin_values
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


def score_phantom(field: ph.Phantom, assay_name: str = "cxcr4") -> dict[str, object]:
    """Compare what is measured on a phantom with what was drawn."""
    assay = load_assay(assay_name).assay
    cells = analyze_slide(lambda: ArrayReader(field.rgb, mpp=field.mpp), assay, threads=2).cells
    truth = field.truth
    found = np.stack([floats(cells, "x"), floats(cells, "y")], axis=1)
    matches = ph.match_points(truth.xy, found, MATCH_UM / field.mpp)
    pairs = np.asarray(matches.pairs).reshape(-1, 2)
    out: dict[str, object] = {
        "cells": len(truth.x),
        "precision": round(matches.precision, 3),
        "recall": round(matches.recall, 3),
    }
    for name in COMPARTMENTS:
        measured = floats(cells, f"dab_od_{name}")
        drawn = getattr(truth, f"dab_od_{name}")
        out[name] = compare(drawn, measured[~np.isnan(measured)], assay.bins.of(name))
        bias = measured[pairs[:, 1]] - drawn[pairs[:, 0]]
        out[name]["od_bias"] = round(float(np.nanmean(bias)), 3)
        strong = drawn[pairs[:, 0]] >= assay.bins.of(name)[1]
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


def score_nuclei(folder: Path, mpp: float) -> dict[str, dict[str, float]]:
    """Score detection and positivity on fields with labelled nuclei, one-to-one within 5 um."""
    assay = load_assay("generic-nuclear").assay
    total = np.zeros((3, 3))
    out: dict[str, dict[str, float]] = {}
    for path in sorted(folder.glob("*_truth.png")):
        rgb = np.asarray(Image.open(path.with_name(path.name.replace("_truth", ""))).convert("RGB"))
        xy, positive = truth_nuclei(np.asarray(Image.open(path).convert("RGB")))
        cells = analyze_slide(lambda rgb=rgb: ArrayReader(rgb, mpp=mpp), assay).cells
        found = np.stack([floats(cells, "x"), floats(cells, "y")], axis=1)
        called = bin_values(floats(cells, "dab_od_nucleus"), assay.bins.of("nucleus")) > 0
        counts = np.array(
            [
                _counts(xy, found, mpp),
                _counts(xy[positive], found[called], mpp),
                _counts(xy[~positive], found[~called], mpp),
            ]
        )
        total += counts
        out[path.name.removesuffix("_truth.png")] = _f1s(counts) | {
            "percent_positive": round(100 * float(positive.mean()), 1),
            "measured": round(100 * float(called.mean()), 1),
        }
    out["all"] = _f1s(total)
    return out


def truth_nuclei(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read nuclei from a truth picture: centres, float64 (N, 2) of x, y, and which are positive."""
    from skimage.measure import label, regionprops

    red, green, blue = (picture[..., c].astype(int) for c in range(3))
    masks = ((red > 100) & (blue < 100) & (green < 100), (blue > 100) & (red < 100) & (green < 100))
    centres, positive = [], []
    for is_positive, mask in zip((True, False), masks, strict=True):
        for region in regionprops(label(mask, connectivity=1)):
            if region.area >= 20:
                row, column = region.centroid
                centres.append((column + 0.5, row + 0.5))
                positive.append(is_positive)
    return np.asarray(centres, dtype=float).reshape(-1, 2), np.asarray(positive, dtype=bool)


def _counts(truth: np.ndarray, found: np.ndarray, mpp: float) -> tuple[int, int, int]:
    matches = ph.match_points(truth, found, MATCH_UM / mpp)
    return matches.tp, matches.fp, matches.fn


def _f1s(counts: np.ndarray) -> dict[str, float]:
    names = ("detection_f1", "positive_f1", "negative_f1")
    return {name: round(2 * tp / max(2 * tp + fp + fn, 1), 3) for name, (tp, fp, fn) in zip(names, counts, strict=True)}


def main() -> None:
    """Print one JSON line a field."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nuclei", type=Path, help="folder of NAME.png and NAME_truth.png")
    parser.add_argument("--nuclei-mpp", type=float, default=0.25)
    parser.add_argument("--only", default="", help="fields whose name holds this text")
    parser.add_argument("--cells", type=int, default=2400, help="cells a field")
    arguments = parser.parse_args()
    for name, spec in FIELDS.items():
        if arguments.only in name:
            scale = (arguments.cells / 2400) ** 0.5
            sized = replace(spec, width_px=int(spec.width_px * scale), height_px=int(spec.height_px * scale))
            print(json.dumps({"field": name, **score_phantom(ph.draw_phantom(sized))}), flush=True)
    if arguments.nuclei:
        for name, figures in score_nuclei(arguments.nuclei, arguments.nuclei_mpp).items():
            print(json.dumps({"field": f"nuclei: {name}", **figures}), flush=True)


if __name__ == "__main__":
    main()
