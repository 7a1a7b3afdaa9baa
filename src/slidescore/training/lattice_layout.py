"""Lays out a lattice: glands packed with large cells, most of which the section cuts beside their nucleus."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slidescore.training.ranges import Span
from slidescore.training.texture import Plane, draw, pixel_grid, smooth_noise


@dataclass(frozen=True, slots=True)
class LatticeLayoutRanges:
    """Ranges of glands and cells, tuned by eye."""

    gland_um: Span = (14.0, 55.0)
    """Longer semi-axis of a gland."""
    gland_aspect: Span = (0.35, 1.0)
    """Shorter over longer semi-axis."""
    gland_tries: int = 70
    """Ellipses laid down one after the other; those that would cover an older gland are cut to what is free."""
    gap_um: Span = (0.5, 9.0)
    """Width of stroma between glands at the least."""
    ruffle_um: Span = (0.5, 3.0)
    """Standard deviation by which outlines of glands wander."""
    pitch_um: Span = (8.0, 19.0)
    """Distance of cells."""
    stretch: Span = (1.0, 2.4)
    """Length over width of cells."""
    wander_um: Span = (0.3, 1.3)
    """Standard deviation by which cell borders wander."""
    closeness: float = 0.72
    """Least distance of two cells, relative to their mean distance."""
    least_part: float = 0.15
    """Ellipses of which less is free are left out."""


LAYOUT = LatticeLayoutRanges()
"""Ranges of training and of the held-back lattices."""
RUFFLE_SIZE_UM, WANDER_SIZES_UM = 14.0, (4.0, 10.0)
"""Distances over which outlines of glands and borders of cells wander."""


@dataclass(frozen=True, slots=True)
class LatticeLayout:
    """Glands and cells of a field.

    Attributes
    ----------
    gland
        bool, (H, W).
    cell
        int32, (H, W); 0 outside glands, else the number of the cell from 1.
    border_um
        float32, (H, W); distance to the nearest border between cells or to the rim of the gland.
    rim_um
        float32, (H, W); depth below the rim of the gland, 0 outside.
    seeds_um
        float64, (n, 2), x and y; cell k + 1 lies around entry k.
    pitch_um
        Mean distance of cells.
    """

    gland: NDArray[np.bool_]
    cell: NDArray[np.int32]
    border_um: Plane
    rim_um: Plane
    seeds_um: NDArray[np.float64]
    pitch_um: float


def lay_lattice(side_px: int, mpp: float, rng: np.random.Generator) -> LatticeLayout:
    """Lay out a square field of `side_px` pixels at `mpp` um/px."""
    gland = _glands(side_px, mpp, rng)
    rim_um = cv2.distanceTransform(gland.astype(np.uint8), cv2.DIST_L2, 5).astype(np.float32) * np.float32(mpp)
    pitch_um = draw(rng, LAYOUT.pitch_um)
    stretch, turn = draw(rng, LAYOUT.stretch, 2.0), float(rng.uniform(0.0, np.pi))
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    axes[0] /= np.sqrt(stretch)
    axes[1] *= np.sqrt(stretch)
    seeds = _apart(side_px * mpp, pitch_um, axes, rng)
    rows, columns = pixel_grid((side_px, side_px))
    wander_px = np.float32(draw(rng, LAYOUT.wander_um) / mpp)
    for size_um in WANDER_SIZES_UM:
        rows += wander_px * smooth_noise((side_px, side_px), size_um / mpp, rng)
        columns += wander_px * smooth_noise((side_px, side_px), size_um / mpp, rng)
    places = np.stack([columns.ravel(), rows.ravel()], axis=1) * mpp
    away, nearest = cKDTree(seeds @ axes.T).query(places @ axes.T, k=2)
    cell = np.where(gland, nearest[:, 0].reshape(gland.shape) + 1, 0).astype(np.int32)
    # Half the difference of the two distances is that to the border, where cells are as wide as they are long.
    between_um = (0.5 * (away[:, 1] - away[:, 0])).reshape(gland.shape).astype(np.float32)
    return LatticeLayout(gland, cell, np.minimum(between_um, rim_um), rim_um, seeds, pitch_um)


def _glands(side_px: int, mpp: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Lay ellipses down until the field is mostly covered, with a gap around each."""
    taken = np.zeros((side_px, side_px), np.uint8)
    inside = np.zeros((side_px, side_px), bool)
    gap_px = 2 * round(draw(rng, LAYOUT.gap_um) / mpp / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * gap_px + 1, 2 * gap_px + 1))
    largest_um = float(rng.uniform(0.5, 1.0)) * LAYOUT.gland_um[1]
    for _ in range(int(rng.integers(LAYOUT.gland_tries // 4, LAYOUT.gland_tries))):
        one = np.zeros_like(taken)
        major = float(rng.uniform(LAYOUT.gland_um[0], largest_um)) / mpp
        axes = (round(major), max(2, round(major * draw(rng, LAYOUT.gland_aspect))))
        center = (int(rng.integers(side_px)), int(rng.integers(side_px)))
        cv2.ellipse(one, center, axes, rng.uniform(0.0, 180.0), 0.0, 360.0, 1, -1)
        whole = np.count_nonzero(one)
        free = (one > 0) & (taken == 0)
        if int(np.count_nonzero(free)) < LAYOUT.least_part * max(int(whole), 1):
            continue
        inside |= free
        taken |= cv2.dilate(free.astype(np.uint8), kernel)
    rows, columns = pixel_grid((side_px, side_px))
    ruffle_px = np.float32(draw(rng, LAYOUT.ruffle_um) / mpp)
    rows += ruffle_px * smooth_noise((side_px, side_px), RUFFLE_SIZE_UM / mpp, rng)
    columns += ruffle_px * smooth_noise((side_px, side_px), RUFFLE_SIZE_UM / mpp, rng)
    moved = cv2.remap(inside.astype(np.uint8), columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved > 0, bool)


def _apart(side_um: float, pitch_um: float, axes: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Throw places that keep their distance in a stretched frame; float64, (n, 2)."""
    # A rim beyond the field, so that cells at its border have neighbours on all sides.
    places = rng.uniform(-pitch_um, side_um + pitch_um, (int(6 * (side_um / pitch_um + 2) ** 2) + 4, 2))
    stretched = places @ axes.T
    least = LAYOUT.closeness * pitch_um
    kept: list[int] = [0]
    for index in range(1, len(places)):
        if np.square(stretched[kept] - stretched[index]).sum(axis=1).min() >= least**2:
            kept.append(index)
    if len(kept) == 1:
        kept.append(1)
    return np.asarray(places[kept], np.float64)
