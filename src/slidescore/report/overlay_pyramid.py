"""overlay.tiff and thumbnail.png: the slide with what was found on it, for OpenSlide, QuPath and the report.

The pyramid is written in one pass over the slide. While level 0 streams into the file, each of its tiles leaves a
half-size quarter behind, JPEG-encoded, from which the next level is put together. So memory holds a compressed quarter
of one level and a few open tiles, whatever the slide's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import cv2
import imagecodecs
import numpy as np
import shapely
import tifffile
from numpy.typing import NDArray

from slidescore.qc.overlay import AreaDrawing, CellDrawing, draw_discs, draw_overlay, prepare_areas
from slidescore.slide import AnalysisGrid, SlideReader, plan_grid, plan_thumbnail, read_analysis, read_thumbnail

Image = NDArray[np.uint8]

MISSING_COLOUR: Final = (242, 242, 242)
"""Where the slide has no pixel: the viewer's own background (#f2f2f2), never black, which reads as stain."""
DISC_RADIUS_UM: Final = 4.0
"""Radius of the dot that stands for a cell where its outline cannot be seen; about that of a nucleus."""
MAX_DISC_PX: Final = 4.5
"""Largest radius of a dot in the thumbnail, so that on a small slide the tissue stays in sight."""
MAX_OUTLINE_MPP: Final = 2.5
"""Coarser than this a cell is a few pixels wide, and dots show more than outlines."""

_SNAP_FRACTION: Final = 0.03
_QUALITY: Final = 85
_QUARTER_QUALITY: Final = 95
_MAX_CLASSIC_TIFF_PX: Final = 2**30
_UM_PER_CM: Final = 1e4


def write_overlay(
    path: Path,
    reader: SlideReader,
    slide_mpp: float,
    overlay_mpp: float,
    drawing: CellDrawing,
    hatched: Sequence[shapely.Geometry] = (),
    roi: Sequence[shapely.Geometry] = (),
    *,
    tile: int = 512,
    threads: int = 1,
) -> float:
    """Write the slide with its cells drawn on it as a tiled JPEG pyramid; the same input gives the same bytes.

    Parameters
    ----------
    path
        File to write.
    reader
        The slide.
    slide_mpp
        Micrometres per level-0 pixel.
    overlay_mpp
        Wanted micrometres per pixel of the overlay; a coarser slide is drawn at its own.
    drawing
        Its cells, see `slidescore.qc.overlay.prepare_cells`.
    hatched, roi
        Areas to hatch (excluded ones) and to outline, in level-0 px.
    tile
        Side of a tile in pixels, a multiple of 32.
    threads
        How many tiles are read at once; changes only the time.

    Returns
    -------
    float
        Micrometres per pixel that the overlay has, and states.

    Raises
    ------
    SlideOpenError
        The slide cannot be read.
    """
    grid = plan_grid(reader, slide_mpp, max(overlay_mpp, slide_mpp), _SNAP_FRACTION)
    areas = prepare_areas(hatched, merge=True), prepare_areas(roi)

    def draw(row: int, column: int) -> Image:
        return _draw_tile(reader, grid, drawing, *areas, column * tile, row * tile, tile)

    width, height = grid.width_px, grid.height_px
    with tifffile.TiffWriter(path, bigtiff=width * height > _MAX_CLASSIC_TIFF_PX) as tiff:
        tiles = _tiles_in_order(draw, _count(height, tile), _count(width, tile), threads)
        level, mpp = 0, grid.analysis_mpp
        while True:
            quarters: dict[tuple[int, int], bytes] = {}
            last = max(width, height) <= tile
            tiff.write(
                _encode_level(tiles, None if last else quarters, (height, width), tile),
                shape=(height, width, 3),
                dtype=np.uint8,
                tile=(tile, tile),
                photometric="ycbcr",
                compression="jpeg",
                # No subsampling: thin coloured lines keep their colour.
                subsampling=(1, 1),
                subfiletype=1 if level else 0,
                resolution=(_UM_PER_CM / mpp, _UM_PER_CM / mpp),
                resolutionunit="CENTIMETER",
                software="slidescore",
                metadata=None,
            )
            if last:
                return grid.analysis_mpp
            level, mpp = level + 1, mpp * 2
            width, height = _count(width, 2), _count(height, 2)
            tiles = _joined_tiles(quarters, _count(height, tile), _count(width, tile), tile)


