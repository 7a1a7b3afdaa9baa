"""A made-up real nucleus."""

from __future__ import annotations

import numpy as np

from slidescore.cells.types import TUMOR
from slidescore.training.donors import Donor


def elliptic_donor(semi_major: float = 11.0, semi_minor: float = 6.0, angle: float = 0.6) -> Donor:
    y, x = np.mgrid[-16:17, -16:17].astype(np.float64)
    u, v = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    mask = np.hypot(u / semi_major, v / semi_minor) < 1
    # one half of the nucleus is dark, so that its chromatin can be told from a drawn one
    return Donor(np.where(mask, np.where(u > 0, 0.9, 0.3), 0.05).astype(np.float32), mask, 0.4, TUMOR)
