"""Where two levels of a slide are compared before any of it is scored: a few windows that stand for the rest."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.slide.sampling import AnalysisGrid

Place = tuple[float, float]
"""x, y of a window's top left corner in level-0 px."""
WINDOWS: Final = 16
"""Windows read on tissue, and again as many on glass."""
EDGY_WINDOWS: Final = 8
"""Windows read where tissue has the strongest edges."""
WINDOW_SQUARES: Final = 16
"""Their side in squares."""

_AROUND: Final = np.ones((3, 3), np.uint8)


def edges_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Say what each pixel and its neighbours differ by in the worst channel, uint8, (H, W)."""
    edges: NDArray[np.uint8] = (cv2.dilate(picture, _AROUND) - cv2.erode(picture, _AROUND)).max(axis=-1)
    return edges


def tissue_places(
    tissue: NDArray[np.bool_], rgb: NDArray[np.uint8], coarse: AnalysisGrid
) -> tuple[list[Place], list[Place]]:
    """Choose windows spread evenly over the tissue, and those in it with the strongest edges."""
    strength = _window_means(np.where(tissue, edges_of(rgb), 0).astype(np.float32))
    rows, columns = np.nonzero(_window_means(tissue.astype(np.float32)) > 1 / 2)
    strongest = np.argsort(-strength[rows, columns], kind="stable")[:EDGY_WINDOWS]
    return places_in(tissue, coarse), _corners(rows[strongest], columns[strongest], coarse)


def places_in(mask: NDArray[np.bool_], coarse: AnalysisGrid) -> list[Place]:
    """Choose windows most of which is in a mask, spread evenly over it."""
    share = _window_means(mask.astype(np.float32))
    rows, columns = np.nonzero(share > min(1 / 2, float(share.max()) / 2))
    if not len(rows):
        return []
    chosen = np.unique(np.linspace(0, len(rows) - 1, WINDOWS).astype(int))
    return _corners(rows[chosen], columns[chosen], coarse)


def _window_means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average windows of `WINDOW_SQUARES` a side, those at the end filled up with zeros; float32, (h, w)."""
    height, width = (-(-size // WINDOW_SQUARES) for size in values.shape)
    padded = np.zeros((height * WINDOW_SQUARES, width * WINDOW_SQUARES), np.float32)
    padded[: values.shape[0], : values.shape[1]] = values
    means: NDArray[np.float32] = padded.reshape(height, WINDOW_SQUARES, width, WINDOW_SQUARES).mean(axis=(1, 3))
    return means


def _corners(rows: NDArray[np.intp], columns: NDArray[np.intp], coarse: AnalysisGrid) -> list[Place]:
    side = WINDOW_SQUARES * coarse.px_to_l0
    return [(float(column) * side, float(row) * side) for row, column in zip(rows, columns, strict=True)]
