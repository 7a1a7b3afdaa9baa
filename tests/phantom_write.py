"""Writes phantoms as tiled JPEG pyramids that OpenSlide opens: generic TIFF and Aperio SVS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}


def write_pyramid(
    path: Path | str,
    rgb: NDArray[np.uint8],
    mpp: float | None,
    levels: Sequence[int] = (1, 4, 16),
    tile: int = 256,
    quality: int = 80,
    subsampling: str = "420",
    description: str | None = None,
) -> Path:
    """Write a pyramid that OpenSlide opens as 'generic-tiff', resolution in pixels per centimetre.

    Parameters
    ----------
    rgb
        uint8, (H, W, 3), RGB: level 0.
    mpp
        um per pixel of level 0; None leaves the resolution out.
    levels
        Downsamples; each level but the first is the area average of level 0.
    tile
        Side of the square tiles in px, a multiple of 16.
    """
    path = Path(path)
    with tifffile.TiffWriter(path, bigtiff=rgb.nbytes > 2**32) as writer:
        for number, downsample in enumerate(levels):
            resolution = None if mpp is None else (1e4 / (mpp * downsample),) * 2
            writer.write(
                shrink(rgb, downsample),
                tile=(tile, tile),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": quality},
                subsampling=SUBSAMPLING[subsampling],
                subfiletype=1 if number else 0,
                resolution=resolution,
                resolutionunit=None if mpp is None else "CENTIMETER",
                description=description if number == 0 else None,
                metadata=None,
                software=False,
            )
    return path


def write_svs(
    path: Path | str,
    rgb: NDArray[np.uint8],
    mpp: float,
    levels: Sequence[int] = (1, 4, 16),
    tile: int = 256,
    quality: int = 80,
    subsampling: str = "420",
) -> Path:
    """Write a pyramid that OpenSlide opens as 'aperio'; arguments as for `write_pyramid`."""
    height, width = rgb.shape[:2]
    power = 10 / mpp
    description = (
        f"Aperio Image Library v12.0.15 \r\n{width}x{height} [0,0 {width}x{height}] ({tile}x{tile}) "
        f"JPEG/RGB Q={quality}|AppMag = {power:g}|MPP = {mpp:g}"
    )
    return write_pyramid(path, rgb, mpp, levels, tile, quality, subsampling, description)


def shrink(rgb: NDArray[np.uint8], downsample: int) -> NDArray[np.uint8]:
    """Average blocks of `downsample` x `downsample` pixels; pixels that fill no block are left out."""
    if downsample == 1:
        return rgb
    height, width = max(rgb.shape[0] // downsample, 1), max(rgb.shape[1] // downsample, 1)
    whole = rgb[: height * downsample, : width * downsample]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
