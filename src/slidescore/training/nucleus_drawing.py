"""Draws the hematoxylin of single nuclei: procedural chromatin, or real nuclei cut from labelled scenes.

Every nucleus is a `Prototype` stretched to its place: chromatin and a signed shape field on a square whose half width
is REACH semi-axes. One affine warp brings both to the canvas; the field is turned into a soft edge of a width in um
after the warp, so that edges are equally sharp for small and large nuclei.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slidescore.training.scene import Scene

REACH = 1.45
"""Half width of a prototype in semi-axes of the nucleus; leaves room for deformed outlines and soft edges."""
REFERENCE_SEMI_AXIS_UM = 4.0
"""Semi-axis for which a prototype holds one sample a pixel; about that of an epithelial nucleus."""
MIN_SEMI_AXIS_PX, MAX_SEMI_AXIS_PX = 4.0, 14.0
"""Range of the semi-axis of a prototype in its own samples."""
DONOR_AREA_UM2 = (12.0, 220.0)
"""Areas of nuclei that are cut as donors; smaller ones are fragments, larger ones mostly merged."""
DONOR_MAX_TOUCHING_SHARE = 0.12
"""Largest share of a donor's outline that may lie next to other nuclei."""
DONOR_MARGIN_PX = 2
"""Rim of surroundings kept around a donor."""
DONOR_MIN_CONTRAST_OD = 0.08
"""Least hematoxylin OD of a donor above its surroundings; paler ones hold no structure worth copying."""
DONOR_SMOOTHING = 0.2
"""Blur of a donor's shape field, in semi-axes."""
OVERLAP_SHARE = 0.35
"""Share of the paler of two overlapping nuclei that adds to the darker: sections are thin, not sums of whole nuclei."""
VISIBLE_ALPHA = 0.5
"""Coverage from which a pixel belongs to the nucleus."""


class Chromatin(IntEnum):
    """How the inside of a procedural nucleus looks."""

    GRANULAR = 0
    VESICULAR = 1
    HYPERCHROMATIC = 2
    LYMPHOID = 3
    SPINDLE = 4
    MITOTIC = 5


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


@dataclass(frozen=True, slots=True)
class Prototypes:
    """Nuclei in their own frame, ready to be warped.

    Attributes
    ----------
    layers
        float32, (n, s, s, 2); channel 0 is chromatin relative to a mean of 1 inside the nucleus, channel 1 the signed
        shape field: 0 on the outline, 1 in the middle, negative outside, in units of the semi-axis.
    chromatin
        int8, (n,); Chromatin of each procedural prototype, -1 for donors.
    types
        int8, (n,); type of the donor, UNKNOWN_TYPE for procedural ones.
    semi_axis_px
        Samples a semi-axis.
    """

    layers: NDArray[np.float32]
    chromatin: NDArray[np.int8]
    types: NDArray[np.int8]
    semi_axis_px: float


