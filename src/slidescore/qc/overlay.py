"""Drawing cells and areas on slide pixels, so that an eye can check every number.

What is drawn on a pixel depends on the slide alone, never on the tile it lies in. Coordinates are level-0 px with 0 at
the outer edge of the first pixel, as QuPath's; its centre lies at 0.5.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from slidescore.qc.cell_drawing import (
    EXCLUDED_KIND,
    OTHER_KIND,
    AreaDrawing,
    CellDrawing,
    cells_near,
    prepare_areas,
    prepare_cells,
)

__all__ = [
    "BIN_COLOURS",
    "EXCLUDED_KIND",
    "HATCH_COLOUR",
    "OTHER_COLOUR",
    "OTHER_KIND",
    "ROI_COLOUR",
    "AreaDrawing",
    "CellDrawing",
    "draw_discs",
    "draw_overlay",
    "paint_borders",
    "paint_hatch",
    "paint_outlines",
    "prepare_areas",
    "prepare_cells",
]

Rgb = tuple[int, int, int]
Image = NDArray[np.uint8]

BIN_COLOURS: Final[tuple[Rgb, Rgb, Rgb, Rgb]] = ((90, 90, 180), (255, 215, 0), (225, 150, 50), (200, 50, 50))
"""Colours of Negative, 1+, 2+ and 3+ in QuPath (qupath-core PathClassFactory)."""
OTHER_COLOUR: Final[Rgb] = (154, 154, 154)
"""Cells that are not tumor cells, and, stippled, cells that do not count."""
HATCH_COLOUR: Final[Rgb] = (90, 90, 90)
ROI_COLOUR: Final[Rgb] = (0, 128, 128)
"""Teal, which neither stains nor bins have."""
KIND_COLOURS: Final[tuple[Rgb, ...]] = (*BIN_COLOURS, OTHER_COLOUR, OTHER_COLOUR)

# Later kinds lie on top where outlines cross: excluded and other cells lowest, then bins upwards.
_DRAW_ORDER: Final = (EXCLUDED_KIND, OTHER_KIND, 0, 1, 2, 3)
_SHIFT: Final = 8
# An outline that runs exactly between two pixels is drawn on the one inside, on every side of the cell.
_INWARDS_PX: Final = 1 / 16
_HATCH_PERIOD_PX: Final = 12
_ROI_PX: Final = 2
_STIPPLE_PERIOD_PX: Final = 4
_STIPPLE_ON_PX: Final = 2
_CLIP_MARGIN_PX: Final = 8
# Below this radius a disc is no shape any more, and its share of a pixel is what counts.
_MIN_DISC_PX: Final = 1.0


def draw_overlay(
    rgb: Image,
    x0_l0: float,
    y0_l0: float,
    l0_per_px: float,
    cells: CellDrawing | None,
    hatched: AreaDrawing | None = None,
    roi: AreaDrawing | None = None,
    *,
    thickness_px: int = 1,
) -> None:
    """Draw cell outlines, hatched areas and outlined areas on an image, in place.

    Parameters
    ----------
    rgb
        uint8, (H, W, 3), RGB.
    x0_l0, y0_l0
        Outer corner of the image's first pixel.
    l0_per_px
        Level-0 px per pixel of `rgb`.
    cells
        What to outline, if anything: a counted tumor cell in its bin's colour, other cells grey, excluded ones in
        grey stipple.
    hatched
        Areas to hatch.
    roi
        Areas to outline.
    thickness_px
        Width of a cell's outline.
    """
    size_px = rgb.shape[1], rgb.shape[0]
    if hatched is not None:
        rgb[paint_hatch(size_px, x0_l0, y0_l0, l0_per_px, hatched)] = HATCH_COLOUR
    if roi is not None:
        for rings in _rings_inside(size_px, _Frame(x0_l0, y0_l0, l0_per_px), roi):
            cv2.polylines(rgb, rings, True, ROI_COLOUR, _ROI_PX, cv2.LINE_AA, _SHIFT)
    if cells is not None:
        kinds = paint_outlines(size_px, x0_l0, y0_l0, l0_per_px, cells, thickness_px=thickness_px)
        drawn = kinds > 0
        rgb[drawn] = np.array(KIND_COLOURS, np.uint8)[kinds[drawn] - 1]


def draw_discs(
    rgb: Image,
    x0_l0: float,
    y0_l0: float,
    l0_per_px: float,
    cells: CellDrawing,
    *,
    radius_l0: float,
    opacity: float = 0.6,
) -> None:
    """Paint each counted cell as a disc in its colour, in place, for scales at which outlines cannot be seen.

    Discs smaller than a pixel are mixed: a pixel takes the mean colour of its cells, as opaque as they cover it.

    Parameters
    ----------
    rgb, x0_l0, y0_l0, l0_per_px, cells
        As in `draw_overlay`.
    radius_l0
        Radius of every disc in level-0 px.
    opacity
        Of a disc, 0 to 1.
    """
    height, width = rgb.shape[:2]
    region = (x0_l0, y0_l0, x0_l0 + width * l0_per_px, y0_l0 + height * l0_per_px)
    near = cells_near(cells.buckets, *region, reach_l0=radius_l0)
    near = near[cells.kind[near] != EXCLUDED_KIND]
    x_px = (cells.x_l0[near].astype(np.float64) - x0_l0) / l0_per_px
    y_px = (cells.y_l0[near].astype(np.float64) - y0_l0) / l0_per_px
    radius_px = radius_l0 / l0_per_px
    if radius_px < _MIN_DISC_PX:
        inside = (x_px >= 0) & (y_px >= 0) & (x_px < width) & (y_px < height)
        _mix_dots(rgb, x_px[inside], y_px[inside], cells.kind[near][inside], np.pi * radius_px**2, opacity)
        return
    layer = rgb.copy()
    one = 1 << _SHIFT
    fixed = np.rint((np.stack([x_px, y_px], axis=1) - 0.5) * one).astype(np.int64)
    for kind in _DRAW_ORDER:
        for x, y in fixed[cells.kind[near] == kind].tolist():
            cv2.circle(layer, (x, y), round(radius_px * one), KIND_COLOURS[kind], -1, cv2.LINE_AA, _SHIFT)
    cv2.addWeighted(layer, opacity, rgb, 1.0 - opacity, 0.0, dst=rgb)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where an image lies: outer corner in level-0 px, and its scale."""

    x0_l0: float
    y0_l0: float
    l0_per_px: float

    def fixed(self, xy_l0: NDArray[np.float64]) -> NDArray[np.int32]:
        """Turn level-0 px into OpenCV's fixed point, in which a whole number is the centre of a pixel."""
        px = (xy_l0 - (self.x0_l0, self.y0_l0)) / self.l0_per_px - 0.5
        return np.rint(px * (1 << _SHIFT)).astype(np.int32)


