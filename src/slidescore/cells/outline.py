"""Outlines of cells and nuclei as polygons, in level-0 pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.cells.candidates import bounding_boxes

INT16 = np.iinfo(np.int16)


def trace_outlines(
    labels: NDArray[np.int32],
    keep: NDArray[np.bool_],
    centers_px: NDArray[np.float64],
    scale_l0: float,
) -> list[NDArray[np.int16]]:
    """Trace the outer contour of every kept label.

    Parameters
    ----------
    labels
        int32, (H, W), labels 1..n.
    keep
        bool, (n,), which labels to trace.
    centers_px
        float64, (n, 2), x and y in tile pixels, 0 the middle of the first pixel.
    scale_l0
        Level-0 pixels per tile pixel.

    Returns
    -------
    One int16 (K, 2) array a kept label, in order: dx, dy in level-0 px from its centre. The contour runs a quarter of a
    tile pixel inside the outer edges of the label's pixels.
    """
    n = len(keep)
    boxes = bounding_boxes(labels, n)
    outlines = []
    for k in np.flatnonzero(keep) + 1:
        y0, x0, y1, x1 = boxes[k]
        mask = (labels[y0:y1, x0:x1] == k).astype(np.uint8)
        points = contour_points(mask) + np.array([x0, y0])
        offsets = (points - centers_px[k - 1]) * scale_l0
        outlines.append(np.clip(np.rint(offsets), INT16.min, INT16.max).astype(np.int16))
    return outlines


def contour_points(mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the outline of a mask's largest part as points in mask pixels; float64, (K, 2) of x, y.

    The mask is doubled so that the contour can run through the edges of pixels instead of their centres.
    """
    doubled = cv2.copyMakeBorder(cv2.resize(mask, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST), 1, 1, 1, 1, 0)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    contour = max(contours, key=len)
    simple = cv2.approxPolyDP(contour, 1.0, closed=True)[:, 0, :].astype(np.float64)
    # Doubled pixel d (after a border of 1) covers mask [(d - 1) / 2, d / 2); its centre is (d - 0.5) / 2 - 0.5 there.
    points: NDArray[np.float64] = (simple - 0.5) / 2.0 - 0.5
    return points
