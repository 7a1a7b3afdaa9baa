"""All that the server has at hand: the run, its reviews, the slides that are open, and the tiles that were drawn."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slidescore.audit.log import LOG_FILE, ReviewLog
from slidescore.review.api_params import ApiError
from slidescore.review.cell_store import CellStore
from slidescore.review.opened_slide import OpenedSlide
from slidescore.review.pixel_store import PixelStore
from slidescore.review.review_book import ReviewBook, head_of
from slidescore.review.run_store import WITHOUT_RESULT, RunStore
from slidescore.review.slide_paths import SlidePaths
from slidescore.review.summaries import Summary, summarize_events
from slidescore.review.tile_cache import EncodedTiles

RESULTS_OPEN: Final = 32
"""Slides whose results are at hand; their cells and files are counted by stores of their own."""
TRUST_SECONDS: Final = 1.0
"""How long tiles rely on a result without looking at its file; what is said in numbers never does."""


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """How the server was started.

    Attributes
    ----------
    token
        Who has it may come in.
    hosts
        Names that the server goes by, without port.
    port
        The port that it is bound to.
    reviewer
        Name that the page fills in; may be empty.
    blind
        Whether readers are to see nothing that the machine found.
    ticket
        Lets one browser in once; none where it is empty.
    """

    token: str
    hosts: frozenset[str]
    port: int
    reviewer: str = ""
    blind: bool = False
    ticket: str = ""


class Desk:
    """What handlers work with; any number of threads may.

    Parameters
    ----------
    run
        The run folder.
    slides
        Where the slides are; None for the paths in run.json.
    options
        How the server was started.

    Raises
    ------
    RunFolderError
        If `run` is no run folder or its review log is damaged.
    InputError
        If `slides` is no folder.
    """

    def __init__(self, run: Path, slides: Path | None, options: ReviewOptions) -> None:
        self.options = options
        self.run = RunStore(run)
        self.book = ReviewBook(ReviewLog(run / LOG_FILE))
        self.book.refresh()
        self.tiles = EncodedTiles()
        self._paths, self._pixels, self._cells = SlidePaths(slides), PixelStore(), CellStore()
        self._lock = threading.Lock()
        self._opened: OrderedDict[str, tuple[OpenedSlide, float]] = OrderedDict()
        self._summaries: dict[str, tuple[tuple[str, str], Summary]] = {}

    def open(self, slide_id: str) -> OpenedSlide:
        """Return a slide with its result as it is now.

        Raises
        ------
        ApiError
            404 for a slide that the run does not have or that was not scored, 409 while it is being scored again.
        """
        if self.options.blind and self.run.row(slide_id)["status"] == WITHOUT_RESULT:
            # Why it could not be scored is something that the machine found.
            raise ApiError(404, "there is no such slide to read", "go back to the list of slides")
        result = self.run.result(slide_id)
        with self._lock:
            opened = self._opened[slide_id][0] if slide_id in self._opened else None
            if opened is None or opened.result is not result:
                opened = OpenedSlide(
                    result,
                    self.run.slide_folder(slide_id),
                    self._paths,
                    self._pixels,
                    self._cells,
                    self.book,
                    blind=self.options.blind,
                )
            self._opened[slide_id] = opened, time.monotonic()
            self._opened.move_to_end(slide_id)
            while len(self._opened) > RESULTS_OPEN:
                self._opened.popitem(last=False)
            return opened

    def recent(self, slide_id: str) -> OpenedSlide | None:
        """Return a slide whose result was looked at a moment ago, if it was; touches no file."""
        opened, looked_at = self._opened.get(slide_id, (None, 0.0))
        return opened if time.monotonic() - looked_at < TRUST_SECONDS else None

    def opened(self, slide_id: str) -> OpenedSlide | None:
        """Return a slide that was opened, without looking whether its result still holds."""
        return self._opened.get(slide_id, (None, 0.0))[0]

    def sources(self) -> dict[str, str]:
        """Return where the pixels of slides come from, of those that were looked at."""
        found = {slide_id: opened.known_source for slide_id, (opened, _) in list(self._opened.items())}
        return {slide_id: source for slide_id, source in found.items() if source is not None}

    def summaries(self) -> dict[str, Summary]:
        """Return what became of the slides that anybody reviewed, up to the last event that was read."""
        found: dict[str, Summary] = {}
        for slide_id in self.book.reviewed_slides():
            # A slide that is being scored again has no result that its reviews could be about.
            with suppress(ApiError):
                digest, events = self.run.digest(slide_id), self.book.of(slide_id)
                state, opened = (digest, head_of(events)), self.opened(slide_id)
                if opened and opened.summary and opened.summary[0] == state:
                    found[slide_id] = opened.summary[1]
                    continue
                known = self._summaries.get(slide_id)
                if known is None or known[0] != state:
                    known = self._summaries[slide_id] = state, summarize_events(events, digest)
                found[slide_id] = known[1]
        return found

    def refuse_blind(self) -> None:
        """Refuse what a blind reader may not see.

        Raises
        ------
        ApiError
            403 in blind mode.
        """
        if self.options.blind:
            raise ApiError(403, "a blind reading does not show what the machine found", "review without --blind")

    def close(self) -> None:
        """Let all slides go."""
        self._pixels.close()
