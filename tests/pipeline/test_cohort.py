"""A directory of slides, good and bad: one row each, the same bytes every time, and no finished work lost."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import struct
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import phantom as ph
from slidescore.assay import load_assay
from slidescore.errors import AssayError, InputError, RunFolderBusyError, RunFolderError
from slidescore.execute import WorkerCrashError, Workers
from slidescore.pipeline import cohort, options, running
from slidescore.pipeline.cohort import score_directory
from slidescore.pipeline.events import SlideEvent
from slidescore.pipeline.options import RunOptions
from slidescore.pipeline.rescore import rescore
from slidescore.pipeline.segmenters import SegmenterPlan, plan_segmenters
from slidescore.pipeline.slide import SlideJob, SlideOutcome, score_job
from slidescore.report.columns import REGION_COLUMNS, SCORE_COLUMNS
from slidescore.report.files import read_json, write_json
from slidescore.report.holder import this_holder
from slidescore.report.lease import LEASE_NAME, leased

DATA_FILES = ("scores.csv", "regions.csv")
SLIDE_DATA_FILES = ("result.json", "cells.parquet", "tiles.parquet", "overlay.tiff")
MPP = 0.5


def rows_of(run: Path, table: str = "scores.csv") -> list[dict[str, str]]:
    with (run / table).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def data_of(run: Path) -> dict[str, bytes]:
    """Every data file of a run by its path below the run."""
    paths = [run / name for name in DATA_FILES]
    paths += [path for name in SLIDE_DATA_FILES for path in sorted(run.glob(f"slides/*/{name}"))]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small slides in two folders, two of them of the same name."""
    folder = tmp_path_factory.mktemp("slides")
    for number, place in enumerate(("one/slide.tiff", "two/slide.tiff", "two/other slide é.tiff")):
        field = ph.draw_phantom(ph.crowded_spec(20 + number, n_cells=250, tissue="irregular", tissue_fraction=0.7))
        (folder / place).parent.mkdir(exist_ok=True)
        ph.write_pyramid(folder / place, field.rgb, field.mpp, levels=(1, 4))
    return folder


