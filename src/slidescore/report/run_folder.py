"""The run folder: what lies where, who may write to it, and when a slide counts as done."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slidescore.assay import Assay, LoadedAssay, assay_digest, parse_assay
from slidescore.errors import AssayError, RunFolderError
from slidescore.report.digests import is_sealed, seal
from slidescore.report.files import read_json, sha256_of, sync_file, write_bytes
from slidescore.report.lease import LEASE_NAME, LOCK_NAME, Lease, leased
from slidescore.report.storage import cannot_write, sync_folder

RUN_SCHEMA = 1
JOURNALS = "journal"
"""Folder of finished tiles inside a slide's work folder."""
TEMPORARY = (".*.tmp", ".*.probe")
"""Files that a process writes to beside those it is to replace; they stay only when it is killed."""


@dataclass(frozen=True, slots=True)
class SlideFolder:
    """The folder of one slide inside a run."""

    path: Path

    @property
    def result(self) -> Path:
        """The slide's result.json; its presence means done."""
        return self.path / "result.json"

    @property
    def work(self) -> Path:
        """Where files are written before they are moved into place."""
        return self.path / ".work"

    def journal(self, name: str) -> Path:
        """Where the finished tiles of an unfinished slide are kept, one folder for all that was measured alike."""
        return self.work / JOURNALS / name

    def begin(self, keep: str = "") -> None:
        """Clear what an interrupted or outdated run left; from here on the slide is not done.

        Parameters
        ----------
        keep
            Name of a journal that stays if it is there.

        Raises
        ------
        RunFolderError
            If the folder cannot be written to.
        """
        self.undo()
        try:
            # An overlay or page drawn under other options must not stand beside the new tables.
            for stale in [path for path in self.path.glob("*") if path.is_file()]:
                stale.unlink()
            if not self.path.is_dir():
                self.path.mkdir(parents=True)
                sync_folder(self.path.parent)
            self.work.mkdir(exist_ok=True)
            journal = self.journal(keep) if keep else None
            for stale in [*self.work.glob("*"), *(self.work / JOURNALS).glob("*")]:
                if stale not in (journal, self.work / JOURNALS):
                    _remove(stale)
        except OSError as error:
            raise cannot_write(error, self.path) from error

    def undo(self) -> None:
        """Take result.json away: the slide is not done.

        Raises
        ------
        RunFolderError
            If it cannot be removed.
        """
        try:
            if self.result.exists():
                self.result.unlink()
                sync_folder(self.path)
        except OSError as error:
            raise cannot_write(error, self.result) from error

    def finish(self, record: Mapping[str, Any], key: Mapping[str, Any]) -> None:
        """Move the files into place and write result.json, last."""
        try:
            files = sorted(path for path in self.work.iterdir() if path.is_file())
            for file in files:
                sync_file(file)
            # What takes long comes first: a stop after the journal is gone costs the whole slide.
            digests = {file.name: sha256_of(file) for file in files}
            for file in files:
                file.replace(self.path / file.name)
            shutil.rmtree(self.work)
            sync_folder(self.path)
        except OSError as error:
            raise cannot_write(error, self.path) from error
        write_bytes(self.result, seal({**record, "key": dict(key), "digests": digests}))

    def done(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the result if the slide is done under the same key and its files are there, else None.

        A result.json that was changed since it was written is no result.
        """
        try:
            if not is_sealed(self.result.read_bytes()):
                return None
            record = read_json(self.result)
        except (OSError, RunFolderError):
            return None
        whole = all((self.path / name).is_file() for name in record.get("digests", {}))
        return record if whole and record.get("key") == dict(key) else None


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run."""

    path: Path

    def slide(self, slide_id: str) -> SlideFolder:
        """Return the folder of one slide."""
        return SlideFolder(self.path / "slides" / slide_id)

    @property
    def run_json(self) -> Path:
        """Assay, versions, command and where the slides are."""
        return self.path / "run.json"

    def read_assay(self) -> Assay:
        """Return the assay that the run was scored under.

        Raises
        ------
        RunFolderError
            If this is no run folder.
        """
        if not self.run_json.is_file():
            raise RunFolderError("is not a run folder: it has no run.json", where=str(self.path))
        content = read_json(self.run_json)
        try:
            text = content["assay"]["text"]
            if not isinstance(text, str):
                raise RunFolderError("holds no assay", where=str(self.run_json))
            return parse_assay(text, where="run.json")
        except (KeyError, TypeError) as error:
            raise RunFolderError("holds no assay", where=str(self.run_json)) from error
        except AssayError as error:
            message = f"holds an assay of another version: {error.message}"
            raise RunFolderError(message, where=str(self.run_json)) from error


def _is_barely_begun(path: Path) -> bool:
    """Whether a folder is empty, or holds only what a run leaves that was killed before it wrote run.json."""
    for entry in path.iterdir():
        if entry.is_dir():
            if entry.name != "slides" or any(entry.iterdir()):
                return False
        elif not (entry.name in (LEASE_NAME, LOCK_NAME) or any(entry.match(pattern) for pattern in TEMPORARY)):
            return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def open_run_folder(path: Path, loaded: LoadedAssay, *, overwrite: bool) -> RunFolder:
    """Make a run folder, or take up one that holds results of the same assay.

    Raises
    ------
    RunFolderError
        If the folder cannot be made, holds something else, or holds results of another assay.
    """
    folder = RunFolder(path)
    if path.exists() and not path.is_dir():
        raise RunFolderError("is a file", where=str(path), remedy="give another --out")
    if folder.run_json.is_file() and not overwrite:
        digest = read_json(folder.run_json).get("assay", {}).get("digest")
        if digest != assay_digest(loaded.assay):
            name = read_json(folder.run_json).get("assay", {}).get("name")
            raise RunFolderError(
                f"holds results of another assay ({name}, digest {digest})",
                where=str(path),
                remedy="give another --out, or --overwrite, or use 'slidescore rescore'",
            )
    elif path.is_dir() and not folder.run_json.is_file() and not _is_barely_begun(path):
        raise RunFolderError(
            "is not empty and is not a run folder", where=str(path), remedy="give a new or empty --out"
        )
    try:
        (path / "slides").mkdir(parents=True, exist_ok=True)
        # Asked now, not after the first slide has been computed.
        probe = path / f".{os.getpid()}.probe"
        probe.touch()
        probe.unlink(missing_ok=True)
        sync_folder(path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(error, path) from error
    return folder


@contextmanager
def held(folder: RunFolder) -> Iterator[Lease]:
    """Hold a run folder while writing to it; what a killed holder left half-written is removed.

    Raises
    ------
    RunFolderBusyError
        If another process holds it.
    """
    with leased(folder.path) as lease:
        for leftover in (path for pattern in TEMPORARY for path in folder.path.glob(pattern)):
            with suppress(OSError):
                leftover.unlink()
        yield lease


def list_results(folder: RunFolder) -> list[dict[str, Any]]:
    """Read the result.json of every finished slide that run.json lists, by file name.

    A result of another assay, segmenter or version than run.json names, or of a slide that scores.csv calls failed, is
    of an earlier command, whose successor was stopped before it came to that slide; it is left out.

    Raises
    ------
    RunFolderError
        If one cannot be read.
    """
    run = read_json(folder.run_json)
    failed = _failed_slides(folder)
    paths = [folder.slide(slide_id).result for slide_id in run.get("slides", {}) if slide_id not in failed]
    results = [read_json(path) for path in paths if path.is_file()]
    return sorted((each for each in results if made_by(each) == made_by(run)), key=lambda each: str(each.get("file")))


def _failed_slides(folder: RunFolder) -> set[str]:
    """List the slides that scores.csv calls failed; none without that table."""
    try:
        with (folder.path / "scores.csv").open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, csv.Error) as error:
        raise RunFolderError("cannot be read", where=str(folder.path / "scores.csv")) from error
    return {row["slide_id"] for row in rows if row.get("status") == "failed"}


def made_by(content: Mapping[str, Any]) -> tuple[Any, ...]:
    """Say what made a run.json or a result.json: digests of assay and segmenter, and the version that judged.

    The `key` of a result will not do here: after a rescore it still names the version that measured.
    """
    parts = (("assay", "digest"), ("model", "digest"), ("versions", "slidescore"))
    return tuple((content.get(part) or {}).get(name) for part, name in parts)
