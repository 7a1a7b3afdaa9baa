"""The measures of the slides of runs: from result.json, and from the cells of control tissue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from slidescore.assay import Assay
from slidescore.cells.table import CELL_SCHEMA, OUTLINE, floats
from slidescore.cohort.run_scores import RunScores, read_run_scores
from slidescore.errors import InputError
from slidescore.monitor.batch_table import CONTROL_NEGATIVE, CONTROL_POSITIVE, SAMPLE
from slidescore.monitor.measures import (
    CONTROL_DAB_OD,
    COUNTERSTAIN_OD,
    DAB_ACROSS,
    DAB_ALONG,
    FLOOR,
    WHITE_BALANCE,
    WHITE_LEVEL,
    floor_degrees,
)
from slidescore.report.digests import refuse_changed
from slidescore.report.files import read_json, read_parquet
from slidescore.report.run_folder import RunFolder
from slidescore.scoring.bins import cell_bins, count_bins
from slidescore.scoring.scores import control_table
from slidescore.scoring.selection import counted_cells
from slidescore.stain.hue import hue_angles, hue_frame
from slidescore.stain.vectors import StainVectors

NEGATIVE_WORD: Final = "negative"
"""In the name of an annotation of control tissue: it is a negative control, other control tissue a positive one."""
CELLS_FILE: Final = "cells.parquet"
_COLUMNS: Final = pa.schema([each for each in CELL_SCHEMA if each.type != OUTLINE])
_RED, _BLUE = 0, 2


@dataclass(frozen=True, slots=True)
class SlideMeasures:
    """What was measured of one slide.

    Attributes
    ----------
    values, why
        By measure; None where it has none, and why.
    control_h, n_control, n_positive_control
        H-score of the positive control tissue, and cells of negative and of positive control tissue.
    floor_percent
        Positive cells of the negative control tissue, percent.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    control_h: float | None = None
    floor_percent: float | None = None
    n_positive_control: int = 0
    n_negative_control: int = 0


def read_runs(paths: Sequence[Path]) -> tuple[RunScores, ...]:
    """Read runs that may be charted together.

    Raises
    ------
    InputError
        If two runs have the same folder name, hold the same slide, or were scored under different assays or models:
        their numbers differ for reasons that are neither staining nor scanning.
    RunFolderError
        If one is no finished run, or was changed.
    """
    runs: list[RunScores] = []
    places: dict[str, str] = {}
    for path in paths:
        run = read_run_scores(path)
        name = run_name(run)
        if name in {run_name(other) for other in runs}:
            raise InputError(f"two runs are called '{name}'", where=str(path), remedy="rename one of the folders")
        for slide in run.slides:
            if slide.slide_id in places:
                raise InputError(
                    f"slide {slide.slide_id} is in run '{places[slide.slide_id]}' as well", where=str(path)
                )
            places[slide.slide_id] = name
        if runs:
            _refuse_other(runs[0], run, path)
        runs.append(run)
    return tuple(runs)


def run_name(run: RunScores) -> str:
    """Return the name of a run: its folder's."""
    return run.path.resolve().name


def read_measures(run: RunScores, slide_id: str, role: str, *, with_controls: bool) -> SlideMeasures:
    """Measure one slide.

    Parameters
    ----------
    run, slide_id
        The slide.
    role
        Its role in the table of batches.
    with_controls
        Whether there are positive control slides, which then give the counterstain.

    Raises
    ------
    RunFolderError
        If a file is missing or was changed.
    """
    slide = next(each for each in run.slides if each.slide_id == slide_id)
    names = [each.name for each in (CONTROL_DAB_OD, FLOOR, DAB_ACROSS, DAB_ALONG, WHITE_LEVEL, WHITE_BALANCE)]
    if slide.status == "failed":
        reason = f"the slide failed: {slide.reason}"
        return SlideMeasures(dict.fromkeys(names), dict.fromkeys((*names, COUNTERSTAIN_OD.name), reason))
    folder = RunFolder(run.path).slide(slide_id)
    record = read_json(folder.result)
    found = SlideMeasures()
    values, why = found.values, found.why
    _measure_white(record["stains"], values, why)
    _measure_dab(record, run.assay, values, why)
    _measure_counterstain(record, role, values, why, with_controls=with_controls)
    controls = _control_cells(folder.path, record, role)
    positive = _measure_positive(controls[CONTROL_POSITIVE], run.assay, values, why)
    negative = _measure_floor(controls[CONTROL_NEGATIVE], run.assay, values, why)
    return SlideMeasures(values, why, positive[0], negative[0], positive[1], negative[1])


def _refuse_other(first: RunScores, run: RunScores, path: Path) -> None:
    remedy = "chart runs of one assay and model together; 'slidescore rescore' brings a run under another assay"
    for what, one, other in (
        ("assay", f"{first.assay.name} {first.assay_digest}", f"{run.assay.name} {run.assay_digest}"),
        ("model", first.model_digest, run.model_digest),
    ):
        if one != other:
            raise InputError(
                f"was scored under {what} {other}, run '{run_name(first)}' under {one}", where=str(path), remedy=remedy
            )


