"""The story of an export of reviews: log and results of a run, written for another program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import orjson

from slidescore.assay import Assay
from slidescore.audit.events import Event
from slidescore.audit.export import (
    EVENT_COLUMNS,
    LABEL_COLUMNS,
    READING_COLUMNS,
    event_rows,
    label_rows,
    reading_rows,
    review_features,
)
from slidescore.audit.reviewed import REVIEWED_COLUMNS
from slidescore.errors import InputError, UnknownNameError, nearest_names
from slidescore.pipeline.reviews import ReviewedSlide, fold_slide, read_reviews
from slidescore.report.columns import SCORE_COLUMNS
from slidescore.report.files import write_bytes, write_csv
from slidescore.report.read_rows import read_rows
from slidescore.report.run_folder import RunFolder, list_results

TABLE_SUFFIX: Final = ".csv"
"""Of every table; `train tumor` takes labels by it."""
GEOJSON_SUFFIX: Final = ".geojson"


@dataclass(frozen=True, slots=True)
class _Source:
    """What an export is made of: run, assay, events in order, slides with results in order of their files."""

    folder: RunFolder
    assay: Assay
    events: tuple[Event, ...]
    files: Mapping[str, str]
    slide_ids: tuple[str, ...]

    def slides(self) -> Iterator[ReviewedSlide]:
        """Fold the events onto each result that has any, one slide in memory at a time."""
        touched = {event.slide_id for event in self.events}
        for slide_id in self.slide_ids:
            if slide_id in touched:
                yield fold_slide(self.folder, slide_id, self.assay, self.events)


def export_reviews(run: Path, kind: str, out: Path) -> list[Path]:
    """Write the reviews of a run and return the files.

    Parameters
    ----------
    run
        A reviewed run folder.
    kind
        A key of `WRITERS`.
    out
        The table to write, ending in .csv; for geojson, a folder, made if need be. Nothing is written over.

    Raises
    ------
    UnknownNameError
        If `kind` is unknown.
    InputError
        If `out` is there already, lies in the run, or there is nothing of that kind to write.
    RunFolderError
        If nobody has reviewed the run, or run or log cannot be used.
    """
    if kind not in WRITERS:
        raise UnknownNameError(f"no such export; {nearest_names(kind, WRITERS)}", where=f"--to {kind}")
    folder = RunFolder(run)
    assay, events = folder.read_assay(), read_reviews(folder)
    if out.resolve().is_relative_to(run.resolve()):
        raise InputError("lies in the run, where it does not belong", where=f"--out {out}", remedy="give another place")
    rows = read_rows(run / "scores.csv", SCORE_COLUMNS, optional=REVIEWED_COLUMNS)
    files = {row["slide_id"] or "": row["file"] or "" for row in rows}
    slide_ids = tuple(record["slide_id"] for record in list_results(folder))
    return WRITERS[kind](_Source(folder, assay, events, files, slide_ids), out)


def _write_events(source: _Source, out: Path) -> list[Path]:
    reviews = {slide.subject.slide_id: slide.review for slide in source.slides()}
    return _write_table(out, EVENT_COLUMNS, event_rows(source.events, reviews, source.files), "reviews")


def _write_labels(source: _Source, out: Path) -> list[Path]:
    rows = chain.from_iterable(label_rows(slide.subject, slide.review) for slide in source.slides())
    return _write_table(out, LABEL_COLUMNS, rows, "cells whose tumor state was set")


def _write_readings(source: _Source, out: Path) -> list[Path]:
    return _write_table(out, READING_COLUMNS, reading_rows(source.events, source.files), "blind readings")


def _write_table(out: Path, columns: Sequence[str], rows: Iterator[Mapping[str, Any]], what: str) -> list[Path]:
    if out.suffix.lower() != TABLE_SUFFIX:
        raise InputError(f"is a table, and ends in {TABLE_SUFFIX}", where=f"--out {out}")
    _refuse_there(out)
    found = list(rows)
    _refuse_nothing(found, what)
    write_csv(out, columns, found)
    return [out]


def _write_geojson(source: _Source, out: Path) -> list[Path]:
    if out.exists() and not out.is_dir():
        raise InputError("is a file, and geojson needs a folder", where=f"--out {out}")
    for slide_id in source.slide_ids:
        _refuse_there(out / f"{slide_id}{GEOJSON_SUFFIX}")
    written = []
    for slide in source.slides():
        features = list(review_features(slide.subject, slide.review, source.assay.tissue.annotations))
        if features:
            path = out / f"{slide.subject.slide_id}{GEOJSON_SUFFIX}"
            lines = b",\n".join(orjson.dumps(feature, option=orjson.OPT_SERIALIZE_NUMPY) for feature in features)
            write_bytes(path, b'{"type":"FeatureCollection","features":[\n' + lines + b"\n]}\n")
            written.append(path)
    _refuse_nothing(written, "corrected cells and no regions")
    return written


def _refuse_there(path: Path) -> None:
    if path.exists():
        raise InputError("exists already", where=f"--out {path}", remedy="give another name, or remove it")


def _refuse_nothing(found: Sequence[object], what: str) -> None:
    if not found:
        raise InputError(f"the reviews hold no {what}", where="--to", remedy="--to csv shows all that they hold")


WRITERS: Final[dict[str, Callable[[_Source, Path], list[Path]]]] = {
    "csv": _write_events,
    "geojson": _write_geojson,
    "labels": _write_labels,
    "readings": _write_readings,
}
"""Exporters by name. To add one, add its line here."""
