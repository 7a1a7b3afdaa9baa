"""Makes nuclei by chance: an outline, chromatin at three scales, a rim, nucleoli. All ranges are tuned by eye."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from slidescore.training.nucleus_drawing import CHROMATIN_LIMITS, Prototypes, prototype_axis, prototype_semi_axis_px
from slidescore.training.ranges import Span


class Chromatin(IntEnum):
    """How the inside of a procedural nucleus looks."""

    GRANULAR = 0
    VESICULAR = 1
    HYPERCHROMATIC = 2
    LYMPHOID = 3
    SPINDLE = 4
    MITOTIC = 5


@dataclass(frozen=True, slots=True)
class ChromatinLook:
    """What sets one kind of chromatin apart."""

    clump: float
    """Contrast of chromatin, relative to the mean OD."""
    rim: float
    """Darkness of the nuclear membrane, relative to the mean OD."""
    nucleolus_chance: float
    """How often there is a nucleolus; a second and a third are rarer."""


LOOKS = {
    Chromatin.GRANULAR: ChromatinLook(clump=0.20, rim=0.30, nucleolus_chance=0.35),
    Chromatin.VESICULAR: ChromatinLook(clump=0.17, rim=0.60, nucleolus_chance=0.75),
    Chromatin.HYPERCHROMATIC: ChromatinLook(clump=0.10, rim=0.10, nucleolus_chance=0.1),
    Chromatin.LYMPHOID: ChromatinLook(clump=0.16, rim=0.10, nucleolus_chance=0.1),
    Chromatin.SPINDLE: ChromatinLook(clump=0.12, rim=0.06, nucleolus_chance=0.12),
    Chromatin.MITOTIC: ChromatinLook(clump=0.30, rim=0.0, nucleolus_chance=0.0),
}
"""In the order of Chromatin."""


@dataclass(frozen=True, slots=True)
class OutlineRanges:
    """Ranges of outlines; lengths in semi-axes."""

    bend: float = 0.10
    """Standard deviation of the bend of the long axis."""
    spindle_bend: float = 0.3
    """The same, added for spindle nuclei."""
    bend_zero: float = 0.4
    """Squared place along the long axis that a bend leaves where it is, so that bent nuclei stay in the middle."""
    taper: float = 0.14
    """Standard deviation of how much wider one end is than the other."""
    lymphoid_bend: float = 0.3
    """Factor on bend and taper of lymphocytes."""
    exponent: Span = (1.8, 2.5)
    """Exponent of the superellipse; 2 is an ellipse."""
    spindle_exponent: float = 0.5
    """Taken off for spindle nuclei, which end in points."""
    lobes: tuple[tuple[int, float], ...] = ((2, 0.05), (3, 0.05), (4, 0.03), (5, 0.025), (7, 0.015))
    """Orders of the irregular part and standard deviation of their amplitudes."""
    lymphoid_lobes: float = 0.6
    """Factor on the lobes of lymphocytes."""
    mitotic_lobes: float = 1.8
    """The same, added to 1 for mitoses."""
    least_radius: float = 0.4
    """Least radius of an irregular outline."""


@dataclass(frozen=True, slots=True)
class TextureRanges:
    """Ranges of chromatin; lengths in semi-axes."""

    grain: tuple[float, float, float] = (0.42, 0.2, 0.09)
    """Sizes of coarse, middle and fine chromatin, Gaussian sigma."""
    fine_px: float = 0.45
    """Least sigma of fine chromatin, samples."""
    shares: tuple[float, float, float] = (0.7, 0.9, 0.55)
    """Weights of the three."""
    rim_strength: Span = (0.3, 1.3)
    """Factor on the rim of a kind."""
    rim_width: float = 0.16
    """Width of the rim, e-fold."""
    rim_mean: float = 0.45
    """Taken off the rim: what it darkens outside, it clears inside."""


@dataclass(frozen=True, slots=True)
class NucleolusRanges:
    """Ranges of nucleoli; lengths in semi-axes."""

    shares: tuple[float, ...] = (1.0, 0.5, 0.3)
    """Factor on the chance of the first, second and third."""
    place: Span = (-0.5, 0.5)
    """Distance from the middle along either axis."""
    size: Span = (0.12, 0.24)
    """Gaussian sigma."""
    strength: Span = (0.4, 1.3)
    """OD relative to the mean of the nucleus."""


OUTLINE, TEXTURE, NUCLEOLUS = OutlineRanges(), TextureRanges(), NucleolusRanges()
"""Ranges of all procedural nuclei."""
MIN_SPREAD = 1e-6
"""Guard of a division."""


def procedural_prototypes(chromatin: NDArray[np.int8], mpp: float, rng: np.random.Generator) -> Prototypes:
    """Make nuclei with chromatin of the wanted kinds.

    Parameters
    ----------
    chromatin
        int8, (n,); Chromatin of each prototype.
    mpp
        Resolution of the canvas, um/px; sets how fine chromatin is.
    rng
        Source of all randomness.

    Returns
    -------
    Prototypes
        One for each entry of chromatin, in order.
    """
    semi = prototype_semi_axis_px(mpp)
    axis = prototype_axis(semi)
    shape = (len(chromatin), len(axis), len(axis))
    x = np.broadcast_to(axis[None, None, :], shape)
    y = np.broadcast_to(axis[None, :, None], shape)
    field = _shape_field(chromatin, x, y, rng)
    texture = _texture(chromatin, field, semi, rng)
    texture += _nucleoli(chromatin, x, y, rng).astype(np.float32)
    texture = np.clip(texture, *CHROMATIN_LIMITS)
    mass = np.clip(field > 0, 0, 1)
    texture /= (texture * mass).sum((1, 2), keepdims=True) / np.maximum(mass.sum((1, 2), keepdims=True), 1)
    layers = np.stack([texture, field], axis=-1).astype(np.float32)
    return Prototypes(layers, chromatin.astype(np.int8), np.full(len(chromatin), -1, np.int8), semi)


def _column(chromatin: NDArray[np.int8], kind: Chromatin) -> NDArray[np.bool_]:
    return np.asarray(chromatin == kind)[:, None, None]


def _shape_field(
    chromatin: NDArray[np.int8], x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Give signed shape fields of bent, tapered, lobed superellipses."""
    column = (len(chromatin), 1, 1)
    spindle, mitotic, lymphoid = (
        _column(chromatin, kind) for kind in (Chromatin.SPINDLE, Chromatin.MITOTIC, Chromatin.LYMPHOID)
    )
    straight = np.where(lymphoid, OUTLINE.lymphoid_bend, 1)
    bend = rng.normal(0, OUTLINE.bend, column) * straight + rng.normal(0, OUTLINE.spindle_bend, column) * spindle
    taper = rng.normal(0, OUTLINE.taper, column) * straight
    yy = (y + bend * (x * x - OUTLINE.bend_zero)) * (1 + taper * x)
    exponent = rng.uniform(*OUTLINE.exponent, column) - OUTLINE.spindle_exponent * spindle
    radius = (np.abs(x) ** exponent + np.abs(yy) ** exponent) ** (1 / exponent)
    theta = np.arctan2(yy, x)
    outline = np.ones(x.shape)
    lobed = np.where(lymphoid, OUTLINE.lymphoid_lobes, 1 + OUTLINE.mitotic_lobes * mitotic)
    for order, amplitude in OUTLINE.lobes:
        strength = rng.normal(0, amplitude, column) * lobed
        outline += strength * np.cos(order * theta + rng.uniform(0, 2 * np.pi, column))
    return np.asarray(1 - radius / np.maximum(outline, OUTLINE.least_radius), np.float32)


