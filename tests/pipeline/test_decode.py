"""Which reader decodes a slide changes nothing; decoding at half the resolution changes little, and is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import phantom as ph
from slide.jpeg_tiff import write_jpeg_tiff
from slidescore.assay import Assay
from slidescore.cells.table import floats
from slidescore.pipeline.analysis import SlideAnalysis, analyze_slide
from slidescore.pipeline.judge import SlideIdentity, judge_slide
from slidescore.pipeline.readers import PictureReader, ReaderPool, WatchedReader
from slidescore.pipeline.segmenters import plan_segmenter
from slidescore.slide import ArrayReader, open_slide
from slidescore.slide.openslide_reader import OpenSlideReader
from slidescore.slide.tiled_reader import TiledReader

MPP = 0.25


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ph.Phantom]:
    """A field of cells at 0.25 um/px, as an Aperio file."""
    drawn = ph.draw_phantom(ph.slide_spec(5, side_px=1536))
    return ph.write_svs(tmp_path_factory.mktemp("decode") / "field.svs", drawn.rgb, MPP), drawn


@pytest.fixture(scope="module")
def halving(assay: Assay, change) -> Assay:
    return change(assay, {"reading.decode": "half"})


@pytest.fixture(scope="module")
def exact(slide, assay) -> SlideAnalysis:
    return analyze_slide(lambda: open_slide(slide[0]), assay)


@pytest.fixture(scope="module")
def half(slide, halving) -> SlideAnalysis:
    return analyze_slide(lambda: open_slide(slide[0]), halving)


def facts_without_reader(analysis: SlideAnalysis) -> dict:
    slide = {name: value for name, value in analysis.facts["slide"].items() if not name.startswith("reader")}
    return analysis.facts | {"slide": slide}


@pytest.mark.parametrize("threads", [1, 3])
def test_either_reader_gives_the_same_numbers(slide, assay, change, exact, threads):
    path, _ = slide
    by_openslide = analyze_slide(lambda: OpenSlideReader(path), assay, threads=threads)
    assert by_openslide.cells.equals(exact.cells)
    assert by_openslide.tiles.equals(exact.tiles)
    assert facts_without_reader(by_openslide) == facts_without_reader(exact)
    assert (by_openslide.facts["slide"]["reader"], exact.facts["slide"]["reader"]) == ("openslide", "tiles")
    assert exact.facts["slide"]["reader_library"].startswith("simplejpeg ")
    assert exact.facts["degradations"] == []


def test_a_damaged_tile_costs_the_same_with_either_reader(slide, assay, change, tmp_path):
    small = change(assay, {"tiles.core_px": 256, "tiles.halo_um": 40.0})
    path = tmp_path / "damaged.tiff"
    write_jpeg_tiff(path, [slide[1].rgb], tile=256)
    with open_slide(path) as reader:
        assert isinstance(reader, TiledReader)
        level = reader.levels[0]
        begin, count = int(level.offsets[14]), int(level.counts[14])
    content = bytearray(path.read_bytes())
    content[begin + count // 2 : begin + count - 2] = b"\xff" * (count - 2 - count // 2)
    path.write_bytes(content)
    # The survey reads the finest level here, which no damaged slide of one level survives.
    slides = [analyze_or_none(lambda: open_slide(path), small), analyze_or_none(lambda: OpenSlideReader(path), small)]
    assert slides[0] == slides[1]


def analyze_or_none(open_reader, assay) -> str:
    try:
        analysis = analyze_slide(open_reader, assay, threads=2)
    except Exception as error:  # noqa: BLE001 - both must fail alike
        return str(error)
    return str(analysis.tiles.to_pylist())


def test_half_the_resolution_moves_no_score(slide, exact, half, assay, halving):
    rows = [judge_slide(each, of, SlideIdentity("x", "x")).row for each, of in ((exact, assay), (half, halving))]
    assert abs(rows[0]["h_score"] - rows[1]["h_score"]) <= 0.5
    assert rows[0]["n_cells"] == pytest.approx(rows[1]["n_cells"], rel=0.005)
    points = [np.stack([floats(each.cells, "x"), floats(each.cells, "y")], axis=1) for each in (exact, half)]
    found = ph.match_points(points[0], points[1], 2 / MPP)
    assert found.recall > 0.98
    for column in ("dab_od_nucleus", "dab_od_cell", "dab_od_cytoplasm"):
        values = [floats(each.cells, column) for each in (exact, half)]
        nearest = np.abs(points[0][:, None] - points[1][None]).sum(axis=2).argmin(axis=1)
        assert np.nanmedian(np.abs(values[0] - values[1][nearest])) <= 0.01


def test_half_the_resolution_is_said(half, halving):
    assert half.facts["analysis"]["decode"] == "half"
    assert half.facts["profile"] == plan_segmenter(halving).profile == "cpu-float32-classical-half"
    result = judge_slide(half, halving, SlideIdentity("x", "x"))
    assert result.row["profile"].endswith("-half")
    assert "decoded_exactly" not in result.row["qc_flags"]


def test_a_slide_that_cannot_be_halved_is_read_exactly_and_flagged(slide, exact, halving):
    drawn = slide[1]
    whole = analyze_slide(lambda: ArrayReader(drawn.rgb, mpp=MPP), halving)
    assert whole.facts["analysis"]["decode"] == "exact"
    assert whole.facts["profile"] == "cpu-float32-classical-exact"
    result = judge_slide(whole, halving, SlideIdentity("x", "x"))
    assert "decoded_exactly" in result.row["qc_flags"]


def test_one_handle_serves_all_threads_where_it_can(slide):
    path, _ = slide
    opened = []

    def open_and_note() -> TiledReader:
        opened.append(WatchedReader(open_slide(path), lambda: None))
        return opened[-1]

    with ReaderPool(open_and_note) as pool:
        first = pool.get()
        assert pool.replace() is first
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(3) as threads:
            assert {id(each.result()) for each in [threads.submit(pool.get) for _ in range(9)]} == {id(first)}
    assert len(opened) == 1


def test_what_reads_pictures_says_what_its_reader_says(slide):
    with PictureReader(lambda: WatchedReader(open_slide(slide[0]), lambda: None)) as reader:
        assert (reader.fallback, reader.survives_errors) == ("", True)
        assert reader.can_halve(0, 2)
        assert not reader.can_halve(0, 3)
