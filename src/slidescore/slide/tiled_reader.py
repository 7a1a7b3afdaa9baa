"""Tiled JPEG slides at the speed of the JPEG decoder: tiles are read where they lie and decoded by simplejpeg.

OpenSlide paints its tiles by a general graphics operator, which takes five times what decoding takes. Here OpenSlide
opens the slide, and its word stands: on what the file says about itself, and on levels whose pixels do not fall on
whole level-0 pixels. `slidescore.slide.tile_trial` compares pixels before this reader is used; from then on a tile
that this decoder refuses or warns of is an error. OpenSlide does not read a JPEG to its end, and so passes over most
damage to its codes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import cv2
import numpy as np
import numpy.typing as npt

from slidescore.errors import SlideOpenError
from slidescore.slide.jpeg_codes import decode_into, make_desk
from slidescore.slide.jpeg_heads import TileHead, read_head
from slidescore.slide.jpeg_levels import JpegLevel
from slidescore.slide.openslide_reader import OpenSlideReader
from slidescore.slide.reader import Means, check_request
from slidescore.slide.tile_cache import TileCache

_RGB, _RGBA = 3, 4
_WHITE: Final = 255
_MOST_TO_RAW: Final = 4
_MOST_BESIDES: Final = 1 << 16
"""A tile of more bytes than four times its pixels, and this many for its head, is no JPEG of them."""


class _Part(NamedTuple):
    """What one tile gives to a window: rows and columns of the tile, and where they lie in the window."""

    number: int
    of_tile: tuple[slice, slice]
    of_window: tuple[slice, slice]

    def is_whole(self, tiles: JpegLevel) -> bool:
        """Whether it is all of the tile."""
        rows, columns = self.of_tile
        whole = tiles.tile_height, tiles.tile_width
        return (int(rows.stop - rows.start), int(columns.stop - columns.start)) == whole


class TiledReader:
    """A slide of JPEG tiles; one handle serves any number of threads.

    Parameters
    ----------
    path
        The slide's file.
    slide
        The same file, opened by OpenSlide; closed together with this reader.
    levels
        The tiles of each level, see `slidescore.slide.jpeg_levels`.
    cache
        Where decoded tiles are kept.

    Raises
    ------
    SlideOpenError
        The file cannot be opened any more.
    """

    backend: str = "tiles"
    survives_errors: bool = True
    fallback: str = ""

    def __init__(
        self,
        path: Path,
        slide: OpenSlideReader,
        levels: Sequence[JpegLevel | None],
        cache: TileCache[npt.NDArray[np.uint8]] | None = None,
    ) -> None:
        self._path = path
        self.levels = tuple(levels)
        self._cache: TileCache[npt.NDArray[np.uint8]] = cache or TileCache()
        self._idle = [slide]
        self._lock = threading.Lock()
        self._own = threading.local()
        self._heads: list[TileHead | None] = [None] * len(self.levels)
        self._n_reading = 0
        self._closed = False
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise SlideOpenError(f"cannot be read: {error.strerror}", where=str(path)) from error
        self.vendor, self.dimensions, self.level_count = slide.vendor, slide.dimensions, slide.level_count
        self.level_dimensions, self.level_downsamples = slide.level_dimensions, slide.level_downsamples
        self.properties, self.mpp, self.bounds = slide.properties, slide.mpp, slide.bounds
        self.icc_profile = slide.icc_profile

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Read a rectangle; see `SlideReader.read_region`. The pixels are OpenSlide's, bit for bit."""
        check_request(level, self.level_count, size)
        with self._reading():
            try:
                pixels = self.read_tiles(location, level, size)
            except SlideOpenError:
                # Where OpenSlide has a reason too, that is the one that is told.
                self.read_by_openslide(location, level, size)
                raise
            return self.read_by_openslide(location, level, size) if pixels is None else pixels

    def read_tiles(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
        """Read a rectangle without OpenSlide; None where only OpenSlide can.

        Raises
        ------
        SlideOpenError
            A tile cannot be decoded.
        """
        tiles = self.levels[level]
        if tiles is None or location[0] % tiles.downsample or location[1] % tiles.downsample:
            return None
        x, y = location[0] // tiles.downsample, location[1] // tiles.downsample
        inside = x >= 0 and y >= 0 and x + size[0] <= tiles.width and y + size[1] <= tiles.height
        # What no tile covers is transparent.
        out = (np.empty if inside else np.zeros)((size[1], size[0], _RGBA), np.uint8)
        for part in _parts(tiles, (x, y), size, 1):
            if not tiles.counts[part.number]:
                out[part.of_window] = 0
            elif part.is_whole(tiles):
                # Windows beside this one hardly need a tile that lies wholly in it.
                shape = tiles.tile_height, tiles.tile_width, _RGBA
                out[part.of_window] = self._decode(tiles, level, part.number, shape)
            else:
                out[part.of_window] = self._kept(tiles, level, part.number)[part.of_tile]
        return out

    def read_by_openslide(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Read a rectangle through OpenSlide, by a handle that no other thread uses meanwhile.

        Raises
        ------
        SlideOpenError
            OpenSlide cannot decode it; its handle is given up, because the error sticks to it.
        """
        with self._lock:
            handle = self._idle.pop() if self._idle else None
        if handle is None:
            handle = self._open_again()
        try:
            pixels = handle.read_region(location, level, size)
            with self._lock:
                if not self._closed:
                    self._idle.append(handle)
                    return pixels
        except BaseException:
            handle.close()
            raise
        handle.close()
        return pixels

    def can_halve(self, level: int, factor: int) -> bool:
        """Whether blocks of `factor` px of a level can be read decoded at half the resolution."""
        return factor % 2 == 0 and self._fits(self.levels[level], factor)

    def read_means(
        self, level: int, factor: int, corner: tuple[int, int], size: tuple[int, int], *, halved: bool
    ) -> Means | None:
        """Read a rectangle averaged over blocks; see `SlideReader.read_means`."""
        with self._reading():
            return self._read_means(level, factor, corner, size, halved=halved)

    def _read_means(
        self, level: int, factor: int, corner: tuple[int, int], size: tuple[int, int], *, halved: bool
    ) -> Means | None:
        tiles = self.levels[level]
        if tiles is None or not self._fits(tiles, factor) or (halved and factor % 2):
            return None
        (width, height), (end_x, end_y) = size, (tiles.width // factor, tiles.height // factor)
        if min(corner) >= 0 and corner[0] + width <= end_x and corner[1] + height <= end_y:
            rgb, valid = np.empty((height, width, _RGB), np.uint8), np.ones((height, width), np.bool_)
        else:
            rgb, valid = np.full((height, width, _RGB), _WHITE, np.uint8), np.zeros((height, width), np.bool_)
        try:
            for part in _parts(tiles, corner, size, factor):
                if tiles.counts[part.number]:
                    means = self._averaged(tiles, level, part.number, factor, halved=halved)
                    rgb[part.of_window], valid[part.of_window] = means[part.of_tile], True
                else:
                    rgb[part.of_window], valid[part.of_window] = _WHITE, False
        except SlideOpenError:
            if halved:
                raise
            return None
        return rgb, valid

    def close(self) -> None:
        """Let the file go, once other threads that are reading have done so."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
            is_last = self._n_reading == 0
        if is_last:
            self._let_go()
        for handle in idle:
            handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Keep the file open: its number, once closed, may be that of another file."""
        with self._lock:
            if self._closed:
                message = "the reader is closed"
                raise ValueError(message)
            self._n_reading += 1
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        """Note that a thread has read; the last one closes what was to be closed meanwhile."""
        with self._lock:
            self._n_reading -= 1
            is_last = self._closed and self._n_reading == 0
        if is_last:
            self._let_go()

    def _let_go(self) -> None:
        os.close(self._file)
        self._cache.clear()

    def _open_again(self) -> OpenSlideReader:
        """Open one more handle of OpenSlide, of the very file whose structure was judged."""
        handle = OpenSlideReader(self._path)
        try:
            same = os.path.samestat(os.fstat(self._file), self._path.stat())
        except OSError:
            same = False
        if not same:
            handle.close()
            raise SlideOpenError("another file was put in its place while it was being read", where=str(self._path))
        return handle

    @staticmethod
    def _fits(tiles: JpegLevel | None, factor: int) -> bool:
        """Whether no block of `factor` px lies across two tiles."""
        return tiles is not None and tiles.tile_width % factor == 0 and tiles.tile_height % factor == 0

    def _codes(self, tiles: JpegLevel, level: int, number: int) -> tuple[bytes, TileHead]:
        """Read the codes of a tile from the file, and judge their head."""
        count, raw = int(tiles.counts[number]), tiles.tile_width * tiles.tile_height * _RGB
        if count > _MOST_TO_RAW * raw + _MOST_BESIDES:
            raise SlideOpenError(f"a tile of {count:,} bytes", where=str(self._path))
        try:
            piece = os.pread(self._file, count, int(tiles.offsets[number]))
        except OSError as error:
            raise SlideOpenError(f"cannot be read: {error.strerror}", where=str(self._path)) from error
        if len(piece) < count:
            raise SlideOpenError("the file ends within a tile", where=str(self._path))
        head = self._heads[level]
        if head is None or not piece.startswith(head.stored):
            head = self._heads[level] = read_head(piece, tiles.head, tiles.tile_width, tiles.tile_height)
        return b"".join((head.given, memoryview(piece)[len(head.stored) :])), head

    def _decode(self, tiles: JpegLevel, level: int, number: int, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        """Decode a tile to the calling thread's own place, where its next tile overwrites it.

        Returns
        -------
        numpy.ndarray
            uint8, of `shape`: RGB or RGBA.
        """
        codes, _ = self._codes(tiles, level, number)
        desk = self._desk(shape)
        decode_into(codes, desk)
        return desk

    def _decode_halved(
        self, tiles: JpegLevel, level: int, number: int, shape: tuple[int, int, int]
    ) -> npt.NDArray[np.uint8]:
        """Decode a tile at half its resolution; uint8, of `shape`: RGB, in the calling thread's own place."""
        from slidescore.slide.chroma import SMOOTHED, smooth_colours

        codes, head = self._codes(tiles, level, number)
        desk = self._desk(shape)
        decode_into(codes, desk, halved=True)
        if axes := SMOOTHED.get(head.sampling):
            smooth_colours(desk, *axes)
        return desk

    def _desk(self, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        """Find the calling thread's own place to decode to."""
        desk: npt.NDArray[np.uint8] | None = getattr(self._own, "desk", None)
        if desk is None or desk.shape != shape:
            desk = self._own.desk = make_desk(*shape)
        return desk

    def _kept(self, tiles: JpegLevel, level: int, number: int) -> npt.NDArray[np.uint8]:
        """Decode a tile, or find it decoded; uint8, (tile_height, tile_width, 4), RGBA, not to be written to."""

        def decode() -> npt.NDArray[np.uint8]:
            return self._decode(tiles, level, number, (tiles.tile_height, tiles.tile_width, _RGBA)).copy()

        return self._cache.get((level, number), decode)

    def _averaged(
        self, tiles: JpegLevel, level: int, number: int, factor: int, *, halved: bool
    ) -> npt.NDArray[np.uint8]:
        """Decode a tile and average it over blocks, or find it so; uint8, (tile_height / factor, ..., 3), RGB."""
        from slidescore.slide.averaging import average_opaque  # numba takes a while to import

        def decode() -> npt.NDArray[np.uint8]:
            by = factor // 2 if halved else factor
            height, width = tiles.tile_height * by // factor, tiles.tile_width * by // factor
            if not halved and by > 1:
                return average_opaque(self._decode(tiles, level, number, (height, width, _RGBA)), by)
            pixels = (self._decode_halved if halved else self._decode)(tiles, level, number, (height, width, _RGB))
            return pixels.copy() if by == 1 else average_opaque(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA), by)

        return self._cache.get((level, number, factor, halved), decode)


def _parts(tiles: JpegLevel, corner: tuple[int, int], size: tuple[int, int], factor: int) -> Iterator[_Part]:
    """Cut a window into what each tile gives to it, as far as whole blocks of the level reach.

    Parameters
    ----------
    tiles
        The level.
    corner, size
        x, y and width, height of the window, in blocks of `factor` px of the level.
    factor
        A divisor of the sides of a tile.
    """
    (x, y), (width, height) = corner, size
    tile_width, tile_height = tiles.tile_width // factor, tiles.tile_height // factor
    x_end, y_end = min(x + width, tiles.width // factor), min(y + height, tiles.height // factor)
    for row in range(max(y, 0) // tile_height, -(-y_end // tile_height)):
        top = row * tile_height
        y0, y1 = max(y, top, 0), min(y_end, top + tile_height)
        for column in range(max(x, 0) // tile_width, -(-x_end // tile_width)):
            left = column * tile_width
            x0, x1 = max(x, left, 0), min(x_end, left + tile_width)
            if x0 < x1 and y0 < y1:
                yield _Part(
                    row * tiles.columns + column,
                    (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)),
                    (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)),
                )
