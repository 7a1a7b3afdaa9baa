"""A look at a file's structure before any C library opens it.

What cannot be true is refused here, in a second and without its memory, whatever a decoder would make of it. What is
merely odd is remarked: the remarks travel in the properties of the reader and become a QC flag.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from slidescore.errors import SlideOpenError
from slidescore.slide.companions import companion_files
from slidescore.slide.dicom_preflight import check_dicom, is_dicom
from slidescore.slide.png_chunks import PNG_MAGIC, check_png
from slidescore.slide.tiff_preflight import check_tiff
from slidescore.slide.tiff_structure import TIFF_MAGICS


def check_structure(path: Path) -> tuple[str, ...]:
    """Refuse a file that cannot be what it claims to be.

    TIFF, DICOM (with all files of the series) and PNG are looked through; other formats pass, and so does what is no
    slide at all: the readers have words for it.

    Parameters
    ----------
    path
        A regular file.

    Returns
    -------
    tuple of str
        Remarks: what is odd but does not stop scoring. They repeat numbers of the file, never its text.

    Raises
    ------
    SlideOpenError
        The structure is damaged or claims what no slide has; or the file cannot be read.
    """
    try:
        files = (path, *companion_files(path)) if is_dicom(path) else (path,)
        stamps = tuple((status.st_mtime_ns, status.st_size) for status in map(Path.stat, files))
        return _check(files, stamps)
    except SlideOpenError as error:
        raise SlideOpenError(error.message, where=str(path), remedy=error.remedy) from error
    except OSError as error:
        raise SlideOpenError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


# A slide is opened once a thread; it is looked through once, as long as none of its files changes.
@lru_cache(maxsize=16)
def _check(files: tuple[Path, ...], _stamps: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    path = files[0]
    if is_dicom(path):
        return check_dicom(files)
    with path.open("rb") as file:
        magic = file.read(len(PNG_MAGIC))
        if magic.startswith(TIFF_MAGICS):
            return check_tiff(file)
        if magic == PNG_MAGIC:
            check_png(file)
    return ()
