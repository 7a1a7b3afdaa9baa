"""From a slide to its measurements: one story, whatever the slide, the threads and the mishaps."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest

import phantom as ph
from slidescore.annotations import NO_ANNOTATIONS
from slidescore.assay import Assay
from slidescore.cells import CELL_SCHEMA
from slidescore.cells.table import floats
from slidescore.errors import MissingResolutionError, SlideOpenError
from slidescore.pipeline.analysis import SlideAnalysis, analyze_slide
from slidescore.pipeline.judge import SlideIdentity, judge_slide
from slidescore.pipeline.survey import survey_slide
from slidescore.pipeline.tile_table import TILE_SCHEMA
from slidescore.slide import ArrayReader

MPP = 0.5
MEASURED = (
    "nucleus_area_um2", "cell_area_um2", "nucleus_eccentricity", "hematoxylin_od_nucleus", "dab_od_nucleus",
    "dab_od_cytoplasm", "dab_od_membrane", "dab_od_cell",
)  # fmt: skip


@pytest.fixture(scope="session")
def small_tiles(assay: Assay, change) -> Assay:
    """The default assay with tiles so small that an island has many."""
    return change(assay, {"tiles.core_px": 256, "tiles.halo_um": 40.0})


@pytest.fixture(scope="session")
def of_island(island: ph.Phantom, small_tiles: Assay) -> SlideAnalysis:
    """The island, measured once by one thread."""
    return analyze_slide(lambda: ArrayReader(island.rgb, mpp=MPP), small_tiles)


def xy(analysis: SlideAnalysis) -> np.ndarray:
    return np.stack([floats(analysis.cells, "x"), floats(analysis.cells, "y")], axis=1).astype(float)


def facts_without_reader(analysis: SlideAnalysis) -> dict[str, Any]:
    return {part: values for part, values in analysis.facts.items() if part != "slide"}


def test_a_slide_is_measured_cell_by_cell(of_island, island):
    assert of_island.cells.schema == CELL_SCHEMA
    assert of_island.tiles.schema == TILE_SCHEMA
    found = ph.match_points(island.truth.xy, xy(of_island), 5 / MPP)
    assert found.recall > 0.8
    assert found.precision > 0.85
    assert of_island.facts["stains"]["white_source"] == "glass"
    assert of_island.facts["slide"]["mpp_source"] == "file"
    assert of_island.facts["degradations"] == []


def test_ids_are_unique_and_rows_sorted(of_island):
    rows = list(zip(*(of_island.cells.column(name).to_pylist() for name in ("tile", "y", "x")), strict=True))
    assert rows == sorted(rows)
    assert of_island.cells.column("cell_id").to_pylist() == list(range(len(rows)))


def test_the_ledger_counts_every_cell_and_all_tissue(of_island, island, assay):
    tiles = of_island.tiles
    assert sum(tiles.column("n_cells").to_pylist()) == of_island.cells.num_rows
    assert tiles.num_rows == of_island.facts["analysis"]["n_tiles"] > 5
    mask = survey_slide(ArrayReader(island.rgb, mpp=MPP), assay).tissue
    assert sum(tiles.column("tissue_um2").to_pylist()) == pytest.approx(mask.area_um2, rel=0.01)
    assert set(tiles.column("status").to_pylist()) == {"scored"}
    assert max(tiles.column("tissue_fraction").to_pylist()) <= 1


def test_facts_can_be_written_as_json(of_island):
    assert orjson.loads(orjson.dumps(of_island.facts)) == of_island.facts


def test_threads_change_nothing(of_island, island, small_tiles):
    many = analyze_slide(lambda: ArrayReader(island.rgb, mpp=MPP), small_tiles, threads=4)
    assert many.cells.equals(of_island.cells)
    assert many.tiles.equals(of_island.tiles)
    assert many.facts == of_island.facts


def test_a_slide_at_twice_the_resolution_has_the_same_cells_at_twice_the_place(of_island, island, small_tiles):
    fine = np.repeat(np.repeat(island.rgb, 2, axis=0), 2, axis=1)
    analysis = analyze_slide(lambda: ArrayReader(fine, mpp=MPP / 2), small_tiles, threads=2)
    np.testing.assert_array_equal(xy(analysis), 2 * xy(of_island))
    for name in MEASURED:
        np.testing.assert_array_equal(floats(analysis.cells, name), floats(of_island.cells, name), err_msg=name)
    assert analysis.facts["analysis"]["factor"] == 2.0


def test_the_nearest_finer_level_is_read(of_island, island, small_tiles):
    fine = np.repeat(np.repeat(island.rgb, 2, axis=0), 2, axis=1)
    # Level 1 is the island itself; level 0 is of another colour, so that reading it would show.
    analysis = analyze_slide(lambda: ArrayReader(fine // 2, mpp=MPP / 2, levels=[island.rgb]), small_tiles, threads=2)
    assert analysis.facts["analysis"]["level"] == 1
    np.testing.assert_array_equal(xy(analysis), 2 * xy(of_island))
    np.testing.assert_array_equal(floats(analysis.cells, "dab_od_cell"), floats(of_island.cells, "dab_od_cell"))


def test_progress_ends_at_the_end(island, small_tiles, of_island):
    told: list[tuple[int, int, int]] = []
    analyze_slide(
        lambda: ArrayReader(island.rgb, mpp=MPP), small_tiles, threads=2, on_progress=lambda *step: told.append(step)
    )
    total = of_island.facts["analysis"]["n_tiles"]
    assert [done for done, _, _ in told] == list(range(1, total + 1))
    assert {of for _, of, _ in told} == {total}
    cells = [n for _, _, n in told]
    assert cells == sorted(cells)
    assert cells[-1] >= of_island.cells.num_rows - of_island.facts["analysis"]["n_seam_restored"]


PLAIN = np.full((40, 40, 3), 240, np.uint8)


def test_a_slide_without_resolution_is_refused(assay):
    with pytest.raises(MissingResolutionError, match="no resolution") as caught:
        analyze_slide(lambda: ArrayReader(PLAIN), assay)
    assert "--mpp" in str(caught.value)


@pytest.mark.parametrize("mpp", [(0.5, 0.53), (0.04, 0.04), (2.5, 2.5)])
def test_a_resolution_that_cannot_be_true_is_refused(assay, mpp):
    with pytest.raises(MissingResolutionError):
        analyze_slide(lambda: ArrayReader(PLAIN, mpp=mpp), assay)


def test_axes_may_differ_a_little_and_their_mean_is_used(assay):
    facts = analyze_slide(lambda: ArrayReader(PLAIN, mpp=(0.49, 0.51)), assay).facts["slide"]
    assert (facts["mpp_x"], facts["mpp_y"], facts["mpp"], facts["mpp_source"]) == (0.49, 0.51, 0.5, "file")


@pytest.mark.parametrize("stated", [None, 0.25, (0.2, 0.4)])
def test_a_supplied_resolution_wins_and_is_recorded(assay, stated):
    facts = analyze_slide(lambda: ArrayReader(PLAIN, mpp=stated), assay, mpp=0.5).facts["slide"]
    assert (facts["mpp"], facts["mpp_source"]) == (0.5, "supplied")


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (PLAIN, "no tissue"),
        (np.zeros((300, 200, 3), np.uint8), "stain is not DAB with hematoxylin: dark field, looks like fluorescence"),
        (np.full((1, 1, 3), 128, np.uint8), "no tissue"),
        (np.zeros((64, 64, 4), np.uint8), "no tissue"),
    ],
    ids=["glass", "black", "one pixel", "transparent"],
)
def test_a_slide_without_tissue_has_empty_tables_and_no_call(assay, pixels, reason):
    analysis = analyze_slide(lambda: ArrayReader(pixels, mpp=MPP), assay)
    assert analysis.cells.equals(CELL_SCHEMA.empty_table())
    assert analysis.tiles.equals(TILE_SCHEMA.empty_table())
    row = judge_slide(analysis, assay, SlideIdentity("x", "x")).row
    assert (row["status"], row["call"], row["reason"]) == ("not_evaluable", "NOT_EVALUABLE", reason)
    assert (row["h_score"], row["n_cells"]) == (None, 0)


SQUARE = (300, 340, 120)
"""x, y and side of a square in the island's tissue, in px."""


