"""The story of one tile: read, separate, segment, measure, keep what is its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.annotations import AnnotationSet, inside, name_regions, paint_areas
from slidescore.assay.model import Cells, Stains, Tiles
from slidescore.cells import (
    CellMeasurements,
    CompartmentSizes,
    Segmentation,
    Segmenter,
    TileCells,
    build_cells,
    cut_compartments,
    measure_cells,
    trace_outlines,
)
from slidescore.cells.table import pack_outlines
from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.scoring.cell_features import LEAST_PROBABILITY
from slidescore.slide import AnalysisGrid, SlideReader, read_analysis
from slidescore.stain import StainPlanes, StainVectors, separate
from slidescore.tiles import TilePlan, TileSpec
from slidescore.tissue import TissueMask

HISTOGRAM_LOW_OD, HISTOGRAM_STEP_OD, HISTOGRAM_BINS = -0.5, 0.01, 400
"""DAB histograms of a tile: 400 bins 0.01 OD wide from -0.5 OD; what lies beyond is counted in the end bins."""


@dataclass(frozen=True, slots=True)
class TileContext:
    """What every tile of a slide is scored with."""

    grid: AnalysisGrid
    plan: TilePlan
    tissue: TissueMask
    annotations: AnnotationSet
    white: tuple[float, float, float]
    vectors: StainVectors
    segmenter: Segmenter
    cells: Cells
    stains: Stains
    tiles: Tiles


@dataclass(frozen=True, slots=True)
class AreaSums:
    """Areas of a tile or region in um2: tissue to be scored, and what of it was scored, excluded or has no pixels."""

    tissue_um2: float
    scored_um2: float
    excluded_um2: float
    missing_um2: float

    def __add__(self, other: AreaSums) -> AreaSums:
        return AreaSums(
            self.tissue_um2 + other.tissue_um2,
            self.scored_um2 + other.scored_um2,
            self.excluded_um2 + other.excluded_um2,
            self.missing_um2 + other.missing_um2,
        )


NO_AREA = AreaSums(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class TileResult:
    """What one tile yields; `reason` is empty unless the tile failed or is excluded."""

    spec: TileSpec
    status: str
    reason: str
    pixel_um2: float
    cells: TileCells
    areas: AreaSums
    region_areas: dict[str, AreaSums]
    background_dab_od: float | None
    dab_histogram: NDArray[np.int32]
    hematoxylin_histogram: NDArray[np.int32]


def score_tile(reader: SlideReader, spec: TileSpec, context: TileContext) -> TileResult:
    """Find and measure the cells of one tile.

    Raises
    ------
    SlideOpenError
        If its pixels cannot be read.
    """
    grid, halo = context.grid, context.plan.halo_px
    x_px, y_px = spec.x_px - halo, spec.y_px - halo
    rgb, valid = read_analysis(reader, grid, x_px, y_px, spec.width_px + 2 * halo, spec.height_px + 2 * halo)
    planes = separate(rgb, context.white, context.vectors)
    found = context.segmenter.segment(rgb, planes, valid, grid.analysis_mpp)
    sizes = compartment_sizes(context.cells, grid.analysis_mpp)
    compartments = cut_compartments(found.nuclei, planes.dab_od, valid, sizes)
    measured = measure_cells(
        compartments,
        planes,
        membrane_percentile=context.cells.membrane_percentile,
        min_pixels=context.cells.min_compartment_px,
    )
    cells = _own_cells(measured, found, compartments.cells, spec, context)
    core = np.s_[halo : halo + spec.height_px, halo : halo + spec.width_px]
    core_planes = StainPlanes(planes.hematoxylin_od[core], planes.dab_od[core], planes.residual_od[core])
    return _sum_up(spec, context, cells, core_planes, valid[core], compartments.cells[core] > 0)


def failed_tile(spec: TileSpec, context: TileContext, reason: str) -> TileResult:
    """Describe a tile whose pixels could not be read: its tissue counts, its cells are unknown."""
    wanted, _, regions = _wanted_masks(spec, context)
    pixel_um2 = context.grid.analysis_mpp**2
    nothing = np.zeros(HISTOGRAM_BINS, dtype=np.int32)
    empty = build_cells({}, 0)
    return TileResult(
        spec,
        "failed",
        reason,
        pixel_um2,
        TileCells(empty, np.zeros(0, dtype=bool), empty),
        AreaSums(float(wanted.sum()) * pixel_um2, 0.0, 0.0, 0.0),
        {name: AreaSums(float((wanted & mask).sum()) * pixel_um2, 0.0, 0.0, 0.0) for name, mask in regions.items()},
        None,
        nothing,
        nothing,
    )


def compartment_sizes(cells: Cells, mpp: float) -> CompartmentSizes:
    """Turn the assay's lengths into pixels of `mpp` um."""
    return CompartmentSizes(
        expansion_px=cells.expansion_um / mpp,
        membrane_px=cells.membrane_um / mpp,
        guard_px=cells.guard_um / mpp,
        min_fall_od=cells.min_fall_od,
        keep_fraction=cells.keep_fraction,
    )


