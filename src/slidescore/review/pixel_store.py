"""The slides that are open, lent to threads that come and go; those that nobody looked at lately are closed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from slidescore.review.pixel_source import PixelSource

MOST_OPEN: Final = 4
"""Slides that stay open: the one that is looked at, its neighbours, and one to compare with."""


class PixelStore:
    """The slides that were looked at last, opened; those beyond a few are closed.

    Parameters
    ----------
    most_open
        How many stay open.
    """

    def __init__(self, most_open: int = MOST_OPEN) -> None:
        self._most = most_open
        self._lock = threading.Lock()
        self._loans: OrderedDict[str, _Loan] = OrderedDict()

    @contextmanager
    def lease(self, slide_id: str, open_source: Callable[[], PixelSource]) -> Iterator[PixelSource]:
        """Lend a slide's pixels, opened by the first who asks; nobody closes them meanwhile.

        Raises
        ------
        SlideOpenError
            What `open_source` raises; the next who asks tries again.
        """
        with self._lock:
            loan = self._loans.setdefault(slide_id, _Loan())
            self._loans.move_to_end(slide_id)
            loan.n_lent += 1
        try:
            with loan.opening:
                if loan.source is None:
                    loan.source = open_source()
            yield loan.source
        finally:
            with self._lock:
                loan.n_lent -= 1
            self._close_beyond(self._most)

    def close(self) -> None:
        """Close all sources that are not lent; lent ones are closed when others come back."""
        self._close_beyond(0)

    def _close_beyond(self, most: int) -> None:
        """Close those that were asked for the longest ago, but for those that are lent."""
        with self._lock:
            n_beyond = max(0, len(self._loans) - most)
            names = [name for name, loan in self._loans.items() if loan.n_lent == 0][:n_beyond]
            over = [self._loans.pop(name) for name in names]
        for loan in over:
            if loan.source is not None:
                loan.source.close()


@dataclass(slots=True)
class _Loan:
    """A slide that is open, or about to be, and how many are looking at it."""

    source: PixelSource | None = None
    n_lent: int = 0
    opening: threading.Lock = field(default_factory=threading.Lock)
