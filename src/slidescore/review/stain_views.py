"""What a tile is shown as: its colours, one stain alone, or the optical density of DAB as a heat map.

A stain alone is what light would be if the other stain were washed out: white * 10 ** (-od * vector), by the white and
the vectors that the slide was measured with (Beer-Lambert; Ruifrok and Johnston 2001). The two pictures multiplied give
the slide's colours back, but for what neither stain explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from slidescore.report.overlay_pyramid import MISSING_COLOUR
from slidescore.review.pixel_source import PixelSource
from slidescore.stain import StainVectors, separate
from slidescore.stain.vectors import unit

View = Literal["rgb", "hematoxylin", "dab", "heat"]
VIEWS: Final[tuple[View, ...]] = ("rgb", "hematoxylin", "dab", "heat")
HEAT_MAX_OD: Final = 1.5
"""DAB optical density at the heat map's upper end; the lower is 0."""
QUALITY: Final = 88
"""Of JPEG tiles."""
LEGEND_PX: Final = (256, 16)
"""Width and height of the heat map's legend."""

_LEAST_OD: Final = -0.5
"""Brighter than glass by this much is as bright as it gets."""
_STEPS_PER_OD: Final = 1000
"""Steps of optical density in a table of colours: half a grey level where light is brightest."""
_N_STEPS: Final = 3501
"""From -0.5 to 3: with three channels of 8 bits no stain reaches more."""

Colours = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Stains:
    """The white and the vectors that a slide was measured with."""

    white: tuple[float, float, float]
    vectors: StainVectors


def read_stains(record: Mapping[str, Any]) -> Stains:
    """Take them from a slide's result.json."""
    said = record["stains"]
    red, green, blue = said["white"]
    vectors = StainVectors(tuple(said["hematoxylin"]), tuple(said["dab"]), said["vectors_source"])
    return Stains((red, green, blue), vectors)


def view_tile(source: PixelSource, stains: Stains, view: View, k: int, column: int, row: int) -> bytes:
    """Read a tile and encode it in one view, as JPEG.

    Raises
    ------
    ValueError
        There is no such tile.
    """
    rgb, valid = source.read_tile(k, column, row)
    if view != "rgb":
        rgb = show_stain(rgb, stains, view)
        if not valid.all():
            rgb[~valid] = MISSING_COLOUR
    return encode_jpeg(rgb, view)


def show_stain(rgb: NDArray[np.uint8], stains: Stains, view: View) -> NDArray[np.uint8]:
    """Show one stain of an image, or DAB as a heat map; uint8, (H, W, 3), RGB."""
    planes = separate(rgb, stains.white, stains.vectors)
    od = planes.hematoxylin_od if view == "hematoxylin" else planes.dab_od
    steps = np.clip((od - np.float32(_LEAST_OD)) * np.float32(_STEPS_PER_OD) + np.float32(0.5), 0, _N_STEPS - 1)
    colours: NDArray[np.uint8] = _colours(stains, view)[steps.astype(np.int32)]
    return colours


def encode_jpeg(rgb: NDArray[np.uint8], view: View) -> bytes:
    """Encode a tile; colours of a slide are as coarse as scanners store them, those of stains are kept."""
    sampling = "420" if view == "rgb" else "444"
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), QUALITY, "RGB", sampling)
    return encoded


def heat_legend_png() -> bytes:
    """Draw the heat map's colours from 0 (left) to HEAT_MAX_OD (right) as a PNG of 256 x 16 px, without words."""
    width, height = LEGEND_PX
    row = _heat(np.linspace(0.0, HEAT_MAX_OD, width))
    picture = np.repeat(row[None], height, axis=0)
    return bytes(cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1])


@lru_cache(maxsize=16)
def _colours(stains: Stains, view: View) -> Colours:
    """Tabulate the colour of each step of optical density; uint8, (_N_STEPS, 3), RGB."""
    od = _LEAST_OD + np.arange(_N_STEPS) / _STEPS_PER_OD
    if view == "heat":
        return _heat(od)
    vector = unit(np.asarray(stains.vectors.hematoxylin if view == "hematoxylin" else stains.vectors.dab))
    light = np.asarray(stains.white) * 10.0 ** (-od[:, None] * vector)
    return np.rint(np.clip(light, 0, 255)).astype(np.uint8)


def _heat(od: NDArray[np.float64]) -> Colours:
    """Colour optical densities by magma backwards, so that glass is light and strong stain dark; uint8, (N, 3)."""
    grey = np.rint(np.clip(1.0 - od / HEAT_MAX_OD, 0, 1) * 255).astype(np.uint8)
    colours: Colours = cv2.applyColorMap(grey[None], cv2.COLORMAP_MAGMA)[0, :, ::-1]
    return np.ascontiguousarray(colours)