@dataclass(frozen=True, slots=True)
class Canvas:
    """Layers that nuclei are drawn on; the arrays are changed in place.

    Attributes
    ----------
    nuclear_od
        float32, (H, W); hematoxylin OD of nuclei alone.
    cover
        float32, (H, W); 0 to 1, how far a pixel is covered by nuclei.
    nuclei
        int32, (H, W); label of the uppermost nucleus.
    """

    nuclear_od: NDArray[np.float32]
    cover: NDArray[np.float32]
    nuclei: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how one nucleus is drawn.

    Attributes
    ----------
    x_px, y_px
        Centre; whole numbers are the middles of pixels.
    semi_major_px, semi_minor_px, angle
        Semi-axes and direction of the major axis, radians, x towards y.
    mean_od
        Mean hematoxylin OD inside.
    edge_px
        Width of the soft edge.
    """

    x_px: float
    y_px: float
    semi_major_px: float
    semi_minor_px: float
    angle: float
    mean_od: float
    edge_px: float


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
    y0, y1 = rows.start - DONOR_MARGIN_PX, rows.stop + DONOR_MARGIN_PX
    x0, x1 = columns.start - DONOR_MARGIN_PX, columns.stop + DONOR_MARGIN_PX
    if y0 < 0 or x0 < 0 or y1 > height or x1 > width:
        return None
    labels = scene.nuclei[y0:y1, x0:x1]
    mask = labels == label
    area_um2 = float(mask.sum()) * scene.mpp**2
    if not DONOR_AREA_UM2[0] <= area_um2 <= DONOR_AREA_UM2[1]:
        return None
    ring = cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~mask
    if float((labels[ring] > 0).mean()) > DONOR_MAX_TOUCHING_SHARE:
        return None
    od = scene.hematoxylin_od[y0:y1, x0:x1]
    if float(od[mask].mean()) - float(od[labels == 0].mean()) < DONOR_MIN_CONTRAST_OD:
        return None
    return Donor(np.ascontiguousarray(od, np.float32), mask, scene.mpp, int(scene.types[label - 1]))


def prototype_semi_axis_px(mpp: float) -> float:
    """Return how many samples a semi-axis a prototype needs at a resolution.

    Parameters
    ----------
    mpp
        Resolution of the canvas, um/px.

    Returns
    -------
    float
        Samples a semi-axis.
    """
    return float(np.clip(REFERENCE_SEMI_AXIS_UM / mpp, MIN_SEMI_AXIS_PX, MAX_SEMI_AXIS_PX))


def _frame(semi_axis_px: float) -> tuple[int, NDArray[np.float32]]:
    size = 2 * int(np.ceil(REACH * semi_axis_px)) + 1
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / np.float32(semi_axis_px)
    return size, axis


def procedural_prototypes(chromatin: NDArray[np.int8], mpp: float, rng: np.random.Generator) -> Prototypes:
    """Make nuclei with chromatin of the wanted kinds.

    Parameters
    ----------
    chromatin
        int8, (n,); Chromatin of each prototype.
    mpp
        Resolution of the canvas, um/px; sets how fine chromatin is.
    rng
        Source of all randomness.

    Returns
    -------
    Prototypes
        One for each entry of chromatin, in order.
    """
    semi = prototype_semi_axis_px(mpp)
    size, axis = _frame(semi)
    n = len(chromatin)
    x = np.broadcast_to(axis[None, None, :], (n, size, size))
    y = np.broadcast_to(axis[None, :, None], (n, size, size))
    column = (n, 1, 1)
    spindle = (chromatin == Chromatin.SPINDLE).reshape(column)
    mitotic = (chromatin == Chromatin.MITOTIC).reshape(column)
    lymphoid = (chromatin == Chromatin.LYMPHOID).reshape(column)
    bend = rng.normal(0, 0.10, column) * np.where(lymphoid, 0.3, 1) + rng.normal(0, 0.3, column) * spindle
    taper = rng.normal(0, 0.14, column) * np.where(lymphoid, 0.3, 1)
    yy = (y + bend * (x * x - 0.4)) * (1 + taper * x)
    exponent = rng.uniform(1.8, 2.5, column) - 0.5 * spindle
    radius = (np.abs(x) ** exponent + np.abs(yy) ** exponent) ** (1 / exponent)
    theta = np.arctan2(yy, x)
    outline = np.ones((n, size, size))
    for order, amplitude in ((2, 0.05), (3, 0.05), (4, 0.03), (5, 0.025), (7, 0.015)):
        strength = rng.normal(0, amplitude, column) * np.where(lymphoid, 0.6, 1 + 1.8 * mitotic)
        outline += strength * np.cos(order * theta + rng.uniform(0, 2 * np.pi, column))
    field = (1 - radius / np.maximum(outline, 0.4)).astype(np.float32)

    white = rng.standard_normal((3, n, size, size), dtype=np.float32)
    coarse, middle, fine = (
        _unit(ndimage.gaussian_filter(white[k], (0, s, s), mode="nearest"))
        for k, s in enumerate((0.42 * semi, 0.2 * semi, max(0.09 * semi, 0.45)))
    )
    clump = np.array([0.20, 0.17, 0.10, 0.16, 0.12, 0.30], np.float32)[chromatin].reshape(column)
    rim = np.array([0.30, 0.60, 0.10, 0.10, 0.06, 0.0], np.float32)[chromatin].reshape(column)
    rim = rim * rng.uniform(0.3, 1.3, column).astype(np.float32)
    inside = np.clip(field, 0, 1)
    texture = 1 + clump * (0.7 * coarse + 0.9 * middle + 0.55 * fine)
    texture += rim * (np.exp(-inside / 0.16) - 0.45)
    texture += _nucleoli(chromatin, x, y, rng).astype(np.float32)
    texture = np.clip(texture, 0.45, 2.2)
    mass = np.clip(field > 0, 0, 1)
    texture /= (texture * mass).sum((1, 2), keepdims=True) / np.maximum(mass.sum((1, 2), keepdims=True), 1)
    layers = np.stack([texture, field], axis=-1).astype(np.float32)
    return Prototypes(layers, chromatin.astype(np.int8), np.full(n, -1, np.int8), semi)


def _unit(noise: NDArray[np.float32]) -> NDArray[np.float32]:
    return noise / max(float(noise.std()), 1e-6)


def _nucleoli(
    chromatin: NDArray[np.int8], x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Give dark round bodies, most of them in vesicular nuclei."""
    n = len(chromatin)
    column = (n, 1, 1)
    chance = np.array([0.35, 0.75, 0.1, 0.1, 0.12, 0.0])[chromatin].reshape(column)
    bodies = np.zeros(x.shape)
    for share in (1.0, 0.5, 0.3):
        present = rng.random(column) < chance * share
        x0, y0 = rng.uniform(-0.5, 0.5, column), rng.uniform(-0.5, 0.5, column)
        size = rng.uniform(0.12, 0.24, column)
        bodies += present * rng.uniform(0.4, 1.3, column) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * size**2))
    return bodies


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
    size, _ = _frame(semi)
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
    # a pixel is a square of its own variance 1 / 12, which also keeps a single row of pixels from being flat
    spread = offsets @ offsets.T / points.shape[1] + np.eye(2) / 12
    values, vectors = np.linalg.eigh(spread)
    return centre, 2 * np.sqrt(values[::-1]), vectors[:, ::-1]


