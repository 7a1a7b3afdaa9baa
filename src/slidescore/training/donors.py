"""Real nuclei cut from labelled H&E scenes, and brought into the frame of prototypes. Limits are tuned by eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slidescore.training.nucleus_drawing import CHROMATIN_LIMITS, Prototypes, prototype_axis, prototype_semi_axis_px
from slidescore.training.scene import Scene

AREA_UM2 = (12.0, 220.0)
"""Areas of nuclei that are cut; smaller ones are fragments, larger ones mostly merged."""
MAX_TOUCHING_SHARE = 0.12
"""Largest share of a donor's outline that may lie next to other nuclei."""
MARGIN_PX = 2
"""Rim of surroundings kept around a donor."""
MIN_CONTRAST_OD = 0.08
"""Least hematoxylin OD of a donor above its surroundings; paler ones hold no structure worth copying."""
SHAPE_SMOOTHING = 0.2
"""Blur of a donor's shape field, in semi-axes."""
RIM_BLUR_PX = (5, 5)
"""Box within which the value of a donor's rim is carried outwards."""
MIN_OD, MIN_WEIGHT = 1e-3, 1e-3
"""Guards of divisions."""
PIXEL_VARIANCE = 1 / 12
"""Variance of a square of side 1 along either axis."""


@dataclass(frozen=True, slots=True)
class Donor:
    """A real nucleus cut from a labelled H&E scene.

    Attributes
    ----------
    hematoxylin_od
        float32, (h, w); optical density around the nucleus.
    mask
        bool, (h, w); pixels of the nucleus.
    mpp
        Resolution, um/px.
    type
        Index into CELL_TYPES or UNKNOWN_TYPE.
    """

    hematoxylin_od: NDArray[np.float32]
    mask: NDArray[np.bool_]
    mpp: float
    type: int


def cut_donors(scenes: Sequence[Scene]) -> tuple[Donor, ...]:
    """Cut whole, isolated nuclei from scenes with exact masks.

    Parameters
    ----------
    scenes
        Labelled scenes; those without exact masks give no donors.

    Returns
    -------
    tuple of Donor
        In the order of scenes and labels; nuclei that touch the border, lie in a crowd, are pale or of an
        unlikely size are left out.
    """
    donors: list[Donor] = []
    for scene in scenes:
        if not scene.exact_masks:
            continue
        for label, box in enumerate(ndimage.find_objects(scene.nuclei), start=1):
            if box is not None:
                donor = _cut_donor(scene, label, box)
                if donor is not None:
                    donors.append(donor)
    return tuple(donors)


def _cut_donor(scene: Scene, label: int, box: tuple[slice, ...]) -> Donor | None:
    height, width = scene.nuclei.shape
    rows, columns = box
    y0, y1 = rows.start - MARGIN_PX, rows.stop + MARGIN_PX
    x0, x1 = columns.start - MARGIN_PX, columns.stop + MARGIN_PX
    if y0 < 0 or x0 < 0 or y1 > height or x1 > width:
        return None
    labels = scene.nuclei[y0:y1, x0:x1]
    mask = labels == label
    area_um2 = float(mask.sum()) * scene.mpp**2
    if not AREA_UM2[0] <= area_um2 <= AREA_UM2[1]:
        return None
    ring = cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~mask
    if float((labels[ring] > 0).mean()) > MAX_TOUCHING_SHARE:
        return None
    od = scene.hematoxylin_od[y0:y1, x0:x1]
    if float(od[mask].mean()) - float(od[labels == 0].mean()) < MIN_CONTRAST_OD:
        return None
    return Donor(np.ascontiguousarray(od, np.float32), mask, scene.mpp, int(scene.types[label - 1]))


def donor_prototypes(donors: Sequence[Donor], mpp: float) -> Prototypes:
    """Bring real nuclei into the frame of prototypes.

    Parameters
    ----------
    donors
        Real nuclei.
    mpp
        Resolution of the canvas, um/px.

    Returns
    -------
    Prototypes
        One for each donor, its major axis along x, both axes of unit length.
    """
    semi = prototype_semi_axis_px(mpp)
    size = len(prototype_axis(semi))
    layers = np.zeros((len(donors), size, size, 2), np.float32)
    for layer, donor in zip(layers, donors, strict=True):
        layer[...] = _donor_layers(donor, semi, size)
    types = np.array([donor.type for donor in donors], np.int8)
    return Prototypes(layers, np.full(len(donors), -1, np.int8), types, semi)


