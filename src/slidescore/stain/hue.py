"""Where a colour lies between the two stains: angles of optical density, whatever its strength.

Optical density is a direction (the colour) times a length (how much of it). Every mixture of hematoxylin and DAB lies
on the arc between the two stains; colours off the arc are something else. Two angles say where a direction lies:
*along* the arc, 0 at hematoxylin and some 37 degrees at DAB, and *across* it, positive towards green and blue (ink,
neutral black at +7) and negative towards red (eosin at -25 to -40, red chromogens).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.stain.vectors import StainVectors, unit


@dataclass(frozen=True, slots=True)
class HueFrame:
    """Axes to tell hues by.

    Attributes
    ----------
    axes
        float64, (3, 3): rows hematoxylin, the direction towards DAB at a right angle to it, and the normal of their
        plane.
    separation_degrees
        Angle between the stains.
    """

    axes: NDArray[np.float64]
    separation_degrees: float


def hue_frame(vectors: StainVectors) -> HueFrame:
    """Return the frame of two stains."""
    hematoxylin, dab, normal = vectors.matrix
    towards_dab = unit(dab - (dab @ hematoxylin) * hematoxylin)
    separation = float(np.degrees(np.arctan2(dab @ towards_dab, dab @ hematoxylin)))
    return HueFrame(np.stack([hematoxylin, towards_dab, normal]), separation)


def hue_angles(
    density: NDArray[np.float64], frame: HueFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return length, angle along the arc and angle across it of optical densities.

    Parameters
    ----------
    density
        float64, (..., 3), optical density in R, G, B.
    frame
        The stains' frame.

    Returns
    -------
    length, along_degrees, across_degrees
        float64, (...); angles are 0 where the length is.
    """
    # Not a matrix product: its last bits depend on how many rows there are.
    red, green, blue = density[..., 0], density[..., 1], density[..., 2]
    along_h, along_d, across = (red * axis[0] + green * axis[1] + blue * axis[2] for axis in frame.axes)
    length = np.linalg.norm(density, axis=-1)
    sine = np.divide(across, length, out=np.zeros_like(length), where=length > 0)
    return length, np.degrees(np.arctan2(along_d, along_h)), np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))


def off_arc_degrees(
    along_degrees: NDArray[np.float64], across_degrees: NDArray[np.float64], frame: HueFrame
) -> NDArray[np.float64]:
    """Return how far a hue lies from the nearest mixture of the two stains; float64, (...), degrees.

    Beside the arc that is the angle across it; beyond its ends, the angle to the nearer stain.
    """
    nearest = np.clip(along_degrees, 0.0, frame.separation_degrees)
    cosine = np.cos(np.radians(along_degrees - nearest)) * np.cos(np.radians(across_degrees))
    off: NDArray[np.float64] = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return off
