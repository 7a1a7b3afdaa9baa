"""Readers for many threads, where one serves all or each has its own and a broken one is replaced, and for pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from slidescore.errors import SlideOpenError
from slidescore.geometry import Region
from slidescore.slide import SlideReader
from slidescore.slide.reader import Means


class ReaderPool:
    """Opens one reader a thread, or one for all where it survives errors, and closes them all at the end.

    OpenSlide's errors are sticky: after one bad tile a handle refuses everything. `replace` gives the calling thread a
    fresh one, so that a bad tile costs that tile only. A reader whose errors are not sticky is shared, and with it the
    tiles that it has decoded. What was replaced is closed, for a slide may have many bad tiles; only the first reader
    stays to the end, because it is asked what the slide says of itself.
    """

    def __init__(self, open_reader: Callable[[], SlideReader]) -> None:
        self._open = open_reader
        self._own = threading.local()
        self._opened: list[SlideReader] = []
        self._shared: SlideReader | None = None
        self._opening = threading.Lock()

    def get(self) -> SlideReader:
        """Return the calling thread's reader."""
        reader: SlideReader | None = getattr(self._own, "reader", None) or self._shared
        return reader or self.replace()

    def replace(self) -> SlideReader:
        """Open a fresh reader for the calling thread, unless there is one that needs no replacing."""
        broken: SlideReader | None = getattr(self._own, "reader", None)
        self._own.reader = None
        # One at a time: the first may serve all others.
        with self._opening:
            if broken is not None and broken is not self._shared and broken in self._opened[1:]:
                self._opened.remove(broken)
                broken.close()
            reader = self._shared
            if reader is None:
                reader = self._open()
                self._opened.append(reader)
                if reader.survives_errors:
                    self._shared = reader
        self._own.reader = reader
        return reader

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every reader."""
        for reader in self._opened:
            reader.close()


class _Passing:
    """A slide as another reader reads it; what a subclass does not say otherwise is that reader's word."""

    def __init__(self, reader: SlideReader) -> None:
        self._reader = reader

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in level-0 px."""
        return self._reader.dimensions

    @property
    def level_count(self) -> int:
        """Number of levels."""
        return self._reader.level_count

    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        """Width and height of each level in its own pixels."""
        return self._reader.level_dimensions

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        """Level-0 px per pixel of each level."""
        return self._reader.level_downsamples

    @property
    def properties(self) -> Mapping[str, str]:
        """Metadata."""
        return self._reader.properties

    @property
    def mpp(self) -> tuple[float, float] | None:
        """Stated resolution."""
        return self._reader.mpp

    @property
    def vendor(self) -> str:
        """Scanner vendor or file kind."""
        return self._reader.vendor

    @property
    def backend(self) -> str:
        """Name of the reader."""
        return self._reader.backend

    @property
    def survives_errors(self) -> bool:
        """Whether the reader goes on after an error."""
        return self._reader.survives_errors

    @property
    def fallback(self) -> str:
        """Why a faster reader was not taken."""
        return self._reader.fallback

    @property
    def bounds(self) -> Region | None:
        """The area that holds pixels."""
        return self._reader.bounds

    @property
    def icc_profile(self) -> bool:
        """Whether the slide carries a colour profile."""
        return self._reader.icc_profile

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Read a region as uint8, (H, W, 4), RGBA."""
        return self._reader.read_region(location, level, size)

    def can_halve(self, level: int, factor: int) -> bool:
        """Whether a level can be decoded at half the resolution for blocks of `factor` px."""
        return self._reader.can_halve(level, factor)

    def read_means(
        self, level: int, factor: int, corner: tuple[int, int], size: tuple[int, int], *, halved: bool
    ) -> Means | None:
        """Read a region averaged over blocks of `factor` px; None where the caller must."""
        return self._reader.read_means(level, factor, corner, size, halved=halved)

    def close(self) -> None:
        """Let the file go."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class WatchedReader(_Passing):
    """A slide of which every region that was read is told: the proof that reading goes on.

    Parameters
    ----------
    reader
        The slide.
    on_read
        Called after each region, by the thread that read it.
    """

    def __init__(self, reader: SlideReader, on_read: Callable[[], None]) -> None:
        super().__init__(reader)
        self._on_read = on_read

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Read a region as uint8, (H, W, 4), RGBA, and tell that it was read."""
        pixels = self._reader.read_region(location, level, size)
        self._on_read()
        return pixels

    def read_means(
        self, level: int, factor: int, corner: tuple[int, int], size: tuple[int, int], *, halved: bool
    ) -> Means | None:
        """Read a region averaged over blocks, and tell that it was read."""
        means = self._reader.read_means(level, factor, corner, size, halved=halved)
        self._on_read()
        return means


class PictureReader(_Passing):
    """A slide for drawing pictures: what cannot be read is transparent instead of an error.

    Scores never come from here. A slide with an unreadable tile has its result; its overlay shows a gap there.
    """

    def __init__(self, open_reader: Callable[[], SlideReader]) -> None:
        self._pool = ReaderPool(open_reader)
        super().__init__(self._pool.get())

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Read a region as uint8, (H, W, 4), RGBA; all transparent where it cannot be read."""
        try:
            return self._pool.get().read_region(location, level, size)
        except SlideOpenError:
            self._pool.replace()
            return np.zeros((size[1], size[0], 4), dtype=np.uint8)

    def close(self) -> None:
        """Close every handle."""
        self._pool.close()
