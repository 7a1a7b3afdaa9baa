"""Seeds of nuclei: the peaks of a map, each with the pixels of its flat top."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from slidescore.cells.flooding import COLUMN_BITS, ROW_SHIFT

Plane = NDArray[np.float32]
BLOCK_SHIFT = 1
"""Peaks are numbered by blocks of 2 x 2 pixels, row by row, as `cv2.connectedComponents` numbers them."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """The n peaks of a map, numbered from 1 in reading order.

    Attributes
    ----------
    places
        int64, (N,): their pixels in reading order, as `slidescore.cells.flooding.rise` takes them.
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
    parts = _join_tops(places)
    rows, columns = places >> ROW_SHIFT, places & COLUMN_BITS
    block = (rows >> BLOCK_SHIFT << ROW_SHIFT) | (columns >> BLOCK_SHIFT)
    first = np.full(len(places), np.iinfo(np.int64).max)
    np.minimum.at(first, parts, block)
    names, number = np.unique(first[parts], return_inverse=True)
    height = np.zeros(len(names), np.float32)
    np.maximum.at(height, number, plane[rows, columns])
    return Peaks(places, (number + 1).astype(np.int32), height)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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
                    longer[:n] = places
                    places = longer
                places[n] = (y << ROW_SHIFT) | x
                n += 1
    return places[:n].copy()


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _join_tops(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join pixels that touch, corners included; int64, (N,): for each one the index of its part's first pixel."""
    n = places.size
    part = np.arange(n)
    above = 0
    for i in range(n):
        y, x = places[i] >> ROW_SHIFT, places[i] & COLUMN_BITS
        if i > 0 and places[i - 1] == places[i] - 1 and x > 0:
            _unite(part, i - 1, i)
        # Pixels come in reading order, and so do their neighbours in the row above.
        wanted = ((y - 1) << ROW_SHIFT) | max(x - 1, 0)
        while above < i and places[above] < wanted:
            above += 1
        at = above
        while at < i and places[at] <= ((y - 1) << ROW_SHIFT) + x + 1:
            _unite(part, at, i)
            at += 1
    for i in range(n):
        part[i] = _root(part, i)
    return part


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _root(part: NDArray[np.int64], i: int) -> int:
    while part[i] != i:
        i = part[i]
    return i


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _unite(part: NDArray[np.int64], i: int, j: int) -> None:
    i, j = _root(part, i), _root(part, j)
    part[max(i, j)] = min(i, j)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mark(labels: NDArray[np.int32], places: NDArray[np.int64], numbers: NDArray[np.int32]) -> None:
    for i in range(places.size):
        labels[places[i] >> ROW_SHIFT, places[i] & COLUMN_BITS] = numbers[i]


def mark_seeds(labels: NDArray[np.int32], peaks: Peaks) -> None:
    """Write the peaks into a label image, int32, (H, W)."""
    _mark(labels, peaks.places, peaks.labels)
