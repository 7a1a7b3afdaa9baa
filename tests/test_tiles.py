"""Tiles: cores cover the slide once, wherever the grid begins."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.slide import AnalysisGrid, ArrayReader, plan_grid
from slidescore.slide.tile_cache import TileCache
from slidescore.tiles import TilePlan, TileSpec, plan_tiles
from slidescore.tissue import TissueMask


def grid_of(width: int, height: int, mpp: float = 0.5) -> AnalysisGrid:
    return plan_grid(ArrayReader(np.zeros((height, width, 3), np.uint8)), mpp, 0.5, 0.0)


def tissue_of(grid: AnalysisGrid, tissue: np.ndarray, l0_per_px: float = 16.0) -> TissueMask:
    return TissueMask(tissue, np.zeros_like(tissue), l0_per_px, 8.0)


def plan(width: int, height: int, core: int, origin: tuple[int, int] = (0, 0)) -> TilePlan:
    grid = grid_of(width, height)
    everywhere = np.ones((height // 16 + 1, width // 16 + 1), bool)
    return plan_tiles(grid, tissue_of(grid, everywhere), core_px=core, halo_um=40.0, origin_px=origin)


sides, cores = st.integers(1, 300), st.integers(20, 120)


@given(sides, sides, cores, st.integers(0, 19), st.integers(0, 19))
def test_cores_cover_every_pixel_once(width, height, core, left, top):
    covered = np.zeros((height, width), int)
    for tile in plan(width, height, core, (-left, -top)).tiles:
        covered[tile.y_px : tile.y_px + tile.height_px, tile.x_px : tile.x_px + tile.width_px] += 1
    assert (covered == 1).all()


@given(sides, sides, cores, st.integers(0, 19), st.integers(0, 19))
def test_the_owner_of_a_point_is_the_tile_whose_core_holds_it(width, height, core, left, top):
    planned = plan(width, height, core, (-left, -top))
    rng = np.random.default_rng([width, height, core])
    x, y = rng.uniform(0, width, 50), rng.uniform(0, height, 50)
    tiles = {tile.index: tile for tile in planned.tiles}
    for index, px, py in zip(planned.index_at(x, y), x, y, strict=True):
        tile = tiles[int(index)]
        assert tile.x_px <= px < tile.x_px + tile.width_px
        assert tile.y_px <= py < tile.y_px + tile.height_px


def test_a_point_on_a_border_belongs_to_the_tile_that_begins_there():
    planned = plan(200, 200, 100)
    corner = planned.index_at(np.array([99.999, 100.0, 99.999, 100.0]), np.array([99.999, 99.999, 100.0, 100.0]))
    assert corner.tolist() == [0, 1, 2, 3]


def test_a_shifted_grid_begins_with_a_part_of_a_tile():
    first = plan(300, 300, 100, (-30, -70)).tiles[0]
    assert (first.index, first.x_px, first.y_px, first.width_px, first.height_px) == (0, 0, 0, 70, 30)


def test_tiles_without_tissue_are_left_out_and_numbers_do_not_depend_on_tissue():
    grid, tissue = grid_of(320, 320), np.zeros((20, 20), bool)
    tissue[19, 0] = True
    [tile] = plan_tiles(grid, tissue_of(grid, tissue), core_px=100, halo_um=40.0).tiles
    assert (tile.index, tile.x_px, tile.y_px) == (12, 0, 300)
    assert plan_tiles(grid, tissue_of(grid, np.zeros((20, 20), bool)), core_px=100, halo_um=40.0).tiles == ()


@given(st.integers(0, 19), st.integers(0, 19), st.integers(100, 256))
def test_no_tissue_is_lost_between_tiles(row, column, core):
    grid, tissue = grid_of(320, 320), np.zeros((20, 20), bool)
    tissue[row, column] = True
    mask = tissue_of(grid, tissue)
    planned = plan_tiles(grid, mask, core_px=core, halo_um=40.0)
    rng = np.random.default_rng(row * 20 + column)
    x, y = rng.uniform(0, 320, 400), rng.uniform(0, 320, 400)
    owners = planned.index_at(x, y)[mask.at(x, y)]
    assert set(owners.tolist()) <= {tile.index for tile in planned.tiles}


masks = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), min_size=1, max_size=6, unique=True)


def mask_with(places: list[tuple[int, int]]) -> np.ndarray:
    tissue = np.zeros((20, 20), bool)
    tissue[tuple(np.array(places).T)] = True
    return tissue


@given(masks, st.integers(100, 256), st.integers(0, 30), st.integers(0, 99))
def test_cores_hold_all_tissue_and_lie_in_their_places(places, core, margin, shift):
    grid, tissue = grid_of(320, 320), mask_with(places)
    planned = plan_tiles(
        grid, tissue_of(grid, tissue), core_px=core, halo_um=40.0, margin_um=margin / 2, origin_px=(-shift, -shift)
    )
    covered = np.zeros((320, 320), int)
    for tile in planned.tiles:
        assert min(tile.width_px, tile.height_px) > 0
        corners = np.array([[tile.x_px, tile.y_px], [tile.x_px + tile.width_px, tile.y_px + tile.height_px]]) - 0.5
        # Both corners, the second from inside, belong to the tile's own place.
        x, y = corners[:, 0] + [1.0, 0.0], corners[:, 1] + [1.0, 0.0]
        assert set(planned.index_at(x, y).tolist()) == {tile.index}
        covered[tile.y_px : tile.y_px + tile.height_px, tile.x_px : tile.x_px + tile.width_px] += 1
    assert covered.max() == 1
    assert covered[np.kron(tissue, np.ones((16, 16), bool))].all()


def test_a_core_is_cut_to_its_tissue_in_steps():
    grid = grid_of(2048, 1024)
    tissue = np.zeros((64, 128), bool)
    tissue[10:18, 80:84] = True
    [tile] = plan_tiles(grid, tissue_of(grid, tissue), core_px=1024, halo_um=64.0).tiles
    # Tissue from 160 to 288 down, 1,280 to 1,344 across; steps of 128 from the place's corner at 1,024.
    assert (tile.x_px, tile.width_px, tile.y_px, tile.height_px) == (1280, 128, 128, 256)


def test_cores_meet_where_tissue_on_one_side_comes_near_their_border():
    grid = grid_of(2048, 1024)
    tissue = np.zeros((64, 128), bool)
    tissue[10:20, 10:64] = True
    tissue[10:20, 100:110] = True
    mask = tissue_of(grid, tissue)
    _, cut_off = plan_tiles(grid, mask, core_px=1024, halo_um=64.0).tiles
    _, met = plan_tiles(grid, mask, core_px=1024, halo_um=64.0, margin_um=6.0).tiles
    assert cut_off.x_px == 1024 + 4 * 128
    assert met.x_px == 1024


@pytest.mark.parametrize("halo", [128, 132])
@pytest.mark.parametrize(("factor", "jpeg_px"), [(2, 256), (2, 512), (1, 256), (1, 512)])
def test_a_halo_costs_hardly_a_second_decoding(halo, factor, jpeg_px):
    # Analysis pixels at `factor` level-0 pixels each, 12 tiles down a slide of 40 columns, all of it tissue.
    places = [(row, column) for row in range(12) for column in range(40)]
    specs = [TileSpec(row * 40 + column, column * 1024, row * 1024, 1024, 1024) for row, column in places]
    planned = TilePlan(tuple(specs), 1024, halo, 40, (0, 0))
    cache, decoded = TileCache(), []
    kept = np.empty((jpeg_px // factor, jpeg_px // factor, 3), np.uint8)

    def decode(key):
        decoded.append(key)
        return kept

    for spec in planned.in_strips():
        first = [max(at - halo, 0) * factor // jpeg_px for at in (spec.x_px, spec.y_px)]
        end = [-(-(at + 1024 + halo) * factor // jpeg_px) for at in (spec.x_px, spec.y_px)]
        for key in ((row, column) for row in range(first[1], end[1]) for column in range(first[0], end[0])):
            cache.get(key, partial(decode, key))
    assert len(decoded) < 1.12 * len(set(decoded))


@pytest.mark.parametrize(("mpp", "halo"), [(0.5, 80), (0.51, 79), (0.3, 134)])
def test_the_halo_is_at_least_as_wide_as_asked(mpp, halo):
    grid = plan_grid(ArrayReader(np.zeros((50, 50, 3), np.uint8)), mpp, mpp, 0.0)
    everywhere = tissue_of(grid, np.ones((5, 5), bool))
    assert plan_tiles(grid, everywhere, core_px=128, halo_um=40.0).halo_px == halo


def test_the_halo_of_every_assay_holds_the_largest_cell(assay):
    largest_um = 2 * assay.cells.classical.max_radius_um + assay.cells.expansion_um
    assert assay.tiles.halo_um >= largest_um + assay.tiles.seam_um
    assert assay.tiles.seam_um > assay.tiles.duplicate_um
