from __future__ import annotations

import pytest

from slidescore.review.tile_grid import TILE_PX, TileGrid


@pytest.mark.parametrize(
    ("width", "height", "k_max"),
    [(1, 1, 0), (256, 256, 0), (257, 1, 1), (512, 300, 1), (60_000, 60_000, 8), (65_536, 3, 8), (65_537, 3, 9)],
)
def test_the_coarsest_tile_holds_the_whole_slide_and_the_next_finer_does_not(width, height, k_max):
    grid = TileGrid(width, height)
    assert grid.k_max == k_max
    across, down = (-(-side // 2**k_max) for side in (width, height))
    assert grid.tile_size_px(k_max, 0, 0) == (across, down)
    assert max(across, down) <= TILE_PX
    if k_max:
        assert grid.tile_size_px(k_max - 1, 1, 0) is not None


def test_tiles_cover_the_slide_once():
    grid = TileGrid(1000, 700)
    for k in range(grid.k_max + 1):
        sizes = [[grid.tile_size_px(k, column, row) for column in range(9)] for row in range(9)]
        assert sum(size[0] for size in sizes[0] if size) == -(-1000 // 2**k)
        assert sum(row[0][1] for row in sizes if row[0]) == -(-700 // 2**k)


@pytest.mark.parametrize("tile", [(-1, 0, 0), (3, 0, 0), (0, 4, 0), (0, 0, 3), (0, -1, 0), (0, 0, -1), (10**9, 0, 0)])
def test_there_is_no_tile_beside_the_slide(tile):
    assert TileGrid(1000, 700).tile_size_px(*tile) is None


def test_tiles_finer_than_the_pixels_are_none():
    grid = TileGrid(100, 100, k_min=2)
    assert grid.k_max == 2
    assert grid.tile_size_px(1, 0, 0) is None
    assert grid.tile_size_px(2, 0, 0) == (25, 25)
