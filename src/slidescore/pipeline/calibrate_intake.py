"""The controls of a calibration found among the inputs, and their pixels looked at in worker processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slidescore.assay import Assay
from slidescore.errors import SlidescoreError
from slidescore.execute import Workers, available_cores
from slidescore.pipeline.calibrate_pixels import ControlJob, ControlStains, look_at_control
from slidescore.pipeline.calibrate_tables import ControlRow
from slidescore.pipeline.intake import CohortSlide, find_inputs, look_at_file, name_slides
from slidescore.pipeline.options import RunOptions


def find_slides(given: Sequence[Path], workers: Workers, options: RunOptions) -> dict[str, CohortSlide]:
    """Find the inputs and name them; by slide_id."""
    found = find_inputs(given, None)
    outcomes: dict[int, Any] = {}
    workers.run(
        look_at_file,
        [source.path for source in found],
        n_workers=_count_workers(options, len(found)),
        on_report=lambda task, content: None,
        on_end=outcomes.__setitem__,
    )
    named = name_slides(found, [outcomes[number] for number in range(len(found))], None, options.roi)
    return {slide.identity.slide_id: slide for slide in named}


def look_at_controls(
    rows: Sequence[ControlRow],
    slides: Mapping[str, CohortSlide],
    assay: Assay,
    workers: Workers,
    options: RunOptions,
) -> tuple[ControlStains, ...]:
    """Sample the pixels of each control.

    Raises
    ------
    InputError
        Naming the row of a slide that cannot be read, is of another stain or has no such region; or if no positive
        control holds DAB.
    """
    jobs = []
    for row in rows:
        slide = slides[row.slide_id]
        roi = options.roi / f"{slide.source.file}.geojson" if options.roi else None
        roi = roi if roi is not None and roi.is_file() else None
        jobs.append(ControlJob(slide.source.path, roi, row.region, row.positive, assay, options.mpp))
    outcomes: dict[int, Any] = {}
    workers.run(
        look_at_control,
        jobs,
        n_workers=_count_workers(options, len(jobs)),
        on_report=lambda task, content: None,
        on_end=outcomes.__setitem__,
    )
    seen = []
    for number, row in enumerate(rows):
        outcome = outcomes[number]
        column = row.row.slide_column
        if isinstance(outcome, SlidescoreError):
            raise row.row.error(column, f"{row.file} cannot be used: {outcome.reason}", "take it out of the table")
        if not outcome.region_found:
            raise row.row.error("region", f"{row.file} has no annotation named '{row.region}'", "draw it in --roi DIR")
        if outcome.refusal:
            raise row.row.error(column, outcome.refusal, "take it out of the table")
        seen.append(outcome)
    _refuse_no_dab(rows, seen, assay)
    return tuple(seen)


def _refuse_no_dab(rows: Sequence[ControlRow], seen: Sequence[ControlStains], assay: Assay) -> None:
    positive = [(row, each.stains) for row, each in zip(rows, seen, strict=True) if row.positive]
    least = assay.stains.estimate.min_stained_pixels
    if positive and all(stains.n_dab < least for _, stains in positive):
        row, stains = positive[0]
        others = f", nor does any other of the {len(positive)} positive controls" if len(positive) > 1 else ""
        raise row.row.error(
            "role", f"positive, but {row.name} holds no DAB to speak of ({stains.n_dab} blocks of 1 um, at least "
            f"{least}){others}", "give controls that are stained"
        )  # fmt: skip


def _count_workers(options: RunOptions, n: int) -> int:
    return max(1, min(options.workers or available_cores(), n))