def _measure_white(stains: Mapping[str, Any], values: dict[str, float | None], why: dict[str, str]) -> None:
    glass = stains["white_source"] == "glass"
    white = [float(channel) for channel in stains["white"]]
    values[WHITE_LEVEL.name] = sum(white) / len(white) if glass else None
    values[WHITE_BALANCE.name] = math.log10(white[_RED] / white[_BLUE]) if glass else None
    if not glass:
        why |= dict.fromkeys((WHITE_LEVEL.name, WHITE_BALANCE.name), "no clear glass was found or looked for")


def _measure_dab(record: Mapping[str, Any], assay: Assay, values: dict[str, float | None], why: dict[str, str]) -> None:
    """Place the DAB of a slide on the frame of the assay's own vectors, along and across their arc."""
    along = across = None
    stains = record["stains"]
    if assay.stains.vectors == "fixed":
        across = record["colours"].get("chromogen_across_degrees")
        why[DAB_ALONG.name] = "the assay's vectors are fixed: only the hue of pure chromogen is measured"
        if across is None:
            why[DAB_ACROSS.name] = "too little chromogen to measure its hue"
    elif stains["vectors_source"] == "estimated":
        frame = hue_frame(StainVectors(assay.stains.hematoxylin, assay.stains.dab, "fixed"))
        _, found_along, found_across = hue_angles(np.array(stains["dab"], np.float64), frame)
        along, across = float(found_along), float(found_across)
    else:
        reason = f"the estimate was not believed: {(stains['estimate'] or {}).get('reason', '')}"
        why |= dict.fromkeys((DAB_ALONG.name, DAB_ACROSS.name), reason)
    values[DAB_ACROSS.name], values[DAB_ALONG.name] = across, along


def _measure_counterstain(
    record: Mapping[str, Any], role: str, values: dict[str, float | None], why: dict[str, str], *, with_controls: bool
) -> None:
    """Take the counterstain of the slides that are most alike."""
    wanted = CONTROL_POSITIVE if with_controls else SAMPLE
    values[COUNTERSTAIN_OD.name] = record["qc"]["measures"].get("counterstain_od") if role == wanted else None
    if values[COUNTERSTAIN_OD.name] is None:
        why[COUNTERSTAIN_OD.name] = f"charted for slides of role {wanted}" if role != wanted else "not measured"


def _control_cells(folder: Path, record: Mapping[str, Any], role: str) -> dict[str, pa.Table | None]:
    """Return the cells of positive and of negative control tissue, None where a slide has none.

    All cells of control tissue count, whatever the tumor rule says of them, but those that QC takes out.
    """
    names: dict[str, list[str]] = {CONTROL_POSITIVE: [], CONTROL_NEGATIVE: []}
    for name in record["control_areas"]:
        names[CONTROL_NEGATIVE if NEGATIVE_WORD in str(name).casefold() else CONTROL_POSITIVE].append(str(name))
    if role == SAMPLE and not record["control_areas"]:
        return dict.fromkeys(names)
    refuse_changed(folder, (CELLS_FILE,))
    cells = read_parquet(folder / CELLS_FILE, _COLUMNS)
    found: dict[str, pa.Table | None] = {}
    for kind, areas in names.items():
        parts = [control_table(cells, area) for area in areas]
        if role == kind:
            parts.append(cells.filter(pa.array(counted_cells(cells))))
        found[kind] = pa.concat_tables(parts) if parts else None
    return found


def _measure_positive(
    cells: pa.Table | None, assay: Assay, values: dict[str, float | None], why: dict[str, str]
) -> tuple[float | None, int]:
    """Measure the positive control; returns its H-score and number of cells."""
    values[CONTROL_DAB_OD.name] = None
    if reason := _too_few(cells, assay, "positive"):
        why[CONTROL_DAB_OD.name] = reason
        return None, 0 if cells is None else cells.num_rows
    assert cells is not None
    density = floats(cells, f"dab_od_{assay.score.compartment}").astype(np.float64)
    values[CONTROL_DAB_OD.name] = float(np.nanmean(density)) if np.isfinite(density).any() else None
    return count_bins(cell_bins(cells, assay, assay.score.compartment)[0]).h_score, cells.num_rows


def _measure_floor(
    cells: pa.Table | None, assay: Assay, values: dict[str, float | None], why: dict[str, str]
) -> tuple[float | None, int]:
    """Measure the negative control; returns its positive cells in percent, and its number of cells."""
    values[FLOOR.name] = None
    if reason := _too_few(cells, assay, "negative"):
        why[FLOOR.name] = reason
        return None, 0 if cells is None else cells.num_rows
    assert cells is not None
    counts = count_bins(cell_bins(cells, assay, assay.score.compartment)[0])
    values[FLOOR.name] = floor_degrees(counts.total - counts.n0, counts.total)
    return counts.percent_positive, cells.num_rows


def _too_few(cells: pa.Table | None, assay: Assay, kind: str) -> str:
    if cells is None:
        return f"no {kind} control tissue"
    if cells.num_rows < assay.qc.min_tumor_cells:
        return f"fewer than {assay.qc.min_tumor_cells} cells of {kind} control tissue"
    return ""
