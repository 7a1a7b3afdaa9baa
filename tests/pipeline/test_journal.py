"""A slide that was stopped goes on where it stopped: what was finished is not computed again, and nothing differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely.geometry import box

import phantom as ph
from slidescore.annotations import AnnotationSet, Area
from slidescore.assay import Assay
from slidescore.errors import DeviceMemoryError, DiskFullError
from slidescore.pipeline import analysis as analysis_module
from slidescore.pipeline import journal as journal_module
from slidescore.pipeline import slide as slide_module
from slidescore.pipeline.analysis import SlideAnalysis, analyze_slide
from slidescore.pipeline.journal import TileJournal, binding_of, key_digest
from slidescore.pipeline.judge import SlideIdentity
from slidescore.pipeline.segmenters import SegmenterPlan, build_planned, plan_segmenter
from slidescore.pipeline.slide import SlideJob, score_job, slide_key
from slidescore.pipeline.tile import score_tile
from slidescore.pipeline.tile_parts import TileContext
from slidescore.report.files import read_json
from slidescore.report.run_folder import SlideFolder
from slidescore.slide import ArrayReader
from slidescore.stain import StainVectors

MPP = 0.5
KEY = {"fingerprint": "f", "left_digest": "l"}
IDENTITY = SlideIdentity("a-1", "a.tiff")
AT_ONCE, NEVER = 0.0, 1e9


@pytest.fixture(scope="module")
def small(assay: Assay, change) -> Assay:
    """The default assay with the smallest tiles, so that a small slide has many."""
    return change(assay, {"tiles.core_px": 128, "tiles.halo_um": 16.0})


@pytest.fixture(scope="module")
def field() -> ph.Phantom:
    return ph.draw_phantom(ph.slide_spec(4, mpp=MPP, side_px=520, tissue_fraction=0.6))


@pytest.fixture(scope="module")
def slide(field: ph.Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "a.tiff"
    ph.write_pyramid(path, field.rgb, field.mpp, levels=(1, 4))
    return path


@pytest.fixture(scope="module")
def whole(field: ph.Phantom, small: Assay) -> SlideAnalysis:
    """The slide, measured at one go."""
    return measure(field, small)


def measure(field: ph.Phantom, assay: Assay, **options: Any) -> SlideAnalysis:
    return analyze_slide(lambda: ArrayReader(field.rgb, mpp=MPP), assay, **options)


def assert_same(one: SlideAnalysis, other: SlideAnalysis) -> None:
    assert one.cells.equals(other.cells)
    assert one.tiles.equals(other.tiles)
    assert one.facts == other.facts
    assert one.region_areas == other.region_areas


def stop_after(n: int) -> Callable[[int, int, int], None]:
    def stop(done: int, total: int, n_cells: int) -> None:
        if done == n:
            raise KeyboardInterrupt

    return stop


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tiles that are really computed, by index."""
    seen: list[int] = []

    def note(reader: Any, spec: Any, context: Any) -> Any:
        seen.append(spec.index)
        return score_tile(reader, spec, context)

    monkeypatch.setattr(analysis_module, "score_tile", note)
    return seen


@pytest.mark.parametrize(("n", "threads"), [(1, 1), (7, 2)])
def test_a_stopped_slide_goes_on_and_nothing_differs(tmp_path, field, small, whole, computed, n, threads):
    n_tiles = whole.tiles.num_rows
    assert n_tiles > 10
    with pytest.raises(KeyboardInterrupt):
        measure(field, small, on_progress=stop_after(n), journal=TileJournal(tmp_path, KEY, seconds=AT_ONCE))
    computed.clear()
    journal = TileJournal(tmp_path, KEY, seconds=AT_ONCE)
    told: list[tuple[int, int, int]] = []
    resumed = measure(field, small, journal=journal, threads=threads, on_progress=lambda *now: told.append(now))
    assert journal.n_resumed == n
    assert len(computed) == len(set(computed)) == n_tiles - n
    assert told[0][0] == n + 1
    assert told[-1] == (n_tiles, n_tiles, sum(resumed.tiles.column("n_cells").to_pylist()))
    assert_same(resumed, whole)


