"""The story of a cohort: find slides, score what is not done, and keep one honest row for every slide."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slidescore.assay import DEFAULT_ASSAY, Assay, LoadedAssay, assay_digest, load_assay
from slidescore.errors import InputError, SlidescoreError
from slidescore.execute import available_cores, run_tasks
from slidescore.pipeline.judge import SlideIdentity
from slidescore.pipeline.publish import write_cohort_page
from slidescore.pipeline.segmenters import SegmenterPlan, plan_segmenter
from slidescore.pipeline.slide import SlideJob, SlideOutcome, score_job, slide_key
from slidescore.report.columns import REGION_COLUMNS, SCORE_COLUMNS, TIMING_COLUMNS
from slidescore.report.files import write_csv, write_json
from slidescore.report.read_rows import read_rows
from slidescore.report.run_folder import RUN_SCHEMA, RunFolder, held, open_run_folder
from slidescore.scoring.tumor_model import refuse_other_cells
from slidescore.slide import SlideInput, file_sha256, find_slides, fingerprint, slide_ids
from slidescore.slide.fingerprint import safe_stem
from slidescore.version import library_versions, slidescore_version

NO_FILE = "no file"
"""Stands for the digest of annotations where a slide has none although a folder of them was given."""
MAX_WORKERS_A_GPU = 4
"""Each process keeps some hundred MB of GPU memory for itself; a few keep a GPU busy."""
SECONDS_BETWEEN_TABLES = 5.0
"""Tables are rewritten at most this often while slides come in, and once at the end."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run that change no number, or that the results record.

    Attributes
    ----------
    workers
        Slides scored at once, each in its own process; None for as many as there are cores and slides.
    mpp
        Resolution of all slides in um per level-0 pixel, whatever they state; None to take each file's own.
    roi
        Folder of annotations; those of a slide are in <file>.geojson.
    overlay_mpp
        Resolution of overlay.tiff; None writes none.
    overwrite
        Take up a folder that holds results of another assay and score everything anew.
    command
        The command line, for run.json.
    device
        Where a network runs: auto, cpu, cuda or cuda:N.
    float32
        Whether a network computes in single precision everywhere, to compare with.
    """

    workers: int | None = None
    mpp: float | None = None
    roi: Path | None = None
    overlay_mpp: float | None = 1.0
    overwrite: bool = False
    command: tuple[str, ...] = ()
    device: str = "auto"
    float32: bool = False


@dataclass(frozen=True, slots=True)
class SlideEvent:
    """Something happened to a slide.

    `kind` is `skipped` (done before), `progress` (with tiles done, tiles in all and cells), `scored` or `failed`.
    """

    kind: str
    number: int
    total: int
    file: str
    progress: tuple[int, int, int] = (0, 0, 0)
    row: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: SlidescoreError | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run came to: the rows of scores.csv, in the order of the files."""

    folder: Path
    rows: tuple[dict[str, Any], ...]
    n_skipped: int
    warnings: tuple[str, ...] = ()

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows of slides without a result."""
        return [row for row in self.rows if row["status"] == "failed"]


Listener = Callable[[SlideEvent], None]


@dataclass(frozen=True, slots=True)
class _Slide:
    """A slide of the cohort before it is scored; `error` when it cannot even be looked at."""

    source: SlideInput
    identity: SlideIdentity
    fingerprint: str
    notes: tuple[dict[str, str], ...]
    error: SlidescoreError | None = None


def score_directory(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    assay: str | Path | LoadedAssay = DEFAULT_ASSAY,
    *,
    options: RunOptions | None = None,
    on_event: Listener | None = None,
) -> RunSummary:
    """Score every slide below some files and directories into a run folder; a second call goes on where one stopped.

    Parameters
    ----------
    inputs
        Files and directories; directories are searched recursively.
    out
        The run folder.
    assay
        Name of a shipped assay, or an assay file.
    options
        See `RunOptions`.
    on_event
        Told what happens to each slide.

    Raises
    ------
    InputError, AssayError, UnknownNameError, ModelError, RunFolderError
        If the run cannot start. A slide that fails raises nothing: it gets its row.
    """
    options = options or RunOptions()
    loaded = assay if isinstance(assay, LoadedAssay) else load_assay(assay)
    given = [Path(inputs)] if isinstance(inputs, (str, Path)) else [Path(each) for each in inputs]
    if options.roi is not None and not options.roi.is_dir():
        raise InputError("is no directory", where=f"--roi {options.roi}")
    segmenter = plan_segmenter(loaded.assay, options.device, float32=options.float32)
    refuse_other_cells(loaded.assay, segmenter.digest)
    found = find_slides(given)
    folder = open_run_folder(Path(out), loaded, overwrite=options.overwrite)
    with held(folder):
        slides = list(_look_at(found))
        cohort = _Cohort(folder, slides, loaded.assay, segmenter, options, on_event or (lambda event: None))
        # From the moment the folder says that it is a run, a stop leaves a row for every slide.
        try:
            _write_run_json(folder, loaded, segmenter, options, given, slides)
            cohort.run()
        finally:
            if folder.run_json.exists():
                cohort.publish()
        return RunSummary(folder.path, tuple(cohort.rows()), cohort.n_skipped, _stray_annotations(options, found))


class _Cohort:
    """The state of a running cohort: which slides have which rows."""

    def __init__(
        self,
        folder: RunFolder,
        slides: list[_Slide],
        assay: Assay,
        segmenter: SegmenterPlan,
        options: RunOptions,
        listener: Listener,
    ) -> None:
        self.folder, self.slides, self.assay, self.options, self.listener = folder, slides, assay, options, listener
        self.segmenter = segmenter
        self.records: dict[int, dict[str, Any]] = {}
        self.failures: dict[int, SlidescoreError] = {}
        self.timings: dict[int, dict[str, Any]] = {}
        self.n_skipped = 0
        self._old_timings: dict[str | None, dict[str, Any]] | None = None
        self._tables_written = 0.0

    def run(self) -> None:
        """Skip what is done and score the rest."""
        numbers, jobs = [], []
        for number, slide in enumerate(self.slides):
            if slide.error is not None:
                self._fail(number, slide.error)
                continue
            try:
                job = self._job(slide)
            except SlidescoreError as error:
                self._fail(number, error)
                continue
            record = self.folder.slide(slide.identity.slide_id).done(job.key)
            if record is None or self.options.overwrite:
                numbers.append(number)
                jobs.append(job)
            else:
                self.records[number] = record
                self.n_skipped += 1
                self._tell("skipped", number, row=record["scores"])
        if jobs:
            most = MAX_WORKERS_A_GPU if self.segmenter.device != "cpu" else available_cores()
            n_workers = min(self.options.workers or min(most, available_cores()), len(jobs))
            threads = max(1, available_cores() // n_workers)
            run_tasks(
                score_job,
                [replace(job, threads=threads) for job in jobs],
                n_workers=n_workers,
                on_report=lambda task, progress: self._tell("progress", numbers[task], progress=progress),
                on_end=lambda task, outcome: self._end(numbers[task], outcome),
            )

    def publish(self) -> None:
        """Write what describes the whole cohort."""
        self._write_tables()
        # The page shows every slide's picture, which takes too long to do again and again on the way.
        write_cohort_page(self.folder, list(self.rows()))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield exactly one row a slide, in the order of the files; a slide that was not reached says so."""
        for number, slide in enumerate(self.slides):
            if number in self.records:
                yield self.records[number]["scores"]
            else:
                error = self.failures.get(number)
                yield _failed_row(slide, error.reason if error else "not reached", self.assay, self.segmenter)

    def _timing_rows(self) -> list[dict[str, Any]]:
        """List the timings of this run, and for skipped slides those of the run that scored them."""
        path = self.folder.path / "timings.csv"
        if self._old_timings is None:
            self._old_timings = (
                {row["slide_id"]: row for row in read_rows(path, TIMING_COLUMNS)} if path.is_file() else {}
            )
        rows = []
        for number in sorted(self.records):
            slide_id = self.slides[number].identity.slide_id
            row = self.timings.get(number) or self._old_timings.get(slide_id)
            rows += [row] if row else []
        return rows

    def _job(self, slide: _Slide) -> SlideJob:
        roi, digest, notes = None, "", slide.notes
        if self.options.roi is not None:
            candidate = self.options.roi / f"{slide.source.file}.geojson"
            if candidate.is_file():
                roi, digest = candidate, file_sha256(candidate)
            else:
                text = "No annotations were found for this slide: all of its tissue was scored."
                digest = NO_FILE
                notes = (*notes, {"name": "no_roi", "level": "warn", "text": text})
        options = self.options
        key = slide_key(
            self.assay, slide.fingerprint, segmenter=self.segmenter, mpp=options.mpp, roi_digest=digest,
            identity=slide.identity,
        )  # fmt: skip
        return SlideJob(
            slide.source.path, slide.identity, self.assay, self.segmenter,
            self.folder.slide(slide.identity.slide_id).path, key, options.mpp, roi, 1, options.overlay_mpp, notes,
        )  # fmt: skip

    def _end(self, number: int, outcome: SlideOutcome | SlidescoreError) -> None:
        if isinstance(outcome, SlidescoreError):
            self._fail(number, outcome)
        else:
            self.records[number] = outcome.record
            self.timings[number] = outcome.timing
            self._tell("scored", number, row=outcome.record["scores"], seconds=outcome.timing["seconds"])
        if time.monotonic() - self._tables_written > SECONDS_BETWEEN_TABLES:
            self._write_tables()

    def _fail(self, number: int, error: SlidescoreError) -> None:
        self.failures[number] = error
        row = _failed_row(self.slides[number], error.reason, self.assay, self.segmenter)
        self._tell("failed", number, row=row, error=error)

    def _tell(self, kind: str, number: int, **content: Any) -> None:
        self.listener(SlideEvent(kind, number, len(self.slides), self.slides[number].identity.file, **content))

    def _write_tables(self) -> None:
        rows = list(self.rows())
        regions = [row for number in sorted(self.records) for row in self.records[number]["regions"]]
        write_csv(self.folder.path / "scores.csv", SCORE_COLUMNS, rows)
        write_csv(self.folder.path / "regions.csv", REGION_COLUMNS, regions)
        write_csv(self.folder.path / "timings.csv", TIMING_COLUMNS, self._timing_rows())
        self._tables_written = time.monotonic()


