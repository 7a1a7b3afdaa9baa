"""Nuclei of a lattice: which cells have one in the section, where it lies, and the nuclei between glands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.training.donors import Donor, donor_axes, donor_prototypes
from slidescore.training.lattice_layout import LatticeLayout
from slidescore.training.nucleus_drawing import Canvas, Placement, draw_nucleus
from slidescore.training.procedural_nuclei import Chromatin, procedural_prototypes
from slidescore.training.ranges import Span
from slidescore.training.texture import blur, draw

DONOR_POOL, PROTOTYPES_A_KIND = 24, 6
"""Real nuclei, and procedural ones of each chromatin, that a field chooses from."""
WALL_UM = 2.5
"""Middles of nuclei stay this far inside the rim of their gland."""
STROMAL_NUCLEI_PER_MM2: Span = (300.0, 4500.0)
"""Nuclei proposed between glands; those that do not fit are left out."""


@dataclass(frozen=True, slots=True)
class LatticeNucleusRanges:
    """Ranges of nuclei, tuned by eye; ODs are decadic, of unit stain vectors."""

    nucleated: Span = (0.25, 0.85)
    """Share of cells whose nucleus lies in the section."""
    basal: Span = (0.0, 0.32)
    """How far nuclei are pushed from the middle of the cell towards the rim of the gland, in distances of cells."""
    minor_um: Span = (4.2, 7.3)
    """Shorter axis of nuclei, mean of a field."""
    aspect: Span = (1.0, 1.9)
    """Longer over shorter axis."""
    squeezed_share: Span = (0.0, 0.4)
    """Share of nuclei pressed flat against the wall."""
    squeezed_aspect: Span = (1.8, 3.2)
    """Aspect of those."""
    hematoxylin_od: Span = (0.09, 0.5)
    """Mean hematoxylin OD of nuclei in glands."""
    stroma_hematoxylin_od: Span = (0.18, 0.8)
    """The same of nuclei between them."""


NUCLEI = LatticeNucleusRanges()
"""Ranges of training and of the held-back lattices."""


@dataclass(frozen=True, slots=True)
class LatticeNuclei:
    """What is drawn: places in um, axes in um, direction in radians, OD and type of each nucleus; (n,) each."""

    x_um: NDArray[np.float64]
    y_um: NDArray[np.float64]
    major_um: NDArray[np.float64]
    minor_um: NDArray[np.float64]
    angle: NDArray[np.float64]
    od: NDArray[np.float64]
    type: NDArray[np.int8]


def nuclei_in_glands(layout: LatticeLayout, mpp: float, rng: np.random.Generator) -> LatticeNuclei:
    """Give some cells a nucleus, towards the rim of the gland, no larger than its cell allows."""
    side = layout.cell.shape[0]
    at = np.rint(layout.seeds_um / mpp).astype(int)
    inside = (at >= 0).all(axis=1) & (at < side).all(axis=1)
    chosen = np.flatnonzero(inside & (rng.random(len(at)) < draw(rng, NUCLEI.nucleated)))
    chosen = chosen[layout.gland[at[chosen, 1], at[chosen, 0]]]
    n = len(chosen)
    depth = blur(layout.rim_um, 3.0 / mpp)
    slope = np.stack([np.gradient(depth, axis=1), np.gradient(depth, axis=0)], axis=-1)[at[chosen, 1], at[chosen, 0]]
    outward = -slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    push_um = draw(rng, NUCLEI.basal) * layout.pitch_um * rng.uniform(0.4, 1.2, n)
    # None is pushed through the rim: beside a gland it would look like a cell of the stroma.
    push_um = np.minimum(push_um, np.maximum(layout.rim_um[at[chosen, 1], at[chosen, 0]] - WALL_UM, 0.0))
    place = layout.seeds_um[chosen] + outward * push_um[:, None]
    squeezed = rng.random(n) < draw(rng, NUCLEI.squeezed_share)
    size_um = min(draw(rng, NUCLEI.minor_um), 0.62 * layout.pitch_um) * np.exp(0.15 * rng.standard_normal(n))
    aspect = np.where(squeezed, rng.uniform(*NUCLEI.squeezed_aspect, n), rng.uniform(*NUCLEI.aspect, n))
    # Flattened nuclei lie along the wall; the others as they like.
    along = np.arctan2(outward[:, 1], outward[:, 0]) + np.pi / 2 + 0.3 * rng.standard_normal(n)
    od = draw(rng, NUCLEI.hematoxylin_od, 1.4) * np.exp(0.22 * rng.standard_normal(n))
    return LatticeNuclei(
        x_um=place[:, 0],
        y_um=place[:, 1],
        major_um=np.minimum(size_um * np.sqrt(aspect) * 1.1, 0.95 * layout.pitch_um),
        minor_um=size_um / np.sqrt(np.maximum(aspect / 1.2, 1.0)),
        angle=np.where(squeezed, along, rng.uniform(0.0, np.pi, n)),
        od=od,
        type=np.full(n, TUMOR, np.int8),
    )


def nuclei_in_stroma(layout: LatticeLayout, mpp: float, rng: np.random.Generator) -> LatticeNuclei:
    """Put spindle and round nuclei between glands, along the nearest rim, where there is room."""
    side = layout.cell.shape[0]
    n = rng.poisson(draw(rng, STROMAL_NUCLEI_PER_MM2, 1.5) * (side * mpp / 1000) ** 2)
    outside = (~layout.gland).astype(np.uint8)
    room_um = cv2.distanceTransform(outside, cv2.DIST_L2, 5) * mpp if layout.gland.any() else np.full(
        outside.shape, 1e3, np.float32
    )  # fmt: skip
    slope_x, slope_y = (np.gradient(blur(room_um.astype(np.float32), 2.0 / mpp), axis=axis) for axis in (1, 0))
    at = rng.integers(0, side, (n, 2))
    round_cell = rng.random(n) < rng.choice([0.05, 0.4, 0.9], p=[0.5, 0.35, 0.15])
    minor = np.where(round_cell, rng.uniform(4.3, 6.2, n), rng.uniform(1.8, 3.6, n))
    aspect = np.where(round_cell, rng.uniform(1.0, 1.25, n), rng.uniform(1.8, 4.5, n))
    x, y = at[:, 0], at[:, 1]
    x_um, y_um = (at.T * mpp).astype(np.float64)
    fits = room_um[y, x] > 0.5 * minor
    level = draw(rng, NUCLEI.stroma_hematoxylin_od)
    od = level * np.exp(0.25 * rng.standard_normal(n)) * np.where(round_cell, 1.15, 1.0)
    nuclei = LatticeNuclei(
        x_um=x_um,
        y_um=y_um,
        major_um=minor * aspect,
        minor_um=minor,
        angle=np.arctan2(slope_y[y, x], slope_x[y, x]) + np.pi / 2 + 0.25 * rng.standard_normal(n),
        od=od,
        type=np.where(round_cell, LYMPHOCYTE, STROMAL).astype(np.int8),
    )
    kept: list[int] = []
    for k in np.flatnonzero(fits):
        away = np.hypot(nuclei.x_um[kept] - nuclei.x_um[k], nuclei.y_um[kept] - nuclei.y_um[k])
        if not kept or (away > 0.4 * (nuclei.major_um[kept] + nuclei.major_um[k])).all():
            kept.append(int(k))
    return _take(nuclei, np.array(kept, np.intp))


def _take(nuclei: LatticeNuclei, chosen: NDArray[np.intp]) -> LatticeNuclei:
    return LatticeNuclei(*(getattr(nuclei, name)[chosen] for name in LatticeNuclei.__slots__))


def join(first: LatticeNuclei, second: LatticeNuclei) -> LatticeNuclei:
    """Put two lists of nuclei one after the other."""
    return LatticeNuclei(
        *(np.concatenate([getattr(first, name), getattr(second, name)]) for name in LatticeNuclei.__slots__)
    )


def draw_lattice_nuclei(
    canvas: Canvas, nuclei: LatticeNuclei, donors: Sequence[Donor], mpp: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw all nuclei, nucleus k with label k + 1; return the pixels of each, those beyond the crop included."""
    kinds = {
        TUMOR: (Chromatin.GRANULAR, Chromatin.VESICULAR),
        STROMAL: (Chromatin.SPINDLE,),
        LYMPHOCYTE: (Chromatin.LYMPHOID,),
    }
    bank = procedural_prototypes(np.repeat(np.arange(len(Chromatin), dtype=np.int8), PROTOTYPES_A_KIND), mpp, rng)
    layers = list(bank.layers)
    pool = [donors[k] for k in rng.integers(0, len(donors), DONOR_POOL)] if donors else []
    pool = [donor for donor in pool if float(np.divide(*donor_axes(donor)[1])) < NUCLEI.aspect[1]]
    layers += list(donor_prototypes(pool, mpp).layers) if pool else []
    full_px = np.zeros(len(nuclei.x_um), np.int64)
    for k in range(len(full_px)):
        chromatin = kinds[int(nuclei.type[k])]
        index = PROTOTYPES_A_KIND * int(chromatin[rng.integers(len(chromatin))]) + int(rng.integers(PROTOTYPES_A_KIND))
        if pool and nuclei.type[k] == TUMOR and rng.random() < 0.5:  # noqa: PLR2004
            index = len(bank.layers) + int(rng.integers(len(pool)))
        place = Placement(
            x_px=nuclei.x_um[k] / mpp,
            y_px=nuclei.y_um[k] / mpp,
            semi_major_px=0.5 * nuclei.major_um[k] / mpp,
            semi_minor_px=0.5 * nuclei.minor_um[k] / mpp,
            angle=nuclei.angle[k],
            mean_od=nuclei.od[k],
            edge_px=max(rng.uniform(0.4, 1.0) / mpp, 0.5),
        )
        full_px[k] = draw_nucleus(canvas, layers[index], bank.semi_axis_px, place, k + 1)
    return full_px
