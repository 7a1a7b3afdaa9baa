"""The cells of the slides that were looked at last, as many as fit into so many bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from slidescore.review.slide_cells import SlideCells

CELLS_BYTES: Final = 320 * 2**20
"""Of slides with a million cells: one with outlines and two without, or four without."""


class CellStore:
    """Slides' cells, least recently used let go first: their outlines, then all of them.

    Parameters
    ----------
    limit
        Bytes that may be held together. The slide asked for last stays whatever it takes.
    """

    def __init__(self, limit: int = CELLS_BYTES) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Place] = OrderedDict()

    def get(self, slide_id: str, load: Callable[[], SlideCells]) -> SlideCells:
        """Return a slide's cells, loading them when they are not held; others who ask meanwhile wait.

        Raises
        ------
        SlidescoreError
            What `load` raises; nothing is kept.
        """
        with self._lock:
            place = self._held.setdefault(slide_id, _Place())
            self._held.move_to_end(slide_id)
        with place.loading:
            cells = place.cells
            if cells is None:
                cells = place.cells = load()
        self.trim()
        return cells

    def trim(self) -> None:
        """Let go what is too much; to be called after outlines were read."""
        with self._lock:
            held = [(name, place.cells) for name, place in self._held.items() if place.cells is not None]
            taken = {name: cells.nbytes for name, cells in held}
            for name, cells in held[:-1]:
                if sum(taken.values()) > self._limit:
                    cells.let_outlines_go()
                    taken[name] = cells.nbytes
            for name, _ in held[:-1]:
                if sum(taken.values()) > self._limit:
                    del self._held[name], taken[name]


@dataclass(slots=True)
class _Place:
    """A slide whose cells are held, or about to be."""

    cells: SlideCells | None = None
    loading: threading.Lock = field(default_factory=threading.Lock)