@pytest.fixture(scope="session")
def run(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those slides, scored by two workers."""
    out = tmp_path_factory.mktemp("runs") / "run"
    score_directory(slides, out, options=RunOptions(workers=2))
    return out


def test_every_slide_has_one_row_in_the_order_of_the_files(run: Path) -> None:
    rows = rows_of(run)
    assert [row["file"] for row in rows] == ["one/slide.tiff", "two/other slide é.tiff", "two/slide.tiff"]
    assert tuple(rows[0]) == SCORE_COLUMNS
    assert len({row["slide_id"] for row in rows}) == 3
    for row in rows:
        assert row["status"] == "scored"
        assert float(row["h_score"]) > 50
        assert int(row["n_tumor_cells"]) == sum(int(row[f"n{k}"]) for k in range(4))


def test_a_run_folder_holds_what_it_promises(run: Path) -> None:
    assert (run / "report.html").is_file()
    assert not list(run.rglob(".work"))
    assert not list(run.rglob("*.tmp"))
    for row in rows_of(run):
        folder = run / "slides" / row["slide_id"]
        for name in (*SLIDE_DATA_FILES, "thumbnail.png", "report.html"):
            assert (folder / name).stat().st_size > 0
    assert not (run / ".lock").exists()


def test_data_files_hold_no_path_of_the_machine(run: Path, slides: Path) -> None:
    for name, content in data_of(run).items():
        assert str(slides).encode() not in content, name


def test_one_worker_two_workers_and_a_second_run_write_the_same_bytes(run: Path, slides: Path, tmp_path: Path) -> None:
    score_directory(slides, tmp_path / "again", options=RunOptions(workers=1))
    assert data_of(tmp_path / "again") == data_of(run)


def test_the_same_command_again_skips_what_is_done_and_tries_the_rest(slides: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    first, *others = [row["slide_id"] for row in rows_of(copy)]
    (copy / "slides" / first / "result.json").unlink()
    events: list[SlideEvent] = []
    summary = score_directory(slides, copy, options=RunOptions(workers=1), on_event=events.append)
    assert summary.n_skipped == 2
    assert [event.file for event in events if event.kind == "scored"] == ["one/slide.tiff"]
    assert data_of(copy) == data_of(run)
    assert [row["slide_id"] for row in rows_of(copy, "timings.csv")] == [first, *others]


def test_a_stop_at_any_moment_leaves_a_row_for_every_slide(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def write_then_stop(path: Path, content: object) -> None:
        write_json(path, content)
        raise KeyboardInterrupt

    for module, moment, instead in (
        (cohort, "write_json", write_then_stop),
        (running, "slide_key", stop),
        (running, "replace", stop),
    ):
        out = tmp_path / moment
        with monkeypatch.context() as patched:
            patched.setattr(module, moment, instead)
            with pytest.raises(KeyboardInterrupt):
                score_directory(slides, out)
        assert [row["reason"] for row in rows_of(out)] == ["not reached"] * 3


def test_a_row_for_every_slide_is_there_before_the_first_is_scored(slides: Path, tmp_path: Path) -> None:
    """A stop that leaves no time to write, as kill -9, must not leave a run without its table."""
    out = tmp_path / "run"
    seen: list[list[str]] = []
    score_directory(slides / "one", out, on_event=lambda event: seen.append([row["reason"] for row in rows_of(out)]))
    assert seen[0] == ["not reached"]
    assert [row["reason"] for row in rows_of(out)] == [""]


def test_a_process_that_dies_after_it_has_finished_its_slide_costs_nothing(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder holds the result, so the table must not say that the slide failed."""
    original = Workers.run

    def lose_answers(self: Workers, *arguments: Any, on_end: Any, **options: Any) -> None:
        def lose(number: int, outcome: Any) -> None:
            lost = isinstance(outcome, SlideOutcome)
            on_end(number, WorkerCrashError("reader crashed (SIGSEGV)") if lost else outcome)

        original(self, *arguments, on_end=lose, **options)

    monkeypatch.setattr(Workers, "run", lose_answers)
    [row] = score_directory(slides / "one", tmp_path / "run").rows
    record = read_json(tmp_path / "run" / "slides" / row["slide_id"] / "result.json")
    assert row["status"] == "scored"
    assert row == record["scores"]
    assert [written["status"] for written in rows_of(tmp_path / "run")] == ["scored"]


def test_a_slide_that_fails_has_no_result_of_an_earlier_command(slides: Path, tmp_path: Path) -> None:
    source, manifest = slides / "one" / "slide.tiff", tmp_path / "manifest"
    manifest.write_text(f"{'0' * 64}  slide.tiff\n")
    [before] = score_directory(source, tmp_path / "run").rows
    [after] = score_directory(source, tmp_path / "run", options=RunOptions(checksums=manifest)).rows
    assert (before["status"], after["status"]) == ("scored", "failed")
    assert before["slide_id"] == after["slide_id"]
    assert not list((tmp_path / "run").rglob("result.json"))


def test_a_changed_slide_is_scored_again(slides: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy(slides / "one/slide.tiff", source / "s.tiff")
    before = score_directory(source, tmp_path / "run").rows[0]
    shutil.copy(slides / "two/slide.tiff", source / "s.tiff")
    after = score_directory(source, tmp_path / "run").rows[0]
    assert before["slide_id"] != after["slide_id"]
    assert len(rows_of(tmp_path / "run")) == 1


def write_bad_slides(folder: Path, good: Path) -> None:
    content = good.read_bytes()
    (folder / "truncated.tiff").write_bytes(content[: len(content) // 2])
    (folder / "not a slide.svs").write_bytes(b"no slide at all" * 50)
    (folder / "empty.svs").write_bytes(b"")
    blank = np.full((400, 400, 3), 245, np.uint8)
    tags = {"resolution_unit": 3, "x_resolution": 20000, "y_resolution": 20000}
    Image.fromarray(blank).save(folder / "no resolution.png")
    Image.fromarray(blank).save(folder / "blank.tif", **tags)
    Image.fromarray(blank[:1, :1]).save(folder / "one pixel.tif", **tags)
    Image.fromarray(blank).save(folder / "odd.tif", **tags | {"y_resolution": 10000})


def test_bad_slides_cost_their_own_row_only(slides: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(slides / "one/slide.tiff", folder / "good.tiff")
    shutil.copy(slides / "one/slide.tiff", folder / "good copy.tiff")
    write_bad_slides(folder, slides / "one/slide.tiff")
    summary = score_directory(folder, tmp_path / "run")
    rows = {row["file"]: row for row in summary.rows}
    assert len(rows) == len(list(folder.iterdir()))
    assert rows["good.tiff"]["status"] == rows["good copy.tiff"]["status"] == "scored"
    assert rows["good.tiff"]["h_score"] == rows["good copy.tiff"]["h_score"]
    assert "duplicate_slide" in rows["good.tiff"]["qc_flags"]
    assert rows["good.tiff"]["slide_id"] != rows["good copy.tiff"]["slide_id"]
    for name in ("blank.tif", "one pixel.tif"):
        assert (rows[name]["status"], rows[name]["call"]) == ("not_evaluable", "NOT_EVALUABLE")
        assert rows[name]["h_score"] is None
    reasons = {
        "truncated.tiff": "damaged or incomplete",
        "not a slide.svs": "cannot be opened",
        "empty.svs": "empty",
        "no resolution.png": "--mpp",
        "odd.tif": "apart",
    }
    for name, reason in reasons.items():
        assert rows[name]["status"] == "failed"
        assert reason in rows[name]["reason"]
        assert "\n" not in rows[name]["reason"]
        assert str(tmp_path) not in rows[name]["reason"]


def test_a_supplied_resolution_is_used_and_recorded(tmp_path: Path) -> None:
    field = ph.draw_phantom(ph.crowded_spec(30, n_cells=250, tissue="irregular", tissue_fraction=0.7))
    Image.fromarray(field.rgb).save(tmp_path / "field.png")
    [row] = score_directory(tmp_path / "field.png", tmp_path / "run", options=RunOptions(mpp=MPP)).rows
    assert (row["status"], row["mpp"], row["mpp_source"]) == ("scored", MPP, "supplied")
    assert "resolution_supplied" in row["qc_flags"]


def test_a_folder_of_another_assay_is_refused_and_overwritten_only_on_request(run: Path, slides: Path) -> None:
    with pytest.raises(RunFolderError, match="another assay"):
        score_directory(slides, run, "cxcr4-any-positive")


def test_a_folder_that_holds_something_else_is_refused(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not a run folder"):
        score_directory(slides, tmp_path)
    with pytest.raises(RunFolderError, match="is a file"):
        score_directory(slides, tmp_path / "thesis.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_output_is_refused_before_any_work(slides: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(RunFolderError, match="cannot be written"):
        score_directory(slides, locked / "run")


def test_an_output_below_a_file_is_refused(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="cannot be written"):
        score_directory(slides, tmp_path / "file" / "run")


def test_a_run_folder_in_use_names_its_holder(run: Path, slides: Path) -> None:
    with leased(run), pytest.raises(RunFolderBusyError, match=f"in use by pid {os.getpid()} on "):
        score_directory(slides, run)


def test_a_folder_whose_holder_was_killed_is_taken_over_with_a_note(run: Path, slides: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    gone = replace(this_holder(), pid=2**22 + 1)
    (copy / LEASE_NAME).write_text(json.dumps(asdict(gone)))
    (copy / ".scores.csv.1.tmp").write_text("half")
    summary = score_directory(slides, copy)
    assert summary.n_skipped == 3
    assert any("which is gone" in warning for warning in summary.warnings)
    assert not list(copy.glob(".*"))


def test_nothing_to_score_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError):
        score_directory(tmp_path / "in", tmp_path / "run")


def test_regions_get_rows_and_stray_annotations_a_warning(slides: Path, tmp_path: Path) -> None:
    tma = ph.draw_tma(3, rows=1, columns=2)
    folder, roi = tmp_path / "in", tmp_path / "roi"
    folder.mkdir()
    roi.mkdir()
    ph.write_pyramid(folder / "tma.tiff", tma.rgb, tma.mpp, levels=(1, 4))
    (roi / "tma.tiff.geojson").write_text(json.dumps(tma.geojson))
    (roi / "gone.tiff.geojson").write_text(json.dumps(tma.geojson))
    summary = score_directory(folder, tmp_path / "run", options=RunOptions(roi=roi))
    rows = rows_of(tmp_path / "run", "regions.csv")
    assert tuple(rows[0]) == REGION_COLUMNS
    assert [row["region"] for row in rows] == [core.name for core in tma.cores]
    assert summary.warnings == ("gone.tiff.geojson belongs to no slide of this run",)
    assert "tumor_not_identified" not in (summary.rows[0]["qc_flags"] or "")


def test_rescore_gives_what_a_fresh_run_gives(run: Path, slides: Path, tmp_path: Path) -> None:
    summary = rescore(run, tmp_path / "rescored", "cxcr4-any-positive")
    score_directory(slides, tmp_path / "fresh", "cxcr4-any-positive")
    assert data_of(tmp_path / "rescored") == data_of(tmp_path / "fresh")
    assert [row["call"] for row in summary.rows] == ["HIGH"] * 3


def test_rescore_needs_no_slides(slides: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(slides / "one", moved)
    score_directory(moved, tmp_path / "run")
    shutil.rmtree(moved)
    rescore(tmp_path / "run", tmp_path / "rescored", "cxcr4-any-positive")
    [row] = rows_of(tmp_path / "rescored")
    assert row["status"] == "scored"
    assert (tmp_path / "rescored" / "slides" / row["slide_id"] / "report.html").is_file()
    assert not (tmp_path / "rescored" / "slides" / row["slide_id"] / "overlay.tiff").exists()


def test_rescore_refuses_new_measurements_and_its_own_folder(run: Path, tmp_path: Path) -> None:
    wider = load_assay("cxcr4").text.replace("expansion_um: 5.0", "expansion_um: 6.0")
    (tmp_path / "wider.yaml").write_text(wider)
    with pytest.raises(AssayError, match=r"'cells.expansion_um' differs from the run's assay; this needs score"):
        rescore(run, tmp_path / "out", tmp_path / "wider.yaml")
    assert not (tmp_path / "out").exists()
    with pytest.raises(RunFolderError, match="the run itself"):
        rescore(run, run, "cxcr4")
    with pytest.raises(RunFolderError, match="not a run folder"):
        rescore(tmp_path, tmp_path / "out", "cxcr4")


def test_run_json_tells_how_the_run_was_made(run: Path, slides: Path) -> None:
    content = read_json(run / "run.json")
    assert content["assay"]["text"] == load_assay("cxcr4").text
    assert set(content["versions"]) >= {"slidescore", "numpy", "openslide-bin"}
    assert all(Path(path).is_file() for path in content["slides"].values())


def spoil_tile(path: Path, *, zero_length: bool) -> None:
    """Damage the JPEG data of one level-0 tile in the middle of a slide, or take it away."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        middle = len(page.dataoffsets) // 2 + round(page.imagewidth / page.tilewidth) // 2
        offset, count = page.dataoffsets[middle], page.databytecounts[middle]
        table = page.tags["TileByteCounts"]
        size = {3: 2, 4: 4, 16: 8}[int(table.dtype)]
        place, order = table.valueoffset + middle * size, tiff.byteorder
    with path.open("r+b") as handle:
        if zero_length:
            handle.seek(place)
            handle.write(struct.pack(order + {2: "H", 4: "I", 8: "Q"}[size], 0))
        else:
            handle.seek(offset)
            handle.write(b"\x00" * count)


@pytest.mark.parametrize(
    ("zero_length", "reason", "flag"),
    [
        (False, "could not be processed", "failed_tiles"),
        (True, "has no pixels", "missing_pixels"),
    ],
)
def test_a_tile_that_cannot_be_read_is_counted_and_never_scored(
    slides: Path, tmp_path: Path, zero_length: bool, reason: str, flag: str
) -> None:
    shutil.copy(slides / "one/slide.tiff", tmp_path / "spoilt.tiff")
    spoil_tile(tmp_path / "spoilt.tiff", zero_length=zero_length)
    [row] = score_directory(tmp_path / "spoilt.tiff", tmp_path / "run", options=RunOptions(overlay_mpp=0.5)).rows
    assert (row["status"], row["call"], row["h_score"]) == ("not_evaluable", "NOT_EVALUABLE", None)
    assert reason in row["reason"]
    assert flag in row["qc_flags"]
    folder = tmp_path / "run" / "slides" / row["slide_id"]
    assert (folder / "overlay.tiff").is_file()
    assert (folder / "report.html").is_file()


# ---- several devices, and cores ----


def _gpus(n: int) -> tuple[SegmenterPlan, ...]:
    plan = SegmenterPlan("classical", "classical-1", "cpu-float32-classical-exact", "cpu", "GPU", False)
    return tuple(replace(plan, device=f"cuda:{k}") for k in range(n))


@pytest.mark.parametrize(
    ("n_gpus", "cores", "slides", "asked", "expected"),
    [
        (0, 16, 40, None, 16),
        (0, 16, 3, None, 3),
        (1, 16, 40, None, 4),
        (1, 2, 40, None, 2),
        (1, 64, 40, None, 4),
        (2, 16, 40, None, 4),
        (2, 64, 40, None, 8),
        (2, 64, 3, None, 3),
        (2, 16, 40, 1, 1),
        (1, 16, 40, 9, 9),
    ],
)
def test_how_many_slides_are_scored_at_once(monkeypatch, n_gpus, cores, slides, asked, expected):
    monkeypatch.setattr(options, "available_cores", lambda: cores)
    plans = _gpus(n_gpus) or (replace(_gpus(1)[0], device="cpu"),)
    assert options.count_workers(RunOptions(workers=asked), plans, slides) == expected


CORES = 6
WAIT_S = 120.0


def job_of_a_drill(job: SlideJob, report: Any) -> SlideOutcome:
    """Score a slide on the CPU, the way a worker does, and note where; one crashes, one is not done until others begin.

    Runs in a worker process. Slide a has been measured and written when it waits for slide d to begin.
    """
    notes = job.folder.parents[2] / "notes"
    name = job.path.stem
    (notes / name).write_text(f"{job.segmenter.device} {job.threads} {job.allowed()}")
    if name == "b":
        os.kill(os.getpid(), signal.SIGSEGV)
    outcome = score_job(replace(job, segmenter=replace(job.segmenter, device="cpu")), report)
    end = time.monotonic() + WAIT_S
    while name == "a" and not (notes / "d").exists():
        assert time.monotonic() < end, "nothing else was begun while this slide drained"
        time.sleep(0.01)
    return outcome


@pytest.fixture(scope="module")
def drill(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """Four slides on two GPUs that are none, by two processes; the second slide ends its process."""
    folder = tmp_path_factory.mktemp("drill")
    (folder / "slides").mkdir()
    (folder / "notes").mkdir()
    for name, source in zip("abcd", [*sorted(slides.rglob("*.tiff")), slides / "one/slide.tiff"], strict=True):
        shutil.copy(source, folder / "slides" / f"{name}.tiff")

    def plans(assay: Any, devices: str, *, float32: bool) -> tuple[SegmenterPlan, ...]:
        [plan] = plan_segmenters(assay, "cpu")
        return tuple(replace(plan, device=name, hardware="GPU") for name in devices.split(","))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohort, "plan_segmenters", plans)
        patch.setattr(running, "score_job", job_of_a_drill)
        patch.setattr(running, "available_cores", lambda: CORES)
        asked = RunOptions(workers=2, device="cuda:0,cuda:1", overlay_mpp=None)
        score_directory(folder / "slides", folder / "run", options=asked)
    return folder / "run", {path.name: path.read_text().split() for path in (folder / "notes").iterdir()}


def test_slides_are_spread_over_the_devices_and_all_of_them_are_named(drill) -> None:
    run, notes = drill
    # The first process waits with slide a until d has begun, so the second one, or its successor, does all others.
    assert {name: device for name, (device, _, _) in notes.items()} == {
        "a": "cuda:0", "b": "cuda:1", "c": "cuda:1", "d": "cuda:1",
    }  # fmt: skip
    assert read_json(run / "run.json")["devices"] == ["cuda:0 (GPU)", "cuda:1 (GPU)"]


def test_slides_at_work_share_the_cores(drill) -> None:
    _, notes = drill
    assert {threads for _, threads, _ in notes.values()} == {str(CORES)}
    assert {int(share) for _, _, share in notes.values()} <= {CORES // 2, CORES}


def test_a_process_that_dies_costs_its_slide_and_while_one_drains_the_next_is_scored(drill, run: Path) -> None:
    rows = {row["file"]: row for row in rows_of(drill[0])}
    assert [row["status"] for row in rows.values()] == ["scored", "failed", "scored", "scored"]
    assert rows["b.tiff"]["reason"] == "reader crashed (SIGSEGV)"
    alone = rows_of(run)
    for name, other in (("a", alone[0]), ("c", alone[2]), ("d", alone[0])):
        for column in ("h_score", "n_cells", "n0", "n3", "tissue_mm2", "profile"):
            assert rows[f"{name}.tiff"][column] == other[column]