def rgba_of(rgb: np.ndarray, under: int) -> np.ndarray:
    """The picture with a transparent square; what is under the alpha means nothing."""
    x, y, side = SQUARE
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    rgba[y : y + side, x : x + side] = (under, under, under, 0)
    return rgba


def distance_to_square(points: np.ndarray) -> np.ndarray:
    x, y, side = SQUARE
    over = np.maximum(np.maximum(np.array([x, y]) - points, points - np.array([x, y]) - side), 0)
    return np.hypot(*over.T)


def test_transparent_places_are_never_scored_and_never_black(island, small_tiles, of_island):
    black, white = (
        analyze_slide(lambda under=under: ArrayReader(rgba_of(island.rgb, under), mpp=MPP), small_tiles, threads=2)
        for under in (0, 255)
    )
    assert black.cells.equals(white.cells)
    assert black.tiles.equals(white.tiles)
    assert (distance_to_square(xy(of_island)) == 0).sum() > 5
    assert distance_to_square(xy(black)).min() > 0
    # Farther than a halo from the square nothing has changed; near it cells may be cut.
    far_um = small_tiles.tiles.halo_um
    far, far_before = (distance_to_square(xy(a)) * MPP > far_um for a in (black, of_island))
    assert far.sum() > 100
    for name in ("x", "y", *MEASURED):
        np.testing.assert_array_equal(
            floats(black.cells, name)[far], floats(of_island.cells, name)[far_before], err_msg=name
        )
    # No more brown in any tile than there was: black would read as DAB of more than 1 OD.
    before, after = (np.array(a.tiles.column("dab_histogram").to_pylist())[:, 150:].sum() for a in (of_island, black))
    assert after <= before


