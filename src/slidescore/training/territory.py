"""Which cell a pixel belongs to, how far it is from nucleus and border, and which way is the lumen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.training.scene import Scene
from slidescore.training.texture import Plane, blur, pixel_grid, smooth_noise

JITTER_SIZES_UM = (4.0, 11.0)
"""Sizes of the lumps by which borders stray."""

LONGEST_STRETCH = 3.0
"""Where rims are rounded off and gaps closed, no cell reaches farther than this many times its radius."""

CROWDING_UM = 10.0
"""Width over which crowding of nuclei is taken; its slope points from the basal to the luminal side."""

LUMEN_FIELD_UM = 60.0
"""Size over which the luminal direction turns where crowding says nothing."""

SOFT_EDGE_UM = 0.45
"""Blur of compartment edges: a section is some 3 um thick, so that no edge is sharp."""


@dataclass(frozen=True, slots=True)
class Territories:
    """Cells of a scene.

    Attributes
    ----------
    cell
        int32, (H, W); 0 or the label of the nucleus whose cell this is.
    nucleus
        float32, (H, W), 0-1; soft nuclear mask.
    cytoplasm
        float32, (H, W), 0-1; soft mask of territory outside nuclei.
    to_nucleus_um, to_border_um, inside_um
        float32, (H, W); distance to the nearest nucleus (0 inside), to the nearest border between cells or rim, and
        from within a nucleus to its edge.
    radius_um
        float32, (n + 1,); how far the cytoplasm of a cell reaches; entry 0 is no cell.
    centers_px, towards_lumen
        float32, (n + 1, 2), x and y; middles of nuclei, and unit vectors.
    along_um
        float32, (H, W); how far a pixel lies from its nucleus' centre towards the lumen.
    """

    cell: NDArray[np.int32]
    nucleus: Plane
    cytoplasm: Plane
    to_nucleus_um: Plane
    to_border_um: Plane
    inside_um: Plane
    radius_um: NDArray[np.float32]
    centers_px: NDArray[np.float32]
    towards_lumen: NDArray[np.float32]
    along_um: Plane


def territories(
    scene: Scene,
    radius_um: NDArray[np.float32],
    reach_um: NDArray[np.float32] | None,
    jitter_um: float,
    rounding_um: float,
    tissue: Plane,
    rng: np.random.Generator,
) -> Territories:
    """Give every nucleus its cell: the nearest nucleus' pixels, no farther than its radius, with wandering borders.

    Parameters
    ----------
    radius_um, reach_um
        float32, (n,); reach of cytoplasm around the nucleus, and on its luminal side (None: no columnar cells).
    jitter_um
        Standard deviation of the borders' wandering.
    rounding_um
        Width over which rims are rounded off and gaps between cells closed.
    tissue
        float32, (H, W), 0-1; cells do not reach onto glass.
    """
    nuclei = scene.nuclei
    count = int(scene.types.shape[0])
    mpp = scene.mpp
    mask = nuclei > 0
    directions = _towards_lumen(scene, mask, rng)
    radii = np.concatenate([np.zeros(1, np.float32), radius_um])
    seeds = nuclei if reach_um is None else _extruded(scene, directions, reach_um)
    label, distance = nearest_label(seeds)
    if count:
        label, distance = _wander(label, distance, jitter_um / mpp, mpp, rng)
    ragged = 1.0 + 0.18 * smooth_noise(nuclei.shape, JITTER_SIZES_UM[1] / mpp, rng)
    reach = distance * np.float32(mpp) * ragged
    near = (reach <= radii[label]).astype(np.float32)
    body = (blur(near, rounding_um / mpp) > 0.5) & (reach <= LONGEST_STRETCH * radii[label])  # noqa: PLR2004
    cell = np.where(body & (tissue > 0.5), label, 0)  # noqa: PLR2004
    cell = np.where(mask, nuclei, cell).astype(np.int32)
    nucleus = blur(mask.astype(np.float32), SOFT_EDGE_UM / mpp)
    soft_body = blur((cell > 0).astype(np.float32), SOFT_EDGE_UM / mpp)
    _, outside = nearest_label(nuclei)
    rows, columns = pixel_grid((nuclei.shape[0], nuclei.shape[1]))
    centers = np.concatenate([np.zeros((1, 2), np.float32), scene.centers_px.astype(np.float32)])
    along = (columns - centers[cell, 0]) * directions[cell, 0] + (rows - centers[cell, 1]) * directions[cell, 1]
    return Territories(
        cell=cell,
        nucleus=nucleus,
        cytoplasm=np.clip(soft_body - nucleus, 0.0, 1.0),
        to_nucleus_um=outside * np.float32(mpp),
        to_border_um=_distance_to(borders(cell)) * np.float32(mpp),
        inside_um=_distance_to(~mask | (borders(nuclei) & mask)) * np.float32(mpp),
        radius_um=radii,
        centers_px=centers,
        towards_lumen=directions,
        along_um=np.where(cell > 0, along * np.float32(mpp), 0.0).astype(np.float32),
    )


def nearest_label(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], Plane]:
    """Return the label of the nearest labelled pixel and its distance in px; 0 and a huge distance where none is."""
    mask = labels > 0
    if not mask.any():
        return np.zeros_like(labels), np.full(labels.shape, 1e6, np.float32)
    distance, nearest = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(nearest.max()) + 1, np.int32)
    table[nearest[mask]] = labels[mask]
    return table[nearest], distance


def borders(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the pixels whose right or lower neighbour has another label; bool, (H, W)."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def _distance_to(target: NDArray[np.bool_]) -> Plane:
    if not target.any():
        return np.full(target.shape, 1e6, np.float32)
    return np.asarray(cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def _wander(
    label: NDArray[np.int32], distance: Plane, jitter_px: float, mpp: float, rng: np.random.Generator
) -> tuple[NDArray[np.int32], Plane]:
    """Look label and distance up at a smoothly displaced place."""
    rows, columns = pixel_grid((label.shape[0], label.shape[1]))
    for size_um in JITTER_SIZES_UM:
        share = np.float32(jitter_px * 0.7)
        rows += share * smooth_noise(label.shape, size_um / mpp, rng)
        columns += share * smooth_noise(label.shape, size_um / mpp, rng)
    # Labels are below 2^24, so that float32 carries them exactly.
    moved = cv2.remap(label.astype(np.float32), columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    far = cv2.remap(distance, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved.astype(np.int32), far


def _towards_lumen(scene: Scene, mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """Point every cell away from crowded nuclei, as gland cells do, with a slowly turning direction besides."""
    shape = scene.nuclei.shape
    crowding = blur(mask.astype(np.float32), CROWDING_UM / scene.mpp)
    slope_y, slope_x = np.gradient(crowding, axis=0), np.gradient(crowding, axis=1)
    columns = np.clip(np.rint(scene.centers_px[:, 0]).astype(int), 0, shape[1] - 1)
    rows = np.clip(np.rint(scene.centers_px[:, 1]).astype(int), 0, shape[0] - 1)
    size_px = LUMEN_FIELD_UM / scene.mpp
    turn = np.stack([smooth_noise((shape[0], shape[1]), size_px, rng)[rows, columns] for _ in range(2)], axis=1)
    slope = -np.stack([slope_x[rows, columns], slope_y[rows, columns]], axis=1) * np.float32(CROWDING_UM / scene.mpp)
    field = 6.0 * slope + 0.5 * turn
    length = np.maximum(np.linalg.norm(field, axis=1, keepdims=True), 1e-6)
    return np.concatenate([np.zeros((1, 2), np.float32), (field / length).astype(np.float32)])


def _extruded(scene: Scene, directions: NDArray[np.float32], reach_um: NDArray[np.float32]) -> NDArray[np.int32]:
    """Draw nuclei out towards the lumen, so that their Voronoi cells are columns."""
    drawn = np.zeros(scene.nuclei.shape, np.int32)
    ends = scene.centers_px + directions[1:] * (reach_um / np.float32(scene.mpp))[:, None]
    starts, stops = np.rint(scene.centers_px).astype(int), np.rint(ends).astype(int)
    for index in range(starts.shape[0]):
        start, stop = starts[index], stops[index]
        cv2.line(drawn, (int(start[0]), int(start[1])), (int(stop[0]), int(stop[1])), index + 1, 1)
    return np.where(scene.nuclei > 0, scene.nuclei, drawn).astype(np.int32)