def write_thumbnail(
    path: Path,
    reader: SlideReader,
    slide_mpp: float,
    drawing: CellDrawing,
    hatched: Sequence[shapely.Geometry] = (),
    roi: Sequence[shapely.Geometry] = (),
    *,
    max_px: int = 1024,
    threads: int = 1,
) -> None:
    """Write the whole slide as one small PNG, each cell a dot in its bin's colour.

    Parameters
    ----------
    path, reader, slide_mpp, drawing, hatched, roi, threads
        As in `write_overlay`.
    max_px
        Length of the longer side.

    Raises
    ------
    SlideOpenError
        The slide cannot be read.
    """
    grid = plan_thumbnail(reader, slide_mpp, max_px)
    rgb, valid = read_thumbnail(reader, grid, threads=threads)
    rgb[~valid] = MISSING_COLOUR
    scale = grid.px_to_l0
    radius_l0 = min(DISC_RADIUS_UM / slide_mpp, MAX_DISC_PX * scale)
    draw_discs(rgb, 0.0, 0.0, scale, drawing, radius_l0=radius_l0)
    draw_overlay(rgb, 0.0, 0.0, scale, None, prepare_areas(hatched, merge=True), prepare_areas(roi))
    path.write_bytes(imagecodecs.png_encode(rgb, level=6))


def small_jpeg(picture: bytes, max_px: int = 96) -> bytes:
    """Shrink an encoded picture to a JPEG whose longer side is `max_px`, for tables."""
    rgb = imagecodecs.imread(picture)[..., :3]
    height, width = rgb.shape[:2]
    factor = min(1.0, max_px / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return _jpeg(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), _QUALITY)


def _draw_tile(
    reader: SlideReader,
    grid: AnalysisGrid,
    drawing: CellDrawing,
    hatched: AreaDrawing,
    roi: AreaDrawing,
    x_px: int,
    y_px: int,
    tile: int,
) -> Image:
    """Read a tile, cut at the slide's end, and draw on it."""
    width, height = min(tile, grid.width_px - x_px), min(tile, grid.height_px - y_px)
    bounds = reader.bounds
    if bounds is not None and not bounds.intersects(grid.region(x_px, y_px, width, height)):
        return np.full((height, width, 3), MISSING_COLOUR, np.uint8)
    rgb, valid = read_analysis(reader, grid, x_px, y_px, width, height)
    rgb = np.require(rgb, requirements=["C", "W"])
    rgb[~valid] = MISSING_COLOUR
    scale = grid.px_to_l0
    corner = x_px * scale, y_px * scale
    dots = grid.analysis_mpp > MAX_OUTLINE_MPP
    if dots:
        draw_discs(rgb, *corner, scale, drawing, radius_l0=DISC_RADIUS_UM * scale / grid.analysis_mpp)
    draw_overlay(rgb, *corner, scale, None if dots else drawing, hatched, roi)
    return rgb


def _tiles_in_order(draw: Callable[[int, int], Image], rows: int, columns: int, threads: int) -> Iterator[Image]:
    """Draw the tiles row by row, a few ahead of the one that is wanted."""
    places = [(row, column) for row in range(rows) for column in range(columns)]
    if threads == 1:
        yield from (draw(*place) for place in places)
        return
    with ThreadPoolExecutor(threads) as pool:
        ahead = 2 * threads
        waiting = [pool.submit(draw, *place) for place in places[:ahead]]
        for place in places[ahead:]:
            yield waiting.pop(0).result()
            waiting.append(pool.submit(draw, *place))
        for future in waiting:
            yield future.result()


def _encode_level(
    tiles: Iterator[Image], quarters: dict[tuple[int, int], bytes] | None, shape: tuple[int, int], tile: int
) -> Iterator[bytes]:
    """Encode a level's tiles in order, and keep each at half its size for the next level."""
    columns = _count(shape[1], tile)
    for number, rgb in enumerate(tiles):
        height, width = rgb.shape[:2]
        # The last pixels are repeated, so that no border shows through at coarser levels.
        full = cv2.copyMakeBorder(rgb, 0, tile - height, 0, tile - width, cv2.BORDER_REPLICATE)
        if quarters is not None:
            half = cv2.resize(full, (tile // 2, tile // 2), interpolation=cv2.INTER_AREA)
            quarters[divmod(number, columns)] = _jpeg(half, _QUARTER_QUALITY)
        yield _jpeg(full, _QUALITY)


def _joined_tiles(quarters: dict[tuple[int, int], bytes], rows: int, columns: int, tile: int) -> Iterator[Image]:
    """Put the tiles of a level together from four quarters each, letting the quarters go."""
    half = tile // 2
    for row in range(rows):
        for column in range(columns):
            joined = np.full((tile, tile, 3), MISSING_COLOUR, np.uint8)
            for down in (0, 1):
                for right in (0, 1):
                    encoded = quarters.pop((2 * row + down, 2 * column + right), None)
                    if encoded is not None:
                        place = np.s_[down * half : (down + 1) * half, right * half : (right + 1) * half]
                        joined[place] = imagecodecs.jpeg8_decode(encoded)
            yield joined


def _jpeg(rgb: Image, quality: int) -> bytes:
    encoded = imagecodecs.jpeg8_encode(rgb, level=quality, colorspace="rgb", outcolorspace="ycbcr", subsampling="444")
    return bytes(encoded)


def _count(length: int, step: int) -> int:
    return -(-length // step)
