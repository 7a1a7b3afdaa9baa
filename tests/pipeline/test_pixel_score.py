"""The pixel H-score of pixels whose densities are known."""

from __future__ import annotations

import numpy as np
import pytest

import phantom as ph
from slidescore.pipeline.analysis import analyze_slide
from slidescore.scoring.pixel_h_score import pixel_h_score, pixel_squares
from slidescore.slide import ArrayReader


def true_score(phantom: ph.Phantom, thresholds: tuple[float, float, float], hematoxylin_od: float) -> float:
    """Count the drawn pixels as the definition says."""
    dab, hematoxylin = phantom.truth.dab_od, phantom.truth.hematoxylin_od
    counts = np.bincount(np.searchsorted(thresholds, dab.ravel(), side="right"), minlength=4).astype(float)
    counts[0] = ((dab < thresholds[0]) & (hematoxylin >= hematoxylin_od)).sum()
    return float(100 * (counts @ [0, 1, 2, 3]) / counts.sum())


@pytest.mark.parametrize("staining", ["cytoplasm", "membrane", "nucleus"])
def test_the_score_is_that_of_the_drawn_pixels(assay, change, staining):
    levels = (0.1, 0.3, 0.5, 0.7)
    looks = {"dab_od_levels": levels, "dab_od_shares": (0.25,) * 4, "cytoplasm_dab_share": 0.1}
    drawn = ph.draw_phantom(ph.plain_spec(3, n_cells=150, staining=staining, **looks))
    plain = change(assay, {"stains.white": "255", "cells.segmenter": "classical", "tumor.rule": "all"})
    analysis = analyze_slide(lambda: ArrayReader(drawn.rgb, mpp=drawn.mpp), plain)
    counts = pixel_squares(analysis.tiles, (0.2, 0.4, 0.6)).total
    expected = true_score(drawn, (0.2, 0.4, 0.6), assay.stains.hematoxylin_positive_od)
    assert pixel_h_score(counts, assay.score) == pytest.approx(expected, abs=2)
    assert 20 < expected < 200
