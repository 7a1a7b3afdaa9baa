"""From a network's maps to cells, against scikit-image in one process: `python benchmarks/postprocess.py SLIDE`.

Both take the same maps of the same tiles. slidescore finds the nuclei, grows and cuts the cells, measures all four
compartments and traces both outlines; the plain way does a distance transform, peak_local_max, watershed, expand_labels
and regionprops_table (areas, centroids, eccentricity, solidity, mean DAB of nuclei and cells), without membranes, guard
or outlines. Tiles are those that tissue fills, spread over the slide, with their halos; all cells in them count. One
thread; the best round of each counts. Prints one JSON line; the ratio to scikit-image has the outlines in it,
`cells_per_core_second` is for segmentation and measurement alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.measure import label, regionprops_table
from skimage.segmentation import expand_labels, watershed

from slidescore.assay import Assay, load_assay
from slidescore.cells import cut_compartments, measure_cells, trace_outlines
from slidescore.cells.decode import DecodeSettings, decode_maps
from slidescore.nn.device import one_thread_each, resolve_device
from slidescore.nn.segmenter import Maps, load_segmenter
from slidescore.pipeline.survey import Survey, survey_slide
from slidescore.pipeline.tile import compartment_sizes
from slidescore.slide import open_slide, read_analysis
from slidescore.stain import StainPlanes, separate
from slidescore.tiles import TileSpec, plan_tiles

ROUNDS = 5
STAGES = ("decode", "compartments", "measure", "outlines")
PEAKS_APART_PX, EXPANSION_PX = 5, 10


def ours(
    maps: Maps, planes: StainPlanes, valid: NDArray[np.bool_], decode: DecodeSettings, assay: Assay, scale: float
) -> tuple[int, dict[str, float]]:
    """Make cells of maps; returns their number and the seconds of each stage."""
    mpp, at = assay.reading.mpp, [time.process_time()]
    found = decode_maps(
        maps.center[0], maps.foreground[0], maps.distance[0], maps.type_probability[0], valid, mpp, decode
    )
    at.append(time.process_time())
    c = cut_compartments(found.nuclei, planes.dab_od, valid, compartment_sizes(assay.cells, mpp), found.boxes)
    at.append(time.process_time())
    measured = measure_cells(
        c,
        planes,
        membrane_percentile=assay.cells.membrane_percentile,
        min_pixels=assay.cells.min_compartment_px,
    )
    at.append(time.process_time())
    centers, keep = np.stack([measured.x_px, measured.y_px], axis=1), np.ones(len(measured.x_px), bool)
    trace_outlines(c.nuclei, keep, centers, scale, c.nucleus_boxes)
    trace_outlines(c.cells, keep, centers, scale, c.cell_boxes)
    at.append(time.process_time())
    return len(keep), dict(zip(STAGES, np.diff(at).tolist(), strict=True))


def plain(maps: Maps, planes: StainPlanes, decode: DecodeSettings) -> int:
    """Make cells of maps with general-purpose functions; returns their number."""
    mask = maps.foreground[0] >= decode.min_foreground
    distance = ndimage.distance_transform_edt(mask)
    peaks = peak_local_max(distance, min_distance=PEAKS_APART_PX, labels=label(mask))
    markers = np.zeros(mask.shape, dtype=int)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    nuclei = watershed(-distance, markers, mask=mask)
    cells = expand_labels(nuclei, EXPANSION_PX)
    shape = ("label", "area", "centroid", "eccentricity", "solidity", "mean_intensity")
    regionprops_table(nuclei, intensity_image=planes.dab_od, properties=shape)
    regionprops_table(cells, intensity_image=planes.dab_od, properties=("label", "area", "mean_intensity"))
    return len(peaks)


def tissue_share(spec: TileSpec, afar: Survey) -> float:
    """Return how much tissue a core holds."""
    scale, shape = afar.grid.px_to_l0, (spec.height_px, spec.width_px)
    return float(afar.tissue.sample(spec.x_px * scale, spec.y_px * scale, shape, scale).sum())


def main() -> None:
    """Time both ways on the same tiles, turn and turn about."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--tiles", type=int, default=3, help="tiles to time, spread over the slide")
    arguments = parser.parse_args()
    assay = load_assay().assay
    segmenter = load_segmenter(assay.cells.network.model, resolve_device("cpu"))
    seconds = {"plain": 0.0, "ours": 0.0} | dict.fromkeys(STAGES, 0.0)
    cells, area_px = {"slidescore": 0, "plain": 0}, 0
    with open_slide(arguments.slide) as reader, one_thread_each():
        afar = survey_slide(reader, assay)
        plan = plan_tiles(afar.grid, afar.tissue, core_px=assay.tiles.core_px, halo_um=assay.tiles.halo_um)
        full = sorted(plan.tiles, key=lambda spec: -tissue_share(spec, afar))[: 2 * arguments.tiles]
        full.sort(key=lambda spec: spec.index)
        for i in np.unique(np.linspace(0, len(full) - 1, arguments.tiles).astype(int)):
            spec, side = full[i], plan.core_px + 2 * plan.halo_px
            rgb, valid = read_analysis(
                reader, afar.grid, spec.x_px - plan.halo_px, spec.y_px - plan.halo_px, side, side
            )
            planes, maps = separate(rgb, afar.white.rgb, afar.vectors), segmenter.predict_maps(rgb[None])
            rounds, plain_seconds = [], []
            for _ in range(ROUNDS):
                n, stages = ours(maps, planes, valid, segmenter.decode, assay, afar.grid.px_to_l0)
                rounds.append(stages)
                start = time.process_time()
                n_plain = plain(maps, planes, segmenter.decode)
                plain_seconds.append(time.process_time() - start)
            best = min(rounds, key=lambda stages: sum(stages.values()))
            seconds["ours"] += sum(best.values())
            seconds["plain"] += min(plain_seconds)
            for stage in STAGES:
                seconds[stage] += best[stage]
            cells["slidescore"] += n
            cells["plain"] += n_plain
            area_px += side * side
    measured = seconds["ours"] - seconds["outlines"]
    print(
        json.dumps(
            {
                "benchmark": "postprocess",
                "postprocess_vs_skimage": round(seconds["plain"] / seconds["ours"], 1),
                "cells_per_core_second": round(cells["slidescore"] / measured),
                "cells_per_core_second_with_outlines": round(cells["slidescore"] / seconds["ours"]),
                "skimage_cells_per_core_second": round(cells["plain"] / seconds["plain"]),
                "share_of_stages": {stage: round(seconds[stage] / seconds["ours"], 2) for stage in STAGES},
                "cells": cells,
                "cells_per_mm2": round(cells["slidescore"] / (area_px * afar.grid.analysis_mpp**2) * 1e6),
                "device": "cpu, one thread",
            }
        )
    )


if __name__ == "__main__":
    main()
