"""The digests of a run: what every file was when it was written, so that any changed byte is seen later.

Each result.json carries a seal, a SHA-256 of its own bytes, and the digests of the files beside it; so a slide's folder
speaks for itself, and a file that was damaged between two commands is not taken for new by the second. digests.sha256
lists the files of the whole run in the form of `sha256sum`, with a digest of the list as its last line. It is removed
when a command begins to write and written last, so a run that was stopped hard has none.

Digests show damage and edits. They do not stop a forger, who can write new ones: the SHA-256 of digests.sha256 itself,
kept elsewhere, does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from slidescore.errors import RunFolderError
from slidescore.report.files import read_json, sha256_of, write_bytes
from slidescore.report.storage import remove_file

DIGESTS_FILE: Final = "digests.sha256"
RUN_FILES: Final = ("run.json", "scores.csv", "regions.csv", "patients.csv", "timings.csv", "report.html")
"""Files at the top of a run folder; not every run has all of them."""
REVIEWED_TABLES: Final = ("cells.parquet", "tiles.parquet")
"""Files of a slide that a review is about: what was drawn of them does not matter to it."""
NOT_REVIEWED: Final = ("seal", "key", "versions", "digests")
"""Parts of result.json that say who wrote it, when and where beside, not what came out."""
TABLE_ROWS: Final = ("scores", "regions")
"""Parts of result.json that are rows of the run's tables."""
WRITTEN_BY: Final = "slidescore_version"
"""Column of the version that wrote a row: a newer one that comes to the same numbers ends no review."""
SEAL: Final = "seal"
"""Key in result.json of the SHA-256 of its own bytes, taken while the value of this key is empty."""

_LINE: Final = re.compile(r"([0-9a-f]{64})  (\S.*)")
_SEALED: Final = re.compile(rb'"seal": "([0-9a-f]{64})"')
_LAST_LINE: Final = "# SHA-256 of the lines above: "


def seal(content: Mapping[str, Any]) -> bytes:
    """Write a JSON object that carries the SHA-256 of its own bytes, as its last key."""
    empty = _dump({**content, SEAL: ""})
    return _dump({**content, SEAL: hashlib.sha256(empty).hexdigest()})


def result_digest(record: Mapping[str, Any]) -> str:
    """Return what a review names its result by: SHA-256 of what was measured and judged, in hex.

    Parameters
    ----------
    record
        A result.json as it was read. Its seal, key and library versions do not matter, and of the files beside it only
        the tables; so a rescore under the same assay has the same digest, whether or not it could draw pictures.

    Raises
    ------
    RunFolderError
        If the record names no tables.
    """
    digests = record.get("digests")
    if not isinstance(digests, dict) or not all(digests.get(name) for name in REVIEWED_TABLES):
        raise RunFolderError("holds no digests of its tables", where="result.json", remedy="score the slide again")
    content = {
        name: _without_version(part) if name in TABLE_ROWS else part
        for name, part in record.items()
        if name not in NOT_REVIEWED
    }
    content["digests"] = {name: digests[name] for name in REVIEWED_TABLES}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _without_version(part: Any) -> Any:
    """Leave out of a row, or of each of several, which version of slidescore wrote it."""
    if isinstance(part, list):
        return [_without_version(row) for row in part]
    return {name: value for name, value in part.items() if name != WRITTEN_BY} if isinstance(part, dict) else part


def is_sealed(content: bytes) -> bool:
    """Whether the bytes are those that were sealed."""
    found = list(_SEALED.finditer(content))
    if len(found) != 1:
        return False
    start, end = found[0].span(1)
    return hashlib.sha256(content[:start] + content[end:]).hexdigest().encode() == found[0][1]


def refuse_changed(folder: Path, names: Iterable[str]) -> None:
    """Refuse a slide's files that are not what was written.

    Parameters
    ----------
    folder
        The slide's folder.
    names
        Files in it that its result.json holds a digest of; result.json itself is looked at first.

    Raises
    ------
    RunFolderError
        Naming the first that was changed, or that is missing.
    """
    try:
        result = folder / "result.json"
        sealed = is_sealed(result.read_bytes())
        digests = read_json(result).get("digests", {}) if sealed else {}
        changed = [name for name in names if sha256_of(folder / name) != digests.get(name)]
    except OSError as error:
        raise RunFolderError(f"cannot be read: {error.strerror or error}", where=str(folder)) from error
    if changed or not sealed:
        name = changed[0] if sealed else "result.json"
        raise RunFolderError(
            "was changed since it was written",
            where=str(folder / name),
            remedy="see 'slidescore verify', and score the slide again",
        )


def remove_digests(run: Path) -> None:
    """Take the list away, before anything it lists is changed.

    Raises
    ------
    RunFolderError
        If it cannot be removed.
    """
    remove_file(run / DIGESTS_FILE)


def write_digests(run: Path) -> None:
    """Write the list of a run's files.

    Files of a slide are listed with the digests in its result.json, not with what they hold now. A result.json without
    a valid seal is left out, and what is no part of a run is too.

    Raises
    ------
    RunFolderError
        If a file cannot be read or the list not be written.
    """
    try:
        digests = {name: sha256_of(run / name) for name in RUN_FILES if (run / name).is_file()}
        for result in sorted(run.glob("slides/*/result.json")):
            content = result.read_bytes()
            if is_sealed(content):
                folder = result.parent.relative_to(run).as_posix()
                digests[f"{folder}/{result.name}"] = hashlib.sha256(content).hexdigest()
                digests |= {f"{folder}/{name}": digest for name, digest in read_json(result)["digests"].items()}
    except OSError as error:
        raise RunFolderError(f"cannot be read: {error.strerror or error}", where=str(run)) from error
    write_bytes(run / DIGESTS_FILE, _list(digests))


def read_digests(run: Path) -> dict[str, str] | None:
    """Read the list of a run's files: SHA-256 by path below the run, with forward slashes; None without a list.

    Raises
    ------
    RunFolderError
        If the list cannot be read or is not as it was written.
    """
    path = run / DIGESTS_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunFolderError(f"cannot be read: {error.strerror or error}", where=DIGESTS_FILE) from error
    lines = content.decode("utf-8", "replace").splitlines()
    found = [_LINE.fullmatch(line) for line in lines[:-1]]
    digests = {match[2]: match[1] for match in found if match}
    if content != _list(digests):
        raise RunFolderError("is not as it was written", where=DIGESTS_FILE)
    return digests


def _list(digests: Mapping[str, str]) -> bytes:
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()
    return lines + f"{_LAST_LINE}{hashlib.sha256(lines).hexdigest()}\n".encode()


def _dump(content: Mapping[str, Any]) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
