"""Draws the hematoxylin of one nucleus above those drawn before.

Every nucleus is a prototype stretched to its place: chromatin and a signed shape field on a square whose half width
is REACH semi-axes. One affine warp brings both to the canvas; the field is turned into a soft edge of a width in um
after the warp, so that edges are equally sharp for small and large nuclei. The constants are tuned by eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

REACH = 1.45
"""Half width of a prototype in semi-axes of the nucleus; leaves room for deformed outlines and soft edges."""
REFERENCE_SEMI_AXIS_UM = 4.0
"""Semi-axis for which a prototype holds one sample a pixel; about that of an epithelial nucleus."""
MIN_SEMI_AXIS_PX, MAX_SEMI_AXIS_PX = 4.0, 14.0
"""Range of the semi-axis of a prototype in its own samples."""
CHROMATIN_LIMITS = (0.45, 2.2)
"""Least and largest chromatin, relative to the mean of the nucleus."""
OVERLAP_SHARE = 0.35
"""Share of the paler of two overlapping nuclei that adds to the darker: sections are thin, not sums of whole nuclei."""
VISIBLE_ALPHA = 0.5
"""Coverage from which a pixel belongs to the nucleus."""
BEYOND = (1.0, -1.0, 0.0, 0.0)
"""Layers beyond a prototype: mean chromatin, one semi-axis outside; OpenCV wants four numbers."""


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


def prototype_axis(semi_axis_px: float) -> NDArray[np.float32]:
    """Return where the samples of a prototype lie.

    Parameters
    ----------
    semi_axis_px
        Samples a semi-axis.

    Returns
    -------
    ndarray
        float32, (s,), s odd; places along either axis, in semi-axes from the middle.
    """
    size = 2 * int(np.ceil(REACH * semi_axis_px)) + 1
    return (np.arange(size, dtype=np.float32) - (size - 1) / 2) / np.float32(semi_axis_px)


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
        borderValue=BEYOND,
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
