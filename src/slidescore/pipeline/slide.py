"""The story of one slide: measure it, judge it, and write its folder."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slidescore.annotations import NO_ANNOTATIONS, AnnotationSet, load_annotations
from slidescore.assay import DEFAULT_ASSAY, Assay, assay_digest, left_digest, load_assay
from slidescore.pipeline.analysis import Progress, analyze_slide
from slidescore.pipeline.judge import SlideIdentity, SlideResult, judge_slide
from slidescore.pipeline.publish import write_slide_pictures, write_slide_tables
from slidescore.pipeline.readers import PictureReader
from slidescore.pipeline.segmenters import SegmenterPlan
from slidescore.report.run_folder import SlideFolder
from slidescore.slide import SlideReader, fingerprint, open_slide, slide_ids
from slidescore.slide.discover import SlideInput
from slidescore.version import slidescore_version

BYTES_PER_MB = 2**20


@dataclass(frozen=True, slots=True)
class SlideJob:
    """Everything a worker needs to score one slide into its folder.

    Attributes
    ----------
    device, float32
        Where a network runs, and whether in single precision.
    notes
        Findings made before the slide was opened, as flags: name, level, text.
    key
        What must not have changed for a finished result to stand.
    """

    path: Path
    identity: SlideIdentity
    assay: Assay
    folder: Path
    key: dict[str, Any]
    mpp: float | None
    roi: Path | None
    threads: int
    overlay_mpp: float | None
    device: str = "auto"
    float32: bool = False
    notes: tuple[dict[str, str], ...] = ()


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
        Where a network runs: auto, cpu, cuda or cuda:N.
    float32
        Whether a network computes in single precision everywhere, to compare with.
    on_progress
        Told after every tile: tiles done, tiles in all, cells found.

    Raises
    ------
    SlideOpenError, MissingResolutionError, AssayError, AnnotationError
        If the slide, its resolution, the assay or the annotations cannot be used.
    InputError, UnknownNameError, ModelError, DeviceError
        If the segmenter cannot run on the device, or its model cannot be used.
    """
    path = Path(path)
    values = assay if isinstance(assay, Assay) else load_assay(assay).assay
    annotations = load_annotations(Path(roi), values.tissue.annotations) if roi else NO_ANNOTATIONS
    [(slide_id, _)] = slide_ids([(SlideInput(path, path.name), fingerprint(path))])
    return _measure_and_judge(
        lambda: open_slide(path), values, SlideIdentity(slide_id, path.name), mpp, annotations, roi, threads,
        device, float32, on_progress, (),
    )  # fmt: skip


def score_job(job: SlideJob, report: Callable[[tuple[int, int, int]], None]) -> SlideOutcome:
    """Score one slide into its folder; runs in a worker process.

    Raises
    ------
    SlidescoreError
        Whatever makes the slide fail; its folder then holds no result.json.
    """
    started = time.perf_counter()
    folder = SlideFolder(job.folder)
    folder.begin()
    annotations = load_annotations(job.roi, job.assay.tissue.annotations) if job.roi is not None else NO_ANNOTATIONS
    result = _measure_and_judge(
        lambda: open_slide(job.path), job.assay, job.identity, job.mpp, annotations, job.roi, job.threads,
        job.device, job.float32, _throttled(report), job.notes,
    )  # fmt: skip
    write_slide_tables(folder.work, result)
    with PictureReader(lambda: open_slide(job.path)) as reader:
        write_slide_pictures(folder.work, result, reader, annotations, overlay_mpp=job.overlay_mpp, threads=job.threads)
    folder.finish(result.record, job.key)
    return SlideOutcome(result.record, _timing(result, time.perf_counter() - started))


def slide_key(
    assay: Assay,
    slide_fingerprint: str,
    *,
    segmenter: SegmenterPlan,
    mpp: float | None,
    roi_digest: str,
    identity: SlideIdentity,
) -> dict[str, Any]:
    """Say what a finished result depends on; while it is the same, the slide is not scored again."""
    return {
        "slide_id": identity.slide_id,
        "file": identity.file,
        "fingerprint": slide_fingerprint,
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
    identity: SlideIdentity,
    mpp: float | None,
    annotations: AnnotationSet,
    roi: str | Path | None,
    threads: int,
    device: str,
    float32: bool,
    on_progress: Progress | None,
    notes: tuple[dict[str, str], ...],
) -> SlideResult:
    analysis = analyze_slide(
        open_reader, assay, mpp=mpp, annotations=annotations, threads=threads, device=device, float32=float32,
        on_progress=on_progress,
    )  # fmt: skip
    analysis.facts["annotations"] = (
        {"file": Path(roi).name, "digest": annotations.digest, "counts": annotations.counts()} if roi else None
    )
    analysis.facts["notes"] = [dict(note) for note in notes]
    return judge_slide(analysis, assay, identity)


def _throttled(report: Callable[[tuple[int, int, int]], None]) -> Progress:
    """Pass progress on at most five times a second."""
    last = 0.0

    def on_progress(done: int, total: int, n_cells: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= 0.2:  # noqa: PLR2004 - five times a second, for eyes
            last = now
            report((done, total, n_cells))

    return on_progress


def _timing(result: SlideResult, seconds: float) -> dict[str, Any]:
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
    }
