"""Draws what lies under and between the nuclei: cytoplasm, fibres, lumens, vacuoles, vessels, debris.

All ranges are tuned by eye; optical densities are of eosin unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.training.gland_layout import Layout
from slidescore.training.gland_noise import smooth_noise
from slidescore.training.gland_style import GlandStyle
from slidescore.training.nucleus_drawing import Canvas
from slidescore.training.ranges import Span

Plane = NDArray[np.float32]
"""float32, (H, W)."""


@dataclass(frozen=True, slots=True)
class SolidRanges:
    """Ranges of cytoplasm and stroma."""

    fine_um: float = 1.3
    """Size of fine grain."""
    fine_spread: float = 0.12
    """Its standard deviation, relative."""
    coarse_um: float = 7.0
    """Size of coarse grain."""
    coarse_spread: float = 0.16
    """Its standard deviation, relative."""
    border_um: float = 1.2
    """Width of the border between gland and stroma."""
    polarity: Span = (-0.7, 0.7)
    """How much more eosin lies at the apex than at the base, relative."""
    cell_border_od: Span = (0.0, 0.12)
    """Eosin between cells."""
    looseness: Span = (0.1, 0.7)
    """Contrast of stroma."""
    fibre_contrast: float = 0.42
    """Share of fibres in that contrast."""
    patch_contrast: float = 0.3
    """Share of patches in that contrast."""
    patch_um: float = 14.0
    """Size of patches of stroma."""
    stroma: Span = (0.02, 2.0)
    """Limits of stroma's eosin, relative to its mean."""
    membrane_od: Span = (0.0, 0.15)
    """Eosin of the basement membrane."""
    membrane_depth_um: float = -0.6
    """Where it lies."""
    membrane_um: float = 1.0
    """Its half width, where 1 / e is left."""
    basophilia: Span = (0.0, 0.6)
    """Share of the cytoplasm's hematoxylin that is lost towards the apex."""
    stroma_hematoxylin_od: Span = (0.0, 0.07)
    """Hematoxylin of stroma."""
    fibre_hematoxylin: float = 0.5
    """How much fibres change it, relative."""


@dataclass(frozen=True, slots=True)
class OpenRanges:
    """Ranges of lumens, vacuoles, vessels and what is in them."""

    lumen_blur_px: float = 1.3
    """Blur of lumens, pixels of the layout's grid."""
    lumen_level: float = 0.45
    """Blurred lumen at which their border is drawn; below a half, since blur shrinks narrow ones."""
    lumen_slope: float = 2.2
    """Sharpness of this border."""
    flatness: float = 0.9
    """Short over long axis of vacuoles."""
    edge_um: float = 0.5
    """Blur of vacuoles and vessels."""
    secret_chance: float = 0.35
    """Share of fields with secretion in lumens."""
    secret_um: float = 9.0
    """Size of its clouds."""
    secret_level: float = 0.5
    """Strength of its clouds."""
    secret_eosin_od: Span = (0.0, 0.3)
    """Eosin of secretion."""
    mucin_hematoxylin_od: tuple[float, ...] = (0.0, 0.09)
    """Hematoxylin of mucin and secretion, one of them."""
    max_red_cells: int = 5
    """Red blood cells a capillary, excluded."""
    red_cell_place: Span = (-0.7, 0.7)
    """Their place along the capillary, in semi-axes."""
    red_cell_od: Span = (0.3, 0.7)
    """Their eosin."""
    red_cell_um: Span = (3.0, 5.5)
    """Their shorter diameter; the longer is the upper end."""
    hidden_eosin: Span = (0.4, 0.8)
    """Share of eosin that nuclei hide."""


@dataclass(frozen=True, slots=True)
class DebrisRanges:
    """Ranges of dark crumbs in lumens."""

    chance: float = 0.4
    """Share of fields with crumbs."""
    lumen_share: float = 0.5
    """Pixels that are lumen by more than that may hold crumbs."""
    crumbs: tuple[int, int] = (2, 16)
    """Number a field, the upper end excluded."""
    size_um: Span = (0.8, 2.6)
    """Longer diameter."""
    aspect: Span = (0.5, 1.0)
    """Shorter over longer diameter."""
    hematoxylin_od: Span = (0.1, 0.7)
    """Hematoxylin."""
    blur_um: float = 0.4
    """Blur."""


SOLID, OPEN, DEBRIS = SolidRanges(), OpenRanges(), DebrisRanges()
"""Ranges of all fields."""
CELL_BORDER_BLUR_PX, CELL_BORDER_GAIN = 0.7, 1.6
"""Blur of lines between cells, and what brings their crest back to about 1."""
FIBRE_UM, FIBRE_STRIDES = 1.6, (1, 2, 2.7)
"""Step along a fibre, and the steps between the two samples averaged in each pass: 9 um of fibre in all."""
FIBRE_GRAIN_UM = 0.45
"""Thickness of fibres, Gaussian sigma."""
MIN_BLUR_PX, MIN_THIN_BLUR_PX = 0.5, 0.4
"""Least blur of vacuoles and fibres, and of vessels and crumbs: no edge is sharper than pixels."""
MIN_SPREAD = 1e-6
"""Guard of a division."""


