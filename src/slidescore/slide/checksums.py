"""A manifest of checksums: the only witness that sees every changed byte.

Read as `sha256sum` writes it (`hex  path`, `hex *path`, a leading backslash where the name is escaped), as BSD's
`sha256` and `sha256 -r` do (`SHA256 (path) = hex`, `hex path`), as `openssl dgst` does (`SHA2-256(path)= hex`), or as
CSV with the columns file and sha256.
"""

from __future__ import annotations

import csv
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from slidescore.errors import InputError, SlideOpenError
from slidescore.slide.companions import companion_files
from slidescore.slide.discover import SlideInput

MAX_MANIFEST_BYTES: Final = 1 << 28
"""Some million lines; a file larger than this is a slide given by mistake."""

_BLOCK_BYTES: Final = 1 << 20
_UP: Final = ".."
_LINE: Final = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *]?(.+)")
_TAGGED: Final = re.compile(r"(\\?)SHA(?:2-)?256 ?\((.+)\) ?= ([0-9a-fA-F]{64})")
_UNESCAPED: Final = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a manifest: the parts of its path, and 64 hexadecimal digits in lower case."""

    parts: tuple[str, ...]
    sha256: str

    @property
    def end(self) -> tuple[str, ...]:
        """What a file's path can end in: the parts behind the last "..", which leads out of the manifest's folder."""
        ups = [number for number, part in enumerate(self.parts, 1) if part == _UP]
        return self.parts[ups[-1] :] if ups else self.parts


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of checking a slide: `verified` when each of its files is listed and unchanged."""

    status: Literal["verified", "unlisted"]
    n_listed: int
    n_files: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Checksums by the names of files.

    Attributes
    ----------
    folder
        Where the manifest lies; its paths may be relative to it.
    sha256
        Of the manifest itself.
    by_name
        Entries by the last part of their path.
    """

    folder: Path
    sha256: str
    by_name: Mapping[str, tuple[Entry, ...]]

    def entry_of(self, path: Path) -> Entry | None:
        """Find the line about a file: the one whose path, or most of it, the file's path ends in.

        A line that leads, from the manifest's folder, to another existing file is about that one. A file that is a
        link may be listed by its own name or by that of what it leads to.

        Raises
        ------
        InputError
            Two lines are equally near and state different checksums.
        """
        real = path.resolve()
        given = [tuple(_normal(part) for part in each.parts) for each in (real, path.absolute())]
        near: list[tuple[int, Entry]] = []
        for entry in dict.fromkeys(entry for names in given for entry in self.by_name.get(names[-1], ())):
            leads_to = self.folder.joinpath(*entry.parts).resolve()
            if leads_to == real:
                near.append((max(map(len, given)) + 1, entry))
            elif any(names[-len(entry.end) :] == entry.end for names in given) and not _exists(leads_to):
                near.append((len(entry.end), entry))
        best = [entry for n_parts, entry in near if n_parts == max(n for n, _ in near)]
        if len({entry.sha256 for entry in best}) > 1:
            message = f"the checksum manifest has two checksums for '{path.name}'"
            raise InputError(message, remedy="leave the wrong line out")
        return best[0] if best else None

    def refuse_ambiguity(self, slides: Sequence[SlideInput]) -> None:
        """Refuse a line that could be about several slides.

        Raises
        ------
        InputError
            Names both slides; or two lines are about one slide and state different checksums.
        """
        taken: dict[Entry, SlideInput] = {}
        for slide in slides:
            entry = self.entry_of(slide.path)
            if entry is None:
                continue
            other = taken.setdefault(entry, slide)
            if other.path.resolve() != slide.path.resolve():
                message = (
                    f"'{'/'.join(entry.parts)}' in the checksum manifest could be '{other.file}' or '{slide.file}'"
                )
                raise InputError(message, remedy="write paths relative to INPUT into it")

    def lost(self, slides: Sequence[SlideInput], folders: Sequence[Path]) -> list[str]:
        """List the paths of which there is no file: a slide that was to be scored may never have arrived.

        Parameters
        ----------
        slides
            What was found.
        folders
            Folders that were searched. A line may be relative to one of them, to the manifest, or to a slide.
        """
        taken = {entry for slide in slides if (entry := self.entry_of(slide.path)) is not None}
        # Each folder is listed once: lines times folders would be too many questions for a file server.
        beginnings: dict[str, list[Path]] = {}
        for folder in dict.fromkeys((*folders, *(slide.path.parent for slide in slides))):
            beginnings.setdefault(_UP, []).append(folder / _UP)
            for child in _children(folder):
                beginnings.setdefault(_normal(child.name), []).append(child)
        return sorted(
            "/".join(entry.parts)
            for entries in self.by_name.values()
            for entry in entries
            if entry not in taken
            and not _exists(self.folder.joinpath(*entry.parts))
            and not any(_exists(child.joinpath(*entry.parts[1:])) for child in beginnings.get(entry.parts[0], ()))
        )

    def check(self, path: Path, on_block: Callable[[], None] = lambda: None) -> Checked:
        """Compare a slide, with all the files it is made of, to the manifest.

        Parameters
        ----------
        path
            The file that names the slide.
        on_block
            Called again and again while files are read.

        Raises
        ------
        SlideOpenError
            A file is not the one that is listed, or cannot be read.
        """
        try:
            files = [path, *companion_files(path)]
            entries = [(file, self.entry_of(file)) for file in files]
            listed = [(file, entry) for file, entry in entries if entry is not None]
            for file, entry in listed:
                if _sha256(file, on_block) != entry.sha256:
                    which = "its SHA-256" if len(files) == 1 else "the SHA-256 of one of its files"
                    message = f"{which} is not the one in the checksum manifest"
                    raise SlideOpenError(message, where=str(path), remedy="copy it again from where it was made")
        except InputError as error:
            raise SlideOpenError(error.message, where=str(path), remedy=error.remedy) from error
        except SlideOpenError:
            raise
        except OSError as error:
            raise SlideOpenError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
        return Checked("verified" if len(listed) == len(files) else "unlisted", len(listed), len(files))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises
    ------
    InputError
        It cannot be read, is empty, or has a line that is none of the known forms, or two for one path.
    """
    where = f"--checksums {path}"
    try:
        status = path.stat()
        if not path.is_file() or status.st_size > MAX_MANIFEST_BYTES:
            raise InputError("is no manifest of checksums", where=where, remedy="give what sha256sum writes")
        return _read(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=where) from error


