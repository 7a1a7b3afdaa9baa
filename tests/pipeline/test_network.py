"""A network in the whole pipeline: types reach the table, the rule chooses by them, and its identity is recorded."""

from __future__ import annotations

import csv
import math
import shutil
import subprocess
import sys
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
import yaml

import phantom as ph
from nn.drawn_network import DECODE, drawn_network, save_drawn
from slidescore.annotations import AnnotationSet, Area
from slidescore.assay import Assay, LoadedAssay, parse_assay
from slidescore.cells import CELL_SCHEMA
from slidescore.cells.table import floats
from slidescore.errors import AssayError, DeviceMemoryError, InputError, ModelError, RunFolderError, UnknownNameError
from slidescore.nn import device as device_module
from slidescore.nn import segmenter as segmenter_module
from slidescore.nn import weights
from slidescore.nn.batches import BatchRunner
from slidescore.nn.card import CARD_FILE, STRIDE, WEIGHTS_FILE, read_card, read_weights
from slidescore.nn.device import Device, cpu_gains_from_bf16
from slidescore.nn.gathering import Gatherer
from slidescore.nn.segmenter import NetworkSegmenter, calibrated
from slidescore.pipeline import analysis as analysis_module
from slidescore.pipeline import cohort as cohort_module
from slidescore.pipeline import running as running_module
from slidescore.pipeline import segmenters
from slidescore.pipeline.analysis import SlideAnalysis, analyze_slide
from slidescore.pipeline.cohort import RunOptions, score_directory
from slidescore.pipeline.export import export_run
from slidescore.pipeline.judge import SlideIdentity, SlideResult, judge_slide
from slidescore.pipeline.rescore import rescore
from slidescore.pipeline.segmenters import (
    SegmenterPlan,
    build_planned,
    build_segmenter,
    extra_threads,
    plan_segmenter,
    plan_segmenters,
    tile_frame,
)
from slidescore.pipeline.slide import SlideJob, SlideOutcome, score_job, slide_key
from slidescore.report.files import read_json, read_parquet, write_json
from slidescore.report.run_folder import SlideFolder
from slidescore.slide import ArrayReader, plan_grid

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


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("core_px", 1000, r"tiles.core_px: 1000 is no multiple of 16, as model 'drawn' needs \(set it to 992\)"),
        ("halo_um", 63.0, r"tiles.halo_um: 63 um are less than the 64 that model 'drawn' needs \(set it to 64\)"),
    ],
)
def test_tiles_that_do_not_suit_the_model_are_refused(networked, assay, change, key, value, said):
    with pytest.raises(AssayError, match=said):
        plan_segmenter(change(networked, {f"tiles.{key}": value}))
    plan_segmenter(change(assay, {f"tiles.{key}": value}))


def test_decode_settings_out_of_range_stop_the_run_before_it_begins(tmp_path, networked, change):
    folder = save_drawn(tmp_path / "drawn", decode=DECODE | {"min_center": 2.0})
    with pytest.raises(ModelError, match="min_center 2 is not within 0 to 1"):
        plan_segmenter(change(networked, {"cells.network.model": str(folder)}))


def test_a_model_that_was_replaced_after_planning_is_not_taken(tmp_path, networked, change):
    folder = save_drawn(tmp_path / "drawn")
    assay = change(networked, {"cells.network.model": str(folder)})
    plan = plan_segmenter(assay)
    assert build_planned(assay, plan).digest == plan.digest
    save_drawn(folder, drawn_network(dark_from=0.35))
    with pytest.raises(ModelError, match=rf"was replaced while the run was going on: .* {plan.digest} was planned"):
        build_planned(assay, plan)


def test_weights_are_read_once_for_a_plan_and_once_for_the_cells(island, networked, monkeypatch):
    read: list[str] = []

    def noting(folder, card):
        read.append(card.name)
        return read_weights(folder, card)

    for module in (segmenters, weights):
        monkeypatch.setattr(module, "read_weights", noting)
    plan = plan_segmenter(networked)
    assert read == ["drawn"]
    analyze(island, networked, plan=plan)
    assert read == ["drawn"] * 2


def test_the_classical_segmenter_knows_no_gpu(assay):
    with pytest.raises(InputError, match="runs on the CPU only"):
        plan_segmenter(assay, "cuda")
    assert plan_segmenter(assay).profile == "cpu-float32-classical-exact"
    assert build_segmenter(assay).digest == plan_segmenter(assay).digest == "classical-1"


