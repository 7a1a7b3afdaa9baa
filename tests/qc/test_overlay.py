from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from classical_assay import classical_assay
from report.made_cells import BIN_OD, make_cells, scattered_cells, square
from slidescore.cells.outline import trace_outlines
from slidescore.qc.overlay import (
    BIN_COLOURS,
    EXCLUDED_KIND,
    HATCH_COLOUR,
    KIND_COLOURS,
    OTHER_COLOUR,
    OTHER_KIND,
    ROI_COLOUR,
    draw_discs,
    draw_overlay,
    paint_outlines,
    prepare_areas,
    prepare_cells,
)

ASSAY = classical_assay()
WHITE = 255


def canvas(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), WHITE, np.uint8)


def colours_of(rgb: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.unique(rgb.reshape(-1, 3), axis=0).tolist()} - {(WHITE,) * 3}


class TestColours:
    def test_each_bin_has_qupaths_colour_and_nothing_else_is_drawn(self) -> None:
        for number, od in enumerate(BIN_OD):
            rgb = canvas(40, 40)
            draw_overlay(rgb, 0, 0, 1, prepare_cells(make_cells([(20, 20)], [od]), ASSAY))
            assert colours_of(rgb) == {BIN_COLOURS[number]}

    def test_bin_colours_are_qupaths(self) -> None:
        assert BIN_COLOURS == ((90, 90, 180), (255, 215, 0), (225, 150, 50), (200, 50, 50))

    def test_other_cells_are_grey_and_excluded_ones_stippled(self) -> None:
        other, excluded = canvas(40, 40), canvas(40, 40)
        draw_overlay(other, 0, 0, 1, prepare_cells(make_cells([(20, 20)], [0.9], tumor=[0.0]), ASSAY))
        draw_overlay(excluded, 0, 0, 1, prepare_cells(make_cells([(20, 20)], [0.9], excluded=["folded"]), ASSAY))
        assert colours_of(other) == colours_of(excluded) == {OTHER_COLOUR}
        assert 0.3 < (excluded < WHITE).sum() / (other < WHITE).sum() < 0.7

    def test_a_stronger_bin_lies_on_top(self) -> None:
        rgb = canvas(40, 40)
        draw_overlay(rgb, 0, 0, 1, prepare_cells(make_cells([(20, 20), (20, 20)], [0.9, 0.1]), ASSAY))
        assert colours_of(rgb) == {BIN_COLOURS[3]}


