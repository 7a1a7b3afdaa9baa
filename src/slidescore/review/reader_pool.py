"""The readers of one slide, lent to threads that come and go.

A server's threads are many and short-lived, so that a reader a thread, as scoring has it, would be opened for nothing.
OpenSlide's errors are sticky: a reader that failed is closed, and the next who asks gets a fresh one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from slidescore.slide import SlideReader

MOST_READERS: Final = 2
"""Each may hold a cache, or the decoded picture, of its own."""


class ReaderPool:
    """Lends one reader to all threads where it survives errors, else a few that are lent to one thread at a time.

    Parameters
    ----------
    open_reader
        Opens the slide once more.
    most
        How many are open at the same time; who asks for another one waits.

    Attributes
    ----------
    said
        A reader that is only asked what the slide says of itself.

    Raises
    ------
    SlideOpenError
        The slide cannot be opened.
    """

    def __init__(self, open_reader: Callable[[], SlideReader], most: int = MOST_READERS) -> None:
        self._open = open_reader
        self.said = open_reader()
        self._shared = self.said if self.said.survives_errors else None
        self._idle = [self.said]
        self._free = threading.Semaphore(most)
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def reader(self) -> Iterator[SlideReader]:
        """Lend a reader; one with which something failed is not lent again.

        Raises
        ------
        SlideOpenError
            The slide cannot be opened any more.
        ValueError
            The pool is closed.
        """
        if self._shared is not None:
            yield self._shared
            return
        with self._free:
            reader = self._take()
            try:
                yield reader
            except BaseException:
                reader.close()
                raise
            self._put_back(reader)

    def close(self) -> None:
        """Close all readers that are not lent; lent ones are closed when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()

    def _take(self) -> SlideReader:
        with self._lock:
            if self._closed:
                message = "the slide is closed"
                raise ValueError(message)
            if self._idle:
                return self._idle.pop()
        return self._open()

    def _put_back(self, reader: SlideReader) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(reader)
                return
        reader.close()
