"""Drawn outlines, before anything is computed from them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_CROSSINGS: Final = 100
"""How often a drawn outline may cross itself. A hand crosses its line a few times; making areas of a line that crosses
itself 20,000 times takes minutes."""


def is_tangled(ring: NDArray[np.float64]) -> bool:
    """Whether a closed outline crosses itself more than `MOST_CROSSINGS` times.

    Parameters
    ----------
    ring
        float64, (K, 2), corners x, y; closed by itself.

    Notes
    -----
    Two edges cross when each has its ends on different sides of the other; edges that only touch do not count.
    """
    start, stop = ring, np.roll(ring, -1, axis=0)
    crossings = 0
    for edge in range(len(ring) - 1):
        a, b, c, d = start[edge], stop[edge], start[edge + 1 :], stop[edge + 1 :]
        apart = (_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)
        crossings += int(np.count_nonzero(apart))
        if crossings > MOST_CROSSINGS:
            return True
    return False


def _side(start: NDArray[np.float64], stop: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tell on which side of lines points lie, by the sign; one line and many points, or the other way round."""
    along, across = stop - start, point - start
    signs: NDArray[np.float64] = np.sign(along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0])
    return signs
