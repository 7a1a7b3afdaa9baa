"""The story of `slidescore train cells`: labelled H&E in, a model folder with its card out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from slidescore.cells.decode import DecodeSettings
from slidescore.cells.types import CELL_TYPES
from slidescore.errors import InputError
from slidescore.execute import available_cores
from slidescore.nn.card import MODEL_NAME, NO_DIGEST, Card, CardInput, DataSource, Training
from slidescore.nn.device import Device, resolve_device
from slidescore.nn.network import STRIDE, CellNetwork, NetworkConfig
from slidescore.nn.weights import save_model
from slidescore.training.choose import choose_decode, fit_calibration, typed_cells
from slidescore.training.evaluate import Field, FieldCounts, count_fields, predict_fields
from slidescore.training.held_back import FIELD_MPP, HeldBackGroup, draw_held_back
from slidescore.training.loop import (
    LoopRecipe,
    begin,
    keep_rows,
    load_checkpoint,
    log_row,
    save_checkpoint,
    train_round,
)
from slidescore.training.pool import PoolPainter, PoolRecipe
from slidescore.training.report import write_report
from slidescore.training.scene import Scene
from slidescore.training.scenes import BRECAHAD, DSB, M2C, load_scenes

SOURCES = {
    DSB: DataSource(name="Data Science Bowl 2018, stage 1, histology crops", licence="CC0-1.0", use="masks"),
    M2C: DataSource(name="BRCA-M2C (Abousamra et al. 2021)", licence="BSD-3-Clause", use="typed points"),
    BRECAHAD: DataSource(name="BreCaHAD (Aksac et al. 2019)", licence="CC-BY-4.0", use="tumor points, type only"),
}
LIMITS = (
    "Trained on H&E of breast and on DSB crops rendered as IHC, and on composed glands; on no real IHC.",
    "No CXCR4 image and no per-cell intensity label was at hand.",
    "tumor means epithelial: normal ducts and carcinoma in situ are not told from invasive carcinoma.",
    "Research use only.",
)
HALO_UM = 64.0
"""What tiles must see beyond their core. The network reaches 78 um in theory; with 64 the cells of
tiles of 512 to 2048 px agree within 0.5 % (`tests/pipeline/test_network_profiles.py`)."""
CHECKED_EVERY = 2
"""Rounds between looks at the held-back fields."""


@dataclass(frozen=True, slots=True)
class CellsRecipe:
    """Everything that decides which weights come out."""

    loop: LoopRecipe = field(default_factory=LoopRecipe)
    pool: PoolRecipe = field(default_factory=PoolRecipe)
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the card has them."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What one round did: losses, and detection F1 of each held-back group where it was looked at."""

    number: int
    n_rounds: int
    losses: dict[str, float]
    f1: dict[str, float]


def train_cells(
    data: Path,
    out: Path,
    recipe: CellsRecipe,
    *,
    device: str = "auto",
    on_round: Callable[[RoundReport], None] = lambda report: None,
) -> Card:
    """Train a network; a second call with the same recipe goes on where the first one stopped.

    Parameters
    ----------
    data
        Folder of the training data sets; see `slidescore.training.scenes`.
    out
        The model's folder; its name becomes the model's. `training/` in it holds checkpoint, log and recipe.
    recipe
        See `CellsRecipe`.
    device
        As `--device`.

    Raises
    ------
    InputError
        If the data cannot be read, the name cannot be a model's, or `out` holds a training run with another recipe.
    """
    if not re.fullmatch(MODEL_NAME, out.name):
        raise InputError("a model's name is of a-z, 0-9, dot, dash and underscore", where=f"--out {out}",
                         remedy="give the folder such a name: it becomes the model's")  # fmt: skip
    where = resolve_device(device, float32=True)
    scenes = load_scenes(data)
    _settle_recipe(out / "training" / "recipe.json", recipe)
    with _training_arithmetic():
        return _train(out, recipe, where, scenes, on_round)


