"""A tumor model in the assay: a fresh score and a rescore agree, and another segmenter's cells are refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest

import phantom as ph
from assay.made_model import made_model
from classical_assay import classical_loaded
from slidescore.assay import with_tumor_model
from slidescore.assay.tumor_model import model_json
from slidescore.errors import AssayError
from slidescore.pipeline import slide as slide_module
from slidescore.pipeline.cohort import RunOptions, score_directory
from slidescore.pipeline.rescore import rescore
from slidescore.pipeline.segmenters import plan_segmenter
from slidescore.pipeline.slide import score_slide

LOADED = classical_loaded()


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    field = ph.draw_phantom(ph.crowded_spec(41, n_cells=250, tissue="irregular", tissue_fraction=0.7))
    return ph.write_pyramid(tmp_path_factory.mktemp("tumor") / "slide.tiff", field.rgb, field.mpp, levels=(1, 4))


def test_a_fresh_score_and_a_rescore_with_the_model_agree(slide, tmp_path):
    model = made_model(LOADED.assay, segmenter_digest=plan_segmenter(LOADED.assay).digest)
    (tmp_path / "m.json").write_bytes(model_json(model))
    options = RunOptions(workers=1, overlay_mpp=None)
    [plain] = score_directory(slide, tmp_path / "plain", LOADED, options=options).rows
    [fresh] = score_directory(slide, tmp_path / "fresh", with_tumor_model(LOADED, model), options=options).rows
    [again] = rescore(tmp_path / "plain", tmp_path / "again", tumor_model=tmp_path / "m.json").rows
    assert again == fresh
    assert 0 < fresh["n_tumor_cells"] < plain["n_tumor_cells"] == plain["n_cells"] == fresh["n_cells"]
    cells = [next((tmp_path / name).rglob("cells.parquet")).read_bytes() for name in ("plain", "fresh", "again")]
    assert cells[0] == cells[1] == cells[2]


def test_a_model_for_other_cells_stops_a_rescore_before_its_folder_is_made(slide, tmp_path):
    (tmp_path / "m.json").write_bytes(model_json(made_model(LOADED.assay, segmenter_digest="another")))
    score_directory(slide, tmp_path / "run", LOADED, options=RunOptions(workers=1, overlay_mpp=None))
    with pytest.raises(AssayError, match="was trained on cells of segmenter another"):
        rescore(tmp_path / "run", tmp_path / "again", tumor_model=tmp_path / "m.json")
    assert not (tmp_path / "again").exists()


def test_a_model_for_other_cells_stops_a_slide_before_it_is_measured(slide, monkeypatch):
    model = made_model(LOADED.assay, segmenter_digest="another")
    monkeypatch.setattr(slide_module, "fingerprint", lambda path: pytest.fail("the slide was read"))
    with pytest.raises(AssayError, match="was trained on cells of segmenter another"):
        score_slide(slide, with_tumor_model(LOADED, model).assay)


def test_a_model_for_other_cells_stops_the_run_before_a_slide_is_read(slide, tmp_path):
    loaded = with_tumor_model(LOADED, made_model(LOADED.assay, segmenter_digest="another"))
    with pytest.raises(AssayError, match="was trained on cells of segmenter another"):
        score_directory(slide, tmp_path / "run", loaded)
    assert not (tmp_path / "run").exists()