class TestPlace:
    @pytest.mark.parametrize("l0_per_px", [1, 2, 4])
    @pytest.mark.parametrize("corner_px", [(0, 0), (3, 5), (-2, 1)])
    def test_the_outline_of_a_square_is_its_outermost_pixels(self, l0_per_px: int, corner_px: tuple[int, int]) -> None:
        # A square nucleus of analysis pixels [10, 20) by [12, 22), traced as the pipeline traces it.
        labels = np.zeros((40, 40), np.int32)
        labels[12:22, 10:20] = 1
        center = np.array([[14.5, 16.5]])
        outline = trace_outlines(labels, np.array([True]), center, float(l0_per_px))
        x_l0, y_l0 = (center[0] + 0.5) * l0_per_px
        cells = make_cells([(x_l0, y_l0)], [0.9], cell_outlines=outline)
        rgb = canvas(40, 40)
        left, top = corner_px
        draw_overlay(rgb, left * l0_per_px, top * l0_per_px, l0_per_px, prepare_cells(cells, ASSAY))
        drawn = (rgb != WHITE).any(axis=2)
        assert np.flatnonzero(drawn.any(axis=0)).tolist() == list(range(10 - left, 20 - left))
        assert np.flatnonzero(drawn.any(axis=1)).tolist() == list(range(12 - top, 22 - top))
        assert not drawn[13 - top : 21 - top, 11 - left : 19 - left].any()
        assert np.flatnonzero(drawn[16 - top]).tolist() == [10 - left, 19 - left]

    @pytest.mark.parametrize("l0_per_px", [0.5, 1, 2, 3.7, 4])
    def test_a_border_is_drawn_on_the_pixel_that_holds_it(self, l0_per_px: float) -> None:
        rgb = canvas(120, 120)
        draw_overlay(rgb, 8.0, 0.0, l0_per_px, prepare_cells(make_cells([(31.2, 29.7)], [0.9], half=12), ASSAY))
        columns = np.flatnonzero((rgb != WHITE).any(axis=(0, 2)))
        rows = np.flatnonzero((rgb != WHITE).any(axis=(1, 2)))
        assert columns[0] == int((31.2 - 12 - 8) / l0_per_px)
        assert columns[-1] == int((31.2 + 12 - 8) / l0_per_px)
        assert rows[0] == int((29.7 - 12) / l0_per_px)
        assert rows[-1] == int((29.7 + 12) / l0_per_px)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 5), st.sampled_from([1.0, 2.0, 3.97]), st.integers(9, 40))
    def test_tiles_join_to_the_whole(self, seed: int, l0_per_px: float, tile: int) -> None:
        cells = prepare_cells(scattered_cells(60, 700, 600, seed=seed, half=11), ASSAY)
        hatched = prepare_areas([shapely.box(100, 100, 300, 420)])
        height, width = round(600 / l0_per_px), round(700 / l0_per_px)
        whole = canvas(height, width)
        draw_overlay(whole, 0, 0, l0_per_px, cells, hatched)
        joined = canvas(height, width)
        tile = tile * 8
        for y in range(0, height, tile):
            for x in range(0, width, tile):
                part = joined[y : y + tile, x : x + tile]
                draw_overlay(part, x * l0_per_px, y * l0_per_px, l0_per_px, cells, hatched)
        assert np.array_equal(whole, joined)

    def test_cells_far_away_and_cells_without_outline_draw_nothing(self) -> None:
        rgb = canvas(40, 40)
        draw_overlay(rgb, 0, 0, 1, prepare_cells(make_cells([(5000, 20), (20, 900)], [0.9, 0.9]), ASSAY))
        draw_overlay(rgb, 0, 0, 1, prepare_cells(make_cells([], []), ASSAY))
        bare = make_cells([(20, 20)], [0.9], cell_outlines=[np.empty((0, 2), np.int16)])
        draw_overlay(rgb, 0, 0, 1, prepare_cells(bare, ASSAY))
        assert (rgb == WHITE).all()

    def test_the_nucleus_can_be_drawn_instead(self) -> None:
        rgb = canvas(40, 40)
        draw_overlay(rgb, 0, 0, 1, prepare_cells(make_cells([(20.5, 20.5)], [0.9]), ASSAY, outline="nucleus"))
        assert np.flatnonzero((rgb != WHITE).any(axis=(0, 2))).tolist() == list(range(16, 25))


class TestKinds:
    @pytest.mark.parametrize("thickness_px", [1, 2, 3])
    @pytest.mark.parametrize("l0_per_px", [1.0, 2.0, 3.97])
    def test_an_image_of_kinds_has_each_outline_where_opencv_draws_it(
        self, l0_per_px: float, thickness_px: int
    ) -> None:
        reasons = [None, None, None, "qc: fold"] * 15
        table = scattered_cells(60, 500, 400, seed=3, half=11)
        table = table.set_column(table.schema.get_field_index("excluded"), "excluded", [reasons])
        cells, margin = prepare_cells(table, ASSAY), 40
        size = round(500 / l0_per_px), round(400 / l0_per_px)
        plain = np.zeros((size[1] + 2 * margin, size[0] + 2 * margin), np.uint8)
        for kind in (EXCLUDED_KIND, OTHER_KIND, 0, 1, 2, 3):
            for cell in np.flatnonzero(cells.kind == kind):
                ring = cells.outlines.points[cells.outlines.starts[cell] : cells.outlines.starts[cell + 1]]
                # An outline between two pixels lies on the inner one.
                px = np.array([cells.x_l0[cell], cells.y_l0[cell]], float) + ring - np.sign(ring) * l0_per_px / 16
                fixed = np.rint((px / l0_per_px - 0.5 + margin) * 256).astype(np.int32)
                cv2.polylines(plain, [fixed], True, 1 + kind, thickness_px, cv2.LINE_8, 8)
            if kind == EXCLUDED_KIND:
                rows, columns = np.indices(plain.shape) - margin
                plain[(rows + columns) % 4 >= 2] = 0
        found = paint_outlines(size, 0, 0, l0_per_px, cells, thickness_px=thickness_px)
        assert np.array_equal(found, plain[margin:-margin, margin:-margin])
        # And what is drawn on a picture is that image coloured.
        rgb = canvas(*found.shape)
        draw_overlay(rgb, 0, 0, l0_per_px, cells, thickness_px=thickness_px)
        coloured = np.array([(WHITE,) * 3, *KIND_COLOURS], np.uint8)[found]
        assert np.array_equal(rgb, coloured)

    def test_kinds_can_be_left_out_and_have_widths_of_their_own(self) -> None:
        cells = prepare_cells(make_cells([(20.5, 20.5), (60.5, 20.5)], [0.1, 0.9]), ASSAY)
        assert set(np.unique(paint_outlines((80, 40), 0, 0, 1, cells, shown=[0])).tolist()) == {0, 1}
        kinds = paint_outlines((80, 40), 0, 0, 1, cells, thickness_px=(1, 1, 1, 3, 1, 1))
        assert (kinds == 4).sum() > 2 * (kinds == 1).sum() > 0


