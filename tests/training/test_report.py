from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from nn.drawn_network import TINY, make_card
from report.page_checks import read_page
from slidescore.cells.decode import DecodeSettings
from slidescore.cells.types import LYMPHOCYTE, TUMOR
from slidescore.nn.card import DataSource, Training
from slidescore.nn.network import CellNetwork
from slidescore.training.loop import LOSS_PARTS, log_row
from slidescore.training.report import gflop_per_megapixel, reliability_points, write_report
from training.made_maps import made_field

GRID = [(x, y) for y in (20, 60, 100) for x in (20, 50, 80, 110)]
CARD = make_card(
    name="made",
    decode=asdict(DecodeSettings(min_center=0.45)),
    training=Training(
        data=(
            DataSource(name="Fields <of> glands", licence="CC0-1.0", use="masks"),
            DataSource(name="Points", licence="BSD-3-Clause", use="types"),
        ),
        seed=17,
        steps=4321,
        recipe={"loop": {"rounds": 3, "batch": 8}},
    ),
    accuracy={
        "held_back": {
            "glands_he": {"n_cells": 1234, "detection_f1": 0.912, "nucleus_f1_iou50": 0.8, "tumor_f1": 0.7},
            "m2c_ihc": {"n_cells": 12, "detection_f1": 0.5},
        }
    },
)


def write(folder: Path, *, rounds: int = 3, typed: int = 200) -> str:
    for number in range(1, rounds + 1):
        parts = {part: (k + 1) / number for k, part in enumerate(LOSS_PARTS)}
        f1 = float("nan") if number == 1 else 0.25 * number
        log_row(folder / "log.csv", {"round": number, **parts, "f1_glands_he": f1})
    rng = np.random.default_rng(0)
    tumor = rng.uniform(0.02, 0.98, typed).astype(np.float32)
    probability = np.stack([tumor, 1 - tumor, 0 * tumor, 0 * tumor], axis=1)
    types = np.where(rng.random(typed) < tumor, TUMOR, LYMPHOCYTE).astype(np.int8)
    groups = {
        "glands_he": [made_field(GRID), made_field(GRID, heights=[0.01] * 6 + [1.0] * 6)],
        "m2c_ihc": [made_field(GRID)],
    }
    return write_report(folder, CARD, CellNetwork(TINY), groups, (probability, types)).read_text(encoding="utf-8")


def test_the_page_is_whole_and_says_what_was_trained_and_how_well(tmp_path: Path) -> None:
    html = write(tmp_path)
    text, reader = read_page(html)
    assert reader.scripts == 0
    for words in (
        "Training of made", CARD.digest, CARD.sha256, "Fields <of> glands", "BSD-3-Clause", "4,321", "seed17",
        "detection F1", "1,234", "0.91", "0.80", "0.70", "0.50", "GFLOP a megapixel", "0.45", "Drawn slides only.",
        "rounds: 3", "n = 200 cells", "Loss by round",
    ):  # fmt: skip
        assert words in text, words
    assert f"{sum(p.numel() for p in CellNetwork(TINY).parameters()):,}" in text
    assert f"{gflop_per_megapixel(CellNetwork(TINY)):.1f}, at 0.5" in text
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["log.csv", "report.html"]


def test_curves_follow_the_log(tmp_path: Path) -> None:
    text, _ = read_page(write(tmp_path))
    for k, part in enumerate(LOSS_PARTS):
        assert f"{part} {(k + 1) / 3:.2f}" in text
    assert "glands_he 0.75" in text  # the round without a look has no point
    assert "nan" not in text


def test_pictures_are_inside_the_page_best_before_worst(tmp_path: Path) -> None:
    text, reader = read_page(write(tmp_path))
    assert len(reader.sources) == 3
    assert all(source.startswith("data:image/jpeg;base64,") for source in reader.sources)
    assert text.index("Best held-back fields") < text.index("Worst held-back fields")
    assert "glands_he: F1 1.00 (12 labelled, 12 found, 12 matched)" in text
    assert "glands_he: F1 0.67 (12 labelled, 6 found, 6 matched)" in text


def test_a_run_without_a_log_or_typed_cells_still_has_a_page(tmp_path: Path) -> None:
    text, _ = read_page(write(tmp_path, rounds=0, typed=0))
    assert "No held-back IHC field has typed cells" in text


def test_reliability_is_counted_in_bins() -> None:
    probability = np.array([0.0, 0.05, 0.31, 0.33, 0.35, 1.0], np.float32)
    came_true = np.array([False, False, True, False, True, True])
    points = reliability_points(probability, came_true)
    assert [each.n for each in points] == [2, 3, 1]
    assert [each.predicted for each in points] == pytest.approx([0.025, 0.33, 1.0])
    assert [each.observed for each in points] == pytest.approx([0, 2 / 3, 1])
    assert all(each.low <= each.observed <= each.high for each in points)
    assert reliability_points(probability[:0], came_true[:0]) == []
