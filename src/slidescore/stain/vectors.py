"""Stain vectors: which optical density each stain adds to red, green and blue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StainVectors:
    """Unit optical-density vectors (R, G, B) of hematoxylin and DAB, and where they come from."""

    hematoxylin: tuple[float, float, float]
    dab: tuple[float, float, float]
    source: str

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Rows hematoxylin, DAB, residual, each of length 1; float64, (3, 3).

        The residual is the cross product of the two stains, as in Ruifrok and Johnston 2001 and QuPath: what neither
        stain explains.
        """
        hematoxylin = unit(np.asarray(self.hematoxylin, dtype=np.float64))
        dab = unit(np.asarray(self.dab, dtype=np.float64))
        return np.stack([hematoxylin, dab, unit(np.cross(hematoxylin, dab))])

    @property
    def unmixing(self) -> NDArray[np.float64]:
        """Matrix that turns optical density (..., RGB) @ unmixing into (..., stain); float64, (3, 3)."""
        return np.asarray(np.linalg.inv(self.matrix), dtype=np.float64)


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `vector` scaled to length 1."""
    return vector / np.linalg.norm(vector)


def angle_degrees(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the angle between two vectors in degrees."""
    return float(np.degrees(np.arccos(np.clip(unit(a) @ unit(b), -1.0, 1.0))))


def components(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return a vector's parts in R, G and B as plain numbers."""
    red, green, blue = vector.tolist()
    return red, green, blue
