"""End to end on a slide, against the plain way in the same process: `python benchmarks/end_to_end.py SLIDE`.

The plain way is what a user would write with openslide-python and scikit-image: read a tile, convert it, separate
the stains, threshold, distance transform, watershed, expand, regionprops. Both do the same tiles on one thread; the
ratio is what counts, seconds depend on the machine and its neighbours. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from functools import partial
from pathlib import Path

import numpy as np
import openslide
from scipy import ndimage
from skimage.color import hdx_from_rgb, separate_stains
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label, regionprops_table
from skimage.segmentation import expand_labels, watershed
from skimage.transform import downscale_local_mean

from slidescore.annotations import NO_ANNOTATIONS
from slidescore.assay import load_assay
from slidescore.execute import keep_freed_memory
from slidescore.pipeline.segmenters import build_segmenter
from slidescore.pipeline.survey import find_witness, lay_squares, survey_slide
from slidescore.pipeline.tile import score_tile
from slidescore.pipeline.tile_parts import TileContext
from slidescore.slide import open_slide, read_analysis
from slidescore.tiles import TileSpec, plan_tiles

OD_PER_SKIMAGE_UNIT = 6.0


def plain_tile(slide: openslide.OpenSlide, spec: TileSpec, halo_px: int, factor: int) -> int:
    """Score a tile with general-purpose functions; returns the number of cells."""
    x, y = (spec.x_px - halo_px) * factor, (spec.y_px - halo_px) * factor
    size = ((spec.width_px + 2 * halo_px) * factor, (spec.height_px + 2 * halo_px) * factor)
    rgb = np.asarray(slide.read_region((x, y), 0, size).convert("RGB"))
    small = downscale_local_mean(rgb, (factor, factor, 1)) / 255.0
    stains = separate_stains(small, hdx_from_rgb) * OD_PER_SKIMAGE_UNIT
    smooth = gaussian(stains[..., 0], 1.5)
    mask = smooth > threshold_otsu(smooth)
    distance = ndimage.distance_transform_edt(mask)
    markers = np.zeros(mask.shape, dtype=int)
    peaks = peak_local_max(distance, min_distance=5, labels=label(mask))
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    nuclei = watershed(-distance, markers, mask=mask)
    cells = expand_labels(nuclei, 10)
    table = regionprops_table(cells, intensity_image=stains[..., 1], properties=("label", "centroid", "mean_intensity"))
    regionprops_table(nuclei, intensity_image=stains[..., 1], properties=("label", "area", "eccentricity"))
    inside = (table["centroid-0"] >= halo_px) & (table["centroid-0"] < halo_px + spec.height_px)
    inside &= (table["centroid-1"] >= halo_px) & (table["centroid-1"] < halo_px + spec.width_px)
    return int(inside.sum())


def main() -> None:
    """Time both ways on the same tiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--tiles", type=int, default=6, help="tiles to time, spread over the slide")
    arguments = parser.parse_args()
    keep_freed_memory()  # as every process of a run does; the plain way gains as well
    assay = load_assay().assay
    with open_slide(arguments.slide) as reader, openslide.OpenSlide(arguments.slide) as plain:
        afar = survey_slide(reader, assay)
        grid, plan = (
            afar.grid,
            plan_tiles(afar.grid, afar.tissue, core_px=assay.tiles.core_px, halo_um=assay.tiles.halo_um),
        )
        context = TileContext(
            grid, plan, afar.tissue, NO_ANNOTATIONS, afar.white.rgb, afar.vectors, build_segmenter(assay),
            assay.cells, assay.stains, assay.tiles, lay_squares(afar, assay),
            find_witness(reader, afar, partial(read_analysis, reader)),
        )  # fmt: skip
        chosen = [plan.tiles[i] for i in np.unique(np.linspace(0, len(plan.tiles) - 1, arguments.tiles).astype(int))]
        score_tile(reader, chosen[0], context)
        seconds, cells = {"slidescore": 0.0, "plain": 0.0}, {"slidescore": 0, "plain": 0}
        # Turn and turn about, so that a busy neighbour hits both.
        for spec in chosen:
            start = time.process_time()
            cells["slidescore"] += score_tile(reader, spec, context).cells.owned.num_rows
            middle = time.process_time()
            cells["plain"] += plain_tile(plain, spec, plan.halo_px, round(grid.px_to_l0))
            seconds["slidescore"] += middle - start
            seconds["plain"] += time.process_time() - middle
        mpx = sum(spec.width_px * spec.height_px for spec in chosen) / 1e6
    print(
        json.dumps(
            {
                "benchmark": "end_to_end",
                "end_to_end_vs_plain": round(seconds["plain"] / seconds["slidescore"], 2),
                "cells_per_core_second": round(cells["slidescore"] / seconds["slidescore"]),
                "tissue_mpx_per_second": round(mpx / seconds["slidescore"], 2),
                "cells": cells,
                "tiles": len(chosen),
                "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                "device": "cpu, one thread",
            }
        )
    )


if __name__ == "__main__":
    main()
