"""Cells as dots, for scales at which outlines cannot be seen: how much of each pixel they cover, by kind."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel
from slidescore.qc.cell_drawing import Buckets, cells_near

MIN_DISC_PX: Final = 1.0
"""Below this radius a dot is no shape any more, and its share of a pixel is what counts."""


def cover_by_dots(
    size_px: tuple[int, int],
    x0_l0: float,
    y0_l0: float,
    l0_per_px: float,
    cell_x_l0: NDArray[np.float32],
    cell_y_l0: NDArray[np.float32],
    kind: NDArray[np.uint8],
    buckets: Buckets,
    shown: NDArray[np.bool_],
    *,
    radius_l0: float,
) -> NDArray[np.float32]:
    """Work out how much of each pixel dots of each kind cover.

    Parameters
    ----------
    size_px
        Width and height of the image.
    x0_l0, y0_l0, l0_per_px
        Outer corner of its first pixel, and level-0 px per pixel.
    cell_x_l0, cell_y_l0, kind, buckets
        The cells, as in `slidescore.qc.cell_drawing.CellDrawing`.
    shown
        bool, (K,), which kinds are dots; those from K on are not.
    radius_l0
        Of every dot, in level-0 px.

    Returns
    -------
    numpy.ndarray
        float32, (K, H, W). Of dots that are shapes 0 to 1, the most that one of them covers; of smaller ones the sum of
        their areas in pixels, each in the pixel of its centre.
    """
    width, height = size_px
    cover = np.zeros((len(shown), height, width), np.float32)
    region = x0_l0, y0_l0, x0_l0 + width * l0_per_px, y0_l0 + height * l0_per_px
    near = cells_near(buckets, *region, reach_l0=radius_l0 + l0_per_px)
    radius_px = radius_l0 / l0_per_px
    paint = _cover if radius_px >= MIN_DISC_PX else _sum_up
    paint(near, cell_x_l0, cell_y_l0, kind, x0_l0, y0_l0, l0_per_px, radius_px, shown, cover)
    return cover


@kernel
def _cover(
    near: NDArray[np.int32],
    x_l0: NDArray[np.float32],
    y_l0: NDArray[np.float32],
    kind: NDArray[np.uint8],
    x0_l0: float,
    y0_l0: float,
    l0_per_px: float,
    radius_px: float,
    shown: NDArray[np.bool_],
    cover: NDArray[np.float32],
) -> None:
    n_kinds, height, width = cover.shape
    for i in near:
        if kind[i] >= n_kinds or not shown[kind[i]]:
            continue
        x, y = (np.float64(x_l0[i]) - x0_l0) / l0_per_px - 0.5, (np.float64(y_l0[i]) - y0_l0) / l0_per_px - 0.5
        reach = radius_px + 0.5
        for row in range(max(0, int(np.ceil(y - reach))), min(height, int(np.floor(y + reach)) + 1)):
            for column in range(max(0, int(np.ceil(x - reach))), min(width, int(np.floor(x + reach)) + 1)):
                # A pixel whose middle lies on the border is half covered.
                part = reach - np.sqrt((column - x) ** 2 + (row - y) ** 2)
                if part > cover[kind[i], row, column]:
                    cover[kind[i], row, column] = min(part, 1.0)


@kernel
def _sum_up(
    near: NDArray[np.int32],
    x_l0: NDArray[np.float32],
    y_l0: NDArray[np.float32],
    kind: NDArray[np.uint8],
    x0_l0: float,
    y0_l0: float,
    l0_per_px: float,
    radius_px: float,
    shown: NDArray[np.bool_],
    cover: NDArray[np.float32],
) -> None:
    n_kinds, height, width = cover.shape
    area = np.float32(np.pi * radius_px * radius_px)
    for i in near:
        column = int(np.floor((np.float64(x_l0[i]) - x0_l0) / l0_per_px))
        row = int(np.floor((np.float64(y_l0[i]) - y0_l0) / l0_per_px))
        is_inside = 0 <= column < width and 0 <= row < height
        if is_inside and kind[i] < n_kinds and shown[kind[i]]:
            cover[kind[i], row, column] += area
