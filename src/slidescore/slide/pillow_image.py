"""PNG and JPEG files, decoded by Pillow.

Only what can be scored as it stands is accepted: 8-bit RGB, with or without alpha, or a palette of such colours.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin

from slidescore.errors import SlideOpenError
from slidescore.slide.decoded_image import DAMAGED, SAVE_AS_RGB, UM_PER_CM, UM_PER_INCH, DecodedImage, check_size
from slidescore.slide.jpeg_codes import check_jpeg
from slidescore.slide.library_words import library_words

JPEG_MAGIC: Final = b"\xff\xd8\xff"
_PNG_DEPTH_OFFSET: Final = 24
_EXIF_ORIENTATION: Final = 0x0112
_JFIF_UM: Final = {1: UM_PER_INCH, 2: UM_PER_CM}
_NOT_RGB: Final = {"L": "grayscale", "LA": "grayscale", "1": "black and white", "CMYK": "CMYK"}
# What Pillow raises on damaged files, apart from plain OSError.
_DECODE_ERRORS: Final = (OSError, SyntaxError, ValueError, TypeError, IndexError, struct.error)


def decode_png(path: Path) -> DecodedImage:
    """Decode a PNG; its resolution is that of the pHYs chunk.

    Raises
    ------
    SlideOpenError
        It is damaged, too large, of 16 bits a channel, or has no colour.
    """
    with path.open("rb") as file:
        file.seek(_PNG_DEPTH_OFFSET)
        if file.read(1) == b"\x10":
            # Pillow would drop the lower 8 bits without a word.
            raise SlideOpenError("16-bit PNG", remedy=SAVE_AS_RGB)
    return _decode(path, "png")


def decode_jpeg(path: Path) -> DecodedImage:
    """Decode a JPEG; its resolution is the JFIF density.

    Raises
    ------
    SlideOpenError
        It is damaged, too large, or not RGB.
    """
    return _decode(path, "jpeg")


def _decode(path: Path, kind: str) -> DecodedImage:
    """Decode a file with the plugin for its kind.

    The plugin is called directly: `Image.open` would add a decompression-bomb warning at a size that is ordinary
    here, and `check_size` sets our own limit.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise SlideOpenError("Pillow has been told to accept truncated images (ImageFile.LOAD_TRUNCATED_IMAGES)")
    plugin = PngImagePlugin.PngImageFile if kind == "png" else JpegImagePlugin.JpegImageFile
    try:
        with plugin(path) as image:
            check_size(*image.size)
            mpp = _png_mpp(image) if kind == "png" else _jpeg_mpp(image)
            if kind == "jpeg":
                check_jpeg(path.read_bytes())
            image.load()
            orientation = int(image.getexif().get(_EXIF_ORIENTATION, 1))
            return DecodedImage(np.array(_in_rgb(image)), kind, mpp, "icc_profile" in image.info, orientation)
    except SlideOpenError:
        raise
    except _DECODE_ERRORS as error:
        raise SlideOpenError(f"{kind.upper()}: {library_words(error)}", remedy=DAMAGED) from error


def _in_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB or RGBA where nothing has to be guessed.

    Raises
    ------
    SlideOpenError
        The image has no colour, or colours that need a profile to be read (CMYK).
    """
    if image.mode not in ("RGB", "RGBA", "P"):
        message = f"{_NOT_RGB.get(image.mode, image.mode)} image: stains are told apart by RGB colour"
        raise SlideOpenError(message, remedy=SAVE_AS_RGB)
    if image.mode != "RGBA" and "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode == "P" else image


def _png_mpp(image: Image.Image) -> tuple[float, float] | None:
    """Resolution from pHYs, which Pillow gives as dots per inch when its unit is the metre."""
    dpi = image.info.get("dpi")
    return (UM_PER_INCH / dpi[0], UM_PER_INCH / dpi[1]) if dpi and min(dpi) > 0 else None


def _jpeg_mpp(image: Image.Image) -> tuple[float, float] | None:
    """Resolution from the JFIF density, when it has a unit."""
    um = _JFIF_UM.get(image.info.get("jfif_unit", 0))
    density = image.info.get("jfif_density")
    return (um / density[0], um / density[1]) if um and density and min(density) > 0 else None
