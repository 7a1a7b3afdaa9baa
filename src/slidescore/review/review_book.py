"""The review log in memory: read once, then only what was added, by whoever else reviews the same run."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence

from slidescore.audit.events import Draft, Event
from slidescore.audit.log import ReviewLog
from slidescore.review.run_store import stamp_of


class ReviewBook:
    """The events of a run's review log; any number of threads may ask.

    Parameters
    ----------
    log
        Where they are.
    """

    def __init__(self, log: ReviewLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._number: int | None = None
        self._events: list[Event] = []
        self._by_slide: dict[str, list[Event]] = defaultdict(list)

    @property
    def head(self) -> int:
        """Number of the last event that was read; 0 without one."""
        return self._events[-1].seq if self._events else 0

    def refresh(self) -> int:
        """Read what was added since, and return the number of the last event.

        Raises
        ------
        RunFolderError
            If the log was changed or cannot be read.
        """
        with self._lock:
            self._refresh()
            return self.head

    def after(self, seq: int) -> list[Event]:
        """Return the events after a number, of those that were read."""
        return [event for event in self._events if event.seq > seq]

    def of(self, slide_id: str) -> tuple[Event, ...]:
        """Return the events of a slide, of those that were read."""
        return tuple(self._by_slide.get(slide_id, ()))

    def reviewed_slides(self) -> list[str]:
        """Return the slides that any event is about."""
        return list(self._by_slide)

    def append(self, slide_id: str, build: Callable[[Sequence[Event]], Draft]) -> Event:
        """Add an event about a slide; when this returns, it is on the disk.

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
        with self._lock:
            self._refresh()
            known = self.of(slide_id)

            def build_from(added: Sequence[Event]) -> Draft:
                return build((*known, *(event for event in added if event.slide_id == slide_id)))

            event = self._log.append(build_from, self.head)
            self._refresh()
            return event

    def _refresh(self) -> None:
        stamp = stamp_of(self._log.path)
        number = stamp[2] if stamp else None
        if number != self._number:
            # Another file: a run that was replaced, or a log that was put back from a copy.
            self._events, self._by_slide, self._number = [], defaultdict(list), number
        for event in self._log.read(self.head):
            self._events.append(event)
            self._by_slide[event.slide_id].append(event)
