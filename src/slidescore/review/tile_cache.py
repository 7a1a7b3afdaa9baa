"""Encoded tiles that were asked for last, of all slides together."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from slidescore.slide.tile_cache import TileCache

TILES_BYTES: Final = 64 * 2**20
"""Some 3,000 tiles of tissue."""


class EncodedTiles:
    """JPEG and PNG tiles up to so many bytes; a tile that one thread is making is waited for by the others.

    Parameters
    ----------
    limit
        Bytes that may be held together.
    """

    def __init__(self, limit: int = TILES_BYTES) -> None:
        self._tiles: TileCache[memoryview] = TileCache(limit)

    def get(self, key: Hashable, make: Callable[[], bytes]) -> memoryview:
        """Return a tile, making it when it is not held; what `make` raises is raised here, and nothing is kept."""
        return self._tiles.get(key, lambda: memoryview(make()))

    def peek(self, key: Hashable) -> memoryview | None:
        """Return a tile if it is held; waits for nobody who is making it, so an event loop may ask."""
        return self._tiles.peek(key)
