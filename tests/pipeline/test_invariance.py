"""Tile size and where the tile grid begins change nothing, and no seam doubles or loses a cell."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

import phantom as ph
from slidescore.assay import Assay
from slidescore.cells.table import floats
from slidescore.pipeline.analysis import SlideAnalysis, analyze_slide
from slidescore.pipeline.judge import SlideIdentity, judge_slide
from slidescore.scoring.pixel_h_score import block_histograms
from slidescore.slide import ArrayReader

GRIDS = [(2048, (0, 0)), (1024, (0, 0)), (512, (0, 0)), (512, (-173, -301))]
"""Core in px and where the first core begins; the field is 1168 px wide, so the first grid is a single tile."""
MPP = 0.5


@pytest.fixture(scope="session")
def analyzed(crowded: ph.Phantom, assay: Assay, change) -> Callable[..., SlideAnalysis]:
    """Measure the crowded field under a tile grid, each grid once."""

    @cache
    def analyze(core_px: int, origin_px: tuple[int, int] = (0, 0), halo_um: float = 40.0) -> SlideAnalysis:
        values: dict[str, Any] = {"tiles.core_px": core_px, "tiles.halo_um": halo_um}
        return analyze_slide(
            lambda: ArrayReader(crowded.rgb, mpp=crowded.mpp), change(assay, values), origin_px=origin_px, threads=2
        )

    return analyze


def xy(analysis: SlideAnalysis) -> np.ndarray:
    return np.stack([floats(analysis.cells, "x"), floats(analysis.cells, "y")], axis=1).astype(float)


def h_score(analysis: SlideAnalysis, assay: Assay) -> float:
    score = judge_slide(analysis, assay, SlideIdentity("x", "x")).h_score
    assert score is not None
    return score


def across_seams(analysis: SlideAnalysis, within_um: float) -> int:
    """Count pairs of cells of two tiles that lie closer than a distance."""
    pairs = cKDTree(xy(analysis)).query_pairs(within_um / MPP, output_type="ndarray")
    tile = analysis.cells.column("tile").to_numpy()
    return int((tile[pairs[:, 0]] != tile[pairs[:, 1]]).sum())


def distance_to_seam_um(points: np.ndarray, core_px: int, origin_px: tuple[int, int]) -> np.ndarray:
    """Distance of each point to the nearest line between two tiles."""
    offset = (points - np.array(origin_px)) % core_px
    return np.minimum(offset, core_px - offset).min(axis=1) * MPP


@pytest.mark.parametrize(("core_px", "origin_px"), GRIDS[1:])
def test_the_tile_grid_changes_neither_count_nor_score(analyzed, assay, core_px, origin_px):
    one_tile, tiled = analyzed(*GRIDS[0]), analyzed(core_px, origin_px)
    assert one_tile.facts["analysis"]["n_tiles"] == 1
    assert tiled.facts["analysis"]["n_tiles"] >= 4
    assert one_tile.cells.num_rows > 1300
    assert tiled.cells.num_rows == pytest.approx(one_tile.cells.num_rows, rel=0.005)
    assert h_score(tiled, assay) == pytest.approx(h_score(one_tile, assay), abs=1)


@pytest.mark.parametrize(("core_px", "origin_px"), GRIDS[1:])
def test_the_classical_segmenter_sees_the_very_same_cells_under_every_grid(analyzed, core_px, origin_px):
    """Its halo is wide enough: not only counts, each place and each nucleus is the same."""
    one_tile, tiled = analyzed(*GRIDS[0]), analyzed(core_px, origin_px)
    assert tiled.facts["analysis"]["n_seam_merged"] == tiled.facts["analysis"]["n_seam_restored"] == 0
    orders = [np.lexsort(xy(each).T) for each in (one_tile, tiled)]

    def both(name: str) -> tuple[np.ndarray, ...]:
        return tuple(floats(each.cells, name)[order] for each, order in zip((one_tile, tiled), orders, strict=True))

    for name in ("x", "y", "nucleus_area_um2", "nucleus_eccentricity", "dab_od_nucleus"):
        np.testing.assert_allclose(*both(name), rtol=1e-6, err_msg=name)
    # A cell may border on one that lies in the halo, where outlines are not yet the same: a pixel may change hands.
    for name, most in (("cell_area_um2", 2.0), ("dab_od_cytoplasm", 0.01), ("dab_od_membrane", 0.03)):
        first, second = both(name)
        assert np.abs(first - second).max() <= most
        assert (first != second).mean() <= 0.005


@pytest.mark.parametrize(("core_px", "origin_px"), GRIDS[1:])
def test_no_cell_is_doubled_across_a_seam(analyzed, assay, core_px, origin_px):
    assert across_seams(analyzed(core_px, origin_px), assay.tiles.duplicate_um) == 0


@pytest.mark.parametrize(("core_px", "origin_px"), GRIDS[2:])
def test_cells_at_seams_are_found_as_often_as_elsewhere(analyzed, assay, crowded, core_px, origin_px):
    truth = crowded.truth.xy
    matches = ph.match_points(truth, xy(analyzed(core_px, origin_px)), 5 / MPP)
    found = np.zeros(len(truth), bool)
    found[matches.pairs[:, 0]] = True
    near = distance_to_seam_um(truth, core_px, origin_px) < assay.tiles.seam_um
    assert near.sum() > 80
    # Three standard errors of a share of that many cells.
    assert found[near].mean() >= found[~near].mean() - 3 * np.sqrt(0.08 * 0.92 / near.sum())


def test_tissue_areas_do_not_depend_on_the_grid(analyzed):
    sums = [sum(analyzed(*grid).tiles.column("tissue_um2").to_pylist()) for grid in GRIDS]
    assert sums == pytest.approx([sums[0]] * len(sums))
    histograms = [np.array(analyzed(*grid).tiles.column("dab_histogram").to_pylist()).sum(axis=0) for grid in GRIDS]
    for histogram in histograms[1:]:
        np.testing.assert_array_equal(histogram, histograms[0])


def test_histograms_of_blocks_do_not_depend_on_the_grid_and_sum_up_to_the_tiles(analyzed):
    places, histograms = block_histograms(analyzed(*GRIDS[0]).tiles)
    # The field is 584 um wide, and blocks are 512.
    assert places.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    for grid in GRIDS:
        tiles = analyzed(*grid).tiles
        others = block_histograms(tiles)
        np.testing.assert_array_equal(others[0], places)
        np.testing.assert_array_equal(others[1], histograms)
        for kind, name in enumerate(("dab_histogram", "dab_histogram_hematoxylin")):
            whole = np.array(tiles.column(name).to_pylist()).sum(axis=0)
            np.testing.assert_array_equal(histograms[:, kind].sum(axis=0), whole)


def test_with_too_narrow_a_halo_the_seam_pass_still_doubles_and_loses_hardly_a_cell(analyzed, assay):
    """4 um of halo cut the nuclei at every border, so that neighbours disagree: what the seam pass is for."""
    one_tile, cut = analyzed(*GRIDS[0]), analyzed(512, (-173, -301), 4.0)
    repaired = cut.facts["analysis"]
    assert repaired["n_seam_merged"] + repaired["n_seam_restored"] > 0
    assert across_seams(cut, assay.tiles.duplicate_um) == 0
    assert cut.cells.num_rows == pytest.approx(one_tile.cells.num_rows, rel=0.01)
    assert h_score(cut, assay) == pytest.approx(h_score(one_tile, assay), abs=3)


def test_a_cell_exactly_as_far_from_a_seam_as_the_seam_reaches_is_one_row(assay, change, vectors):
    """Its owner then calls it far and its neighbour still calls it near; taken for a gap, it would be restored."""
    changed = change(assay, {"tiles.core_px": 128, "tissue.min_area_um2": 0.0})
    reach_px = assay.tiles.seam_um / MPP
    rows, columns = np.indices((256, 400)) + 0.5
    # Symmetric about whole numbers, so that the centroids are whole numbers too.
    places = [(128 + reach_px, 64.0), (128 - reach_px, 96.0), (64.0, 128 + reach_px), (200.0, 128 - reach_px)]
    nuclei = np.any([np.hypot(columns - x, rows - y) <= 8 for x, y in places], axis=0)
    tissue = np.hypot(columns - 128, rows - 128) <= 115
    density = np.where(nuclei, 0.5, np.where(tissue, 0.1, 0.0))[..., None] * vectors.matrix[0]
    rgb = np.rint(240 * 10.0**-density).astype(np.uint8)
    one_tile, tiled = (
        analyze_slide(lambda: ArrayReader(rgb, mpp=MPP), change(changed, {"tiles.core_px": core}))
        for core in (512, 128)
    )
    found = sorted(map(tuple, xy(one_tile).tolist()))
    assert set(places) <= set(found)
    assert sorted(map(tuple, xy(tiled).tolist())) == found
    assert tiled.facts["analysis"]["n_seam_restored"] == 0