class TestAreas:
    def test_hatching_stays_inside_and_leaves_holes_free(self) -> None:
        ring = shapely.box(10, 10, 90, 90) - shapely.box(30, 30, 70, 70)
        rgb = canvas(100, 100)
        draw_overlay(rgb, 0, 0, 1, None, prepare_areas([ring]))
        assert colours_of(rgb) == {HATCH_COLOUR}
        assert (rgb[31:69, 31:69] == WHITE).all()
        assert (rgb[:9] == WHITE).all()
        assert (rgb[12:28, 12:88] != WHITE).any()

    def test_touching_squares_become_one_area(self) -> None:
        squares = [shapely.box(x, 0, x + 64, 64) for x in (0, 64, 128)]
        assert len(prepare_areas(squares, merge=True).polygons) == 1
        assert len(prepare_areas(squares).polygons) == 3

    def test_an_area_beyond_the_image_draws_no_border_at_the_images_edge(self) -> None:
        rgb = canvas(50, 50)
        draw_overlay(rgb, 0, 0, 1, None, None, prepare_areas([shapely.box(-1000, -1000, 1000, 1000)]))
        assert (rgb == WHITE).all()

    def test_the_roi_is_outlined_in_its_colour(self) -> None:
        rgb = canvas(50, 50)
        draw_overlay(rgb, 0, 0, 1, None, None, prepare_areas([shapely.box(10, 10, 40, 40)]))
        assert tuple(rgb[10, 25]) == ROI_COLOUR
        assert (rgb[15:35, 15:35] == WHITE).all()

    def test_bow_ties_lines_and_nothing_are_taken(self) -> None:
        bow_tie = shapely.Polygon([(0, 0), (40, 40), (40, 0), (0, 40)])
        assert len(prepare_areas([bow_tie, shapely.LineString([(0, 0), (9, 9)])]).polygons) == 2
        assert len(prepare_areas([]).polygons) == len(prepare_areas([], merge=True).polygons) == 0


class TestDiscs:
    def test_discs_have_the_bins_colour_at_the_opacity(self) -> None:
        rgb = canvas(40, 40)
        draw_discs(rgb, 0, 0, 1, prepare_cells(make_cells([(20.5, 20.5)], [0.9]), ASSAY), radius_l0=6, opacity=0.6)
        expected = 0.6 * np.array(BIN_COLOURS[3]) + 0.4 * WHITE
        assert np.abs(rgb[20, 20] - expected).max() <= 1
        assert np.flatnonzero((rgb != WHITE).any(axis=(0, 2))).mean() == 20

    def test_dots_below_a_pixel_are_mixed_by_their_area(self) -> None:
        cells = prepare_cells(make_cells([(205, 105), (206, 106)], [0.1, 0.9]), ASSAY)
        rgb = canvas(20, 40)
        draw_discs(rgb, 0, 0, 10, cells, radius_l0=3, opacity=1.0)
        alpha = 2 * np.pi * 0.3**2
        expected = alpha * np.mean([BIN_COLOURS[0], BIN_COLOURS[3]], axis=0) + (1 - alpha) * WHITE
        assert np.abs(rgb[10, 20] - expected).max() <= 1
        assert ((rgb != WHITE).any(axis=2)).sum() == 1

    def test_excluded_cells_have_no_disc(self) -> None:
        rgb = canvas(40, 40)
        draw_discs(rgb, 0, 0, 1, prepare_cells(make_cells([(20, 20)], [0.9], excluded=["pen"]), ASSAY), radius_l0=6)
        assert (rgb == WHITE).all()


def test_a_tile_with_500_cells_among_many_is_drawn_in_a_few_milliseconds() -> None:
    cells = prepare_cells(scattered_cells(100_000, 28_963, 28_963, half=14), ASSAY)
    assert square(14).shape == (4, 2)
    rgb = canvas(512, 512)
    best = min(_seconds(lambda: draw_overlay(rgb, 8000, 8000, 4, cells)) for _ in range(5))
    assert best < 0.03  # 2 to 4 ms on an idle core


def _seconds(function: object) -> float:
    start = time.perf_counter()
    function()  # type: ignore[operator]
    return time.perf_counter() - start
