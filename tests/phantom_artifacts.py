"""Artifacts drawn over a phantom: what a slide can have besides its tissue, each in a rectangle of pixels.

Every function takes a picture, uint8 (H, W, 3), RGB, and a box (left, top, width, height) in px, and returns a copy.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Box = tuple[int, int, int, int]

HEMOSIDERIN, CARBON, FELT_PEN = (175, 120, 40), (22, 22, 24), (150, 190, 235)


def out_of_focus(rgb: Rgb, box: Box, sigma_px: float = 5.0) -> Rgb:
    return _within(rgb, box, cv2.GaussianBlur(rgb, (0, 0), sigma_px))


def ink(rgb: Rgb, box: Box, colour: tuple[int, int, int] = FELT_PEN) -> Rgb:
    """Lay transparent ink over what is there."""
    return _within(rgb, box, np.rint(rgb * (np.array(colour) / 255.0)))


def carbon(rgb: Rgb, box: Box, share: float = 0.5, seed: int = 0) -> Rgb:
    """Strew black grains of 2 to 5 px radius."""
    return _grains(rgb, box, CARBON, share, seed)


def hemosiderin(rgb: Rgb, box: Box, share: float = 0.5, seed: int = 0) -> Rgb:
    """Strew golden brown grains."""
    return _grains(rgb, box, HEMOSIDERIN, share, seed)


def bubble_rim(rgb: Rgb, box: Box) -> Rgb:
    """Put grey without texture over everything, darker to one side."""
    height, width = rgb.shape[:2]
    shade = np.linspace(120, 190, width)[None, :, None] * np.ones((height, 1, 3))
    return _within(rgb, box, np.rint(shade))


def fold(rgb: Rgb, box: Box, white: tuple[float, float, float]) -> Rgb:
    """Lay tissue over itself three times, out of the plane of focus."""
    light = rgb / np.array(white)
    thrice = light * np.roll(light, (37, 11), (0, 1)) * np.roll(light, (-23, 41), (0, 1))
    # A fold is seldom clear anywhere: some density everywhere.
    dense = cv2.GaussianBlur(thrice * np.array([0.62, 0.58, 0.72]) * np.array(white), (0, 0), 3.0)
    return _within(rgb, box, np.rint(np.clip(dense, 0, 255)))


def _grains(rgb: Rgb, box: Box, colour: tuple[int, int, int], share: float, seed: int) -> Rgb:
    rng = np.random.default_rng(seed)
    drawn, cover = rgb.copy(), np.zeros(rgb.shape[:2], np.uint8)
    left, top, width, height = box
    while cover.sum() < share * width * height:
        place = int(rng.integers(left, left + width)), int(rng.integers(top, top + height))
        radius = int(rng.integers(2, 6))
        cv2.circle(drawn, place, radius, colour, -1)
        cv2.circle(cover, place, radius, 1, -1)
    return _within(rgb, box, drawn)


def _within(rgb: Rgb, box: Box, changed: NDArray[np.generic]) -> Rgb:
    left, top, width, height = box
    out = rgb.copy()
    area = np.s_[top : top + height, left : left + width]
    out[area] = changed[area]
    return out
