"""From a scene to a picture of it: H&E again, or immunohistochemistry with DAB in chosen places.

Nothing here moves a pixel: the picture lies exactly on the scene's nuclei.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.cells.types import TUMOR
from slidescore.training.dab import draw_pattern, draw_staining, paint, surroundings
from slidescore.training.photograph import (
    DAB_KINDS,
    EOSIN_KINDS,
    HEMATOXYLIN_KINDS,
    draw_vector,
    photograph,
    transmit,
)
from slidescore.training.ranges import SHEET, TRAINING, RenderRanges
from slidescore.training.scene import UNKNOWN_TYPE, Scene
from slidescore.training.territory import Territories, territories
from slidescore.training.texture import Plane, blur, draw, smooth_noise

__all__ = ["SHEET", "TRAINING", "RenderRanges", "StainMaps", "picture_of", "render_he", "render_ihc", "stain_maps"]

PALE_PATTERNS = ("sheet", "columnar")
"""Patterns whose nuclei are pale."""

GLASS_OD = 0.04
"""Summed OD of both stains, smoothed, below which there is glass."""

TISSUE_OD = 0.10
"""The same above which there is certainly tissue."""

FLAT_OD = 0.03
"""Median summed OD around nuclei below which a scene has lost its cytoplasm and stroma."""

NEAR_NUCLEI_UM = 14.0
"""In such a scene tissue is taken to reach this far beyond nuclei."""

HIGHEST_RELATIVE = 3.0
"""Highest hematoxylin OD relative to the nuclei; the rest is pigment."""

HIGHEST_GAIN = 4.5
"""Hematoxylin of a scene is multiplied by no more."""

HIGHEST_HEMATOXYLIN_OD = 1.4
"""No nucleus is darker."""

TYPICAL_NUCLEAR_OD = 0.5
"""Taken where a scene has no nuclei to measure."""


@dataclass(frozen=True, slots=True)
class StainMaps:
    """Stains of a rendering before the picture is taken.

    Attributes
    ----------
    hematoxylin_od, dab_od
        float32, (H, W).
    cell
        int32, (H, W); 0 or the nucleus whose cell this is.
    pattern
        Entry of `slidescore.training.ranges.PATTERNS`, or `lattice`.
    """

    hematoxylin_od: Plane
    dab_od: Plane
    cell: NDArray[np.int32]
    pattern: str


def render_ihc(scene: Scene, ranges: RenderRanges, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the scene as immunohistochemistry; uint8, (H, W, 3), RGB."""
    return picture_of(stain_maps(scene, ranges, rng), scene.mpp, ranges, rng)


