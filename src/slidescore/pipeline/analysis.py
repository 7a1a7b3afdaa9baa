"""Left of the wall: from a slide to its measurements. Slow; knows no threshold, no score and no call."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.annotations import NO_ANNOTATIONS, AnnotationSet, paint_areas
from slidescore.assay import Assay
from slidescore.cells import TileCells, join_tiles
from slidescore.errors import SlideOpenError
from slidescore.execute import give_back_freed_memory, in_order
from slidescore.pipeline.facts import colour_facts, degradations, slide_facts, stain_facts
from slidescore.pipeline.integrity import integrity_facts
from slidescore.pipeline.journal import TileJournal
from slidescore.pipeline.readers import ReaderPool
from slidescore.pipeline.segmenters import (
    SegmenterPlan,
    build_planned,
    extra_threads,
    name_profile,
    plan_segmenter,
    tile_threads,
)
from slidescore.pipeline.survey import find_witness, lay_squares, survey_slide
from slidescore.pipeline.tile import failed_tile, score_tile
from slidescore.pipeline.tile_parts import NO_AREA, NO_CELLS, AreaSums, TileContext, TileResult
from slidescore.pipeline.tile_table import tile_table
from slidescore.qc.artifacts import excluded_squares, mark_cells
from slidescore.slide import AnalysisGrid, SlideReader, read_analysis
from slidescore.tiles import TileSpec, plan_tiles
from slidescore.tissue import TissueMask

TILES_BETWEEN_CLEARINGS = 8
"""Holes in the heap are handed back so often. A section of 459 tiles then needs 1.5 GB at its peak, and 2.2 without."""

Progress = Callable[[int, int, int], None]
"""Called with tiles done, tiles in all, cells found so far."""


@dataclass(frozen=True, slots=True)
class SlideAnalysis:
    """The measurements of one slide, complete for scoring it under any assay with the same left half.

    Attributes
    ----------
    cells, tiles
        Tables as in cells.parquet and tiles.parquet.
    facts
        What result.json says about the slide, the stains and how it was analysed; JSON values only.
    region_areas
        Areas of each named region.
    """

    cells: pa.Table
    tiles: pa.Table
    facts: dict[str, Any]
    region_areas: dict[str, AreaSums]


def analyze_slide(
    open_reader: Callable[[], SlideReader],
    assay: Assay,
    *,
    fingerprint: str = "",
    mpp: float | None = None,
    annotations: AnnotationSet = NO_ANNOTATIONS,
    threads: int = 1,
    allowed: Callable[[], int] | None = None,
    device: str = "auto",
    float32: bool = False,
    plan: SegmenterPlan | None = None,
    on_progress: Progress | None = None,
    origin_px: tuple[int, int] = (0, 0),
    journal: TileJournal | None = None,
    shuffle_seed: int | None = None,
) -> SlideAnalysis:
    """Measure every cell of a slide.

    Parameters
    ----------
    open_reader
        Opens the slide; called once a thread.
    assay
        Only its left half is used.
    fingerprint
        Of the slide's file; empty where there is none.
    mpp
        Resolution in um per level-0 pixel, where the slide states none or a wrong one.
    annotations
        Areas drawn on the slide.
    threads
        Tiles worked on at once; changes nothing but the time.
    allowed
        Asked all the time how many of the threads may work just then; None for all of them.
    device
        Where a network runs: auto, cpu, cuda or cuda:N.
    float32
        Whether a network computes in single precision everywhere, to compare with.
    plan
        Segmenter, device and precision as settled before; None settles them from `device` and `float32`.
    on_progress
        Told after every tile.
    origin_px
        Shift of the tile grid, for tests of invariance.
    journal
        Keeps finished tiles, and gives those that an attempt before this one finished.
    shuffle_seed
        Score the tiles in a shuffled order, for tests of invariance.

    Raises
    ------
    SlideOpenError, MissingResolutionError
        If the slide cannot be opened or states no usable resolution.
    InputError, UnknownNameError, ModelError, DeviceError
        If the segmenter cannot run on the device, or its model cannot be used or is another one than was planned.
    """
    planned = plan or plan_segmenter(assay, device, float32=float32)
    segmenter = build_planned(assay, planned)
    with ReaderPool(open_reader) as readers, tile_threads(assay):
        reader = readers.get()
        survey = survey_slide(reader, assay, mpp=mpp, threads=min(threads, allowed()) if allowed else threads)
        grid, squares = survey.grid, lay_squares(survey, assay)
        witness = find_witness(reader, survey, partial(_read_window, readers))
        within = _within(annotations, survey.tissue)
        tiles = plan_tiles(
            grid, within, core_px=assay.tiles.core_px, halo_um=assay.tiles.halo_um, margin_um=assay.tiles.seam_um,
            origin_px=origin_px,
        )  # fmt: skip
        context = TileContext(
            grid, tiles, survey.tissue, annotations, survey.white.rgb, survey.vectors, segmenter, assay.cells,
            assay.stains, assay.tiles, squares, witness,
        )  # fmt: skip
        give_back_freed_memory()
        share = _Threads(threads, allowed, extra_threads(planned))
        results = _finish_tiles(readers, context, share, planned, journal, on_progress, shuffle_seed)
        joined = join_tiles(_seen_cells(results), duplicate_um=assay.tiles.duplicate_um, mpp=survey.resolution.mpp)
        # The tiles' own tables are as large as the joined one.
        results = [replace(result, cells=NO_CELLS) for result in results]
        give_back_freed_memory()
        # After the seam pass: a tile knows the squares of its own cells only.
        out = excluded_squares(result.squares for result in results)
        cells = mark_cells(joined.cells, squares, grid.px_to_l0, out)
        controls = _sum_areas([result.control_areas for result in results], annotations.control_names)
        facts = {
            "slide": slide_facts(reader, survey.resolution, fingerprint),
            "analysis": {
                "mpp": grid.analysis_mpp,
                "level": grid.level,
                "factor": grid.factor,
                "upsampled": grid.upsampled,
                "decode": "half" if grid.halved else "exact",
                "n_tiles": len(tiles.tiles),
                "n_seam_merged": joined.n_merged,
                "n_seam_restored": joined.n_restored,
                "square_px": squares.side_px,
                "square_columns": squares.columns,
            },
            "stains": stain_facts(survey),
            "colours": colour_facts(survey, results, squares.frame),
            "control_areas": {name: list(astuple(areas)) for name, areas in controls},
            "integrity": integrity_facts(reader, witness, survey.coarse, survey.valid, survey.tissue.tissue, results),
            "degradations": degradations(reader, results),
            "profile": name_profile(planned, halved=grid.halved),
            "device": planned.device.partition(":")[0],
            "model": {"name": segmenter.name, "digest": segmenter.digest},
        }
        regions = _sum_areas([result.region_areas for result in results], annotations.region_names)
        return SlideAnalysis(cells, tile_table(results, cells, grid.px_to_l0), facts, dict(regions))


@dataclass(frozen=True, slots=True)
class _Threads:
    """How many threads a slide's tiles get: at most, at this moment, and besides for waiting on a GPU."""

    most: int
    allowed: Callable[[], int] | None
    extra: int

    def now(self) -> int:
        return min(self.most, self.allowed() if self.allowed else self.most) + self.extra