def draw_tissue(
    canvas: Canvas,
    style: GlandStyle,
    layout: Layout,
    vacuoles: NDArray[np.float64],
    capillaries: NDArray[np.float64],
    mpp: float,
    rng: np.random.Generator,
) -> tuple[Plane, Plane]:
    """Draw the tissue under the nuclei of a canvas.

    Parameters
    ----------
    canvas
        With all nuclei drawn; not changed.
    style, layout
        Of the field.
    vacuoles, capillaries
        As `place_vacuoles` and `place_capillaries` give them.
    mpp
        Resolution of the canvas, um/px.
    rng
        Source of all randomness.

    Returns
    -------
    hematoxylin_od, eosin_od
        float32, (H, W); nuclei included, nothing below 0.
    """
    side = canvas.nuclei.shape[0]
    grain = (
        1
        + SOLID.fine_spread * smooth_noise(side, SOLID.fine_um / mpp, rng)
        + SOLID.coarse_spread * smooth_noise(side, SOLID.coarse_um / mpp, rng)
    )
    hematoxylin, eosin = _solid(canvas, style, layout, grain, mpp, rng)
    lumen = _upsampled(cv2.GaussianBlur(layout.lumen.astype(np.float32), (0, 0), OPEN.lumen_blur_px), layout, side, mpp)
    lumen = np.clip((lumen - OPEN.lumen_level) * OPEN.lumen_slope + 0.5, 0, 1)
    mucin = _mucin(vacuoles, side, mpp, rng)
    secret = np.zeros((side, side), np.float32)
    if rng.random() < OPEN.secret_chance:
        secret = np.clip(OPEN.secret_level * smooth_noise(side, OPEN.secret_um / mpp, rng), 0, 1) * lumen
    vessel, red_cells = _vessel_layers(capillaries, side, mpp, rng)
    clear = np.maximum(np.maximum(lumen, mucin), vessel)
    eosin = eosin * (1 - clear) + rng.uniform(*OPEN.secret_eosin_od) * secret * grain + red_cells
    hematoxylin = hematoxylin * (1 - clear) + rng.choice(OPEN.mucin_hematoxylin_od) * (mucin + secret) * grain
    debris = _debris(lumen, mpp, rng)
    cover = canvas.cover
    hematoxylin = hematoxylin * (1 - cover) + canvas.nuclear_od + debris * (1 - cover)
    eosin = eosin * (1 - rng.uniform(*OPEN.hidden_eosin) * cover)
    return np.maximum(hematoxylin, 0).astype(np.float32), np.maximum(eosin, 0).astype(np.float32)


