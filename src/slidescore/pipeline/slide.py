"""The story of one slide: measure it, judge it, and write its folder."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slidescore.annotations import NO_ANNOTATIONS, AnnotationSet, load_annotations
from slidescore.assay import DEFAULT_ASSAY, Assay, assay_digest, left_digest, load_assay, refuse_unverified
from slidescore.errors import DeviceMemoryError
from slidescore.execute import give_back_freed_memory
from slidescore.pipeline.analysis import Progress, SlideAnalysis, analyze_slide
from slidescore.pipeline.integrity import checked_notes, checked_status
from slidescore.pipeline.journal import BLOCK_SECONDS, TileJournal, key_digest
from slidescore.pipeline.judge import SlideIdentity, SlideResult, judge_slide
from slidescore.pipeline.publish import write_slide_pictures, write_slide_tables
from slidescore.pipeline.readers import PictureReader, WatchedReader
from slidescore.pipeline.segmenters import SegmenterPlan, plan_segmenter, release_memory
from slidescore.report.run_folder import SlideFolder
from slidescore.scoring.tumor_model import refuse_other_cells
from slidescore.slide import SlideReader, fingerprint, open_slide, slide_ids
from slidescore.slide.checksums import Checked, read_manifest
from slidescore.slide.discover import SlideInput
from slidescore.version import slidescore_version

BYTES_PER_MB = 2**20
SECONDS_BETWEEN_SIGNS = 1.0
"""A worker says about this often that reading goes on."""
CPU = "cpu"
"""The device that is always there."""


@dataclass(frozen=True, slots=True)
class SlideJob:
    """Everything a worker needs to score one slide into its folder.

    Attributes
    ----------
    segmenter
        Which segmenter runs where.
    threads
        Tiles worked on at once, at most.
    allowed
        Asked all the time how many of them may work just then; None for all.
    notes
        Findings made before the slide was opened, as flags: name, level, text.
    key
        What must not have changed for a finished result to stand.
    resume
        Whether tiles that an attempt before this one finished are taken over.
    journal_s
        How often finished tiles are kept, in seconds.
    checksums
        Manifest that the slide's files are compared with before any reader opens them; None without one.
    """

    path: Path
    identity: SlideIdentity
    assay: Assay
    segmenter: SegmenterPlan
    folder: Path
    key: dict[str, Any]
    mpp: float | None
    roi: Path | None
    threads: int
    overlay_mpp: float | None
    notes: tuple[dict[str, str], ...] = ()
    resume: bool = True
    journal_s: float = BLOCK_SECONDS
    checksums: Path | None = None
    allowed: Callable[[], int] | None = None


@dataclass(frozen=True, slots=True)
class SlideOutcome:
    """What a worker sends back: the rows of the slide and what it cost."""

    record: dict[str, Any]
    timing: dict[str, Any]


def score_slide(
    path: str | Path,
    assay: str | Path | Assay = DEFAULT_ASSAY,
    *,
    mpp: float | None = None,
    roi: str | Path | None = None,
    threads: int = 1,
    device: str = "auto",
    float32: bool = False,
    accept_unverified: bool = False,
    on_progress: Progress | None = None,
) -> SlideResult:
    """Score one slide in this process and write nothing.

    Parameters
    ----------
    path
        Any slide that OpenSlide reads, or an image.
    assay
        Name of a shipped assay, an assay file, or an assay.
    mpp
        Resolution in um per pixel, where the file states none.
    roi
        QuPath GeoJSON with annotations.
    threads
        Tiles worked on at once.
    device
        Where a network runs: auto, cpu, cuda or cuda:N; one device, for this is one slide.
    float32
        Whether a network computes in single precision everywhere, to compare with.
    accept_unverified
        Whether the assay's cut-off may be one of status unverified.
    on_progress
        Told after every tile: tiles done, tiles in all, cells found.

    Raises
    ------
    SlideOpenError, MissingResolutionError, AssayError, AnnotationError
        If the slide, its resolution, the assay with its tumor model or the annotations cannot be used, or its cut-off
        is unverified and not accepted.
    InputError, UnknownNameError, ModelError, DeviceError
        If the segmenter cannot run on the device, or its model cannot be used.
    """
    path = Path(path)
    values = assay if isinstance(assay, Assay) else load_assay(assay).assay
    refuse_unverified(values, accepted=accept_unverified)
    segmenter = plan_segmenter(values, device, float32=float32)
    refuse_other_cells(values, segmenter.digest)
    annotations = load_annotations(Path(roi), values.tissue.annotations) if roi else NO_ANNOTATIONS
    slide_fingerprint = fingerprint(path)
    [(slide_id, _)] = slide_ids([(SlideInput(path, path.name), slide_fingerprint)])
    return _measure_and_judge(
        lambda: open_slide(path), values, segmenter, SlideIdentity(slide_id, path.name), slide_fingerprint, mpp,
        annotations, roi, threads, None, on_progress, (), None,
    )  # fmt: skip


def score_job(job: SlideJob, report: Callable[[tuple[int, int, int] | None], None]) -> SlideOutcome:
    """Score one slide into its folder; runs in a worker process.

    What it reports are tiles done, tiles in all and cells, or None after any other piece of work: see `Workers.run`.

    Raises
    ------
    SlidescoreError
        Whatever makes the slide fail; its folder then holds no result.json.
    """
    started = time.perf_counter()
    on_read = _on_read(report)
    folder = SlideFolder(job.folder)
    name = key_digest(job.key)
    # Before anything that can fail: a slide that fails has no result of an earlier command either.
    folder.begin(keep=name if job.resume else "")
    checked = read_manifest(job.checksums).check(job.path, on_read) if job.checksums is not None else None
    journal = TileJournal(folder.journal(name), job.key, seconds=job.journal_s)
    open_reader = _watched(lambda: open_slide(job.path), on_read)
    # Called after the slide's name in the tables, which is not its own in a run of pseudonyms.
    drawn = f"{Path(job.identity.file).name}.geojson" if job.roi is not None else None
    annotations = NO_ANNOTATIONS
    if job.roi is not None:
        annotations = load_annotations(job.roi, job.assay.tissue.annotations, name=drawn or "")
    result = _measure_and_judge(
        open_reader, job.assay, job.segmenter, job.identity, job.key["fingerprint"], job.mpp, annotations, drawn,
        job.threads, job.allowed, _throttled(report), job.notes, journal, checked,
    )  # fmt: skip
    # Tiles, and then tables, leave behind more than pictures need.
    give_back_freed_memory()
    write_slide_tables(folder.work, result)
    give_back_freed_memory()
    with PictureReader(open_reader) as reader:
        threads = min(job.threads, job.allowed()) if job.allowed else job.threads
        write_slide_pictures(folder.work, result, reader, annotations, overlay_mpp=job.overlay_mpp, threads=threads)
    # Under the profile that was planned: a slide that fell back to another one is done, and the record says how.
    folder.finish(result.record, job.key)
    return SlideOutcome(result.record, _timing(result, time.perf_counter() - started, journal.n_resumed))


def slide_key(
    assay: Assay,
    slide_fingerprint: str,
    *,
    segmenter: SegmenterPlan,
    mpp: float | None,
    roi_digest: str,
    identity: SlideIdentity,
    sha256: str = "",
) -> dict[str, Any]:
    """Say what a finished result depends on; while it is the same, the slide is not scored again."""
    return {
        "slide_id": identity.slide_id,
        "file": identity.file,
        "fingerprint": slide_fingerprint,
        "sha256": sha256,
        "left_digest": left_digest(assay),
        "assay_digest": assay_digest(assay),
        "model_digest": segmenter.digest,
        "slidescore_version": slidescore_version(),
        "roi_digest": roi_digest,
        "mpp": mpp,
        "profile": segmenter.profile,
    }


def _measure_and_judge(
    open_reader: Callable[[], SlideReader],
    assay: Assay,
    segmenter: SegmenterPlan,
    identity: SlideIdentity,
    slide_fingerprint: str,
    mpp: float | None,
    annotations: AnnotationSet,
    roi: str | Path | None,
    threads: int,
    allowed: Callable[[], int] | None,
    on_progress: Progress | None,
    notes: tuple[dict[str, str], ...],
    journal: TileJournal | None,
    checked: Checked | None = None,
) -> SlideResult:
    def measure(plan: SegmenterPlan) -> SlideAnalysis:
        return analyze_slide(
            open_reader, assay, fingerprint=slide_fingerprint, mpp=mpp, annotations=annotations, threads=threads,
            allowed=allowed, plan=plan, on_progress=on_progress, journal=journal,
        )  # fmt: skip

    analysis = _measure_where_it_fits(measure, assay, segmenter)
    analysis.facts["annotations"] = (
        {"file": Path(roi).name, "digest": annotations.digest, "counts": annotations.counts()} if roi else None
    )
    analysis.facts["notes"] = [*map(dict, notes), *checked_notes(checked)]
    analysis.facts["integrity"]["status"] = checked_status(checked)
    return judge_slide(analysis, assay, identity)


def _measure_where_it_fits(
    measure: Callable[[SegmenterPlan], SlideAnalysis], assay: Assay, segmenter: SegmenterPlan
) -> SlideAnalysis:
    """Measure a slide; where a GPU's memory does not suffice, all of it again on the CPU: one slide, one profile."""
    try:
        return measure(segmenter)
    except DeviceMemoryError as error:
        if segmenter.device == CPU:
            raise
        problem = error.message
    release_memory(segmenter)
    on_cpu = plan_segmenter(assay, CPU, float32=segmenter.float32)
    # What was planned stays planned: another model must not slip in with another device.
    analysis = measure(replace(on_cpu, digest=segmenter.digest))
    note = f"{problem}: measured again from the start as {on_cpu.profile} instead of {segmenter.profile}"
    analysis.facts["degradations"] = [note, *analysis.facts["degradations"]]
    return analysis


