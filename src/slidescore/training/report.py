"""The page that training leaves behind: what was trained on what, how it went, and what it finds and misses."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from slidescore.cells.decode import DecodeSettings
from slidescore.cells.types import CELL_TYPES, TUMOR
from slidescore.cohort.proportions import wilson
from slidescore.nn.card import WEIGHTS_FILE, Calibration, Card
from slidescore.nn.network import CellNetwork
from slidescore.report.charts import ReliabilityPoint, Series, draw_lines, draw_reliability
from slidescore.report.files import write_bytes
from slidescore.report.page import NOTHING, render_page, show_number
from slidescore.training.evaluate import Field, calibrate_types
from slidescore.training.field_pictures import best_and_worst
from slidescore.training.loop import LOSS_PARTS
from slidescore.training.metrics import MATCH_UM
from slidescore.version import slidescore_version

REPORT_FILE, LOG_FILE = "report.html", "log.csv"
F1_PREFIX = "f1_"
ACCURACY_COLUMNS = {
    "n_cells": "cells",
    "detection_f1": "detection F1",
    "nucleus_f1_iou50": "nucleus F1",
    **{f"{name}_f1": f"{name} F1" for name in CELL_TYPES},
}
"""Figures of a card's table of held-back accuracy, and their heads."""
RELIABILITY_BINS = 10
MEASURED_SIDE_PX = 256
"""Side of the image on which operations are counted; convolutions take the same for each pixel of any."""
PIXELS_A_MEGAPIXEL = 1_000_000


def write_report(
    folder: Path,
    card: Card,
    network: CellNetwork,
    groups: Mapping[str, Sequence[Field]],
    typed: tuple[NDArray[np.float32], NDArray[np.int8]],
) -> Path:
    """Write `report.html` into a training folder, from its log.csv and what was held back.

    Parameters
    ----------
    folder
        The training folder; holds log.csv.
    card, network
        What was trained. The card's `accuracy` has a table `held_back`.
    groups
        Held-back fields by group, those that accuracy was measured on.
    typed
        Of held-back cells under IHC: type probabilities before calibration, float32 (n, 4), and true types, int8 (n,).

    Returns
    -------
    Path
        Of the page, which needs no other file.
    """
    probability, types = typed
    tumor = calibrate_types(probability, card.calibration, axis=1)[:, TUMOR]
    reliability = reliability_points(tumor, types == TUMOR)
    log = _read_log(folder / LOG_FILE)
    best, worst = best_and_worst(groups, DecodeSettings(**card.decode), card.calibration)
    page = render_page(
        "training.html",
        name=card.name,
        digest=card.digest,
        accuracy_columns=list(ACCURACY_COLUMNS.values()),
        accuracy=_accuracy_rows(card),
        match_um=f"{MATCH_UM:g}",
        facts=_facts(card, network),
        data=card.training.data,
        limits=card.limits,
        loss_chart=draw_lines([_series(log, part, part) for part in LOSS_PARTS], x_axis="round", y_axis="loss"),
        f1_chart=draw_lines(
            [_series(log, name, name.removeprefix(F1_PREFIX)) for name in log if name.startswith(F1_PREFIX)],
            x_axis="round", y_axis="detection F1", end=1.0,
        ),
        reliability=reliability,
        reliability_chart=draw_reliability(reliability, "predicted tumor probability", "share that is tumor"),
        tumor_share=float((types == TUMOR).mean()) if len(types) else None,
        best=best,
        worst=worst,
        recipe=yaml.safe_dump(card.training.recipe, sort_keys=False, width=120, default_flow_style=None),
        version=slidescore_version(),
    )  # fmt: skip
    path = folder / REPORT_FILE
    write_bytes(path, page.encode("utf-8"))
    return path


def gflop_per_megapixel(network: CellNetwork) -> float:
    """Count the operations of a network a megapixel, in 1e9.

    A multiplication and an addition are two, as torch's FlopCounterMode counts them. At 0.5 um/px a megapixel is a
    quarter of a square millimeter.
    """
    side = MEASURED_SIDE_PX
    counter = FlopCounterMode(display=False)
    with torch.device("meta"):
        shape_only = CellNetwork(network.config).eval()
        pixels = torch.zeros(1, 3, side, side)
    with counter, torch.inference_mode():
        shape_only(pixels)
    return float(counter.get_total_flops()) / 1e9 * PIXELS_A_MEGAPIXEL / side**2


def reliability_points(probability: NDArray[np.float32], came_true: NDArray[np.bool_]) -> list[ReliabilityPoint]:
    """Compare probabilities with what came true, in ten bins of even width; empty bins are left out.

    Parameters
    ----------
    probability
        float32, (n,), 0 to 1.
    came_true
        bool, (n,).
    """
    number = np.minimum((probability * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    points = []
    for k in np.unique(number):
        own = number == k
        n, n_true = int(own.sum()), int(came_true[own].sum())
        low, high = wilson(n_true, n)
        points.append(ReliabilityPoint(float(probability[own].mean()), n_true / n, low, high, n))
    return points


def _read_log(path: Path) -> dict[str, list[float]]:
    """Read a log by column; empty where there is none."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else {})}


def _series(log: Mapping[str, list[float]], column: str, name: str) -> Series:
    return Series(name, list(zip(log.get("round", []), log.get(column, []), strict=False)))


def _accuracy_rows(card: Card) -> list[tuple[str, list[str]]]:
    held_back = card.accuracy.get("held_back")
    rows = []
    for group, figures in held_back.items() if isinstance(held_back, dict) else ():
        assert isinstance(figures, dict)
        cells = [
            NOTHING if name not in figures else show_number(figures[name], 0 if name == "n_cells" else 2)
            for name in ACCURACY_COLUMNS
        ]
        rows.append((group, cells))
    return rows


def _facts(card: Card, network: CellNetwork) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    decode, calibration = DecodeSettings(**card.decode), card.calibration
    return [
        ("steps", show_number(card.training.steps)),
        ("seed", str(card.training.seed)),
        ("parameters", show_number(n_parameters)),
        ("GFLOP a megapixel", f"{gflop_per_megapixel(network):.1f}, at {card.input.mpp:g} µm/px"),
        ("input", f"RGB, {card.input.mpp:g} µm/px, {card.input.normalisation}"),
        ("SHA-256", f"{card.sha256} ({WEIGHTS_FILE})"),
    ], [
        ("center at least", f"{decode.min_center:g}"),
        ("foreground at least", f"{decode.min_foreground:g}"),
        ("peaks apart by", f"{decode.min_distance_um:g} µm"),
        ("nucleus at least", f"{decode.min_area_um2:g} µm²"),
        *_calibration_facts(calibration),
    ]  # fmt: skip


def _calibration_facts(calibration: Calibration) -> list[tuple[str, str]]:
    return [
        ("type temperature", f"{calibration.type_temperature:g}"),
        ("tumor shift", f"{calibration.tumor_shift:g}"),
    ]
