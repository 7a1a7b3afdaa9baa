"""The story of a cohort: find slides, score what is not done, and keep one honest row for every slide."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from slidescore.assay import (
    DEFAULT_ASSAY,
    LoadedAssay,
    assay_digest,
    load_assay,
    refuse_unverified,
    unverified_note,
)
from slidescore.cohort.patient_table import PatientTable, match_patients, unlisted_slides
from slidescore.errors import InputError, RunFolderBusyError, RunFolderError
from slidescore.execute import Limits, Workers
from slidescore.pipeline.events import Listener, RunSummary
from slidescore.pipeline.intake import (
    CohortSlide,
    find_inputs,
    look_at,
    lost_slides,
    name_slides,
    read_checksums,
    stray_annotations,
)
from slidescore.pipeline.options import RunOptions as RunOptions
from slidescore.pipeline.options import count_workers
from slidescore.pipeline.patients import open_patients, remove_patients
from slidescore.pipeline.pseudonyms import check_key_file, refuse_mixed_names
from slidescore.pipeline.running import RunningCohort
from slidescore.pipeline.segmenters import SegmenterPlan, plan_segmenters
from slidescore.report.digests import remove_digests
from slidescore.report.files import write_json
from slidescore.report.lease import refuse_if_held
from slidescore.report.run_folder import RUN_SCHEMA, RunFolder, held, open_run_folder
from slidescore.scoring.tumor_model import refuse_other_cells
from slidescore.slide.checksums import Manifest
from slidescore.version import library_versions


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
    refuse_unverified(loaded.assay, accepted=options.accept_unverified)
    given = [Path(inputs)] if isinstance(inputs, (str, Path)) else [Path(each) for each in inputs]
    if options.roi is not None and not options.roi.is_dir():
        raise InputError("is no directory", where=f"--roi {options.roi}")
    patient_file = open_patients(options.patients, options.key_file)
    segmenters = plan_segmenters(loaded.assay, options.device, float32=options.float32)
    refuse_other_cells(loaded.assay, segmenters[0].digest)
    found = find_inputs(given, options.key_file)
    manifest = read_checksums(options.checksums, found, options.key_file)
    if options.key_file is not None:
        check_key_file(options.key_file, Path(out))
    refuse_mixed_names(Path(out), pseudonymized=options.key_file is not None)
    folder = open_run_folder(Path(out), loaded, overwrite=options.overwrite)
    limits = Limits(options.timeout_s, options.slide_limit_s)
    with held(folder) as lease, Workers(limits) as workers:
        outcomes = look_at(found, workers, count_workers(options, segmenters, len(found)), lease)
        slides = list(name_slides(found, outcomes, options.key_file, options.roi))
        files = {slide.identity.slide_id: slide.identity.file for slide in slides}
        fingerprints = {slide.identity.slide_id: slide.fingerprint for slide in slides}
        patients = match_patients(patient_file, files, fingerprints) if patient_file else None
        cohort = RunningCohort(
            folder, slides, loaded.assay, segmenters, options, on_event or (lambda event: None), manifest, patients
        )
        lease.check()
        remove_digests(folder.path)
        remove_patients(folder.path)
        # From the moment the folder says that it is a run, a stop leaves a row for every slide.
        try:
            _write_run_json(folder, loaded, segmenters, options, given, slides, manifest, patients)
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
        notes = tuple(note for note in (unverified_note(loaded.assay), lease.note) if note)
        hidden = options.key_file is not None
        lost = lost_slides(manifest, found, given, hidden=hidden)
        unlisted = unlisted_slides(patients, files) if patients else ()
        warnings = (*notes, *lost, *stray_annotations(options.roi, found, hidden=hidden), *unlisted)
        return RunSummary(folder.path, tuple(cohort.rows()), cohort.n_skipped, warnings, cohort.patient_scores)


def _write_run_json(
    folder: RunFolder,
    loaded: LoadedAssay,
    segmenters: Sequence[SegmenterPlan],
    options: RunOptions,
    given: Sequence[Path],
    slides: Sequence[CohortSlide],
    manifest: Manifest | None,
    patients: PatientTable | None,
) -> None:
    hidden = options.key_file is not None
    content = {
        "schema": RUN_SCHEMA,
        "tool": "slidescore",
        "assay": {"name": loaded.assay.name, "digest": assay_digest(loaded.assay), "text": loaded.text},
        "model": {"name": segmenters[0].name, "digest": segmenters[0].digest},
        "versions": library_versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "pseudonymized": hidden,
        "command": [] if hidden else list(options.command),
        "devices": [_device_text(segmenter) for segmenter in segmenters],
        "inputs": [] if hidden else [str(path) for path in given],
        "roi": str(options.roi) if options.roi and not hidden else None,
        "overlay_mpp": options.overlay_mpp,
        "accept_unverified": options.accept_unverified,
        "checksums": manifest.sha256 if manifest else None,
        "patients": patients.to_json() if patients else None,
        "slides": {slide.identity.slide_id: None if hidden else str(slide.source.path.resolve()) for slide in slides},
    }
    write_json(folder.run_json, content)


def _device_text(segmenter: SegmenterPlan) -> str:
    return segmenter.device if segmenter.device == "cpu" else f"{segmenter.device} ({segmenter.hardware})"
