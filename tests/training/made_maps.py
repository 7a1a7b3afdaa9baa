"""Fields and what a network might say of them, drawn from the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slidescore.cells.decode import SMOOTH_UM
from slidescore.cells.types import TUMOR
from slidescore.nn.segmenter import Maps
from slidescore.training.evaluate import Field
from slidescore.training.scene import Scene
from slidescore.training.targets import CENTER_SIGMA_UM, draw_targets
from training.test_render import scene_of

SURE = 0.97
"""Probability of the right type."""
PEAK = 1 / (1 + (SMOOTH_UM / CENTER_SIGMA_UM) ** 2)
"""What smoothing leaves of the height of a peak."""


def said(scene: Scene, heights: NDArray[np.float64] | None = None, types: NDArray[np.int8] | None = None) -> Maps:
    """The maps of a network that says `types`, and centers whose smoothed peaks have `heights`; else it is right.

    Padded by eight pixels to the right and below, as the network's are.
    """
    targets = draw_targets(scene)
    center = targets.center / np.float32(255)
    if heights is not None:
        of_label = np.concatenate([[1.0], heights / PEAK])
        center = (center * of_label[scene.nuclei]).astype(np.float32)
    kinds = np.append(scene.types if types is None else types, TUMOR)[scene.nuclei - 1]
    probability = np.full((4, *scene.nuclei.shape), (1 - SURE) / 3, np.float32)
    np.put_along_axis(probability, np.maximum(kinds, 0)[None].astype(np.int64), SURE, axis=0)
    shapes = (center, targets.foreground.astype(np.float32), targets.distance / np.float32(255))
    padded = [np.pad(plane, (0, 8))[None].astype(np.float32) for plane in shapes]
    return Maps(*padded, np.pad(probability[:, 2::4, 2::4], ((0, 0), (0, 2), (0, 2)), mode="edge")[None])


def made_field(
    centers: list[tuple[int, int]], kinds: list[int] | None = None, *, false: int = 0,
    heights: list[float] | None = None, types: list[int] | None = None,
) -> Field:  # fmt: skip
    """A field of disks whose last `false` ones are on no list of labels; the network sees them all."""
    seen = scene_of(centers, kinds or [TUMOR] * len(centers))
    maps = said(
        seen,
        None if heights is None else np.array(heights),
        None if types is None else np.array(types, np.int8),
    )
    n = len(centers) - false
    labelled = replace(
        seen,
        nuclei=np.where(seen.nuclei <= n, seen.nuclei, 0).astype(np.int32),
        types=seen.types[:n],
        centers_px=seen.centers_px[:n],
    )
    return Field(labelled, np.full((*seen.nuclei.shape, 3), 200, np.uint8), maps)
