"""One tile: it keeps its own cells, shows its neighbours theirs, and accounts for every pixel of its core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
import shapely

import phantom as ph
from slidescore.annotations import NO_ANNOTATIONS, AnnotationSet, Area
from slidescore.assay import Assay
from slidescore.cells.table import floats, unpack_outlines
from slidescore.pipeline.segmenters import build_segmenter
from slidescore.pipeline.survey import lay_squares, survey_slide
from slidescore.pipeline.tile import failed_tile, score_tile
from slidescore.pipeline.tile_parts import TileContext, TileResult
from slidescore.slide import ArrayReader
from slidescore.tiles import plan_tiles

CORE_PX = 256
MPP = 0.5
PIXEL_UM2 = MPP**2


@pytest.fixture(scope="session")
def scored(island: ph.Phantom, assay: Assay) -> Callable[..., tuple[TileResult, TileContext]]:
    """Score the tile of a phantom in which most happens: the second of the second row."""

    def score(
        annotations: AnnotationSet = NO_ANNOTATIONS, *, failed: str = "", rgb: np.ndarray | None = None
    ) -> tuple[TileResult, TileContext]:
        reader = ArrayReader(island.rgb if rgb is None else rgb, mpp=MPP)
        afar = survey_slide(reader, assay)
        plan = plan_tiles(afar.grid, afar.tissue, core_px=CORE_PX, halo_um=assay.tiles.halo_um)
        context = TileContext(
            afar.grid, plan, afar.tissue, annotations, afar.white.rgb, afar.vectors, build_segmenter(assay),
            assay.cells, assay.stains, assay.tiles, lay_squares(afar, assay),
        )  # fmt: skip
        [spec] = [tile for tile in plan.tiles if tile.index == plan.columns + 1]
        return failed_tile(spec, context, failed) if failed else score_tile(reader, spec, context), context

    return score


def areas(*drawn: tuple[str, str, Sequence[float]]) -> AnnotationSet:
    """Annotations from (role, name, box in level-0 px)."""
    return AnnotationSet(tuple(Area(role, name, shapely.box(*box)) for role, name, box in drawn), "digest")


def xy(table) -> np.ndarray:
    return np.stack([floats(table, "x"), floats(table, "y")], axis=1).astype(float)


def in_core(points: np.ndarray) -> np.ndarray:
    return ((points >= CORE_PX) & (points < 2 * CORE_PX)).all(axis=1)


def test_owned_cells_lie_in_the_core_and_shadows_close_around_it(scored, assay):
    result, context = scored()
    owned, shadows = result.cells.owned, result.cells.shadows
    assert owned.num_rows > 40
    assert shadows.num_rows > 3
    assert in_core(xy(owned)).all()
    assert set(owned.column("tile").to_pylist()) == {result.spec.index}
    points = xy(shadows)
    assert not in_core(points).any()
    reach = np.maximum(CORE_PX - points, points - 2 * CORE_PX).max(axis=1) * MPP
    assert reach.max() <= assay.tiles.seam_um
    np.testing.assert_array_equal(shadows.column("tile").to_numpy(), context.plan.index_at(*points.T))
    assert result.spec.index not in shadows.column("tile").to_pylist()


def test_cells_near_the_seam_are_those_within_its_reach(scored, assay):
    result, _ = scored()
    points = xy(result.cells.owned)
    depth = np.minimum(points - CORE_PX, 2 * CORE_PX - points).min(axis=1) * MPP
    np.testing.assert_array_equal(result.cells.near_seam, depth < assay.tiles.seam_um)
    assert 0 < result.cells.near_seam.sum() < len(points)


def test_cells_lie_where_they_were_drawn(scored, island):
    result, _ = scored()
    truth = island.truth.xy[in_core(island.truth.xy)]
    found = ph.match_points(truth, xy(result.cells.owned), 5 / MPP)
    assert found.recall > 0.85
    offsets = xy(result.cells.owned)[found.pairs[:, 1]] - truth[found.pairs[:, 0]]
    # No half pixel is lost between tile, core and slide.
    assert np.abs(np.median(offsets, axis=0)).max() < 0.25


def test_outlines_surround_their_cell(scored):
    result, _ = scored()
    owned = result.cells.owned
    for name, area_name in (("nucleus_outline", "nucleus_area_um2"), ("cell_outline", "cell_area_um2")):
        offsets, points = unpack_outlines(owned.column(name))
        drawn = [shapely.Polygon(points[a:b]).area for a, b in pairwise(offsets)]
        stated = floats(owned, area_name) / PIXEL_UM2
        assert np.median(np.array(drawn) / stated) == pytest.approx(1, abs=0.15)


def test_every_pixel_of_tissue_is_scored_excluded_or_missing(scored, island):
    rgba = np.dstack([island.rgb, np.full(island.rgb.shape[:2], 255, np.uint8)])
    rgba[300:330, 300:350, 3] = 0
    drawn = areas(("exclude", "", (400, 400, 450, 500)))
    result, context = scored(drawn, rgb=rgba)
    a = result.areas
    wanted = context.tissue.sample(CORE_PX, CORE_PX, (CORE_PX, CORE_PX), 1.0)
    assert a.tissue_um2 == wanted.sum() * PIXEL_UM2
    assert a.tissue_um2 == pytest.approx(a.scored_um2 + a.excluded_um2 + a.missing_um2)
    assert a.missing_um2 == pytest.approx(30 * 50 * PIXEL_UM2)
    assert a.excluded_um2 == pytest.approx(50 * 100 * PIXEL_UM2, rel=0.04)
    assert result.blocks.total[0].sum() * PIXEL_UM2 == a.scored_um2


def test_histograms_count_scored_pixels_and_follow_the_stain(scored):
    result, context = scored()
    dab, hematoxylin = result.blocks.total
    assert dab.sum() * PIXEL_UM2 == result.areas.scored_um2
    assert (hematoxylin <= dab).all()
    assert 0 < hematoxylin.sum() < dab.sum()
    assert context.stains.hematoxylin_positive_od > 0
    # 0.01 OD wide from -0.5 OD: stained tissue reaches beyond 0.2 OD, and hardly any pixel lies below -0.2.
    assert dab[70:].sum() > 0
    assert dab[:30].sum() < 0.001 * dab.sum()


def test_background_is_the_dab_between_the_cells(scored):
    looks = {"staining": "negative", "dab_background_od": 0.1, "tissue_fraction": 0.5}
    unstained = ph.draw_phantom(ph.slide_spec(4, mpp=MPP, side_px=700, **looks))
    result, context = scored(rgb=unstained.rgb)
    assert context.white != (255.0, 255.0, 255.0)
    core = np.s_[CORE_PX : 2 * CORE_PX, CORE_PX : 2 * CORE_PX]
    between = unstained.truth.tissue[core] & (unstained.truth.cell_labels[core] == 0)
    assert result.background_dab_od == pytest.approx(np.median(unstained.truth.dab_od[core][between]), abs=0.02)


def test_a_failed_tile_keeps_its_tissue_and_has_no_cells(scored):
    drawn = areas(("include", "A", (300, 300, 450, 450)))
    good, _ = scored(drawn)
    failed, _ = scored(drawn, failed="cannot be decoded")
    assert (failed.status, failed.reason) == ("failed", "cannot be decoded")
    assert failed.areas.tissue_um2 == good.areas.tissue_um2 > 0
    assert failed.areas.scored_um2 == failed.areas.excluded_um2 == failed.areas.missing_um2 == 0
    assert failed.region_areas["A"].tissue_um2 == good.region_areas["A"].tissue_um2 > 0
    assert failed.cells.owned.num_rows == failed.cells.shadows.num_rows == len(failed.blocks.column) == 0


def test_only_cells_inside_an_area_are_kept_and_they_bear_its_name(scored):
    box = (300, 320, 420, 460)
    everything, _ = scored()
    result, _ = scored(areas(("include", "A", box)))
    points = xy(everything.cells.owned)
    inside = shapely.contains_xy(shapely.box(*box), *points.T)
    np.testing.assert_array_equal(xy(result.cells.owned), points[inside])
    assert set(result.cells.owned.column("region").to_pylist()) == {"A"}
    assert set(result.region_areas) == {"A"}
    assert result.region_areas["A"] == result.areas


def test_excluded_and_control_cells_are_measured_and_say_why(scored):
    drawn = areas(("exclude", "", (256, 256, 400, 400)), ("control", "C", (400, 256, 512, 512)))
    everything, _ = scored()
    result, _ = scored(drawn)
    owned = result.cells.owned
    assert owned.num_rows == everything.cells.owned.num_rows
    points, reasons = xy(owned), np.array(owned.column("excluded").to_pylist())
    for box, reason in (((256, 256, 400, 400), "annotation: exclude"), ((400, 256, 512, 512), "annotation: control")):
        inside = shapely.contains_xy(shapely.box(*box), *points.T)
        assert inside.any()
        assert set(reasons[inside]) == {reason}
    assert (reasons == None).sum() == len(points) - sum(reasons != None)  # noqa: E711 - elementwise
    np.testing.assert_array_equal(floats(owned, "dab_od_cell"), floats(everything.cells.owned, "dab_od_cell"))
    # Control tissue is no tissue to be scored; excluded tissue is.
    assert result.areas.tissue_um2 < everything.areas.tissue_um2
    assert result.areas.excluded_um2 > 0


def test_tumor_and_other_settle_the_type_and_other_wins_where_they_overlap(scored):
    result, _ = scored(areas(("tumor", "", (256, 256, 512, 512)), ("other", "", (380, 256, 512, 512))))
    points, probability = xy(result.cells.owned), floats(result.cells.owned, "tumor_probability")
    other = points[:, 0] > 380
    assert other.any()
    assert (~other).any()
    np.testing.assert_array_equal(probability, np.where(other, 0.0, 1.0))


def test_without_annotations_nothing_settles_the_type(scored):
    result, _ = scored()
    assert np.isnan(floats(result.cells.owned, "tumor_probability")).all()
    assert result.cells.owned.column("region").null_count == result.cells.owned.num_rows
    assert result.cells.owned.column("excluded").null_count == result.cells.owned.num_rows
