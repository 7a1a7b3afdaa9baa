"""A pool of rendered crops: drawn anew each round, by several processes, the same for the same seed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.training.crops import CropRanges, cut_crop
from slidescore.training.donors import Donor, cut_donors
from slidescore.training.glands import compose_glands
from slidescore.training.lattice import compose_lattice
from slidescore.training.ranges import HEAVY, STRONG_NUCLEAR, TRAINING, RenderRanges
from slidescore.training.render import picture_of, render_he, render_ihc
from slidescore.training.scene import Scene
from slidescore.training.scenes import BRECAHAD, DSB, M2C
from slidescore.training.targets import Targets, draw_targets
from slidescore.training.visibility import without_unseen

GLANDS, LATTICE = "glands", "lattice"
COMPOSED = (GLANDS, LATTICE)
"""Sources that need no scenes."""


@dataclass(frozen=True, slots=True)
class PoolRecipe:
    """What a pool is made of.

    Attributes
    ----------
    size_px
        Side of a crop.
    sources
        Share of each source; those without scenes are left out.
    ihc_share
        Share rendered as IHC; the rest is H&E. A lattice is always IHC.
    ihc_ranges
        What IHC is drawn from, and how often.
    """

    size_px: int = 256
    sources: tuple[tuple[str, float], ...] = (
        (M2C, 0.52),
        (DSB, 0.15),
        (BRECAHAD, 0.06),
        (GLANDS, 0.19),
        (LATTICE, 0.08),
    )
    ihc_share: float = 0.62
    crops: CropRanges = field(default_factory=CropRanges)
    ihc_ranges: tuple[tuple[RenderRanges, float], ...] = ((TRAINING, 0.78), (HEAVY, 0.13), (STRONG_NUCLEAR, 0.09))


@dataclass(frozen=True, slots=True)
class Pool:
    """Crops and their targets, stacked along the first axis; dtypes as in Targets, rgb uint8 (N, H, W, 3)."""

    rgb: NDArray[np.uint8]
    center: NDArray[np.uint8]
    distance: NDArray[np.uint8]
    foreground: NDArray[np.uint8]
    weight: NDArray[np.uint8]
    types: NDArray[np.uint8]


class PoolPainter:
    """Draws pools; its processes live until `close`, each with the scenes in memory."""

    def __init__(self, scenes: Sequence[Scene], recipe: PoolRecipe, *, processes: int) -> None:
        self.processes = processes
        self._workers = ProcessPoolExecutor(
            processes,
            multiprocessing.get_context("spawn"),
            initializer=_start_painting,
            initargs=(list(scenes), recipe),
        )

    def draw(self, n: int, seed: int, round_number: int) -> Pool:
        """Draw `n` crops; the number of processes changes nothing."""
        seeds = [(seed, round_number, k) for k in range(n)]
        drawn = list(self._workers.map(_paint_one, seeds, chunksize=max(1, n // (8 * self.processes))))
        images = np.stack([rgb for rgb, _ in drawn])
        fields = ("center", "distance", "foreground", "weight", "types")
        return Pool(images, *(np.stack([getattr(targets, name) for _, targets in drawn]) for name in fields))

    def close(self) -> None:
        """End the processes."""
        self._workers.shutdown(cancel_futures=True)


def draw_crop(
    by_source: dict[str, list[Scene]], donors: Sequence[Donor], recipe: PoolRecipe, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Scene]:
    """Draw one crop: an image, uint8 (size, size, 3), and the scene behind it, without what the picture hides."""
    sources = [
        (name, share) for name, share in recipe.sources if share > 0 and (by_source.get(name) or name in COMPOSED)
    ]
    shares = np.array([share for _, share in sources])
    source = sources[int(rng.choice(len(sources), p=shares / shares.sum()))][0]
    if source == LATTICE:
        crop, maps = compose_lattice(recipe.size_px, _draw_mpp(recipe.crops, rng), donors, rng)
        rgb = picture_of(maps, crop.mpp, TRAINING, rng)
        return rgb, without_unseen(crop, rgb)
    if source == GLANDS:
        crop = compose_glands(recipe.size_px, _draw_mpp(recipe.crops, rng), donors, rng)
    else:
        scenes = by_source[source]
        crop = cut_crop(scenes[int(rng.integers(len(scenes)))], recipe.size_px, recipe.crops, rng)
    if rng.random() >= recipe.ihc_share:
        return render_he(crop, rng), crop
    shares = np.array([share for _, share in recipe.ihc_ranges])
    ranges = recipe.ihc_ranges[int(rng.choice(len(shares), p=shares / shares.sum()))][0]
    rgb = render_ihc(crop, ranges, rng)
    return rgb, without_unseen(crop, rgb)


def _draw_mpp(ranges: CropRanges, rng: np.random.Generator) -> float:
    low, high = ranges.near_mpp if rng.random() < ranges.near_share else ranges.mpp
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def group_scenes(scenes: Sequence[Scene]) -> dict[str, list[Scene]]:
    """Group scenes by source."""
    groups: dict[str, list[Scene]] = {}
    for scene in scenes:
        groups.setdefault(scene.source, []).append(scene)
    return groups


_of_this_process: list[tuple[dict[str, list[Scene]], tuple[Donor, ...], PoolRecipe]] = []
"""What a painting process holds in memory: scenes by source, donors, recipe."""


def _start_painting(scenes: list[Scene], recipe: PoolRecipe) -> None:
    cv2.setNumThreads(1)
    donors = cut_donors([scene for scene in scenes if scene.exact_masks])
    _of_this_process[:] = [(group_scenes(scenes), donors, recipe)]


def _paint_one(seed: tuple[int, int, int]) -> tuple[NDArray[np.uint8], Targets]:
    by_source, donors, recipe = _of_this_process[0]
    rgb, crop = draw_crop(by_source, donors, recipe, np.random.default_rng(seed))
    return rgb, draw_targets(crop)