def paint_outlines(
    size_px: tuple[int, int],
    x0_l0: float,
    y0_l0: float,
    l0_per_px: float,
    cells: CellDrawing,
    *,
    thickness_px: int | tuple[int, ...] = 1,
    shown: Collection[int] = _DRAW_ORDER,
) -> Image:
    """Paint cell outlines as an image of kinds, so that whoever colours it chooses the colours.

    Parameters
    ----------
    size_px
        Width and height of the image.
    x0_l0, y0_l0, l0_per_px, cells
        As in `draw_overlay`.
    thickness_px
        Width of an outline, of all kinds or of each.
    shown
        Kinds that are painted.

    Returns
    -------
    numpy.ndarray
        uint8, (H, W): 1 + kind of the outline on top, 0 where there is none. Excluded cells are stippled.
    """
    width, height = size_px
    frame, scale, outlines = _Frame(x0_l0, y0_l0, l0_per_px), l0_per_px, cells.outlines
    widths = (thickness_px,) * len(KIND_COLOURS) if isinstance(thickness_px, int) else thickness_px
    widest = max(widths)
    end_x, end_y = x0_l0 + width * scale, y0_l0 + height * scale
    near = cells_near(cells.buckets, x0_l0, y0_l0, end_x, end_y, reach_l0=outlines.reach_l0 + scale * widest)
    near = near[_touches(cells, near, frame, size_px, widest)]
    if not near.size:
        return np.zeros((height, width), np.uint8)
    # On a canvas wide enough for whole cells: OpenCV moves a line by up to a pixel where it clips it.
    margin = int(np.ceil(2 * outlines.reach_l0 / scale)) + widest + 1
    wide = _Frame(x0_l0 - margin * scale, y0_l0 - margin * scale, scale)
    lengths = outlines.starts[near + 1] - outlines.starts[near]
    stops = np.cumsum(lengths)
    owner = np.repeat(np.arange(near.size), lengths)
    which = np.arange(stops[-1]) + np.repeat(outlines.starts[near] - (stops - lengths), lengths)
    offsets = outlines.points[which]
    inwards = np.sign(offsets) * (_INWARDS_PX * scale)
    xy = np.stack([cells.x_l0[near], cells.y_l0[near]], axis=1).astype(np.float64)[owner] + offsets - inwards
    fixed = wide.fixed(xy)
    rings = [fixed[start:stop] for start, stop in zip((stops - lengths).tolist(), stops.tolist(), strict=True)]
    canvas = np.zeros((height + 2 * margin, width + 2 * margin), np.uint8)
    for kind in (kind for kind in _DRAW_ORDER if kind in shown):
        own = [rings[i] for i in np.flatnonzero(cells.kind[near] == kind)]
        cv2.polylines(canvas, own, True, 1 + kind, widths[kind], cv2.LINE_8, _SHIFT)
        if own and kind == EXCLUDED_KIND:
            canvas[_diagonals(canvas, wide, _STIPPLE_PERIOD_PX) >= _STIPPLE_ON_PX] = 0
    return canvas[margin : margin + height, margin : margin + width]


