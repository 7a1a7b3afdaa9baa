"""Find the slides below what the user named, each once, in an order that is the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slidescore.errors import InputError
from slidescore.slide.companions import companion_files
from slidescore.slide.dicom_series import series_uid

SUFFIXES: Final = frozenset(
    [
        *(".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".bif", ".svslide", ".dcm", ".czi"),
        *(".png", ".jpg", ".jpeg"),
    ]
)
_RUN_FILE: Final = "run.json"
_RUN_FILE_BYTES: Final = 65_536
_LISTING_SUFFIXES: Final = (".vms", ".vmu")


@dataclass(frozen=True, slots=True)
class SlideInput:
    """A slide to be scored.

    Attributes
    ----------
    path
        Where it is.
    file
        Its name in every table: the path below INPUT with forward slashes, prefixed by INPUT's name when there are
        several inputs.
    """

    path: Path
    file: str


def find_slides(inputs: Sequence[Path]) -> list[SlideInput]:
    """Find the slides in files and directories, sorted by `file`.

    A file that is named is taken whatever its suffix. In directories, recursively, files of a known suffix are taken;
    hidden files and folders, run folders of slidescore, and the parts of slides of several files are left out. A link
    that leads nowhere, or a pipe, of such a name is taken too: its row says what it is. A slide that is reached twice
    is taken once, under the name of the input that comes first.

    Parameters
    ----------
    inputs
        Files and directories.

    Raises
    ------
    InputError
        An input does not exist, cannot be listed, is a run folder or holds no slide; or two slides would have the same
        `file`.
    """
    found: dict[tuple[str, ...], SlideInput] = {}
    for given in inputs:
        slides = list(_slides_of(given, prefixed=len(inputs) > 1))
        if not slides:
            known = " ".join(sorted(SUFFIXES))
            raise InputError("no slides in this directory", where=str(given), remedy=f"known suffixes: {known}")
        for slide in sorted(slides, key=lambda slide: slide.file):
            found.setdefault(_identity(slide.path), slide)
    by_file: dict[str, SlideInput] = {}
    for slide in found.values():
        other = by_file.setdefault(slide.file, slide)
        if other is not slide:
            message = f"two slides would both be called '{slide.file}': {other.path} and {slide.path}"
            raise InputError(message, remedy="give the directory above both, or rename one")
    return sorted(found.values(), key=lambda slide: slide.file)


def _slides_of(given: Path, *, prefixed: bool) -> Iterator[SlideInput]:
    """Yield the slides of one input, in no particular order; a slide may come more than once."""
    try:
        is_file, is_folder, exists = given.is_file(), given.is_dir(), given.exists()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(given)) from error
    if is_file:
        yield SlideInput(given, _printable(given.name))
        return
    if not is_folder:
        what = "is neither a file nor a directory" if exists else "no such file or directory"
        raise InputError(what, where=str(given))
    if _is_run_folder(given):
        raise InputError("is a run folder, not slides", where=str(given), remedy="give the slides it was made from")
    prefix = f"{given.resolve().name}/" if prefixed and given.resolve().name else ""
    for path in _walk(given, set()):
        yield SlideInput(path, _printable(prefix + path.relative_to(given).as_posix()))


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the slide files below a folder, going into each real folder once."""
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        files = [path for path in entries if path.suffix.lower() in SUFFIXES and not path.is_dir()]
        listed = [path for path in files if path.suffix.lower() in _LISTING_SUFFIXES and path.is_file()]
        parts = {part for path in listed for part in companion_files(path)}
        mirax_folders = {path.with_suffix("") for path in files if path.suffix.lower() == ".mrxs"}
        folders = [path for path in entries if path.is_dir() and path not in mirax_folders]
    except OSError as error:
        raise InputError(f"cannot be listed: {error.strerror or error}", where=str(folder)) from error
    yield from (path for path in files if path not in parts)
    for path in folders:
        if not _is_run_folder(path):
            yield from _walk(path, seen)


def _is_run_folder(folder: Path) -> bool:
    """Whether slidescore wrote this folder."""
    try:
        # Opening a pipe of that name would wait for ever.
        if not (folder / _RUN_FILE).is_file():
            return False
        with (folder / _RUN_FILE).open("rb") as file:
            return b"slidescore" in file.read(_RUN_FILE_BYTES)
    except OSError:
        return False


def _identity(path: Path) -> tuple[str, ...]:
    """Tell slides apart: by the real file, or for DICOM by the real directory and the series."""
    real = path.resolve()
    uid = series_uid(path) if path.suffix.lower() == ".dcm" and path.is_file() else None
    return (str(real.parent), uid) if uid else (str(real),)


def _printable(name: str) -> str:
    """Replace bytes of a file name that are not UTF-8, which no table could hold."""
    return os.fsencode(name).decode("utf-8", "replace") if os.name == "posix" else name