def test_plans_of_several_gpus_differ_in_the_device_alone(networked, monkeypatch):
    settled = tuple(Device(f"cuda:{k}", "float16", "GPU") for k in range(2))
    monkeypatch.setattr(device_module, "resolve_devices", lambda asked, *, float32: settled)
    first, second = plan_segmenters(networked, "cuda:0,cuda:1")
    assert (first.device, second.device) == ("cuda:0", "cuda:1")
    assert replace(second, device="cuda:0") == first
    assert first.profile == "cuda-float16x4-network-exact"
    # Threads that wait for a batch keep no core busy.
    assert extra_threads(first) == device_module.BATCH_TILES
    assert extra_threads(replace(first, device="cpu")) == 0
    with pytest.raises(InputError, match="one slide runs on one device"):
        plan_segmenter(networked, "cuda:0,cuda:1")


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


def test_a_result_that_the_stopped_run_did_not_make_does_not_come_back(run, tmp_path):
    """A run was taken up with other weights and killed: its run.json is new, its slides and tables are the old ones."""
    _, folder, networked = run
    taken_up = shutil.copytree(folder, tmp_path / "run")
    content = read_json(taken_up / "run.json")
    write_json(taken_up / "run.json", content | {"model": {"name": "network", "digest": "drawn-newer"}})
    [row] = rescore(taken_up, tmp_path / "again", _loaded(networked)).rows
    assert (row["status"], row["reason"], row["h_score"]) == ("failed", "not reached", None)
    assert row["model_digest"] == "drawn-newer"
    assert not list((tmp_path / "again").rglob("result.json"))
    with pytest.raises(RunFolderError, match="holds no finished slide"):
        list(export_run(taken_up, "csv", tmp_path / "out"))
    [path] = export_run(folder, "csv", tmp_path / "out")
    assert path.is_file()


def test_the_page_shows_types_and_rules(run):
    _, folder, _ = run
    [row] = score_rows(folder)
    page = (folder / "slides" / row["slide_id"] / "report.html").read_text()
    assert "How much the H-score hangs on the tumor rule" in page
    assert "tumor probability ≥ 0.5" in page
    assert "tumor probability ≥ 0.8" in page
    for name in ("Lymphocytes", "Stromal cells", "Other cells"):
        assert name in page


def test_a_model_named_by_its_path_is_found_from_anywhere_and_kept_in_the_run(tmp_path, island, networked, monkeypatch):
    study, run = tmp_path / "study", tmp_path / "run"
    study.mkdir()
    save_drawn(study / "mine")
    text = _loaded(networked).text
    text = text.replace(f"model: {networked.cells.network.model}\n", "model: ./mine\n")
    (study / "mine.yaml").write_text(text)
    cv2.imwrite(str(tmp_path / "a.png"), island.rgb[..., ::-1])
    monkeypatch.chdir(tmp_path)
    options = RunOptions(mpp=MPP, overlay_mpp=None)
    [row] = score_directory(tmp_path / "a.png", run, "study/mine.yaml", options=options).rows
    assert row["status"] == "scored"
    monkeypatch.chdir(study)
    assert score_directory(tmp_path / "a.png", run, "mine.yaml", options=options).n_skipped == 1
    # Weights replaced in place are noticed although no digest of the assay has changed.
    save_drawn(study / "mine", drawn_network(dark_from=0.35))
    again = score_directory(tmp_path / "a.png", run, "mine.yaml", options=options)
    assert again.n_skipped == 0
    assert again.rows[0]["assay_digest"] == row["assay_digest"]
    assert again.rows[0]["model_digest"] != row["model_digest"]
    # A rescore needs no weights; the run's own assay names them in full.
    shutil.rmtree(study)
    monkeypatch.chdir(tmp_path)
    assert rescore(run, tmp_path / "again").rows[0]["h_score"] == again.rows[0]["h_score"]


# ---- tiles that share a GPU, with a CPU in its place ----


