"""One slide as the server has it open: where its pixels come from, its cells, and what reviewers made of them."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from slidescore.assay import Assay
from slidescore.audit.events import Event
from slidescore.audit.reviewed import ReviewedScore, ReviewSubject, review_subject, score_review
from slidescore.audit.state import SlideReview, fold_review, last_change
from slidescore.errors import RunFolderError, SlideOpenError, SlidescoreError
from slidescore.qc.cell_drawing import AreaDrawing
from slidescore.report.digests import REVIEWED_TABLES
from slidescore.report.files import sha256_of
from slidescore.report.run_folder import SlideFolder
from slidescore.review.api_params import ApiError
from slidescore.review.cell_store import CellStore
from slidescore.review.overlay_tiles import DrawnAreas, drawn_areas, excluded_areas
from slidescore.review.pixel_source import PixelSource, open_overlay_pixels, open_slide_pixels
from slidescore.review.pixel_store import PixelStore
from slidescore.review.review_book import ReviewBook, head_of
from slidescore.review.run_store import SlideResult, stamp_of
from slidescore.review.slide_cells import SlideCells, load_cells
from slidescore.review.slide_paths import FoundSlide, SlidePaths
from slidescore.review.stain_views import read_stains
from slidescore.review.summaries import Summary, summarize_review
from slidescore.review.tile_grid import TileGrid
from slidescore.scoring import Scores
from slidescore.scoring.cell_squares import cell_squares
from slidescore.scoring.estimates import PIXELS, call_uncertainty
from slidescore.scoring.intervals import Replicates, Uncertainty, bootstrap, uncertainty_of
from slidescore.scoring.pixel_h_score import pixel_squares
from slidescore.scoring.squares import SquareCounts

OVERLAY_NOTE: Final = "Shown is the picture from the run, with its cells drawn in."
BLIND_NOTE: Final = "The picture from the run shows what the machine found, so a blind reader does not see it."
UNREADABLE_NOTE: Final = "The slide is there, but it cannot be opened."
COVERAGE_COLUMNS: Final = ("status", "tissue_um2", "scored_um2", "excluded_um2", "missing_um2")
"""Columns of tiles.parquet that say how much tissue a score stands for."""
BLOCK_COLUMNS: Final = ("block_column", "block_row", "block_histograms")
"""Columns of tiles.parquet from which the pixel H-score follows."""
DIGEST_DIGITS: Final = 12
"""Of a result's digest, in what only tells one state from another."""

SourceKind = Literal["slide", "overlay", "none"]
Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class Pixels:
    """Where the pixels come from, with a note in plain words; `grid` is None where there are none."""

    kind: SourceKind
    note: str
    grid: TileGrid | None


@dataclass(frozen=True, slots=True, eq=False)
class Reviewed:
    """The reviews of a slide's cells, up to one event; does not hold the cells that are drawn.

    Attributes
    ----------
    subject, review
        The cells as the scoring code sees them, and the fold of the events.
    automatic, score
        What the cells come to as the machine left them, and as reviewers did.
    areas
        Excluded squares and drawn regions.
    revision
        Changes whenever the drawing does, and is never that of another log.
    events
        Those of the slide that went in.
    head
        Number of the last event of the run that was read with them.
    """

    subject: ReviewSubject
    automatic: Scores
    review: SlideReview
    score: ReviewedScore
    areas: DrawnAreas
    revision: str
    events: tuple[Event, ...]
    head: int


