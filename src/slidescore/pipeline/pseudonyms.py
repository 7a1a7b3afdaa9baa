"""Pseudonyms of slides, and the key file that alone leads back to their names.

A key file is a CSV outside of every run folder, readable by its owner only. It is only ever added to, and read again by
the next command, so a slide keeps its pseudonym. New slides get the next numbers in random order: numbers given in the
order of names, or of anything computed from names, would give the names away to whoever has the list of patients.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Final, TextIO

from slidescore.errors import InputError, RunFolderError, SlidescoreError
from slidescore.report.files import read_json
from slidescore.report.run_folder import RunFolder
from slidescore.report.storage import sync_folder
from slidescore.slide import SlideInput

KEY_COLUMNS: Final = ("pseudonym", "file", "path", "fingerprint", "annotations")
"""Columns of a key file."""
OWNER_ONLY: Final = 0o600
"""Mode of a key file."""
_HEAD: Final = ",".join(KEY_COLUMNS)
_FORM: Final = "slide-{:04d}"
_NAMES: Final = "surrogateescape"
"""How file names that are no valid UTF-8 are written and read."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One line of a key file: under which pseudonym which slide was scored.

    Attributes
    ----------
    pseudonym
        What stands for the slide in every output.
    file
        Its path below INPUT.
    path
        Where it was, absolute.
    fingerprint
        What its bytes were; empty when it could not be read.
    annotations
        Where its annotations were, absolute; empty without.
    """

    pseudonym: str
    file: str
    path: str
    fingerprint: str = ""
    annotations: str = ""


def check_key_file(key: Path, run: Path) -> None:
    """Refuse a key file that would lie in a run folder, or is something else.

    Raises
    ------
    InputError
        If it lies in this run folder or in another one, is no key file, or cannot be read.
    """
    above = (key.resolve(), *key.resolve().parents)
    if run.resolve() in above or any(RunFolder(folder).run_json.is_file() for folder in above):
        raise InputError(
            "lies in a run folder, which is what is passed on",
            where=f"key file {key.name}",
            remedy="keep it in a folder that only those may read who may know the names",
        )
    if key.exists() and not key.is_file():
        raise InputError("is no file", where=f"key file {key.name}")
    if not key.parent.is_dir():
        raise InputError("its folder does not exist", where=f"key file {key.name}")
    if key.exists():
        read_key_file(key)


def refuse_mixed_names(run: Path, *, pseudonymized: bool) -> None:
    """Refuse to write names into a run folder of pseudonyms, or pseudonyms beside names.

    Raises
    ------
    RunFolderError
        If the folder holds a run of the other kind.
    """
    if not RunFolder(run).run_json.is_file():
        return
    if bool(read_json(RunFolder(run).run_json).get("pseudonymized")) != pseudonymized:
        holds, remedy = "names", "give another --out"
        if not pseudonymized:
            holds, remedy = "pseudonyms", "give --pseudonymize with its key file, or another --out"
        raise RunFolderError(f"holds results under {holds}", where=str(run), remedy=remedy)


def read_key_file(key: Path) -> list[KeyRow]:
    """Read a key file.

    Raises
    ------
    InputError
        If it is none, or cannot be read.
    """
    try:
        with key.open(encoding="utf-8", errors=_NAMES, newline="") as handle:
            return _read(handle, key.name)
    except OSError as error:
        raise _unusable(key.name, error) from error


def give_pseudonyms(key: Path, slides: Sequence[KeyRow]) -> list[str]:
    """Give slides their pseudonyms and write down who is who, before anything else is written.

    A slide is known by its path, or, where its folder was moved, by its file name and fingerprint.

    Parameters
    ----------
    key
        The key file; made if need be, added to otherwise.
    slides
        The slides; their `pseudonym` is not looked at.

    Returns
    -------
    list of str
        In the order of `slides`; all different.

    Raises
    ------
    InputError
        If the key file cannot be used.
    """
    with _held(key) as handle:
        known = _read(handle, key.name)
        names = _known_names(known, slides)
        new = [number for number, name in enumerate(names) if not name]
        secrets.SystemRandom().shuffle(new)
        for count, number in enumerate(new, start=_last_number(known) + 1):
            names[number] = _FORM.format(count)
        rows = [
            KeyRow(name, slide.file, slide.path, slide.fingerprint, slide.annotations)
            for name, slide in zip(names, slides, strict=True)
        ]
        _append(handle, [row for row in sorted(rows, key=lambda row: row.pseudonym) if row not in set(known)])
    return names


def _known_names(known: Sequence[KeyRow], slides: Sequence[KeyRow]) -> list[str]:
    """Find the pseudonyms that slides already have; empty for new ones."""
    by_path = {row.path: row.pseudonym for row in known}
    by_content = {(row.file, row.fingerprint): row.pseudonym for row in known if row.fingerprint}
    names = [by_path.get(slide.path, "") for slide in slides]
    taken = set(names)
    for number, slide in enumerate(slides):
        moved = by_content.get((slide.file, slide.fingerprint), "")
        if not names[number] and moved not in taken:
            names[number] = moved
            taken.add(moved)
    return names


def _last_number(known: Sequence[KeyRow]) -> int:
    return max((int(row.pseudonym.rpartition("-")[2]) for row in known), default=0)


def rename_slides(
    key: Path, slides: Sequence[SlideInput], fingerprints: Mapping[int, str], roi: Path | None
) -> list[SlideInput]:
    """Give slides their pseudonyms as their names in every table; where they are stays as it is.

    Parameters
    ----------
    key
        The key file.
    slides
        The slides of a run under their own names.
    fingerprints
        By place in `slides`; those that could not be read have none.
    roi
        Folder of annotations, if there is one.

    Raises
    ------
    InputError
        If the key file cannot be used.
    """
    rows = []
    for number, slide in enumerate(slides):
        drawn = roi / f"{slide.file}.geojson" if roi else None
        annotations = str(drawn.resolve()) if drawn and drawn.is_file() else ""
        path = str(slide.path.resolve())
        rows.append(KeyRow("", slide.file, path, fingerprints.get(number, ""), annotations))
    return [replace(slide, file=name) for slide, name in zip(slides, give_pseudonyms(key, rows), strict=True)]


def hide_names(error: SlidescoreError, slide: SlideInput, pseudonym: str) -> SlidescoreError:
    """Put the pseudonym in place of a slide's own names wherever an error holds one of them."""
    names = (str(slide.path), str(slide.path.resolve()), slide.file, slide.path.name)
    hidden = copy(error)
    for name in dict.fromkeys(names):
        hidden.message, hidden.where, hidden.remedy = (
            text.replace(name, pseudonym) for text in (hidden.message, hidden.where, hidden.remedy)
        )
    # What repr() shows.
    hidden.args = (hidden.message, hidden.where, hidden.remedy)
    return hidden