def test_missing_tissue_is_counted_as_missing(island, small_tiles):
    analysis = analyze_slide(lambda: ArrayReader(rgba_of(island.rgb, 0), mpp=MPP), small_tiles)
    missing = sum(analysis.tiles.column("missing_um2").to_pylist())
    assert missing == pytest.approx((SQUARE[2] * MPP) ** 2, rel=0.02)
    row = judge_slide(analysis, small_tiles, SlideIdentity("x", "x")).row
    assert row["call"] == "NOT_EVALUABLE"
    assert "has no pixels" in row["reason"]


class Breaking(ArrayReader):
    """A slide with one place that cannot be read; as OpenSlide's, its errors are sticky."""

    def __init__(self, pixels: np.ndarray, broken: Callable[[int, int, int, int], Exception | None]) -> None:
        super().__init__(pixels, mpp=MPP)
        self._broken, self._error = broken, None
        self.closed = False

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> np.ndarray:
        self._error = self._error or self._broken(*location, *size)
        if self._error is not None:
            raise self._error
        return super().read_region(location, level, size)

    def close(self) -> None:
        self.closed = True
        super().close()


def opener(rgb: np.ndarray, broken: Callable[[int, int, int, int], Exception | None]):
    readers: list[Breaking] = []

    def open_reader() -> Breaking:
        readers.append(Breaking(rgb, broken))
        return readers[-1]

    return open_reader, readers


def damaged_at(px: int, py: int) -> Callable[[int, int, int, int], Exception | None]:
    """Refuse tile reads that touch a point; the survey reads the whole slide at once and is let through."""

    def broken(x: int, y: int, width: int, height: int) -> Exception | None:
        hit = x <= px < x + width and y <= py < y + height and width < 700
        return SlideOpenError("tile is damaged", where="a.svs") if hit else None

    return broken


def test_a_tile_that_cannot_be_read_costs_itself_only(island, small_tiles, of_island):
    # (380, 380) lies in the core of tile 4 and in no other tile's halo.
    open_reader, readers = opener(island.rgb, damaged_at(380, 380))
    analysis = analyze_slide(open_reader, small_tiles)
    status = dict(zip(*(analysis.tiles.column(n).to_pylist() for n in ("tile", "status")), strict=True))
    assert [tile for tile, what in status.items() if what != "scored"] == [4]
    assert status[4] == "failed"
    [failed] = [row for row in analysis.tiles.to_pylist() if row["status"] == "failed"]
    assert (failed["reason"], failed["scored_um2"]) == ("tile is damaged", 0.0)
    assert failed["tissue_um2"] > 0
    others = of_island.cells.filter(np.array(of_island.cells.column("tile")) != 4)
    kept = {tuple(point) for point in xy(analysis).tolist()}
    assert len(
        kept & {tuple(p) for p in zip(floats(others, "x").tolist(), floats(others, "y").tolist(), strict=True)}
    ) == (others.num_rows)
    assert analysis.facts["degradations"] == ["1 tiles could not be read: tile is damaged"]
    assert all(reader.closed for reader in readers)


