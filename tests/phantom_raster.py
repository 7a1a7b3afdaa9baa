"""Pixels of a phantom: which pixel belongs to which nucleus, cell and membrane."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from phantom_cells import Outlines

HORN_UM = 1.0


@dataclass(frozen=True)
class Raster:
    """Which pixel belongs to which cell, (H, W) each, at `mpp` um per pixel.

    Attributes
    ----------
    nucleus_labels, cell_labels
        int32: index of the cell + 1, 0 outside.
    membrane
        bool: outer band of each cell, without nucleus.
    nucleus_distance_um
        float32: distance to the outline of the nearest nucleus, negative inside; large far from any.
    nearest
        int32: index + 1 of that nearest nucleus.
    double
        bool: two nuclei lie over each other here.
    """

    nucleus_labels: NDArray[np.int32]
    cell_labels: NDArray[np.int32]
    membrane: NDArray[np.bool_]
    nucleus_distance_um: NDArray[np.float32]
    nearest: NDArray[np.int32]
    double: NDArray[np.bool_]


def rasterise(
    outlines: Outlines, *, height_px: int, width_px: int, mpp: float, membrane_um: float, cell_gap_um: float
) -> Raster:
    """Assign pixels to cells: each to the nearest nucleus, if inside that cell's outline.

    `cell_gap_um` above 0 keeps that width free between two cells.
    """
    reach = (outlines.cell_um.max(axis=1, initial=0) + 2 * cell_gap_um + 1).astype(np.float32)
    nearest, first, second, inside = _nearest_nucleus(
        outlines.x_um, outlines.y_um, outlines.nucleus_um, outlines.cell_um, reach, mpp, height_px, width_px
    )
    nucleus = np.where(first < 0, nearest, 0).astype(np.int32)
    cell = np.where((first < 0) | ((inside < 1) & (second - first >= cell_gap_um)), nearest, 0).astype(np.int32)
    cell = np.where(nucleus > 0, nucleus, _without_horns(cell, HORN_UM / mpp)).astype(np.int32)
    membrane = _outer_band(cell, membrane_um / mpp) & (nucleus == 0)
    return Raster(nucleus, cell, membrane, first, nearest, second < 0)


def _outer_band(labels: NDArray[np.int32], width_px: float) -> NDArray[np.bool_]:
    """Pixels of each label that lie within `width_px` of its outline."""
    return (labels > 0) & (_depth(labels) <= width_px)


def _without_horns(labels: NDArray[np.int32], radius_px: float) -> NDArray[np.int32]:
    """Cut off what is thinner than twice `radius_px`: the horns of a cell that reach around a smaller neighbour."""
    core = _depth((labels > 0).astype(np.int32)) > radius_px
    near_core = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius_px
    return np.where(near_core, labels, 0).astype(np.int32)


def _depth(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Distance in px from each pixel's centre to the outline of its label."""
    inner = np.ones(labels.shape, np.uint8)
    across = labels[:, 1:] != labels[:, :-1]
    down = labels[1:] != labels[:-1]
    inner[:, 1:][across] = 0
    inner[:, :-1][across] = 0
    inner[1:][down] = 0
    inner[:-1][down] = 0
    return cv2.distanceTransform(inner, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) + np.float32(0.5)


@njit(cache=True)
def _nearest_nucleus(x_um, y_um, nucleus_um, cell_um, reach_um, mpp, height_px, width_px):  # pragma: no cover
    """For each pixel: nearest nucleus, distance to it and to the next one, and depth in its cell (< 1 is inside)."""
    far = np.float32(1e6)
    nearest = np.zeros((height_px, width_px), np.int32)
    first = np.full((height_px, width_px), far, np.float32)
    second = np.full((height_px, width_px), far, np.float32)
    inside = np.full((height_px, width_px), far, np.float32)
    n_angles = nucleus_um.shape[1]
    for cell in range(len(x_um)):
        reach = reach_um[cell]
        top = max(int((y_um[cell] - reach) / mpp), 0)
        bottom = min(int((y_um[cell] + reach) / mpp) + 2, height_px)
        left = max(int((x_um[cell] - reach) / mpp), 0)
        right = min(int((x_um[cell] + reach) / mpp) + 2, width_px)
        for row in range(top, bottom):
            dy = (row + 0.5) * mpp - y_um[cell]
            for column in range(left, right):
                dx = (column + 0.5) * mpp - x_um[cell]
                radius = np.sqrt(dx * dx + dy * dy)
                if radius > reach:
                    continue
                turn = np.arctan2(dy, dx) / (2 * np.pi) * n_angles
                if turn < 0:
                    turn += n_angles
                below = int(turn)
                part = turn - below
                below = below % n_angles
                above = (below + 1) % n_angles
                edge = nucleus_um[cell, below] * (1 - part) + nucleus_um[cell, above] * part
                rim = cell_um[cell, below] * (1 - part) + cell_um[cell, above] * part
                distance = np.float32(radius - edge)
                if distance < first[row, column]:
                    second[row, column] = first[row, column]
                    first[row, column] = distance
                    nearest[row, column] = cell + 1
                    inside[row, column] = np.float32(distance / (rim - edge))
                elif distance < second[row, column]:
                    second[row, column] = distance
    return nearest, first, second, inside