def picture_of(maps: StainMaps, mpp: float, ranges: RenderRanges, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture of stains at `mpp` um/px, with vectors and optics of `ranges`; uint8, (H, W, 3), RGB."""
    vectors = [
        draw_vector(kinds, draw(rng, ranges.vector_turn_degrees, ranges.vector_turn_skew), rng)
        for kinds in (HEMATOXYLIN_KINDS, DAB_KINDS)
    ]
    return photograph(transmit([maps.hematoxylin_od, maps.dab_od], vectors), mpp, ranges, rng)


def render_he(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the scene as H&E with its strengths, hues and optics drawn anew; uint8, (H, W, 3), RGB."""
    ranges = TRAINING
    hematoxylin = scene.hematoxylin_od * np.float32(rng.uniform(0.5, 1.3))
    eosin = scene.eosin_od * np.float32(rng.uniform(0.4, 1.6))
    vectors = [
        draw_vector(kinds, draw(rng, ranges.vector_turn_degrees), rng) for kinds in (HEMATOXYLIN_KINDS[:1], EOSIN_KINDS)
    ]
    return photograph(transmit([hematoxylin, eosin], vectors), scene.mpp, ranges, rng)


def stain_maps(scene: Scene, ranges: RenderRanges, rng: np.random.Generator) -> StainMaps:
    """Return the stains of a rendering, without vectors, optics or noise."""
    pattern = draw_pattern(ranges, rng)
    staining = draw_staining(pattern, scene, ranges, rng)
    tissue, backdrop = _tissue(scene, rng)
    count = int(scene.types.shape[0])
    tumor = (scene.types == TUMOR) | ((scene.types == UNKNOWN_TYPE) & (rng.random(count) < 0.5))  # noqa: PLR2004
    if pattern == "sheet":
        tumor = np.ones(count, bool)
    tumor_um = draw(rng, ranges.sheet_radius_um if pattern == "sheet" else ranges.tumor_radius_um)
    other_um = draw(rng, ranges.other_radius_um)
    radius_um = np.where(tumor, tumor_um, min(other_um, tumor_um)) * rng.uniform(0.75, 1.25, size=count)
    reach_um = None
    if staining.columnar:
        reach_um = np.where(tumor, draw(rng, ranges.columnar_reach_um), 0.0) * rng.uniform(0.6, 1.2, size=count)
    areas = territories(
        scene,
        radius_um.astype(np.float32),
        None if reach_um is None else reach_um.astype(np.float32),
        draw(rng, ranges.border_jitter_um),
        draw(rng, ranges.rounding_um, 0.7),
        tissue,
        rng,
    )
    nuclear_od = _nuclear_od(scene)
    relative = np.minimum(scene.hematoxylin_od / np.float32(nuclear_od), np.float32(HIGHEST_RELATIVE))
    dab, clear = paint(staining, areas, relative, scene.mpp, ranges, rng)
    hematoxylin = _counterstain(scene, areas, relative, nuclear_od, backdrop, pattern, ranges, rng) * clear
    if staining.nucleus.any():
        much = np.minimum(staining.nucleus[scene.nuclei], 1.0) * areas.nucleus
        hematoxylin = hematoxylin * (1.0 - np.float32(draw(rng, ranges.hidden_hematoxylin)) * much)
    stroma = tissue * (areas.cell == 0) * np.clip(backdrop * 3.0, 0.0, 1.0)
    dab = surroundings(dab, tissue, backdrop, stroma.astype(np.float32), scene.mpp, ranges, rng)
    return StainMaps(np.asarray(hematoxylin, np.float32), dab, areas.cell, pattern)


def _tissue(scene: Scene, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Return where tissue is (0-1) and the OD of what lies between nuclei; float32, (H, W) each.

    Scenes without anything between their nuclei get fibres and grain there, lest they look like nuclei on glass.
    """
    both = scene.hematoxylin_od + scene.eosin_od
    mask = scene.nuclei > 0
    around = blur(mask.astype(np.float32), 4.0 / scene.mpp)
    beside = (around > 0.05) & ~mask  # noqa: PLR2004
    if beside.any() and float(np.median(both[beside])) < FLAT_OD:
        near = blur(mask.astype(np.float32), NEAR_NUCLEI_UM / scene.mpp)
        tissue = np.clip(near * 40.0, 0.0, 1.0)
        fibres = np.abs(smooth_noise(mask.shape, 3.0 / scene.mpp, rng)) + 0.5 * np.abs(
            smooth_noise(mask.shape, 1.0 / scene.mpp, rng)
        )
        lumps = np.clip(1.0 + 0.4 * smooth_noise(mask.shape, 20.0 / scene.mpp, rng), 0.2, 2.0)
        return tissue, (0.2 * tissue * lumps * fibres + scene.eosin_od).astype(np.float32)
    soft = blur(both, 1.3 / scene.mpp)
    tissue = np.clip((soft - GLASS_OD) / (TISSUE_OD - GLASS_OD), 0.0, 1.0)
    return np.maximum(tissue, mask).astype(np.float32), scene.eosin_od


def _nuclear_od(scene: Scene) -> float:
    """Return the mean hematoxylin OD of the nuclei."""
    mask = scene.nuclei > 0
    return max(float(scene.hematoxylin_od[mask].mean()), GLASS_OD) if mask.any() else TYPICAL_NUCLEAR_OD


def _counterstain(
    scene: Scene,
    areas: Territories,
    relative: Plane,
    nuclear_od: float,
    backdrop: Plane,
    pattern: str,
    ranges: RenderRanges,
    rng: np.random.Generator,
) -> Plane:
    """Return hematoxylin OD: the scene's own structure at another strength, plus a breath of the rest."""
    pale = pattern in PALE_PATTERNS
    target_od = draw(rng, ranges.sheet_hematoxylin_od if pale else ranges.nuclear_hematoxylin_od)
    # Scenes far too pale to begin with are not blown up: that would show their JPEG blocks.
    target_od = min(target_od, HIGHEST_GAIN * nuclear_od)
    hematoxylin = np.float32(target_od) * relative ** np.float32(draw(rng, ranges.hematoxylin_gamma))
    if rng.random() < (ranges.pale_vesicular_probability if pale else ranges.vesicular_probability):
        # Masks grown from points are rough, so that the rim is softer there.
        depth_um = 0.7 if scene.exact_masks else 1.1
        inner = np.clip(areas.inside_um / np.float32(depth_um) - 0.4, 0.0, 1.0)
        hematoxylin *= 1.0 - np.float32(draw(rng, ranges.vesicular_loss)) * blur(inner, 0.3 / scene.mpp)
    # What is left between nuclei: mostly less than in H&E, whose cytoplasm holds hematoxylin's share of eosin.
    between = np.float32(rng.uniform(0.15, 1.0))
    hematoxylin *= areas.nucleus + between * (1.0 - areas.nucleus)
    hematoxylin += np.float32(draw(rng, ranges.eosin_kept)) * backdrop
    return np.asarray(np.minimum(hematoxylin, np.float32(HIGHEST_HEMATOXYLIN_OD)), np.float32)
