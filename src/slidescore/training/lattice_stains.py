"""Hematoxylin and DAB of a lattice: membranes, three kinds of cytoplasm, places where membranes lie flat, stroma."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from slidescore.training.lattice_layout import LatticeLayout
from slidescore.training.nucleus_drawing import Canvas
from slidescore.training.ranges import Span
from slidescore.training.texture import Plane, blur, draw, grain, smooth_noise


@dataclass(frozen=True, slots=True)
class LatticeStainRanges:
    """Ranges of stains, tuned by eye; ODs are decadic, of unit stain vectors."""

    membrane_od: Span = (0.35, 2.4)
    """DAB OD of membranes, level of the field."""
    membrane_um: Span = (0.5, 3.0)
    """Full width of membranes at half their density."""
    rim_gain: Span = (0.3, 1.3)
    """DAB of the gland's rim, relative to membranes between cells."""
    patch_spread: Span = (0.1, 0.7)
    """Standard deviation of the logarithm of DAB over neighbourhoods."""
    patch_um: Span = (10.0, 60.0)
    """Size of these neighbourhoods."""
    clear_od: Span = (0.0, 0.08)
    """DAB of cleared cytoplasm."""
    granular_od: Span = (0.06, 0.8)
    """DAB of granular cytoplasm."""
    solid_share: Span = (0.2, 0.9)
    """DAB of solid cytoplasm, relative to membranes."""
    solid_cells: Span = (0.0, 0.4)
    """Share of cells with solid cytoplasm."""
    clear_cells: Span = (0.0, 0.9)
    """Share of the others with cleared cytoplasm."""
    granularity: Span = (0.2, 0.8)
    """Standard deviation of the logarithm of DAB texture in cytoplasm."""
    haze: Span = (0.0, 0.3)
    """Share of the cytoplasm's DAB that is seen over a nucleus."""
    smear_share: Span = (0.0, 0.22)
    """Share of gland area where membranes lie flat in the section, so that all is brown or black."""
    smear_um: Span = (6.0, 22.0)
    """Size of such places."""
    fibre_od: Span = (0.0, 0.09)
    """Hematoxylin of stroma."""
    stroma_dab_od: Span = (0.0, 0.12)
    """DAB of stroma."""


STAINS = LatticeStainRanges()
"""Ranges of training and of the held-back lattices."""


def lattice_stains(canvas: Canvas, layout: LatticeLayout, mpp: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Draw hematoxylin and DAB of the whole field; float32, (H, W) each."""
    shape = layout.cell.shape
    texture = grain(shape, mpp, draw(rng, STAINS.granularity), rng)
    field = cv2.exp(
        np.float32(draw(rng, STAINS.patch_spread))
        * smooth_noise((shape[0], shape[1]), draw(rng, STAINS.patch_um) / mpp, rng)
    )
    level = draw(rng, STAINS.membrane_od)
    cytoplasm = _cytoplasm(layout, level, rng) * texture
    # Granules gather under the membrane.
    near = np.exp(-layout.border_um / np.float32(rng.uniform(1.0, 4.0)))
    cytoplasm *= 1.0 + np.float32(rng.uniform(0.0, 2.0)) * near
    cover = blur(canvas.cover, 0.3 / mpp)
    dab = blur(cytoplasm, 0.4 / mpp) * (1.0 - (1.0 - np.float32(draw(rng, STAINS.haze))) * cover)
    # Membranes run around nuclei, seldom across them.
    dab = np.maximum(dab, _membranes(layout, level, mpp, rng) * (1.0 - np.float32(rng.uniform(0.5, 1.0)) * cover))
    smear = smooth_noise((shape[0], shape[1]), draw(rng, STAINS.smear_um) / mpp, rng)
    bar = np.quantile(smear, 1.0 - draw(rng, STAINS.smear_share))
    smeared = np.clip((smear - bar) * 3.0, 0.0, 1.0) * layout.gland
    dab += smeared * np.float32(level * rng.uniform(0.4, 1.0)) * (0.7 + 0.3 * texture)
    dab *= field
    fibres = _fibres((shape[0], shape[1]), mpp, rng)
    stroma = blur((~layout.gland).astype(np.float32), 0.5 / mpp)
    hematoxylin = canvas.nuclear_od + np.float32(draw(rng, STAINS.fibre_od)) * fibres * stroma * (1.0 - cover)
    hematoxylin += np.float32(rng.uniform(0.0, 0.06)) * (1.0 - stroma) * (1.0 - cover) * texture
    dab += np.float32(draw(rng, STAINS.stroma_dab_od, 2.0)) * fibres * stroma
    return hematoxylin.astype(np.float32), np.asarray(dab, np.float32)


def _fibres(shape: tuple[int, int], mpp: float, rng: np.random.Generator) -> Plane:
    """Return streaks of mean about 1: crests of noise whose lumps are several times as long as wide."""
    length = float(rng.uniform(2.0, 5.0))
    long, thin = (round(side * factor) for side, factor in zip(shape, (1.0, 1.0 / length), strict=True))
    streaks = cv2.resize(smooth_noise((long, thin), 2.2 / mpp, rng), shape[::-1], interpolation=cv2.INTER_CUBIC)
    crests = np.exp(-np.square(2.0 * streaks)) + 0.5 * np.clip(smooth_noise(shape, 9.0 / mpp, rng), -0.6, 2.0)
    turned = crests if rng.random() < 0.5 else crests.T  # noqa: PLR2004
    return np.asarray(np.clip(turned, 0.0, 2.5) / max(float(np.clip(turned, 0.0, 2.5).mean()), 1e-3), np.float32)


def _cytoplasm(layout: LatticeLayout, level: float, rng: np.random.Generator) -> Plane:
    """Return DAB OD of each cell's cytoplasm: clear, granular or solid."""
    n = len(layout.seeds_um) + 1
    od = rng.uniform(*STAINS.granular_od, n) * draw(rng, (0.3, 1.0))
    clear = rng.random(n) < draw(rng, STAINS.clear_cells)
    od[clear] = draw(rng, STAINS.clear_od) * rng.uniform(0.3, 1.5, int(clear.sum()))
    solid = rng.random(n) < draw(rng, STAINS.solid_cells)
    od[solid] = level * rng.uniform(*STAINS.solid_share, int(solid.sum()))
    od[0] = 0.0
    return np.asarray(od[layout.cell], np.float32)


def _membranes(layout: LatticeLayout, level: float, mpp: float, rng: np.random.Generator) -> Plane:
    """Return DAB OD of the lines between cells and around glands, uneven in width and strength."""
    shape = (layout.cell.shape[0], layout.cell.shape[1])
    width_um = draw(rng, STAINS.membrane_um)
    sigma_um = 0.425 * width_um * np.maximum(1.0 + 0.4 * smooth_noise(shape, 5.0 / mpp, rng), 0.35)
    line = cv2.exp(-0.5 * np.square(layout.border_um / sigma_um.astype(np.float32)))
    gain = np.clip(1.0 + rng.uniform(0.0, 0.6) * smooth_noise(shape, 5.0 / mpp, rng), 0.0, 1.6)
    at_rim = np.exp(-layout.rim_um / np.float32(2.0))
    gain *= 1.0 - at_rim + np.float32(draw(rng, STAINS.rim_gain)) * at_rim
    return np.asarray(np.float32(level) * line * gain * layout.gland, np.float32)
