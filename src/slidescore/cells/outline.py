"""Outlines of cells and nuclei as polygons, in level-0 pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.cells.boxes import bounding_boxes
from slidescore.cells.tracing import trace

INT16 = np.iinfo(np.int16)


def trace_outlines(
    labels: NDArray[np.int32],
    keep: NDArray[np.bool_],
    centers_px: NDArray[np.float64],
    scale_l0: float,
    boxes: NDArray[np.int64] | None = None,
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
    boxes
        int64, (n + 1, 4), half-open (y0, x0, y1, x1): where to look for each label, where that is known.

    Returns
    -------
    One int16 (K, 2) array a kept label, in order: dx, dy in level-0 px from its centre. The contour runs a quarter of a
    tile pixel inside the outer edges of the label's pixels.
    """
    boxes = bounding_boxes(labels, len(keep)) if boxes is None else boxes
    offsets, starts, whole = trace(labels, boxes, keep, centers_px, scale_l0, INT16.min, INT16.max)
    outlines = [offsets[starts[k] : starts[k + 1]] for k in np.flatnonzero(keep)]
    if not whole.all():
        place = np.cumsum(keep) - 1
        for k in np.flatnonzero(~whole).tolist():
            outlines[place[k]] = _trace_alone(labels, boxes[k + 1], k + 1, centers_px[k], scale_l0)
    return outlines


def _trace_alone(
    labels: NDArray[np.int32], box: NDArray[np.int64], label: int, center_px: NDArray[np.float64], scale_l0: float
) -> NDArray[np.int16]:
    """Trace one label by OpenCV, in however many parts it is."""
    y0, x0, y1, x1 = box
    mask = (labels[y0:y1, x0:x1] == label).astype(np.uint8)
    offsets = np.rint((contour_points(mask) + np.array([x0, y0]) - center_px) * scale_l0)
    outline: NDArray[np.int16] = np.clip(offsets, INT16.min, INT16.max).astype(np.int16)
    return outline


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
