"""Example cells of each bin, chosen by rule and not by hand.

The rule: a bin's counted tumor cells, ranked by DAB optical density, are cut into as many parts as there are places.
Each part gives one cell; of the first and last part only the outer tenth is looked at, so that cells next to the
thresholds are shown. Within a part the cell farthest from those already chosen is taken (the first time, the middle
one), so that the examples come from all over the slide. The same table gives the same cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import imagecodecs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.cells.table import floats, unpack_outlines
from slidescore.qc.overlay import BIN_COLOURS
from slidescore.report.export_csv import classify
from slidescore.report.overlay_pyramid import MISSING_COLOUR
from slidescore.scoring import COMPARTMENTS, counted_cells
from slidescore.slide import SlideReader, plan_grid, read_analysis

GALLERY_RULE: Final = (
    "One cell from each sixth of the bin by DAB OD, the outer two next to the thresholds, each as far as possible from "
    "those already chosen."
)
"""The rule in words for readers of a page; true for six cells a bin."""
CROP_UM: Final = 40.0
CROP_PX: Final = 160
"""Crops are 40 um wide, about four cells, and drawn at 0.25 um/px so that they stay sharp on dense screens."""

_OUTER_SHARE: Final = 0.1
_QUALITY: Final = 88
_SHIFT: Final = 8
_OD_COLUMNS: Final = tuple(f"dab_od_{name}" for name in COMPARTMENTS)
_WHITE: Final = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class GalleryCell:
    """One example.

    Attributes
    ----------
    cell_id
        As in the cell table.
    bin
        0 to 3.
    x_l0, y_l0
        Centroid in level-0 px, at which a viewer finds it again.
    dab_od
        DAB optical density by compartment; None where it is not measured.
    jpeg
        JPEG, `CROP_PX` squared, of `CROP_UM` squared around the centroid, outlines drawn.
    """

    cell_id: int
    bin: int
    x_l0: float
    y_l0: float
    dab_od: dict[str, float | None]
    jpeg: bytes


def choose_gallery(cells: pa.Table, assay: Assay, *, per_bin: int = 6) -> list[list[int]]:
    """Choose the example cells of each bin by the rule of this module.

    Returns
    -------
    list of list of int
        For bin 0 to 3, row numbers of `cells`, weakest first; fewer than `per_bin` where the bin holds fewer.
    """
    tumor, bins = classify(cells, assay)
    wanted = tumor & counted_cells(cells)
    od = floats(cells, f"dab_od_{assay.score.compartment}")
    od = np.where(np.isnan(od), floats(cells, "dab_od_cell"), od)
    xy = np.stack([floats(cells, "x"), floats(cells, "y")], axis=1).astype(np.float64)
    return [_choose(np.flatnonzero(wanted & (bins == number)), od, xy, per_bin) for number in range(len(BIN_COLOURS))]


def read_gallery(
    reader: SlideReader, slide_mpp: float, cells: pa.Table, assay: Assay, *, per_bin: int = 6
) -> tuple[GalleryCell, ...]:
    """Cut the example cells out of the slide.

    Parameters
    ----------
    reader
        The slide.
    slide_mpp
        Micrometres per level-0 pixel.
    cells, assay
        The slide's cells, and what they are scored under.
    per_bin
        Examples a bin.

    Raises
    ------
    SlideOpenError
        The slide cannot be read.
    """
    examples = []
    for number, rows in enumerate(choose_gallery(cells, assay, per_bin=per_bin)):
        chosen = cells.take(pa.array(rows, pa.int64()))
        outlines = [unpack_outlines(chosen.column(f"{name}_outline")) for name in ("cell", "nucleus")]
        for k, record in enumerate(chosen.select(["cell_id", "x", "y", *_OD_COLUMNS]).to_pylist()):
            rings = [points[starts[k] : starts[k + 1]] for starts, points in outlines]
            rgb = _read_crop(reader, slide_mpp, record["x"], record["y"], rings, BIN_COLOURS[number])
            examples.append(
                GalleryCell(
                    cell_id=record["cell_id"],
                    bin=number,
                    x_l0=record["x"],
                    y_l0=record["y"],
                    dab_od={name: record[f"dab_od_{name}"] for name in COMPARTMENTS},
                    jpeg=bytes(imagecodecs.jpeg8_encode(rgb, level=_QUALITY, subsampling="444")),
                )
            )
    return tuple(examples)


def _choose(rows: NDArray[np.intp], od: NDArray[np.float32], xy: NDArray[np.float64], count: int) -> list[int]:
    ranked = rows[np.argsort(od[rows], kind="stable")]
    if len(ranked) <= count:
        return [int(row) for row in ranked]
    parts = np.array_split(ranked, count)
    outer = max(1, round(len(parts[0]) * _OUTER_SHARE))
    parts[0], parts[-1] = parts[0][:outer], parts[-1][-outer:]
    chosen: list[int] = []
    for part in parts:
        if chosen:
            apart = np.min([np.hypot(*(xy[part] - xy[other]).T) for other in chosen], axis=0)
            chosen.append(int(part[int(np.argmax(apart))]))
        else:
            chosen.append(int(part[len(part) // 2]))
    return chosen


def _read_crop(
    reader: SlideReader,
    slide_mpp: float,
    x_l0: float,
    y_l0: float,
    rings: list[NDArray[np.int16]],
    colour: tuple[int, int, int],
) -> NDArray[np.uint8]:
    """Read the surroundings of a cell, enlarge them and draw its outlines; uint8, (CROP_PX, CROP_PX, 3)."""
    crop_mpp = CROP_UM / CROP_PX
    grid = plan_grid(reader, slide_mpp, max(crop_mpp, slide_mpp), 0.0)
    scale = grid.px_to_l0
    side = max(1, round(CROP_UM / grid.analysis_mpp))
    left, top = round(x_l0 / scale - side / 2), round(y_l0 / scale - side / 2)
    rgb, valid = read_analysis(reader, grid, left, top, side, side)
    rgb = np.where(valid[..., None], rgb, np.array(MISSING_COLOUR, np.uint8))
    enlarged = cv2.resize(rgb, (CROP_PX, CROP_PX), interpolation=cv2.INTER_CUBIC)
    # From level-0 px to the crop's, whose pixel centres OpenCV numbers by whole numbers.
    zoom = CROP_PX / side
    for ring, line, thickness in zip(rings, (colour, _WHITE), (2, 1), strict=True):
        if len(ring):
            px = ((np.array([x_l0, y_l0]) + ring) / scale - (left, top)) * zoom - 0.5
            fixed = np.rint(px * (1 << _SHIFT)).astype(np.int32)
            cv2.polylines(enlarged, [fixed], True, line, thickness, cv2.LINE_AA, _SHIFT)
    drawn: NDArray[np.uint8] = enlarged
    return drawn