def test_tiles_that_are_computed_together_give_the_same_slide_in_any_order(island, networked, monkeypatch):
    built: list[Gatherer] = []

    def build(assay: Assay, plan: SegmenterPlan) -> NetworkSegmenter:
        plain = build_planned(assay, replace(plan, device="cpu"))
        assert isinstance(plain, NetworkSegmenter)
        calibrate = partial(calibrated, calibration=plain.calibration)
        runner = BatchRunner(plain.network, Device("cpu", "float32", "CPU"), calibrate)
        built.append(Gatherer(runner, frame=tile_frame(assay)))
        return replace(plain, gatherer=built[-1])

    monkeypatch.setattr(analysis_module, "build_planned", build)
    small = networked.model_copy(update={"tiles": networked.tiles.model_copy(update={"core_px": 128})})
    plan = replace(plan_segmenter(small, "cpu", float32=True), device="cuda:0", profile="cuda-float32x4-network-exact")

    def measured(threads: int, seed: int | None) -> SlideAnalysis:
        reader = ArrayReader(island.rgb, mpp=island.mpp)
        return analyze_slide(lambda: reader, small, plan=plan, threads=threads, shuffle_seed=seed)

    alone, together = measured(1, None), measured(5, 3)
    assert alone.facts["device"] == "cuda"
    assert alone.facts["analysis"]["n_tiles"] > 8
    assert alone.cells.num_rows > 100
    assert together.cells.equals(alone.cells)
    assert together.tiles.equals(alone.tiles)
    # Nothing is left open or in use when a slide has ended.
    assert all(not gatherer._open and len(gatherer._free) == gatherer._n_desks for gatherer in built)
    # Tiles at the slide's edge are smaller, and are computed with the others all the same.
    assert {desk.frame for gatherer in built for desk in gatherer._free} == {tile_frame(small)}


