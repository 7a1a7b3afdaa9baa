"""Which cells a drawn region holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cells_inside(
    polygon: NDArray[np.float64], x_l0: NDArray[np.float64], y_l0: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return which points lie inside a polygon by the even-odd rule; bool, (N,).

    Parameters
    ----------
    polygon
        float64, (K, 2), corners x, y; closed by itself, and it may cross itself.
    x_l0, y_l0
        float64, (N,), in the same frame.

    Notes
    -----
    Plain float64 arithmetic in a fixed order, no geometry library: a region holds the same cells with any version of
    anything, for as long as its review counts. The crossing test is W. R. Franklin's PNPOLY, edge by edge.
    """
    inside = np.zeros(len(x_l0), dtype=bool)
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    near = np.flatnonzero((x_l0 >= low[0]) & (x_l0 <= high[0]) & (y_l0 >= low[1]) & (y_l0 <= high[1]))
    near = near[np.argsort(y_l0[near], kind="stable")]
    x, y, odd = x_l0[near], y_l0[near], np.zeros(len(near), dtype=bool)
    ends = np.roll(polygon, -1, axis=0)
    # Half open, so that a corner is crossed once; a level edge crosses nothing.
    first = np.searchsorted(y, np.minimum(polygon[:, 1], ends[:, 1]))
    stop = np.searchsorted(y, np.maximum(polygon[:, 1], ends[:, 1]))
    for edge in np.flatnonzero(first < stop):
        (x0, y0), (x1, y1), span = polygon[edge], ends[edge], slice(first[edge], stop[edge])
        odd[span] ^= x[span] < x0 + (y[span] - y0) / (y1 - y0) * (x1 - x0)
    inside[near] = odd
    return inside
