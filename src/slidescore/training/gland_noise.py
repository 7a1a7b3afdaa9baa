"""Smooth noise of the composed glands.

It differs from `texture.smooth_noise` in what it draws. The held-back glands of the examination come from fixed seeds,
so a change of its draws would change the examination.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

RIM_CELLS = 3
"""Grid points beyond the field, so that the grid's phase can be drawn."""
CUBIC_GAIN = 1.35
"""1 / standard deviation of white noise of unit variance after cubic interpolation, measured."""


def smooth_noise(side: int, scale_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a square of smooth noise of about unit variance.

    Parameters
    ----------
    side
        Side of the square, px.
    scale_px
        Distance of independent values; below 1 it is taken as 1.
    rng
        Source of all randomness.

    Returns
    -------
    ndarray
        float32, (side, side).
    """
    scale = max(scale_px, 1.0)
    cells = max(int(np.ceil(side / scale)), 1) + RIM_CELLS
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    large = cv2.resize(coarse, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    y, x = rng.integers(0, np.array(large.shape) - side + 1)
    return np.asarray(large[y : y + side, x : x + side] * np.float32(CUBIC_GAIN))
