"""The story of a rescore: new thresholds, cut-offs or rules on old measurements, without reading a pixel."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slidescore.annotations import NO_ANNOTATIONS, AnnotationSet, load_annotations
from slidescore.assay import (
    Assay,
    LoadedAssay,
    assay_digest,
    changed_left_keys,
    load_assay,
    load_tumor_model,
    refuse_unverified,
    unverified_note,
    with_tumor_model,
)
from slidescore.audit.reviewed import REVIEWED_COLUMNS
from slidescore.cells import CELL_SCHEMA
from slidescore.cohort.patient_table import unlisted_slides
from slidescore.errors import AssayError, InputError, RunFolderError, SlideOpenError, SlidescoreError
from slidescore.pipeline.analysis import SlideAnalysis
from slidescore.pipeline.events import RunSummary
from slidescore.pipeline.judge import SlideIdentity, judge_slide
from slidescore.pipeline.patients import (
    PATIENTS,
    patients_of_rescore,
    remove_patients,
    score_patients,
    with_patients,
    write_patients,
)
from slidescore.pipeline.pseudonyms import KeyRow, read_key_file, refuse_mixed_names
from slidescore.pipeline.publish import TABLES, write_cohort_page, write_slide_pictures
from slidescore.pipeline.readers import PictureReader
from slidescore.pipeline.reviews import add_reviews, refuse_reviews
from slidescore.pipeline.tile_parts import AreaSums
from slidescore.pipeline.tile_table import TILE_SCHEMA
from slidescore.report.columns import REGION_COLUMNS, SCORE_COLUMNS
from slidescore.report.digests import refuse_changed, remove_digests, write_digests
from slidescore.report.files import read_json, read_parquet, write_csv, write_json
from slidescore.report.read_rows import read_rows
from slidescore.report.run_folder import RunFolder, SlideFolder, held, list_results, open_run_folder
from slidescore.scoring.tumor_model import refuse_other_cells
from slidescore.slide import SlideReader, fingerprint, open_slide
from slidescore.version import library_versions, slidescore_version

FACTS = (
    "slide", "analysis", "stains", "colours", "control_areas", "integrity", "degradations", "profile", "device",
    "model", "annotations", "notes",
)  # fmt: skip
"""Parts of result.json that were measured, not judged; a second judgement takes them as they are."""


def rescore(
    run: str | Path,
    out: str | Path,
    assay: str | Path | LoadedAssay | None = None,
    *,
    tumor_model: str | Path | None = None,
    key_file: str | Path | None = None,
    with_reviews: bool = False,
    patients: str | Path | None = None,
    accept_unverified: bool = False,
    overwrite: bool = False,
    command: tuple[str, ...] = (),
    on_slide: Callable[[int, int, str], None] | None = None,
) -> RunSummary:
    """Score the measurements of a run under another assay, into a new run folder.

    Tables and pages are those that a fresh run would write. Overlays and galleries are drawn again where the slides
    can still be reached, and left out elsewhere.

    Parameters
    ----------
    run
        A run folder; it is not changed.
    out
        The new run folder.
    assay
        An assay that measures what the run's assay measured; None for the run's own.
    tumor_model
        File of a tumor model, which then decides which cells are tumor cells.
    key_file
        Key file of a run of pseudonyms, which says where the slides are; without it no picture is drawn.
    with_reviews
        Take the run's reviews along, and add the columns `slidescore.audit.reviewed.REVIEWED_COLUMNS` to scores.csv;
        the assay must then stay the run's own.
    patients
        Slide-to-patient table; None for the patients that the run has, if any.
    accept_unverified
        Whether the assay's cut-off may be one of status unverified.
    overwrite
        Take up a folder that holds results of another assay.
    command
        The command line, for run.json.
    on_slide
        Told before each slide: its number, how many there are, its file.

    Raises
    ------
    AssayError
        If the new assay differs left of the wall: that needs a new score. If the tumor model is none, or was trained on
        cells measured otherwise. If the run's reviews are asked for under another assay. If the cut-off is unverified
        and not accepted. In all cases before `out` is made.
    InputError
        If the key file is none, or the run has names of its own. If the patient table is wrong.
    RunFolderError
        If `run` is no run folder, its measurements were changed since they were written, or `out` cannot be written. If
        reviews are asked for, and there are none, they were changed, or `out` has some that the run does not have.
    """
    source = RunFolder(Path(run))
    loaded = _new_assay(source, assay, tumor_model)
    refuse_unverified(loaded.assay, accepted=accept_unverified)
    refuse_new_measurements(source.read_assay(), loaded)
    if Path(out).resolve() == source.path.resolve():
        raise RunFolderError("is the run itself", where=str(out), remedy="give another --out")
    old_run, results = read_json(source.run_json), list_results(source)
    known = _read_key(key_file, old_run)
    refuse_mixed_names(Path(out), pseudonymized=bool(old_run.get("pseudonymized")))
    for old in results:
        refuse_other_cells(loaded.assay, old["model"]["digest"])
    if with_reviews:
        refuse_reviews(source, Path(out), loaded)
    old_rows = read_rows(source.path / "scores.csv", SCORE_COLUMNS, optional=REVIEWED_COLUMNS)
    table = patients_of_rescore(Path(patients) if patients else None, old_run, old_rows, results, known)
    warnings: list[str] = []
    target = open_run_folder(Path(out), loaded, overwrite=overwrite)
    with held(target) as lease:
        remove_digests(target.path)
        remove_patients(target.path)
        made = old_run | {PATIENTS: table.to_json() if table else None}
        _write_run_json(target, made, loaded, command, accept_unverified=accept_unverified)
        records: dict[str, dict[str, Any]] = {}
        for number, old in enumerate(results):
            if on_slide:
                on_slide(number, len(results), old["file"])
            records[old["slide_id"]] = _rescore_slide(source, target, old, loaded.assay, old_run, known)
        rows = with_patients(_rows(old_rows, records, loaded.assay, old_run), table)
        if with_reviews:
            rows, warnings = add_reviews(source, target, rows, loaded.assay)
        write_csv(target.path / "scores.csv", (*SCORE_COLUMNS, *(REVIEWED_COLUMNS if with_reviews else ())), rows)
        scored = [records[row["slide_id"]] for row in rows if row["slide_id"] in records]
        regions = [region for record in scored for region in record["regions"]]
        write_csv(target.path / "regions.csv", REGION_COLUMNS, with_patients(regions, table))
        scores = score_patients(rows, records, table, loaded.assay)
        if table is not None:
            write_patients(target.path, scores)
            warnings += unlisted_slides(table, {row["slide_id"]: row["file"] for row in rows})
        write_cohort_page(target, rows, scores)
        write_digests(target.path)
    notes = (note for note in (unverified_note(loaded.assay), lease.note) if note)
    return RunSummary(target.path, tuple(rows), 0, (*notes, *warnings), scores)


def _new_assay(
    source: RunFolder, assay: str | Path | LoadedAssay | None, tumor_model: str | Path | None
) -> LoadedAssay:
    if assay is None:
        old, content = source.read_assay(), read_json(source.run_json)
        loaded = LoadedAssay(old, content["assay"]["text"], "run.json")
    else:
        loaded = assay if isinstance(assay, LoadedAssay) else load_assay(assay)
    return loaded if tumor_model is None else with_tumor_model(loaded, load_tumor_model(Path(tumor_model)))


def _read_key(key_file: str | Path | None, run: dict[str, Any]) -> list[KeyRow]:
    if key_file is None:
        return []
    if not run.get("pseudonymized"):
        raise InputError("the run has its slides' own names", where="--key", remedy="leave it out")
    return read_key_file(Path(key_file))


def refuse_new_measurements(old: Assay, new: LoadedAssay) -> None:
    """Refuse an assay that would measure something else than the run did.

    Raises
    ------
    AssayError
        Naming the first differing key left of the wall.
    """
    changed = changed_left_keys(old, new.assay)
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise AssayError(
            f"'{changed[0]}'{more} differs from the run's assay; this needs score",
            where=new.origin,
            remedy="run 'slidescore score' with this assay",
        )


def load_analysis(folder: SlideFolder, record: dict[str, Any]) -> SlideAnalysis:
    """Read the measurements of a finished slide.

    Raises
    ------
    RunFolderError
        If a table is missing or damaged, or the record lacks a part.
    """
    try:
        # In the order of the record, so that what is written again is the same bytes.
        facts = {part: record[part] for part in sorted(FACTS, key=list(record).index)}
        areas = {name: AreaSums(*values) for name, values in record["region_areas"].items()}
    except (LookupError, TypeError, ValueError) as error:
        raise RunFolderError(f"lacks a part: {error}", where=str(folder.result)) from error
    return SlideAnalysis(
        read_parquet(folder.path / "cells.parquet", CELL_SCHEMA),
        read_parquet(folder.path / "tiles.parquet", TILE_SCHEMA),
        facts,
        areas,
    )


def _rescore_slide(
    source: RunFolder,
    target: RunFolder,
    old: dict[str, Any],
    assay: Assay,
    run: dict[str, Any],
    known: Sequence[KeyRow],
) -> dict[str, Any]:
    old_folder, folder = source.slide(old["slide_id"]), target.slide(old["slide_id"])
    refuse_changed(old_folder.path, TABLES)
    identity = SlideIdentity(old["slide_id"], old["file"])
    result = judge_slide(load_analysis(old_folder, old), assay, identity)
    key = {**old["key"], "assay_digest": assay_digest(assay)}
    folder.begin()
    reader, annotations = _reach(old, assay, run, known)
    try:
        write_slide_pictures(folder.work, result, reader, annotations, overlay_mpp=run.get("overlay_mpp"))
    except SlideOpenError:
        # Out of reach by now. Not said: the error names its path, which in a run of pseudonyms nobody may see.
        write_slide_pictures(folder.work, result, None, NO_ANNOTATIONS, overlay_mpp=None)
    finally:
        if reader is not None:
            reader.close()
    # The tables are copied, not written again: they are left of the wall.
    for name in TABLES:
        shutil.copyfile(old_folder.path / name, folder.work / name)
    folder.finish(result.record, key)
    return result.record


def _reach(
    old: dict[str, Any], assay: Assay, run: dict[str, Any], known: Sequence[KeyRow]
) -> tuple[SlideReader | None, AnnotationSet]:
    """Open the slide and its annotations if they are still where they were and what they were."""
    annotations = NO_ANNOTATIONS
    try:
        path, drawn = _places(old, run, known)
        if fingerprint(path) != old["key"]["fingerprint"]:
            return None, NO_ANNOTATIONS
        if old["annotations"]:
            annotations = load_annotations(drawn, assay.tissue.annotations)
            if annotations.digest != old["annotations"]["digest"]:
                return None, NO_ANNOTATIONS
        return PictureReader(lambda: open_slide(path)), annotations
    except (SlidescoreError, LookupError, TypeError):
        return None, NO_ANNOTATIONS


def _places(old: dict[str, Any], run: dict[str, Any], known: Sequence[KeyRow]) -> tuple[Path, Path]:
    """Say where a slide and its annotations were: after run.json, or after the key file of a run of pseudonyms.

    Raises
    ------
    LookupError, TypeError
        If neither says so.
    """
    if not run.get("pseudonymized"):
        return Path(run["slides"][old["slide_id"]]), Path(run["roi"] or "") / f"{old['file']}.geojson"
    rows = [row for row in known if (row.pseudonym, row.fingerprint) == (old["file"], old["key"]["fingerprint"])]
    return Path(rows[-1].path), Path(rows[-1].annotations)


def _rows(
    old_rows: Sequence[dict[str, str | None]], records: dict[str, dict[str, Any]], assay: Assay, run: dict[str, Any]
) -> list[dict[str, Any]]:
    """Keep the order of the old table; a slide that failed there, or has no result of that run, has failed here too."""
    rows = []
    for old in old_rows:
        if old["slide_id"] in records:
            rows.append(records[old["slide_id"]]["scores"])
        else:
            # Reviewed columns of the old table are no part of the new one.
            old = {name: old[name] for name in SCORE_COLUMNS}
            failed = old if old["status"] == "failed" else _not_reached(old, run)
            rows.append(
                failed
                | {
                    "compartment": assay.score.compartment,
                    "cutoff": assay.call.cutoff_text,
                    "assay_digest": assay_digest(assay),
                    "slidescore_version": slidescore_version(),
                }
            )
    return rows


def _not_reached(old: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Make the row of a slide without a result of its run: the run was stopped before it."""
    kept = {name: old[name] for name in ("slide_id", "file")}
    made = {"status": "failed", "reason": "not reached", "model_digest": run["model"]["digest"]}
    return dict.fromkeys(SCORE_COLUMNS) | kept | made


def _write_run_json(
    target: RunFolder, old: dict[str, Any], loaded: LoadedAssay, command: tuple[str, ...], *, accept_unverified: bool
) -> None:
    write_json(
        target.run_json,
        {
            **old,
            "assay": {"name": loaded.assay.name, "digest": assay_digest(loaded.assay), "text": loaded.text},
            "versions": library_versions(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": [] if old.get("pseudonymized") else list(command),
            "accept_unverified": accept_unverified,
            "rescored_from": {"assay_digest": old["assay"]["digest"], "created": old["created"]},
        },
    )
