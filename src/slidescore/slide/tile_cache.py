"""Tiles that several threads share, so that what several of them ask for is made once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, Protocol, TypeVar

CACHE_BYTES: Final = 64 * 2**20
"""More than what lies under a row of windows, halos included, in a strip of 8: 32 MB where tiles of 256 px are averaged
2 by 2 (40 MB where the halo does not end with a tile), up to 57 MB where tiles of 512 px are not averaged. What the
halos share is then there for the next row; `tests/test_tiles.py` counts how little is decoded twice."""
_MOST_SHARE: Final = 8
"""A tile that takes more than this part of the cache is not kept: it would push out all others."""


class Weighed(Protocol):
    """What says how much memory it takes, as arrays do."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""


Tile = TypeVar("Tile", bound=Weighed)


class TileCache(Generic[Tile]):
    """The tiles that were asked for last, up to so many bytes.

    A tile that one thread is making is waited for by the others instead of being made twice.

    Parameters
    ----------
    limit
        Bytes that the kept tiles may take together.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._bytes = 0
        self._kept: OrderedDict[Hashable, Tile] = OrderedDict()
        self._under_way: set[Hashable] = set()
        self._changed = threading.Condition(threading.Lock())
        self._n_waiting = 0

    def get(self, key: Hashable, make: Callable[[], Tile]) -> Tile:
        """Return a tile, making it when it is not kept.

        Parameters
        ----------
        key
            Which tile.
        make
            Makes it; called without any lock held. What it raises is raised here, and nothing is kept.

        Returns
        -------
        Tile
            The tile, shared by all who ask: not to be written to.
        """
        with self._changed:
            while True:
                kept = self._kept.get(key)
                if kept is not None:
                    self._kept.move_to_end(key)
                    return kept
                if key not in self._under_way:
                    break
                self._n_waiting += 1
                try:
                    self._changed.wait()
                finally:
                    self._n_waiting -= 1
            self._under_way.add(key)
        tile = None
        try:
            tile = make()
        finally:
            with self._changed:
                self._under_way.discard(key)
                if tile is not None:
                    self._keep(key, tile)
                if self._n_waiting:
                    self._changed.notify_all()
        return tile

    def peek(self, key: Hashable) -> Tile | None:
        """Return a tile if it is kept; waits for nobody who is making it."""
        with self._changed:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
            return kept

    def clear(self) -> None:
        """Let all tiles go."""
        with self._changed:
            self._kept.clear()
            self._bytes = 0

    def _keep(self, key: Hashable, tile: Tile) -> None:
        """Keep a tile, and let the ones go that were not asked for the longest."""
        if tile.nbytes > self._limit // _MOST_SHARE:
            return
        self._kept[key] = tile
        self._bytes += tile.nbytes
        while self._bytes > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.nbytes
