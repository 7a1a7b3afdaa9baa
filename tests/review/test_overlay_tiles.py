"""Overlay tiles against what the run's own overlay.tiff has, and by what a reader must be able to tell apart."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from classical_assay import classical_assay
from report.made_cells import make_cells, scattered_cells, square
from review.made_folder import make_record, write_cells, write_tiles
from slidescore.errors import RunFolderError
from slidescore.qc.cell_drawing import EXCLUDED_KIND, OTHER_KIND, prepare_areas, prepare_cells
from slidescore.qc.overlay import BIN_COLOURS, HATCH_COLOUR, OTHER_COLOUR, ROI_COLOUR, draw_overlay
from slidescore.review.overlay_tiles import (
    COLOURBLIND_COLOURS,
    SHOW_KEYS,
    DrawnAreas,
    OverlayStyle,
    drawn_areas,
    excluded_areas,
    overlay_tile,
)
from slidescore.review.slide_cells import SlideCells, load_cells
from slidescore.review.tile_grid import TileGrid
from slidescore.scoring import Corrections, no_corrections

ASSAY = classical_assay()
NOTHING = drawn_areas(prepare_areas([]))
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
SIDE = 2048
GRID = TileGrid(SIDE, SIDE)


def loaded(folder: Path, cells: object, mpp: float = 0.5) -> SlideCells:
    write_cells(folder, cells)
    return load_cells(folder, make_record(mpp), ASSAY)


def drawn(
    cells: SlideCells,
    k: int,
    *,
    areas: DrawnAreas = NOTHING,
    corrections: Corrections | None = None,
    grid: TileGrid = GRID,
    **style: object,
) -> np.ndarray:
    """All tiles of one k, put together; uint8, (H, W, 4)."""
    width, height = -(-grid.width_l0 >> k), -(-grid.height_l0 >> k)
    out = np.zeros((height, width, 4), np.uint8)
    for row in range(-(-height // 256)):
        for column in range(-(-width // 256)):
            data = overlay_tile(cells, cells.seen(corrections), areas, grid, OverlayStyle(**style), k, column, row)
            picture = Image.open(io.BytesIO(data))
            assert picture.format == "PNG"
            assert picture.size == grid.tile_size_px(k, column, row)
            part = out[row * 256 : (row + 1) * 256, column * 256 : (column + 1) * 256]
            part[:] = np.asarray(picture.convert("RGBA"))
    return out


def colours_of(rgba: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.unique(rgba[rgba[..., 3] > 0][:, :3], axis=0).tolist()}


def of_every_kind() -> object:
    """One cell of each kind, far from one another: bins 0 to 3, another one, an excluded one."""
    places = [(200.0 + 300 * number, 1000.0) for number in range(6)]
    return make_cells(
        places,
        [0.1, 0.3, 0.5, 0.9, 0.9, 0.9],
        half=24,
        tumor=[None, None, None, None, 0.0, None],
        excluded=[None] * 5 + ["qc: fold"],
    )


class TestNear:
    @pytest.mark.parametrize(("mpp", "k"), [(0.5, 0), (0.5, 1), (0.25, 1), (0.25, 2), (1.0, 0)])
    def test_outlines_lie_on_the_pixels_of_the_runs_own_overlay(self, tmp_path: Path, mpp: float, k: int) -> None:
        table = scattered_cells(300, SIDE, SIDE, half=18)
        squares = prepare_areas([shapely.box(256, 256, 700, 512)], merge=True)
        plain = np.full((SIDE >> k, SIDE >> k, 3), 7, np.uint8)
        draw_overlay(plain, 0, 0, float(1 << k), prepare_cells(table, ASSAY), squares)
        rgba = drawn(loaded(tmp_path, table, mpp), k, areas=drawn_areas(squares))
        assert np.array_equal(rgba[..., 3] > 0, (plain != 7).any(axis=2))
        assert np.array_equal(rgba[rgba[..., 3] > 0][:, :3], plain[rgba[..., 3] > 0])

    def test_nuclei_can_be_outlined_instead(self, tmp_path: Path) -> None:
        cells = loaded(tmp_path, make_cells([(300.5, 300.5)], [0.9], half=20))
        for part, half in (("cell", 20), ("nucleus", 10)):
            columns = np.flatnonzero(drawn(cells, 0, part=part)[..., 3].any(axis=0))
            assert (columns[0], columns[-1]) == (300 - half, 300 + half)

    def test_at_a_fine_scale_outlines_are_wider_but_their_middle_stays(self, tmp_path: Path) -> None:
        table = make_cells([(300.5, 300.5)], [0.9], half=60)
        thin, wide = drawn(loaded(tmp_path, table, 0.5), 0), drawn(loaded(tmp_path, table, 0.125), 0)
        assert (wide[..., 3] > 0).sum() > 2.5 * (thin[..., 3] > 0).sum()
        assert (wide[..., 3] > 0)[thin[..., 3] > 0].all()
        row = np.flatnonzero(wide[300, :, 3])
        assert row[row < 300].mean() == pytest.approx(240, abs=1)
        assert row[row > 300].mean() == pytest.approx(360, abs=1)

    def test_each_kind_has_its_colour_and_can_be_hidden(self, tmp_path: Path) -> None:
        cells = loaded(tmp_path, of_every_kind())
        expected = dict(enumerate((*BIN_COLOURS, OTHER_COLOUR, OTHER_COLOUR)))
        for kind, colour in expected.items():
            alone = drawn(cells, 0, show=frozenset([kind]))
            assert colours_of(alone) == {colour}
            columns = np.flatnonzero(alone[..., 3].any(axis=0))
            assert 170 + 300 * kind < columns[0] <= columns[-1] < 230 + 300 * kind
        assert not drawn(cells, 0, show=frozenset())[..., 3].any()
        assert SHOW_KEYS[OTHER_KIND] == "o"
        assert SHOW_KEYS[EXCLUDED_KIND] == "x"

    def test_for_the_colour_blind_bins_differ_in_width_too(self, tmp_path: Path) -> None:
        cells = loaded(tmp_path, of_every_kind())
        amounts = []
        for kind in range(4):
            alone = drawn(cells, 0, palette="colourblind", show=frozenset([kind]))
            assert colours_of(alone) == {COLOURBLIND_COLOURS[kind]}
            amounts.append(int((alone[..., 3] > 0).sum()))
        assert amounts[0] == amounts[1] < 0.7 * amounts[2]
        assert amounts[2] < 0.9 * amounts[3]

    @pytest.mark.parametrize("palette", ["qupath", "colourblind"])
    @pytest.mark.parametrize("k", [0, 1, 2, 3])
    def test_tiles_join_without_a_seam(self, tmp_path: Path, palette: str, k: int) -> None:
        # The same cells, moved by half a tile: what was on a border lies in the middle.
        table = scattered_cells(200, SIDE - 400, SIDE - 400, half=18)
        step = 128 << k
        moved = table
        for name in ("x", "y"):
            index = table.schema.get_field_index(name)
            moved = moved.set_column(index, table.schema.field(index), (table[name].to_numpy() + step)[None])
        corrections = no_corrections(200)
        corrections.bins[::7] = 2
        grid = TileGrid(SIDE + 2048, SIDE + 2048)
        kinds = {"palette": palette, "corrections": corrections, "grid": grid}
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        here, there = drawn(loaded(tmp_path / "a", table), k, **kinds), drawn(loaded(tmp_path / "b", moved), k, **kinds)
        assert np.array_equal(here[:-128, :-128], there[128:, 128:])
        assert here[..., 3].any()


class TestMarks:
    @pytest.mark.parametrize("k", [0, 1, 2, 3])
    def test_a_corrected_cell_carries_a_mark_and_no_other_does(self, tmp_path: Path, k: int) -> None:
        cells = loaded(tmp_path, make_cells([(500, 500), (1500, 500)], [0.1, 0.1], half=24))
        assert not colours_of(drawn(cells, k)) & {BLACK, WHITE}
        for name in ("bins", "tumor"):
            corrections = no_corrections(2)
            getattr(corrections, name)[1] = 1
            rgba = drawn(cells, k, corrections=corrections)
            mark = (rgba[..., 3] == 255) & (rgba[..., :3].min(axis=2) == 255)
            rows, columns = np.nonzero(mark)
            assert {BLACK, WHITE} <= colours_of(rgba)
            assert (np.abs(columns - 1500 / 2**k) <= 24 / 2**k + 4).all()
            assert (np.abs(rows - 500 / 2**k) <= 24 / 2**k + 4).all()

    def test_it_goes_with_its_kind_and_from_far_away(self, tmp_path: Path) -> None:
        cells = loaded(tmp_path, make_cells([(500, 500)], [0.1], half=24))
        corrections = no_corrections(1)
        corrections.bins[0] = 3
        hidden = drawn(cells, 0, corrections=corrections, show=frozenset([0, 1, 2]))
        assert not hidden[..., 3].any()
        cells = loaded(tmp_path, make_cells([(500, 500)], [0.1], half=24), 4.5)
        assert not colours_of(drawn(cells, 0, corrections=corrections)) & {BLACK, WHITE}


class TestFar:
    def test_dots_stand_where_cells_are(self, tmp_path: Path) -> None:
        cells = loaded(tmp_path, of_every_kind())
        rgba = drawn(cells, 2)
        for kind, colour in enumerate((*BIN_COLOURS, OTHER_COLOUR)):
            x = (200 + 300 * kind) // 4
            assert np.abs(rgba[250, x, :3].astype(int) - colour).max() <= 1
            assert rgba[250, x, 3] > 200
            assert np.flatnonzero(rgba[250, x - 20 : x + 20, 3]).mean() == pytest.approx(19.5, abs=0.6)
        # 4 um are two pixels of 2 um; the excluded cell has no dot.
        assert (rgba[..., 3] > 100).sum() == pytest.approx(5 * np.pi * 2**2, rel=0.2)
        assert not rgba[:, 400:, 3].any()

    def test_a_stronger_bin_lies_on_top(self, tmp_path: Path) -> None:
        cells = loaded(tmp_path, make_cells([(400, 400), (400, 400), (400, 400)], [0.9, 0.1, 0.9], tumor=[1, 1, 0]))
        assert tuple(drawn(cells, 2)[100, 100, :3]) == BIN_COLOURS[3]

    def test_from_afar_a_pixel_is_the_mean_of_its_cells_and_as_opaque_as_they_cover_it(self, tmp_path: Path) -> None:
        cells = loaded(tmp_path, make_cells([(400, 400), (401, 401), (1200, 400)], [0.9, 0.1, 0.5], half=4), 2.0)
        rgba = drawn(cells, 2)
        share = np.pi * (4 / 8) ** 2
        assert np.abs(rgba[100, 100, :3] - np.mean([BIN_COLOURS[0], BIN_COLOURS[3]], axis=0)).max() <= 1
        assert rgba[100, 300, 3] == pytest.approx(0.85 * share * 255, abs=1)
        assert rgba[100, 100, 3] == pytest.approx(0.85 * 255, abs=1)
        assert (rgba[..., 3] > 0).sum() == 2
        only = drawn(cells, 2, show=frozenset([3]))
        assert colours_of(only) == {BIN_COLOURS[3]}

    def test_dots_need_no_outlines(self, tmp_path: Path) -> None:
        cells = loaded(tmp_path, of_every_kind())
        (tmp_path / "cells.parquet").unlink()
        drawn(cells, 2)
        # Near they are needed, and gone.
        with pytest.raises(RunFolderError):
            drawn(cells, 0)


class TestAreas:
    @pytest.mark.parametrize("mpp", [0.5, 2.0, 20.0])
    def test_excluded_squares_are_hatched_at_every_scale_unless_hidden(self, tmp_path: Path, mpp: float) -> None:
        write_tiles(tmp_path, [(12, "qc: fold"), (13, "qc: fold"), (14, None), (30, "qc: ink")])
        record = make_record(0.5)
        squares = excluded_areas(tmp_path, record)
        assert sorted(polygon.bounds for polygon in squares.polygons) == [(0, 192, 64, 256), (128, 64, 256, 128)]
        cells = loaded(tmp_path, make_cells([], []), mpp)
        rgba = drawn(cells, 0, areas=drawn_areas(squares))
        assert colours_of(rgba) == {HATCH_COLOUR}
        held = rgba[66:126, 130:254, 3] > 0
        assert 0.05 < held.mean() < 0.15
        assert not rgba[300:, :, 3].any()
        assert not drawn(cells, 0, areas=drawn_areas(squares), show=frozenset(range(5)))[..., 3].any()

    def test_regions_of_reviewers_are_outlined_and_those_taken_out_hatched(self, tmp_path: Path) -> None:
        box = shapely.box(300, 300, 700, 700)
        cells = loaded(tmp_path, make_cells([], []))
        nothing = frozenset()
        put_in = drawn(cells, 0, areas=drawn_areas(prepare_areas([]), include=[box]), show=nothing)
        taken_out = drawn(cells, 0, areas=drawn_areas(prepare_areas([]), exclude=[box]), show=nothing)
        assert colours_of(put_in) == {ROI_COLOUR}
        assert not put_in[320:680, 320:680, 3].any()
        assert colours_of(taken_out) == {ROI_COLOUR, HATCH_COLOUR}
        assert (taken_out[320:680, 320:680, 3] > 0).mean() == pytest.approx(1 / 12, abs=0.01)
        for rgba in (put_in, taken_out):
            assert tuple(rgba[500, 300, :3]) == ROI_COLOUR
            assert not rgba[:290, :, 3].any()

    def test_cells_lie_on_top_of_areas(self, tmp_path: Path) -> None:
        areas = drawn_areas(prepare_areas([shapely.box(0, 0, 1000, 1000)]), exclude=[shapely.box(0, 0, 1000, 1000)])
        for mpp in (0.5, 2.0, 4.5):
            cells = loaded(tmp_path, make_cells([(500, 500)], [0.9], cell_outlines=[square(1)]), mpp)
            assert tuple(drawn(cells, 0, areas=areas)[500, 500, :3]) == BIN_COLOURS[3]

    def test_a_ledger_that_is_missing_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(RunFolderError):
            excluded_areas(tmp_path, make_record())


def test_no_tile_is_refused(tmp_path: Path) -> None:
    cells = loaded(tmp_path, make_cells([], []))
    with pytest.raises(ValueError, match="no tile"):
        overlay_tile(cells, cells.seen(), NOTHING, GRID, OverlayStyle(), 9, 0, 0)


def test_styles_make_keys() -> None:
    assert len({OverlayStyle(), OverlayStyle(frozenset(range(6))), OverlayStyle(part="nucleus")}) == 2