def test_a_failed_tile_has_no_cells_not_even_those_its_neighbours_saw(island, small_tiles):
    open_reader, _ = opener(island.rgb, damaged_at(380, 380))
    analysis = analyze_slide(open_reader, small_tiles)
    inside = np.array(analysis.cells.column("tile")) == 4
    assert not inside.any()


def test_one_hiccup_costs_nothing(island, small_tiles, of_island):
    hits = []

    def once(x: int, y: int, width: int, height: int) -> Exception | None:
        if hits or damaged_at(380, 380)(x, y, width, height) is None:
            return None
        hits.append((x, y))
        return SlideOpenError("tile is damaged", where="a.svs")

    open_reader, readers = opener(island.rgb, once)
    analysis = analyze_slide(open_reader, small_tiles)
    # One for the survey, one for the thread, and the one that replaced it.
    assert len(readers) == 3
    assert analysis.cells.equals(of_island.cells)
    assert analysis.facts["degradations"] == []


def test_another_error_stops_the_slide_and_closes_its_readers(island, small_tiles):
    def broken(x: int, y: int, width: int, height: int) -> Exception | None:
        return ZeroDivisionError("a bug") if width < 700 else None

    open_reader, readers = opener(island.rgb, broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        analyze_slide(open_reader, small_tiles, threads=2)
    assert readers
    assert all(reader.closed for reader in readers)


def test_a_slide_that_cannot_be_surveyed_is_an_error(island, small_tiles):
    open_reader, readers = opener(island.rgb, lambda *region: SlideOpenError("is damaged", where="a.svs"))
    with pytest.raises(SlideOpenError, match="is damaged"):
        analyze_slide(open_reader, small_tiles)
    assert all(reader.closed for reader in readers)


def test_stains_are_estimated_where_the_assay_asks_for_it(island, small_tiles, change):
    estimating = change(small_tiles, {"stains.vectors": "estimated"})
    stains = analyze_slide(lambda: ArrayReader(island.rgb, mpp=MPP), estimating, threads=2).facts["stains"]
    assert stains["vectors_source"] == "estimated"
    assert stains["estimate"]["used"]
    assert stains["estimate"]["turn_degrees"] < 3
    assert stains["hematoxylin"] != list(small_tiles.stains.hematoxylin)


def test_a_negative_slide_falls_back_to_the_fixed_vectors(small_tiles, change):
    estimating = change(small_tiles, {"stains.vectors": "estimated"})
    unstained = ph.draw_phantom(ph.negative_spec(3, n_cells=120)).rgb
    stains = analyze_slide(lambda: ArrayReader(unstained, mpp=MPP), estimating, threads=2).facts["stains"]
    assert stains["vectors_source"] == "fallback"
    assert stains["estimate"]["reason"]
    assert stains["dab"] == list(small_tiles.stains.dab)


def test_metadata_that_may_name_a_patient_is_not_kept(assay):
    secret = {"aperio.ScanScope ID": "SS1234", "aperio.Patient": "Jane Doe", "tiff.ImageDescription": "Jane Doe"}
    facts = analyze_slide(lambda: ArrayReader(PLAIN, mpp=MPP, properties=secret), assay).facts
    # A serial number is digested: it tells scanners apart and names nobody.
    assert re.fullmatch("unlisted-[0-9a-f]{8}", facts["slide"]["scanner"])
    assert not re.search(b"Jane|SS1234", orjson.dumps(facts))


def test_nothing_drawn_gives_no_regions(of_island):
    assert of_island.region_areas == {}
    assert NO_ANNOTATIONS.region_names == []
