"""Random fields: smooth noise of a given size, and chance draws from spans."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.training.ranges import Span

Plane = NDArray[np.float32]
"""(H, W), float32."""

COARSEST_CELLS = 2
"""Grid points of a field along a side at the least."""

CUBIC_GAIN = 1.35
"""1 / standard deviation of white noise of unit variance after cubic interpolation, measured."""


def draw(rng: np.random.Generator, span: Span, skew: float = 1.0) -> float:
    """Return one number of `span`; a `skew` above 1 favours the low end."""
    low, high = span
    return float(low + (high - low) * rng.random() ** skew)


def pixel_grid(shape: tuple[int, int]) -> tuple[Plane, Plane]:
    """Return row and column of every pixel; float32, (H, W) each."""
    grid = np.indices(shape).astype(np.float32)
    return grid[0], grid[1]


def smooth_noise(shape: tuple[int, int], size_px: float, rng: np.random.Generator) -> Plane:
    """Return noise of about unit variance whose lumps are about `size_px` wide; float32, (H, W)."""
    height, width = shape
    if size_px <= 1.0:
        return rng.standard_normal(shape, dtype=np.float32)
    grid = (
        max(int(np.ceil(height / size_px)), COARSEST_CELLS) + 1,
        max(int(np.ceil(width / size_px)), COARSEST_CELLS) + 1,
    )
    coarse = rng.standard_normal(grid, dtype=np.float32) * np.float32(CUBIC_GAIN)
    # Stretched by the same factor on both axes and cut at random, so that the grid is nowhere in step with the field.
    full = cv2.resize(coarse, None, fx=size_px, fy=size_px, interpolation=cv2.INTER_CUBIC)
    if full.shape[0] < height or full.shape[1] < width:
        full = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    y = int(rng.integers(full.shape[0] - height + 1))
    x = int(rng.integers(full.shape[1] - width + 1))
    return np.ascontiguousarray(full[y : y + height, x : x + width])


def grain(shape: tuple[int, int], mpp: float, spread: float, rng: np.random.Generator) -> Plane:
    """Return a positive texture of mean about 1 at three scales, as precipitate has; float32, (H, W)."""
    sizes_um, shares = (0.6, 1.5, 5.0), (0.55, 0.6, 0.55)
    field = np.zeros(shape, np.float32)
    for size_um, share in zip(sizes_um, shares, strict=True):
        field += np.float32(share) * smooth_noise(shape, size_um / mpp, rng)
    return np.asarray(cv2.exp(field * np.float32(spread) - np.float32(spread * spread / 2)), np.float32)


def blur(plane: Plane, sigma_px: float) -> Plane:
    """Return `plane` blurred by a Gaussian; wide ones are done on a smaller picture, which nobody can see."""
    wide_px = 6.0
    plane = np.ascontiguousarray(plane)  # OpenCV takes no mirrored views
    if sigma_px <= 0.2:  # noqa: PLR2004
        return plane
    if sigma_px > wide_px:
        factor = sigma_px / wide_px
        small = cv2.resize(plane, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), wide_px, borderType=cv2.BORDER_REFLECT)
        return np.asarray(cv2.resize(small, plane.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT), np.float32)
