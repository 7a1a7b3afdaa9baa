"""TIFF files that OpenSlide leaves alone: stripped ones, and tiled ones in a coding it does not read.

The largest page is the image. It is decoded once, or mapped into memory when it is stored plainly. tifffile fills what
a file does not hold with black, so a page with missing or cut-off pieces is refused before it is decoded.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tifffile

from slidescore.errors import SlideOpenError
from slidescore.slide.decoded_image import DAMAGED, SAVE_AS_RGB, UM_PER_CM, UM_PER_INCH, DecodedImage, check_size
from slidescore.slide.jpeg_codes import check_jpeg, with_tables
from slidescore.slide.library_words import library_words

_RGB, _PALETTE, _YCBCR = 2, 3, 6
_PREMULTIPLIED, _STRAIGHT = 1, 2
_UNIT_UM: Final = {2: UM_PER_INCH, 3: UM_PER_CM}
_JPEG_CODINGS: Final = (6, 7)
_BITS: Final = 8
_OPAQUE: Final = 255
# What tifffile and its codecs raise on damaged files.
DECODE_ERRORS: Final = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError),
    *(struct.error, zlib.error),
)


def decode_tiff(path: Path) -> DecodedImage:
    """Decode the largest page of a TIFF.

    Raises
    ------
    SlideOpenError
        It is damaged or incomplete, too large, a stack of images, or not 8-bit colour.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            page = _largest_page(tiff)
            check_size(page.imagewidth, page.imagelength)
            _check_colour(page)
            _check_complete(page, path.stat().st_size)
            pixels = _pixels(path, page)
            orientation = int(page.tags.valueof("Orientation", 1))
            return DecodedImage(pixels, "tiff", _stated_mpp(page), "InterColorProfile" in page.tags, orientation)
    except SlideOpenError:
        raise
    except DECODE_ERRORS as error:
        raise SlideOpenError(f"TIFF: {library_words(error)}", remedy=DAMAGED) from error


def _largest_page(tiff: tifffile.TiffFile) -> Any:
    """Find the page to score; the smaller ones are thumbnails, labels or the levels of a pyramid."""
    pages = [page.aspage() for page in tiff.pages]
    if not pages:
        raise SlideOpenError("TIFF: it has no image", remedy=DAMAGED)
    largest = max(pages, key=lambda page: page.imagewidth * page.imagelength)
    same = sum((page.imagewidth, page.imagelength) == (largest.imagewidth, largest.imagelength) for page in pages)
    if same > 1 or largest.imagedepth > 1:
        message = f"TIFF: a stack of {max(same, largest.imagedepth)} images of one size"
        raise SlideOpenError(message, remedy="save the image to be scored on its own")
    return largest


def _check_colour(page: Any) -> None:
    """Refuse what is not 8-bit RGB, a palette of such colours, or JPEG."""
    bits = page.bitspersample
    if page.dtype != np.uint8 or bits != _BITS:
        raise SlideOpenError(f"{bits}-bit TIFF", remedy=SAVE_AS_RGB)
    photometric, samples = int(page.photometric), page.samplesperpixel
    if photometric == _PALETTE and samples == 1 and page.colormap is not None:
        return
    in_jpeg = photometric == _YCBCR and int(page.compression) in _JPEG_CODINGS
    if not (photometric == _RGB or in_jpeg) or samples not in (3, 4):
        message = f"TIFF of {samples} channel(s), photometric {getattr(page.photometric, 'name', photometric)}"
        raise SlideOpenError(f"{message}: stains are told apart by RGB colour", remedy=SAVE_AS_RGB)
    if samples == 4 and tuple(map(int, page.extrasamples))[:1] not in ((_PREMULTIPLIED,), (_STRAIGHT,)):  # noqa: PLR2004
        raise SlideOpenError("TIFF with a fourth channel that is not said to be alpha", remedy=SAVE_AS_RGB)


def _check_complete(page: Any, file_size: int) -> None:
    """Refuse a page some of whose pieces are missing or lie past the end of the file."""
    offsets, counts = page.dataoffsets, page.databytecounts
    missing = sum(offset == 0 or count == 0 for offset, count in zip(offsets, counts, strict=True))
    past_end = sum(offset + count > file_size for offset, count in zip(offsets, counts, strict=True))
    if missing or past_end or not offsets:
        message = f"TIFF: {missing + past_end} of its {len(offsets)} strips or tiles are missing or cut off"
        raise SlideOpenError(message, remedy=DAMAGED)


def _check_jpeg_codes(path: Path, page: Any) -> None:
    """Refuse JPEG pieces that the decoder would go on with after a warning."""
    if int(page.compression) not in _JPEG_CODINGS:
        return
    tables = page.jpegtables
    with path.open("rb") as file:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            piece = file.read(count)
            check_jpeg(piece if tables is None else with_tables(piece, tables))


def _pixels(path: Path, page: Any) -> npt.NDArray[np.uint8]:
    """Decode a page to (H, W, 3) or (H, W, 4), alpha straight."""
    _check_jpeg_codes(path, page)
    mapped = page.is_memmappable
    stored: npt.NDArray[np.uint8] = tifffile.memmap(path, page=page.index, mode="r") if mapped else page.asarray()
    if int(page.photometric) == _PALETTE:
        colours: npt.NDArray[np.uint8] = (np.asarray(page.colormap).T >> _BITS).astype(np.uint8)
        return colours[stored.reshape(page.imagelength, page.imagewidth)]
    if page.axes.startswith("S"):
        stored = np.moveaxis(stored, 0, -1)
    pixels = stored.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
    if page.samplesperpixel == 4 and int(page.extrasamples[0]) == _PREMULTIPLIED:  # noqa: PLR2004
        return _straight(pixels)
    return pixels


def _straight(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Divide colours by alpha where that changes them."""
    out = np.array(pixels)
    partial = (out[..., 3] > 0) & (out[..., 3] < _OPAQUE)
    alpha = out[partial, 3:].astype(np.float64)
    out[partial, :3] = np.clip(np.rint(out[partial, :3] * (_OPAQUE / alpha)), 0, _OPAQUE).astype(np.uint8)
    return out


def _stated_mpp(page: Any) -> tuple[float, float] | None:
    """Resolution from XResolution, YResolution and ResolutionUnit (inch when absent, as TIFF 6.0 has it)."""
    um = _UNIT_UM.get(int(page.tags.valueof("ResolutionUnit", 2)))
    x, y = page.tags.valueof("XResolution"), page.tags.valueof("YResolution")
    if um is None or x is None or y is None or not all((*x, *y)):
        return None
    return (um * x[1] / x[0], um * y[1] / y[0])
