"""Limits turn measures into reasons, and reasons reach cells and pictures."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from slidescore.qc.artifacts import (
    REASONS,
    TileSquares,
    excluded_boxes,
    excluded_squares,
    judge_squares,
    mark_cells,
    no_squares,
    paint_reasons,
)
from slidescore.qc.squares import MEASURES, SquareMeasures, plan_squares
from slidescore.slide import ArrayReader, plan_grid

GOOD = {
    "sharpness": 0.5, "clipped_fraction": 0.0, "black_fraction": 0.0, "pigment_fraction": 0.0, "ink_fraction": 0.0,
    "grey_fraction": 0.0, "hematoxylin_floor_od": 0.05,
}  # fmt: skip


def measures_of(*squares: dict[str, float]) -> SquareMeasures:
    rows = [GOOD | square for square in squares]
    return SquareMeasures(*(np.array([[row[name] for row in rows]], np.float32) for name in MEASURES))


def reasons_of(assay, *squares: dict[str, float]) -> list[str]:
    return [REASONS[code] for code in judge_squares(measures_of(*squares), assay.artifacts)[0]]


@pytest.mark.parametrize(
    ("name", "limit", "reason"),
    [
        ("black_fraction", "max_black_fraction", "qc: black"),
        ("ink_fraction", "max_ink_fraction", "qc: ink"),
        ("pigment_fraction", "max_pigment_fraction", "qc: pigment"),
        ("grey_fraction", "max_grey_fraction", "qc: bubble or edge"),
    ],
)
def test_a_share_beyond_its_limit_excludes(assay, name, limit, reason):
    most = getattr(assay.artifacts, limit)
    assert reasons_of(assay, {name: most - 0.01}, {name: most + 0.01}) == ["", reason]


def test_what_is_less_sharp_than_the_limit_is_out_of_focus(assay):
    least = assay.artifacts.min_sharpness
    assert reasons_of(assay, {"sharpness": least - 0.01}, {"sharpness": least + 0.01}) == ["qc: out of focus", ""]


def test_a_fold_is_dense_and_unsharp(assay):
    dense, soft = {"hematoxylin_floor_od": 0.25}, {"sharpness": 0.25}
    assert reasons_of(assay, dense, soft, dense | soft) == ["", "", "qc: fold"]


def test_blue_ink_over_dark_tissue_leaves_nothing_pale(assay):
    dense = {"hematoxylin_floor_od": 0.35}
    assert reasons_of(assay, dense, dense | {"sharpness": 0.25}) == ["qc: ink", "qc: fold"]


def test_the_first_reason_is_given(assay):
    everything = {name: 1.0 for name in GOOD if name.endswith("_fraction")}
    assert reasons_of(assay, everything | {"sharpness": 0.1}) == ["qc: black"]
    assert reasons_of(assay, {"hematoxylin_floor_od": 0.4, "sharpness": 0.1}) == ["qc: fold"]


def test_what_is_unknown_excludes_nothing(assay):
    assert reasons_of(assay, dict.fromkeys(GOOD, float("nan"))) == [""]


def test_limits_can_be_switched_off(assay, change):
    off = {f"artifacts.{name}": 1.0 for name in type(assay.artifacts).model_fields if name.startswith("max_")}
    off |= {"artifacts.min_sharpness": 0.0, "artifacts.fold_max_sharpness": 0.0}
    off |= {"artifacts.ink_min_hematoxylin_od": 9.0}
    worst = dict.fromkeys(GOOD, 1.0) | {"sharpness": 0.1}
    assert reasons_of(change(assay, off), worst) == [""]


@pytest.fixture
def plan(assay, vectors):
    grid = plan_grid(ArrayReader(np.zeros((1024, 640, 3), np.uint8), mpp=0.5), 0.5, 0.5, 0.03)
    return plan_squares(grid, vectors, (240.0, 240.0, 240.0), assay.artifacts)


def squares_of(*number_and_reason: tuple[int, str]) -> TileSquares:
    numbers, reasons = zip(*number_and_reason, strict=True)
    n = len(numbers)
    codes = np.array([REASONS.index(reason) for reason in reasons], np.int8)
    return TileSquares(np.array(numbers, np.int64), np.ones(n), codes, np.zeros((n, len(MEASURES)), np.float32))


def test_reasons_of_squares_reach_their_pixels(plan):
    reasons = np.array([[1, 2], [0, 3]], np.int8)
    painted = paint_reasons(reasons, plan, (128, 256), 200, 300, (100, 70))
    assert painted.shape == (100, 70)
    assert painted[:84, :56].tolist() == np.full((84, 56), 1).tolist()
    assert (painted[:84, 56:] == 2).all()
    assert (painted[84:, :56] == 0).all()
    assert (painted[84:, 56:] == 3).all()


def test_a_cell_bears_the_reason_of_its_square(plan, make_cells):
    cells = make_cells(
        [0.1] * 4, x=np.array([10, 250, 257, 600], np.float32), y=np.array([10, 10, 10, 300], np.float32),
        excluded=[None, None, "annotation: control", None],
    )  # fmt: skip
    # Level 0 is twice as fine as the analysis: squares are 256 px wide there; five a row.
    excluded = excluded_squares([squares_of((0, "qc: ink"), (1, "qc: fold")), no_squares(), squares_of((7, ""))])
    assert excluded == {0: "qc: ink", 1: "qc: fold"}
    marked = mark_cells(cells, plan, 2.0, excluded)
    assert marked.column("excluded").to_pylist() == ["qc: ink", "qc: ink", "annotation: control; qc: fold", None]
    assert marked.schema == cells.schema
    assert mark_cells(cells, plan, 2.0, {}) is cells


def test_excluded_squares_are_boxes_in_the_picture():
    tiles = pa.table(
        {
            "square": pa.array([[0, 1], [1, 7], None], pa.list_(pa.int64())),
            "square_excluded": pa.array([[None, "qc: ink"], ["qc: ink", "qc: fold"], None], pa.list_(pa.string())),
        }
    )
    boxes = excluded_boxes(tiles, 256.0, 5)
    assert [box.bounds for box in boxes] == [(256, 0, 512, 256), (512, 256, 768, 512)]
