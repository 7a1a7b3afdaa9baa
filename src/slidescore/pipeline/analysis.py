"""Left of the wall: from a slide to its measurements. Slow; knows no threshold, no score and no call."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.annotations import NO_ANNOTATIONS, AnnotationSet, paint_areas
from slidescore.assay import Assay
from slidescore.cells import TileCells, join_tiles
from slidescore.errors import SlideOpenError
from slidescore.pipeline.integrity import integrity_facts
from slidescore.pipeline.journal import TileJournal
from slidescore.pipeline.readers import ReaderPool
from slidescore.pipeline.segmenters import SegmenterPlan, build_planned, plan_segmenter, tile_threads
from slidescore.pipeline.tile import NO_AREA, AreaSums, TileContext, TileResult, failed_tile, score_tile
from slidescore.pipeline.tile_table import tile_table
from slidescore.qc.artifacts import excluded_squares, mark_cells
from slidescore.qc.glass import measure_glass, measure_light, white_for_hues
from slidescore.qc.squares import plan_squares
from slidescore.qc.stain_check import measure_stain
from slidescore.qc.stain_counts import add_colours
from slidescore.slide import (
    AnalysisGrid,
    Resolution,
    SlideReader,
    decide_resolution,
    plan_grid,
    read_analysis,
    read_thumbnail,
)
from slidescore.slide.cross_level import call_witness
from slidescore.slide.identify import name_library, name_scanner
from slidescore.stain import StainEstimate, StainVectors, WhiteReference, estimate_vectors, optical_density
from slidescore.tiles import TileSpec, plan_tiles
from slidescore.tissue import TissueMask, find_tissue

Progress = Callable[[int, int, int], None]
"""Called with tiles done, tiles in all, cells found so far."""

ESTIMATE_WINDOWS, ESTIMATE_WINDOW_PX = 16, 512
"""Stains are estimated from at most this many windows, spread evenly over the tissue."""


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
    mpp: float | None = None,
    annotations: AnnotationSet = NO_ANNOTATIONS,
    threads: int = 1,
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
    mpp
        Resolution in um per level-0 pixel, where the slide states none or a wrong one.
    annotations
        Areas drawn on the slide.
    threads
        Tiles worked on at once; changes nothing but the time.
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
        reading = assay.reading
        resolution = decide_resolution(
            reader, mpp, min_mpp=reading.min_mpp, max_mpp=reading.max_mpp,
            max_axis_difference=reading.max_axis_difference,
        )  # fmt: skip
        grid = plan_grid(reader, resolution.mpp, reading.mpp, reading.snap_fraction)
        fixed = StainVectors(assay.stains.hematoxylin, assay.stains.dab, "fixed")
        afar = coarse, rgb, valid = look_from_afar(reader, resolution, assay, threads=threads)
        tissue, white = _tell_tissue(coarse, rgb, valid, assay, fixed)
        estimate = _estimate(reader, grid, tissue, white, fixed, assay)
        vectors = estimate.vectors if estimate else fixed
        within = _within(annotations, tissue)
        tiles = plan_tiles(grid, within, core_px=assay.tiles.core_px, halo_um=assay.tiles.halo_um, origin_px=origin_px)
        hue_white = white_for_hues(rgb, valid, white, assay.stains.min_glass_intensity)
        squares = plan_squares(grid, fixed, hue_white, assay.artifacts)
        witness = call_witness(reader, resolution.mpp, grid, afar, tissue.tissue, partial(_read_window, readers))
        context = TileContext(
            grid, tiles, tissue, annotations, white.rgb, vectors, segmenter, assay.cells, assay.stains,
            assay.tiles, squares, witness,
        )  # fmt: skip
        kept = journal.open(planned, context) if journal else {}
        results = _finish_tiles(readers, context, threads, kept, journal, on_progress, shuffle_seed)
        joined = join_tiles(_seen_cells(results), duplicate_um=assay.tiles.duplicate_um, mpp=resolution.mpp)
        # After the seam pass: a tile knows the squares of its own cells only.
        out = excluded_squares(result.squares for result in results)
        cells = mark_cells(joined.cells, squares, grid.px_to_l0, out)
        facts = {
            "slide": _slide_facts(reader, resolution),
            "analysis": {
                "mpp": grid.analysis_mpp,
                "level": grid.level,
                "factor": grid.factor,
                "upsampled": grid.upsampled,
                "n_tiles": len(tiles.tiles),
                "n_seam_merged": joined.n_merged,
                "n_seam_restored": joined.n_restored,
                "square_px": squares.side_px,
                "square_columns": squares.columns,
            },
            "stains": _stain_facts(white, vectors, estimate),
            "colours": {
                **measure_light(rgb, valid),
                **measure_glass(rgb, valid, tissue, white, fixed),
                **measure_stain(add_colours(result.colours for result in results), squares.frame),
            },
            "control_areas": {
                name: list(astuple(areas))
                for name, areas in _sum_areas([result.control_areas for result in results], annotations.control_names)
            },
            "integrity": integrity_facts(reader, witness, coarse, valid, tissue.tissue, results),
            "degradations": _degradations(results),
            "profile": planned.profile,
            "device": planned.device.partition(":")[0],
            "model": {"name": segmenter.name, "digest": segmenter.digest},
        }
        regions = _sum_areas([result.region_areas for result in results], annotations.region_names)
        return SlideAnalysis(cells, tile_table(results, cells, grid.px_to_l0), facts, dict(regions))


def survey(
    reader: SlideReader, resolution: Resolution, assay: Assay, vectors: StainVectors, *, threads: int = 1
) -> tuple[TissueMask, WhiteReference]:
    """Find the tissue and the white reference of a slide at low resolution."""
    return _tell_tissue(*look_from_afar(reader, resolution, assay, threads=threads), assay, vectors)


def look_from_afar(
    reader: SlideReader, resolution: Resolution, assay: Assay, *, threads: int = 1
) -> tuple[AnalysisGrid, NDArray[np.uint8], NDArray[np.bool_]]:
    """Read the whole slide at the resolution in which tissue is looked for: the grid, its colours, which are there."""
    coarse = plan_grid(reader, resolution.mpp, assay.tissue.mpp, assay.reading.snap_fraction)
    return (coarse, *read_thumbnail(reader, coarse, threads=threads))


def _read_window(
    readers: ReaderPool, grid: AnalysisGrid, x_px: int, y_px: int, width_px: int, height_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read a window; where that fails the next one gets a fresh reader."""
    try:
        return read_analysis(readers.get(), grid, x_px, y_px, width_px, height_px)
    except SlideOpenError:
        readers.replace()
        raise


