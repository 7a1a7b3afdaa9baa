"""One cell is one row, whichever tiles saw it and in whatever order they come."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.cells import CELL_SCHEMA, TileCells, join_tiles
from slidescore.cells.seam import Joined

MPP = 0.25
PER_UM = 1 / MPP
NUCLEUS_UM2 = float(np.pi * 3.0**2)
"""Nuclei of the made-up cells have a radius of 3 um."""


@pytest.fixture(scope="session")
def tile(make_cells):
    """Make what one tile saw; places in um, each with the tile that owns it by its centroid."""

    def seen(
        number: int,
        owned: Sequence[tuple[float, float]] = (),
        shadows: Sequence[tuple[int, float, float]] = (),
        near: bool | Sequence[bool] = True,
    ) -> TileCells:
        def table(tiles: Sequence[int], places: Sequence[tuple[float, float]]):
            x, y = np.array(places, float).reshape(-1, 2).T * PER_UM
            areas = np.full(len(places), NUCLEUS_UM2)
            return make_cells([0.5] * len(places), tile=np.array(tiles, int), x=x, y=y, nucleus_area_um2=areas)

        shadow_places = [(x, y) for _, x, y in shadows]
        flags = np.full(len(owned), near) if isinstance(near, bool) else np.array(near)
        return TileCells(table([number] * len(owned), owned), flags, table([t for t, _, _ in shadows], shadow_places))

    return seen


def join(*tiles: TileCells) -> Joined:
    return join_tiles(tiles, duplicate_um=3.0, mpp=MPP)


def places(joined: Joined) -> list[tuple[int, float, float]]:
    """(tile, x, y) of all cells, in um."""
    columns = (joined.cells.column(name).to_pylist() for name in ("tile", "x", "y"))
    return [(t, x * MPP, y * MPP) for t, x, y in zip(*columns, strict=True)]


def test_a_cell_that_both_tiles_claim_is_kept_once_by_the_earlier_tile(tile):
    joined = join(tile(0, [(99.0, 50.0)]), tile(1, [(100.5, 50.5)]))
    assert places(joined) == [(0, 99.0, 50.0)]
    assert (joined.n_merged, joined.n_restored) == (1, 0)


def test_two_cells_at_3_um_or_more_are_two_cells(tile):
    assert join(tile(0, [(98.5, 50)]), tile(1, [(101.5, 50)])).cells.num_rows == 1
    assert join(tile(0, [(98.5, 50)]), tile(1, [(101.75, 50)])).cells.num_rows == 2


def test_close_cells_of_one_tile_are_two_cells(tile):
    assert join(tile(0, [(99, 50), (99.5, 50)])).cells.num_rows == 2


def test_where_four_tiles_meet_one_cell_is_one_row(tile):
    joined = join(*(tile(n, [(100 + dx, 100 + dy)]) for n, (dx, dy) in enumerate([(-1, -1), (1, -1), (-1, 1), (1, 1)])))
    assert places(joined) == [(0, 99.0, 99.0)]
    assert joined.n_merged == 3


def test_of_a_chain_over_three_tiles_the_ends_stay(tile):
    # 0 and 1 are one cell, 1 and 2 would be, but 1 is gone: 2 is its own cell, 4 um from 0.
    joined = join(tile(0, [(98, 100)]), tile(1, [(100, 100)]), tile(2, [(102, 100)]))
    assert places(joined) == [(0, 98.0, 100.0), (2, 102.0, 100.0)]


def test_a_cell_that_nobody_owns_is_restored_once(tile):
    # Tile 0 puts it into tile 1, tile 1 into tile 0.
    joined = join(tile(0, [(50, 50)], [(1, 100.5, 80)]), tile(1, [(150, 50)], [(0, 99.5, 80)]))
    assert (joined.n_merged, joined.n_restored) == (0, 1)
    assert places(joined) == [(0, 50.0, 50.0), (0, 99.5, 80.0), (1, 150.0, 50.0)]


def test_a_cell_at_a_corner_that_nobody_owns_is_restored_once(tile):
    shadow = {0: (1, 100.5, 99.5), 1: (2, 99.5, 100.5), 2: (3, 100.5, 100.5), 3: (0, 99.5, 99.5)}
    joined = join(*(tile(n, [(50.0 + 100 * (n % 2), 50.0 + 100 * (n // 2))], [shadow[n]]) for n in range(4)))
    assert joined.n_restored == 1
    assert joined.cells.num_rows == 5


def test_a_shadow_of_a_cell_that_its_owner_kept_is_not_restored(tile):
    joined = join(tile(0, [(50, 50)], [(1, 101, 80)]), tile(1, [(101.5, 80.5)]))
    assert joined.n_restored == 0
    assert joined.cells.num_rows == 2


def test_a_shadow_inside_a_nucleus_that_was_cut_otherwise_is_not_restored(make_cells, tile):
    # 4 um apart is farther than a duplicate, but within the other's nucleus of 5 um radius.
    large = np.array([np.pi * 25.0])
    owner = tile(1, [(104.0, 80.0)])
    owned = make_cells([0.5], tile=np.array([1]), x=np.array([416.0]), y=np.array([320.0]), nucleus_area_um2=large)
    joined = join(tile(0, [(50, 50)], [(1, 100.2, 80)]), TileCells(owned, owner.near_seam, owner.shadows))
    assert joined.n_restored == 0


def test_a_shadow_is_answered_by_a_cell_that_lies_just_too_far_from_the_seam(tile):
    """Both limits are the same distance: the owner may call a cell far that its neighbour still calls near."""
    joined = join(tile(0, [(50, 50)], [(1, 112.0, 80.0)]), tile(1, [(112.0, 80.0)], near=False))
    assert joined.n_restored == 0
    assert joined.cells.num_rows == 2


def test_a_merged_cell_does_not_come_back_as_a_shadow(tile):
    joined = join(tile(0, [(99, 50)], [(1, 100.5, 50)]), tile(1, [(100.5, 50)], [(0, 99, 50)]))
    assert (joined.n_merged, joined.n_restored) == (1, 0)
    assert joined.cells.num_rows == 1


def test_shadows_alone_are_not_lost(tile):
    joined = join(tile(0, [], [(1, 100.5, 80)]), tile(1, [], [(0, 99.5, 80)]))
    assert (joined.cells.num_rows, joined.n_restored) == (1, 1)


def test_no_tiles_and_empty_tiles_give_an_empty_table(tile):
    for joined in (join(), join(tile(0), tile(1))):
        assert joined.cells.num_rows == joined.n_merged == joined.n_restored == 0
        assert joined.cells.schema == CELL_SCHEMA


@given(st.integers(0, 2**30))
def test_the_order_of_the_tiles_means_nothing(tile, seed):
    rng = np.random.default_rng(seed)
    tiles = []
    for number in range(3):
        # All near one corner, so that chains, duplicates and gaps all happen.
        owned = [tuple(place) for place in rng.uniform(90, 110, (rng.integers(0, 5), 2)).round(1)]
        others = [n for n in range(3) if n != number]
        shadows = [(int(rng.choice(others)), *rng.uniform(90, 110, 2).round(1)) for _ in range(rng.integers(0, 4))]
        tiles.append(tile(number, owned, shadows, near=(rng.random(len(owned)) < 0.8).tolist()))
    results = [join(*order) for order in itertools.permutations(tiles)]
    for other in results[1:]:
        assert other.cells.equals(results[0].cells)
        assert (other.n_merged, other.n_restored) == (results[0].n_merged, results[0].n_restored)


@given(st.integers(0, 2**30))
def test_made_up_duplicates_merge_to_what_was_there(tile, seed):
    """Cells on both sides of a seam; each near it is also claimed by the other tile, up to 1 um away."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(70, 131, 8.0), np.arange(0, 60, 8.0)), axis=-1).reshape(-1, 2)
    true = grid + rng.uniform(-1, 1, grid.shape)
    owned: dict[int, list[tuple[float, float]]] = {0: [], 1: []}
    for x, y in true:
        owner = int(x >= 100)
        owned[owner].append((x, y))
        if abs(x - 100) < 3 and rng.random() < 0.7:
            owned[1 - owner].append((x + rng.uniform(-0.7, 0.7), y + rng.uniform(-0.7, 0.7)))
    joined = join(tile(0, owned[0]), tile(1, owned[1]))
    found = np.array([(x, y) for _, x, y in places(joined)])
    assert joined.cells.num_rows == len(true)
    nearest = np.hypot(*(true[:, None] - found[None]).transpose(2, 0, 1)).min(axis=1)
    assert nearest.max() < 1.01


def test_rows_are_sorted_and_numbered(tile):
    joined = join(tile(1, [(150, 10), (140, 5)]), tile(0, [(50, 20), (60, 10)], [(1, 101, 30)]))
    columns = (joined.cells.column(name).to_pylist() for name in ("tile", "y", "x"))
    rows = list(zip(*columns, strict=True))
    assert rows == sorted(rows)
    assert joined.cells.column("cell_id").to_pylist() == list(range(5))
