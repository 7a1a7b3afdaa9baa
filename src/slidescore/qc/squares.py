"""The fixed grid of squares on which quality is judged: what it is, and what is measured in each square.

Squares lie on the slide, not in tiles: square (row i, column j) begins at analysis pixel (i side, j side), counted from
the slide's top left corner. Each is measured from its own pixels and no others, so that the cut into tiles changes
nothing; a tile therefore needs all pixels of every square that its core touches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from slidescore.assay.left_of_wall import Artifacts
from slidescore.qc.square_kernels import (
    GREY_STEPS,
    MAX_GREY,
    MOD,
    by_square,
    count_clipped,
    describe_blocks,
    difference_histograms,
    sum_blocks,
    sum_pixels,
)
from slidescore.qc.stain_counts import BlockColours, block_colours
from slidescore.slide import AnalysisGrid
from slidescore.stain import HueFrame, StainVectors, hue_frame

FINE_UM = 1.0
"""Wanted side of a fine block; a coarse one is twice as wide."""
SHARP_UM = (1.0, 8.0)
"""Distances between which edges are compared: the width of a sharp edge, and that of a nucleus."""
FINE_RANGE_UM = (0.7, 1.4)
"""Outside of it edges are not looked at: the measure would be another one."""
EDGE_SHARE = 0.995
"""Quantile of differences that stands for the edges of a square: high enough for a square with two or three nuclei."""
LEAST_PAIRS = 1000
"""With fewer pairs of blocks a square has no measure of sharpness."""
FLOOR_SHARE = 0.1
"""Quantile of hematoxylin that stands for the palest part of a square."""
PALE_SHARE = 0.25
"""Share of a square that counts as its palest part."""
CLIPPED_GREY = 2
"""A channel this dark is clipped: its density is a lower bound."""
PATCH_BLOCKS = 4
"""Side of the patches, in coarse blocks, in which grey smoothness is looked for: 8 um."""


@dataclass(frozen=True, slots=True)
class SquarePlan:
    """The squares of one slide and what they are judged by.

    Attributes
    ----------
    side_px
        Side of a square in analysis pixels, a whole number of coarse blocks.
    fine_px
        Side of a fine block in analysis pixels.
    columns
        Squares in a row of the grid.
    mpp
        Micrometres per analysis pixel.
    white, frame, unmixing
        What densities and hues are told by: the fixed vectors of the assay, and the weights of hematoxylin.
    limits
        From where on a square is excluded.
    """

    side_px: int
    fine_px: int
    columns: int
    mpp: float
    white: tuple[float, float, float]
    frame: HueFrame
    unmixing: tuple[float, float, float]
    limits: Artifacts

    def number_at(self, x_px: NDArray[np.float64], y_px: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the number of the square that holds each point (analysis pixels); int64, (N,)."""
        column = np.floor(x_px / self.side_px).astype(np.int64)
        return np.floor(y_px / self.side_px).astype(np.int64) * self.columns + column

    def window(self, x_px: int, y_px: int, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """Return the least rectangle of whole squares around one: x, y, width, height in analysis pixels."""
        side = self.side_px
        left, top = x_px // side * side, y_px // side * side
        right, bottom = -(-(x_px + width_px) // side) * side, -(-(y_px + height_px) // side) * side
        return left, top, right - left, bottom - top

    def numbers(self, x_px: int, y_px: int, rows: int, columns: int) -> NDArray[np.int64]:
        """Return the numbers of the squares of a window that begins at (x_px, y_px); int64, (rows, columns)."""
        first = y_px // self.side_px * self.columns + x_px // self.side_px
        return np.int64(first) + np.arange(rows)[:, None] * np.int64(self.columns) + np.arange(columns)[None, :]


@dataclass(frozen=True, slots=True)
class SquareMeasures:
    """What is measured in squares; float32, (rows, columns) each, NaN where there is too little tissue to tell.

    Attributes
    ----------
    sharpness
        How much of a nucleus's contrast an edge crosses within 1 um: 0.3 to 0.7 in focus, 0.13 to 0.2 far out of it.
    clipped_fraction
        Share of tissue in which some channel is black, so that its density is a lower bound.
    black_fraction
        Share that is black in all channels: carbon, dirt, ink.
    pigment_fraction
        Share whose hue lies beyond DAB, on the yellow side: hemosiderin and other pigments.
    ink_fraction
        Share in a hue that no mixture of the stains has, of the square or of its palest quarter, whichever is more.
    grey_fraction
        Share that is grey and smooth: the rim of an air bubble, the edge of the coverslip.
    hematoxylin_floor_od
        Hematoxylin in the palest tenth of the tissue: high where tissue lies double.
    """

    sharpness: NDArray[np.float32]
    clipped_fraction: NDArray[np.float32]
    black_fraction: NDArray[np.float32]
    pigment_fraction: NDArray[np.float32]
    ink_fraction: NDArray[np.float32]
    grey_fraction: NDArray[np.float32]
    hematoxylin_floor_od: NDArray[np.float32]


MEASURES: tuple[str, ...] = tuple(field.name for field in fields(SquareMeasures))
"""Names of the measures, in the order of tables."""


def plan_squares(
    grid: AnalysisGrid, vectors: StainVectors, white: tuple[float, float, float], limits: Artifacts
) -> SquarePlan:
    """Lay the squares over a slide: `limits.square_um` wide, to the nearest whole coarse block."""
    fine_px = max(1, round(FINE_UM / grid.analysis_mpp))
    coarse_px = 2 * fine_px
    patch_px = PATCH_BLOCKS * coarse_px
    # Whole patches, where that is near enough.
    blocks = max(1, round(limits.square_um / grid.analysis_mpp / patch_px)) * patch_px
    red, green, blue = vectors.unmixing[:, 0].tolist()
    return SquarePlan(
        side_px=blocks,
        fine_px=fine_px,
        columns=math.ceil(grid.width_px / blocks),
        mpp=grid.analysis_mpp,
        white=white,
        frame=hue_frame(vectors),
        unmixing=(red, green, blue),
        limits=limits,
    )


def measure_squares(
    rgb: NDArray[np.uint8], tissue: NDArray[np.bool_], plan: SquarePlan
) -> tuple[SquareMeasures, BlockColours]:
    """Measure whole squares.

    Parameters
    ----------
    rgb
        uint8, (H, W, 3), RGB: a window of whole squares.
    tissue
        bool, (H, W): pixels that are tissue and that the slide holds.
    plan
        The grid.

    Returns
    -------
    measures
        One value a square.
    colours
        What the coarse blocks look like, to judge the slide's stain by.
    """
    side = plan.side_px // plan.fine_px
    fine, fine_whole = sum_pixels(np.ascontiguousarray(rgb), np.ascontiguousarray(tissue), plan.fine_px)
    coarse, coarse_whole = sum_blocks(fine, fine_whole)
    described = describe_blocks(
        coarse, coarse_whole, _density_table(plan), np.asarray(plan.unmixing), plan.frame.axes,
        plan.frame.separation_degrees,
    )  # fmt: skip
    colours = block_colours(described, coarse_whole)
    usable = by_square(coarse_whole, side // 2)
    n_usable = usable.sum(axis=-1)
    told = n_usable >= plan.limits.min_tissue_fraction * usable.shape[-1]
    n_fine = by_square(fine_whole, side).sum(axis=-1)
    clipped = count_clipped(fine, fine_whole, side, CLIPPED_GREY * plan.fine_px**2)
    odd = _odd_blocks(colours, plan)
    shares = {
        name: _share(by_square(mask & coarse_whole, side // 2).sum(axis=-1), n_usable, told)
        for name, mask in odd.items()
    }
    # Over dark tissue ink shows only where the tissue is pale.
    pale = _palest(by_square(colours.length_mod, side // 2), usable)
    in_pale = by_square(odd["ink_fraction"], side // 2) & pale
    shares["ink_fraction"] = np.fmax(shares["ink_fraction"], _share(in_pale.sum(-1), pale.sum(-1), told))
    measures = SquareMeasures(
        sharpness=_sharpness(fine, fine_whole, side, plan, told),
        clipped_fraction=_share(clipped, n_fine, told),
        grey_fraction=_grey_fraction(colours, side // 2, plan, told),
        hematoxylin_floor_od=_hematoxylin_floor(colours, usable, side // 2, told),
        **shares,
    )
    return measures, colours


def _density_table(plan: SquarePlan) -> NDArray[np.float64]:
    """Tabulate the density of each sum over a coarse block, of one grey level at least; float64, (3, S)."""
    pixels = (2 * plan.fine_px) ** 2
    means = np.maximum(np.arange(MAX_GREY * pixels + 1) / pixels, 1.0)
    table: NDArray[np.float64] = -np.log10(means[None, :] / np.asarray(plan.white)[:, None])
    return table


def _odd_blocks(colours: BlockColours, plan: SquarePlan) -> dict[str, NDArray[np.bool_]]:
    """Tell blocks that are neither stain; each bool, (h, w)."""
    limits, separation = plan.limits, plan.frame.separation_degrees
    black = colours.least_mod >= MOD * limits.black_od
    dense = (colours.length_mod >= MOD * limits.ink_od) & ~black
    beyond = colours.along >= colours.degrees(separation + limits.pigment_degrees)
    pigment = dense & (colours.length_mod >= MOD * limits.pigment_od) & beyond
    # What is far beyond DAB and far across as well is yellow or orange ink.
    pigment &= np.abs(colours.across) < colours.degrees(limits.ink_degrees)
    ink = dense & (colours.off >= colours.degrees(limits.ink_degrees)) & ~pigment
    return {"black_fraction": black, "pigment_fraction": pigment, "ink_fraction": ink}


def _palest(length: NDArray[np.int16], usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell the palest blocks of each square, at least a quarter of the usable ones; bool, (rows, columns, blocks)."""
    ordered = np.sort(np.where(usable, length, np.iinfo(np.int16).max), axis=-1)
    at = np.floor(PALE_SHARE * usable.sum(axis=-1)).astype(np.int64)
    limit = np.take_along_axis(ordered, at[..., None], axis=-1)
    palest: NDArray[np.bool_] = usable & (length <= limit)
    return palest


def _share(part: NDArray[np.int64], whole: NDArray[np.int64], told: NDArray[np.bool_]) -> NDArray[np.float32]:
    share = np.full(part.shape, np.nan, np.float32)
    np.divide(part, whole, out=share, where=told & (whole > 0), casting="unsafe")
    return share


def _sharpness(
    fine: NDArray[np.int32], whole: NDArray[np.bool_], side: int, plan: SquarePlan, told: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Divide the edges over 1 um by those over 8 um; NaN where contrast is too low to tell."""
    fine_um = plan.fine_px * plan.mpp
    sharpness = np.full(told.shape, np.nan, np.float32)
    if not FINE_RANGE_UM[0] <= fine_um <= FINE_RANGE_UM[1] or not told.any():
        return sharpness
    lags = np.array([max(1, round(um / fine_um)) for um in SHARP_UM], np.int64)
    counts = difference_histograms(fine, whole, side, lags, plan.fine_px**2)
    edges = _quantile(counts, EDGE_SHARE) / GREY_STEPS
    near, far = edges[..., 0], edges[..., 1]
    enough = told & (counts.sum(axis=-1).min(axis=-1) >= LEAST_PAIRS) & (far >= plan.limits.min_contrast_grey)
    np.divide(near, far, out=sharpness, where=enough, casting="unsafe")
    return sharpness


def _quantile(counts: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    """Return the quantile of each histogram along the last axis, in bins, linear within one; float64."""
    below = np.cumsum(counts, axis=-1)
    wanted = share * below[..., -1:]
    at = (below < wanted).sum(axis=-1, keepdims=True)
    own = np.take_along_axis(counts, np.minimum(at, counts.shape[-1] - 1), axis=-1)
    before = np.take_along_axis(below, np.minimum(at, counts.shape[-1] - 1), axis=-1) - own
    return np.asarray((at + (wanted - before) / np.maximum(own, 1))[..., 0])


def _grey_fraction(colours: BlockColours, side: int, plan: SquarePlan, told: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Count patches whose channels are equally dense, and which are too smooth for tissue."""
    limits, n = plan.limits, PATCH_BLOCKS
    length = by_square(colours.length_mod, n).astype(np.int64)
    whole: NDArray[np.bool_] = np.all(by_square(colours.whole, n), axis=-1)
    # Sums of whole numbers: mean and spread do not depend on an order.
    size, total, squares = n * n, length.sum(axis=-1), (length * length).sum(axis=-1)
    smooth = size * squares - total * total <= (limits.grey_max_texture * total) ** 2
    off_neutral = by_square(colours.neutral_off, n).astype(np.int64).sum(axis=-1)
    neutral = off_neutral <= size * colours.degrees(limits.grey_degrees)
    dense: NDArray[np.bool_] = total >= size * MOD * limits.ink_od
    grey: NDArray[np.bool_] = whole & smooth & neutral & dense
    patches = side // n
    return _share(by_square(grey, patches).sum(axis=-1), by_square(whole, patches).sum(axis=-1), told)


def _hematoxylin_floor(
    colours: BlockColours, usable: NDArray[np.bool_], side: int, told: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the density of hematoxylin that a tenth of each square's tissue does not reach."""
    floor = np.full(told.shape, np.nan, np.float32)
    if not told.any():
        return floor
    most = np.iinfo(np.int16).max
    values = np.where(usable, by_square(colours.hematoxylin_mod, side), most)
    values.sort(axis=-1)
    at = np.maximum(np.floor(FLOOR_SHARE * usable.sum(axis=-1)).astype(np.int64), 0)
    palest = np.take_along_axis(values, at[..., None], axis=-1)[..., 0]
    floor[told] = palest[told] / np.float32(MOD)
    return floor