def _own_cells(
    measured: CellMeasurements,
    found: Segmentation,
    cells: NDArray[np.int32],
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
    if limits := context.annotations.limits:
        counts &= inside(limits, x_l0, y_l0)
    keep = counts & (owned | (outside <= seam_px))
    n = int(keep.sum())
    centers = np.stack([measured.x_px, measured.y_px], axis=1)
    drawn = context.annotations
    x, y = x_l0[keep], y_l0[keep]
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
            "region": pa.array(name_regions(drawn.of("include", "tumor"), x, y), pa.string()),
            "excluded": pa.array(_exclusions(drawn, x, y), pa.string()),
            "nucleus_outline": pack_outlines(trace_outlines(found.nuclei, keep, centers, scale)),
            "cell_outline": pack_outlines(trace_outlines(cells, keep, centers, scale)),
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


def _exclusions(annotations: AnnotationSet, x: NDArray[np.float64], y: NDArray[np.float64]) -> list[str | None]:
    reasons: NDArray[np.object_] = np.full(len(x), None, dtype=object)
    reasons[inside(annotations.of("control"), x, y)] = "annotation: control"
    reasons[inside(annotations.of("exclude"), x, y)] = "annotation: exclude"
    return list(reasons)


def _wanted_masks(
    spec: TileSpec, context: TileContext
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[np.bool_]]]:
    """Paint, for the core: tissue that is to be scored, what of it is excluded, and the named regions."""
    scale = context.grid.px_to_l0
    x_l0, y_l0, shape = spec.x_px * scale, spec.y_px * scale, (spec.height_px, spec.width_px)
    drawn = context.annotations
    wanted = context.tissue.sample(x_l0, y_l0, shape, scale)
    if limits := drawn.limits:
        wanted &= paint_areas(limits, x_l0, y_l0, shape, scale)
    control = paint_areas(drawn.of("control"), x_l0, y_l0, shape, scale)
    excluded = wanted & paint_areas(drawn.of("exclude"), x_l0, y_l0, shape, scale)
    regions = {}
    for name in drawn.region_names:
        same = [area for area in drawn.of("include", "tumor") if area.name == name]
        mask = paint_areas(same, x_l0, y_l0, shape, scale)
        if mask.any():
            regions[name] = mask
    # Control tissue is never counted, so it is not part of the tissue to be scored.
    return wanted & ~control, excluded & ~control, regions


def _sum_up(
    spec: TileSpec,
    context: TileContext,
    cells: TileCells,
    planes: StainPlanes,
    valid: NDArray[np.bool_],
    in_cell: NDArray[np.bool_],
) -> TileResult:
    wanted, excluded, regions = _wanted_masks(spec, context)
    scored = wanted & valid & ~excluded
    pixel_um2 = context.grid.analysis_mpp**2

    def areas(mask: NDArray[np.bool_]) -> AreaSums:
        counts = ((wanted & mask), (scored & mask), (excluded & mask), (wanted & ~valid & mask))
        tissue, done, out, missing = (float(part.sum()) * pixel_um2 for part in counts)
        return AreaSums(tissue, done, out, missing)

    background = planes.dab_od[scored & ~in_cell]
    everything = np.ones_like(wanted)
    status = "scored" if scored.any() or not wanted.any() else "excluded" if excluded.any() else "missing"
    return TileResult(
        spec,
        status,
        {"scored": "", "excluded": "annotation", "missing": "no pixels"}[status],
        pixel_um2,
        cells,
        areas(everything),
        {name: areas(mask) for name, mask in regions.items()},
        float(np.median(background)) if background.size else None,
        _histogram(planes.dab_od[scored]),
        _histogram(planes.dab_od[scored & (planes.hematoxylin_od >= context.stains.hematoxylin_positive_od)]),
    )


def _histogram(values: NDArray[np.float32]) -> NDArray[np.int32]:
    bins = np.floor((values - HISTOGRAM_LOW_OD) / HISTOGRAM_STEP_OD).astype(np.int64)
    return np.bincount(np.clip(bins, 0, HISTOGRAM_BINS - 1), minlength=HISTOGRAM_BINS).astype(np.int32)
