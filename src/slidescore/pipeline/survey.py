"""What is known of a slide before its first tile: resolution, tissue, white, stain vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.qc.glass import white_for_hues
from slidescore.qc.squares import SquarePlan, plan_squares
from slidescore.slide import (
    AnalysisGrid,
    Resolution,
    SlideReader,
    decide_resolution,
    plan_grid,
    read_analysis,
    read_thumbnail,
)
from slidescore.slide.cross_level import LevelWitness, ReadWindow, call_witness
from slidescore.stain import StainEstimate, StainVectors, WhiteReference, estimate_vectors, optical_density
from slidescore.tissue import TissueMask, find_tissue

ESTIMATE_WINDOWS, ESTIMATE_WINDOW_PX = 16, 512
"""Stains are estimated from at most this many windows, spread evenly over the tissue."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A slide from afar.

    Attributes
    ----------
    resolution, grid
        What a pixel measures, and the grid that is scored.
    coarse, rgb, valid
        The whole slide at the resolution in which tissue is looked for: its grid, uint8, (H, W, 3), RGB, and bool,
        (H, W), which pixels the slide holds.
    tissue, white
        Where tissue and pen are, and what clear glass looks like.
    fixed
        The assay's stain vectors.
    estimate
        Vectors estimated from the slide, where the assay wants it.
    """

    resolution: Resolution
    grid: AnalysisGrid
    coarse: AnalysisGrid
    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    tissue: TissueMask
    white: WhiteReference
    fixed: StainVectors
    estimate: StainEstimate | None

    @property
    def vectors(self) -> StainVectors:
        """The vectors to separate stains by."""
        return self.estimate.vectors if self.estimate else self.fixed


def survey_slide(reader: SlideReader, assay: Assay, *, mpp: float | None = None, threads: int = 1) -> Survey:
    """Look at a slide at low resolution.

    Parameters
    ----------
    reader
        The slide.
    assay
        Only its left half is used.
    mpp
        Resolution in um per level-0 pixel, where the slide states none or a wrong one.
    threads
        Parts read at once.

    Raises
    ------
    SlideOpenError, MissingResolutionError
        If the slide cannot be read or states no usable resolution.
    """
    reading = assay.reading
    resolution = decide_resolution(
        reader, mpp, min_mpp=reading.min_mpp, max_mpp=reading.max_mpp, max_axis_difference=reading.max_axis_difference
    )
    grid = plan_grid(reader, resolution.mpp, reading.mpp, reading.snap_fraction, reading.decode)
    coarse = plan_grid(reader, resolution.mpp, assay.tissue.mpp, reading.snap_fraction)
    rgb, valid = read_thumbnail(reader, coarse, threads=threads)
    fixed = fixed_vectors(assay)
    tissue, white = find_tissue(
        rgb, valid, mpp=coarse.analysis_mpp, l0_per_px=coarse.px_to_l0, tissue=assay.tissue, stains=assay.stains,
        vectors=fixed,
    )  # fmt: skip
    estimate = _estimate(reader, grid, tissue, white, fixed, assay) if assay.stains.vectors != "fixed" else None
    return Survey(resolution, grid, coarse, rgb, valid, tissue, white, fixed, estimate)


def fixed_vectors(assay: Assay) -> StainVectors:
    """Return the vectors that an assay states; those of a slide may be estimated."""
    return StainVectors(assay.stains.hematoxylin, assay.stains.dab, "fixed")


def lay_squares(survey: Survey, assay: Assay) -> SquarePlan:
    """Lay the squares of QC over a slide. Hues are told by the assay's own vectors, whatever was estimated."""
    white = white_for_hues(survey.rgb, survey.valid, survey.white, assay.stains.min_glass_intensity)
    return plan_squares(survey.grid, survey.fixed, white, assay.artifacts)


def find_witness(reader: SlideReader, survey: Survey, read: ReadWindow) -> LevelWitness:
    """Choose the level that scored tiles are compared with."""
    afar = survey.coarse, survey.rgb, survey.valid
    return call_witness(reader, survey.resolution.mpp, survey.grid, afar, survey.tissue.tissue, read)


def _estimate(
    reader: SlideReader,
    grid: AnalysisGrid,
    tissue: TissueMask,
    white: WhiteReference,
    fixed: StainVectors,
    assay: Assay,
) -> StainEstimate:
    limits = assay.stains.estimate
    return estimate_vectors(
        _sample_density(reader, grid, tissue, white),
        fixed,
        min_od=limits.min_od,
        max_turn_degrees=limits.max_turn_degrees,
        max_residual_od=limits.max_residual_od,
        min_stained_pixels=limits.min_stained_pixels,
    )


def _sample_density(
    reader: SlideReader, grid: AnalysisGrid, tissue: TissueMask, white: WhiteReference
) -> NDArray[np.float64]:
    """Read windows spread evenly over the tissue; optical density, float64, (N, 3)."""
    rows, columns = np.nonzero(tissue.tissue)
    if len(rows) == 0:
        return np.empty((0, 3))
    samples = []
    for at in np.unique(np.linspace(0, len(rows) - 1, ESTIMATE_WINDOWS).astype(int)):
        scale, half = tissue.l0_per_px / grid.px_to_l0, ESTIMATE_WINDOW_PX // 2
        x_px, y_px = int(columns[at] * scale) - half, int(rows[at] * scale) - half
        rgb, valid = read_analysis(reader, grid, x_px, y_px, ESTIMATE_WINDOW_PX, ESTIMATE_WINDOW_PX)
        samples.append(optical_density(rgb[valid], white.rgb))
    return np.concatenate(samples)
