"""How candidate nuclei look: size, shape, and contrast to their surroundings, for all of a tile at once."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel

Plane = NDArray[np.float32]
Labels = NDArray[np.int32]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ChannelPlanes:
    """What candidates are judged by; float32, (H, W), OD: the smoothed channel, smoothed hematoxylin, and DAB."""

    channel: Plane
    hematoxylin: Plane
    dab: Plane


@dataclass(frozen=True, slots=True)
class Appearances:
    """How each of n candidates looks; float64, (n,). Contrasts in OD are the mean inside minus the mean around.

    "Around" is a ring of given width without other candidates, or with them where they leave nothing of it.

    Attributes
    ----------
    area_px, long_over_short
        Size, and the axis ratio of the ellipse with the same second moments.
    contrast_od, hematoxylin_contrast_od, dab_contrast_od
        Contrast in the channel and in each stain.
    hematoxylin_od
        Mean hematoxylin inside.
    noise_od
        Standard deviation of the channel around.
    open_share
        Share of the whole ring, other candidates included, that is paler than half-way between inside and around.
    """

    area_px: Values
    long_over_short: Values
    contrast_od: Values
    hematoxylin_contrast_od: Values
    dab_contrast_od: Values
    hematoxylin_od: Values
    noise_od: Values
    open_share: Values


def look_at(labels: Labels, planes: ChannelPlanes, boxes: NDArray[np.int64], ring_px: int) -> Appearances:
    """Measure how all candidates look.

    Parameters
    ----------
    labels
        int32, (H, W), 1..n; a label may be absent.
    planes
        What to measure.
    boxes
        int64, (n + 1, 4), half-open (y0, x0, y1, x1) of each label.
    ring_px
        Width of the ring around a candidate.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * ring_px + 1, 2 * ring_px + 1))
    offsets = np.argwhere(disc > 0) - ring_px
    columns = _look(labels, planes.channel, planes.hematoxylin, planes.dab, boxes, offsets, ring_px)
    return Appearances(*columns.T)


@kernel
def _look(
    labels: Labels,
    channel: Plane,
    hematoxylin: Plane,
    dab: Plane,
    boxes: NDArray[np.int64],
    offsets: NDArray[np.int64],
    ring_px: int,
) -> Values:
    rows, columns = labels.shape
    n = boxes.shape[0] - 1
    out = np.zeros((n, 8))
    for k in range(1, n + 1):
        y0, x0 = max(0, boxes[k, 0] - ring_px), max(0, boxes[k, 1] - ring_px)
        y1, x1 = min(rows, boxes[k, 2] + ring_px), min(columns, boxes[k, 3] + ring_px)
        if boxes[k, 2] <= boxes[k, 0]:
            continue
        near = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
        area, inside, blue, brown = 0.0, 0.0, 0.0, 0.0
        sx, sy, sxx, syy, sxy = 0.0, 0.0, 0.0, 0.0, 0.0
        for y in range(boxes[k, 0], boxes[k, 2]):
            for x in range(boxes[k, 1], boxes[k, 3]):
                if labels[y, x] != k:
                    continue
                area += 1.0
                inside += channel[y, x]
                blue += hematoxylin[y, x]
                brown += dab[y, x]
                sx += x
                sy += y
                sxx += x * x
                syy += y * y
                sxy += x * y
                rim = y == 0 or x == 0 or y == rows - 1 or x == columns - 1
                if not rim:
                    rim = (
                        labels[y - 1, x] != k or labels[y + 1, x] != k or labels[y, x - 1] != k or labels[y, x + 1] != k
                    )
                if rim:
                    for i in range(offsets.shape[0]):
                        v, u = y + offsets[i, 0] - y0, x + offsets[i, 1] - x0
                        if 0 <= v < near.shape[0] and 0 <= u < near.shape[1]:
                            near[v, u] = 1
        free, taken = 0.0, 0.0
        sums = np.zeros((2, 4))
        for y in range(y0, y1):
            for x in range(x0, x1):
                if near[y - y0, x - x0] == 0 or labels[y, x] == k:
                    continue
                value = float(channel[y, x])
                which = 0 if labels[y, x] == 0 else 1
                if which == 0:
                    free += 1.0
                else:
                    taken += 1.0
                sums[which, 0] += value
                sums[which, 1] += value * value
                sums[which, 2] += hematoxylin[y, x]
                sums[which, 3] += dab[y, x]
        if free == 0.0:
            # Walled in by other candidates: they must do.
            around, count = sums[1], taken
        else:
            around, count = sums[0], free
        if count == 0.0:
            continue
        level, mean = inside / area, around[0] / count
        paler = 0.0
        for y in range(y0, y1):
            for x in range(x0, x1):
                if near[y - y0, x - x0] == 1 and labels[y, x] != k and channel[y, x] < level - 0.5 * (level - mean):
                    paler += 1.0
        # A pixel is a square, not a point: its own second moment is 1/12.
        xx = sxx / area - (sx / area) ** 2 + 1.0 / 12.0
        yy = syy / area - (sy / area) ** 2 + 1.0 / 12.0
        xy = sxy / area - sx * sy / area**2
        spread = np.hypot(xx - yy, 2.0 * xy)
        out[k - 1, 0] = area
        out[k - 1, 1] = np.sqrt((xx + yy + spread) / max(xx + yy - spread, 1e-6))
        out[k - 1, 2] = level - mean
        out[k - 1, 3] = (blue - around[2] / count * area) / area
        out[k - 1, 4] = (brown - around[3] / count * area) / area
        out[k - 1, 5] = blue / area
        out[k - 1, 6] = np.sqrt(max(around[1] / count - mean * mean, 0.0))
        out[k - 1, 7] = paler / (free + taken)
    return out
