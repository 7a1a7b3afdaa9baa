"""A network in the whole pipeline: types reach the table, the rule chooses by them, and its identity is recorded."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
import yaml

import phantom as ph
from nn.drawn_network import drawn_network, save_drawn
from slidescore.annotations import AnnotationSet, Area
from slidescore.assay import Assay, LoadedAssay, parse_assay
from slidescore.cells.table import floats
from slidescore.errors import AssayError, InputError, ModelError, UnknownNameError
from slidescore.nn.card import CARD_FILE, WEIGHTS_FILE, read_card
from slidescore.nn.device import cpu_gains_from_bf16
from slidescore.pipeline.analysis import SlideAnalysis, analyze_slide
from slidescore.pipeline.cohort import RunOptions, score_directory
from slidescore.pipeline.judge import SlideIdentity, SlideResult, judge_slide
from slidescore.pipeline.rescore import rescore
from slidescore.pipeline.segmenters import build_segmenter, plan_segmenter
from slidescore.report.files import read_json
from slidescore.slide import ArrayReader

MPP = 0.5
IDENTITY = SlideIdentity("drawn", "drawn")
CPU_PROFILE = f"cpu-{'bf16' if cpu_gains_from_bf16() else 'float32'}-network-exact"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_drawn(tmp_path_factory.mktemp("models") / "drawn")


@pytest.fixture(scope="module")
def networked(assay: Assay, change: Any, model: Path) -> Assay:
    """The default assay with the drawn network and the rule by probability."""
    return change(
        assay,
        {
            "cells.segmenter": "network",
            "cells.network.model": str(model),
            "tumor.rule": "probability",
            "tiles.core_px": 256,
            "qc.min_tumor_cells": 5,
        },
    )


def analyze(island: ph.Phantom, assay: Assay, **options: Any) -> SlideAnalysis:
    analysis = analyze_slide(lambda: ArrayReader(island.rgb, mpp=MPP), assay, **options)
    analysis.facts.update(annotations=None, notes=[])
    return analysis


@pytest.fixture(scope="module")
def analysis(island: ph.Phantom, networked: Assay) -> SlideAnalysis:
    return analyze(island, networked, threads=2)


def judged(analysis: SlideAnalysis, assay: Assay) -> SlideResult:
    return judge_slide(analysis, assay, IDENTITY)


def test_every_cell_has_its_probabilities(analysis):
    n = analysis.cells.num_rows
    assert n > 100
    types = [floats(analysis.cells, f"{name}_probability") for name in ("tumor", "lymphocyte", "stromal")]
    assert np.isfinite(types).all()
    # Neither 0 nor 1, which are kept for annotations.
    assert ((types[0] > 0) & (types[0] < 1)).all()
    assert (np.sum(types, axis=0) <= 1.001).all()
    detection = floats(analysis.cells, "detection_probability")
    assert ((detection >= 0.5) & (detection <= 1)).all()


def test_the_identity_of_the_model_and_the_precision_are_recorded(analysis, networked, model):
    digest = read_card(model).digest
    assert analysis.facts["model"] == {"name": "network", "digest": digest}
    assert analysis.facts["profile"] == CPU_PROFILE
    row = judged(analysis, networked).row
    assert (row["model_digest"], row["profile"]) == (digest, CPU_PROFILE)


def test_the_rule_by_probability_chooses_the_tumor_cells(analysis, networked):
    probability = floats(analysis.cells, "tumor_probability")
    row = judged(analysis, networked).row
    assert 5 < row["n_tumor_cells"] < row["n_cells"]
    assert row["n_tumor_cells"] == (probability >= 0.5).sum()
    assert row["qc_flags"] is None or "tumor_not_identified" not in row["qc_flags"]


def test_the_three_rules_stand_side_by_side(analysis, networked, change):
    row = judged(analysis, networked).row
    everything = judged(analysis, change(networked, {"tumor.rule": "all"})).row
    strict = judged(analysis, change(networked, {"tumor.min_probability": 0.8})).row
    assert everything["n_tumor_cells"] == everything["n_cells"] == row["n_cells"]
    assert row["h_all_cells"] == everything["h_score"] == everything["h_all_cells"]
    assert row["h_strict"] == strict["h_score"] == everything["h_strict"]
    assert len({row["h_score"], row["h_all_cells"], row["h_strict"]}) > 1
    assert "tumor_not_identified" in everything["qc_flags"]


def test_annotations_win_over_the_network(island, networked, analysis):
    half = AnnotationSet(
        (Area("include", "", shapely.box(0, 0, 760, 760)), Area("other", "", shapely.box(0, 0, 380, 760))), "digest"
    )
    cells = analyze(island, networked, annotations=half).cells
    other = floats(cells, "x") < 380
    probability = floats(cells, "tumor_probability")
    assert (probability[other] == 0).all()
    assert (probability[~other] > 0).all()
    # What else the network saw stays.
    assert np.isfinite(floats(cells, "lymphocyte_probability")).all()


@pytest.mark.parametrize("core_px", [512, 1024])
def test_the_tile_grid_changes_next_to_nothing(island, networked, analysis, change, core_px):
    other = analyze(island, change(networked, {"tiles.core_px": core_px}))
    assert other.facts["analysis"]["n_tiles"] < analysis.facts["analysis"]["n_tiles"]
    assert other.cells.num_rows == pytest.approx(analysis.cells.num_rows, rel=0.005)
    assert judged(other, networked).h_score == pytest.approx(judged(analysis, networked).h_score, abs=1)


def test_threads_change_nothing(island, networked, analysis):
    assert analyze(island, networked, threads=1).cells.equals(analysis.cells)


@pytest.mark.skipif(not cpu_gains_from_bf16(), reason="a network computes in float32 on this CPU anyway")
def test_single_precision_can_be_asked_for_and_is_recorded(island, networked, analysis):
    single = analyze(island, networked, float32=True)
    assert single.facts["profile"] == "cpu-float32-network-exact"
    # Ties among the drawn network's centers: see tests/nn/test_segmenter.py.
    assert single.cells.num_rows == pytest.approx(analysis.cells.num_rows, rel=0.1)
    assert judged(single, networked).h_score == pytest.approx(judged(analysis, networked).h_score, abs=10)


# ---- refusals, each before a slide is opened ----


def test_an_unknown_model_is_one_line(networked, change):
    with pytest.raises(UnknownNameError, match="no model of that name"):
        plan_segmenter(change(networked, {"cells.network.model": "cells-v99"}))


def test_a_damaged_model_stops_the_run_before_it_begins(tmp_path, networked, change):
    folder = save_drawn(tmp_path / "drawn")
    (folder / WEIGHTS_FILE).write_bytes(b"x")
    damaged = LoadedAssay(change(networked, {"cells.network.model": str(folder)}), "", "mine.yaml")
    slides = tmp_path / "slides"
    slides.mkdir()
    with pytest.raises(ModelError, match="SHA-256"):
        score_directory(slides, tmp_path / "run", damaged)
    assert not (tmp_path / "run").exists()


def test_a_model_of_another_resolution_is_refused(tmp_path, networked, change):
    folder = save_drawn(tmp_path / "drawn")
    card = yaml.safe_load((folder / CARD_FILE).read_text())
    card["input"]["mpp"] = 0.25
    (folder / CARD_FILE).write_text(yaml.safe_dump(card))
    with pytest.raises(ModelError, match=r"was trained at 0.25 um/px, the assay reads 0.5"):
        plan_segmenter(change(networked, {"cells.network.model": str(folder)}))


def test_the_classical_segmenter_knows_no_gpu(assay):
    with pytest.raises(InputError, match="runs on the CPU only"):
        plan_segmenter(assay, "cuda")
    assert plan_segmenter(assay).profile == "cpu-float32-classical-exact"
    assert build_segmenter(assay).digest == plan_segmenter(assay).digest == "classical-1"


def test_the_rule_by_probability_needs_a_segmenter_that_tells_types(loaded_assay):
    text = loaded_assay.text.replace("  rule: all", "  rule: probability")
    with pytest.raises(AssayError) as caught:
        parse_assay(text, where="mine.yaml")
    assert "tumor.rule is 'probability' but cells.segmenter is 'classical'" in str(caught.value)
    parse_assay(text.replace("segmenter: classical", "segmenter: network"), where="mine.yaml")


def test_strict_is_no_laxer_than_the_rule(loaded_assay):
    text = loaded_assay.text.replace("strict_probability: 0.8", "strict_probability: 0.4")
    with pytest.raises(AssayError, match=r"strict_probability 0\.4 is below min_probability 0\.5"):
        parse_assay(text, where="mine.yaml")


# ---- a run ----


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, island: ph.Phantom, networked: Assay) -> tuple[Path, Path, Assay]:
    """A run of one slide by the network, in a worker process."""
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "slides").mkdir()
    cv2.imwrite(str(folder / "slides" / "a.png"), island.rgb[..., ::-1])
    _score(folder, networked)
    return folder / "slides", folder / "run", networked


def _loaded(assay: Assay) -> LoadedAssay:
    return LoadedAssay(assay, yaml.safe_dump(assay.model_dump(mode="json")), "mine.yaml")


def _score(folder: Path, assay: Assay) -> Any:
    return score_directory(folder / "slides", folder / "run", _loaded(assay), options=RunOptions(mpp=MPP))


def test_a_worker_process_gives_what_this_process_gives(run, analysis, networked):
    _, folder, _ = run
    [row] = score_rows(folder)
    assert (row["n_cells"], row["h_score"]) == (
        str(analysis.cells.num_rows), f"{judged(analysis, networked).h_score:.7g}"
    )  # fmt: skip
    content = read_json(folder / "run.json")
    assert content["devices"] == ["cpu"]
    assert content["model"]["name"] == "network"


def score_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_finished_slides_are_kept_until_the_model_changes(run, model):
    slides, _, networked = run
    assert _score(slides.parent, networked).n_skipped == 1
    before = [(model / name).read_bytes() for name in (WEIGHTS_FILE, CARD_FILE)]
    try:
        save_drawn(model, drawn_network(dark_from=0.35))
        again = _score(slides.parent, networked)
        assert again.n_skipped == 0
        assert again.rows[0]["model_digest"] == read_card(model).digest
    finally:
        for name, content in zip((WEIGHTS_FILE, CARD_FILE), before, strict=True):
            (model / name).write_bytes(content)
        _score(slides.parent, networked)


def test_another_rule_needs_no_pixel(run, tmp_path, change):
    _, folder, networked = run
    [old] = score_rows(folder)
    everything = change(networked, {"tumor.rule": "all"})
    [new] = rescore(folder, tmp_path / "all", _loaded(everything)).rows
    assert new["n_tumor_cells"] == new["n_cells"] == int(old["n_cells"])
    assert f"{new['h_score']:.7g}" == old["h_all_cells"]
    [strict] = rescore(folder, tmp_path / "s", _loaded(change(networked, {"tumor.min_probability": 0.8}))).rows
    assert f"{strict['h_score']:.7g}" == old["h_strict"]


def test_another_model_needs_score(run, tmp_path, change):
    _, folder, networked = run
    other = change(networked, {"cells.network.model": "other"})
    with pytest.raises(AssayError, match=r"'cells.network.model' differs"):
        rescore(folder, tmp_path / "out", _loaded(other))


def test_the_page_shows_types_and_rules(run):
    _, folder, _ = run
    [row] = score_rows(folder)
    page = (folder / "slides" / row["slide_id"] / "report.html").read_text()
    assert "H-score by tumor rule" in page
    assert "tumor probability of at least 0.5" in page
    assert "tumor probability of at least 0.8" in page
    for name in ("Lymphocytes", "Stromal cells", "Other cells"):
        assert name in page


def test_planning_a_classical_run_loads_no_torch():
    code = (
        "import sys\nfrom slidescore.assay import load_assay\n"
        "from slidescore.pipeline.segmenters import plan_segmenter\n"
        "import slidescore.pipeline.cohort, slidescore.pipeline.doctor\n"
        "assay = load_assay().assay\n"
        "cells = assay.cells.model_copy(update={'segmenter': 'classical'})\n"
        "plan_segmenter(assay.model_copy(update={'cells': cells}))\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