class OpenedSlide:
    """One result of a slide; when the slide is scored again, another one takes its place.

    Parameters
    ----------
    result
        The result.
    folder
        Of the slide, in the run.
    paths, pixel_store, cell_store, book
        Shared by all slides.
    blind
        Whether nothing may be shown that the machine found.

    Attributes
    ----------
    summary
        What became of its reviews, behind the result and the last event that went in; None until it was asked.
    """

    def __init__(
        self,
        result: SlideResult,
        folder: SlideFolder,
        paths: SlidePaths,
        pixel_store: PixelStore,
        cell_store: CellStore,
        book: ReviewBook,
        *,
        blind: bool,
    ) -> None:
        self.result, self.folder = result, folder
        self.stains = read_stains(result.record)
        self._paths, self._pixel_store, self._cell_store, self._book = paths, pixel_store, cell_store, book
        self._blind = blind
        self._lock = threading.RLock()
        self._pixels: Pixels | None = None
        self._found = FoundSlide(None, "")
        self._excluded: AreaDrawing | None = None
        self.summary: tuple[tuple[str, str], Summary] | None = None
        # What hangs on the cells goes when the store lets them go.
        self._judged: weakref.WeakKeyDictionary[SlideCells, tuple[ReviewSubject, Scores]] = weakref.WeakKeyDictionary()
        self._reviewed: weakref.WeakKeyDictionary[SlideCells, Reviewed] = weakref.WeakKeyDictionary()
        self._drawn: weakref.WeakKeyDictionary[SlideCells, Replicates] = weakref.WeakKeyDictionary()

    @property
    def slide_id(self) -> str:
        """The slide."""
        return self.result.slide_id

    @property
    def name(self) -> str:
        """Name of this result of the slide, for what is kept of it."""
        return f"{self.slide_id} {self.result.digest[:DIGEST_DIGITS]}"

    @property
    def known_source(self) -> SourceKind | None:
        """Where the pixels come from, if that was looked at already."""
        return self._pixels.kind if self._pixels else None

    @property
    def pixel_revision(self) -> str:
        """Changes whenever tiles of the slide do: its result, and where its pixels come from; fit for an address."""
        mode = "blind" if self._blind else "open"
        return f"{self.name} {self.known_source} {mode}".replace(" ", "-")

    def pixels(self) -> Pixels:
        """Say where the pixels come from; an absent slide is looked for again each time."""
        with self._lock:
            if self._pixels is None or self._pixels.kind != "slide":
                self._pixels = self._choose()
            return self._pixels

    def chosen_pixels(self) -> Pixels:
        """Say where the pixels come from, as it was said before."""
        with self._lock:
            return self._pixels or self.pixels()

    def grid(self) -> TileGrid:
        """Return the grid of the pixels; where there are none, that of the slide as it was scored."""
        slide = self.result.record["slide"]
        return self.chosen_pixels().grid or TileGrid(slide["width"], slide["height"])

    @contextmanager
    def source(self) -> Iterator[PixelSource]:
        """Lend the pixels.

        Raises
        ------
        ApiError
            If there are none, or the file is gone.
        """
        kind = self.chosen_pixels().kind
        if kind == "none":
            raise ApiError(404, "there is no picture of this slide", "see the note on the page")
        try:
            with self._pixel_store.lease(f"{self.name} {kind}", lambda: self._open(kind)) as source:
                yield source
        except SlideOpenError as error:
            with self._lock:
                # The next who asks looks where the slide is now.
                self._pixels = None
            raise ApiError(409, "the slide cannot be opened any more", "reload the page") from error

    def cells(self) -> SlideCells:
        """Return the cells, read when they are not in memory.

        Raises
        ------
        RunFolderError
            If they are not those that were written with the result.
        """
        return self._cell_store.get(self.name, self._load)

    def judged(self, cells: SlideCells) -> tuple[ReviewSubject, Scores]:
        """Return the cells as reviews are made of them, and what they come to as the machine left them."""
        with self._lock:
            found = self._judged.get(cells)
            if found is None:
                subject = review_subject(self.result.record, cells.table, self._tiles(), cells.assay)
                found = self._judged[cells] = subject, cells.scores()
            return found

    def uncertainty(self, cells: SlideCells, assay: Assay) -> tuple[SquareCounts, Uncertainty]:
        """Say how sure the score of the cells as the machine left them is under an assay.

        Parameters
        ----------
        cells
            Of this slide.
        assay
            The run's, or one that differs from it in thresholds and cut-off only.

        Returns
        -------
        squares
            What the score is counted from.
        uncertainty
            Of the score that the call is made on.
        """
        subject, _ = self.judged(cells)
        own = assay.score.compartment
        if assay.score.scheme == PIXELS:
            squares = pixel_squares(self._tiles(), assay.bins.of(own))
            return squares, call_uncertainty(squares, assay, subject.seed)
        squares = cell_squares(cells.table, assay, subject.mpp, compartments=(own,))[own]
        with self._lock:
            # Thresholds move cells between bins, not between squares: what was drawn serves for all of them.
            drawn = self._drawn.get(cells)
            if drawn is None:
                drawn = self._drawn[cells] = bootstrap(squares, assay.interval, subject.seed)
        return squares, uncertainty_of(drawn, squares.counts, assay.score.scheme, assay.score, assay.call.cutoff)

    def reviewed(self) -> tuple[SlideCells, Reviewed]:
        """Return the cells, and the reviews of them up to the last event that the book has read."""
        cells = self.cells()
        with self._lock:
            events, head = self._book.snapshot(self.slide_id)
            kept = self._reviewed.get(cells)
            if kept is None or head_of(kept.events) != head_of(events):
                subject, automatic = self.judged(cells)
                review = fold_review(events, self.slide_id, self.result.digest, subject.places)
                score = score_review(subject, review)
                areas, revision = self._areas(review), self.revision_after(events)
                kept = Reviewed(subject, automatic, review, score, areas, revision, events, head)
                self._reviewed[cells] = kept
                self.summary = (self.result.digest, head_of(events)), summarize_review(review, score)
            # Events of other slides leave all but the head as it was.
            return cells, replace(kept, head=head)

    def revision_after(self, events: Sequence[Event]) -> str:
        """Return the revision of the drawing after these events; needs no cells."""
        changed = last_change(events, self.slide_id, self.result.digest)
        return f"{self.result.digest[:DIGEST_DIGITS]}-{changed.digest[:DIGEST_DIGITS] if changed else 0}"

    def trim(self) -> None:
        """Let go of what is too much in memory; to be called after outlines may have been read."""
        self._cell_store.trim()

    def _choose(self) -> Pixels:
        listed = self.result.view.content.get("slides", {}).get(self.slide_id)
        self._found = self._paths.find(self.result.record, listed)
        note = self._found.note
        if self._found.path is not None:
            try:
                return Pixels("slide", "", self._grid_of("slide"))
            except SlideOpenError:
                note = UNREADABLE_NOTE
        if self._blind:
            return Pixels("none", f"{note} {BLIND_NOTE}", None)
        try:
            return Pixels("overlay", f"{note} {OVERLAY_NOTE}", self._grid_of("overlay"))
        except SlideOpenError:
            return Pixels("none", note, None)

    def _grid_of(self, kind: SourceKind) -> TileGrid:
        with self._pixel_store.lease(f"{self.name} {kind}", lambda: self._open(kind)) as source:
            return source.grid

    def _open(self, kind: str) -> PixelSource:
        if kind == "overlay":
            return open_overlay_pixels(self.folder.path / "overlay.tiff", self.result.record)
        path, record = self._found.path, self.result.record
        if path is None:
            raise SlideOpenError("is not there any more", where=self.slide_id)
        # It was checked when it was found, and may have been replaced since.
        return open_slide_pixels(path, lambda: self._paths.is_at(path, record))

    def _load(self) -> SlideCells:
        result = self.result
        return self._read(REVIEWED_TABLES, lambda: load_cells(self.folder.path, result.record, result.view.assay))

    def _tiles(self) -> pa.Table:
        path = self.folder.path / "tiles.parquet"
        columns = [*COVERAGE_COLUMNS]
        if self.result.view.assay.score.scheme == PIXELS:
            columns += BLOCK_COLUMNS
        return self._read(("tiles.parquet",), lambda: pq.read_table(path, columns=columns))

    def _read(self, names: Sequence[str], read: Callable[[], Content]) -> Content:
        """Read tables if they are those of this result, and were not replaced meanwhile.

        Raises
        ------
        ApiError
            409 while the slide is being scored again.
        RunFolderError
            If one was changed, or cannot be read.
        """
        try:
            digests = self.result.record["digests"]
            changed = [name for name in names if sha256_of(self.folder.path / name) != digests[name]]
            content = None if changed else read()
        except SlidescoreError:
            raise
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            raise RunFolderError(f"cannot be read: {type(error).__name__}", where=self.slide_id) from error
        # A slide that is scored again loses its result before any other file is touched.
        if stamp_of(self.folder.result) != self.result.stamp:
            raise ApiError(409, "the slide is being scored again", "wait until that is done, then reload")
        if content is None:
            raise RunFolderError(f"{changed[0]} was changed since it was written", where=self.slide_id)
        return content

    def _areas(self, review: SlideReview) -> DrawnAreas:
        if self._excluded is None:
            folder, record = self.folder.path, self.result.record
            self._excluded = self._read(("tiles.parquet",), lambda: excluded_areas(folder, record))
        drawn = {
            role: [shapely.Polygon(region.polygon) for region in review.regions if region.role == role]
            for role in ("include", "exclude")
        }
        return drawn_areas(self._excluded, drawn["include"], drawn["exclude"])
