"""What goes into a tile and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.annotations import AnnotationSet
from slidescore.assay.left_of_wall import Cells, Stains, Tiles
from slidescore.cells import Segmenter, TileCells
from slidescore.cells.table import empty_cells
from slidescore.qc.artifacts import TileSquares
from slidescore.qc.squares import SquarePlan
from slidescore.qc.stain_counts import BlockColours, ColourCounts
from slidescore.slide import AnalysisGrid
from slidescore.slide.cross_level import LevelWitness
from slidescore.stain import StainVectors
from slidescore.stain.histograms import HISTOGRAM_BINS
from slidescore.tiles import TilePlan, TileSpec
from slidescore.tissue import TissueMask


@dataclass(frozen=True, slots=True)
class TileContext:
    """What every tile of a slide is scored with."""

    grid: AnalysisGrid
    plan: TilePlan
    tissue: TissueMask
    annotations: AnnotationSet
    white: tuple[float, float, float]
    vectors: StainVectors
    segmenter: Segmenter
    cells: Cells
    stains: Stains
    tiles: Tiles
    squares: SquarePlan
    witness: LevelWitness | None = None


@dataclass(frozen=True, slots=True)
class AreaSums:
    """Areas of a tile or region in um2: tissue to be scored, and what of it was scored, excluded or has no pixels."""

    tissue_um2: float
    scored_um2: float
    excluded_um2: float
    missing_um2: float

    def __add__(self, other: AreaSums) -> AreaSums:
        return AreaSums(
            self.tissue_um2 + other.tissue_um2,
            self.scored_um2 + other.scored_um2,
            self.excluded_um2 + other.excluded_um2,
            self.missing_um2 + other.missing_um2,
        )


NO_AREA = AreaSums(0.0, 0.0, 0.0, 0.0)
NO_CELLS = TileCells(empty_cells(), np.zeros(0, dtype=bool), empty_cells())


@dataclass(frozen=True, slots=True)
class BlockHistograms:
    """DAB histograms of a core's scored pixels, by block of the pixel score's grid.

    Attributes
    ----------
    column, row
        int64, (B,): of the blocks that hold a scored pixel of the core, counted from the slide's origin.
    histograms
        int32, (B, 2, HISTOGRAM_BINS): of all those pixels, and of those with hematoxylin.
    """

    column: NDArray[np.int64]
    row: NDArray[np.int64]
    histograms: NDArray[np.int32]

    @property
    def total(self) -> NDArray[np.int32]:
        """Both histograms over all blocks; int32, (2, HISTOGRAM_BINS)."""
        total: NDArray[np.int32] = self.histograms.sum(axis=0, dtype=np.int32)
        return total


def no_blocks() -> BlockHistograms:
    """Return the blocks of a tile of which nothing was scored."""
    nothing = np.zeros(0, np.int64)
    return BlockHistograms(nothing, nothing, np.zeros((0, 2, HISTOGRAM_BINS), np.int32))


@dataclass(frozen=True, slots=True)
class TileResult:
    """What one tile yields; `reason` is empty unless the tile failed or is excluded."""

    spec: TileSpec
    status: str
    reason: str
    pixel_um2: float
    cells: TileCells
    areas: AreaSums
    region_areas: dict[str, AreaSums]
    control_areas: dict[str, AreaSums]
    background_dab_od: float | None
    blocks: BlockHistograms
    squares: TileSquares
    colours: ColourCounts


@dataclass(frozen=True, slots=True)
class JudgedSquares:
    """The squares around a core.

    Attributes
    ----------
    origin_px
        x, y of the first square in analysis pixels.
    measures
        float32, (rows, columns, len(MEASURES)).
    reasons
        int8, (rows, columns), index into `REASONS`.
    colours
        Blocks of the same window.
    """

    origin_px: tuple[int, int]
    measures: NDArray[np.float32]
    reasons: NDArray[np.int8]
    colours: BlockColours
