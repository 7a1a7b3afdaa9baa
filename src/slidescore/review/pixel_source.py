"""A slide's pixels as tiles of the review grid, whatever reader they come from.

A tile is the mean over whole blocks of the coarsest stored level that is fine enough, as everywhere in slidescore: see
`slidescore.slide.sampling`. From far away a tile would be hundreds of stored tiles; such tiles are averaged from one
picture of the whole slide, read once at no more than FAR_PX a side.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from slidescore.errors import SlideOpenError
from slidescore.report.overlay_pyramid import MISSING_COLOUR
from slidescore.review.reader_pool import ReaderPool
from slidescore.review.tile_grid import TILE_PX, TileGrid
from slidescore.slide import AnalysisGrid, SlideReader, open_slide, read_analysis
from slidescore.slide.reader import Means

Kind = Literal["slide", "overlay"]

READER_CACHE_BYTES: Final = 16 * 2**20
"""Decoded tiles that a reader keeps: those under the border of two tiles of the grid. What was sent is kept apart."""
FAR_PX: Final = 2048
"""Longest side of the picture of the whole slide that far tiles are made from: 12 MB."""
MOST_DIRECT: Final = 4
"""Pixels of a stored level across one of a tile, up to which a far tile is read like all others."""
BLOCK_PX: Final = 4096
"""Side of the squares of a level that are read at once: 64 MB of RGBA."""
DRIFT_PX: Final = 2.0
"""Levels are rounded to whole pixels, so that 4.0003 stands for 4; more than so many pixels over the slide do not."""
_OPAQUE: Final = 255


class PixelSource:
    """The pixels of one slide on the review grid; any number of threads may read.

    Parameters
    ----------
    open_reader
        Opens the slide, or the picture that stands for it, once more.
    kind
        "slide", or "overlay" where the run's own picture with its cells drawn in stands for an absent slide.
    size_l0
        Width and height of the slide in level-0 px; None for those that the reader states.
    l0_per_px
        Level-0 px of the slide per pixel of the reader's finest level.

    Attributes
    ----------
    grid
        Which tiles there are.

    Raises
    ------
    SlideOpenError
        The reader cannot be opened.
    """

    def __init__(
        self,
        open_reader: Callable[[], SlideReader],
        *,
        kind: Kind = "slide",
        size_l0: tuple[int, int] | None = None,
        l0_per_px: float = 1.0,
    ) -> None:
        self.kind: Kind = kind
        self._readers = ReaderPool(open_reader)
        said = self._readers.said
        width, height = size_l0 or said.dimensions
        self._downsamples = tuple(downsample * l0_per_px for downsample in said.level_downsamples)
        self._level_sizes, self._bounds = said.level_dimensions, said.bounds
        self._l0_per_px = l0_per_px
        k_min = 0
        while self._factor(k_min, self._downsamples[0], max(width, height)) < 1:
            k_min += 1
        self.grid = TileGrid(width, height, k_min)
        self._k_far = max(k_min, (-(-max(width, height) // FAR_PX) - 1).bit_length())
        self._far: NDArray[np.uint8] | None = None
        self._far_lock = threading.Lock()

    def read_tile(self, k: int, column: int, row: int) -> Means:
        """Read a tile; what cannot be read is not valid, never an error.

        Returns
        -------
        rgb : numpy.ndarray
            uint8, (h, w, 3), `grid.tile_size_px` in size; MISSING_COLOUR where not valid. May be read-only.
        valid : numpy.ndarray
            bool, (h, w): whether the slide holds the pixel.

        Raises
        ------
        ValueError
            There is no such tile, or the source is closed.
        """
        size = self.grid.tile_size_px(k, column, row)
        if size is None:
            message = f"no tile {k}, {column}, {row}"
            raise ValueError(message)
        x_px, y_px = column * TILE_PX, row * TILE_PX
        is_far = k > self._k_far and self._plan(k).factor > MOST_DIRECT
        return self._read_far(k, x_px, y_px, size) if is_far else self._read(k, x_px, y_px, size)

    def close(self) -> None:
        """Let the file go once nobody reads any more; calling it again does nothing."""
        self._readers.close()

    def _read(self, k: int, x_px: int, y_px: int, size: tuple[int, int]) -> Means:
        """Read a rectangle of a tile's pixels, block by block where it takes much of a level."""
        grid = self._plan(k)
        side = max(1, int(BLOCK_PX / grid.factor))
        if max(size) <= side:
            return self._read_block(grid, x_px, y_px, size)
        rgb, valid = _nothing(size)
        for top in range(0, size[1], side):
            for left in range(0, size[0], side):
                part = min(side, size[0] - left), min(side, size[1] - top)
                place = np.s_[top : top + part[1], left : left + part[0]]
                rgb[place], valid[place] = self._read_block(grid, x_px + left, y_px + top, part)
        return rgb, valid

    def _read_block(self, grid: AnalysisGrid, x_px: int, y_px: int, size: tuple[int, int]) -> Means:
        try:
            with self._readers.reader() as reader:
                if self._bounds is not None and not self._bounds.intersects(grid.region(x_px, y_px, *size)):
                    return _nothing(size)
                rgb, valid = read_analysis(reader, grid, x_px, y_px, *size)
        except SlideOpenError:
            return _nothing(size)
        if not valid.all():
            rgb = np.where(valid[..., None], rgb, np.array(MISSING_COLOUR, np.uint8))
        return rgb, valid

    def _read_far(self, k: int, x_px: int, y_px: int, size: tuple[int, int]) -> Means:
        """Average a tile from the picture of the whole slide."""
        from slidescore.slide.averaging import average_blocks  # numba takes a while to import

        factor = 1 << (k - self._k_far)
        place = np.s_[y_px * factor : (y_px + size[1]) * factor, x_px * factor : (x_px + size[0]) * factor]
        rgb, valid = average_blocks(self._whole()[place], factor, _OPAQUE)
        rgb[~valid] = MISSING_COLOUR
        return rgb, valid

    def _whole(self) -> NDArray[np.uint8]:
        """Read the whole slide at the scale of `_k_far`, once; uint8, (H, W, 4), RGBA, filled up to whole blocks."""
        with self._far_lock:
            if self._far is None:
                width, height = -(-self.grid.width_l0 >> self._k_far), -(-self.grid.height_l0 >> self._k_far)
                block = 1 << (self.grid.k_max - self._k_far)
                far = np.zeros((-(-height // block) * block, -(-width // block) * block, 4), np.uint8)
                for top in range(0, height, TILE_PX):
                    for left in range(0, width, TILE_PX):
                        size = min(TILE_PX, width - left), min(TILE_PX, height - top)
                        rgb, valid = self._read(self._k_far, left, top, size)
                        part = far[top : top + size[1], left : left + size[0]]
                        part[..., :3], part[..., 3] = rgb, valid * np.uint8(_OPAQUE)
                self._far = far
            return self._far

    def _plan(self, k: int) -> AnalysisGrid:
        """Plan which level is read for tiles of one k, and how many of its pixels a pixel of the tile has."""
        longer = max(self.grid.width_l0, self.grid.height_l0)
        factors = [self._factor(k, downsample, longer) for downsample in self._downsamples]
        level = max((i for i, factor in enumerate(factors) if factor >= 1), key=self._downsamples.__getitem__)
        width_px, height_px = -(-self.grid.width_l0 >> k), -(-self.grid.height_l0 >> k)
        return AnalysisGrid(
            level, self._downsamples[level] / self._l0_per_px, factors[level], 2.0**k, width_px, height_px,
            *self._level_sizes[level], upsampled=False,
        )  # fmt: skip

    @staticmethod
    def _factor(k: int, downsample: float, longer_l0: int) -> float:
        """Say how many pixels of a level a pixel of a tile has: a whole number where that is what is meant."""
        factor = 2.0**k / downsample
        whole = max(1, round(factor))
        drift_px = abs(factor - whole) * longer_l0 / 2.0**k
        return float(whole) if drift_px <= DRIFT_PX else factor


def _nothing(size: tuple[int, int]) -> Means:
    """Make a rectangle, width and height, of which the slide holds nothing."""
    width, height = size
    return np.full((height, width, 3), MISSING_COLOUR, np.uint8), np.zeros((height, width), np.bool_)


def open_slide_pixels(path: Path, is_same: Callable[[], bool] = lambda: True) -> PixelSource:
    """Open a slide for viewing.

    Parameters
    ----------
    path
        The slide.
    is_same
        Whether the file is still the one that is meant; asked whenever it was opened once more.

    Raises
    ------
    SlideOpenError
        It cannot be opened, or is another one now.
    """

    def open_reader() -> SlideReader:
        reader = open_slide(path, cache_bytes=READER_CACHE_BYTES)
        if not is_same():
            reader.close()
            raise SlideOpenError("is another file now: its bytes differ", where=path.name)
        return reader

    return PixelSource(open_reader)


def open_overlay_pixels(path: Path, record: Mapping[str, Any]) -> PixelSource:
    """Open a run's overlay.tiff in place of its slide, on the slide's own grid.

    Parameters
    ----------
    path
        The overlay.
    record
        The slide's result.json.

    Raises
    ------
    SlideOpenError
        It cannot be opened, or is not of that slide's shape.
    """
    slide = record["slide"]
    with open_slide(path, cache_bytes=0) as overlay:
        stated, size_px = overlay.mpp, overlay.dimensions
    l0_per_px = stated[0] / slide["mpp"] if stated else 0.0
    size_l0 = int(slide["width"]), int(slide["height"])
    if any(abs(l0 - px * l0_per_px) > l0_per_px for l0, px in zip(size_l0, size_px, strict=True)):
        raise SlideOpenError("is not of this slide: its size is another one", where=path.name)
    return PixelSource(
        lambda: open_slide(path, cache_bytes=READER_CACHE_BYTES), kind="overlay", size_l0=size_l0, l0_per_px=l0_per_px
    )
