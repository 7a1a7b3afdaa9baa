"""What identifies a slide: a fingerprint of its bytes, and the id made of its name and fingerprint."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from slidescore.errors import SlideOpenError
from slidescore.slide.companions import companion_files
from slidescore.slide.discover import SlideInput

_BLOCK_BYTES: Final = 65_536
_BLOCKS: Final = 16
_COMPANION_BLOCKS: Final = 4
_STEM_CHARACTERS: Final = 80
_ID_DIGITS: Final = 8
_WINDOWS_DEVICES: Final = frozenset(
    ["con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))]
)


def fingerprint(path: Path) -> str:
    """Compute what a slide's bytes look like without reading all of them.

    SHA-256 over the size and 16 evenly spaced blocks of 64 kB, the first and the last among them; a file of 1 MiB or
    less is read whole. For a slide of several files the others count too, each by its size and four blocks. The name
    of the slide does not count: a copy has the same fingerprint. A change between the blocks of a large file goes
    unseen; `file_sha256` sees it.

    Parameters
    ----------
    path
        The slide.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    SlideOpenError
        A file cannot be read.
    """
    try:
        own = _sampled_digest(path, _BLOCKS)
        parts = companion_files(path)
        if path.suffix.lower() == ".dcm":
            # The files of a series are equals, and their names are arbitrary.
            members = sorted([own, *(_sampled_digest(part, _BLOCKS) for part in parts)])
            return _combined(members) if parts else own
        named = [part.name + "\0" + _sampled_digest(part, _COMPANION_BLOCKS) for part in parts]
        return _combined([own, *named]) if parts else own
    except OSError as error:
        raise SlideOpenError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of the whole file, as `sha256sum` does.

    Raises
    ------
    SlideOpenError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SlideOpenError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def slide_ids(slides: Sequence[tuple[SlideInput, str]]) -> list[tuple[str, str | None]]:
    """Name slides by stem and fingerprint.

    Parameters
    ----------
    slides
        Slides and their fingerprints, in path order.

    Returns
    -------
    list of (slide_id, duplicate_of)
        In the same order. `slide_id` is the sanitised stem, "-" and 8 digits of the fingerprint; where it is taken
        (letter case aside), "-2", "-3" ... is added. `duplicate_of` is the `file` of the first slide with the same
        fingerprint, None when this is the first.
    """
    taken: dict[str, int] = {}
    first_file: dict[str, str] = {}
    ids: list[tuple[str, str | None]] = []
    for slide, digest in slides:
        slide_id = f"{safe_stem(slide.file)}-{digest[:_ID_DIGITS]}"
        count = taken[slide_id.lower()] = taken.get(slide_id.lower(), 0) + 1
        first = first_file.setdefault(digest, slide.file)
        duplicate_of = None if first == slide.file else first
        ids.append((slide_id if count == 1 else f"{slide_id}-{count}", duplicate_of))
    return ids


def safe_stem(file: str) -> str:
    """Make a slide's stem fit for a folder name on any system.

    Letters, digits, ".", "_" and "-" stay; each run of other characters becomes one "_". At most 80 characters,
    never empty, never starting with "." or "-", never the name of a Windows device.
    """
    stem = unicodedata.normalize("NFC", PurePosixPath(file).stem)
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).lstrip(".-")
    safe = re.sub(r"_{2,}", "_", safe)[:_STEM_CHARACTERS] or "slide"
    return f"_{safe}" if safe.split(".")[0].lower() in _WINDOWS_DEVICES else safe


def _sampled_digest(path: Path, n_blocks: int) -> str:
    """Hash a file's size and evenly spaced blocks of it; all of it where the blocks would cover it."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        digest = hashlib.sha256(size.to_bytes(8, "little"))
        if size <= n_blocks * _BLOCK_BYTES:
            file.seek(0)
            digest.update(file.read())
            return digest.hexdigest()
        for i in range(n_blocks):
            file.seek((size - _BLOCK_BYTES) * i // (n_blocks - 1))
            digest.update(file.read(_BLOCK_BYTES))
        return digest.hexdigest()


def _combined(parts: Sequence[str]) -> str:
    """Hash several strings, in the given order."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