@contextmanager
def _held(key: Path) -> Iterator[TextIO]:
    """Open a key file for reading and adding, for its owner only, and keep other commands out of it."""
    try:
        descriptor = os.open(key, os.O_RDWR | os.O_CREAT, OWNER_ONLY)
        with os.fdopen(descriptor, "r+", encoding="utf-8", errors=_NAMES, newline="") as handle:
            # Without locks, as on some network file systems, two commands must not use one key file at once.
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            os.fchmod(handle.fileno(), OWNER_ONLY)
            # Pseudonyms of a key file that a loss of power takes away could never be led back.
            sync_folder(key.parent)
            yield handle
    except OSError as error:
        if isinstance(error, SlidescoreError):
            raise
        raise _unusable(key.name, error) from error


def _read(handle: TextIO, name: str) -> list[KeyRow]:
    """Read the rows of an open key file; a last line cut off by a power failure named nobody yet."""
    try:
        handle.seek(0)
        head = handle.read(len(_HEAD))
        if not _HEAD.startswith(head):
            # Seen before all of it is read: a slide may have been given by mistake.
            raise _is_no_key_file(name)
        text = head + handle.read()
        whole = text[: text.rfind("\n") + 1]
        rows = list(csv.reader(io.StringIO(whole, newline=""), strict=True))
    except csv.Error as error:
        raise _is_no_key_file(name) from error
    if _HEAD.startswith(text):
        return []
    if not rows or tuple(rows[0]) != KEY_COLUMNS or any(len(row) != len(KEY_COLUMNS) for row in rows):
        raise _is_no_key_file(name)
    found = [KeyRow(*row) for row in rows[1:]]
    if not all(row.pseudonym.rpartition("-")[2].isdecimal() for row in found):
        raise _is_no_key_file(name)
    return found


def _append(handle: TextIO, rows: Sequence[KeyRow]) -> None:
    """Add rows at the end of the last whole line, and have them on the disk before they are used."""
    handle.seek(0)
    text = handle.read()
    whole = text[: text.rfind("\n") + 1]
    if whole and not rows:
        return
    writer = csv.writer(added := io.StringIO(newline=""), lineterminator="\n")
    if not whole:
        writer.writerow(KEY_COLUMNS)
    writer.writerows(astuple(row) for row in rows)
    handle.seek(0)
    handle.truncate(len(whole.encode("utf-8", _NAMES)))
    handle.seek(0, os.SEEK_END)
    handle.write(added.getvalue())
    handle.flush()
    os.fsync(handle.fileno())


def _is_no_key_file(name: str) -> InputError:
    return InputError(
        "is no key file of slidescore, and is not written over", where=f"key file {name}", remedy="give another name"
    )


def _unusable(name: str, error: OSError) -> InputError:
    return InputError(f"cannot be used: {error.strerror or type(error).__name__}", where=f"key file {name}")
