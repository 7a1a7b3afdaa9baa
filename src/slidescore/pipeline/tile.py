"""The story of one tile: read, separate, segment, measure, keep what is its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.assay.left_of_wall import Cells
from slidescore.cells import CompartmentSizes, cut_compartments, measure_cells
from slidescore.pipeline.tile_cells import own_cells
from slidescore.pipeline.tile_ledger import core_masks, sum_up
from slidescore.pipeline.tile_parts import NO_CELLS, AreaSums, JudgedSquares, TileContext, TileResult, no_blocks
from slidescore.qc.artifacts import judge_squares, no_squares
from slidescore.qc.squares import MEASURES, measure_squares
from slidescore.qc.stain_counts import no_colours
from slidescore.slide import SlideReader, read_analysis
from slidescore.stain import StainPlanes, separate
from slidescore.tiles import TileSpec


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
    cells = own_cells(measured, found, compartments, spec, context)
    core = np.s_[halo : halo + spec.height_px, halo : halo + spec.width_px]
    core_planes = StainPlanes(planes.hematoxylin_od[core], planes.dab_od[core])
    return sum_up(spec, context, cells, core_planes, valid[core], compartments.cells[core], squares)


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
    masks = core_masks(spec, context)
    pixel_um2 = context.grid.analysis_mpp**2

    def tissue_of(mask: NDArray[np.bool_]) -> AreaSums:
        return AreaSums(float(mask.sum()) * pixel_um2, 0.0, 0.0, 0.0)

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
        no_blocks(),
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
