"""The story of a cohort: find slides, score what is not done, and keep one honest row for every slide."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slidescore.assay import DEFAULT_ASSAY, Assay, LoadedAssay, assay_digest, load_assay
from slidescore.errors import DiskFullError, InputError, RunFolderBusyError, RunFolderError, SlidescoreError
from slidescore.execute import Limits, TaskTimeoutError, WorkerCrashError, Workers, available_cores
from slidescore.pipeline.intake import (
    CohortSlide,
    find_inputs,
    look_at,
    lost_slides,
    name_slides,
    read_checksums,
    stray_annotations,
)
from slidescore.pipeline.journal import BLOCK_SECONDS
from slidescore.pipeline.pseudonyms import check_key_file, hide_names, refuse_mixed_names
from slidescore.pipeline.publish import write_cohort_page
from slidescore.pipeline.segmenters import SegmenterPlan, plan_segmenter
from slidescore.pipeline.slide import SlideJob, SlideOutcome, score_job, slide_key
from slidescore.report.columns import REGION_COLUMNS, SCORE_COLUMNS, TIMING_COLUMNS
from slidescore.report.digests import remove_digests, write_digests
from slidescore.report.files import write_csv, write_json
from slidescore.report.lease import Lease, refuse_if_held
from slidescore.report.read_rows import read_rows
from slidescore.report.run_folder import RUN_SCHEMA, RunFolder, held, open_run_folder
from slidescore.scoring.tumor_model import refuse_other_cells
from slidescore.slide import file_sha256
from slidescore.slide.checksums import Manifest
from slidescore.version import library_versions, slidescore_version

NO_FILE = "no file"
"""Stands for the digest of annotations where a slide has none although a folder of them was given."""
MAX_WORKERS_A_GPU = 4
"""Each process keeps some hundred MB of GPU memory for itself; a few keep a GPU busy."""
DEFAULT_TIMEOUT_S = 600.0
"""Ten minutes: a tile takes seconds, and a slow network share that answers at all answers sooner."""
DEFAULT_SLIDE_LIMIT_S = 86_400.0
"""A day: a hundred times what a large slide takes on two cores."""
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
    key_file
        Where the names of the slides are kept when pseudonyms take their place everywhere else; None to keep the names.
    timeout_s
        A slide on which nothing gets done for so many seconds fails, and its process is killed.
    slide_limit_s
        A slide that is not finished after so many seconds fails, whatever gets done.
    journal_s
        How often the finished tiles of a slide are kept, in seconds.
    checksums
        Manifest of SHA-256; a slide that is not what it lists fails before any reader opens it.
    """

    workers: int | None = None
    mpp: float | None = None
    roi: Path | None = None
    overlay_mpp: float | None = 1.0
    overwrite: bool = False
    command: tuple[str, ...] = ()
    device: str = "auto"
    float32: bool = False
    key_file: Path | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    slide_limit_s: float = DEFAULT_SLIDE_LIMIT_S
    journal_s: float = BLOCK_SECONDS
    checksums: Path | None = None


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
    refuse_if_held(Path(out))
    loaded = assay if isinstance(assay, LoadedAssay) else load_assay(assay)
    given = [Path(inputs)] if isinstance(inputs, (str, Path)) else [Path(each) for each in inputs]
    if options.roi is not None and not options.roi.is_dir():
        raise InputError("is no directory", where=f"--roi {options.roi}")
    segmenter = plan_segmenter(loaded.assay, options.device, float32=options.float32)
    refuse_other_cells(loaded.assay, segmenter.digest)
    found = find_inputs(given, options.key_file)
    manifest = read_checksums(options.checksums, found, options.key_file)
    if options.key_file is not None:
        check_key_file(options.key_file, Path(out))
    refuse_mixed_names(Path(out), pseudonymized=options.key_file is not None)
    folder = open_run_folder(Path(out), loaded, overwrite=options.overwrite)
    limits = Limits(options.timeout_s, options.slide_limit_s)
    with held(folder) as lease, Workers(limits) as workers:
        outcomes = look_at(found, workers, _n_workers(options, segmenter, len(found)), lease)
        slides = list(name_slides(found, outcomes, options.key_file, options.roi))
        cohort = _Cohort(folder, slides, loaded.assay, segmenter, options, on_event or (lambda event: None), manifest)
        lease.check()
        remove_digests(folder.path)
        # From the moment the folder says that it is a run, a stop leaves a row for every slide.
        try:
            _write_run_json(folder, loaded, segmenter, options, given, slides, manifest)
            cohort.run(workers, lease)
        except RunFolderBusyError:
            # Another run has the folder now, and its tables stand.
            raise
        except BaseException:
            workers.stop()
            if folder.run_json.exists():
                # What stopped the run is what the user must hear, not that the tables could not be written either.
                with suppress(RunFolderError):
                    cohort.publish(lease)
            raise
        cohort.publish(lease)
        notes = (lease.note,) if lease.note else ()
        hidden = options.key_file is not None
        lost = lost_slides(manifest, found, given, hidden=hidden)
        warnings = (*notes, *lost, *stray_annotations(options.roi, found, hidden=hidden))
        return RunSummary(folder.path, tuple(cohort.rows()), cohort.n_skipped, warnings)


