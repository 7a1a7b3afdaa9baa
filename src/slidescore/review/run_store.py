"""The run that is reviewed, as its folder is now: its rows in worst-first order, and one slide's result at a time.

A run can be scored again, or its folder be replaced, while the server runs. So nothing is kept without a stamp of the
file that it came from, and the stamp is looked at again before anything is said in numbers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from slidescore.assay import Assay
from slidescore.audit.reviewed import REVIEWED_COLUMNS
from slidescore.errors import RunFolderError
from slidescore.report.cohort_page import sort_worst_first
from slidescore.report.columns import SCORE_COLUMNS
from slidescore.report.digests import is_sealed, result_digest
from slidescore.report.files import read_json
from slidescore.report.read_rows import read_rows
from slidescore.report.run_folder import RunFolder, SlideFolder, made_by
from slidescore.review.api_params import ApiError

Stamp = tuple[int, int, int] | None
"""When a file was written, its size and its number on the disk; None where there is none."""
Row = Mapping[str, Any]

RESULTS_KEPT: Final = 64
"""Results in memory; each takes some 50 kB, and a run may have 10,000."""
WITHOUT_RESULT: Final = "failed"
"""Status of a slide that could not be scored."""


@dataclass(frozen=True, slots=True, eq=False)
class RunView:
    """A run at one moment.

    Attributes
    ----------
    stamps
        Of run.json and scores.csv.
    content
        Of run.json.
    assay
        The run's.
    rows
        Of scores.csv, as text, worst first.
    by_id
        The same rows by slide_id.
    pictured
        Which slides have a thumbnail.
    """

    stamps: tuple[Stamp, Stamp]
    content: Mapping[str, Any]
    assay: Assay
    rows: tuple[Row, ...]
    by_id: Mapping[str, Row]
    pictured: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class SlideResult:
    """A slide's result at one moment.

    Attributes
    ----------
    stamp
        Of result.json.
    record
        Its content.
    digest
        What reviews call it, see `slidescore.report.digests.result_digest`.
    view
        The run that it belongs to.
    """

    stamp: Stamp
    record: Mapping[str, Any]
    digest: str
    view: RunView

    @property
    def slide_id(self) -> str:
        """The slide."""
        return str(self.record["slide_id"])


class RunStore:
    """Reads a run folder and never writes to it.

    Parameters
    ----------
    path
        The run folder.

    Raises
    ------
    RunFolderError
        If it is no run folder, or holds no table of scores.
    """

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path)
        self._lock = threading.Lock()
        self._results: OrderedDict[str, SlideResult] = OrderedDict()
        self._digests: dict[str, tuple[Stamp, RunView, str]] = {}
        self._view = self._read()

    @property
    def name(self) -> str:
        """Name of the folder, without the folders above."""
        return self.folder.path.resolve().name

    def view(self) -> RunView:
        """Return the run as it is now.

        Raises
        ------
        ApiError
            409 while it is being scored again, or when it is gone.
        """
        view = self._view
        if view.stamps == self._stamps():
            return view
        with self._lock:
            if self._view.stamps != self._stamps():
                try:
                    self._view = self._read()
                except RunFolderError as error:
                    raise _in_between() from error
            return self._view

    def row(self, slide_id: str) -> Row:
        """Return a slide's row of scores.csv.

        Raises
        ------
        ApiError
            404 for a slide that the run does not have.
        """
        row = self.view().by_id.get(slide_id)
        if row is None:
            raise ApiError(404, "there is no such slide in this run", "go back to the list of slides")
        return row

    def result(self, slide_id: str) -> SlideResult:
        """Return a slide's result as it is now.

        Raises
        ------
        ApiError
            404 for a slide that the run does not have or that was not scored; 409 while it is being scored again, or
            where its result was changed by hand.
        """
        row = self.row(slide_id)
        if row.get("status") == WITHOUT_RESULT:
            raise ApiError(404, f"this slide could not be scored: {row.get('reason') or 'no reason is known'}")
        view, stamp = self.view(), stamp_of(self.folder.slide(slide_id).result)
        known = self._results.get(slide_id)
        if known is None or known.stamp != stamp or known.view is not view:
            known = self._read_result(slide_id, stamp, view)
            with self._lock:
                self._results[slide_id] = known
                self._digests[slide_id] = stamp, view, known.digest
                while len(self._results) > RESULTS_KEPT:
                    self._results.popitem(last=False)
        return known

    def digest(self, slide_id: str) -> str:
        """Return what reviews call a slide's result as it is now; costs a look at the file once it was read.

        Raises
        ------
        ApiError
            As `result`.
        """
        view, stamp = self.view(), stamp_of(self.folder.slide(slide_id).result)
        known = self._digests.get(slide_id)
        if known is not None and known[0] == stamp and known[1] is view:
            return known[2]
        return self.result(slide_id).digest

    def is_current(self, result: SlideResult) -> bool:
        """Whether a slide's result is still what is there."""
        try:
            return self.digest(result.slide_id) == result.digest
        except ApiError:
            return False

    def slide_folder(self, slide_id: str) -> SlideFolder:
        """Return the folder of a slide that the run has."""
        return self.folder.slide(slide_id)

    def _stamps(self) -> tuple[Stamp, Stamp]:
        return stamp_of(self.folder.run_json), stamp_of(self.folder.path / "scores.csv")

    def _read(self) -> RunView:
        stamps = self._stamps()
        assay, content = self.folder.read_assay(), read_json(self.folder.run_json)
        if stamps[1] is None:
            raise RunFolderError(
                "holds no scores.csv", where=str(self.folder.path), remedy="score its slides first, or wait for a table"
            )
        rows = read_rows(self.folder.path / "scores.csv", SCORE_COLUMNS, optional=REVIEWED_COLUMNS)
        slides = content.get("slides", {})
        if not isinstance(slides, dict) or not all(isinstance(path, str | None) for path in slides.values()):
            raise RunFolderError("does not list its slides", where=str(self.folder.run_json))
        digest = (content.get("assay") or {}).get("digest")
        if any(row["assay_digest"] != digest for row in rows):
            raise RunFolderError("holds a table of an earlier command", where=str(self.folder.path))
        ordered = tuple(sort_worst_first(rows))
        ids = [str(row["slide_id"]) for row in ordered if row["status"] != WITHOUT_RESULT]
        pictured = frozenset(each for each in ids if (self.folder.slide(each).path / "thumbnail.png").is_file())
        if stamps != self._stamps():
            raise RunFolderError("is being written", where=str(self.folder.path), remedy="try again")
        return RunView(stamps, content, assay, ordered, {str(row["slide_id"]): row for row in ordered}, pictured)

    def _read_result(self, slide_id: str, stamp: Stamp, view: RunView) -> SlideResult:
        try:
            packed = self.folder.slide(slide_id).result.read_bytes()
            record = orjson.loads(packed)
            if stamp is None or made_by(record) != made_by(view.content):
                raise _in_between()
            if not is_sealed(packed):
                raise ApiError(409, "result.json was changed since it was written", "see 'slidescore verify'")
            return SlideResult(stamp, record, result_digest(record), view)
        except (OSError, ValueError, AttributeError, RunFolderError) as error:
            raise _in_between() from error


def stamp_of(path: Path) -> Stamp:
    """Return what tells one state of a file from another; every write of a run replaces the file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _in_between() -> ApiError:
    return ApiError(409, "the run is being scored again, or is not whole", "wait until that is done, then reload")
