"""What became of a spoilt slide: what the program said, held against the pixels it would have scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faults.slides import MPP, Whole
from slidescore.errors import SlidescoreError
from slidescore.slide import open_slide

GROSS_PIXELS = 2_000
"""More level-0 pixels than this that are off by more than `GROSS_GREY` are a gross change."""
GROSS_GREY = 8
BLOCK_PX = 128
"""Pixels are read in squares of this side, so that one that cannot be decoded hides no other."""

REFUSED, NO_SCORE, FLAGGED, SAME, SILENT = "refused", "no score", "flagged", "same pixels", "silent"
SPOKEN = (REFUSED, NO_SCORE, FLAGGED)
"""Outcomes in which the program says that something is wrong."""


@dataclass(frozen=True)
class Change:
    """How the pixels that a reader gives differ from those of the whole slide.

    Attributes
    ----------
    n_pixels
        Level-0 pixels that are off by more than `GROSS_GREY` in some channel, or are there when they were not.
    differs
        Whether any pixel is off at all, or the size or the resolution is another.
    """

    n_pixels: int
    differs: bool

    @property
    def gross(self) -> bool:
        """Whether more than `GROSS_PIXELS` pixels are off."""
        return self.n_pixels > GROSS_PIXELS


def read_change(path: Path, whole: Whole) -> Change | None:
    """Read a spoilt slide as it would be scored; None where nothing of it can be read.

    A pixel that cannot be decoded, or is transparent, is never scored: it is no change.
    """
    height, width = whole.rgba.shape[:2]
    n_pixels, differs = 0, False
    try:
        with open_slide(path) as reader:
            same_mpp = reader.mpp is None or np.allclose(reader.mpp, MPP, rtol=0.01)
            differs = reader.dimensions != (width, height) or not same_mpp
    except SlidescoreError:
        return None
    for y in range(0, height, BLOCK_PX):
        for x in range(0, width, BLOCK_PX):
            truth = whole.rgba[y : y + BLOCK_PX, x : x + BLOCK_PX]
            try:
                with open_slide(path) as reader:
                    got = reader.read_region((x, y), 0, truth.shape[1::-1])
            except SlidescoreError:
                continue
            off = np.abs(got[..., :3].astype(int) - truth[..., :3]).max(axis=-1)
            off[got[..., 3] == 0] = 0
            n_pixels += int((off > GROSS_GREY).sum())
            differs = differs or bool((off > 0).any())
    return Change(n_pixels, differs)


def judge(row: Mapping[str, str], whole_row: Mapping[str, str], change: Change | None) -> str:
    """Name the outcome.

    Parameters
    ----------
    row, whole_row
        Rows of scores.csv: of the spoilt slide, and of the whole one.
    change
        What `read_change` found.
    """
    if row["status"] == "failed":
        return REFUSED
    if row["status"] != whole_row["status"]:
        return NO_SCORE
    if _flags(row) - _flags(whole_row):
        return FLAGGED
    return SILENT if change is not None and change.differs else SAME


def _flags(row: Mapping[str, str]) -> set[str]:
    return set(filter(None, row["qc_flags"].split(";")))
