"""Pixels of a control slide and what they say about its stains; runs in worker processes, for files can be broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidescore.annotations import NO_ANNOTATIONS, AnnotationSet, Area, load_annotations, paint_areas
from slidescore.assay import Assay
from slidescore.pipeline.survey import Survey, lay_squares, survey_slide
from slidescore.qc.artifacts import judge_squares, paint_reasons
from slidescore.qc.glass import measure_light
from slidescore.qc.squares import SquarePlan, measure_squares
from slidescore.qc.stain_check import measure_stain, wrong_stain
from slidescore.qc.stain_counts import ColourCounts, add_colours, count_colours
from slidescore.slide import SlideReader, open_slide, read_analysis
from slidescore.stain import WhiteReference
from slidescore.stain.pooled import ControlBlocks, SlideStains, StainLimits, solve_control

WINDOWS = 32
"""Windows read of a control at most, spread evenly over its tissue: 4 mm2, or 2 million blocks of 1 um."""
WINDOW_SQUARES = 4
"""Side of a window in squares of QC: 256 um."""
FINE_UM, COARSE_UM = 1.0, 2.0
"""Wanted side of the blocks that stains are solved from."""

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ControlJob:
    """A control to look at: its slide, its annotations, the region that is meant, and whether it is to hold DAB."""

    path: Path
    roi: Path | None
    region: str | None
    positive: bool
    assay: Assay
    mpp: float | None


@dataclass(frozen=True, slots=True)
class ControlStains:
    """What a control's pixels say.

    Attributes
    ----------
    stains
        Its stains.
    white
        Its clear glass.
    refusal
        Why it is no slide of DAB with hematoxylin; empty when it may be one.
    region_found
        Whether the region that was meant is among its annotations.
    """

    stains: SlideStains
    white: WhiteReference
    refusal: str
    region_found: bool


def look_at_control(job: ControlJob, report: Callable[[Any], None]) -> ControlStains:
    """Sample a control's tissue and solve its stains.

    Squares that QC would leave out (ink, folds, pigment, out of focus) do not take part.

    Raises
    ------
    SlideOpenError, MissingResolutionError, AnnotationError
        If the slide or its annotations cannot be used.
    """
    assay = job.assay
    annotations = load_annotations(job.roi, assay.tissue.annotations) if job.roi else NO_ANNOTATIONS
    wanted = _wanted(annotations, job.region)
    fine: list[NDArray[np.float64]] = []
    coarse: list[NDArray[np.float64]] = []
    colours: list[ColourCounts] = []
    with open_slide(job.path) as reader:
        survey = survey_slide(reader, assay, mpp=job.mpp)
        plan = lay_squares(survey, assay)
        mpp = survey.grid.analysis_mpp
        for x_px, y_px in _windows(survey, plan, wanted) if job.region is None or wanted else ():
            rgb, mask, counted = _read(reader, survey, plan, (x_px, y_px), wanted, annotations.of("exclude"))
            colours.append(counted)
            for side_um, gathered in ((FINE_UM, fine), (COARSE_UM, coarse)):
                light = average_blocks(rgb, mask, max(1, round(side_um / mpp)))
                gathered.append(-np.log10(np.maximum(light, 1.0) / np.asarray(survey.white.rgb)))
            report(None)
    empty = [np.empty((0, 3))]
    blocks = ControlBlocks(np.concatenate(fine or empty), np.concatenate(coarse or empty), job.positive)
    limits = assay.stains.estimate
    stains = solve_control(
        blocks,
        survey.fixed,
        StainLimits(limits.min_od, limits.max_turn_degrees, limits.max_residual_od, limits.min_stained_pixels),
    )
    measures = {
        **measure_light(survey.rgb, survey.valid),
        **measure_stain(add_colours(colours), plan.frame),
    }
    refusal = wrong_stain(measures, assay.qc.stain)
    return ControlStains(stains, survey.white, refusal, job.region is None or bool(wanted))


def average_blocks(rgb: Pixels, mask: Mask, side_px: int) -> NDArray[np.float64]:
    """Average the light of whole blocks.

    Parameters
    ----------
    rgb
        uint8, (H, W, 3), RGB.
    mask
        bool, (H, W): pixels that count; a block that holds another one is left out.
    side_px
        Side of a block.

    Returns
    -------
    float64, (N, 3): mean intensity of each block.
    """
    rows, columns = rgb.shape[0] // side_px, rgb.shape[1] // side_px
    cut = np.s_[: rows * side_px, : columns * side_px]
    whole = mask[cut].reshape(rows, side_px, columns, side_px).all(axis=(1, 3))
    means = rgb[cut].reshape(rows, side_px, columns, side_px, 3).mean(axis=(1, 3), dtype=np.float64)
    kept: NDArray[np.float64] = means[whole]
    return kept


def _wanted(annotations: AnnotationSet, region: str | None) -> list[Area]:
    """List the areas that are meant: those of the region's name, or all that are scored; none means the whole slide."""
    if region is None:
        return annotations.limits
    return [area for area in (*annotations.limits, *annotations.controls) if area.name == region]


def _windows(survey: Survey, plan: SquarePlan, wanted: list[Area]) -> Iterator[tuple[int, int]]:
    """Yield the corners of windows with tissue, in analysis pixels, at most `WINDOWS`, evenly spread."""
    tissue = survey.tissue
    near = tissue.tissue
    if wanted:
        wide = [area.widened(tissue.l0_per_px) for area in wanted]
        near = near & paint_areas(wide, 0.0, 0.0, near.shape, tissue.l0_per_px)
    rows, columns = np.nonzero(near)
    side_px = WINDOW_SQUARES * plan.side_px
    scale = tissue.l0_per_px / survey.grid.px_to_l0 / side_px
    cells = np.stack([(rows + 0.5) * scale, (columns + 0.5) * scale], axis=1).astype(np.int64)
    windows, counts = np.unique(cells, axis=0, return_counts=True)
    # Windows that are mostly glass would take the place of better ones.
    windows = windows[counts >= counts.max(initial=0) / 2]
    if len(windows) == 0:
        return
    for at in np.unique(np.linspace(0, len(windows) - 1, WINDOWS).astype(int)):
        yield int(windows[at, 1]) * side_px, int(windows[at, 0]) * side_px


def _read(
    reader: SlideReader,
    survey: Survey,
    plan: SquarePlan,
    origin_px: tuple[int, int],
    wanted: list[Area],
    excluded: list[Area],
) -> tuple[Pixels, Mask, ColourCounts]:
    """Read a window: its pixels, which of them count, and what its tissue looks like."""
    (x_px, y_px), side = origin_px, WINDOW_SQUARES * plan.side_px
    scale = survey.grid.px_to_l0
    rgb, valid = read_analysis(reader, survey.grid, x_px, y_px, side, side)
    mask = survey.tissue.sample(x_px * scale, y_px * scale, valid.shape, scale) & valid
    if wanted:
        mask &= paint_areas(wanted, x_px * scale, y_px * scale, valid.shape, scale)
    if excluded:
        mask &= ~paint_areas(excluded, x_px * scale, y_px * scale, valid.shape, scale)
    measures, blocks = measure_squares(rgb, mask, plan)
    counted = count_colours(blocks, np.ones(blocks.whole.shape, np.bool_), plan.limits.ink_degrees)
    reasons = paint_reasons(judge_squares(measures, plan.limits), plan, origin_px, x_px, y_px, valid.shape)
    return rgb, mask & (reasons == 0), counted