def donor_axes(donor: Donor) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Measure centre and axes of a donor by the second moments of its mask.

    Parameters
    ----------
    donor
        A real nucleus.

    Returns
    -------
    centre_px, semi_axes_px, directions
        (2,) x and y; (2,) major then minor, of the ellipse with equal second moments (semi-axis is twice the
        standard deviation); (2, 2) with unit vectors of the axes in columns.
    """
    ys, xs = np.nonzero(donor.mask)
    points = np.stack([xs, ys]).astype(np.float64)
    centre = points.mean(1)
    offsets = points - centre[:, None]
    # a pixel is a square of its own variance, which also keeps a single row of pixels from being flat
    spread = offsets @ offsets.T / points.shape[1] + np.eye(2) * PIXEL_VARIANCE
    values, vectors = np.linalg.eigh(spread)
    return centre, 2 * np.sqrt(values[::-1]), vectors[:, ::-1]


def _donor_layers(donor: Donor, semi: float, size: int) -> NDArray[np.float32]:
    """Give chromatin and shape field, float32, (size, size, 2), of a donor turned to lie along x."""
    centre, semi_axes, vectors = donor_axes(donor)
    padded = np.pad(donor.mask, 1)
    mask = padded.view(np.uint8)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 3)[1:-1, 1:-1]
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3)[1:-1, 1:-1]
    field = (np.where(donor.mask, inside - 0.5, 0.5 - outside) / semi_axes[1]).astype(np.float32)
    mean = max(float(donor.hematoxylin_od[donor.mask].mean()), MIN_OD)
    # surroundings of a donor are bright: the value of the rim is carried outwards so that soft edges stay dark
    od = np.where(donor.mask, donor.hematoxylin_od, 0).astype(np.float32)
    weight = cv2.blur(donor.mask.astype(np.float32), RIM_BLUR_PX)
    filled = np.where(donor.mask, od, cv2.blur(od, RIM_BLUR_PX) / np.maximum(weight, MIN_WEIGHT))
    chromatin = np.clip(np.where(weight > 0, filled, mean) / mean, *CHROMATIN_LIMITS)
    source = np.stack([chromatin, field], axis=-1).astype(np.float32)
    # dst sample (u, v) comes from centre + V diag(axes / semi) (u - c, v - c)
    matrix = vectors * (semi_axes / semi)
    middle = (size - 1) / 2
    offset = centre - matrix @ np.array([middle, middle])
    warp = np.column_stack([matrix, offset])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(source, warp, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    out = np.ascontiguousarray(out)
    # masks drawn on pixels have stairs; a nucleus has none
    out[..., 1] = cv2.GaussianBlur(out[..., 1], (0, 0), SHAPE_SMOOTHING * semi)
    reach = _outside_frame(warp, donor.mask.shape, size)
    out[..., 1] = np.where(reach > 0, np.minimum(out[..., 1], -reach / semi_axes[1]), out[..., 1])
    return np.asarray(out, np.float32)


def _outside_frame(warp: NDArray[np.float64], shape: tuple[int, ...], size: int) -> NDArray[np.float32]:
    """Give how far outside the cut patch a sample lies, in its pixels; what is replicated there is no nucleus."""
    u = np.arange(size, dtype=np.float32)[None, :]
    v = np.arange(size, dtype=np.float32)[:, None]
    xs = warp[0, 0] * u + warp[0, 1] * v + warp[0, 2]
    ys = warp[1, 0] * u + warp[1, 1] * v + warp[1, 2]
    beyond = np.maximum(np.maximum(-xs, xs - shape[1] + 1), np.maximum(-ys, ys - shape[0] + 1))
    return np.asarray(np.maximum(beyond, 0), np.float32)
