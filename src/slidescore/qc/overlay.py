"""Drawing cells and areas on slide pixels, so that an eye can check every number.

What is drawn on a pixel depends on the slide alone, never on the tile it lies in. Coordinates are level-0 px with 0 at
the outer edge of the first pixel, as QuPath's; its centre lies at 0.5.
"""

from __future__ import annotations

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
    frame = _Frame(x0_l0, y0_l0, l0_per_px)
    if hatched is not None:
        _hatch(rgb, frame, hatched)
    if roi is not None:
        for rings in _rings_inside(rgb, frame, roi):
            cv2.polylines(rgb, rings, True, ROI_COLOUR, 2, cv2.LINE_AA, _SHIFT)
    if cells is not None:
        _draw_outlines(rgb, frame, cells, thickness_px)


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
    near = cells_near(cells, *region, reach_l0=radius_l0)
    near = near[cells.kind[near] != EXCLUDED_KIND]
    x_px = (cells.x_l0[near] - x0_l0) / l0_per_px
    y_px = (cells.y_l0[near] - y0_l0) / l0_per_px
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


def _draw_outlines(rgb: Image, frame: _Frame, cells: CellDrawing, thickness_px: int) -> None:
    height, width = rgb.shape[:2]
    scale = frame.l0_per_px
    end_x, end_y = frame.x0_l0 + width * scale, frame.y0_l0 + height * scale
    near = cells_near(cells, frame.x0_l0, frame.y0_l0, end_x, end_y, reach_l0=cells.reach_l0 + scale * thickness_px)
    near = near[_touches(cells, near, frame, (width, height), thickness_px)]
    if not near.size:
        return
    # On a canvas wide enough for whole cells: OpenCV moves a line by up to a pixel where it clips it.
    margin = int(np.ceil(2 * cells.reach_l0 / scale)) + thickness_px + 1
    wide = _Frame(frame.x0_l0 - margin * scale, frame.y0_l0 - margin * scale, scale)
    lengths = cells.starts[near + 1] - cells.starts[near]
    stops = np.cumsum(lengths)
    owner = np.repeat(np.arange(near.size), lengths)
    which = np.arange(stops[-1]) + np.repeat(cells.starts[near] - (stops - lengths), lengths)
    offsets = cells.points[which]
    inwards = np.sign(offsets) * (_INWARDS_PX * scale)
    xy = np.stack([cells.x_l0[near], cells.y_l0[near]], axis=1)[owner] + offsets - inwards
    outlines = np.split(wide.fixed(xy), stops[:-1])
    canvas = cv2.copyMakeBorder(rgb, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    for kind in _DRAW_ORDER:
        own = [outlines[i] for i in np.flatnonzero(cells.kind[near] == kind)]
        if own and kind == EXCLUDED_KIND:
            mask = np.zeros(canvas.shape[:2], np.uint8)
            cv2.polylines(mask, own, True, 255, thickness_px, cv2.LINE_8, _SHIFT)
            canvas[(mask > 0) & (_diagonals(canvas, wide, _STIPPLE_PERIOD_PX) < _STIPPLE_ON_PX)] = OTHER_COLOUR
        elif own:
            cv2.polylines(canvas, own, True, KIND_COLOURS[kind], thickness_px, cv2.LINE_8, _SHIFT)
    rgb[:] = canvas[margin : margin + height, margin : margin + width]


def _touches(
    cells: CellDrawing, near: NDArray[np.int64], frame: _Frame, size_px: tuple[int, int], margin_px: int
) -> NDArray[np.bool_]:
    """Tell which cells have an outline whose box touches an image; bool, (len(near),)."""
    box, scale = cells.box[near], frame.l0_per_px
    x_px, y_px = (cells.x_l0[near] - frame.x0_l0) / scale, (cells.y_l0[near] - frame.y0_l0) / scale
    touches: NDArray[np.bool_] = (
        (cells.starts[near + 1] > cells.starts[near])
        & (x_px + box[:, 2] / scale >= -margin_px)
        & (x_px + box[:, 0] / scale <= size_px[0] + margin_px)
        & (y_px + box[:, 3] / scale >= -margin_px)
        & (y_px + box[:, 1] / scale <= size_px[1] + margin_px)
    )
    return touches


def _hatch(rgb: Image, frame: _Frame, areas: AreaDrawing) -> None:
    line = _diagonals(rgb, frame, _HATCH_PERIOD_PX) < 1
    mask = np.zeros(rgb.shape[:2], np.uint8)
    borders = []
    for rings in _rings_inside(rgb, frame, areas):
        cv2.fillPoly(mask, rings, 255, cv2.LINE_8, _SHIFT)
        borders.extend(rings)
    if borders:
        rgb[line & (mask > 0)] = HATCH_COLOUR
        cv2.polylines(rgb, borders, True, HATCH_COLOUR, 1, cv2.LINE_8, _SHIFT)


def _rings_inside(rgb: Image, frame: _Frame, areas: AreaDrawing) -> list[list[NDArray[np.int32]]]:
    """Cut areas to an image and a margin; the rings of each part, the outer one first, in fixed point."""
    margin = _CLIP_MARGIN_PX * frame.l0_per_px
    x0, y0 = frame.x0_l0 - margin, frame.y0_l0 - margin
    x1 = frame.x0_l0 + rgb.shape[1] * frame.l0_per_px + margin
    y1 = frame.y0_l0 + rgb.shape[0] * frame.l0_per_px + margin
    # In the areas' own order, which the tree does not keep.
    found = np.sort(areas.tree.query(shapely.box(x0, y0, x1, y1)))
    parts = shapely.get_parts(shapely.clip_by_rect(areas.polygons[found], x0, y0, x1, y1))
    return [
        [frame.fixed(shapely.get_coordinates(ring)[:-1]) for ring in (part.exterior, *part.interiors)]
        for part in parts
        if part.geom_type == "Polygon" and not part.is_empty
    ]


def _diagonals(image: Image, frame: _Frame, period_px: int) -> NDArray[np.int64]:
    """Give each pixel the number of its diagonal, 0 to period - 1, running on across tiles; int64, (H, W)."""
    x = np.arange(image.shape[1]) + round(frame.x0_l0 / frame.l0_per_px)
    y = np.arange(image.shape[0]) + round(frame.y0_l0 / frame.l0_per_px)
    diagonals: NDArray[np.int64] = (x[None, :] + y[:, None]) % period_px
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
