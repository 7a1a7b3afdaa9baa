"""From stain maps to a picture: stain vectors, Beer-Lambert, optics, sensor and JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.training.ranges import RenderRanges
from slidescore.training.texture import Plane, draw, smooth_noise

Vector = tuple[float, float, float]

HEMATOXYLIN_KINDS: tuple[Vector, ...] = ((0.65, 0.70, 0.29), (0.65, 0.70, 0.29), (0.74, 0.61, 0.29), (0.66, 0.63, 0.41))
"""Hematoxylin of Ruifrok and Johnston 2001 (twice as likely), a bluer one and a greyer one."""

DAB_KINDS: tuple[Vector, ...] = (
    (0.27, 0.57, 0.78),
    (0.27, 0.57, 0.78),
    (0.27, 0.57, 0.78),
    (0.37, 0.58, 0.73),
    (0.29, 0.61, 0.74),
)
"""DAB of Ruifrok and Johnston 2001 (thrice as likely), a darker and a redder one."""

EOSIN_KINDS: tuple[Vector, ...] = ((0.07, 0.99, 0.11), (0.12, 0.93, 0.34))
"""Eosin of Ruifrok and Johnston 2001, and a more orange one."""

SCALE_8BIT = 255.0
"""Highest grey level."""

LN10 = float(np.log(10.0))
"""Optical densities are decadic."""


def draw_vector(kinds: tuple[Vector, ...], turn_degrees: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return one of `kinds` turned by `turn_degrees` in a random direction; float64, (3,), RGB, length 1."""
    vector = np.asarray(kinds[int(rng.integers(len(kinds)))], np.float64)
    vector /= np.linalg.norm(vector)
    aside = rng.standard_normal(3)
    aside -= (aside @ vector) * vector
    aside /= np.linalg.norm(aside)
    angle = np.radians(turn_degrees)
    turned = np.clip(np.cos(angle) * vector + np.sin(angle) * aside, 0.0, None)
    return np.asarray(turned / np.linalg.norm(turned), np.float64)


def transmit(planes: list[Plane], vectors: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Return the share of light that passes stains of these ODs (Beer-Lambert); float32, (H, W, 3), RGB, 0-1."""
    od = np.stack(planes, axis=-1) @ np.stack(vectors).astype(np.float32)
    return np.asarray(cv2.exp(od * np.float32(-LN10)), np.float32)


def photograph(
    transmission: NDArray[np.float32], mpp: float, ranges: RenderRanges, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Take the picture: blur, sharpening, white point, tone, noise, JPEG; uint8, (H, W, 3), RGB."""
    light = transmission
    sigma_px = draw(rng, ranges.blur_sigma_um, ranges.blur_skew) / mpp
    if sigma_px > 0.2:  # noqa: PLR2004  # a narrower one changes nothing
        light = cv2.GaussianBlur(light, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT)
    if rng.random() < 0.4:  # noqa: PLR2004
        soft = cv2.GaussianBlur(light, (0, 0), 0.5 / mpp, borderType=cv2.BORDER_REFLECT)
        light = light + np.float32(draw(rng, ranges.sharpen)) * (light - soft)
    light = np.clip(light, 0.0, 1.2)
    gamma = draw(rng, ranges.gamma)
    if rng.random() < 0.5:  # noqa: PLR2004
        light = cv2.pow(light, gamma)
    saturation = np.float32(draw(rng, ranges.saturation))
    grey = light.mean(axis=-1, keepdims=True, dtype=np.float32)
    light = grey + saturation * (light - grey)
    white = draw(rng, ranges.white_point) - rng.uniform(0.0, ranges.white_tint, size=3)
    levels = light * (white * draw(rng, ranges.brightness)).astype(np.float32)
    if rng.random() < 0.3:  # noqa: PLR2004  # uneven illumination
        shade = 1.0 + 0.02 * smooth_noise((levels.shape[0], levels.shape[1]), 150.0 / mpp, rng)
        levels = levels * shade[..., None]
    noise = draw(rng, ranges.noise_levels, 2.0)
    if noise > 0.3:  # noqa: PLR2004  # less than rounding
        grain = rng.standard_normal(levels.shape, dtype=np.float32)
        if rng.random() < 0.5:  # noqa: PLR2004  # demosaicked sensors have soft, coloured noise
            grain = cv2.GaussianBlur(grain, (0, 0), 0.7) * np.float32(2.0)
        levels = levels + np.float32(noise) * grain
    picture: NDArray[np.uint8] = np.clip(np.rint(levels), 0, SCALE_8BIT).astype(np.uint8)
    if rng.random() < ranges.no_jpeg_probability:
        return picture
    low, high = ranges.jpeg_quality
    return jpeg(picture, int(rng.integers(low, high + 1)))


def jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return `picture` after a JPEG pass; uint8, (H, W, 3), RGB."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
