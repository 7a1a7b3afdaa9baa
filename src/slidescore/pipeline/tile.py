"""The story of one tile: read, separate, segment, measure, keep what is its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.annotations import AnnotationSet, Area, inside, name_regions, paint_areas
from slidescore.assay.model import Cells, Stains, Tiles
from slidescore.cells import (
    CellMeasurements,
    Compartments,
    CompartmentSizes,
    Segmentation,
    Segmenter,
    TileCells,
    build_cells,
    cut_compartments,
    measure_cells,
    trace_outlines,
)
from slidescore.cells.table import empty_cells, pack_outlines
from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.pipeline.tile_sums import HISTOGRAM_BINS as HISTOGRAM_BINS
from slidescore.pipeline.tile_sums import Core, CoreSums, sum_core
from slidescore.qc.artifacts import REASONS, TileSquares, judge_squares, no_squares, paint_reasons
from slidescore.qc.squares import MEASURES, SquarePlan, measure_squares
from slidescore.qc.stain_counts import BlockColours, ColourCounts, count_colours, no_colours
from slidescore.scoring.cell_features import LEAST_PROBABILITY
from slidescore.slide import AnalysisGrid, SlideReader, read_analysis
from slidescore.slide.cross_level import LevelWitness
from slidescore.stain import StainPlanes, StainVectors, separate
from slidescore.tiles import TilePlan, TileSpec
from slidescore.tissue import TissueMask


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
    squares: SquarePlan
    witness: LevelWitness | None = None


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
NO_CELLS = TileCells(empty_cells(), np.zeros(0, dtype=bool), empty_cells())


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
    control_areas: dict[str, AreaSums]
    background_dab_od: float | None
    dab_histogram: NDArray[np.int32]
    hematoxylin_histogram: NDArray[np.int32]
    squares: TileSquares
    colours: ColourCounts


@dataclass(frozen=True, slots=True)
class CoreMasks:
    """What is drawn on a core, pixel by pixel; bool, (H, W) each.

    Attributes
    ----------
    wanted
        Tissue that is to be scored: inside include areas where there are any, control areas left out.
    excluded
        What of it an annotation excludes; None for nothing.
    regions, controls
        Named regions, and tissue in control areas, by name.
    """

    wanted: NDArray[np.bool_]
    excluded: NDArray[np.bool_] | None
    regions: dict[str, NDArray[np.bool_]]
    controls: dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class JudgedSquares:
    """The squares around a core.

    Attributes
    ----------
    origin_px
        x, y of the first square in analysis pixels.
    measures
        float32, (rows, columns, len(MEASURES)).
    reasons
        int8, (rows, columns), index into `REASONS`.
    colours
        Blocks of the same window.
    """

    origin_px: tuple[int, int]
    measures: NDArray[np.float32]
    reasons: NDArray[np.int8]
    colours: BlockColours


def score_tile(reader: SlideReader, spec: TileSpec, context: TileContext) -> TileResult:
    """Find and measure the cells of one tile.

    Raises
    ------
    SlideOpenError
        If its pixels cannot be read, or another level of the slide contradicts them.
    """
    grid, halo = context.grid, context.plan.halo_px
    rgb, valid, squares = _read_tile(reader, spec, context)
    planes = separate(rgb, context.white, context.vectors)
    found = context.segmenter.segment(rgb, planes, valid, grid.analysis_mpp)
    sizes = compartment_sizes(context.cells, grid.analysis_mpp)
    compartments = cut_compartments(found.nuclei, planes.dab_od, valid, sizes, found.boxes)
    measured = measure_cells(
        compartments,
        planes,
        membrane_percentile=context.cells.membrane_percentile,
        min_pixels=context.cells.min_compartment_px,
    )
    cells = _own_cells(measured, found, compartments, spec, context)
    core = np.s_[halo : halo + spec.height_px, halo : halo + spec.width_px]
    core_planes = StainPlanes(planes.hematoxylin_od[core], planes.dab_od[core])
    return _sum_up(spec, context, cells, core_planes, valid[core], compartments.cells[core], squares)


def _read_tile(
    reader: SlideReader, spec: TileSpec, context: TileContext
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], JudgedSquares]:
    """Read a core with its halo, and judge all squares that the core touches.

    They lie within the halo as a rule; a narrow halo is read wider for their sake.
    """
    halo, plan = context.plan.halo_px, context.squares
    x_px, y_px = spec.x_px - halo, spec.y_px - halo
    width_px, height_px = spec.width_px + 2 * halo, spec.height_px + 2 * halo
    left, top, width, height = plan.window(spec.x_px, spec.y_px, spec.width_px, spec.height_px)
    first_x, first_y = min(x_px, left), min(y_px, top)
    end_x, end_y = max(x_px + width_px, left + width), max(y_px + height_px, top + height)
    rgb, valid = read_analysis(reader, context.grid, first_x, first_y, end_x - first_x, end_y - first_y)
    if context.witness is not None:
        context.witness.refuse(reader, (rgb, valid), first_x, first_y)
    window = np.s_[top - first_y : top - first_y + height, left - first_x : left - first_x + width]
    squares = _judge_squares(rgb[window], valid[window], (left, top), context)
    tile = np.s_[y_px - first_y : y_px - first_y + height_px, x_px - first_x : x_px - first_x + width_px]
    return np.ascontiguousarray(rgb[tile]), np.ascontiguousarray(valid[tile]), squares


def _judge_squares(
    rgb: NDArray[np.uint8], valid: NDArray[np.bool_], origin_px: tuple[int, int], context: TileContext
) -> JudgedSquares:
    scale, shape = context.grid.px_to_l0, (rgb.shape[0], rgb.shape[1])
    tissue = context.tissue.sample(origin_px[0] * scale, origin_px[1] * scale, shape, scale) & valid
    measures, colours = measure_squares(rgb, tissue, context.squares)
    table = np.stack([getattr(measures, name) for name in MEASURES], axis=-1)
    return JudgedSquares(origin_px, table, judge_squares(measures, context.squares.limits), colours)


def failed_tile(spec: TileSpec, context: TileContext, reason: str) -> TileResult:
    """Describe a tile whose pixels could not be read: its tissue counts, its cells are unknown."""
    masks = _core_masks(spec, context)
    pixel_um2 = context.grid.analysis_mpp**2

    def tissue_of(mask: NDArray[np.bool_]) -> AreaSums:
        return AreaSums(float(mask.sum()) * pixel_um2, 0.0, 0.0, 0.0)

    nothing = np.zeros(HISTOGRAM_BINS, dtype=np.int32)
    return TileResult(
        spec,
        "failed",
        reason,
        pixel_um2,
        NO_CELLS,
        tissue_of(masks.wanted),
        {name: tissue_of(masks.wanted & mask) for name, mask in masks.regions.items()},
        {name: tissue_of(mask) for name, mask in masks.controls.items()},
        None,
        nothing,
        nothing,
        no_squares(),
        no_colours(),
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


def _core_masks(spec: TileSpec, context: TileContext) -> CoreMasks:
    scale = context.grid.px_to_l0
    x_l0, y_l0, shape = spec.x_px * scale, spec.y_px * scale, (spec.height_px, spec.width_px)
    drawn = context.annotations
    tissue = context.tissue.sample(x_l0, y_l0, shape, scale)
    wanted = tissue & paint_areas(drawn.limits, x_l0, y_l0, shape, scale) if drawn.limits else tissue
    excluded = None
    if areas := drawn.of("control"):
        # Control tissue is never counted, so it is not part of the tissue to be scored.
        wanted = wanted & ~paint_areas(areas, x_l0, y_l0, shape, scale)
    if areas := drawn.of("exclude"):
        excluded = paint_areas(areas, x_l0, y_l0, shape, scale)
    controls = {
        name: tissue & mask if excluded is None else tissue & mask & ~excluded
        for name, mask in _paint_named(drawn.controls, x_l0, y_l0, shape, scale).items()
    }
    return CoreMasks(
        wanted,
        None if excluded is None else wanted & excluded,
        _paint_named(drawn.of("include", "tumor"), x_l0, y_l0, shape, scale),
        controls,
    )


def _paint_named(
    areas: list[Area], x_l0: float, y_l0: float, shape: tuple[int, int], scale: float
) -> dict[str, NDArray[np.bool_]]:
    """Paint the areas of each name together; names without a pixel here are left out."""
    painted = {}
    for name in dict.fromkeys(area.name for area in areas if area.name):
        mask = paint_areas([area for area in areas if area.name == name], x_l0, y_l0, shape, scale)
        if mask.any():
            painted[name] = mask
    return painted


def _sum_up(
    spec: TileSpec,
    context: TileContext,
    cells: TileCells,
    planes: StainPlanes,
    valid: NDArray[np.bool_],
    labels: NDArray[np.int32],
    squares: JudgedSquares,
) -> TileResult:
    masks = _core_masks(spec, context)
    side, (left, top) = context.squares.side_px, squares.origin_px
    core = Core(
        masks.wanted, masks.excluded, valid, labels, planes.hematoxylin_od, planes.dab_od,
        # Each pixel's square, counted within the window.
        row=(np.arange(spec.y_px, spec.y_px + spec.height_px) - top) // side,
        column=(np.arange(spec.x_px, spec.x_px + spec.width_px) - left) // side,
        reasons=squares.reasons,
    )  # fmt: skip
    sums = sum_core(core, context.stains.hematoxylin_positive_od)
    pixel_um2 = context.grid.analysis_mpp**2
    tissue, scored, excluded, missing = sums.pixels
    status = "scored" if scored or not tissue else "excluded" if excluded else "missing"
    region_areas, control_areas = _drawn_areas(spec, context, squares, masks, valid)
    return TileResult(
        spec,
        status,
        {"scored": "", "excluded": _main_reason(sums, masks.excluded), "missing": "no pixels"}[status],
        pixel_um2,
        cells,
        AreaSums(*(float(part) * pixel_um2 for part in (tissue, scored, excluded, missing))),
        region_areas,
        control_areas,
        sums.background_dab_od,
        sums.dab_histogram,
        sums.hematoxylin_histogram,
        _own_squares(context, squares, core, masks, sums, pixel_um2),
        _own_colours(spec, context, squares, masks),
    )


def _drawn_areas(
    spec: TileSpec, context: TileContext, squares: JudgedSquares, masks: CoreMasks, valid: NDArray[np.bool_]
) -> tuple[dict[str, AreaSums], dict[str, AreaSums]]:
    """Sum up the areas of regions and of control tissue, where any are drawn."""
    if not masks.regions and not masks.controls:
        return {}, {}
    wanted, pixel_um2 = masks.wanted, context.grid.analysis_mpp**2
    reasons = paint_reasons(squares.reasons, context.squares, squares.origin_px, spec.x_px, spec.y_px, wanted.shape)
    artifact = valid & (reasons > 0)
    excluded = wanted & artifact if masks.excluded is None else masks.excluded | (wanted & artifact)
    of_regions = (wanted, wanted & valid & ~excluded, excluded, wanted & ~valid & ~excluded)

    def areas(*counts: NDArray[np.bool_]) -> AreaSums:
        return AreaSums(*(float(np.count_nonzero(part)) * pixel_um2 for part in counts))

    return (
        {name: areas(*(part & mask for part in of_regions)) for name, mask in masks.regions.items()},
        {
            name: areas(mask, mask & valid & ~artifact, mask & artifact, mask & ~valid)
            for name, mask in masks.controls.items()
        },
    )


def _main_reason(sums: CoreSums, drawn: NDArray[np.bool_] | None) -> str:
    """Name what took out most of a core that is excluded altogether."""
    out = sums.by_reason[: len(REASONS)].copy()
    out[0] = 0 if drawn is None else np.count_nonzero(drawn)
    return REASONS[int(np.argmax(out))] or "annotation"


def _own_squares(
    context: TileContext, squares: JudgedSquares, core: Core, masks: CoreMasks, sums: CoreSums, pixel_um2: float
) -> TileSquares:
    """List the squares that share tissue with the core: to be scored, or of control tissue."""
    left, top = squares.origin_px
    rows, columns = squares.reasons.shape
    number = context.squares.numbers(left, top, rows, columns).ravel()
    tissue = sums.by_square.ravel()
    own = tissue > 0
    if masks.controls:
        place = core.row[:, None] * columns + core.column[None, :]
        for control in masks.controls.values():
            own[place[control]] = True
    return TileSquares(
        number=number[own],
        tissue_um2=tissue[own].astype(np.float64) * pixel_um2,
        reason=squares.reasons.ravel()[own],
        measures=squares.measures.reshape(-1, len(MEASURES))[own],
    )


def _own_colours(spec: TileSpec, context: TileContext, squares: JudgedSquares, masks: CoreMasks) -> ColourCounts:
    """Count the colours of the blocks that begin in the core, in tissue that is to be scored."""
    plan, (left, top) = context.squares, squares.origin_px
    block_px = 2 * plan.fine_px
    # The first blocks that begin in the core, and the pixels of the core in which its blocks begin.
    row, column = -(-(spec.y_px - top) // block_px), -(-(spec.x_px - left) // block_px)
    begin = np.s_[row * block_px - (spec.y_px - top) :: block_px, column * block_px - (spec.x_px - left) :: block_px]
    wanted = masks.wanted[begin]
    if masks.excluded is not None:
        wanted = wanted & ~masks.excluded[begin]
    counted = np.zeros(squares.colours.whole.shape, np.bool_)
    counted[row : row + wanted.shape[0], column : column + wanted.shape[1]] = wanted
    return count_colours(squares.colours, counted, plan.limits.ink_degrees)
