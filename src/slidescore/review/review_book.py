"""The review log in memory: read once, then only what was added, by whoever else reviews the same run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from slidescore.audit.events import NO_DIGEST, Draft, Event
from slidescore.audit.log import ReviewLog
from slidescore.audit.log_file import LogReplacedError


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """The events up to one of them; never changed, so that who holds them sees one moment of the log."""

    events: tuple[Event, ...] = ()
    by_slide: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)

    @property
    def head(self) -> int:
        """Number of the last event; 0 without one."""
        return self.events[-1].seq if self.events else 0

    def grown(self, added: Sequence[Event]) -> Pages:
        """Return the pages with more events."""
        by_slide = dict(self.by_slide)
        for slide_id in {event.slide_id for event in added}:
            own = (event for event in added if event.slide_id == slide_id)
            by_slide[slide_id] = (*by_slide.get(slide_id, ()), *own)
        return Pages((*self.events, *added), by_slide)


class ReviewBook:
    """The events of a run's review log; any number of threads may ask.

    What was read is at hand at once, whoever reads or writes the log meanwhile.

    Parameters
    ----------
    log
        Where they are.
    """

    def __init__(self, log: ReviewLog) -> None:
        self._log = log
        self._reading, self._appending = threading.Lock(), threading.Lock()
        self._pages = Pages()

    def refresh(self) -> int:
        """Read what was added since, and return the number of the last event.

        A log that does not go on from what was read, one that was put back from a copy, is read from its start.

        Raises
        ------
        RunFolderError
            If the log was changed or cannot be read.
        """
        with self._reading:
            pages = self._pages
            try:
                added = self._log.read(pages.head, head_of(pages.events))
            except LogReplacedError:
                pages, added = Pages(), self._log.read()
            if added or pages is not self._pages:
                self._pages = pages.grown(added)
            return self._pages.head

    def after(self, seq: int) -> list[Event]:
        """Return the events after a number, of those that were read."""
        return [event for event in self._pages.events if event.seq > seq]

    def of(self, slide_id: str) -> tuple[Event, ...]:
        """Return the events of a slide, of those that were read."""
        return self._pages.by_slide.get(slide_id, ())

    def snapshot(self, slide_id: str) -> tuple[tuple[Event, ...], int]:
        """Return the events of a slide, and the number of the last event of the run at that moment."""
        pages = self._pages
        return pages.by_slide.get(slide_id, ()), pages.head

    def reviewed_slides(self) -> list[str]:
        """Return the slides that any event is about."""
        return list(self._pages.by_slide)

    def append(self, slide_id: str, build: Callable[[Sequence[Event]], Draft]) -> Event:
        """Add an event about a slide; when this returns, it is on the disk.

        Only others who append wait meanwhile: another program may keep the log for long.

        Parameters
        ----------
        slide_id
            The slide.
        build
            Makes the event from all events of that slide, while nobody else can write.

        Raises
        ------
        RunFolderError
            As `slidescore.audit.log.ReviewLog.append`.
        """
        with self._appending:
            while True:
                self.refresh()
                pages = self._pages

                def build_from(added: Sequence[Event], pages: Pages = pages) -> Draft:
                    own = (event for event in added if event.slide_id == slide_id)
                    return build((*pages.by_slide.get(slide_id, ()), *own))

                try:
                    event = self._log.append(build_from, pages.head, head_of(pages.events))
                except LogReplacedError:
                    # Put back from a copy since it was read a moment ago.
                    continue
                self.refresh()
                return event


def head_of(events: Sequence[Event]) -> str:
    """Return the digest of the last event, which stands for all before it: they are chained; zeros without one."""
    return events[-1].digest if events else NO_DIGEST
