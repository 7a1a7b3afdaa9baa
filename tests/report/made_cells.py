"""Made-up cell tables: squares of known size at known places, with chosen DAB."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from slidescore.cells.table import build_cells, pack_outlines

BIN_OD = (0.1, 0.3, 0.5, 0.9)


def square(half: int) -> np.ndarray:
    return np.array([(-half, -half), (half, -half), (half, half), (-half, half)], np.int16)


def make_cells(
    centers: Sequence[tuple[float, float]],
    dab_od: Sequence[float | None],
    *,
    half: int = 8,
    tumor: Sequence[float | None] | None = None,
    excluded: Sequence[str | None] | None = None,
    region: Sequence[str | None] | None = None,
    cell_outlines: Sequence[np.ndarray] | None = None,
) -> pa.Table:
    """Cells with square outlines: the cell of half side `half`, its nucleus of half that; all ODs alike."""
    n = len(centers)
    od = pa.array(dab_od, pa.float32())
    columns = {
        "cell_id": np.arange(n, dtype=np.int64),
        "x": np.array([x for x, _ in centers], np.float32),
        "y": np.array([y for _, y in centers], np.float32),
        "tile": np.zeros(n, np.int32),
        "nucleus_area_um2": np.full(n, 40.0),
        "cell_area_um2": np.full(n, 160.0),
        "nucleus_eccentricity": np.full(n, 0.5),
        "hematoxylin_od_nucleus": np.full(n, 0.25),
        "tumor_probability": pa.array(tumor or [None] * n, pa.float32()),
        "region": pa.array(region or [None] * n, pa.string()),
        "excluded": pa.array(excluded or [None] * n, pa.string()),
        "nucleus_outline": pack_outlines([square(half // 2)] * n),
        "cell_outline": pack_outlines(list(cell_outlines) if cell_outlines is not None else [square(half)] * n),
    }
    columns |= dict.fromkeys(("dab_od_nucleus", "dab_od_cytoplasm", "dab_od_membrane", "dab_od_cell"), od)
    return build_cells(columns, n)


def scattered_cells(n: int, width_l0: int, height_l0: int, *, seed: int = 0, half: int = 8) -> pa.Table:
    """Cells at random places with DAB from 0 to 1."""
    rng = np.random.default_rng(seed)
    centers = list(zip(rng.uniform(0, width_l0, n).tolist(), rng.uniform(0, height_l0, n).tolist(), strict=True))
    return make_cells(centers, rng.uniform(0, 1, n).tolist(), half=half)
