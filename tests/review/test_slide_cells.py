"""Cells of a slide for the app against the slow ways: the cell table, score_cells and shapely."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from report.made_cells import make_cells, square
from review.made_folder import make_record, star, write_cells
from review.made_slide_cells import ASSAY, SIDE, loaded, made_corrections, made_table
from slidescore.cells.table import floats, unpack_outlines
from slidescore.errors import InputError, RunFolderError
from slidescore.qc.cell_drawing import EXCLUDED_KIND, OTHER_KIND, prepare_cells
from slidescore.review.cell_columns import read_outlines
from slidescore.review.preview import preview_assay
from slidescore.review.seen_cells import count_cells
from slidescore.review.slide_cells import SlideCells, load_cells
from slidescore.scoring import BinCounts, corrected_cells, no_corrections, score_cells


@pytest.fixture
def table() -> pa.Table:
    return made_table()


@pytest.fixture
def cells(tmp_path: Path, table: pa.Table) -> SlideCells:
    return loaded(tmp_path, table)


class TestSeen:
    def test_kinds_are_those_that_overlay_tiff_is_drawn_with(self, cells: SlideCells, table: pa.Table) -> None:
        seen = cells.seen()
        assert np.array_equal(seen.kind, prepare_cells(table, ASSAY).kind)
        assert {*np.unique(seen.kind).tolist()} == {0, 1, 2, 3, OTHER_KIND, EXCLUDED_KIND}
        assert not seen.corrected.any()

    @pytest.mark.parametrize("thresholds", [None, (0.1, 0.4, 0.9)])
    @pytest.mark.parametrize("corrected", [False, True])
    def test_counts_are_score_cells_own(
        self, cells: SlideCells, table: pa.Table, thresholds: tuple[float, float, float] | None, corrected: bool
    ) -> None:
        corrections = made_corrections(cells.n) if corrected else None
        seen, assay = cells.seen(corrections, thresholds), preview_assay(ASSAY, thresholds)
        if corrections:
            scores = score_cells(corrected_cells(table, corrections), assay, corrected_bins=corrections.bins)
        else:
            scores = score_cells(table, assay)
            assert cells.scores(thresholds) == scores
        counts = count_cells(seen)
        assert (counts.n_cells, counts.n_tumor_cells, counts.bins) == (
            scores.n_cells, scores.n_tumor_cells, scores.counts,
        )  # fmt: skip
        assert counts.n_cells + counts.n_excluded == cells.n
        assert BinCounts(*np.bincount(seen.kind, minlength=6)[:4].tolist()) == scores.counts
        assert int((seen.fallback & seen.tumor & seen.counted).sum()) == scores.n_fallback

    def test_reviewed_cells_take_the_kind_that_was_given(self, cells: SlideCells) -> None:
        corrections, plain = no_corrections(cells.n), cells.seen()
        three, other, out = (int(np.flatnonzero(plain.kind == kind)[0]) for kind in range(3))
        corrections.bins[three], corrections.tumor[other], corrections.counted[out] = 3, 0, 0
        seen = cells.seen(corrections)
        assert [seen.kind[three], seen.kind[other], seen.kind[out]] == [3, OTHER_KIND, EXCLUDED_KIND]
        changed = np.flatnonzero(seen.kind != plain.kind)
        assert changed.tolist() == sorted([three, other, out])
        # A region is drawn as such: its cells carry no mark.
        assert np.flatnonzero(seen.corrected).tolist() == sorted([three, other])

    def test_the_same_question_is_answered_once(self, cells: SlideCells) -> None:
        first, second = made_corrections(cells.n, 1), made_corrections(cells.n, 2)
        assert cells.seen(first) is cells.seen(first)
        assert cells.seen(first) is not cells.seen(second)
        assert cells.seen(first) is not cells.seen(first, (0.1, 0.2, 0.3))
        kept = cells.seen(first)
        for step in range(5):
            cells.seen(None, (0.1, 0.2, 0.3 + step))
        assert cells.seen(first) is not kept
        assert np.array_equal(cells.seen(first).kind, kept.kind)

    def test_thresholds_that_do_not_rise_are_refused(self, cells: SlideCells) -> None:
        for bad in ((0.3, 0.2, 0.4), (0.0, 0.2, 0.4), (0.1, 0.2, float("inf")), (0.1, float("nan"), 0.4)):
            with pytest.raises(InputError, match="must be positive and rise"):
                cells.seen(None, bad)

    def test_a_cutoff_off_its_scale_is_refused(self) -> None:
        assert preview_assay(ASSAY, cutoff=120).call.cutoff.value == 120
        with pytest.raises(InputError, match="outside 0 to 300"):
            preview_assay(ASSAY, cutoff=301)
        assert preview_assay(ASSAY) is ASSAY


class TestPlaces:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10_000), st.integers(3, 30))
    def test_cells_in_a_polygon_and_their_counts_are_those_of_the_slow_way(
        self, tmp_path_factory: pytest.TempPathFactory, seed: int, corners: int
    ) -> None:
        table = made_table(300, 5)
        cells = loaded(tmp_path_factory.mktemp("a"), table)
        rng = np.random.default_rng(seed)
        ring = rng.uniform(-200, SIDE + 200, 2) + star(rng, rng.integers(300, 2500), corners).astype(float)
        inside = shapely.contains_xy(
            shapely.make_valid(shapely.Polygon(ring)),
            floats(table, "x").astype(float),
            floats(table, "y").astype(float),
        )
        ids = cells.ids_in(ring)
        assert ids.tolist() == np.flatnonzero(inside).tolist()
        scores = score_cells(table, ASSAY, only=inside)
        counts = count_cells(cells.seen(), ids)
        assert (counts.n_cells, counts.n_tumor_cells, counts.bins) == (
            scores.n_cells, scores.n_tumor_cells, scores.counts,
        )  # fmt: skip

    @pytest.mark.parametrize(
        "box", [(0, 0, SIDE, SIDE), (-50, 100, 700.5, 900), (2000, 2000, 9000, 9000), (5, 5, 5, 5)]
    )
    def test_cells_in_a_box(self, cells: SlideCells, box: tuple[float, float, float, float]) -> None:
        x, y = cells.x_l0, cells.y_l0
        inside = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
        assert cells.ids_in_box(*box).tolist() == np.flatnonzero(inside).tolist()

    def test_a_click_hits_the_outline_it_lies_in(self, cells: SlideCells, table: pa.Table) -> None:
        starts, points = unpack_outlines(table.column("cell_outline"))
        centers = np.stack([cells.x_l0, cells.y_l0], axis=1)
        rings = [points[starts[cell] : starts[cell + 1]] + centers[cell] for cell in range(cells.n)]
        polygons = np.array([shapely.Polygon(ring) for ring in rings])
        rng = np.random.default_rng(3)
        n_hit = 0
        for x, y in rng.uniform(0, SIDE, (300, 2)).tolist():
            distance = np.hypot(cells.x_l0 - x, cells.y_l0 - y)
            hit = np.flatnonzero(shapely.intersects_xy(polygons, x, y))
            near = np.flatnonzero(distance * cells.mpp <= 6.0)
            expected = min(hit if hit.size else near, key=lambda cell: distance[cell], default=None)
            assert cells.cell_at(x, y) == expected
            n_hit += hit.size > 0
        assert 5 < n_hit < 200

    def test_a_cell_without_an_outline_is_hit_by_its_centre(self, tmp_path: Path) -> None:
        table = make_cells([(100, 100), (400, 100)], [0.5, 0.5], cell_outlines=[np.empty((0, 2), np.int16), square(8)])
        cells = loaded(tmp_path, table)
        assert cells.cell_at(108, 100) == 0
        assert cells.cell_at(113, 100) is None
        assert cells.cell_at(407.9, 107.9) == 1
        assert cells.cell_at(-1e9, 1e12) is None

    def test_of_no_cells_there_is_nothing(self, tmp_path: Path) -> None:
        cells = loaded(tmp_path, make_cells([], []))
        assert cells.n == 0
        assert cells.cell_at(1, 1) is None
        assert cells.ids_in_box(0, 0, 9, 9).size == 0
        assert cells.ids_in(np.array([(0.0, 0.0), (9, 0), (9, 9)])).size == 0
        assert count_cells(cells.seen()).n_tumor_cells == 0


class TestMeasures:
    def test_a_cells_row_is_the_tables(self, cells: SlideCells, table: pa.Table) -> None:
        rows = table.to_pylist()
        for cell in range(0, cells.n, 37):
            for name, value in cells.measures(cell).items():
                assert value == rows[cell][name]
        with pytest.raises(IndexError):
            cells.measures(cells.n)

    def test_outlines_lie_around_their_cell(self, cells: SlideCells, table: pa.Table) -> None:
        for part in ("cell", "nucleus"):
            for cell in (0, 7, cells.n - 1):
                offsets = np.array(table.column(f"{part}_outline")[cell].as_py(), float).reshape(-1, 2)
                center = np.array([cells.x_l0[cell], cells.y_l0[cell]])
                assert np.array_equal(cells.outline(cell, part), offsets + center)

    def test_outlines_come_when_asked_for_and_go(self, cells: SlideCells) -> None:
        bare = cells.nbytes
        ring = cells.outline(3, "cell")
        assert cells.nbytes > bare + 100 * cells.n / 4
        cells.let_outlines_go()
        assert cells.nbytes == bare
        assert np.array_equal(cells.outline(3, "cell"), ring)

    def test_a_file_that_is_gone_damaged_or_another_one_is_said(self, tmp_path: Path, table: pa.Table) -> None:
        cells, path = loaded(tmp_path, table), tmp_path / "cells.parquet"
        write_cells(tmp_path, table.slice(1))
        with pytest.raises(RunFolderError, match="not the table"):
            cells.outlines("cell")
        path.write_bytes(b"PAR1" + bytes(500))
        for ask in (lambda: cells.outlines("cell"), lambda: load_cells(tmp_path, make_record(), ASSAY)):
            with pytest.raises(RunFolderError, match=r"^cells\.parquet: cannot be read") as said:
                ask()
            assert str(tmp_path) not in str(said.value)
        path.unlink()
        with pytest.raises(RunFolderError, match="cannot be read"):
            cells.outlines("cell")

    def test_many_threads_read_outlines_once(self, cells: SlideCells, monkeypatch: pytest.MonkeyPatch) -> None:
        reads, lock = [], threading.Lock()

        def read(path: Path, part: str) -> object:
            with lock:
                reads.append(part)
            return read_outlines(path, part)

        monkeypatch.setattr("slidescore.review.slide_cells.read_outlines", read)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda cell: cells.outline(cell, "cell"), range(60)))
        assert reads == ["cell"]
