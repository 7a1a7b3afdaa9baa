"""What every slide reader offers, in OpenSlide's names.

A reader gives pixels and what the file says about itself. It decides nothing: not which resolution is believed
(`slidescore.slide.resolution`), not which pixels are analysed (`slidescore.slide.sampling`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from slidescore.geometry import Region

REMARKS: Final = "slidescore.remarks"
"""Property that holds what was odd about the file, one remark a line; absent where there is none."""


Means = tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]
"""Mean colours, uint8, (H, W, 3), RGB, white where not valid, and which of them the slide holds, bool, (H, W)."""


class SlideReader(Protocol):
    """A slide opened for reading; `read_region` may be called by many threads at once."""

    @property
    def backend(self) -> str:
        """Which reader this is: "tiles", "openslide", "image" or "array"."""

    @property
    def survives_errors(self) -> bool:
        """Whether it goes on after pixels that cannot be decoded, so that one handle serves all threads."""

    @property
    def fallback(self) -> str:
        """Why a faster reader of this format was not taken; empty where there is none, or it was."""

    @property
    def vendor(self) -> str:
        """The file format or scanner maker, in OpenSlide's spelling where it has one ("aperio", "png")."""

    @property
    def dimensions(self) -> tuple[int, int]:
        """(width, height) of level 0."""

    @property
    def level_count(self) -> int:
        """How many levels the slide stores."""

    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each level, in pixels of that level."""

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        """Level-0 pixels per pixel of each level; not always whole numbers."""

    @property
    def properties(self) -> Mapping[str, str]:
        """What the file says about itself. May name a patient: never write it out unfiltered."""

    @property
    def mpp(self) -> tuple[float, float] | None:
        """Stated resolution (x, y) in micrometres per level-0 pixel; None when the file states none."""

    @property
    def bounds(self) -> Region | None:
        """The scanned area in level-0 px, outside of which there is no pixel; None when that is the whole slide."""

    @property
    def icc_profile(self) -> bool:
        """Whether the file carries an ICC profile (which is never applied)."""

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Read a rectangle of one level.

        Parameters
        ----------
        location
            (x, y) of the top left pixel, in level-0 px; may be negative.
        level
            Which level to read.
        size
            (width, height) in pixels of `level`; may reach past the slide's end.

        Returns
        -------
        numpy.ndarray
            uint8, (height, width, 4), RGBA, not premultiplied. Pixels outside the slide, and pixels that the
            file does not hold, have alpha 0; their colour means nothing. May be read-only.

        Raises
        ------
        SlideOpenError
            The pixels cannot be decoded.
        ValueError
            There is no such level, the size is negative, or the reader is closed.
        """

    def can_halve(self, level: int, factor: int) -> bool:
        """Whether `read_means` can decode a level at half the resolution for blocks of `factor` px."""

    def read_means(
        self, level: int, factor: int, corner: tuple[int, int], size: tuple[int, int], *, halved: bool
    ) -> Means | None:
        """Read a rectangle averaged over blocks, where that takes less than averaging what `read_region` gives.

        Parameters
        ----------
        level, factor
            Which level, and how many of its pixels a side a block has.
        corner, size
            (x, y) and (width, height) in blocks; may reach past the level, where nothing is valid. A block that the
            level's end cuts is not valid either.
        halved
            Decode at half the resolution, which is not exact; only where `can_halve`.

        Returns
        -------
        Means or None
            The same values as `slidescore.slide.averaging.average_blocks` of `read_region`, unless `halved`. None
            where that is the way to get them.

        Raises
        ------
        SlideOpenError
            The pixels cannot be decoded at half the resolution.
        """

    def close(self) -> None:
        """Let the file go; calling it again does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class RegionReader:
    """What a reader that has no more to offer than `read_region` says of itself."""

    survives_errors: bool = False
    fallback: str = ""

    def can_halve(self, level: int, factor: int) -> bool:
        """Whether a level can be decoded at half the resolution: no."""
        return False

    def read_means(
        self, level: int, factor: int, corner: tuple[int, int], size: tuple[int, int], *, halved: bool
    ) -> Means | None:
        """Leave the averaging to the caller; see `SlideReader.read_means`."""
        return None


def with_remarks(properties: Mapping[str, str], remarks: Sequence[str]) -> dict[str, str]:
    """Add what a look at a file's structure remarked to what the file says about itself."""
    return {**properties, REMARKS: "\n".join(remarks)} if remarks else dict(properties)


def check_request(level: int, level_count: int, size: tuple[int, int]) -> None:
    """Refuse a `read_region` request that no slide can answer.

    Raises
    ------
    ValueError
        `level` does not exist, or `size` is negative.
    """
    if not 0 <= level < level_count:
        message = f"no level {level}: the slide has {level_count}"
        raise ValueError(message)
    if min(size) < 0:
        message = f"size {size} is negative"
        raise ValueError(message)