def _read_window(
    readers: ReaderPool, grid: AnalysisGrid, x_px: int, y_px: int, width_px: int, height_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read a window; where that fails the next one gets a fresh reader."""
    try:
        return read_analysis(readers.get(), grid, x_px, y_px, width_px, height_px)
    except SlideOpenError:
        readers.replace()
        raise


def _within(annotations: AnnotationSet, tissue: TissueMask) -> TissueMask:
    """Leave only the tissue near the areas that are scored, so that tiles far from them are not read."""
    if not annotations.limits:
        return tissue
    # Wider by a coarse pixel: a thin area, or the rim of any, can pass between the middles of such pixels.
    areas = [area.widened(tissue.l0_per_px) for area in (*annotations.limits, *annotations.of("control"))]
    near = paint_areas(areas, 0.0, 0.0, tissue.tissue.shape, tissue.l0_per_px)
    return replace(tissue, tissue=tissue.tissue & near)


def _finish_tiles(
    readers: ReaderPool,
    context: TileContext,
    threads: _Threads,
    planned: SegmenterPlan,
    journal: TileJournal | None,
    on_progress: Progress | None,
    shuffle_seed: int | None,
) -> list[TileResult]:
    """Score the tiles that are not kept from before; return all of them in the order of the plan."""
    results = journal.open(planned, context) if journal else {}
    to_do = [spec for spec in context.plan.in_strips() if spec.index not in results]
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(to_do)
    n_cells = sum(result.cells.owned.num_rows for result in results.values())
    score = partial(_score_or_fail, readers, context)
    with closing(in_order(score, to_do, most=threads.most + threads.extra, allowed=threads.now)) as finished:
        for result in finished:
            results[result.spec.index] = result
            if journal:
                journal.add(result)
            n_cells += result.cells.owned.num_rows
            if len(results) % TILES_BETWEEN_CLEARINGS == 0:
                give_back_freed_memory()
            if on_progress:
                on_progress(len(results), len(context.plan.tiles), n_cells)
    give_back_freed_memory()
    if journal:
        journal.flush()
    return [results[spec.index] for spec in context.plan.tiles]


def _score_or_fail(readers: ReaderPool, context: TileContext, spec: TileSpec) -> TileResult:
    """Score a tile; where its pixels cannot be read even by a fresh reader, it alone fails."""
    try:
        return score_tile(readers.get(), spec, context)
    except SlideOpenError:
        try:
            return score_tile(readers.replace(), spec, context)
        except SlideOpenError as error:
            readers.replace()
            return failed_tile(spec, context, error.message)


def _seen_cells(results: list[TileResult]) -> list[TileCells]:
    """List what the tiles saw, without what neighbours saw of a failed tile: its cells are unknown, not few."""
    failed = pa.array([result.spec.index for result in results if result.status == "failed"], pa.int32())
    return [replace(result.cells, shadows=_outside(result.cells.shadows, failed)) for result in results]


def _outside(cells: pa.Table, tiles: pa.Array) -> pa.Table:
    return cells.filter(pc.invert(pc.is_in(cells.column("tile"), value_set=tiles)))


def _sum_areas(of_tiles: Sequence[Mapping[str, AreaSums]], names: Sequence[str]) -> list[tuple[str, AreaSums]]:
    """Add up the areas of each name over the tiles."""
    return [(name, sum((areas[name] for areas in of_tiles if name in areas), NO_AREA)) for name in names]