def _look_at(found: Sequence[SlideInput]) -> Iterator[_Slide]:
    """Fingerprint and name the slides; yields them in the order of their files."""
    prints: dict[int, str] = {}
    errors: dict[int, SlidescoreError] = {}
    for number, source in enumerate(found):
        try:
            prints[number] = fingerprint(source.path)
        except SlidescoreError as error:
            errors[number] = error
    named = dict(zip(prints, slide_ids([(found[n], prints[n]) for n in prints]), strict=True))
    for number, source in enumerate(found):
        if number in errors:
            name = hashlib.sha256(source.file.encode("utf-8", "surrogateescape")).hexdigest()
            identity = SlideIdentity(f"{safe_stem(source.file)}-{name[:8]}", source.file)
            yield _Slide(source, identity, "", (), errors[number])
            continue
        slide_id, duplicate_of = named[number]
        notes: tuple[dict[str, str], ...] = ()
        if duplicate_of is not None:
            text = f"This file is an identical copy of {duplicate_of}."
            notes = ({"name": "duplicate_slide", "level": "warn", "text": text},)
        yield _Slide(source, SlideIdentity(slide_id, source.file), prints[number], notes)


def _failed_row(slide: _Slide, reason: str, assay: Assay, segmenter: SegmenterPlan) -> dict[str, Any]:
    return dict.fromkeys(SCORE_COLUMNS) | {
        "slide_id": slide.identity.slide_id,
        "file": slide.identity.file,
        "status": "failed",
        "reason": reason,
        "compartment": assay.score.compartment,
        "cutoff": assay.call.cutoff.text,
        "profile": segmenter.profile,
        "assay_digest": assay_digest(assay),
        "model_digest": segmenter.digest,
        "slidescore_version": slidescore_version(),
    }