def _donor_layers(donor: Donor, semi: float, size: int) -> NDArray[np.float32]:
    centre, semi_axes, vectors = donor_axes(donor)
    padded = np.pad(donor.mask, 1)
    mask = padded.view(np.uint8)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 3)[1:-1, 1:-1]
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3)[1:-1, 1:-1]
    field = (np.where(donor.mask, inside - 0.5, 0.5 - outside) / semi_axes[1]).astype(np.float32)
    mean = max(float(donor.hematoxylin_od[donor.mask].mean()), 1e-3)
    # surroundings of a donor are bright: the value of the rim is carried outwards so that soft edges stay dark
    od = np.where(donor.mask, donor.hematoxylin_od, 0).astype(np.float32)
    weight = cv2.blur(donor.mask.astype(np.float32), (5, 5))
    filled = np.where(donor.mask, od, cv2.blur(od, (5, 5)) / np.maximum(weight, 1e-3))
    source = np.stack([np.clip(np.where(weight > 0, filled, mean) / mean, 0.45, 2.2), field], axis=-1).astype(
        np.float32
    )
    # dst sample (u, v) comes from centre + V diag(axes / semi) (u - c, v - c)
    matrix = vectors * (semi_axes / semi)
    middle = (size - 1) / 2
    offset = centre - matrix @ np.array([middle, middle])
    warp = np.column_stack([matrix, offset])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(source, warp, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    out = np.ascontiguousarray(out)
    # masks drawn on pixels have stairs; a nucleus has none
    out[..., 1] = cv2.GaussianBlur(out[..., 1], (0, 0), DONOR_SMOOTHING * semi)
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


def draw_nucleus(canvas: Canvas, layers: NDArray[np.float32], semi_axis_px: float, place: Placement, label: int) -> int:
    """Draw one nucleus above all drawn before.

    Parameters
    ----------
    canvas
        Layers, changed in place.
    layers
        float32, (s, s, 2); one entry of Prototypes.layers.
    semi_axis_px
        Samples a semi-axis of the prototype.
    place
        Where and how.
    label
        Label of its pixels; 0 draws hematoxylin and no label.

    Returns
    -------
    int
        Pixels of the nucleus on the canvas, those under later nuclei included.
    """
    height, width = canvas.nuclei.shape
    cos, sin = float(np.cos(place.angle)), float(np.sin(place.angle))
    a, b = place.semi_major_px * REACH + place.edge_px, place.semi_minor_px * REACH + place.edge_px
    half_x = np.hypot(a * cos, b * sin)
    half_y = np.hypot(a * sin, b * cos)
    x0, x1 = max(int(place.x_px - half_x), 0), min(int(place.x_px + half_x) + 2, width)
    y0, y1 = max(int(place.y_px - half_y), 0), min(int(place.y_px + half_y) + 2, height)
    if x1 <= x0 or y1 <= y0:
        return 0
    sx, sy = semi_axis_px / place.semi_major_px, semi_axis_px / place.semi_minor_px
    middle = (layers.shape[0] - 1) / 2
    dx, dy = x0 - place.x_px, y0 - place.y_px
    warp = np.array(
        [
            [cos * sx, sin * sx, middle + (cos * dx + sin * dy) * sx],
            [-sin * sy, cos * sy, middle + (-sin * dx + cos * dy) * sy],
        ]
    )
    patch = cv2.warpAffine(
        layers,
        warp,
        (x1 - x0, y1 - y0),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(1.0, -1.0, 0.0, 0.0),
    )
    alpha = np.clip(VISIBLE_ALPHA + patch[..., 1] * np.float32(place.semi_minor_px / place.edge_px), 0, 1)
    new = patch[..., 0] * (alpha * np.float32(place.mean_od))
    box = (slice(y0, y1), slice(x0, x1))
    old = canvas.nuclear_od[box]
    canvas.nuclear_od[box] = np.maximum(old, new) + np.float32(OVERLAP_SHARE) * np.minimum(old, new)
    np.maximum(canvas.cover[box], alpha, out=canvas.cover[box])
    mask = patch[..., 1] > 0
    if label:
        canvas.nuclei[box][mask] = label
    return int(np.count_nonzero(mask))