def test_a_finished_journal_leaves_nothing_to_compute(tmp_path, field, small, whole, computed):
    measure(field, small, journal=TileJournal(tmp_path, KEY, seconds=NEVER))
    assert len(list(tmp_path.iterdir())) == 1
    computed.clear()
    assert_same(measure(field, small, journal=TileJournal(tmp_path, KEY)), whole)
    assert computed == []


@pytest.mark.parametrize(("seed", "threads"), [(1, 1), (2, 3)])
def test_the_order_of_the_tiles_and_the_threads_change_nothing(tmp_path, field, small, whole, seed, threads):
    journal = TileJournal(tmp_path, KEY, seconds=AT_ONCE)
    assert_same(measure(field, small, shuffle_seed=seed, threads=threads, journal=journal), whole)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "bit": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"no block at all",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_block_is_computed_again(tmp_path, field, small, whole, computed, damage):
    measure(field, small, journal=TileJournal(tmp_path, KEY, seconds=AT_ONCE))
    blocks = sorted(tmp_path.iterdir())
    blocks[2].write_bytes(DAMAGES[damage](blocks[2].read_bytes()))
    computed.clear()
    assert_same(measure(field, small, journal=TileJournal(tmp_path, KEY, seconds=AT_ONCE)), whole)
    assert len(computed) == 1
    # What was computed again is kept again, beside the rest.
    assert len(list(tmp_path.iterdir())) == len(blocks) + 1


@pytest.fixture(scope="module")
def decided(field: ph.Phantom, small: Assay) -> tuple[SegmenterPlan, TileContext]:
    """What the tiles of the slide are scored with."""
    seen: list[tuple[SegmenterPlan, TileContext]] = []

    class Listener(TileJournal):
        def open(self, plan: SegmenterPlan, context: TileContext) -> Any:
            seen.append((plan, context))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(field, small, journal=Listener(Path("none"), KEY))
    return seen[0]


DRAWN = AnnotationSet((Area("include", "A", box(0, 0, 200, 200)),), "")
CONTEXT_CHANGES: dict[str, Callable[[TileContext], dict[str, Any]]] = {
    "white": lambda c: {"white": (c.white[0], c.white[1], c.white[2] + 1e-9)},
    "vectors": lambda c: {"vectors": StainVectors(c.vectors.hematoxylin, c.vectors.hematoxylin, c.vectors.source)},
    "tissue": lambda c: {"tissue": replace(c.tissue, tissue=~c.tissue.tissue)},
    "annotations": lambda c: {"annotations": DRAWN},
    "moved annotations": lambda c: {
        "annotations": replace(DRAWN, areas=(replace(DRAWN.areas[0], geometry=box(0, 0, 200, 201)),))
    },
    "grid": lambda c: {"grid": replace(c.grid, factor=c.grid.factor * 2)},
    "plan": lambda c: {"plan": replace(c.plan, origin_px=(-1, 0))},
    "fewer tiles": lambda c: {"plan": replace(c.plan, tiles=c.plan.tiles[1:])},
    "cells": lambda c: {"cells": c.cells.model_copy(update={"guard_um": 0.123})},
    "stains": lambda c: {"stains": c.stains.model_copy(update={"hematoxylin_positive_od": 0.123})},
    "tiles": lambda c: {"tiles": c.tiles.model_copy(update={"seam_um": 0.123})},
}
PLAN_CHANGES = ({"profile": "cuda-float16"}, {"digest": "other"}, {"hardware": "another GPU"}, {"name": "network"})


def test_everything_that_decides_a_tile_is_part_of_the_binding(decided):
    plan, context = decided
    bindings = [binding_of(KEY, plan, context), binding_of(KEY | {"fingerprint": "g"}, plan, context)]
    bindings += [binding_of(KEY, replace(plan, **values), context) for values in PLAN_CHANGES]
    bindings += [binding_of(KEY, plan, replace(context, **change(context))) for change in CONTEXT_CHANGES.values()]
    assert len(set(bindings)) == 2 + len(PLAN_CHANGES) + len(CONTEXT_CHANGES)
    assert binding_of(dict(KEY), replace(plan), replace(context)) == bindings[0]