def _write_run_json(
    folder: RunFolder,
    loaded: LoadedAssay,
    segmenter: SegmenterPlan,
    options: RunOptions,
    given: Sequence[Path],
    slides: Sequence[_Slide],
) -> None:
    content = {
        "schema": RUN_SCHEMA,
        "tool": "slidescore",
        "assay": {"name": loaded.assay.name, "digest": assay_digest(loaded.assay), "text": loaded.text},
        "model": {"name": segmenter.name, "digest": segmenter.digest},
        "versions": library_versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(options.command),
        "devices": [_device_text(segmenter)],
        "inputs": [str(path) for path in given],
        "roi": str(options.roi) if options.roi else None,
        "overlay_mpp": options.overlay_mpp,
        "slides": {slide.identity.slide_id: str(slide.source.path.resolve()) for slide in slides},
    }
    write_json(folder.run_json, content)


def _device_text(segmenter: SegmenterPlan) -> str:
    return segmenter.device if segmenter.device == "cpu" else f"{segmenter.device} ({segmenter.hardware})"


def _stray_annotations(options: RunOptions, found: Sequence[SlideInput]) -> tuple[str, ...]:
    if options.roi is None:
        return ()
    wanted = {f"{source.file}.geojson" for source in found}
    drawn = {path.relative_to(options.roi).as_posix() for path in options.roi.rglob("*.geojson")}
    return tuple(f"{name} belongs to no slide of this run" for name in sorted(drawn - wanted))
