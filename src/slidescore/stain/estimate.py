"""Estimating the stain vectors of one slide, with a guard that falls back to the fixed ones.

The two stains span a plane in optical-density space; the extreme directions of the stained pixels in that plane are
the stains (Macenko et al. 2009, ISBI). On a slide without DAB the second extreme is not DAB: the guard is there for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.stain.vectors import StainVectors, angle_degrees, components, unit

EXTREME_PERCENT = 1.0
"""Share of pixels left out at each extreme, as QuPath's stain estimation does by default."""


@dataclass(frozen=True, slots=True)
class StainEstimate:
    """What was estimated, and whether it was used.

    Attributes
    ----------
    vectors
        The vectors to use: the estimated ones, or the fixed ones after a fall-back.
    used
        Whether the estimate was believed.
    reason
        Why it was not, else empty.
    turn_degrees
        Largest turn of a stain from its fixed vector; None where nothing could be estimated.
    residual_od
        Root mean square optical density that the estimated plane leaves unexplained.
    n_pixels
        Stained pixels it rests on.
    """

    vectors: StainVectors
    used: bool
    reason: str
    turn_degrees: float | None
    residual_od: float | None
    n_pixels: int


def estimate_vectors(
    density: NDArray[np.float64],
    fixed: StainVectors,
    *,
    min_od: float,
    max_turn_degrees: float,
    max_residual_od: float,
    min_stained_pixels: int,
) -> StainEstimate:
    """Estimate hematoxylin and DAB from the optical densities of tissue pixels.

    Parameters
    ----------
    density
        float64, (N, 3), optical density of tissue pixels in R, G, B.
    fixed
        Vectors to compare with and to fall back to.
    min_od
        A pixel is stained when the length of its optical-density vector reaches this.
    max_turn_degrees, max_residual_od, min_stained_pixels
        Beyond these limits the estimate is not believed.
    """
    stained = density[np.linalg.norm(density, axis=1) >= min_od]
    n = len(stained)
    if n < min_stained_pixels:
        return StainEstimate(fixed, False, f"only {n} stained pixels", None, None, n)
    # The plane goes through the origin (no stain, no density), so the moments are not centred.
    _, basis = np.linalg.eigh(stained.T @ stained)
    normal, plane = basis[:, 0], basis[:, 1:][:, ::-1]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
    residual = float(np.sqrt(np.mean((stained @ normal) ** 2)))
    angles = np.arctan2(stained @ plane[:, 1], stained @ plane[:, 0])
    extremes = [plane @ np.array([np.cos(a), np.sin(a)]) for a in np.percentile(angles, [EXTREME_PERCENT, 99.0])]
    reference = fixed.matrix
    # Hematoxylin is the extreme that is redder in density: it absorbs red, DAB hardly does.
    extremes.sort(key=lambda vector: -unit(vector)[0])
    turn = max(angle_degrees(extremes[0], reference[0]), angle_degrees(extremes[1], reference[1]))
    reason = ""
    if turn > max_turn_degrees:
        reason = f"estimate turns {turn:.1f} degrees, more than {max_turn_degrees:g}"
    elif residual > max_residual_od:
        reason = f"residual {residual:.3f} OD, more than {max_residual_od:g}"
    if reason:
        return StainEstimate(fixed, False, reason, turn, residual, n)
    hematoxylin, dab = (components(unit(np.maximum(vector, 0.0))) for vector in extremes)
    return StainEstimate(StainVectors(hematoxylin, dab, "estimated"), True, "", turn, residual, n)
