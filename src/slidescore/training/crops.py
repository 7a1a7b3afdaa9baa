"""Crops of scenes: any place, angle and resolution, with the labels that go with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.training.scene import Scene


@dataclass(frozen=True, slots=True)
class CropRanges:
    """How crops vary.

    Attributes
    ----------
    mpp
        Range of the resolution, um/px, drawn evenly in its logarithm.
    near_mpp, near_share
        This share of crops is near the working resolution: size tells lymphocytes from tumor cells.
    max_stretch
        The axes differ by at most this fraction.
    """

    mpp: tuple[float, float] = (0.35, 0.70)
    near_mpp: tuple[float, float] = (0.45, 0.56)
    near_share: float = 0.8
    max_stretch: float = 0.08


def cut_crop(scene: Scene, size_px: int, ranges: CropRanges, rng: np.random.Generator) -> Scene:
    """Cut a crop of `size_px` x `size_px` pixels; what lies outside the scene is mirrored and unknown."""
    low, high = ranges.near_mpp if rng.random() < ranges.near_share else ranges.mpp
    mpp = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    stretch = 1 + rng.uniform(-ranges.max_stretch, ranges.max_stretch)
    scale = np.array([stretch, 1 / stretch]) * mpp / scene.mpp  # scene pixels a crop pixel
    angle = rng.uniform(0, 2 * np.pi)
    flip = 1.0 if rng.random() < 1 / 2 else -1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([flip, 1.0])
    to_scene = turn @ np.diag(scale)
    height, width = scene.nuclei.shape
    # The middle of the crop lies anywhere in the scene from which it need not look far outside.
    reach = np.minimum(size_px * scale.mean() / 2, np.array([width, height]) / 2)
    middle = rng.uniform(reach, np.array([width, height]) - reach)
    offset = middle - to_scene @ np.full(2, (size_px - 1) / 2)
    return warp_scene(scene, np.hstack([to_scene, offset[:, None]]), size_px, mpp)


def whole_field(scene: Scene, mpp: float) -> Scene:
    """Resample a whole scene to a resolution."""
    if abs(scene.mpp / mpp - 1) < 1e-3:  # noqa: PLR2004 - a thousandth is the same resolution
        return scene
    factor = mpp / scene.mpp
    size = max(scene.nuclei.shape)
    matrix = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2]])
    warped = warp_scene(scene, matrix, round(size / factor), mpp)
    height, width = (round(side / factor) for side in scene.nuclei.shape)
    window = np.s_[:height, :width]
    return replace(
        warped, hematoxylin_od=warped.hematoxylin_od[window], eosin_od=warped.eosin_od[window],
        nuclei=warped.nuclei[window], known=warped.known[window],
    )  # fmt: skip


def warp_scene(scene: Scene, to_scene: NDArray[np.float64], size_px: int, mpp: float) -> Scene:
    """Resample a scene; `to_scene` maps crop pixels (x, y, 1) to scene pixels, float64, (2, 3)."""
    shape = (size_px, size_px)
    # A coarser crop is averaged, not picked.
    factor = mpp / scene.mpp
    blur = 0.5 * np.sqrt(max(factor**2 - 1, 0.0))
    planes = (scene.hematoxylin_od, scene.eosin_od)
    if blur > 0.3:  # noqa: PLR2004 - below this a kernel is one pixel
        planes = tuple(cv2.GaussianBlur(plane, (0, 0), blur) for plane in planes)
    warped = [
        cv2.warpAffine(plane, to_scene, shape, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                       borderMode=cv2.BORDER_REFLECT_101)
        for plane in planes
    ]  # fmt: skip
    # Labels above 2^24 would not survive float32; a scene has some hundreds.
    labels = cv2.warpAffine(
        scene.nuclei.astype(np.float32), to_scene, shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderValue=0
    ).astype(np.int32)
    known = cv2.warpAffine(
        scene.known.astype(np.uint8), to_scene, shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderValue=0
    )
    kept = np.unique(labels)
    kept = kept[kept > 0]
    table = np.zeros(len(scene.types) + 1, np.int32)
    table[kept] = np.arange(1, len(kept) + 1)
    back = np.linalg.inv(to_scene[:, :2])
    centers = (scene.centers_px[kept - 1] - to_scene[:, 2]) @ back.T
    return replace(
        scene, mpp=mpp, hematoxylin_od=warped[0], eosin_od=warped[1], nuclei=table[labels],
        types=scene.types[kept - 1], centers_px=centers.astype(np.float32), known=known > 0,
    )  # fmt: skip
