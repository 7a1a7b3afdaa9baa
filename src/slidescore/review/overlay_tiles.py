"""Cells, excluded squares and reviewers' regions as transparent tiles on the review grid.

Near, a cell is its outline, on the very pixels that overlay.tiff has it on at the same scale; farther off it is a dot,
and from afar what is left is how many cells of which kind there are. A cell that a reviewer changed carries a mark, so
that it is not told by a colour alone.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from PIL import Image

from slidescore.qc.artifacts import excluded_boxes
from slidescore.qc.cell_drawing import (
    EXCLUDED_KIND,
    OTHER_KIND,
    AreaDrawing,
    CellDrawing,
    Outlines,
    cells_near,
    prepare_areas,
)
from slidescore.qc.overlay import (
    BIN_COLOURS,
    HATCH_COLOUR,
    OTHER_COLOUR,
    ROI_COLOUR,
    paint_borders,
    paint_hatch,
    paint_outlines,
)
from slidescore.report.files import read_parquet
from slidescore.report.overlay_pyramid import DISC_RADIUS_UM
from slidescore.review.cell_columns import Part
from slidescore.review.cell_dots import MIN_DISC_PX, cover_by_dots
from slidescore.review.seen_cells import SeenCells
from slidescore.review.slide_cells import SlideCells
from slidescore.review.tile_grid import TILE_PX, TileGrid

Rgb = tuple[int, int, int]
Palette = Literal["qupath", "colourblind"]
Kinds = NDArray[np.uint8]

PALETTES: Final[tuple[Palette, ...]] = ("qupath", "colourblind")
SHOW_KEYS: Final = "0123ox"
"""Letters of what can be shown: four bins, other cells, excluded cells and squares; the index is the kind."""
COLOURBLIND_COLOURS: Final[tuple[Rgb, Rgb, Rgb, Rgb]] = ((44, 123, 182), (171, 217, 233), (253, 174, 97), (215, 25, 28))
"""Diverging RdYlBu of ColorBrewer, which colour-blind readers tell apart."""
WIDTHS: Final[Mapping[Palette, tuple[int, ...]]] = MappingProxyType(
    {"qupath": (1, 1, 1, 1, 1, 1), "colourblind": (1, 1, 2, 3, 1, 1)}
)
"""Widths of outlines by kind in px: all alike, and the wider the stronger the bin."""
LINE_UM: Final = 0.5
"""Outlines are at least this wide: at 0.25 um/px one pixel is lost on stained membranes."""
MAX_OUTLINE_MPP: Final = 1.25
"""Coarser than this, outlines run into one another, and dots show more."""
DOT_OPACITY: Final = 0.85
"""Of dots; the page makes the whole layer paler still."""
MARK_PX: Final = 5
"""Side of the mark of a corrected cell, its light rim included."""
MARK_COLOURS: Final[tuple[Rgb, Rgb]] = ((255, 255, 255), (0, 0, 0))
"""Rim and middle: seen on every stain."""

_HATCH, _REGION, _RIM, _MIDDLE = (len(SHOW_KEYS) + 1 + number for number in range(4))
_DOT_KINDS: Final = range(EXCLUDED_KIND)
"""Excluded cells have no dots: their areas are hatched."""
_DOT_ORDER: Final = (OTHER_KIND, 0, 1, 2, 3)
_DOT_STEPS: Final = 15
_FIRST_DOT: Final = _MIDDLE + 1
_FASTEST: Final = 1
_OPAQUE: Final = 255

SQUARES_SCHEMA: Final = pa.schema([("square", pa.list_(pa.int64())), ("square_excluded", pa.list_(pa.string()))])
"""Columns of tiles.parquet that say which squares are excluded."""


@dataclass(frozen=True, slots=True)
class OverlayStyle:
    """What is shown and how; hashable, as part of a cache key.

    Attributes
    ----------
    show
        Kinds that are drawn: 0 to 3, OTHER_KIND, EXCLUDED_KIND; the last one also hatches excluded squares.
    palette, part
        Colours of the bins, and whether cells or nuclei are outlined.
    """

    show: frozenset[int] = frozenset(range(len(SHOW_KEYS)))
    palette: Palette = "qupath"
    part: Part = "cell"


@dataclass(frozen=True, slots=True, eq=False)
class DrawnAreas:
    """Areas of one slide, ready to be drawn: excluded squares, and regions that reviewers include or exclude."""

    squares: AreaDrawing
    include: AreaDrawing
    exclude: AreaDrawing


def excluded_areas(folder: Path, record: Mapping[str, Any]) -> AreaDrawing:
    """Prepare the excluded squares of a slide, from tiles.parquet in its folder; once a slide.

    Raises
    ------
    RunFolderError
        tiles.parquet is missing or damaged.
    """
    analysis = record["analysis"]
    side_l0 = analysis["square_px"] * analysis["mpp"] / record["slide"]["mpp"]
    tiles = read_parquet(folder / "tiles.parquet", SQUARES_SCHEMA)
    return prepare_areas(excluded_boxes(tiles, side_l0, analysis["square_columns"]), merge=True)


def drawn_areas(
    squares: AreaDrawing, include: Sequence[shapely.Geometry] = (), exclude: Sequence[shapely.Geometry] = ()
) -> DrawnAreas:
    """Put the areas of a slide together; once a revision of its review."""
    return DrawnAreas(squares, prepare_areas(include), prepare_areas(exclude))


def overlay_tile(
    cells: SlideCells,
    seen: SeenCells,
    areas: DrawnAreas,
    grid: TileGrid,
    style: OverlayStyle,
    k: int,
    column: int,
    row: int,
) -> bytes:
    """Draw a tile as a transparent PNG: outlines near, dots farther off, density far.

    Raises
    ------
    ValueError
        There is no such tile.
    RunFolderError
        Outlines are needed and cells.parquet is gone or damaged.
    """
    size_px = grid.tile_size_px(k, column, row)
    if size_px is None:
        message = f"no tile {k}, {column}, {row}"
        raise ValueError(message)
    scale = float(1 << k)
    frame = TileFrame(size_px, column * TILE_PX * scale, row * TILE_PX * scale, scale)
    layer = _paint_areas(frame, areas, style)
    mpp = cells.mpp * scale
    if mpp > DISC_RADIUS_UM / MIN_DISC_PX:
        return _encode_rgba(_mix_density(layer, _cover(cells, seen, frame, style), style.palette))
    if mpp > MAX_OUTLINE_MPP:
        _lay_dots(layer, _cover(cells, seen, frame, style))
        marked = _corrected_near(cells, seen, frame, style, 0)
        _paint_marks(layer, frame, np.stack([cells.x_l0[marked], cells.y_l0[marked]], axis=1), MARK_PX)
        return _encode_kinds(layer, style.palette)
    outlines = cells.outlines(style.part)
    drawing = CellDrawing(cells.x_l0, cells.y_l0, seen.kind, outlines, cells.buckets)
    wider_px = max(0, round(LINE_UM / mpp) - 1)
    widths = tuple(width + wider_px for width in WIDTHS[style.palette])
    kinds = paint_outlines(*frame, drawing, thickness_px=widths, shown=style.show)
    layer = np.where(kinds > 0, kinds, layer)
    marked = _corrected_near(cells, seen, frame, style, outlines.reach_l0)
    _paint_marks(layer, frame, _tops(cells, outlines, marked), MARK_PX + 2 * wider_px)
    return _encode_kinds(layer, style.palette)


class TileFrame(NamedTuple):
    """Where a tile lies: width and height in px, outer corner in level-0 px, and its scale."""

    size_px: tuple[int, int]
    x0_l0: float
    y0_l0: float
    l0_per_px: float


def _paint_areas(frame: TileFrame, areas: DrawnAreas, style: OverlayStyle) -> Kinds:
    """Paint what lies below the cells; uint8, (H, W), indices of `_colours`."""
    width, height = frame.size_px
    layer = np.zeros((height, width), np.uint8)
    if EXCLUDED_KIND in style.show:
        layer[paint_hatch(*frame, areas.squares)] = _HATCH
    # What a reviewer drew is always shown; one that takes cells out is hatched besides.
    layer[paint_hatch(*frame, areas.exclude)] = _HATCH
    layer[paint_borders(*frame, areas.exclude) | paint_borders(*frame, areas.include)] = _REGION
    return layer


def _cover(cells: SlideCells, seen: SeenCells, frame: TileFrame, style: OverlayStyle) -> NDArray[np.float32]:
    shown = np.array([kind in style.show for kind in _DOT_KINDS])
    radius_l0 = DISC_RADIUS_UM / cells.mpp
    return cover_by_dots(*frame, cells.x_l0, cells.y_l0, seen.kind, cells.buckets, shown, radius_l0=radius_l0)


def _lay_dots(layer: Kinds, cover: NDArray[np.float32]) -> None:
    """Lay dots over a layer, in place; where one covers less than half of a pixel, it gives way to what is there."""
    for kind in _DOT_ORDER:
        paleness = np.rint(cover[kind] * _DOT_STEPS).astype(np.uint8)
        on_top = (paleness > 0) & ((layer == 0) | (2 * paleness >= _DOT_STEPS))
        layer[on_top] = _FIRST_DOT + kind * _DOT_STEPS + paleness[on_top] - 1


def _mix_density(below: Kinds, cover: NDArray[np.float32], palette: Palette) -> NDArray[np.uint8]:
    """Give each pixel the mean colour of its cells, as opaque as they cover it, over a layer; uint8, (H, W, 4)."""
    colours = _colours(palette)
    rgba = colours[below]
    total = cover.sum(axis=0)
    some = total > 0
    alpha = (DOT_OPACITY * np.minimum(total[some], 1))[:, None]
    mean = (cover[:, some] / total[some]).T @ colours[1 : 1 + len(_DOT_KINDS), :3].astype(np.float32)
    under = rgba[some].astype(np.float32)
    weight = under[:, 3:] / _OPAQUE * (1 - alpha)
    rgba[some, :3] = np.rint((alpha * mean + weight * under[:, :3]) / (alpha + weight))
    rgba[some, 3:] = np.rint((alpha + weight) * _OPAQUE)
    return rgba


def _corrected_near(
    cells: SlideCells, seen: SeenCells, frame: TileFrame, style: OverlayStyle, reach_l0: int
) -> NDArray[np.int32]:
    """Find the corrected cells that are shown and whose mark may touch a tile."""
    (width, height), scale = frame.size_px, frame.l0_per_px
    end_x, end_y = frame.x0_l0 + width * scale, frame.y0_l0 + height * scale
    near = cells_near(cells.buckets, frame.x0_l0, frame.y0_l0, end_x, end_y, reach_l0=reach_l0 + MARK_PX * scale)
    near = near[seen.corrected[near]]
    found: NDArray[np.int32] = near[np.isin(seen.kind[near], list(style.show))]
    return found


def _tops(cells: SlideCells, outlines: Outlines, which: NDArray[np.int32]) -> NDArray[np.float64]:
    """Find the topmost point of outlines, the centroid where there is none; float64, (n, 2), level-0 px."""
    tops = np.stack([cells.x_l0[which], cells.y_l0[which]], axis=1).astype(np.float64)
    for number, cell in enumerate(which.tolist()):
        points = outlines.points[outlines.starts[cell] : outlines.starts[cell + 1]]
        if len(points):
            tops[number] += points[points[:, 1].argmin()]
    return tops


def _paint_marks(layer: Kinds, frame: TileFrame, xy_l0: NDArray[np.floating], side_px: int) -> None:
    """Paint squares around points, float, (n, 2), in place: indices of `_colours`."""
    corner = frame.x0_l0, frame.y0_l0
    places = np.floor((xy_l0.astype(np.float64) - corner) / frame.l0_per_px).astype(np.int64).tolist()
    for colour, reach in ((_RIM, side_px // 2), (_MIDDLE, side_px // 2 - 1)):
        for x, y in places:
            cv2.rectangle(layer, (x - reach, y - reach), (x + reach, y + reach), colour, cv2.FILLED)


@lru_cache(maxsize=len(PALETTES))
def _colours(palette: Palette) -> NDArray[np.uint8]:
    """Tabulate the colours of a layer of kinds, 0 transparent; uint8, (N, 4), RGBA."""
    bins = COLOURBLIND_COLOURS if palette == "colourblind" else BIN_COLOURS
    opaque = (*bins, OTHER_COLOUR, OTHER_COLOUR, HATCH_COLOUR, ROI_COLOUR, *MARK_COLOURS)
    steps = [round(DOT_OPACITY * _OPAQUE * step / _DOT_STEPS) for step in range(1, _DOT_STEPS + 1)]
    dots = [(*colour, step) for colour in opaque[: len(_DOT_KINDS)] for step in steps]
    return np.array([(0, 0, 0, 0), *((*colour, _OPAQUE) for colour in opaque), *dots], np.uint8)


def _encode_kinds(layer: Kinds, palette: Palette) -> bytes:
    """Encode a layer of kinds as a PNG of few colours: half the bytes and a third of the time of one of many."""
    colours = _colours(palette)
    picture = Image.fromarray(layer)
    picture.putpalette(colours[:, :3].tobytes())
    out = io.BytesIO()
    picture.save(out, "PNG", transparency=colours[:, 3].tobytes(), compress_level=_FASTEST)
    return out.getvalue()


def _encode_rgba(rgba: NDArray[np.uint8]) -> bytes:
    bgra = cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA)
    return bytes(cv2.imencode(".png", bgra, [cv2.IMWRITE_PNG_COMPRESSION, _FASTEST])[1])
