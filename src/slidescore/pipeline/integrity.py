"""What a result says about whether its pixels are those that the scanner wrote."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.geometry import Region
from slidescore.pipeline.tile_parts import TileResult
from slidescore.slide import AnalysisGrid, SlideReader
from slidescore.slide.checksums import Checked
from slidescore.slide.cross_level import LEVELS_DIFFER, LevelWitness
from slidescore.slide.reader import REMARKS
from slidescore.slide.resolution import doubt_resolution

VERIFIED, UNVERIFIED = "verified", "unverified"

_NEAR_PX = 5
"""Side of the surroundings in which a gap is near, in coarse pixels: the outline of tissue is smoothed."""


def integrity_facts(
    reader: SlideReader,
    witness: LevelWitness,
    coarse: AnalysisGrid,
    valid: NDArray[np.bool_],
    tissue: NDArray[np.bool_],
    results: Sequence[TileResult],
) -> dict[str, Any]:
    """Collect what speaks for or against a slide's pixels.

    Parameters
    ----------
    reader
        The slide.
    witness
        The level that tiles were compared with.
    coarse, valid, tissue
        The grid on which tissue was looked for, where the slide holds it, and where tissue was found; bool, (H, W).
    results
        What became of each tile.

    Returns
    -------
    dict
        `status` (unverified until a checksum says otherwise), `remarks`, `levels` (what was compared with what) and
        `gap_border_fraction`.
    """
    remarks = [line for line in reader.properties.get(REMARKS, "").split("\n") if line]
    compared = witness.verdict == "compared"
    return {
        "status": UNVERIFIED,
        "remarks": [*remarks, *doubt_resolution(reader)],
        "levels": {
            "verdict": witness.verdict,
            "scored": witness.scored.level,
            "against": witness.grid.level if witness.grid else None,
            "limit": witness.limit if compared else None,
            "edge_share": witness.edge_share if compared else None,
            "n_tiles_differ": sum(result.reason.startswith(LEVELS_DIFFER) for result in results),
            "n_glass_differ": witness.n_glass_differ,
        },
        "gap_border_fraction": gap_border_fraction(tissue, valid, coarse, reader.bounds),
    }


def gap_border_fraction(
    tissue: NDArray[np.bool_], valid: NDArray[np.bool_], grid: AnalysisGrid, bounds: Region | None
) -> float:
    """Say how much of the tissue's outline borders on places within the scan of which the file holds no pixels.

    Gaps inside of tissue are filled and count as missing tissue; what lies beyond a gap at its border is unknown.

    Parameters
    ----------
    tissue, valid
        bool, (H, W), on the coarse grid.
    grid
        The coarse grid.
    bounds
        The scanned area in level-0 px; None when it is the whole slide.
    """
    scan = np.zeros_like(tissue)
    scale, height, width = grid.px_to_l0, *tissue.shape
    x0, y0, x1, y1 = 0.0, 0.0, grid.level_width_px / grid.factor, grid.level_height_px / grid.factor
    if bounds is not None:
        x0, y0 = bounds.x / scale, bounds.y / scale
        x1, y1 = min(x1, (bounds.x + bounds.width) / scale), min(y1, (bounds.y + bounds.height) / scale)
    # Pixels that the border of the scan cuts are not whole, which is no gap.
    scan[max(0, math.ceil(y0)) : min(height, math.floor(y1)), max(0, math.ceil(x0)) : min(width, math.floor(x1))] = True
    outline = tissue & (cv2.erode(tissue.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) == 0)
    near_gap = cv2.dilate((scan & ~valid).astype(np.uint8), np.ones((_NEAR_PX, _NEAR_PX), np.uint8)) > 0
    return float((outline & near_gap).sum() / outline.sum()) if outline.any() else 0.0


def checked_status(checked: Checked | None) -> str:
    """Say in one word what a checksum manifest says of a slide; without one it says nothing."""
    return VERIFIED if checked is not None and checked.status == "verified" else UNVERIFIED


def checked_notes(checked: Checked | None) -> list[dict[str, str]]:
    """Say of a slide that a manifest was given and does not vouch for it."""
    if checked is None or checked.status == "verified":
        return []
    of_how_many = "" if checked.n_files == 1 else f" ({checked.n_listed} of its {checked.n_files} files are)"
    text = f"This slide is not listed in the checksum manifest{of_how_many}: a changed byte would go unseen."
    return [{"name": "not_in_manifest", "level": "warn", "text": text}]
