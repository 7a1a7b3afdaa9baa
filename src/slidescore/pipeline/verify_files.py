"""Whether the files of a run are those that were written: none changed, none missing, none foreign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from slidescore.audit.log import LOG_FILE
from slidescore.errors import RunFolderError
from slidescore.report.digests import DIGESTS_FILE, RUN_FILES, SEAL, is_sealed, read_digests
from slidescore.report.files import read_json, sha256_of
from slidescore.report.lease import LEASE_NAME, LOCK_NAME
from slidescore.report.run_folder import TEMPORARY

EXPORTS: Final = "exports"
"""Where `slidescore export` writes by default; its files are made again instead of being listed."""
_WORK: Final = ".work"
_RESULT: Final = "result.json"
_OF_A_SLIDE: Final = ("cells.parquet", "tiles.parquet", "overlay.tiff", "thumbnail.png", "report.html")


@dataclass(slots=True)
class FileCheck:
    """What looking at the files of a run came to.

    Attributes
    ----------
    differences, notes
        One line each.
    changed
        Files that are missing or not what was written, by path below the run with forward slashes.
    n_files
        Files whose bytes were looked at.
    digest
        SHA-256 of digests.sha256; empty without that file.
    """

    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    n_files: int = 0
    digest: str = ""

    def change(self, name: str, text: str) -> None:
        """Report a file as changed, once."""
        if name not in self.changed:
            self.changed.add(name)
            self.differences.append(f"{name}: {text}")


def check_files(run: Path) -> FileCheck:
    """Hold every file of a run against its digest.

    Parameters
    ----------
    run
        A run folder.
    """
    check = FileCheck()
    listed = _read_list(run, check)
    expected = dict(listed or {})
    # Reviews go on after the list was written; their log vouches for itself.
    known = {DIGESTS_FILE, LOG_FILE, *(() if listed else RUN_FILES)}
    for name, digests in _slide_digests(run, check):
        known.add(name)
        if listed is not None and name not in listed:
            check.change(name, f"is not listed in {DIGESTS_FILE}")
        for file, digest in digests.items():
            if expected.setdefault(file, digest) != digest:
                check.change(name, f"has another digest of {file} than {DIGESTS_FILE}")
    for name, digest in sorted(expected.items()):
        _check_file(run, name, digest, check)
    known |= set(expected)
    for path in sorted(path for path in run.rglob("*") if not path.is_dir()):
        name = path.relative_to(run).as_posix()
        if name not in known and not name.startswith(f"{EXPORTS}/"):
            _report_stranger(run, name, check)
    check.notes = list(dict.fromkeys(check.notes))
    return check


def _read_list(run: Path, check: FileCheck) -> dict[str, str] | None:
    try:
        listed = read_digests(run)
    except RunFolderError as error:
        check.change(DIGESTS_FILE, error.message)
        return None
    if listed is None:
        check.change(DIGESTS_FILE, "is missing: the run was stopped hard, or is of an older version")
        return None
    check.digest = sha256_of(run / DIGESTS_FILE)
    return listed


def _slide_digests(run: Path, check: FileCheck) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every result.json that is as it was written, and the digests it holds, by path below the run."""
    for path in sorted(run.glob(f"slides/*/{_RESULT}")):
        name = path.relative_to(run).as_posix()
        content, digests = b"", None
        try:
            content = path.read_bytes()
            digests = dict(read_json(path)["digests"]) if is_sealed(content) else None
        except (OSError, RunFolderError, LookupError, TypeError, ValueError):
            digests = None
        if digests is not None:
            folder = path.parent.relative_to(run).as_posix()
            yield name, {f"{folder}/{file}": str(digest) for file, digest in digests.items()}
        elif f'"{SEAL}"'.encode() not in content:
            check.change(name, "has no seal: it is of an older version, or was changed since it was written")
        else:
            check.change(name, "was changed since it was written")


def _check_file(run: Path, name: str, digest: str, check: FileCheck) -> None:
    path = run / name
    if not path.is_file():
        check.change(name, "is missing")
        return
    try:
        found = sha256_of(path)
    except OSError as error:
        check.change(name, f"cannot be read: {error.strerror or type(error).__name__}")
        return
    check.n_files += 1
    if found != digest:
        check.change(name, "was changed since it was written")


def _report_stranger(run: Path, name: str, check: FileCheck) -> None:
    """Say what a file is that no digest is known of."""
    parts = Path(name).parts
    result = "/".join((*parts[:2], _RESULT))
    of_a_slide = any(parts == ("slides", *parts[1:2], file) for file in _OF_A_SLIDE)
    if name in check.changed or (of_a_slide and result in check.changed):
        # What its result.json held of it is lost, which is said already.
        return
    if name == f"{LOG_FILE}-journal":
        check.notes.append("a review is being stored, or was stopped hard; the log is put right when it is next opened")
    elif name in (LEASE_NAME, LOCK_NAME):
        check.notes.append("the run was stopped hard, or another machine is writing to it")
    elif _WORK in parts and not (run.joinpath(*parts[: parts.index(_WORK)]) / _RESULT).is_file():
        check.notes.append(f"{'/'.join(parts[: parts.index(_WORK) + 1])} holds the work of a stopped run")
    elif any(Path(name).match(pattern) for pattern in TEMPORARY):
        check.notes.append(f"{name} was left half-written by a stopped run")
    elif of_a_slide and not (run / result).exists():
        # The slide failed when it was scored once more, and its result was taken back.
        check.notes.append(f"{'/'.join(parts[:2])} holds files of an earlier result, and no result")
    else:
        check.differences.append(f"{name}: does not belong to the run")
