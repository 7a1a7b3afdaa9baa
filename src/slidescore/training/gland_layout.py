"""Lays out a field of glands on a grid of about 1 um: profiles, depth, lumens, directions, vacuoles, capillaries.

All ranges are tuned by eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slidescore.training.gland_noise import smooth_noise
from slidescore.training.gland_style import BANDED_LAYOUTS, POLAR_LAYOUTS, GlandStyle
from slidescore.training.gland_tubules import lay_tubules
from slidescore.training.ranges import Span

LAYOUT_TRIES, MIN_EPITHELIUM_SHARE = 5, 0.4
"""Layouts tried until so much of the field is epithelium."""
MIN_SIDE = 8
"""Least pixels a side of the grid."""
BANDED_OPENING, OPENING = 4, 2
"""Iterations of the opening that takes away glands too thin for a lumen, and too thin for a cell."""


@dataclass(frozen=True, slots=True)
class LayoutRanges:
    """Ranges of profiles; a threshold is a level of noise of unit variance, above which lies epithelium."""

    band_spread: float = 0.13
    """Standard deviation of the height of the epithelium, relative."""
    band_patch_um: float = 40.0
    """Distance over which it changes."""
    branching_scale: float = 2.3
    """Size of branching glands, in heights of the epithelium."""
    branching_threshold: Span = (-0.5, 0.3)
    """Threshold of branching glands."""
    sheet_um: float = 130.0
    """Size of the masses that sheets and cribriform glands are."""
    sheet_threshold: Span = (-2.5, -0.3)
    """Threshold of these masses."""
    nest_um: Span = (22.0, 50.0)
    """Size of nests."""
    nest_threshold: Span = (-0.4, 0.5)
    """Threshold of nests."""
    trabecula_um: Span = (35.0, 70.0)
    """Distance of trabeculae, which are the zero lines of noise."""
    trabecula_width: Span = (0.3, 0.6)
    """Largest level on either side of the line."""
    hole_um: Span = (18.0, 34.0)
    """Distance of the holes of cribriform glands."""
    hole_threshold: Span = (0.7, 1.2)
    """Threshold of these holes."""
    hole_depth: float = 2.0
    """Least depth of a hole, in minor axes."""
    ruffle: float = 1.5
    """Largest unevenness of the luminal border, um, standard deviation."""
    ruffle_um: float = 6.0
    """Distance over which it changes."""


@dataclass(frozen=True, slots=True)
class SpaceRanges:
    """Ranges of vacuoles and capillaries."""

    vacuole_radius_um: Span = (3.0, 6.0)
    """Mean radius of a field's vacuoles."""
    vacuole_spread: float = 0.2
    """Standard deviation of the logarithm of the radius."""
    vacuole_height: float = 0.35
    """Least depth of a vacuole's centre, in heights of the epithelium: nuclei are below."""
    vacuole_place: float = 3.5
    """Area of a place for a vacuole, in squared radii; a disc is pi."""
    vacuole_distance: float = 0.95
    """Least distance of two, in the sum of their radii."""
    max_vacuoles: int = 400
    """Most vacuoles proposed."""
    capillary_gap_um: float = 7.0
    """Least distance of a capillary from glands."""
    capillaries: float = 1.2
    """Mean number a field."""
    capillary_major_um: Span = (5.0, 11.0)
    """Long semi-axis of a capillary."""
    capillary_minor_um: Span = (2.5, 5.0)
    """Short semi-axis of a capillary."""


RANGES = LayoutRanges()
"""Ranges of all fields."""
SPACES = SpaceRanges()
"""Ranges of all fields."""
AXIS_BLUR_UM = 3.0
"""Blur of depth before its gradient is taken for the axis of cells."""
CAPSULE_UM = 14.0
"""Distance from glands at which fibres no longer run along them, e-fold."""
FIBRE_PATCH_UM, FIBRE_TURN = 60.0, 0.3
"""Distance over which free fibres change direction, and how much, in half turns."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Coarse fields of a layout, (h, w) each.

    Attributes
    ----------
    depth_um
        float32; distance to the basement membrane, positive in glands, negative in stroma.
    band_um
        float32; height of the epithelium.
    lumen
        bool.
    cos2, sin2
        float32; twice the angle of cells in glands, of fibres in stroma; shorter than 1 where it is uncertain.
    mpp
        Resolution of the grid, um/px.
    """

    depth_um: NDArray[np.float32]
    band_um: NDArray[np.float32]
    lumen: NDArray[np.bool_]
    cos2: NDArray[np.float32]
    sin2: NDArray[np.float32]
    mpp: float