def _watched(open_reader: Callable[[], SlideReader], on_read: Callable[[], None]) -> Callable[[], SlideReader]:
    """Have the slide opened so that what is read of it is told."""
    return lambda: WatchedReader(open_reader(), on_read)


def _on_read(report: Callable[[tuple[int, int, int] | None], None]) -> Callable[[], None]:
    """Report, about once a second, that reading goes on."""
    last = 0.0

    def on_read() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_SIGNS:
            last = now
            report(None)

    return on_read


def _throttled(report: Callable[[tuple[int, int, int] | None], None]) -> Progress:
    """Pass progress on at most five times a second."""
    last = 0.0

    def on_progress(done: int, total: int, n_cells: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= 0.2:  # noqa: PLR2004 - five times a second, for eyes
            last = now
            report((done, total, n_cells))

    return on_progress


def _timing(result: SlideResult, seconds: float, tiles_resumed: int) -> dict[str, Any]:
    slide, analysis = result.record["slide"], result.record["analysis"]
    tiles = result.tiles
    pixels_l0 = int((tiles.column("width").to_numpy() * tiles.column("height").to_numpy()).sum())
    mpx = pixels_l0 * (slide["mpp"] / analysis["mpp"]) ** 2 / 1e6
    # Linux counts in kB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "slide_id": result.row["slide_id"],
        "file": result.row["file"],
        "seconds": round(seconds, 3),
        "tissue_mpx_per_second": round(mpx / seconds, 3),
        "cells_per_second": round(result.cells.num_rows / seconds, 1),
        "peak_memory_mb": round(peak / BYTES_PER_MB),
        "tiles_resumed": tiles_resumed,
    }
