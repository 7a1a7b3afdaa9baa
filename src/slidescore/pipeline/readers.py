"""Readers for many threads: each has its own, and a broken one is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from slidescore.slide import SlideReader


class ReaderPool:
    """Opens one reader a thread and closes them all at the end.

    OpenSlide's errors are sticky: after one bad tile a handle refuses everything. `replace` gives the calling thread a
    fresh one, so that a bad tile costs that tile only.
    """

    def __init__(self, open_reader: Callable[[], SlideReader]) -> None:
        self._open = open_reader
        self._own = threading.local()
        self._opened: list[SlideReader] = []
        self._lock = threading.Lock()

    def get(self) -> SlideReader:
        """Return the calling thread's reader."""
        reader: SlideReader | None = getattr(self._own, "reader", None)
        return self.replace() if reader is None else reader

    def replace(self) -> SlideReader:
        """Open a fresh reader for the calling thread."""
        reader = self._open()
        with self._lock:
            self._opened.append(reader)
        self._own.reader = reader
        return reader

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._opened:
            reader.close()
