"""Profiles of tubular glands, cut at any angle and packed back to back. Ranges are tuned by eye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.training.gland_noise import smooth_noise
from slidescore.training.ranges import Span


@dataclass(frozen=True, slots=True)
class TubuleRanges:
    """Ranges of tubular glands."""

    closed_lumen_um: Span = (0.0, 3.0)
    """Radius of a collapsed lumen."""
    narrow_lumen_um: Span = (6.0, 16.0)
    """Radius of a narrow lumen."""
    wide_lumen_um: Span = (15.0, 40.0)
    """Radius of a dilated lumen."""
    lumen_chance: tuple[float, ...] = (0.4, 0.4, 0.2)
    """How often lumens are closed, narrow, wide."""
    stretch: Span = (1.0, 2.6)
    """Length over width of profiles: 1 is cut across, more is cut obliquely."""
    septum_um: Span = (2.0, 18.0)
    """Stroma between two glands."""
    packing: float = 0.92
    """Pitch of the grid, in diameters of a gland; below 1 neighbours flatten each other."""
    warp: Span = (0.0, 0.25)
    """Bending of the grid, in radii."""
    serration: Span = (0.02, 0.07)
    """Depth of teeth in the outline, in radii; half of the fields have none."""
    teeth: tuple[int, int] = (6, 14)
    """Teeth around a gland, the upper end excluded."""
    jitter: float = 0.08
    """Standard deviation of a gland's place, in pitches."""
    size: Span = (0.8, 1.12)
    """Radius of a gland relative to the field's."""
    exponent: Span = (2.0, 3.2)
    """Exponent of the superellipse: 2 is an ellipse, more is boxy."""
    lobes: tuple[int, ...] = (2, 3, 4)
    """Orders of the irregular part of the outline."""
    lobe_spread: float = 0.04
    """Standard deviation of the amplitude of each, in radii."""
    skipped: float = 0.06
    """Share of places on the grid that stay stroma."""


RANGES = TubuleRanges()
"""Ranges of all fields of tubules."""
FIELD_REACH = 0.75
"""Half width of the grid in sides of the field: more than half a diagonal, so that any turn covers the field."""
PROFILE_REACH, WARP_REACH = 1.45, 3.0
"""Half width of the box in which a gland is drawn: in its long semi-axes, and added for bending, in its amplitudes."""


def lay_tubules(
    band_um: float, side: int, mpp: float, rng: np.random.Generator, ranges: TubuleRanges = RANGES
) -> NDArray[np.bool_]:
    """Put noisy superellipses on a jittered grid; where two meet, a septum of stroma stays between them.

    Parameters
    ----------
    band_um
        Mean height of the epithelium.
    side, mpp
        Pixels a side of the field; their size, um.
    rng
        Source of all randomness.
    ranges
        What may be drawn.

    Returns
    -------
    ndarray
        bool, (side, side); True inside glands, lumens included.
    """
    lumens = (ranges.closed_lumen_um, ranges.narrow_lumen_um, ranges.wide_lumen_um)
    radius = band_um + float(rng.choice([rng.uniform(*lumen) for lumen in lumens], p=ranges.lumen_chance))
    stretch = rng.uniform(*ranges.stretch)
    septum = rng.uniform(*ranges.septum_um)
    turn = rng.uniform(0, np.pi)
    pitch_u, pitch_v = 2 * radius * stretch * ranges.packing + septum, 2 * radius * ranges.packing + septum
    yy, xx = np.mgrid[:side, :side].astype(np.float32) * np.float32(mpp)
    warp = rng.uniform(*ranges.warp) * radius
    xx = xx + warp * smooth_noise(side, radius / mpp, rng)
    yy = yy + warp * smooth_noise(side, radius / mpp, rng)
    middle = side * mpp / 2
    cos, sin = np.cos(turn), np.sin(turn)
    shift_u, shift_v = rng.uniform(0, pitch_u), rng.uniform(0, pitch_v)
    # u runs along the long axes of the profiles, v across
    u = cos * (xx - middle) + sin * (yy - middle) + shift_u
    v = -sin * (xx - middle) + cos * (yy - middle) + shift_v
    serration = rng.choice([0.0, rng.uniform(*ranges.serration)])
    teeth = rng.integers(*ranges.teeth)
    # how deep a place lies in the gland that holds it and in the runner-up; finite, as their difference is asked for
    best = np.full((side, side), -side * mpp, np.float32)
    second = best.copy()
    reach = side * mpp * FIELD_REACH
    for row in range(int(-reach // pitch_v) - 1, int(reach // pitch_v) + 2):
        for column in range(int(-reach // pitch_u) - 1, int(reach // pitch_u) + 2):
            u0 = (column + 0.5 * (row % 2) + rng.normal(0, ranges.jitter)) * pitch_u
            v0 = (row + rng.normal(0, ranges.jitter)) * pitch_v
            size = radius * rng.uniform(*ranges.size)
            exponent = rng.uniform(*ranges.exponent)
            if rng.random() < ranges.skipped:
                continue
            reach_um = PROFILE_REACH * size * stretch + WARP_REACH * warp
            box = (
                _span(middle + sin * (u0 - shift_u) + cos * (v0 - shift_v), reach_um, mpp),
                _span(middle + cos * (u0 - shift_u) - sin * (v0 - shift_v), reach_um, mpp),
            )
            p, q = (u[box] - u0) / (size * stretch), (v[box] - v0) / size
            if p.size == 0:
                continue
            theta = np.arctan2(q, p)
            outline = 1 + serration * np.abs(np.sin(teeth * theta / 2))
            for order in ranges.lobes:
                lobe = rng.normal(0, ranges.lobe_spread)
                outline = outline + lobe * np.cos(order * theta + rng.uniform(0, 2 * np.pi))
            rho = (np.abs(p) ** exponent + np.abs(q) ** exponent) ** np.float32(1 / exponent)
            level = ((1 - rho / outline) * size).astype(np.float32)
            second[box] = np.maximum(second[box], np.minimum(best[box], level))
            best[box] = np.maximum(best[box], level)
    return np.asarray((best > 0) & (best - second > septum), bool)


def _span(middle_um: float, reach_um: float, mpp: float) -> slice:
    """Give the pixels within reach of a place along one axis."""
    return slice(max(int((middle_um - reach_um) / mpp), 0), max(int((middle_um + reach_um) / mpp) + 1, 0))
