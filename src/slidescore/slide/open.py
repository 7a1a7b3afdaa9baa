"""Open a path with the first reader that can, or say why none could."""

from __future__ import annotations

import stat
from pathlib import Path

from slidescore.errors import SlideOpenError
from slidescore.slide.image_reader import ImageReader
from slidescore.slide.openslide_reader import OpenSlideReader, detect_vendor
from slidescore.slide.preflight import check_structure
from slidescore.slide.reader import SlideReader
from slidescore.slide.tile_cache import CACHE_BYTES
from slidescore.slide.tile_trial import open_fast

_GENERIC_TIFF = "generic-tiff"


def open_slide(path: Path | str, *, cache_bytes: int = CACHE_BYTES) -> SlideReader:
    """Open a slide or a plain image.

    OpenSlide goes first: it refuses damaged files that other readers go on with. A file that it recognises as a
    scanner's but cannot open is refused, never tried as a plain image; only a TIFF of no known maker is. Tiled JPEG is
    then decoded without it, where that gives the same pixels: see `slidescore.slide.tile_trial`.

    Parameters
    ----------
    path
        The file.
    cache_bytes
        How much memory decoded tiles may take, where the reader keeps them itself.

    Raises
    ------
    SlideOpenError
        There is no such file, it cannot be read, or no reader can open it; the message lists what each said.
    """
    path = Path(path)
    check_file(path)
    remarks = check_structure(path)
    vendor = detect_vendor(path)
    attempts: list[str] = []
    if vendor is None:
        attempts.append("OpenSlide: unknown format")
    else:
        try:
            return open_fast(path, OpenSlideReader(path, remarks), remarks, cache_bytes=cache_bytes)
        except SlideOpenError as error:
            if vendor != _GENERIC_TIFF:
                raise
            attempts.append(error.message)
    try:
        return ImageReader(path, remarks)
    except SlideOpenError as error:
        attempts.append(f"image: {error.message}")
        message = f"cannot be opened as a slide: {'; '.join(attempts)}"
        remedy = error.remedy or "give a whole-slide image that OpenSlide reads, or a PNG, JPEG or TIFF"
        raise SlideOpenError(message, where=str(path), remedy=remedy) from error


def check_file(path: Path) -> None:
    """Refuse a path that is not a file with bytes that this user may read.

    Raises
    ------
    SlideOpenError
        Says which of these it is: missing, a directory, not a regular file, empty, or not permitted.
    """
    where = str(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise SlideOpenError("is a directory, not a slide", where=where, remedy="give one of the files in it")
        if not stat.S_ISREG(status.st_mode):
            raise SlideOpenError("is not a regular file", where=where)
        if status.st_size == 0:
            raise SlideOpenError("the file is empty (0 bytes)", where=where, remedy="copy it again")
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError as error:
        raise SlideOpenError("no such file", where=where) from error
    except PermissionError as error:
        raise SlideOpenError("permission denied", where=where, remedy="ask for read access to it") from error
    except SlideOpenError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SlideOpenError(f"cannot be read: {reason}", where=where) from error