# A worker is asked about one slide after another.
@lru_cache(maxsize=2)
def _read(path: Path, _mtime_ns: int, _size: int) -> Manifest:
    where = f"--checksums {path}"
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8", where=where, remedy="give what sha256sum writes") from error
    found: dict[tuple[str, ...], str] = {}
    for number, name, digest in _lines(text, where):
        parts = _parts(name)
        if not parts or parts[-1] == _UP or "\0" in name:
            raise InputError(f"line {number}: '{name}' names no file", where=where)
        if found.setdefault(parts, digest.lower()) != digest.lower():
            raise InputError(f"line {number}: a second checksum for '{name}'", where=where)
    if not found:
        raise InputError("lists nothing", where=where)
    by_name: dict[str, list[Entry]] = {}
    for parts, digest in found.items():
        by_name.setdefault(parts[-1], []).append(Entry(parts, digest))
    digest = hashlib.sha256(content).hexdigest()
    return Manifest(path.resolve().parent, digest, {name: tuple(entries) for name, entries in by_name.items()})


def _lines(text: str, where: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, path and digest."""
    lines = text.splitlines()
    head = [column.strip().lower() for column in lines[0].split(",")] if lines else []
    if {"file", "sha256"} <= set(head):
        for number, row in enumerate(csv.reader(lines[1:]), 2):
            values = dict(zip(head, map(str.strip, row), strict=False))
            if not any(values.values()):
                continue
            if not re.fullmatch(r"[0-9a-fA-F]{64}", values.get("sha256", "")):
                raise InputError(f"line {number} holds no SHA-256", where=where)
            # Spreadsheets come from Windows as well.
            yield number, values["file"].replace("\\", "/"), values["sha256"]
        return
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.rstrip("\r")
        if not stripped.strip() or stripped.startswith("#"):
            continue
        if found := _LINE.fullmatch(stripped):
            escaped, digest, name = found.groups()
        elif found := _TAGGED.fullmatch(stripped):
            escaped, name, digest = found.groups()
        else:
            raise InputError(f"line {number} is not 'SHA-256  path'", where=where, remedy="give what sha256sum writes")
        yield number, _unescape(name) if escaped else name, digest


def _unescape(name: str) -> str:
    return re.sub(r"\\.", lambda found: _UNESCAPED.get(found[0], found[0]), name)


def _parts(name: str) -> tuple[str, ...]:
    """Cut a path into its parts, "." left out, each in composed form: file systems differ in how they store accents."""
    return tuple(_normal(part) for part in PurePosixPath(name).parts if part != ".")


def _exists(path: Path) -> bool:
    """Whether there is such a file; one in a folder that may not be looked into is not known to be there."""
    try:
        return path.exists()
    except OSError:
        return False


def _children(folder: Path) -> list[Path]:
    """List what lies in a folder; nothing where it is none, or may not be looked into."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _normal(part: str) -> str:
    return unicodedata.normalize("NFC", part)


def _sha256(path: Path, on_block: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            on_block()
    return digest.hexdigest()