def lay_out(style: GlandStyle, side_um: float, grid_mpp: float, rng: np.random.Generator) -> Layout:
    """Lay out a field; try again where the frame happens to lie on little epithelium.

    Parameters
    ----------
    style
        Style of the field.
    side_um
        Side of the square field.
    grid_mpp
        Resolution of the grid, um/px.
    rng
        Source of all randomness.

    Returns
    -------
    Layout
        At least `side_um` a side.
    """
    for _ in range(LAYOUT_TRIES):
        layout = _try_layout(style, side_um, grid_mpp, rng)
        share = float(((layout.depth_um > 0) & ~layout.lumen).mean())
        if share >= MIN_EPITHELIUM_SHARE or style.layout == "stroma":
            break
    return layout


def _try_layout(style: GlandStyle, side_um: float, grid_mpp: float, rng: np.random.Generator) -> Layout:
    side = max(int(np.ceil(side_um / grid_mpp)) + 1, MIN_SIDE)
    banded = style.layout in BANDED_LAYOUTS
    band = style.band_um * (1 + RANGES.band_spread * smooth_noise(side, RANGES.band_patch_um / grid_mpp, rng))
    inside = _profiles(style, side, grid_mpp, rng)
    inside = ndimage.binary_opening(inside, iterations=BANDED_OPENING if banded else OPENING)
    depth = _signed_distance_um(inside, grid_mpp)
    lumen = np.zeros((side, side), bool)
    if banded:
        ruffles = RANGES.ruffle * smooth_noise(side, RANGES.ruffle_um / grid_mpp, rng) * rng.uniform(0, 1)
        lumen = depth > band + ruffles
    elif style.layout == "cribriform":
        noise = smooth_noise(side, rng.uniform(*RANGES.hole_um) / grid_mpp, rng)
        lumen = (noise > rng.uniform(*RANGES.hole_threshold)) & (depth > style.minor_um * RANGES.hole_depth)
    lumen = ndimage.binary_opening(lumen, iterations=1)
    cos2, sin2 = _directions(style, depth, lumen, grid_mpp, rng)
    return Layout(depth, band.astype(np.float32), lumen, cos2, sin2, grid_mpp)