def _touches(
    cells: CellDrawing, near: NDArray[np.int32], frame: _Frame, size_px: tuple[int, int], margin_px: int
) -> NDArray[np.bool_]:
    """Tell which cells have an outline whose box touches an image; bool, (len(near),)."""
    outlines, scale = cells.outlines, frame.l0_per_px
    box = outlines.box[near]
    x_px = (cells.x_l0[near].astype(np.float64) - frame.x0_l0) / scale
    y_px = (cells.y_l0[near].astype(np.float64) - frame.y0_l0) / scale
    touches: NDArray[np.bool_] = (
        (outlines.starts[near + 1] > outlines.starts[near])
        & (x_px + box[:, 2] / scale >= -margin_px)
        & (x_px + box[:, 0] / scale <= size_px[0] + margin_px)
        & (y_px + box[:, 3] / scale >= -margin_px)
        & (y_px + box[:, 1] / scale <= size_px[1] + margin_px)
    )
    return touches


def paint_hatch(
    size_px: tuple[int, int], x0_l0: float, y0_l0: float, l0_per_px: float, areas: AreaDrawing
) -> NDArray[np.bool_]:
    """Paint areas as lines that run on from tile to tile, and their borders; bool, (H, W).

    Parameters
    ----------
    size_px
        Width and height of the image.
    x0_l0, y0_l0, l0_per_px, areas
        As in `draw_overlay`.
    """
    frame, mask = _Frame(x0_l0, y0_l0, l0_per_px), np.zeros(size_px[::-1], np.uint8)
    borders = []
    for rings in _rings_inside(size_px, frame, areas):
        cv2.fillPoly(mask, rings, 255, cv2.LINE_8, _SHIFT)
        borders.extend(rings)
    if borders:
        mask[_diagonals(mask, frame, _HATCH_PERIOD_PX) >= 1] = 0
        cv2.polylines(mask, borders, True, 255, 1, cv2.LINE_8, _SHIFT)
    return mask > 0


def paint_borders(
    size_px: tuple[int, int], x0_l0: float, y0_l0: float, l0_per_px: float, areas: AreaDrawing
) -> NDArray[np.bool_]:
    """Paint the borders of areas, two pixels wide; bool, (H, W). Parameters are those of `paint_hatch`."""
    mask = np.zeros(size_px[::-1], np.uint8)
    for rings in _rings_inside(size_px, _Frame(x0_l0, y0_l0, l0_per_px), areas):
        cv2.polylines(mask, rings, True, 255, _ROI_PX, cv2.LINE_8, _SHIFT)
    return mask > 0


def _rings_inside(size_px: tuple[int, int], frame: _Frame, areas: AreaDrawing) -> list[list[NDArray[np.int32]]]:
    """Cut areas to an image and a margin; the rings of each part, the outer one first, in fixed point."""
    margin = _CLIP_MARGIN_PX * frame.l0_per_px
    x0, y0 = frame.x0_l0 - margin, frame.y0_l0 - margin
    x1 = frame.x0_l0 + size_px[0] * frame.l0_per_px + margin
    y1 = frame.y0_l0 + size_px[1] * frame.l0_per_px + margin
    # In the areas' own order, which the tree does not keep.
    found = np.sort(areas.tree.query(shapely.box(x0, y0, x1, y1)))
    parts = shapely.get_parts(shapely.clip_by_rect(areas.polygons[found], x0, y0, x1, y1))
    return [
        [frame.fixed(shapely.get_coordinates(ring)[:-1]) for ring in (part.exterior, *part.interiors)]
        for part in parts
        if part.geom_type == "Polygon" and not part.is_empty
    ]


def _diagonals(image: Image, frame: _Frame, period_px: int) -> NDArray[np.uint8]:
    """Give each pixel the number of its diagonal, 0 to period - 1, running on across tiles; uint8, (H, W)."""
    x = (np.arange(image.shape[1]) + round(frame.x0_l0 / frame.l0_per_px)) % period_px
    y = (np.arange(image.shape[0]) + round(frame.y0_l0 / frame.l0_per_px)) % period_px
    diagonals: NDArray[np.uint8] = (x[None, :].astype(np.uint8) + y[:, None].astype(np.uint8)) % np.uint8(period_px)
    return diagonals


def _mix_dots(
    rgb: Image,
    x_px: NDArray[np.float64],
    y_px: NDArray[np.float64],
    kind: NDArray[np.uint8],
    area_px: float,
    opacity: float,
) -> None:
    height, width = rgb.shape[:2]
    pixel = y_px.astype(np.int64) * width + x_px.astype(np.int64)
    count = np.bincount(pixel, minlength=height * width)
    colours = np.array(KIND_COLOURS, np.float64)[kind]
    total = np.stack([np.bincount(pixel, colours[:, c], minlength=height * width) for c in range(3)], axis=1)
    some = np.flatnonzero(count)
    alpha = (opacity * np.minimum(1.0, count[some] * area_px))[:, None]
    mixed = alpha * total[some] / count[some, None] + (1 - alpha) * rgb.reshape(-1, 3)[some]
    rgb[some // width, some % width] = np.rint(mixed).astype(np.uint8)