def _tell_tissue(
    coarse: AnalysisGrid, rgb: NDArray[np.uint8], valid: NDArray[np.bool_], assay: Assay, vectors: StainVectors
) -> tuple[TissueMask, WhiteReference]:
    return find_tissue(
        rgb, valid, mpp=coarse.analysis_mpp, l0_per_px=coarse.px_to_l0, tissue=assay.tissue, stains=assay.stains,
        vectors=vectors,
    )  # fmt: skip


def _within(annotations: AnnotationSet, tissue: TissueMask) -> TissueMask:
    """Leave only the tissue near the areas that are scored, so that tiles far from them are not read."""
    if not annotations.limits:
        return tissue
    areas = [*annotations.limits, *annotations.of("control")]
    drawn = paint_areas(areas, 0.0, 0.0, tissue.tissue.shape, tissue.l0_per_px)
    # A pixel of margin: a thin area can pass between the middles of coarse pixels.
    near = cv2.dilate(drawn.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return replace(tissue, tissue=tissue.tissue & near)


def _finish_tiles(
    readers: ReaderPool,
    context: TileContext,
    threads: int,
    kept: dict[int, TileResult],
    journal: TileJournal | None,
    on_progress: Progress | None,
    shuffle_seed: int | None,
) -> list[TileResult]:
    """Score the tiles that are not kept from before; return all of them in the order of the plan."""
    to_do = [spec for spec in context.plan.tiles if spec.index not in kept]
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(to_do)
    results, n_cells = dict(kept), sum(result.cells.owned.num_rows for result in kept.values())
    for result in _score_tiles(readers, to_do, context, threads):
        results[result.spec.index] = result
        if journal:
            journal.add(result)
        n_cells += result.cells.owned.num_rows
        if on_progress:
            on_progress(len(results), len(context.plan.tiles), n_cells)
    if journal:
        journal.flush()
    return [results[spec.index] for spec in context.plan.tiles]


def _score_tiles(
    readers: ReaderPool, specs: Sequence[TileSpec], context: TileContext, threads: int
) -> Iterator[TileResult]:
    """Score tiles, in order, with no more than a few waiting."""
    waiting: deque[Future[TileResult]] = deque()
    tiles = iter(specs)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for _ in range(2 * threads):
                _submit_next(pool, waiting, tiles, readers, context)
            while waiting:
                result = waiting.popleft().result()
                _submit_next(pool, waiting, tiles, readers, context)
                yield result
        finally:
            for future in waiting:
                future.cancel()


def _submit_next(
    pool: ThreadPoolExecutor,
    waiting: deque[Future[TileResult]],
    tiles: Iterator[TileSpec],
    readers: ReaderPool,
    context: TileContext,
) -> None:
    spec = next(tiles, None)
    if spec is not None:
        waiting.append(pool.submit(partial(_score_or_fail, readers, spec, context)))


def _score_or_fail(readers: ReaderPool, spec: TileSpec, context: TileContext) -> TileResult:
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


def _estimate(
    reader: SlideReader,
    grid: AnalysisGrid,
    tissue: TissueMask,
    white: WhiteReference,
    fixed: StainVectors,
    assay: Assay,
) -> StainEstimate | None:
    if assay.stains.vectors == "fixed":
        return None
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


def _slide_facts(reader: SlideReader, resolution: Resolution) -> dict[str, Any]:
    width, height = reader.dimensions
    return {
        "width": width,
        "height": height,
        "mpp_x": resolution.mpp_x,
        "mpp_y": resolution.mpp_y,
        "mpp": resolution.mpp,
        "mpp_source": resolution.source,
        "vendor": reader.vendor,
        "reader": reader.backend,
        "reader_library": name_library(reader),
        "level_count": reader.level_count,
        "scanner": name_scanner(reader),
        "icc_profile": reader.icc_profile,
    }


def _stain_facts(white: WhiteReference, vectors: StainVectors, estimate: StainEstimate | None) -> dict[str, Any]:
    source = "fixed" if estimate is None else "estimated" if estimate.used else "fallback"
    return {
        "white": list(white.rgb),
        "white_source": white.source,
        "n_glass_pixels": white.n_pixels,
        "hematoxylin": list(vectors.hematoxylin),
        "dab": list(vectors.dab),
        "vectors_source": source,
        "estimate": None
        if estimate is None
        else {key: value for key, value in asdict(estimate).items() if key != "vectors"},
    }


def _degradations(results: list[TileResult]) -> list[str]:
    failed = [result for result in results if result.status == "failed"]
    reasons = sorted({result.reason for result in failed})
    return [f"{len(failed)} tiles could not be read: {'; '.join(reasons)}"] if failed else []


def _sum_areas(of_tiles: Sequence[Mapping[str, AreaSums]], names: Sequence[str]) -> list[tuple[str, AreaSums]]:
    """Add up the areas of each name over the tiles."""
    return [(name, sum((areas[name] for areas in of_tiles if name in areas), NO_AREA)) for name in names]