def _profiles(style: GlandStyle, side: int, mpp: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Give what lies inside glands, lumens included."""
    if style.layout == "tubules":
        return lay_tubules(style.band_um, side, mpp, rng)
    if style.layout == "branching":
        noise = smooth_noise(side, RANGES.branching_scale * style.band_um / mpp, rng)
        return np.asarray(noise > rng.uniform(*RANGES.branching_threshold))
    if style.layout in ("cribriform", "sheet"):
        return np.asarray(smooth_noise(side, RANGES.sheet_um / mpp, rng) > rng.uniform(*RANGES.sheet_threshold))
    if style.layout == "nests":
        noise = smooth_noise(side, rng.uniform(*RANGES.nest_um) / mpp, rng)
        return np.asarray(noise > rng.uniform(*RANGES.nest_threshold))
    if style.layout == "trabeculae":
        noise = smooth_noise(side, rng.uniform(*RANGES.trabecula_um) / mpp, rng)
        return np.asarray(np.abs(noise) < rng.uniform(*RANGES.trabecula_width))
    return np.zeros((side, side), bool)


def _signed_distance_um(inside: NDArray[np.bool_], mpp: float) -> NDArray[np.float32]:
    """Give the distance to the border, positive inside, at most the diagonal of the field."""
    within, beyond = _distance_um(inside, mpp), _distance_um(~inside, mpp)
    return np.asarray(np.where(inside, within - mpp / 2, mpp / 2 - beyond), np.float32)


def _distance_um(mask: NDArray[np.bool_], mpp: float) -> NDArray[np.float32]:
    far = float(np.hypot(*mask.shape)) * mpp
    if mask.all():  # OpenCV then gives about the largest float, which overflows
        return np.full(mask.shape, far, np.float32)
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(np.minimum(distance * mpp, far), np.float32)


def _directions(
    style: GlandStyle, depth: NDArray[np.float32], lumen: NDArray[np.bool_], mpp: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the axis of cells in glands and of fibres in stroma, as cosine and sine of twice its angle."""
    side = depth.shape[0]
    guide = -_signed_distance_um(lumen, mpp) if style.layout == "cribriform" and lumen.any() else depth
    smooth = cv2.GaussianBlur(guide, (0, 0), AXIS_BLUR_UM / mpp)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    across = 2 * np.arctan2(gy, gx)
    free = np.pi * (rng.uniform(0, 2) + FIBRE_TURN * smooth_noise(side, FIBRE_PATCH_UM / mpp, rng))
    # twice the angle: the opposite sign is the direction along the border
    polarity = 1.0 if style.layout in POLAR_LAYOUTS else 0.0
    weight = np.where(depth > 0, polarity, -np.exp(depth / CAPSULE_UM))
    rest = 1 - np.abs(weight)
    cos2 = weight * np.cos(across) + rest * np.cos(free)
    sin2 = weight * np.sin(across) + rest * np.sin(free)
    return cos2.astype(np.float32), sin2.astype(np.float32)


def place_vacuoles(style: GlandStyle, layout: Layout, rng: np.random.Generator) -> NDArray[np.float64]:
    """Place goblets in the apical part of polar epithelium, apart from each other.

    Parameters
    ----------
    style, layout
        Of the field.
    rng
        Source of all randomness.

    Returns
    -------
    ndarray
        float64, (n, 3); x, y and radius, um.
    """
    apical = (layout.depth_um > SPACES.vacuole_height * layout.band_um) & (layout.depth_um < layout.band_um)
    zone = apical & ~layout.lumen
    if style.goblet == 0 or style.layout not in POLAR_LAYOUTS or not zone.any():
        return np.zeros((0, 3))
    ys, xs = np.nonzero(zone)
    mean = rng.uniform(*SPACES.vacuole_radius_um)
    room = style.goblet * len(ys) * layout.mpp**2 / (SPACES.vacuole_place * mean**2)
    count = min(int(room), SPACES.max_vacuoles)
    pick = rng.integers(0, len(ys), count)
    radius = mean * np.exp(rng.normal(0, SPACES.vacuole_spread, count))
    kept: list[NDArray[np.float64]] = []
    for row in np.column_stack([xs[pick] * layout.mpp, ys[pick] * layout.mpp, radius]):
        if all(np.hypot(row[0] - k[0], row[1] - k[1]) > SPACES.vacuole_distance * (row[2] + k[2]) for k in kept):
            kept.append(row)
    return np.array(kept).reshape(-1, 3)


def place_capillaries(layout: Layout, rng: np.random.Generator) -> NDArray[np.float64]:
    """Place small vessels in stroma.

    Parameters
    ----------
    layout
        Of the field.
    rng
        Source of all randomness.

    Returns
    -------
    ndarray
        float64, (n, 5); x, y and both semi-axes, um; direction of the first, radians.
    """
    zone = layout.depth_um < -SPACES.capillary_gap_um
    count = int(rng.poisson(SPACES.capillaries)) if zone.any() else 0
    ys, xs = np.nonzero(zone)
    pick = rng.integers(0, max(len(ys), 1), count)
    a, b = rng.uniform(*SPACES.capillary_major_um, count), rng.uniform(*SPACES.capillary_minor_um, count)
    return np.column_stack([xs[pick] * layout.mpp, ys[pick] * layout.mpp, a, b, rng.uniform(0, np.pi, count)])