def _n_workers(options: RunOptions, segmenter: SegmenterPlan, n_slides: int) -> int:
    most = MAX_WORKERS_A_GPU if segmenter.device != "cpu" else available_cores()
    return min(options.workers or min(most, available_cores()), n_slides)


class _Cohort:
    """The state of a running cohort: which slides have which rows."""

    def __init__(
        self,
        folder: RunFolder,
        slides: list[CohortSlide],
        assay: Assay,
        segmenter: SegmenterPlan,
        options: RunOptions,
        listener: Listener,
        manifest: Manifest | None = None,
    ) -> None:
        self.folder, self.slides, self.assay, self.options, self.listener = folder, slides, assay, options, listener
        self.segmenter, self.manifest = segmenter, manifest
        self.records: dict[int, dict[str, Any]] = {}
        self.failures: dict[int, SlidescoreError] = {}
        self.keys: dict[int, dict[str, Any]] = {}
        self.timings: dict[int, dict[str, Any]] = {}
        self.n_skipped = 0
        self._old_timings: dict[str | None, dict[str, Any]] | None = None
        self._tables_written = 0.0

    def run(self, workers: Workers, lease: Lease) -> None:
        """Skip what is done and score the rest."""
        numbers, jobs = [], []
        for number, slide in enumerate(self.slides):
            if slide.error is not None:
                self._fail(number, slide.error)
                continue
            try:
                job = self._job(slide)
            except SlidescoreError as error:
                self.folder.slide(slide.identity.slide_id).undo()
                self._fail(number, error)
                continue
            self.keys[number] = job.key
            record = self.folder.slide(slide.identity.slide_id).done(job.key)
            if record is None or self.options.overwrite:
                numbers.append(number)
                jobs.append(job)
            else:
                self.records[number] = record
                self.n_skipped += 1
                self._tell("skipped", number, row=record["scores"])
        # From here on a row for every slide survives even a stop that leaves no time to write one.
        self._write_tables()
        if jobs:
            n_workers = _n_workers(self.options, self.segmenter, len(jobs))
            threads = max(1, available_cores() // n_workers)
            workers.run(
                score_job,
                [replace(job, threads=threads) for job in jobs],
                n_workers=n_workers,
                on_report=lambda task, progress: self._tell("progress", numbers[task], progress=progress),
                on_end=lambda task, outcome: self._end(numbers[task], outcome),
                on_tick=lease.check,
            )

    def publish(self, lease: Lease) -> None:
        """Write what describes the whole cohort, if the folder is still this run's."""
        lease.check()
        self._write_tables()
        # The page shows every slide's picture, which takes too long to do again and again on the way.
        write_cohort_page(self.folder, list(self.rows()))
        write_digests(self.folder.path)

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
        if self._old_timings is None:
            self._old_timings = {}
            # None, of an older version, or damaged: no reason to stop.
            with suppress(RunFolderError):
                old = read_rows(self.folder.path / "timings.csv", TIMING_COLUMNS)
                self._old_timings = {row["slide_id"]: dict(row) for row in old}
        rows = []
        for number in sorted(self.records):
            slide_id = self.slides[number].identity.slide_id
            row = self.timings.get(number) or self._old_timings.get(slide_id)
            rows += [row] if row else []
        return rows

    def _job(self, slide: CohortSlide) -> SlideJob:
        roi, digest, notes = None, "", slide.notes
        if self.options.roi is not None:
            # By its own name, whatever it is called in the tables.
            candidate = self.options.roi / f"{slide.source.file}.geojson"
            if candidate.is_file():
                roi, digest = candidate, file_sha256(candidate)
            else:
                text = "No annotations were found for this slide: all of its tissue was scored."
                digest = NO_FILE
                notes = (*notes, {"name": "no_roi", "level": "warn", "text": text})
        options = self.options
        entry = self.manifest.entry_of(slide.source.path) if self.manifest else None
        key = slide_key(
            self.assay, slide.fingerprint, segmenter=self.segmenter, mpp=options.mpp, roi_digest=digest,
            identity=slide.identity, sha256=entry.sha256 if entry else "",
        )  # fmt: skip
        return SlideJob(
            slide.source.path, slide.identity, self.assay, self.segmenter,
            self.folder.slide(slide.identity.slide_id).path, key, options.mpp, roi, 1, options.overlay_mpp, notes,
            resume=not options.overwrite, journal_s=options.journal_s, checksums=options.checksums,
        )  # fmt: skip

    def _end(self, number: int, outcome: SlideOutcome | SlidescoreError) -> None:
        record = self._finished_before_its_process_died(number, outcome)
        if record is not None:
            self.records[number] = record
            self._tell("scored", number, row=record["scores"])
        elif isinstance(outcome, SlidescoreError):
            self._fail(number, outcome)
            if isinstance(outcome, DiskFullError):
                raise outcome
        else:
            self.records[number] = outcome.record
            self.timings[number] = outcome.timing
            self._tell("scored", number, row=outcome.record["scores"], seconds=outcome.timing["seconds"])
        if time.monotonic() - self._tables_written > SECONDS_BETWEEN_TABLES:
            self._write_tables()

    def _finished_before_its_process_died(
        self, number: int, outcome: SlideOutcome | SlidescoreError
    ) -> dict[str, Any] | None:
        """Return the result of a slide whose process wrote it and then died before it could say so.

        The folder and its tables must not say two things about one slide.
        """
        if not isinstance(outcome, (WorkerCrashError, TaskTimeoutError)):
            return None
        return self.folder.slide(self.slides[number].identity.slide_id).done(self.keys[number])

    def _fail(self, number: int, error: SlidescoreError) -> None:
        if self.options.key_file is not None:
            error = hide_names(error, self.slides[number].source, self.slides[number].identity.file)
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


def _failed_row(slide: CohortSlide, reason: str, assay: Assay, segmenter: SegmenterPlan) -> dict[str, Any]:
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
    slides: Sequence[CohortSlide],
    manifest: Manifest | None,
) -> None:
    hidden = options.key_file is not None
    content = {
        "schema": RUN_SCHEMA,
        "tool": "slidescore",
        "assay": {"name": loaded.assay.name, "digest": assay_digest(loaded.assay), "text": loaded.text},
        "model": {"name": segmenter.name, "digest": segmenter.digest},
        "versions": library_versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "pseudonymized": hidden,
        "command": [] if hidden else list(options.command),
        "devices": [_device_text(segmenter)],
        "inputs": [] if hidden else [str(path) for path in given],
        "roi": str(options.roi) if options.roi and not hidden else None,
        "overlay_mpp": options.overlay_mpp,
        "checksums": manifest.sha256 if manifest else None,
        "slides": {slide.identity.slide_id: None if hidden else str(slide.source.path.resolve()) for slide in slides},
    }
    write_json(folder.run_json, content)


def _device_text(segmenter: SegmenterPlan) -> str:
    return segmenter.device if segmenter.device == "cpu" else f"{segmenter.device} ({segmenter.hardware})"
