"""Adapting the tumor rule to a study: from labelled cells of a run to a model file. Reads no pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slidescore.assay.tumor_model import TumorModel, model_json
from slidescore.cells import CELL_SCHEMA
from slidescore.cells.table import floats
from slidescore.errors import InputError, RunFolderError
from slidescore.report.files import read_parquet, write_bytes
from slidescore.report.run_folder import RunFolder, list_results
from slidescore.scoring.cell_features import DAB_FEATURES, FEATURES, cell_features, settled_cells
from slidescore.training.label_matching import MatchedLabels, match_labels
from slidescore.training.labels import Label, LabelledSlide, known_classes, read_labels
from slidescore.training.tumor_fit import Flags, LabelledCells, fit_tumor_model

MIN_LABELS = 5
"""Fewer cells of a kind teach nothing; 20 of each, on several slides, are a fair start."""


@dataclass(frozen=True, slots=True)
class SlideLabels:
    """What one slide gave: how many cells of each class, labels without a cell, and its cross-validated accuracy.

    `n_settled` labels lay on cells whose type an annotation had settled; they teach nothing and are left out.
    """

    file: str
    classes: dict[str, int]
    n_lost: int
    n_settled: int
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class TrainedTumor:
    """A model, and what it was made from."""

    model: TumorModel
    slides: tuple[SlideLabels, ...]
    first_lost: Label | None


def train_tumor(run: Path, labels: Path, out: Path, *, with_dab: bool = False) -> TrainedTumor:
    """Train a tumor model on labelled cells of a run and write it to `out`.

    Parameters
    ----------
    run
        A run folder; no pixel is read.
    labels
        See `slidescore.training.labels.read_labels`.
    out
        The model file, JSON.
    with_dab
        Whether DAB optical densities may be features.

    Raises
    ------
    InputError
        If labels cannot be used, are too few, or cannot be told apart.
    RunFolderError
        If the run cannot be read, or `out` not be written.
    """
    folder = RunFolder(run)
    assay = folder.read_assay()
    records = {record["slide_id"]: record for record in list_results(folder)}
    if not records:
        raise RunFolderError("holds no finished slide", where=str(run))
    slides = [_slide_of(record) for record in records.values()]
    read = read_labels(labels, slides, known_classes(assay.tissue.annotations))
    names = [name for name in FEATURES if with_dab or name not in DAB_FEATURES]
    parts: list[LabelledCells] = []
    gathered: list[tuple[LabelledSlide, MatchedLabels, int]] = []
    for slide in slides:
        own = [label for label in read if label.slide_id == slide.slide_id]
        if own:
            part, matched = _gather(folder, slide, own, names, len(gathered))
            parts.append(part)
            gathered.append((slide, matched, len(matched.rows) - len(part.is_tumor)))
    cells = _join(parts, len(names))
    lost = [label for _, matched, _ in gathered for label in matched.lost]
    _refuse_few(cells, lost)
    measured = {(records[slide.slide_id]["assay"]["left_digest"], records[slide.slide_id]["model"]["digest"])
                for slide, _, _ in gathered}  # fmt: skip
    if len(measured) > 1:
        raise InputError("its labelled slides were measured in different ways", where=str(run), remedy="score it again")
    [(left, segmenter)] = measured
    model, right = fit_tumor_model(cells, names, left_digest=left, segmenter_digest=segmenter)
    write_bytes(out, model_json(model))
    table = tuple(
        _summary(slide, matched, n_settled, right[cells.slide == number])
        for number, (slide, matched, n_settled) in enumerate(gathered)
    )
    return TrainedTumor(model, table, lost[0] if lost else None)


def _slide_of(record: dict[str, Any]) -> LabelledSlide:
    slide = record["slide"]
    return LabelledSlide(record["slide_id"], record["file"], slide["width"], slide["height"], slide["mpp"])


def _gather(
    folder: RunFolder, slide: LabelledSlide, labels: list[Label], names: list[str], number: int
) -> tuple[LabelledCells, MatchedLabels]:
    """Read the cells of a slide and take the features of the labelled ones."""
    cells = read_parquet(folder.slide(slide.slide_id).path / "cells.parquet", CELL_SCHEMA)
    matched = match_labels(labels, cells, slide.mpp)
    keep = ~settled_cells(cells)[matched.rows]
    rows = matched.rows[keep]
    network = floats(cells, "tumor_probability").astype(np.float64)[rows]
    values = cell_features(cells, slide.mpp, names)[rows]
    part = LabelledCells(values, matched.is_tumor[keep], np.full(len(rows), number, dtype=np.int64), network)
    return part, matched


def _join(parts: list[LabelledCells], n_features: int) -> LabelledCells:
    if not parts:
        return LabelledCells(np.empty((0, n_features)), np.empty(0, np.bool_), np.empty(0, np.int64), np.empty(0))
    return LabelledCells(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.is_tumor for part in parts]),
        np.concatenate([part.slide for part in parts]),
        np.concatenate([part.network for part in parts]),
    )


def _refuse_few(cells: LabelledCells, lost: list[Label]) -> None:
    for kind, n in (("tumor", int(cells.is_tumor.sum())), ("other", int((~cells.is_tumor).sum()))):
        if n < MIN_LABELS:
            more = f"; {len(lost)} labels have no cell near, the first is {lost[0].place}" if lost else ""
            raise InputError(
                f"only {n} {kind} cells are labelled, at least {MIN_LABELS} are needed{more}", where="labels",
                remedy="label some dozens of both, on two slides or more",
            )  # fmt: skip


def _summary(slide: LabelledSlide, matched: MatchedLabels, n_settled: int, right: Flags) -> SlideLabels:
    names = sorted({label.class_name for label in matched.labels})
    counts = {name: sum(label.class_name == name for label in matched.labels) for name in names}
    accuracy = float(right.mean()) if len(right) else None
    return SlideLabels(slide.file, counts, len(matched.lost), n_settled, accuracy)
