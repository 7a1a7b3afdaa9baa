"""Held-back fields as pictures: nuclei outlined by type, missed ones ringed, false ones ringed and crossed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from slidescore.cells.decode import DecodeSettings
from slidescore.cells.outline import contour_points
from slidescore.cells.types import CELL_TYPES
from slidescore.nn.card import Calibration
from slidescore.training.evaluate import Field, count_field, decode_field
from slidescore.training.metrics import Counts, match_centers
from slidescore.training.scenes import centroids

TYPE_COLOURS = {"tumor": (220, 40, 40), "lymphocyte": (40, 90, 255), "stromal": (0, 160, 60), "other": (150, 60, 170)}
"""Outline colour of each type, RGB."""
MISSED_COLOUR, FALSE_COLOUR, SHADOW_COLOUR = (255, 225, 0), (255, 255, 255), (0, 0, 0)
RING_UM = 3.0
"""Radius of a ring: around a nucleus, and small enough that rings of neighbours can be told apart."""
ZOOM = 2
"""Picture pixels a field pixel, so that outlines leave nuclei to be seen."""
MIN_NUCLEI = 10
"""Fields with fewer say little about a network, and are shown only where there are no others."""
JPEG_QUALITY = 85
SUBPIXEL_BITS = 4
"""OpenCV draws in sixteenths of a pixel."""


@dataclass(frozen=True, slots=True)
class FieldPicture:
    """One field with what was found in it.

    Attributes
    ----------
    group, name
        Group of held-back fields; the scene.
    cells
        Matches by centers.
    jpeg
        The picture, `ZOOM` times as large as the field.
    """

    group: str
    name: str
    cells: Counts
    jpeg: bytes


def best_and_worst(
    groups: Mapping[str, Sequence[Field]], decode: DecodeSettings, calibration: Calibration
) -> tuple[list[FieldPicture], list[FieldPicture]]:
    """Draw of each group the field with the best F1 and the one with the worst, in the order of groups.

    A group of one field has only a best one.
    """
    best: list[FieldPicture] = []
    worst: list[FieldPicture] = []
    for name, fields in groups.items():
        counts = [count_field(field, decode).cells for field in fields]
        shown = [k for k, each in enumerate(counts) if each.n_true >= MIN_NUCLEI] or list(range(len(fields)))
        order = sorted(shown, key=lambda k: -counts[k].f1)
        for chosen, pictures in ((order[:1], best), (order[1:][-1:], worst)):
            pictures += [
                FieldPicture(name, fields[k].scene.name, counts[k], draw_field(fields[k], decode, calibration))
                for k in chosen
            ]
    return best, worst


def draw_field(field: Field, decode: DecodeSettings, calibration: Calibration) -> bytes:
    """Draw one field; JPEG.

    Where nothing is known, nothing that was found is false.
    """
    scene, found = field.scene, decode_field(field, decode, calibration)
    assert found.type_probability is not None
    centers = centroids(found.nuclei)
    pairs = match_centers(scene.centers_px.astype(np.float64) * scene.mpp, centers.astype(np.float64) * scene.mpp)
    at = np.rint(centers).astype(int)
    false = ~np.isin(np.arange(len(centers)), pairs[:, 1]) & scene.known[at[:, 1], at[:, 0]]
    missed = ~np.isin(np.arange(len(scene.centers_px)), pairs[:, 0])
    picture = cv2.resize(field.rgb, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC)
    for label, kind in enumerate(found.type_probability.argmax(axis=1), start=1):
        _outline(picture, found.nuclei, label, TYPE_COLOURS[CELL_TYPES[kind]])
    radius_px = round(ZOOM * RING_UM / scene.mpp)
    for center in scene.centers_px[missed]:
        _ring(picture, center, radius_px, MISSED_COLOUR, crossed=False)
    for center in centers[false]:
        _ring(picture, center, radius_px, FALSE_COLOUR, crossed=True)
    return bytes(imagecodecs.jpeg_encode(picture, level=JPEG_QUALITY, subsampling="444"))


def _outline(picture: NDArray[np.uint8], labels: NDArray[np.int32], label: int, colour: tuple[int, int, int]) -> None:
    rows, columns = np.nonzero(labels == label)
    corner = np.array([columns.min(), rows.min()])
    mask = np.ascontiguousarray(labels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == label).astype(
        np.uint8
    )
    points = np.rint(_zoomed(contour_points(mask) + corner) * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.polylines(picture, [points], True, colour, 1, cv2.LINE_AA, SUBPIXEL_BITS)


def _ring(
    picture: NDArray[np.uint8], center_px: NDArray[np.float32], radius_px: int, colour: tuple[int, int, int], *,
    crossed: bool,
) -> None:  # fmt: skip
    x, y = (int(value) for value in np.rint(_zoomed(center_px)))
    arm = round(radius_px / np.sqrt(2))
    # A dark line below makes a ring readable on white and on brown.
    for shade, width in ((SHADOW_COLOUR, 3), (colour, 2)):
        cv2.circle(picture, (x, y), radius_px, shade, width, cv2.LINE_AA)
        if crossed:
            cv2.line(picture, (x - arm, y + arm), (x + arm, y - arm), shade, width, cv2.LINE_AA)


def _zoomed(points_px: NDArray[np.floating]) -> NDArray[np.floating]:
    """Field pixels to picture pixels; whole numbers are the middles of pixels in both."""
    return (points_px + 1 / 2) * ZOOM - 1 / 2
