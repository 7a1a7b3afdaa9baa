"""What became of a core, pixel by pixel: areas, reasons, histograms, squares and colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.annotations import Area, paint_areas
from slidescore.cells import TileCells
from slidescore.pipeline.tile_parts import AreaSums, JudgedSquares, TileContext, TileResult
from slidescore.pipeline.tile_sums import Core, CoreSums, sum_core
from slidescore.qc.artifacts import REASONS, TileSquares, paint_reasons
from slidescore.qc.squares import MEASURES
from slidescore.qc.stain_counts import ColourCounts, count_colours
from slidescore.scoring.pixel_h_score import BLOCK_UM
from slidescore.stain import StainPlanes
from slidescore.tiles import TileSpec


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


def core_masks(spec: TileSpec, context: TileContext) -> CoreMasks:
    """Paint what is drawn on a core, and its tissue."""
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


def sum_up(
    spec: TileSpec,
    context: TileContext,
    cells: TileCells,
    planes: StainPlanes,
    valid: NDArray[np.bool_],
    labels: NDArray[np.int32],
    squares: JudgedSquares,
) -> TileResult:
    """Sum up what became of a core: its areas, histograms, squares and colours, beside its cells.

    Parameters
    ----------
    cells
        What the tile keeps.
    planes, valid, labels
        Optical densities, which pixels the slide holds, and cells (int32), of the core alone; (H, W).
    squares
        The squares around the core.
    """
    masks = core_masks(spec, context)
    side, (left, top) = context.squares.side_px, squares.origin_px
    core = Core(
        masks.wanted, masks.excluded, valid, labels, planes.hematoxylin_od, planes.dab_od,
        # Each pixel's square, counted within the window.
        row=(np.arange(spec.y_px, spec.y_px + spec.height_px) - top) // side,
        column=(np.arange(spec.x_px, spec.x_px + spec.width_px) - left) // side,
        reasons=squares.reasons,
        block_row=_blocks(spec.y_px, spec.height_px, context.grid.analysis_mpp),
        block_column=_blocks(spec.x_px, spec.width_px, context.grid.analysis_mpp),
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
        sums.blocks,
        _own_squares(context, squares, core, masks, sums, pixel_um2),
        _own_colours(spec, context, squares, masks),
    )


def _blocks(first_px: int, length_px: int, mpp: float) -> NDArray[np.int64]:
    """Tell which block of the pixel score each row or column of pixels lies in, by its middle; int64, (length_px,)."""
    middle_um = (np.arange(first_px, first_px + length_px) + 0.5) * mpp
    blocks: NDArray[np.int64] = np.floor(middle_um / BLOCK_UM).astype(np.int64)
    return blocks


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
