"""Seeds of nuclei: the peaks of a map, each with the pixels of its flat top."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.cells.parts import root, unite
from slidescore.kernels import kernel

Plane = NDArray[np.float32]
BLOCK_PX = 2
"""Peaks are numbered by blocks of 2 x 2 pixels, row by row, as `cv2.connectedComponents` numbers them."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """The n peaks of a map, numbered from 1 in reading order.

    Attributes
    ----------
    places
        int64, (N,): the flat indices of their pixels, in order.
    labels
        int32, (N,): whose pixel each is.
    height
        float32, (n,): how high each peak is.
    """

    places: NDArray[np.int64]
    labels: NDArray[np.int32]
    height: Plane


def find_peaks(plane: Plane, mask: NDArray[np.bool_], min_distance_px: float, min_height: float) -> Peaks:
    """Find the pixels that are the highest within reach; a flat top is one peak.

    Parameters
    ----------
    plane
        float32, (H, W).
    mask
        bool, (H, W); pixels outside are no peaks, but hinder lower ones.
    min_distance_px
        Of two peaks that are nearer only the higher one stands; at least one pixel.
    min_height
        What is lower is no peak.
    """
    reach = max(1, round(min_distance_px))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    offsets = np.argwhere(disc > 0) - reach
    # The nearest first: most pixels that are no peak have a higher one beside them.
    offsets = offsets[np.argsort((offsets**2).sum(axis=1), kind="stable")[1:]]
    places = _tops(plane, mask, offsets, np.float32(min_height))
    width = plane.shape[1]
    parts = _join_tops(places, width)
    block = places // width // BLOCK_PX * width + places % width // BLOCK_PX
    first = np.full(len(places), np.iinfo(np.int64).max)
    np.minimum.at(first, parts, block)
    names, number = np.unique(first[parts], return_inverse=True)
    height = np.zeros(len(names), np.float32)
    np.maximum.at(height, number, plane.reshape(-1)[places])
    return Peaks(places, (number + 1).astype(np.int32), height)


@kernel
def _tops(plane: Plane, mask: NDArray[np.bool_], offsets: NDArray[np.int64], least: np.float32) -> NDArray[np.int64]:
    rows, columns = plane.shape
    places = np.empty(1024, np.int64)
    n = 0
    for y in range(rows):
        line = plane[y]
        for x in range(columns):
            value = line[x]
            if not value >= least or not mask[y, x]:
                continue
            highest = True
            for i in range(offsets.shape[0]):
                v, u = y + offsets[i, 0], x + offsets[i, 1]
                if 0 <= v < rows and 0 <= u < columns and plane[v, u] > value:
                    highest = False
                    break
            if highest:
                if n == places.size:
                    longer = np.empty(2 * n, np.int64)
                    for i in range(n):
                        longer[i] = places[i]
                    places = longer
                places[n] = y * columns + x
                n += 1
    return places[:n]


@kernel
def _join_tops(places: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Join pixels that touch, corners included; int64, (N,): for each one the index of its part's first pixel."""
    n = places.size
    part = np.arange(n)
    above = 0
    for i in range(n):
        place = places[i]
        x = place % width
        if i > 0 and x > 0 and places[i - 1] == place - 1:
            unite(part, i - 1, i)
        # Pixels come in reading order, and so do their neighbours in the row above.
        while above < i and places[above] < place - width - min(x, 1):
            above += 1
        at = above
        while at < i and places[at] <= place - width + (x + 1 < width):
            unite(part, at, i)
            at += 1
    for i in range(n):
        part[i] = root(part, i)
    return part