def _texture(
    chromatin: NDArray[np.int8], field: NDArray[np.float32], semi: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Give clumps of chromatin and the nuclear membrane, about 1 in the mean."""
    column = (len(chromatin), 1, 1)
    white = rng.standard_normal((3, *field.shape), dtype=np.float32)
    sigmas = [size * semi for size in TEXTURE.grain]
    sigmas[-1] = max(sigmas[-1], TEXTURE.fine_px)
    coarse, middle, fine = (
        _unit(ndimage.gaussian_filter(noise, (0, sigma, sigma), mode="nearest"))
        for noise, sigma in zip(white, sigmas, strict=True)
    )
    clump = np.array([LOOKS[kind].clump for kind in Chromatin], np.float32)[chromatin].reshape(column)
    rim = np.array([LOOKS[kind].rim for kind in Chromatin], np.float32)[chromatin].reshape(column)
    rim = rim * rng.uniform(*TEXTURE.rim_strength, column).astype(np.float32)
    inside = np.clip(field, 0, 1)
    of_coarse, of_middle, of_fine = TEXTURE.shares
    texture = 1 + clump * (of_coarse * coarse + of_middle * middle + of_fine * fine)
    texture += rim * (np.exp(-inside / TEXTURE.rim_width) - TEXTURE.rim_mean)
    return np.asarray(texture, np.float32)


def _unit(noise: NDArray[np.float32]) -> NDArray[np.float32]:
    return noise / max(float(noise.std()), MIN_SPREAD)


def _nucleoli(
    chromatin: NDArray[np.int8], x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Give dark round bodies, most of them in vesicular nuclei."""
    column = (len(chromatin), 1, 1)
    chance = np.array([LOOKS[kind].nucleolus_chance for kind in Chromatin])[chromatin].reshape(column)
    bodies = np.zeros(x.shape)
    for share in NUCLEOLUS.shares:
        present = rng.random(column) < chance * share
        x0, y0 = rng.uniform(*NUCLEOLUS.place, column), rng.uniform(*NUCLEOLUS.place, column)
        size = rng.uniform(*NUCLEOLUS.size, column)
        body = present * rng.uniform(*NUCLEOLUS.strength, column)
        bodies += body * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * size**2))
    return bodies
