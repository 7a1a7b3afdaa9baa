"""What a cohort is made of: its slides found, looked at in worker processes, and named, each once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slidescore.errors import InputError, SlidescoreError
from slidescore.execute import Workers
from slidescore.pipeline.judge import SlideIdentity
from slidescore.pipeline.pseudonyms import rename_slides
from slidescore.report.lease import Lease
from slidescore.slide import SlideInput, find_slides, fingerprint, slide_ids
from slidescore.slide.checksums import Manifest, read_manifest
from slidescore.slide.fingerprint import safe_stem
from slidescore.slide.open import check_file

NAMED_AT_MOST = 5
"""So many lost files are named; the manifest has the rest."""


@dataclass(frozen=True, slots=True)
class CohortSlide:
    """A slide of the cohort before it is scored; `error` when it cannot even be looked at."""

    source: SlideInput
    identity: SlideIdentity
    fingerprint: str
    notes: tuple[dict[str, str], ...]
    error: SlidescoreError | None = None


def find_inputs(given: Sequence[Path], key_file: Path | None) -> list[SlideInput]:
    """Find the slides; under pseudonyms an error repeats no name but those that were given."""
    try:
        return find_slides(given)
    except InputError as error:
        if key_file is None or error.where in map(str, given):
            raise
        remedy = "without --pseudonymize the message names it"
        raise InputError("a slide or folder below INPUT cannot be used", remedy=remedy) from None


def read_checksums(path: Path | None, found: Sequence[SlideInput], key_file: Path | None) -> Manifest | None:
    """Read the manifest; under pseudonyms an error repeats no name."""
    if path is None:
        return None
    try:
        manifest = read_manifest(path)
        manifest.refuse_ambiguity(found)
    except InputError as error:
        if key_file is None:
            raise
        remedy = "without --pseudonymize the message says why"
        raise InputError("cannot be used", where=f"--checksums {path}", remedy=remedy) from error
    return manifest


def look_at_file(path: Path, report: Callable[[Any], None]) -> str:
    """Fingerprint a slide; runs in a worker process, for a file of a stalled disk may never answer.

    Raises
    ------
    SlideOpenError
        If it is no file, or cannot be read.
    """
    # Opening a pipe or a device can wait for ever.
    if not path.is_file():
        check_file(path)
    return fingerprint(path)


def look_at(found: Sequence[SlideInput], workers: Workers, n_workers: int, lease: Lease) -> list[str | SlidescoreError]:
    """Fingerprint the slides; the error of one that cannot be looked at takes its place."""
    outcomes: dict[int, str | SlidescoreError] = {}
    workers.run(
        look_at_file,
        [source.path for source in found],
        n_workers=n_workers,
        on_report=lambda task, content: None,
        on_end=outcomes.__setitem__,
        on_tick=lease.check,
    )
    return [outcomes[number] for number in range(len(found))]


def name_slides(
    found: Sequence[SlideInput],
    outcomes: Sequence[str | SlidescoreError],
    key_file: Path | None,
    roi: Path | None,
) -> Iterator[CohortSlide]:
    """Name the slides by their fingerprints; yields them in the order of their names in the tables."""
    prints = {number: outcome for number, outcome in enumerate(outcomes) if isinstance(outcome, str)}
    errors = {number: outcome for number, outcome in enumerate(outcomes) if not isinstance(outcome, str)}
    shown = list(found)
    if key_file is not None:
        shown = rename_slides(key_file, found, prints, roi)
    order = sorted(range(len(found)), key=lambda number: shown[number].file)
    readable = [number for number in order if number in prints]
    named = dict(zip(readable, slide_ids([(shown[n], prints[n]) for n in readable]), strict=True))
    for number in order:
        source, file = found[number], shown[number].file
        if number in errors:
            name = hashlib.sha256(file.encode("utf-8", "surrogateescape")).hexdigest()
            identity = SlideIdentity(f"{safe_stem(file)}-{name[:8]}", file)
            yield CohortSlide(source, identity, "", (), errors[number])
            continue
        slide_id, duplicate_of = named[number]
        notes: tuple[dict[str, str], ...] = ()
        if duplicate_of is not None:
            text = f"This file is an identical copy of {duplicate_of}."
            notes = ({"name": "duplicate_slide", "level": "warn", "text": text},)
        yield CohortSlide(source, SlideIdentity(slide_id, file), prints[number], notes)


def lost_slides(
    manifest: Manifest | None, found: Sequence[SlideInput], given: Sequence[Path], *, hidden: bool
) -> tuple[str, ...]:
    """Say what a manifest lists and nobody has; under pseudonyms only how many."""
    lost = manifest.lost(found, given) if manifest is not None else []
    if not lost:
        return ()
    names = "" if hidden else f": {', '.join(lost[:NAMED_AT_MOST])}{' ...' if len(lost) > NAMED_AT_MOST else ''}"
    what = "1 file of the checksum manifest is" if len(lost) == 1 else f"{len(lost)} files of the checksum manifest are"
    return (f"{what} not there{names}",)


def stray_annotations(roi: Path | None, found: Sequence[SlideInput], *, hidden: bool) -> tuple[str, ...]:
    """Say which annotations belong to no slide; under pseudonyms only how many."""
    if roi is None:
        return ()
    wanted = {f"{source.file}.geojson" for source in found}
    drawn = {path.relative_to(roi).as_posix() for path in roi.rglob("*.geojson")}
    if hidden:
        return (f"{len(drawn - wanted)} annotation files belong to no slide of this run",) if drawn - wanted else ()
    return tuple(f"{name} belongs to no slide of this run" for name in sorted(drawn - wanted))
