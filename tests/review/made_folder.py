"""A slide's folder with made-up cells, as a run has it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from slidescore.report.files import write_parquet


def write_cells(folder: Path, cells: pa.Table) -> None:
    """Write cells.parquet."""
    write_parquet(folder / "cells.parquet", cells)


def write_tiles(folder: Path, squares: Sequence[tuple[int, str | None]]) -> None:
    """Write tiles.parquet of one tile that holds numbered squares, excluded for a reason or not."""
    numbers, reasons = [number for number, _ in squares], [reason for _, reason in squares]
    table = pa.table(
        {
            "square": pa.array([numbers], pa.list_(pa.int64())),
            "square_excluded": pa.array([reasons], pa.list_(pa.string())),
        }
    )
    write_parquet(folder / "tiles.parquet", table)


def make_record(mpp: float = 0.5) -> dict[str, Any]:
    """The parts of result.json that are needed."""
    return {"slide": {"mpp": mpp}, "analysis": {"mpp": 0.5, "square_px": 64, "square_columns": 10}}


def star(rng: np.random.Generator, reach: int, points: int = 12) -> np.ndarray:
    """An outline of no particular shape; int16, (points, 2)."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, points))
    radius = rng.uniform(0.5, 1.0, points) * reach
    return np.rint(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)).astype(np.int16)
