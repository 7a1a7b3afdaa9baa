"""A run while it goes on: which slides are done, which failed, and the tables that say so at any moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from slidescore.assay import Assay, assay_digest
from slidescore.cohort.patient_table import PatientTable
from slidescore.cohort.roll_up import PatientScore
from slidescore.errors import DiskFullError, RunFolderError, SlidescoreError
from slidescore.execute import TaskTimeoutError, WorkerCrashError, Workers, available_cores, cores_now
from slidescore.pipeline.events import Listener, SlideEvent
from slidescore.pipeline.intake import CohortSlide
from slidescore.pipeline.options import RunOptions, count_workers
from slidescore.pipeline.patients import score_patients, with_patients, write_patients
from slidescore.pipeline.pseudonyms import hide_names
from slidescore.pipeline.publish import write_cohort_page
from slidescore.pipeline.segmenters import SegmenterPlan
from slidescore.pipeline.slide import SlideJob, SlideOutcome, score_job, slide_key
from slidescore.report.columns import REGION_COLUMNS, SCORE_COLUMNS, TIMING_COLUMNS
from slidescore.report.digests import write_digests
from slidescore.report.files import write_csv
from slidescore.report.lease import Lease
from slidescore.report.read_rows import read_rows
from slidescore.report.run_folder import RunFolder
from slidescore.slide import file_sha256
from slidescore.slide.checksums import Manifest
from slidescore.version import slidescore_version

NO_FILE = "no file"
"""Stands for the digest of annotations where a slide has none although a folder of them was given."""
SECONDS_BETWEEN_TABLES = 5.0
"""Tables are rewritten at most this often while slides come in, and once at the end."""


class RunningCohort:
    """The state of a running cohort: which slides have which rows."""

    def __init__(
        self,
        folder: RunFolder,
        slides: list[CohortSlide],
        assay: Assay,
        segmenters: tuple[SegmenterPlan, ...],
        options: RunOptions,
        listener: Listener,
        manifest: Manifest | None = None,
        patients: PatientTable | None = None,
    ) -> None:
        self.folder, self.slides, self.assay, self.options, self.listener = folder, slides, assay, options, listener
        # They differ in the device only; what names a result is the same for all.
        self.segmenters, self.segmenter, self.manifest = segmenters, segmenters[0], manifest
        self.patients = patients
        self.patient_scores: tuple[PatientScore, ...] = ()
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
            workers.run(
                score_job,
                jobs,
                n_workers=count_workers(self.options, self.segmenters, len(jobs)),
                on_report=lambda task, progress: self._tell("progress", numbers[task], progress=progress),
                on_end=lambda task, outcome: self._end(numbers[task], outcome),
                on_tick=lease.check,
                fit=self._on_device,
                n_cores=available_cores(),
            )

    def _on_device(self, job: SlideJob, slot: int) -> SlideJob:
        """Give a job the device of the process that it goes to: a process keeps memory on one GPU, not on each."""
        return replace(job, segmenter=self.segmenters[slot % len(self.segmenters)])

    def publish(self, lease: Lease) -> None:
        """Write what describes the whole cohort, if the folder is still this run's."""
        lease.check()
        self._write_tables()
        # The page shows every slide's picture, which takes too long to do again and again on the way.
        rows = list(self.rows())
        records = {self.slides[number].identity.slide_id: record for number, record in self.records.items()}
        self.patient_scores = score_patients(rows, records, self.patients, self.assay)
        if self.patients is not None:
            write_patients(self.folder.path, self.patient_scores)
        write_cohort_page(self.folder, rows, self.patient_scores)
        write_digests(self.folder.path)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield exactly one row a slide, in the order of the files; a slide that was not reached says so."""
        yield from with_patients(self._slide_rows(), self.patients)

    def _slide_rows(self) -> Iterator[dict[str, Any]]:
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
            self.folder.slide(slide.identity.slide_id).path, key, options.mpp, roi, available_cores(),
            options.overlay_mpp, notes, resume=not options.overwrite, journal_s=options.journal_s,
            checksums=options.checksums, allowed=cores_now,
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
        write_csv(self.folder.path / "regions.csv", REGION_COLUMNS, with_patients(regions, self.patients))
        write_csv(self.folder.path / "timings.csv", TIMING_COLUMNS, self._timing_rows())
        self._tables_written = time.monotonic()


def _failed_row(slide: CohortSlide, reason: str, assay: Assay, segmenter: SegmenterPlan) -> dict[str, Any]:
    return dict.fromkeys(SCORE_COLUMNS) | {
        "slide_id": slide.identity.slide_id,
        "file": slide.identity.file,
        "status": "failed",
        "reason": reason,
        "compartment": assay.score.compartment,
        "cutoff": assay.call.cutoff_text,
        "profile": segmenter.profile,
        "assay_digest": assay_digest(assay),
        "model_digest": segmenter.digest,
        "slidescore_version": slidescore_version(),
    }
