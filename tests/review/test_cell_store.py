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

from classical_assay import classical_assay
from report.made_cells import make_cells, square
from review.made_folder import make_record, star, write_cells
from slidescore.cells.table import floats, replace_column, unpack_outlines
from slidescore.errors import InputError, RunFolderError
from slidescore.qc.cell_drawing import EXCLUDED_KIND, OTHER_KIND, prepare_cells
from slidescore.review.cell_columns import read_outlines
from slidescore.review.cell_store import CellStore
from slidescore.review.preview import preview_assay
from slidescore.review.slide_cells import SlideCells, load_cells
from slidescore.scoring import BinCounts, Corrections, no_corrections, score_cells

ASSAY = classical_assay()
SIDE = 3000


def made_table(n: int = 800, seed: int = 0, *, side: int = SIDE) -> pa.Table:
    """Cells of all kinds: of every bin, unmeasured, other, excluded for reasons of every sort."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, side, (n, 2))
    od = rng.uniform(0, 1, (4, n)).astype(np.float32)
    od[:3][rng.random((3, n)) < 0.1] = np.nan
    od[3][rng.random(n) < 0.02] = np.nan
    # Some lie exactly on a threshold, which belongs to the upper bin.
    od[:, : n // 20] = np.float32(0.4)
    reasons = np.array([None, "qc: fold", "annotation: exclude", "annotation: control"], dtype=object)
    cells = make_cells(
        [tuple(center) for center in centers.tolist()],
        od[3].tolist(),
        tumor=[None if value < 0.1 else 0.0 if value < 0.3 else value for value in rng.random(n).tolist()],
        excluded=reasons[rng.choice(4, n, p=[0.85, 0.05, 0.05, 0.05])].tolist(),
        cell_outlines=[star(rng, 14) for _ in range(n)],
    )
    for name, values in zip(("nucleus", "cytoplasm", "membrane", "cell"), od, strict=True):
        cells = replace_column(cells, f"dab_od_{name}", pa.array(values, pa.float32(), from_pandas=True))
    return cells


def made_corrections(n: int, seed: int = 1) -> Corrections:
    rng = np.random.default_rng(seed)
    corrections = no_corrections(n)
    corrections.bins[rng.random(n) < 0.1] = rng.integers(0, 4)
    corrections.bins[rng.random(n) < 0.1] = 3
    corrections.tumor[:] = rng.choice([-1, 0, 1], n, p=[0.8, 0.1, 0.1])
    corrections.counted[:] = rng.choice([-1, 0, 1], n, p=[0.8, 0.1, 0.1])
    return corrections


def loaded(folder: Path, cells: pa.Table, mpp: float = 0.5) -> SlideCells:
    write_cells(folder, cells)
    return load_cells(folder, make_record(mpp), ASSAY)


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
        seen, scores = cells.seen(corrections, thresholds), cells.scores(corrections, thresholds)
        counts = cells.counts(seen)
        assert (counts.n_cells, counts.n_tumor_cells, counts.bins) == (
            scores.n_cells, scores.n_tumor_cells, scores.counts,
        )  # fmt: skip
        assert counts.n_cells + counts.n_excluded == cells.n
        assert BinCounts(*np.bincount(seen.kind, minlength=6)[:4].tolist()) == scores.counts
        assert int((seen.fallback & seen.tumor & seen.counted).sum()) == scores.n_fallback
        if not corrected:
            assert scores == score_cells(table, preview_assay(ASSAY, thresholds))

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
        counts = cells.counts(cells.seen(), ids)
        assert (counts.n_cells, counts.n_tumor_cells, counts.bins) == (
            scores.n_cells, scores.n_tumor_cells, scores.counts,
        )  # fmt: skip
        assert cells.scores(ids=ids) == scores

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
        assert cells.counts(cells.seen()).n_tumor_cells == 0


class TestColumns:
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

    @pytest.mark.parametrize(("reach", "dtype"), [(100, np.int8), (2000, np.int16)])
    def test_outlines_are_held_in_bytes_where_they_fit(self, tmp_path: Path, reach: int, dtype: type) -> None:
        rng = np.random.default_rng(0)
        # More than one batch; the only large one comes late, and some have no points at all.
        outlines = [square(3)] * 20_000
        outlines[5], outlines[19_000] = np.empty((0, 2), np.int16), star(rng, reach)
        table = make_cells([(9.0, 9.0)] * 20_000, [0.5] * 20_000, cell_outlines=outlines)
        nuclei = [None, *table.column("nucleus_outline").to_pylist()[1:]]
        table = replace_column(table, "nucleus_outline", pa.array(nuclei, pa.list_(pa.int16())))
        write_cells(tmp_path, table)
        for part in ("cell", "nucleus"):
            starts, points = unpack_outlines(table.column(f"{part}_outline"))
            read = read_outlines(tmp_path / "cells.parquet", part)
            assert np.array_equal(read.starts, starts)
            assert np.array_equal(read.points, points)
            assert read.reach_l0 == np.abs(points.astype(int)).max()
        assert read_outlines(tmp_path / "cells.parquet", "cell").points.dtype == dtype

    def test_outlines_come_when_asked_for_and_go(self, cells: SlideCells) -> None:
        bare = cells.nbytes
        assert not cells.has_outlines("cell")
        ring = cells.outline(3, "cell")
        assert cells.has_outlines("cell")
        assert not cells.has_outlines("nucleus")
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


class TestStore:
    @pytest.fixture
    def slides(self, tmp_path: Path) -> dict[str, SlideCells]:
        made = {}
        for name in "abcd":
            (tmp_path / name).mkdir()
            made[name] = loaded(tmp_path / name, made_table(400, side=1000))
        return made

    def test_outlines_of_other_slides_go_first_and_then_the_slides(self, slides: dict[str, SlideCells]) -> None:
        bare = slides["a"].nbytes
        slides["a"].outlines("cell")
        whole = slides["a"].nbytes
        slides["a"].let_outlines_go()
        store = CellStore(limit=2 * whole + bare // 2)
        for name in "abc":
            store.get(name, lambda name=name: slides[name]).outlines("cell")
            store.trim()
        assert [slides[name].has_outlines("cell") for name in "abc"] == [False, False, True]
        asked = []
        for name in "abc":
            assert store.get(name, lambda name=name: asked.append(name) or slides[name]) is slides[name]
        assert asked == []

    def test_where_outlines_are_not_enough_the_oldest_slides_go(self, slides: dict[str, SlideCells]) -> None:
        store, asked = CellStore(limit=int(3.5 * slides["a"].nbytes)), []

        def get(name: str) -> SlideCells:
            return store.get(name, lambda: asked.append(name) or slides[name])

        for name in "abcad":
            get(name)
        assert asked == ["a", "b", "c", "d"]
        get("a")
        get("b")
        assert asked == ["a", "b", "c", "d", "b"]

    def test_the_one_asked_for_last_stays_whatever_it_takes(self, slides: dict[str, SlideCells]) -> None:
        store, asked = CellStore(limit=1), []
        for name in "aab":
            cells = store.get(name, lambda name=name: asked.append(name) or slides[name])
            cells.outlines("cell")
            store.trim()
            assert cells.has_outlines("cell")
        assert asked == ["a", "b"]

    def test_many_who_ask_at_once_load_it_once_and_failures_are_not_kept(self, slides: dict[str, SlideCells]) -> None:
        store, loads, lock = CellStore(), [], threading.Lock()

        def fail() -> SlideCells:
            raise RunFolderError("cannot be read")

        with pytest.raises(RunFolderError):
            store.get("a", fail)

        def load() -> SlideCells:
            with lock:
                loads.append(1)
            return slides["a"]

        with ThreadPoolExecutor(6) as pool:
            assert {id(found) for found in pool.map(lambda _: store.get("a", load), range(30))} == {id(slides["a"])}
        assert loads == [1]
        store.forget("a")
        store.get("a", load)
        assert loads == [1, 1]
