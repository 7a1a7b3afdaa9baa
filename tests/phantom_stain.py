"""Stain and light of a phantom: maps of optical density from cells, and the picture that a scanner makes of them.

References
----------
Ruifrok and Johnston (2001), Anal Quant Cytol Histol 23:291, for the stain vectors and the optical density model.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phantom_cells import Layout, Outlines, smooth_noise
from phantom_raster import Raster
from phantom_spec import PhantomSpec

HEMATOXYLIN = (0.65, 0.70, 0.29)
DAB = (0.27, 0.57, 0.78)


def draw_hematoxylin(
    rng: np.random.Generator,
    spec: PhantomSpec,
    layout: Layout,
    outlines: Outlines,
    raster: Raster,
    tissue: NDArray[np.bool_],
    mpp: float,
) -> NDArray[np.float32]:
    """Map of hematoxylin OD: fibres, cytoplasm, nuclei with chromatin, rim and nucleoli."""
    shape = raster.cell_labels.shape
    low, high = spec.stroma_hematoxylin_od
    fibre = _fibres(rng, layout, shape, mpp) if high > low else np.zeros(shape, np.float32)
    background = (low + (high - low) * fibre) * tissue
    count = len(outlines.x_um)
    cytoplasm_od = _lookup(rng.uniform(*spec.cytoplasm_hematoxylin_od, count))
    nucleus_od = rng.uniform(*spec.nucleus_hematoxylin_od, count)
    _, top = spec.nucleus_hematoxylin_od
    dark = outlines.kind == "lymphocyte"
    nucleus_od[dark] = top * rng.uniform(0.8, 1.05, int(dark.sum()))
    texture = spec.chromatin_texture
    cytoplasm = cytoplasm_od[raster.cell_labels]
    if texture > 0:
        cytoplasm = cytoplasm * (1 + texture * np.clip(smooth_noise(rng, *shape, 1.2 / mpp, octaves=2), -2.5, 2.5))
    drawn = np.where(raster.cell_labels > 0, cytoplasm, background)
    chromatin = np.ones(shape, np.float32)
    if texture > 0:
        chromatin += texture * np.clip(smooth_noise(rng, *shape, 1.6 / mpp, octaves=3), -2.2, 2.5)
        chromatin += 0.35 * np.exp(np.minimum(raster.nucleus_distance_um, 0) / 0.5)
        _add_nucleoli(rng, outlines, chromatin, mpp)
    chromatin *= np.where(raster.double, np.float32(1.5), np.float32(1.0))
    inside = raster.nucleus_labels
    mean = label_means(inside, chromatin, count)
    level = _lookup(nucleus_od / np.nan_to_num(mean, nan=1.0))
    if not spec.antialias:
        return np.where(inside > 0, level[inside] * chromatin, drawn).astype(np.float32)
    cover = np.clip(0.5 - raster.nucleus_distance_um / 0.5, 0, 1)
    return (drawn + cover * (level[raster.nearest] * chromatin - drawn)).astype(np.float32)


def _fibres(rng: np.random.Generator, layout: Layout, shape: tuple[int, int], mpp: float) -> NDArray[np.float32]:
    """Texture of wavy fibres between 0 and 1."""
    along = cv2.resize(layout.fibre_x, shape[::-1], interpolation=cv2.INTER_LINEAR)
    across = cv2.resize(layout.fibre_y, shape[::-1], interpolation=cv2.INTER_LINEAR)
    total = np.zeros(shape, np.float32)
    for long_um, thick_um, weight in ((20.0, 0.9, 1.1), (45.0, 3.5, 1.0), (5.0, 0.6, 0.8)):
        noise = rng.standard_normal((1024, 1024), dtype=np.float32)
        total += weight * cv2.remap(
            noise,
            along * np.float32(1 / long_um),
            across * np.float32(1 / thick_um),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
    total += 0.5 * smooth_noise(rng, *shape, 1.0 / mpp, octaves=2)
    return 0.5 + 0.5 * np.tanh(0.75 * total - 0.25)


def _add_nucleoli(rng: np.random.Generator, outlines: Outlines, chromatin: NDArray[np.float32], mpp: float) -> None:
    """Darken one or two spots in most tumour nuclei."""
    for cell in np.flatnonzero(outlines.kind == "tumor"):
        size = float(np.sqrt(np.mean(outlines.nucleus_um[cell] ** 2)))
        for _ in range(rng.integers(0, 3)):
            offset = rng.normal(0, 0.3 * size, 2)
            radius = rng.uniform(0.45, 0.8)
            x, y = (outlines.x_um[cell] + offset[0]) / mpp, (outlines.y_um[cell] + offset[1]) / mpp
            reach = int(np.ceil(2.5 * radius / mpp))
            top, left = max(int(y) - reach, 0), max(int(x) - reach, 0)
            window = chromatin[top : int(y) + reach + 1, left : int(x) + reach + 1]
            rows, columns = np.ogrid[: window.shape[0], : window.shape[1]]
            squared = ((rows + top + 0.5 - y) ** 2 + (columns + left + 0.5 - x) ** 2) * mpp**2
            window += 0.9 * np.exp(-squared / (2 * (0.6 * radius) ** 2))


def _cell_dab_od(rng: np.random.Generator, spec: PhantomSpec, outlines: Outlines) -> NDArray[np.float64]:
    """DAB OD that each cell was meant to have; tumour cells follow the law of the spec."""
    od = np.zeros(len(outlines.x_um))
    dotted = outlines.kind == "lymphocyte"
    od[dotted] = rng.uniform(*spec.lymphocyte_dab_od, int(dotted.sum()))
    tumor = np.flatnonzero(outlines.kind == "tumor")
    count = len(tumor)
    if spec.staining == "negative" or count == 0:
        return od
    if spec.dab_od_at is not None:
        od[tumor] = spec.dab_od_at(rng, outlines.x_um[tumor], outlines.y_um[tumor])
        return od
    patch = smooth_noise(rng, 256, 256, 24)
    extent = max(spec.width_px, spec.height_px) * spec.mpp
    rows = np.clip(outlines.y_um[tumor] / extent * 256, 0, 255).astype(np.intp)
    columns = np.clip(outlines.x_um[tumor] / extent * 256, 0, 255).astype(np.intp)
    drive = spec.patchiness * patch[rows, columns] + (1 - spec.patchiness) * rng.standard_normal(count)
    rank = np.empty(count)
    rank[np.argsort(drive)] = (np.arange(count) + 0.5) / count
    ends = np.concatenate([[0.0], np.cumsum(spec.dab_od_shares) / np.sum(spec.dab_od_shares)])
    if spec.dab_od_law == "continuous":
        od[tumor] = np.interp(rank, ends, spec.dab_od_edges)
    else:
        level = np.clip(np.searchsorted(ends, rank, side="right") - 1, 0, len(spec.dab_od_levels) - 1)
        jitter = spec.dab_od_jitter * rng.uniform(-1, 1, count)
        od[tumor] = np.maximum(np.asarray(spec.dab_od_levels)[level] + jitter, 0)
    return od


def draw_dab(
    rng: np.random.Generator,
    spec: PhantomSpec,
    outlines: Outlines,
    raster: Raster,
    tissue: NDArray[np.bool_],
    mpp: float,
) -> NDArray[np.float32]:
    """Map of DAB OD: each compartment of each cell at its level, textured, over a faint background."""
    shape = raster.cell_labels.shape
    count = len(outlines.x_um)
    od = _cell_dab_od(rng, spec, outlines)
    share = rng.uniform(*spec.nucleus_dab_share, count)
    cytoplasm_mask = (raster.cell_labels > 0) & (raster.nucleus_labels == 0)
    band = label_means(np.where(cytoplasm_mask, raster.cell_labels, 0), raster.membrane, count)
    contrast, rest = spec.membrane_contrast, spec.cytoplasm_dab_share
    levels = {
        "cytoplasm": (share * od, od, od),
        "membrane": (share * rest * od, rest * od, od),
        "membrane_cytoplasm": (share * od, *(np.outer([1, contrast], od / (1 + (contrast - 1) * np.nan_to_num(band))))),
        "nucleus": (od, 0 * od, 0 * od),
        "all": (od, od, od),
        "negative": (share * od, od, od),
    }[spec.staining]
    lymphocyte = outlines.kind == "lymphocyte"
    nucleus_od, cytoplasm_od, membrane_od = (
        _lookup(np.where(lymphocyte, (factor * od), level))
        for factor, level in zip((0.15, 1.0, 1.0), levels, strict=True)
    )
    drawn = cytoplasm_od[np.where(cytoplasm_mask, raster.cell_labels, 0)]
    drawn = np.where(raster.membrane, membrane_od[raster.cell_labels], drawn)
    drawn = np.where(raster.nucleus_labels > 0, nucleus_od[raster.nucleus_labels], drawn)
    if spec.dab_texture > 0:
        grain = smooth_noise(rng, *shape, 1.8 / mpp, octaves=2) + smooth_noise(rng, *shape, 5 / mpp)
        grain = np.maximum(1 + np.float32(spec.dab_texture / np.sqrt(2)) * grain, np.float32(0.1))
        mean = label_means(np.where(cytoplasm_mask, raster.cell_labels, 0), grain, count)
        drawn = drawn * grain / _lookup(np.nan_to_num(mean, nan=1.0), outside=1.0)[raster.cell_labels]
    if spec.dab_background_od > 0:
        haze = smooth_noise(rng, *shape, 30 / mpp) + 0.6 * smooth_noise(rng, *shape, 1.5 / mpp)
        drawn = drawn + spec.dab_background_od * np.clip(0.5 + 0.25 * haze, 0, 1) * tissue
    return drawn.astype(np.float32)


def stain_vectors(spec: PhantomSpec) -> NDArray[np.float64]:
    """Unit vectors of hematoxylin and DAB, (2, 3), turned as the spec says."""
    pair = np.array([HEMATOXYLIN, DAB])
    pair /= np.linalg.norm(pair, axis=1, keepdims=True)
    azimuth = np.deg2rad(spec.turn_azimuth_deg)
    turned = []
    for own, other, degrees in ((0, 1, spec.hematoxylin_turn_deg), (1, 0, spec.dab_turn_deg)):
        across = pair[other] - (pair[other] @ pair[own]) * pair[own]
        across /= np.linalg.norm(across)
        normal = np.cross(pair[own], across)
        direction = np.cos(azimuth) * across + np.sin(azimuth) * normal
        angle = np.deg2rad(degrees)
        turned.append(np.cos(angle) * pair[own] + np.sin(angle) * direction)
    return np.array(turned)


def photograph(
    rng: np.random.Generator,
    spec: PhantomSpec,
    hematoxylin: NDArray[np.float32],
    dab: NDArray[np.float32],
    vectors: NDArray[np.float64],
    finer: int,
) -> NDArray[np.uint8]:
    """Turn OD maps into the picture that a scanner stores."""
    rgb = np.empty((spec.height_px, spec.width_px, 3), np.float32)
    light = _illumination(rng, spec)
    for channel in range(3):
        od = hematoxylin * np.float32(vectors[0, channel]) + dab * np.float32(vectors[1, channel])
        passed = np.exp(od * np.float32(-np.log(10)))
        if spec.blur_um > 0:
            passed = cv2.GaussianBlur(passed, (0, 0), spec.blur_um / spec.mpp * finer, borderType=cv2.BORDER_REFLECT)
        if finer > 1:
            passed = cv2.resize(passed, (spec.width_px, spec.height_px), interpolation=cv2.INTER_AREA)
        rgb[..., channel] = spec.white[channel] * light * passed
    if spec.noise_gray > 0:
        spread = spec.noise_gray * np.sqrt(0.15 + 0.85 * np.clip(rgb, 0, 255) / 255)
        rgb += spread * rng.standard_normal(rgb.shape, dtype=np.float32)
    picture = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    if spec.jpeg_quality is None:
        return picture
    with io.BytesIO() as buffer:
        Image.fromarray(picture).save(buffer, "JPEG", quality=spec.jpeg_quality, subsampling="4:2:0")
        with Image.open(buffer) as stored:
            return np.asarray(stored.convert("RGB"))


def _illumination(rng: np.random.Generator, spec: PhantomSpec) -> NDArray[np.float32]:
    """Relative brightness of the field, at most 1."""
    y, x = np.mgrid[-1 : 1 : spec.height_px * 1j, -1 : 1 : spec.width_px * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (1 + (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(2)) / 2
    return (1 - spec.illumination * (0.6 * slope + 0.4 * (x**2 + y**2) / 2)).astype(np.float32)


def label_means(labels: NDArray[np.int32], values: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Mean of `values` for labels 1..count; NaN where a label has no pixel."""
    flat = labels.ravel()
    area = np.bincount(flat, minlength=count + 1)[1:]
    total = np.bincount(flat, values.ravel().astype(np.float64), count + 1)[1:]
    return np.divide(total, area, out=np.full(count, np.nan), where=area > 0)


def _lookup(values: NDArray[np.float64], outside: float = 0.0) -> NDArray[np.float32]:
    """Table indexed by label, with the value outside cells first."""
    return np.concatenate([[outside], values]).astype(np.float32)
