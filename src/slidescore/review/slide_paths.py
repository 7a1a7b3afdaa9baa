"""Where the slides of a run are: by the run's own list, or in a folder that the user names; known by their bytes."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from slidescore.errors import InputError, SlidescoreError
from slidescore.review.run_store import Stamp, stamp_of
from slidescore.slide import find_slides, fingerprint
from slidescore.slide.open import check_file

LIST_AGAIN_SECONDS: Final = 10.0
"""How old the list of --slides may be before a slide that is not in it is looked for anew."""


@dataclass(frozen=True, slots=True)
class FoundSlide:
    """Where a slide is, or in plain words why it is not shown."""

    path: Path | None
    note: str


class SlidePaths:
    """Finds slides by name and checks them by fingerprint.

    Parameters
    ----------
    folder
        Searched in place of the paths in run.json; None for those.

    Raises
    ------
    InputError
        If the folder is none.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise InputError("is no folder", where=f"--slides {folder}")
        self._folder = folder
        self._lock = threading.Lock()
        self._by_name: dict[str, list[Path]] = {}
        self._listed_s = -math.inf
        self._prints: dict[tuple[Path, Stamp], str] = {}

    def find(self, record: Mapping[str, Any], listed: str | None) -> FoundSlide:
        """Find the slide of a result.

        Parameters
        ----------
        record
            Its result.json.
        listed
            Where run.json says that it was; None under pseudonyms.
        """
        wanted = _print_in(record)
        if self._folder is not None:
            return self._search(str(record["file"]), wanted)
        if listed is None:
            return FoundSlide(None, "The run does not say where its slides are. Start the review with --slides.")
        path = Path(listed)
        found = self._print_of(path)
        if not found:
            return FoundSlide(None, "The slide is not where it was scored. Start the review with --slides.")
        if found != wanted:
            return FoundSlide(None, "The file where the slide was is another one now: its bytes differ.")
        return FoundSlide(path, "")

    def is_at(self, path: Path, record: Mapping[str, Any]) -> bool:
        """Whether a file is, as it is now, the slide of a result."""
        return self._print_of(path) == _print_in(record) != ""

    def _search(self, file: str, wanted: str) -> FoundSlide:
        """Look for a slide, and where it is not found list the folder anew: slides may be brought meanwhile."""
        by_name = self._by_name
        found = self._look(by_name, file, wanted)
        if found.path is not None:
            return found
        with self._lock:
            if time.monotonic() - self._listed_s >= LIST_AGAIN_SECONDS:
                self._by_name = self._list()
                self._listed_s = time.monotonic()
            listed = self._by_name
        return found if listed is by_name else self._look(listed, file, wanted)

    def _look(self, by_name: Mapping[str, list[Path]], file: str, wanted: str) -> FoundSlide:
        """Look at the files of the slide's name first, then, as after renaming, at all others."""
        named = by_name.get(PurePosixPath(file).name, [])
        others = (path for paths in by_name.values() for path in paths if path not in named)
        for path in (*named, *others):
            if wanted and self._print_of(path) == wanted:
                return FoundSlide(path, "")
        if named:
            return FoundSlide(None, "The file of that name in --slides is another one: its bytes differ.")
        return FoundSlide(None, "The slide is not in the folder given with --slides.")

    def _list(self) -> dict[str, list[Path]]:
        assert self._folder is not None
        found = defaultdict(list)
        try:
            for slide in find_slides([self._folder]):
                found[slide.path.name].append(slide.path)
        except InputError:
            # No slide below the folder, or a part of it that cannot be listed: no slide is shown then.
            return {}
        return dict(found)

    def _print_of(self, path: Path) -> str:
        """Fingerprint a file, once in each of its states; empty where there is no such file."""
        known = (path, stamp_of(path))
        if known not in self._prints:
            try:
                # Opening a pipe or a device can wait for ever.
                if not path.is_file():
                    check_file(path)
                self._prints[known] = fingerprint(path)
            except (SlidescoreError, OSError):
                return ""
        return self._prints[known]


def _print_in(record: Mapping[str, Any]) -> str:
    return str((record.get("key") or {}).get("fingerprint") or "")
