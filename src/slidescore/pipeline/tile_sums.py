"""Summing up a tile's core: areas, histograms and background of its pixels, in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel
from slidescore.pipeline.tile_parts import BlockHistograms
from slidescore.stain.histograms import HISTOGRAM_BINS, HISTOGRAM_LOW_OD, HISTOGRAM_STEP_OD

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]

LOW_OD, STEP_OD = np.float32(HISTOGRAM_LOW_OD), np.float32(HISTOGRAM_STEP_OD)
WANTED, SCORED, EXCLUDED, MISSING = range(4)


@dataclass(frozen=True, slots=True)
class Core:
    """The pixels of a core; (H, W).

    Attributes
    ----------
    wanted
        bool, tissue that is to be scored.
    drawn
        bool, what of it an annotation excludes; None for nothing.
    valid
        bool, where the slide has pixels.
    cells
        int32, labels of cells.
    hematoxylin_od, dab_od
        float32.
    row, column
        int64, (H,) and (W,): which square of the window each row and column lies in.
    reasons
        int8, (rows, columns), of the window's squares; 0 for none.
    block_row, block_column
        int64, (H,) and (W,): which block of the pixel score each row and column lies in, from the slide's origin.
    """

    wanted: Mask
    drawn: Mask | None
    valid: Mask
    cells: NDArray[np.int32]
    hematoxylin_od: Plane
    dab_od: Plane
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    reasons: NDArray[np.int8]
    block_row: NDArray[np.int64]
    block_column: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CoreSums:
    """Sums over a core.

    Attributes
    ----------
    pixels
        Numbers of pixels wanted, scored, excluded, and missing.
    by_reason
        int64, (128,): pixels wanted and not excluded by an annotation, by reason of their square.
    by_square
        int64, (rows, columns): pixels wanted in each square.
    blocks
        DAB of scored pixels, and of those with hematoxylin, by block.
    background_dab_od
        Median DAB of scored pixels outside of cells; None where there are none.
    """

    pixels: tuple[int, int, int, int]
    by_reason: NDArray[np.int64]
    by_square: NDArray[np.int64]
    blocks: BlockHistograms
    background_dab_od: float | None


def sum_core(core: Core, hematoxylin_positive_od: float) -> CoreSums:
    """Sum up a core."""
    background = np.empty(core.wanted.shape, np.float32).reshape(-1)
    drawn = np.zeros((0, core.wanted.shape[1]), np.bool_) if core.drawn is None else core.drawn
    pixels, by_reason, by_square, histograms, n = _sum(
        core.wanted, drawn, core.valid, core.cells, core.hematoxylin_od, core.dab_od, core.row, core.column,
        core.reasons, core.block_row - core.block_row[0], core.block_column - core.block_column[0],
        np.float32(hematoxylin_positive_od), background,
    )  # fmt: skip
    wanted, scored, excluded, missing = pixels.tolist()
    return CoreSums(
        (wanted, scored, excluded, missing),
        by_reason,
        by_square,
        _held_blocks(histograms, int(core.block_column[0]), int(core.block_row[0])),
        float(np.median(background[:n])) if n else None,
    )


def _held_blocks(histograms: NDArray[np.int32], first_column: int, first_row: int) -> BlockHistograms:
    """Keep the blocks that hold a scored pixel; histograms are int32, (rows, columns, 2, HISTOGRAM_BINS)."""
    row, column = np.nonzero(histograms[:, :, 0].any(axis=-1))
    return BlockHistograms(first_column + column, first_row + row, histograms[row, column])


@kernel
def _sum(
    wanted: Mask,
    drawn: Mask,
    valid: Mask,
    cells: NDArray[np.int32],
    hematoxylin: Plane,
    dab: Plane,
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    reasons: NDArray[np.int8],
    block_row: NDArray[np.int64],
    block_column: NDArray[np.int64],
    positive: np.float32,
    background: Plane,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], int]:
    pixels, by_reason = np.zeros(4, np.int64), np.zeros(128, np.int64)
    by_square = np.zeros(reasons.shape, np.int64)
    blocks_high, blocks_wide = block_row[-1] + 1, block_column[-1] + 1
    histograms = np.zeros((blocks_high * blocks_wide, 2 * HISTOGRAM_BINS), np.int32)
    n = 0
    for y in range(wanted.shape[0]):
        for x in range(wanted.shape[1]):
            if not wanted[y, x]:
                continue
            pixels[WANTED] += 1
            reason = reasons[row[y], column[x]]
            by_square[row[y], column[x]] += 1
            out = drawn.shape[0] > 0 and drawn[y, x]
            if not out:
                by_reason[reason] += 1
            if out or (reason > 0 and valid[y, x]):
                pixels[EXCLUDED] += 1
            elif not valid[y, x]:
                pixels[MISSING] += 1
            else:
                pixels[SCORED] += 1
                value = dab[y, x]
                # In single precision, as the plane is.
                place = np.floor((value - LOW_OD) / STEP_OD)
                at = int(min(max(place, np.float32(0.0)), np.float32(HISTOGRAM_BINS - 1)))
                block = block_row[y] * blocks_wide + block_column[x]
                histograms[block, at] += 1
                if hematoxylin[y, x] >= positive:
                    histograms[block, HISTOGRAM_BINS + at] += 1
                if cells[y, x] == 0:
                    background[n] = value
                    n += 1
    return pixels, by_reason, by_square, histograms.reshape(blocks_high, blocks_wide, 2, HISTOGRAM_BINS), n
