"""Where the tissue is: a mask at a few um per pixel that leaves out glass, pen and dust.

IHC can be pale (weak counterstain, no DAB), so tissue is told from glass by a small optical density above the glass of
the same slide, or by less density with texture in it; the Otsu threshold usual for H&E would lose it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.assay.left_of_wall import Stains, Tissue
from slidescore.stain import (
    DEFAULT_WHITE,
    StainVectors,
    WhiteReference,
    brightest_common_rgb,
    hue_angles,
    hue_frame,
    measure_white,
    off_arc_degrees,
    optical_density,
)

PALE_SHARE = 0.5
"""Textured tissue may be this much paler than smooth tissue."""
BLACK_MIN_OD = 1.0
BLACK_MAX_SPREAD = 0.25
"""Denser than this in all channels alike is ink, not stain: dense DAB absorbs blue far more than red."""
BLACK_PEN_MIN_OD = 0.8
"""Black pen can be paler than that, for it is smooth."""
STRIP_PX = 512
"""Rows that are looked at for pen at once."""
SMOOTH_SHARE = 0.5
"""A red area is pen when at least so much of it is smooth; drawn strokes come to 0.75, real H&E to less than 0.3."""


@dataclass(frozen=True, slots=True)
class TissueMask:
    """Tissue of one slide.

    Attributes
    ----------
    tissue
        bool, (H, W).
    pen
        bool, (H, W), ink and its surroundings; never tissue.
    l0_per_px
        Level-0 pixels per mask pixel; mask pixel (i, j) begins at level-0 (j, i) times this.
    mpp
        Micrometres per mask pixel.
    """

    tissue: NDArray[np.bool_]
    pen: NDArray[np.bool_]
    l0_per_px: float
    mpp: float

    @property
    def area_um2(self) -> float:
        """Tissue area."""
        return float(self.tissue.sum()) * self.mpp**2

    def at(self, x_l0: NDArray[np.float64], y_l0: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether level-0 points lie on tissue; bool, (N,)."""
        column, row = np.floor(x_l0 / self.l0_per_px), np.floor(y_l0 / self.l0_per_px)
        height, width = self.tissue.shape
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        on = np.zeros(len(x_l0), dtype=bool)
        on[inside] = self.tissue[row[inside].astype(int), column[inside].astype(int)]
        return on

    def sample(self, x_l0: float, y_l0: float, shape: tuple[int, int], l0_per_px: float) -> NDArray[np.bool_]:
        """Resample the mask to pixels of another size whose first one begins at (x_l0, y_l0); bool, `shape`."""
        rows = np.floor((y_l0 + (np.arange(shape[0]) + 0.5) * l0_per_px) / self.l0_per_px).astype(int)
        columns = np.floor((x_l0 + (np.arange(shape[1]) + 0.5) * l0_per_px) / self.l0_per_px).astype(int)
        height, width = self.tissue.shape
        row = np.clip(rows, 0, height - 1)
        # Columns first, of the few rows that are met: a row of the mask covers many rows of pixels.
        lines = self.tissue[row[0] : row[-1] + 1][:, np.clip(columns, 0, width - 1)]
        out: NDArray[np.bool_] = lines[row - row[0]]
        out[(rows < 0) | (rows >= height)] = False
        out[:, (columns < 0) | (columns >= width)] = False
        return out


def find_tissue(
    rgb: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    *,
    mpp: float,
    l0_per_px: float,
    tissue: Tissue,
    stains: Stains,
    vectors: StainVectors,
) -> tuple[TissueMask, WhiteReference]:
    """Find tissue and the slide's white reference on a low-resolution image.

    Parameters
    ----------
    rgb, valid
        uint8, (H, W, 3), RGB, and bool, (H, W), False where the slide has no pixels.
    mpp, l0_per_px
        Micrometres and level-0 pixels per pixel of these arrays.
    tissue, stains
        Parameters of the assay.
    vectors
        The fixed stain vectors; colours far from their plane are pen.
    """
    guess = brightest_common_rgb(rgb[valid])
    density, texture = _density_and_texture(rgb, guess)
    clear = valid & (density < PALE_SHARE * tissue.min_optical_density) & (texture < tissue.min_texture_od)
    white = WhiteReference(DEFAULT_WHITE, "255", int(clear.sum()))
    if stains.white == "glass":
        white = measure_white(rgb[clear], min_pixels=stains.min_glass_pixels, min_intensity=stains.min_glass_intensity)
    if white.source == "glass":
        density, texture = _density_and_texture(rgb, white.rgb)
    pen = _find_pen(rgb, valid, texture, white.rgb if white.source == "glass" else guess, vectors, mpp, tissue)
    smooth = cv2.GaussianBlur(density, (0, 0), tissue.smooth_um / mpp, borderType=cv2.BORDER_REPLICATE)
    dense = smooth >= tissue.min_optical_density
    textured = (smooth >= PALE_SHARE * tissue.min_optical_density) & (texture >= tissue.min_texture_od)
    mask = (dense | textured) & valid & ~pen
    mask = _close(mask, tissue.close_um / mpp) & ~pen
    # Missing places inside tissue stay in the mask: they are counted as missing, and nothing is ever scored there.
    mask = _fill_holes(mask, valid, tissue.max_hole_um2 / mpp**2) & ~pen
    mask = _drop_small(mask, tissue.min_area_um2 / mpp**2)
    return TissueMask(mask, pen, l0_per_px, mpp), white