def test_another_version_of_a_library_is_part_of_the_binding(decided, monkeypatch):
    before = binding_of(KEY, *decided)
    monkeypatch.setattr(journal_module, "library_versions", lambda: {"numpy": "0"})
    assert binding_of(KEY, *decided) != before


def test_what_cannot_be_described_is_refused(decided):
    plan, context = decided
    with pytest.raises(TypeError, match="function decides a tile"):
        binding_of(KEY, plan, replace(context, white=lambda: None))


def test_a_foreign_block_is_not_used(tmp_path, field, small, whole, decided):
    plan, context = decided
    measure(field, small, journal=TileJournal(tmp_path, KEY | {"fingerprint": "of another slide"}))
    assert TileJournal(tmp_path, KEY).open(plan, context) == {}
    # Not even under the name of one's own.
    [block] = tmp_path.iterdir()
    block.rename(tmp_path / f"{binding_of(KEY, plan, context).hex()[:16]}-000000.tiles")
    assert TileJournal(tmp_path, KEY).open(plan, context) == {}
    assert_same(measure(field, small, journal=TileJournal(tmp_path, KEY)), whole)


def test_other_files_beside_the_blocks_are_let_be(tmp_path, decided, field, small):
    plan, context = decided
    measure(field, small, journal=TileJournal(tmp_path, KEY, seconds=NEVER))
    [block] = tmp_path.iterdir()
    block.with_name(f"{block.stem} (copy).tiles").write_bytes(block.read_bytes())
    block.with_name(f".{block.name}.123.tmp").write_bytes(b"half")
    journal = TileJournal(tmp_path, KEY)
    assert len(journal.open(plan, context)) == len(context.plan.tiles)


