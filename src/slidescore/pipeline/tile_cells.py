"""The cells that a tile keeps: its own, and as shadows those that a neighbour should own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.annotations import AnnotationSet, inside, name_regions
from slidescore.cells import CellMeasurements, Compartments, Segmentation, TileCells, build_cells, trace_outlines
from slidescore.cells.table import pack_outlines
from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.pipeline.tile_parts import TileContext
from slidescore.scoring.cell_features import LEAST_PROBABILITY
from slidescore.tiles import TileSpec


def own_cells(
    measured: CellMeasurements,
    found: Segmentation,
    compartments: Compartments,
    spec: TileSpec,
    context: TileContext,
) -> TileCells:
    """Keep the cells that the core owns, and as shadows those that a neighbour should own."""
    halo, scale, mpp = context.plan.halo_px, context.grid.px_to_l0, context.grid.analysis_mpp
    # Measured pixel 0 is the middle of the first pixel; level-0 coordinates begin at its corner.
    x_px = measured.x_px + 0.5 + spec.x_px - halo
    y_px = measured.y_px + 0.5 + spec.y_px - halo
    outside = np.maximum.reduce(
        [spec.x_px - x_px, x_px - (spec.x_px + spec.width_px), spec.y_px - y_px, y_px - (spec.y_px + spec.height_px)]
    )
    owned = (
        (x_px >= spec.x_px)
        & (x_px < spec.x_px + spec.width_px)
        & (y_px >= spec.y_px)
        & (y_px < spec.y_px + spec.height_px)
    )
    seam_px = context.tiles.seam_um / mpp
    x_l0, y_l0 = x_px * scale, y_px * scale
    counts = context.tissue.at(x_l0, y_l0)
    drawn = context.annotations
    if drawn.limits:
        counts &= inside([*drawn.limits, *drawn.of("control")], x_l0, y_l0)
    keep = counts & (owned | (outside <= seam_px))
    n = int(keep.sum())
    centers = np.stack([measured.x_px, measured.y_px], axis=1)
    x, y = x_l0[keep], y_l0[keep]
    c = compartments
    table = build_cells(
        {
            "cell_id": np.zeros(n, dtype=np.int64),
            "x": x.astype(np.float32),
            "y": y.astype(np.float32),
            "tile": context.plan.index_at(x_px[keep], y_px[keep]),
            "nucleus_area_um2": measured.nucleus_area_px[keep] * mpp**2,
            "cell_area_um2": measured.cell_area_px[keep] * mpp**2,
            "nucleus_eccentricity": measured.nucleus_eccentricity[keep],
            "hematoxylin_od_nucleus": measured.hematoxylin_od_nucleus[keep],
            "dab_od_nucleus": measured.dab_od_nucleus[keep],
            "dab_od_cytoplasm": measured.dab_od_cytoplasm[keep],
            "dab_od_membrane": measured.dab_od_membrane[keep],
            "dab_od_cell": measured.dab_od_cell[keep],
            **_probabilities(found, keep, drawn, x, y),
            "region": pa.array(_regions(drawn, x, y), pa.string()),
            "excluded": pa.array(_exclusions(drawn, x, y), pa.string()),
            "nucleus_outline": pack_outlines(trace_outlines(c.nuclei, keep, centers, scale, c.nucleus_boxes)),
            "cell_outline": pack_outlines(trace_outlines(c.cells, keep, centers, scale, c.cell_boxes)),
        },
        n,
    )
    mine = owned[keep]
    return TileCells(table.filter(pa.array(mine)), (outside[keep] > -seam_px)[mine], table.filter(pa.array(~mine)))


def _probabilities(
    found: Segmentation,
    keep: NDArray[np.bool_],
    annotations: AnnotationSet,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> dict[str, NDArray[np.floating[Any]]]:
    """Fill the columns of probabilities; NaN where nothing decides them.

    An annotation classed Tumor or Other settles the type, whatever the segmenter says: only it gives exactly 1 or 0.
    """
    tumor = np.full(len(x), np.nan)
    columns: dict[str, NDArray[np.floating[Any]]] = {}
    if found.detection_probability is not None:
        columns["detection_probability"] = found.detection_probability[keep]
    if found.type_probability is not None:
        types = found.type_probability[keep]
        tumor = np.clip(types[:, TUMOR].astype(np.float64), LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
        columns |= {"lymphocyte_probability": types[:, LYMPHOCYTE], "stromal_probability": types[:, STROMAL]}
    tumor[inside(annotations.of("tumor"), x, y)] = 1.0
    tumor[inside(annotations.of("other"), x, y)] = 0.0
    return {"tumor_probability": tumor, **columns}


def _regions(annotations: AnnotationSet, x: NDArray[np.float64], y: NDArray[np.float64]) -> list[str | None]:
    """Name the region of each cell; a cell of control tissue belongs to its control area and to no other."""
    named = name_regions(annotations.of("include", "tumor"), x, y)
    controls = name_regions(annotations.controls, x, y)
    return [name if control is None else control for name, control in zip(named, controls, strict=True)]


def _exclusions(annotations: AnnotationSet, x: NDArray[np.float64], y: NDArray[np.float64]) -> list[str | None]:
    reasons: NDArray[np.object_] = np.full(len(x), None, dtype=object)
    reasons[inside(annotations.of("control"), x, y)] = "annotation: control"
    reasons[inside(annotations.of("exclude"), x, y)] = "annotation: exclude"
    return list(reasons)
