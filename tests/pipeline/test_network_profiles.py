"""The shipped network gives the same cells whatever the tiles, the batch and the precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phantom as ph
from slidescore.assay import Assay, load_assay
from slidescore.nn.device import Device
from slidescore.nn.segmenter import load_segmenter
from slidescore.pipeline.analysis import SlideAnalysis, analyze_slide
from slidescore.pipeline.judge import SlideIdentity, judge_slide
from slidescore.slide import ArrayReader

pytestmark = pytest.mark.slow

CELLS_WITHIN, H_WITHIN = 0.005, 1.0
N_IMAGES, SIDE_PX = 16, 192
FLOAT32, BF16 = Device("cpu", "float32", "CPU"), Device("cpu", "bf16", "CPU")


@pytest.fixture(scope="module")
def shipped() -> Assay:
    assay = load_assay("cxcr4").assay
    assert assay.cells.segmenter == "network"
    return assay


def measure(field: ph.Phantom, assay: Assay, **options: Any) -> tuple[SlideAnalysis, float]:
    analysis = analyze_slide(lambda: ArrayReader(field.rgb, mpp=field.mpp), assay, threads=2, **options)
    score = judge_slide(analysis, assay, SlideIdentity("x", "x")).h_score
    assert score is not None
    return analysis, score


@pytest.mark.parametrize(("core_px", "origin_px"), [(512, (0, 0)), (1024, (0, 0)), (512, (-176, -304))])
def test_tiles_change_nothing(crowded: ph.Phantom, shipped: Assay, change, core_px: int, origin_px) -> None:
    whole, h_whole = measure(crowded, change(shipped, {"tiles.core_px": 2048}))
    tiled, h_tiled = measure(crowded, change(shipped, {"tiles.core_px": core_px}), origin_px=origin_px)
    n = whole.cells.num_rows
    assert n > 1000
    assert abs(tiled.cells.num_rows - n) <= CELLS_WITHIN * n
    assert abs(h_tiled - h_whole) <= H_WITHIN


def test_one_and_sixteen_at_once_and_both_precisions_find_the_same_cells(crowded: ph.Phantom, shipped: Assay) -> None:
    images = np.stack([crowded.rgb[y : y + SIDE_PX, x : x + SIDE_PX]
                       for y in range(0, 4 * SIDE_PX, SIDE_PX) for x in range(0, 4 * SIDE_PX, SIDE_PX)])  # fmt: skip
    assert len(images) == N_IMAGES
    usable = np.ones(images.shape[:3], bool)
    segmenter = load_segmenter(shipped.cells.network.model, FLOAT32)
    together = segmenter.segment_batch(images, usable, crowded.mpp)
    alone = [segmenter.segment_batch(images[k : k + 1], usable[:1], crowded.mpp)[0] for k in range(N_IMAGES)]
    counts = [sum(int(found.nuclei.max()) for found in each) for each in (together, alone)]
    rounded = load_segmenter(shipped.cells.network.model, BF16).segment_batch(images, usable, crowded.mpp)
    n_rounded = sum(int(found.nuclei.max()) for found in rounded)
    assert counts[0] > 500
    assert abs(counts[0] - counts[1]) <= CELLS_WITHIN * counts[0]
    assert abs(n_rounded - counts[0]) <= CELLS_WITHIN * counts[0]
