"""The run folder: what lies where, who may write to it, and when a slide counts as done."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from slidescore.assay import Assay, LoadedAssay, assay_digest, parse_assay
from slidescore.errors import AssayError, RunFolderBusyError, RunFolderError
from slidescore.report.files import read_json, sha256_of, write_json

RUN_SCHEMA = 1
DATA_FILES = ("cells.parquet", "tiles.parquet", "overlay.tiff")
"""Files of a slide whose digests result.json holds."""


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

    def begin(self) -> None:
        """Clear what an interrupted or outdated run left; from here on the slide is not done.

        Raises
        ------
        RunFolderError
            If the folder cannot be written to.
        """
        try:
            self.result.unlink(missing_ok=True)
            # An overlay or page drawn under other options must not stand beside the new tables.
            for stale in [path for path in self.path.glob("*") if path.is_file()]:
                stale.unlink()
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"cannot be written: {error.strerror or error}", where=str(self.path)) from error

    def finish(self, record: Mapping[str, Any], key: Mapping[str, Any]) -> None:
        """Move the files into place and write result.json, last."""
        try:
            for file in sorted(self.work.iterdir()):
                file.replace(self.path / file.name)
            self.work.rmdir()
            digests = {name: sha256_of(self.path / name) for name in DATA_FILES if (self.path / name).is_file()}
        except OSError as error:
            raise RunFolderError(f"cannot be written: {error.strerror or error}", where=str(self.path)) from error
        write_json(self.result, {**record, "key": dict(key), "digests": digests})

    def done(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the result if the slide is done under the same key and its tables are there, else None."""
        if not self.result.is_file():
            return None
        try:
            record = read_json(self.result)
        except RunFolderError:
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
            return parse_assay(content["assay"]["text"], where="run.json")
        except (KeyError, TypeError) as error:
            raise RunFolderError("holds no assay", where=str(self.run_json)) from error
        except AssayError as error:
            message = f"holds an assay of another version: {error.message}"
            raise RunFolderError(message, where=str(self.run_json)) from error


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
    elif path.is_dir() and not folder.run_json.is_file() and any(path.iterdir()):
        raise RunFolderError(
            "is not empty and is not a run folder", where=str(path), remedy="give a new or empty --out"
        )
    try:
        (path / "slides").mkdir(parents=True, exist_ok=True)
        # Asked now, not after the first slide has been computed.
        probe = path / f".{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RunFolderError(f"cannot be written: {error.strerror or error}", where=str(path)) from error
    return folder


@contextmanager
def held(folder: RunFolder) -> Iterator[None]:
    """Hold a run folder while writing to it.

    Raises
    ------
    RunFolderBusyError
        If another process holds it.
    """
    lock = folder.path / ".lock"
    with _locked(lock, folder.path) as handle:
        handle.truncate(0)
        handle.write(f"pid {os.getpid()} on {socket.gethostname()}")
        handle.flush()
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _locked(lock: Path, run: Path) -> TextIO:
    """Open and lock a file that its last holder may be removing at this moment."""
    while True:
        handle = lock.open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            with handle:
                handle.seek(0)
                holder = handle.read().strip() or "another process"
            raise RunFolderBusyError(f"is in use by {holder}", where=str(run), remedy="wait for it") from error
        if lock.exists() and os.path.samestat(os.fstat(handle.fileno()), lock.stat()):
            return handle
        # Locked, but no longer the file of that name: somebody else can lock the new one.
        handle.close()


def list_results(folder: RunFolder) -> list[dict[str, Any]]:
    """Read the result.json of every finished slide that run.json lists, by file name.

    A result of another assay, segmenter or version than run.json names is of an earlier command, whose successor was
    stopped before it came to that slide; it is left out.

    Raises
    ------
    RunFolderError
        If one cannot be read.
    """
    run = read_json(folder.run_json)
    paths = [folder.slide(slide_id).result for slide_id in run.get("slides", {})]
    results = [read_json(path) for path in paths if path.is_file()]
    return sorted((each for each in results if _made_by(each) == _made_by(run)), key=lambda each: str(each.get("file")))


def _made_by(content: Mapping[str, Any]) -> tuple[Any, ...]:
    """Say what made a run.json or a result.json: digests of assay and segmenter, and the version that judged.

    The `key` of a result will not do here: after a rescore it still names the version that measured.
    """
    parts = (("assay", "digest"), ("model", "digest"), ("versions", "slidescore"))
    return tuple((content.get(part) or {}).get(name) for part, name in parts)