@pytest.mark.parametrize("core_px", [256, 1000, 1024])
def test_a_frame_holds_the_tiles_of_every_slide(assay, change, core_px):
    cut = change(assay, {"tiles.core_px": core_px})
    height, width = tile_frame(cut)
    assert height == width
    assert height % segmenters.FRAME_STEP_PX == 0
    halos = set()
    for mpp in np.linspace(cut.reading.min_mpp, 2 * cut.reading.mpp, 200):
        reader = ArrayReader(np.zeros((8, 8, 3), np.uint8), mpp=mpp)
        grid = plan_grid(reader, mpp, cut.reading.mpp, cut.reading.snap_fraction)
        halos.add(math.ceil(cut.tiles.halo_um / grid.analysis_mpp))
    padded = -(-(core_px + 2 * max(halos)) // STRIDE) * STRIDE
    assert padded <= width
    # Some slides need more than the assay's own resolution does.
    assert max(halos) > cut.tiles.halo_um / cut.reading.mpp
    assert width < padded + segmenters.FRAME_STEP_PX + STRIDE


def test_a_segmenter_is_built_with_the_frame_of_its_assay(networked, monkeypatch):
    plan = plan_segmenter(networked)
    given: list[tuple[int, int]] = []
    original = segmenter_module.load_segmenter

    def noting(name: str, device: Device, frame: tuple[int, int]) -> NetworkSegmenter:
        given.append(frame)
        return original(name, device, frame)

    monkeypatch.setattr(segmenter_module, "load_segmenter", noting)
    build_planned(networked, plan)
    assert given == [tile_frame(networked)] == [(576, 576)]


# ---- a GPU whose memory does not suffice ----


class _Full:
    """A network on a GPU that has room for a tile or two only."""

    name = "network"

    def __init__(self, inner: Any) -> None:
        self.inner, self.digest, self.n_tiles = inner, inner.digest, 0

    def segment(self, *arguments: Any) -> Any:
        self.n_tiles += 1
        if self.n_tiles > 2:
            raise DeviceMemoryError("out of memory on cuda:0", remedy="use fewer --workers, or --device cpu")
        return self.inner.segment(*arguments)


@pytest.fixture
def full_gpu(networked: Assay, monkeypatch: pytest.MonkeyPatch) -> tuple[SegmenterPlan, list[str]]:
    """A plan for a GPU that runs out of memory, and the devices that were then tried."""
    on_cpu, tried = plan_segmenter(networked, "cpu"), []

    def build(assay: Assay, plan: SegmenterPlan) -> Any:
        tried.append(plan.device)
        return build_planned(assay, plan) if plan.device == "cpu" else _Full(build_planned(assay, on_cpu))

    monkeypatch.setattr(analysis_module, "build_planned", build)
    return replace(on_cpu, device="cuda:0", profile="cuda-float16-network-exact", hardware="GPU"), tried


def _job(folder: Path, island: ph.Phantom, assay: Assay, plan: SegmenterPlan) -> SlideJob:
    cv2.imwrite(str(folder / "a.png"), island.rgb[..., ::-1])
    key = slide_key(assay, "f", segmenter=plan, mpp=MPP, roi_digest="", identity=IDENTITY)
    return SlideJob(folder / "a.png", IDENTITY, assay, plan, folder / "out", key, MPP, None, 2, None)


def test_out_of_memory_restarts_the_slide_on_the_cpu(tmp_path, island, networked, analysis, full_gpu):
    plan, tried = full_gpu
    progress: list[tuple[int, int, int]] = []
    outcome = score_job(_job(tmp_path, island, networked, plan), progress.append)
    assert tried == ["cuda:0", "cpu"]
    # All of it is of one profile: nothing that the GPU found is left.
    assert read_parquet(tmp_path / "out" / "cells.parquet", CELL_SCHEMA).equals(analysis.cells)
    record = read_json(tmp_path / "out" / "result.json")
    assert record["profile"] == record["scores"]["profile"] == CPU_PROFILE
    assert record["degradations"] == [
        f"out of memory on cuda:0: measured again from the start as {CPU_PROFILE} instead of cuda-float16-network-exact"
    ]
    assert outcome.record["scores"]["profile"] == CPU_PROFILE
    assert "measured again from the start" in (tmp_path / "out" / "report.html").read_text()


def test_a_gpu_has_its_memory_back_before_the_slide_begins_again(tmp_path, island, networked, monkeypatch):
    """Others share the GPU, and a slide on the CPU takes long."""
    on_cpu, left, released = plan_segmenter(networked, "cpu"), [], []

    def build(assay: Assay, plan: SegmenterPlan) -> Any:
        if plan.device == "cpu":
            assert [each() for each in left] == [None]
            assert released == [1]
            return build_planned(assay, plan)
        full = _Full(build_planned(assay, on_cpu))
        left.append(weakref.ref(full))
        return full

    monkeypatch.setattr(analysis_module, "build_planned", build)
    monkeypatch.setattr(device_module, "release_cached", lambda: released.append(1))
    score_job(_job(tmp_path, island, networked, replace(on_cpu, device="cuda:0")), lambda _: None)
    assert len(left) == 1


def job_where_one_slide_is_too_much(job: SlideJob, report: Any) -> SlideOutcome:
    """Score a slide, the CPU being the GPU, which has no room for slide b; runs in a worker process."""
    on_cpu = plan_segmenter(job.assay, "cpu")

    def build(assay: Assay, plan: SegmenterPlan) -> Any:
        built = build_planned(assay, on_cpu)
        return _Full(built) if plan.device != "cpu" and job.path.stem == "b" else built

    analysis_module.build_planned = build
    return score_job(job, report)


def test_a_slide_that_fell_back_changes_no_other_slide_of_the_run(tmp_path, island, networked, monkeypatch):
    slides = tmp_path / "slides"
    slides.mkdir()
    for k, name in enumerate("abc"):
        cv2.imwrite(str(slides / f"{name}.png"), island.rgb[: 760 - k, :, ::-1])
    planned = replace(plan_segmenter(networked, "cpu"), device="cuda:0", profile="cuda-float16x4-network-exact")
    monkeypatch.setattr(cohort_module, "plan_segmenters", lambda *_, **__: (planned,))
    monkeypatch.setattr(running_module, "score_job", job_where_one_slide_is_too_much)
    options = RunOptions(workers=1, mpp=MPP, overlay_mpp=None)
    rows = score_directory(slides, tmp_path / "run", _loaded(networked), options=options).rows
    assert [row["profile"] for row in rows] == [planned.profile, CPU_PROFILE, planned.profile]
    assert [row["status"] for row in rows] == ["scored"] * 3
    again = score_directory(slides, tmp_path / "run", _loaded(networked), options=options)
    assert again.n_skipped == 3
    assert list(again.rows) == [
        read_json(tmp_path / "run/slides" / row["slide_id"] / "result.json")["scores"] for row in rows
    ]


def test_a_slide_that_fell_back_is_done(tmp_path, island, networked, full_gpu):
    """A run that was stopped and goes on must not give other numbers than one that was not."""
    job = _job(tmp_path, island, networked, full_gpu[0])
    score_job(job, lambda _: None)
    folder = SlideFolder(job.folder)
    assert folder.done(job.key) is not None
    assert folder.done(job.key | {"profile": CPU_PROFILE}) is None


def test_out_of_memory_on_the_cpu_is_the_end_of_the_slide(tmp_path, island, networked, full_gpu, monkeypatch):
    plan = plan_segmenter(networked, "cpu")
    monkeypatch.setattr(analysis_module, "build_planned", lambda assay, plan: _Full(build_planned(assay, plan)))
    with pytest.raises(DeviceMemoryError):
        score_job(_job(tmp_path, island, networked, plan), lambda _: None)
    assert not (tmp_path / "out" / "result.json").exists()


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