def _density_and_texture(
    rgb: NDArray[np.uint8], white: tuple[float, float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    density = optical_density(rgb, white).mean(axis=2).astype(np.float32)
    mean, square = cv2.blur(density, (3, 3)), cv2.blur(density * density, (3, 3))
    return density, np.sqrt(np.maximum(square - mean * mean, 0.0)).astype(np.float32)


def _find_pen(
    rgb: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    texture: NDArray[np.float32],
    white: tuple[float, float, float],
    vectors: StainVectors,
    mpp: float,
    tissue: Tissue,
) -> NDArray[np.bool_]:
    """Find pen: broad, and of a colour that no mixture of the stains has.

    What is bluer, greener or blacker than they are is ink. What is redder is ink only where it is smooth: tissue of
    another stain is red as well, and must stay tissue, so that its stain is judged.
    """
    blue, red, smooth = (np.zeros(valid.shape, np.bool_) for _ in range(3))
    frame = hue_frame(vectors)
    for top in range(0, len(rgb), STRIP_PX):
        # Strip by strip: a large slide has tens of millions of pixels even at this resolution.
        strip = np.s_[top : top + STRIP_PX]
        density = optical_density(rgb[strip], white)
        mean = density.mean(axis=2)
        neutral = np.ptp(density, axis=2) <= BLACK_MAX_SPREAD * mean
        blue[strip], red[strip] = neutral & (mean >= BLACK_MIN_OD), neutral & (mean >= BLACK_PEN_MIN_OD)
        smooth[strip] = texture[strip] <= tissue.pen_max_texture * mean
        # The length of a density is at most the sum of its channels.
        some = 3.0 * mean >= tissue.pen_min_chroma_od
        length, along, across = hue_angles(density[some], frame)
        off = off_arc_degrees(along, across, frame)
        chroma = length * np.sin(np.radians(np.minimum(off, 90.0)))
        foreign = (off >= tissue.pen_min_degrees) & (chroma >= tissue.pen_min_chroma_od)
        blue[strip][some] |= foreign & (across > 0)
        red[strip][some] |= foreign & (across <= 0)
    # A stroke is broad; single pixels of another colour are pigment or noise.
    square = np.ones((3, 3), np.uint8)
    blue_px, red_px = (cv2.morphologyEx((valid & px).astype(np.uint8), cv2.MORPH_OPEN, square) for px in (blue, red))
    ink = (blue_px > 0) | _mostly_smooth(red_px, smooth)
    grown: NDArray[np.bool_] = cv2.dilate(ink.astype(np.uint8), _disc(2.0 * tissue.smooth_um / mpp)) > 0
    return grown


def _mostly_smooth(areas: NDArray[np.uint8], smooth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep connected areas that are smooth for the most part: tissue of another stain has texture, and is not ink."""
    count, labels = cv2.connectedComponents(areas, connectivity=8)
    size = np.bincount(labels.ravel(), minlength=count)
    kept = np.bincount(labels[smooth], minlength=count) >= SMOOTH_SHARE * size
    kept[0] = False
    pen: NDArray[np.bool_] = kept[labels]
    return pen


def _disc(radius_px: float) -> NDArray[np.uint8]:
    size = 2 * max(1, round(radius_px)) + 1
    disc: NDArray[np.uint8] = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)).astype(np.uint8)
    return disc


def _close(mask: NDArray[np.bool_], radius_px: float) -> NDArray[np.bool_]:
    if radius_px < 1 or min(mask.shape) == 1:
        return mask
    closed: NDArray[np.bool_] = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, _disc(radius_px)) > 0
    return closed


def _fill_holes(mask: NDArray[np.bool_], valid: NDArray[np.bool_], max_px: float) -> NDArray[np.bool_]:
    """Fill small holes, and holes of any size that are mostly without pixels: tissue that is missing, not glass."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    missing = np.bincount(labels[~valid], minlength=count)
    filled = (area <= max_px) | (2 * missing > area)
    filled[0] = False
    # What touches the rim of the image is outside, not a hole.
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    filled[np.unique(rim)] = False
    whole: NDArray[np.bool_] = mask | filled[labels]
    return whole


def _drop_small(mask: NDArray[np.bool_], min_px: float) -> NDArray[np.bool_]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = np.zeros(count, dtype=bool)
    large[1:] = stats[1:, cv2.CC_STAT_AREA] >= min_px
    kept: NDArray[np.bool_] = large[labels]
    return kept