def _train(
    out: Path, recipe: CellsRecipe, where: Device, scenes: Sequence[Scene], on_round: Callable[[RoundReport], None]
) -> Card:
    """Train the rounds that are left, and write the model."""
    work, groups = out / "training", draw_held_back(scenes)
    trainee = begin(recipe.network, recipe.loop, where.name)
    checkpoint = work / "checkpoint.safetensors"
    if checkpoint.exists():
        load_checkpoint(checkpoint, trainee)
    keep_rows(work / "log.csv", trainee.done_rounds)
    painter = PoolPainter([s for s in scenes if s.split == "train"], recipe.pool, processes=available_cores())
    try:
        while trainee.done_rounds < recipe.loop.rounds:
            pool = painter.draw(recipe.loop.crops, recipe.loop.seed, trainee.done_rounds)
            losses = train_round(trainee, pool, recipe.loop)
            f1 = {}
            if trainee.done_rounds % CHECKED_EVERY == 0 or trainee.done_rounds == recipe.loop.rounds:
                fields = _predict(trainee.average, where, groups)
                f1 = {name: count_fields(found, DecodeSettings()).cells.f1 for name, found in fields.items()}
            log_row(work / "log.csv", {"round": trainee.done_rounds, **losses, **_columns(groups, f1)})
            save_checkpoint(checkpoint, trainee)
            on_round(RoundReport(trainee.done_rounds, recipe.loop.rounds, losses, f1))
    finally:
        painter.close()
    return _finish(out, recipe, trainee.average.eval(), _predict(trainee.average, where, groups), scenes)


@contextmanager
def _training_arithmetic() -> Iterator[None]:
    """Take vanishing numbers for 0, which a CPU computes several times faster, and all cores; undone at the end.

    Threads inherit the first from the one that starts them, so it comes before any of them.
    """
    before = torch.get_num_threads()
    torch.set_flush_denormal(True)
    torch.set_num_threads(available_cores())
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def _settle_recipe(path: Path, recipe: CellsRecipe) -> None:
    text = json.dumps(recipe.to_dict(), indent=1) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise InputError("a training run with another recipe lies there", where=str(path.parent),
                         remedy="give another --out, or remove it")  # fmt: skip
    path.write_text(text, encoding="utf-8")


def _predict(network: CellNetwork, device: Device, groups: Sequence[HeldBackGroup]) -> dict[str, list[Field]]:
    return {group.name: predict_fields(network, device, group.scenes, group.images) for group in groups}


def _columns(groups: Sequence[HeldBackGroup], f1: dict[str, float]) -> dict[str, float]:
    return {f"f1_{group.name}": f1.get(group.name, float("nan")) for group in groups}


def _finish(
    out: Path, recipe: CellsRecipe, network: CellNetwork, fields: dict[str, list[Field]], scenes: Sequence[Scene]
) -> Card:
    """Choose decode settings and calibration on the held-back fields, and write the model."""
    judged = {name: found for name, found in fields.items() if not name.startswith(BRECAHAD.split("_")[0])}
    decode = choose_decode(judged)
    stained = [each for name, found in fields.items() if name in ("m2c_ihc", "m2c_sheet") for each in found]
    typed = typed_cells(stained, decode)
    calibration = fit_calibration(*typed)
    accuracy: dict[str, Any] = {
        name: _accuracy(count_fields(found, decode, calibration)) for name, found in judged.items()
    }
    card = Card(
        schema_version=1, name=out.name, version="1", sha256=NO_DIGEST, architecture={},
        input=CardInput(mpp=FIELD_MPP, normalisation="RGB / 255", stride=STRIDE, halo_um=HALO_UM), types=CELL_TYPES,
        decode=asdict(decode), calibration=calibration,
        training=Training(
            data=tuple(SOURCES[name] for name in SOURCES if any(scene.source == name for scene in scenes)),
            seed=recipe.loop.seed, steps=recipe.loop.steps, recipe=recipe.to_dict(),
        ),
        accuracy={"held_back": accuracy}, limits=LIMITS,
    )  # fmt: skip
    card = save_model(out, network, card)
    write_report(out / "training", card, network, judged, typed)
    return card


def _accuracy(counts: FieldCounts) -> dict[str, Any]:
    figures: dict[str, Any] = {"n_cells": counts.cells.n_true, "detection_f1": round(counts.cells.f1, 3)}
    if counts.masks.n_true:
        figures["nucleus_f1_iou50"] = round(counts.masks.f1, 3)
    for name, each in zip(CELL_TYPES, counts.types, strict=True):
        if each.n_true:
            figures[f"{name}_f1"] = round(each.f1, 3)
    return figures