def test_a_block_holds_no_more_than_a_number_of_tiles(tmp_path, field, small, monkeypatch):
    monkeypatch.setattr(journal_module, "BLOCK_TILES", 4)
    analysis = measure(field, small, journal=TileJournal(tmp_path, KEY, seconds=NEVER))
    assert len(list(tmp_path.iterdir())) == -(-analysis.tiles.num_rows // 4)


def test_a_tile_that_could_not_be_read_is_tried_again(tmp_path, decided, field, small):
    plan, context = decided
    journal = TileJournal(tmp_path, KEY, seconds=AT_ONCE)
    journal.open(plan, context)
    result = score_tile(ArrayReader(field.rgb, mpp=MPP), context.plan.tiles[0], context)
    journal.add(replace(result, status="failed", reason="cannot be read"))
    assert not list(tmp_path.iterdir())
    journal.add(result)
    assert list(TileJournal(tmp_path, KEY).open(plan, context)) == [result.spec.index]


# ---- the folder of a slide ----


def job_of(slide: Path, folder: Path, assay: Assay, plan: SegmenterPlan | None = None, **changes: Any) -> SlideJob:
    plan = plan or plan_segmenter(assay)
    key = slide_key(assay, "f", segmenter=plan, mpp=None, roi_digest="", identity=IDENTITY)
    job = SlideJob(slide, IDENTITY, assay, plan, folder, key, None, None, 1, None, journal_s=AT_ONCE)
    return replace(job, **changes)


def stop_job(job: SlideJob, n: int) -> None:
    """Work on a slide until `n` tiles are done."""
    original = analysis_module._finish_tiles

    def stopping(*arguments: Any) -> Any:
        *rest, _, seed = arguments
        return original(*rest, stop_after(n), seed)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(analysis_module, "_finish_tiles", stopping)
        with pytest.raises(KeyboardInterrupt):
            score_job(job, lambda _: None)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(slide: Path, small: Assay, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The folder of the slide, scored at one go."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert score_job(job_of(slide, folder, small), lambda _: None).timing["tiles_resumed"] == 0
    return files_of(folder)


def test_a_stopped_job_goes_on_to_the_same_files(tmp_path, slide, small, finished):
    job = job_of(slide, tmp_path / "out", small)
    stop_job(job, 5)
    assert len(list((tmp_path / "out" / ".work" / "journal" / key_digest(job.key)).iterdir())) == 5
    assert score_job(job, lambda _: None).timing["tiles_resumed"] == 5
    assert files_of(tmp_path / "out") == finished
    assert not (tmp_path / "out" / ".work").exists()


@pytest.mark.parametrize("changed", [{"key": {"fingerprint": "g"}}, {"resume": False}])
def test_under_another_key_or_from_scratch_it_begins_anew(tmp_path, slide, small, finished, changed):
    job = job_of(slide, tmp_path / "out", small)
    stop_job(job, 3)
    again = replace(job, **changed)
    assert score_job(again, lambda _: None).timing["tiles_resumed"] == 0
    if "resume" in changed:
        assert files_of(tmp_path / "out") == finished


def test_a_full_disk_while_tiles_are_kept_is_a_full_disk(tmp_path, slide, small, monkeypatch):
    def full(*_: object) -> None:
        raise DiskFullError("cannot be written: No space left on device")

    monkeypatch.setattr(journal_module, "write_bytes", full)
    with pytest.raises(DiskFullError):
        score_job(job_of(slide, tmp_path / "out", small), lambda _: None)
    assert SlideFolder(tmp_path / "out").done({}) is None


# ---- a device whose memory does not suffice ----


class _Short:
    """A segmenter on a device with room for some tiles only."""

    def __init__(self, inner: Any, n_tiles: int) -> None:
        self.inner, self.name, self.digest, self.left = inner, inner.name, inner.digest, n_tiles

    def segment(self, *arguments: Any) -> Any:
        if self.left == 0:
            raise DeviceMemoryError("out of memory on cuda:0")
        self.left -= 1
        return self.inner.segment(*arguments)


@pytest.mark.slow
def test_out_of_memory_at_any_tile_gives_the_labels_of_the_cpu(tmp_path, slide, small, finished, monkeypatch):
    """Twenty times, with one or two threads, some of them stopped on the way and resumed."""
    on_cpu = plan_segmenter(small)
    on_gpu = replace(on_cpu, device="cuda:0", profile="cuda-float16-classical-exact", hardware="GPU")
    rng = np.random.default_rng(20)
    n_tiles = len(analysis_tiles(finished))
    for attempt in range(20):
        room = [int(rng.integers(0, n_tiles))]

        def build(assay: Assay, plan: SegmenterPlan, room: list[int] = room) -> Any:
            inner = build_planned(assay, on_cpu)
            return inner if plan.device == "cpu" else _Short(inner, room[0])

        monkeypatch.setattr(analysis_module, "build_planned", build)
        monkeypatch.setattr(slide_module, "write_slide_pictures", lambda *_, **__: None)
        folder = tmp_path / str(attempt)
        job = job_of(slide, folder, small, on_gpu, threads=1 + attempt % 2)
        if attempt % 4 == 3 and room[0] > 1:
            stop_job(job, room[0] - 1)
            # What the GPU had finished is taken over, and then there is no room for one tile more.
            room[0] = 0
        score_job(job, lambda _: None)
        files = files_of(folder)
        assert files["cells.parquet"] == finished["cells.parquet"]
        assert files["tiles.parquet"] == finished["tiles.parquet"]
        record = read_json(folder / "result.json")
        assert record["profile"] == record["scores"]["profile"] == on_cpu.profile
        # What was planned, so that the next command finds the slide done.
        assert record["key"]["profile"] == on_gpu.profile
        assert record["degradations"] == [
            f"out of memory on cuda:0: measured again from the start as {on_cpu.profile} instead of {on_gpu.profile}"
        ]


def analysis_tiles(files: dict[str, bytes]) -> list[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[Any] = pq.read_table(pa.BufferReader(files["tiles.parquet"])).column("tile").to_pylist()
    return rows


def test_tiles_of_the_gpu_are_not_used_on_the_cpu_and_wait_for_the_gpu(tmp_path, decided, field, small):
    plan, context = decided
    gpu = replace(plan, device="cuda:0", profile="cuda-float16-classical-exact", hardware="GPU")
    result = score_tile(ArrayReader(field.rgb, mpp=MPP), context.plan.tiles[0], context)
    journal = TileJournal(tmp_path, KEY, seconds=AT_ONCE)
    assert journal.open(gpu, context) == {}
    journal.add(result)
    assert journal.open(plan, context) == {}
    assert journal.n_resumed == 0
    assert list(journal.open(gpu, context)) == [result.spec.index]
