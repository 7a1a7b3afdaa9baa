"""Slides that must get no call: H&E, fluorescence, nothing on the glass, no stain, a red chromogen; and valid ones.

The geometry is that of a phantom (`phantom.py`); stain and light are drawn here with vectors of their own. Drawing
cells takes most of the time, so `draw_fields` lays out a few fields and `draw_slide` stains one of
them as often as wanted.

References
----------
Ruifrok and Johnston (2001), Anal Quant Cytol Histol 23:291, for H, DAB, eosin and AEC as published with their plugin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from phantom import PhantomSpec, slide_spec
from phantom import _cell_plans as cell_plans
from phantom import _raster as raster_of
from phantom import _regions as regions_of
from phantom_cells import plan_cells, plan_layout, smooth_noise
from phantom_stain import draw_dab, draw_hematoxylin, photograph, stain_vectors

Wrong = Literal["h&e", "fluorescence", "empty", "unstained", "aec"]
Valid = Literal["negative", "weak", "ordinary", "strong", "turned"]
WRONG_KINDS: tuple[Wrong, ...] = get_args(Wrong)
VALID_KINDS: tuple[Valid, ...] = get_args(Valid)

Map = NDArray[np.float32]
Rgb = NDArray[np.uint8]

EOSINS = ((0.07, 0.99, 0.11), (0.09, 0.95, 0.28), (0.13, 0.90, 0.42), (0.20, 0.88, 0.43))
"""Eosin: as published, and three pinks as scanners show it."""
REDS = ((0.2743, 0.6796, 0.6803), (0.20, 0.67, 0.71), (0.12, 0.66, 0.74), (0.10, 0.72, 0.69))
"""AEC: as published with the plugin (8.7 degrees from DAB), and three redder ones."""


@dataclass(frozen=True)
class Field:
    """One field of cells as maps of density at unit strength, and the share of a pixel in tissue; float32, (H, W)."""

    hematoxylin: Map
    dab: Map
    in_cell: NDArray[np.bool_]
    tissue: NDArray[np.bool_]
    spec: PhantomSpec


def draw_fields(n: int, seed: int = 0, *, side_px: int = 640) -> list[Field]:
    """Lay out `n` fields on glass at 0.5 um/px whose DAB lies in different compartments."""
    stainings = ("cytoplasm", "membrane_cytoplasm", "nucleus", "membrane")
    return [
        _draw_field(
            slide_spec(
                seed * 100 + number,
                mpp=0.5,
                side_px=side_px,
                tissue_fraction=0.55 + 0.05 * (number % 4),
                staining=stainings[number % len(stainings)],
                dab_background_od=0.0,
            )
        )
        for number in range(n)
    ]


def _draw_field(spec: PhantomSpec) -> Field:
    rng = np.random.default_rng(spec.seed)
    width_um, height_um = spec.width_px * spec.mpp, spec.height_px * spec.mpp
    layout = plan_layout(
        rng, width_um=width_um, height_um=height_um, tissue=spec.tissue, tissue_fraction=spec.tissue_fraction,
        stroma_fraction=spec.stroma_fraction, nest_um=spec.nest_um,
    )  # fmt: skip
    outlines = plan_cells(rng, layout, cell_plans(spec), width_um=width_um, height_um=height_um)
    raster = raster_of(spec, outlines, 1)
    tissue, _ = regions_of(rng, layout, raster, spec.mpp)
    hematoxylin = draw_hematoxylin(rng, spec, layout, outlines, raster, tissue, spec.mpp)
    dab = draw_dab(rng, spec, outlines, raster, tissue, spec.mpp)
    in_cell = (raster.cell_labels > 0) & (raster.nucleus_labels == 0)
    return Field(hematoxylin, dab, in_cell, tissue, spec)


def draw_slide(kind: Wrong | Valid, field: Field, seed: int) -> Rgb:
    """Stain and photograph a field; uint8, (H, W, 3), RGB, at 0.5 um/px. The same seed gives the same pixels."""
    rng = np.random.default_rng([seed, 31])
    if kind == "fluorescence":
        return _fluorescence(rng, field)
    if kind == "empty":
        return _empty(rng, field)
    spec = replace(
        field.spec, white=_white(rng), illumination=rng.uniform(0, 0.04), blur_um=rng.uniform(0.3, 0.7),
        noise_gray=rng.uniform(0.5, 2.5), jpeg_quality=int(rng.integers(70, 95)),
    )  # fmt: skip
    if kind == "h&e":
        return _h_and_e(rng, field, spec)
    if kind == "unstained":
        return _unstained(rng, field, spec)
    if kind == "aec":
        pair = np.array([_near(rng, (0.65, 0.70, 0.29), 3.0), REDS[int(rng.integers(len(REDS)))]])
        blue, red = rng.uniform(0.6, 1.3) * field.hematoxylin, rng.uniform(0.6, 1.6) * field.dab
        return _photograph(rng, spec, blue, red, pair)
    return _valid(rng, kind, field, spec)


def _valid(rng: np.random.Generator, kind: Valid, field: Field, spec: PhantomSpec) -> Rgb:
    """DAB with hematoxylin: no, weak, ordinary or strong DAB, or any of them with vectors turned by up to 8 degrees."""
    turns: dict[str, Any] = {"turn_azimuth_deg": rng.uniform(0, 180)}
    reach = 8.0 if kind == "turned" else 3.0
    turns |= {name: rng.uniform(-reach, reach) for name in ("hematoxylin_turn_deg", "dab_turn_deg")}
    strengths = {"negative": 0.0, "weak": 0.35, "ordinary": 1.0, "strong": 2.0}
    strength = strengths[str(rng.choice(list(strengths))) if kind == "turned" else kind]
    counterstain = rng.uniform(0.35, 0.6) if kind == "weak" else rng.uniform(0.6, 1.4)
    haze = np.clip(smooth_noise(rng, *field.dab.shape, 60), 0, 1) * field.tissue * rng.uniform(0, 0.04)
    pair = stain_vectors(replace(spec, **turns))
    return _photograph(rng, spec, counterstain * field.hematoxylin, strength * field.dab + haze, pair)


def _h_and_e(rng: np.random.Generator, field: Field, spec: PhantomSpec) -> Rgb:
    """Purple nuclei, pink cytoplasm and stroma; in a third of the slides hardly any eosin."""
    strength = rng.uniform(0.1, 0.2) if rng.random() < 1 / 3 else rng.uniform(0.2, 0.5)
    grain = 1 + 0.25 * np.clip(smooth_noise(rng, *field.dab.shape, 4, octaves=3), -2, 2)
    share = np.where(field.in_cell, rng.uniform(0.5, 1.0), rng.uniform(0.8, 1.4)) * field.tissue
    eosin = (strength * share * grain).astype(np.float32)
    nuclei = rng.uniform(1.2, 2.2) * field.hematoxylin
    pair = np.array([_near(rng, (0.65, 0.70, 0.29), 5.0), EOSINS[int(rng.integers(len(EOSINS)))]])
    return _photograph(rng, spec, nuclei, eosin, pair)


def _unstained(rng: np.random.Generator, field: Field, spec: PhantomSpec) -> Rgb:
    """Tissue that only scatters a little light, grey or faintly brown, more at edges."""
    edge = np.abs(cv2.Laplacian(cv2.GaussianBlur(field.hematoxylin, (0, 0), 1.5), cv2.CV_32F))
    relief = np.minimum(edge / max(float(edge.max()), 1e-6), 1.0) * rng.uniform(0.0, 0.04)
    density = rng.uniform(0.01, 0.035) * field.tissue * (1 + 0.3 * smooth_noise(rng, *field.dab.shape, 8)) + relief
    grey = np.array([[1.0, 1.0, 1.0], [0.8, 1.0, 1.2]])[int(rng.integers(2))]
    return _photograph(rng, spec, density.astype(np.float32), 0 * field.dab, np.array([grey, (1.0, 1.0, 1.0)]))


def _fluorescence(rng: np.random.Generator, field: Field) -> Rgb:
    """Signals on black: blue nuclei, a marker in green or red, some of it as one grey channel."""
    nuclei, marker = field.hematoxylin / 0.5, field.dab / 0.8
    dapi, green, red, white, none = (0.1, 0.2, 1.0), (0.1, 1.0, 0.2), (1.0, 0.2, 0.1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    colours = [(dapi, green), (dapi, red), (white, none)]
    blue, other = colours[int(rng.integers(len(colours)))]
    light = rng.uniform(80, 220) * nuclei[..., None] * np.array(blue)
    light += rng.uniform(40, 200) * marker[..., None] * np.array(other)
    light += rng.uniform(0, 12) + rng.uniform(0, 15) * field.tissue[..., None]
    light = cv2.GaussianBlur(light.astype(np.float32), (0, 0), 1.0)
    light = light + rng.uniform(0.5, 3) * rng.standard_normal(light.shape)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _empty(rng: np.random.Generator, field: Field) -> Rgb:
    """Glass with dust, a hair or a scratch, and nothing else."""
    height, width = field.dab.shape
    shade = np.ones((height, width), np.float32)
    for _ in range(int(rng.integers(0, 12))):
        place = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(shade, place, int(rng.integers(1, 9)), float(rng.uniform(0.2, 0.9)), -1, cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 3))):
        ends = rng.integers(0, min(height, width), 4).tolist()
        darkness, width_px = float(rng.uniform(0.5, 0.95)), int(rng.integers(1, 4))
        cv2.line(shade, (ends[0], ends[1]), (ends[2], ends[3]), darkness, width_px, cv2.LINE_AA)
    slope = 1 - rng.uniform(0, 0.03) * np.linspace(0, 1, width, dtype=np.float32)
    light = np.array(_white(rng)) * (cv2.GaussianBlur(shade, (0, 0), 1.0) * slope)[..., None]
    return np.clip(np.rint(light + rng.uniform(0.5, 2.5) * rng.standard_normal(light.shape)), 0, 255).astype(np.uint8)


def _photograph(rng: np.random.Generator, spec: PhantomSpec, first: Map, second: Map, pair: NDArray[np.float64]) -> Rgb:
    unit = pair / np.linalg.norm(pair, axis=1, keepdims=True)
    return photograph(rng, spec, first.astype(np.float32), second.astype(np.float32), unit, 1)


def _near(rng: np.random.Generator, vector: tuple[float, float, float], degrees: float) -> NDArray[np.float64]:
    """Turn a vector by up to so many degrees in any direction."""
    unit = np.array(vector) / np.linalg.norm(vector)
    away = np.cross(unit, rng.standard_normal(3))
    angle = np.deg2rad(rng.uniform(0, degrees))
    return np.cos(angle) * unit + np.sin(angle) * away / np.linalg.norm(away)


def _white(rng: np.random.Generator) -> tuple[float, float, float]:
    """Clear glass between 220 and 255, tinted by up to 6 grey levels."""
    level = rng.uniform(220, 255)
    red, green, blue = np.minimum(level - rng.uniform(0, 6, 3), 255.0)
    return float(red), float(green), float(blue)