def _upsampled(field: Plane, layout: Layout, side: int, mpp: float) -> Plane:
    """Bring a field of the layout's grid to the canvas."""
    scale = mpp / layout.mpp
    warp = np.array([[scale, 0, 0], [0, scale, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(field, warp, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _solid(
    canvas: Canvas, style: GlandStyle, layout: Layout, grain: Plane, mpp: float, rng: np.random.Generator
) -> tuple[Plane, Plane]:
    """Give hematoxylin and eosin of cytoplasm and stroma, as if there were no lumens."""
    side = canvas.nuclei.shape[0]
    depth, band, cos2, sin2 = (
        _upsampled(field, layout, side, mpp) for field in (layout.depth_um, layout.band_um, layout.cos2, layout.sin2)
    )
    gland = np.clip(depth / SOLID.border_um + 0.5, 0, 1)
    height = np.clip(depth / np.maximum(band, 1), 0, 1)
    cytoplasm = 1 + rng.uniform(*SOLID.polarity) * (height - 0.5)
    epithelium_eosin = style.cytoplasm_eosin_od * cytoplasm * grain
    epithelium_eosin += rng.uniform(*SOLID.cell_border_od) * _cell_borders(canvas.nuclei) * (depth > 0)
    fibres = _fibres(cos2, sin2, mpp, rng)
    loose = rng.uniform(*SOLID.looseness)
    patches = smooth_noise(side, SOLID.patch_um / mpp, rng)
    texture = 1 + loose * (SOLID.fibre_contrast * fibres + SOLID.patch_contrast * patches)
    stroma_eosin = style.stroma_eosin_od * np.clip(texture, *SOLID.stroma) * (0.5 + 0.5 * grain)
    off_membrane = (depth - SOLID.membrane_depth_um) / SOLID.membrane_um
    membrane = rng.uniform(*SOLID.membrane_od) * np.exp(-(off_membrane**2))
    eosin = gland * epithelium_eosin + (1 - gland) * stroma_eosin + membrane
    blue = style.cytoplasm_hematoxylin_od * (1 - rng.uniform(*SOLID.basophilia) * height) * grain
    stroma_blue = rng.uniform(*SOLID.stroma_hematoxylin_od)
    fibre_blue = np.clip(1 + SOLID.fibre_hematoxylin * fibres, 0, 2)
    hematoxylin = gland * blue + (1 - gland) * stroma_blue * fibre_blue
    return hematoxylin, eosin


def _cell_borders(nuclei: NDArray[np.int32]) -> Plane:
    """Give lines half way between nuclei: borders of their cells."""
    empty = (nuclei == 0).astype(np.uint8)
    if empty.all():
        return np.zeros(nuclei.shape, np.float32)
    _, nearest = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    owners = np.zeros(int(nearest.max()) + 1, np.int32)
    inside = nuclei > 0
    owners[nearest[inside]] = nuclei[inside]
    cell = owners[nearest]
    border = np.zeros(nuclei.shape, np.float32)
    border[:, 1:] = cell[:, 1:] != cell[:, :-1]
    border[1:] = np.maximum(border[1:], cell[1:] != cell[:-1])
    return np.asarray(cv2.GaussianBlur(border, (0, 0), CELL_BORDER_BLUR_PX) * CELL_BORDER_GAIN, np.float32)


def _fibres(cos2: Plane, sin2: Plane, mpp: float, rng: np.random.Generator) -> Plane:
    """Give streaks of unit variance along the stroma's direction: noise averaged along short paths."""
    side = cos2.shape[0]
    angle = 0.5 * np.arctan2(sin2, cos2)
    step = np.float32(max(FIBRE_UM / mpp, 1.0))
    dx, dy = step * np.cos(angle), step * np.sin(angle)
    yy, xx = np.mgrid[:side, :side].astype(np.float32)
    noise = rng.standard_normal((side, side), dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), max(FIBRE_GRAIN_UM / mpp, MIN_BLUR_PX))
    for stride in FIBRE_STRIDES:
        ends = [
            cv2.remap(noise, xx + k * dx, yy + k * dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            for k in (-0.5 * stride, 0.5 * stride)
        ]
        noise = 0.5 * (ends[0] + ends[1])
    return np.asarray(noise / max(float(noise.std()), MIN_SPREAD), np.float32)


def _mucin(vacuoles: NDArray[np.float64], side: int, mpp: float, rng: np.random.Generator) -> Plane:
    """Give how far pixels are covered by vacuoles, 0 to 1."""
    mucin = np.zeros((side, side), np.float32)
    for x, y, radius in vacuoles:
        axes = (2 * radius / mpp, 2 * OPEN.flatness * radius / mpp)
        cv2.ellipse(mucin, ((x / mpp, y / mpp), axes, rng.uniform(0, 180)), 1.0, -1)
    return np.asarray(cv2.GaussianBlur(mucin, (0, 0), max(OPEN.edge_um / mpp, MIN_BLUR_PX)))


def _vessel_layers(
    capillaries: NDArray[np.float64], side: int, mpp: float, rng: np.random.Generator
) -> tuple[Plane, Plane]:
    """Give the clear insides of capillaries and the eosin of red blood cells in them."""
    vessel, cells = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    for x, y, a, b, angle in capillaries:
        cv2.ellipse(vessel, ((x / mpp, y / mpp), (2 * a / mpp, 2 * b / mpp), np.degrees(angle)), 1.0, -1)
        for _ in range(int(rng.integers(0, OPEN.max_red_cells))):
            along, od = rng.uniform(*OPEN.red_cell_place) * a, rng.uniform(*OPEN.red_cell_od)
            centre = ((x + np.cos(angle) * along) / mpp, (y + np.sin(angle) * along) / mpp)
            axes = (OPEN.red_cell_um[1] / mpp, rng.uniform(*OPEN.red_cell_um) / mpp)
            cv2.ellipse(cells, (centre, axes, rng.uniform(0, 180)), od, -1)
    blur_px = max(OPEN.edge_um / mpp, MIN_THIN_BLUR_PX)
    return cv2.GaussianBlur(vessel, (0, 0), blur_px), cv2.GaussianBlur(cells, (0, 0), blur_px)


def _debris(lumen: Plane, mpp: float, rng: np.random.Generator) -> Plane:
    """Give dark crumbs in lumens: no nuclei, and known to be none."""
    side = len(lumen)
    out = np.zeros((side, side), np.float32)
    where = np.flatnonzero(lumen > DEBRIS.lumen_share)
    if len(where) and rng.random() < DEBRIS.chance:
        for place in where[rng.integers(0, len(where), int(rng.integers(*DEBRIS.crumbs)))].tolist():
            y, x = divmod(place, side)
            size_px = rng.uniform(*DEBRIS.size_um) / mpp
            axes = (size_px, size_px * rng.uniform(*DEBRIS.aspect))
            cv2.ellipse(out, ((x, y), axes, rng.uniform(0, 180)), rng.uniform(*DEBRIS.hematoxylin_od), -1)
        out = cv2.GaussianBlur(out, (0, 0), max(DEBRIS.blur_um / mpp, MIN_THIN_BLUR_PX))
    return out
