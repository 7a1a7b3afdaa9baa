"""Plain images: PNG, JPEG, and TIFF files that OpenSlide leaves alone.

The image is decoded at opening and held in memory. EXIF orientation is not applied, so that coordinates are those of
the stored pixels; when it is not upright, the property `image.exif-orientation` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from slidescore.errors import SlideOpenError
from slidescore.slide.array_reader import cut_rgba
from slidescore.slide.decoded_image import DecodedImage
from slidescore.slide.pillow_image import JPEG_MAGIC, decode_jpeg, decode_png
from slidescore.slide.png_chunks import PNG_MAGIC
from slidescore.slide.reader import RegionReader, check_request, with_remarks
from slidescore.slide.resolution import MAX_MICROSCOPE_MPP, MIN_MICROSCOPE_MPP
from slidescore.slide.tiff_image import decode_tiff
from slidescore.slide.tiff_structure import TIFF_MAGICS

_UPRIGHT: Final = 1
_DECODERS: Final[Mapping[bytes, Callable[[Path], DecodedImage]]] = {
    PNG_MAGIC: decode_png,
    JPEG_MAGIC: decode_jpeg,
    **dict.fromkeys(TIFF_MAGICS, decode_tiff),
}


class ImageReader(RegionReader):
    """A plain image, read through the `SlideReader` contract; it has one level.

    Parameters
    ----------
    path
        The image file; its first bytes, not its suffix, say what it is.
    remarks
        What was odd about the file, see `slidescore.slide.preflight`.

    Raises
    ------
    SlideOpenError
        The file is not a PNG, JPEG or TIFF, is damaged, too large, or not 8-bit colour.
    """

    backend: str = "image"
    survives_errors: bool = True
    level_count: int = 1
    level_downsamples: tuple[float, ...] = (1.0,)

    def __init__(self, path: Path, remarks: Sequence[str] = ()) -> None:
        image = _decode(path)
        self._pixels: npt.NDArray[np.uint8] | None = image.pixels
        self.vendor = image.kind
        self.icc_profile = image.icc_profile
        self.mpp = _microscope_mpp(image.mpp)
        self.bounds = None
        self.dimensions = (image.pixels.shape[1], image.pixels.shape[0])
        self.level_dimensions: tuple[tuple[int, int], ...] = (self.dimensions,)
        stated = {} if image.orientation == _UPRIGHT else {"image.exif-orientation": str(image.orientation)}
        self.properties: Mapping[str, str] = MappingProxyType(with_remarks(stated, remarks))

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Read a rectangle; see `SlideReader.read_region`."""
        pixels = self._pixels
        if pixels is None:
            message = "the reader is closed"
            raise ValueError(message)
        check_request(level, self.level_count, size)
        return cut_rgba(pixels, *location, *size)

    def close(self) -> None:
        """Let the pixels go."""
        self._pixels = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _decode(path: Path) -> DecodedImage:
    """Decode a file by what its first bytes say it is."""
    try:
        with path.open("rb") as file:
            head = file.read(max(map(len, _DECODERS)))
        for magic, decode in _DECODERS.items():
            if head.startswith(magic):
                return decode(path)
    except SlideOpenError as error:
        raise SlideOpenError(error.message, where=str(path), remedy=error.remedy) from error
    except OSError as error:
        raise SlideOpenError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    raise SlideOpenError("not a PNG, JPEG or TIFF", where=str(path))


def _microscope_mpp(mpp: tuple[float, float] | None) -> tuple[float, float] | None:
    """Take the resolution of a screen or a printer as "not stated"."""
    if mpp is None or not all(MIN_MICROSCOPE_MPP <= value <= MAX_MICROSCOPE_MPP for value in mpp):
        return None
    return mpp
