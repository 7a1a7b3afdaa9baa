"""Cells of all kinds as the app has them, and corrections of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from classical_assay import classical_assay
from report.made_cells import make_cells
from review.made_folder import make_record, star, write_cells
from slidescore.cells.table import replace_column
from slidescore.review.slide_cells import SlideCells, load_cells
from slidescore.scoring import Corrections, no_corrections

ASSAY = classical_assay()
SIDE = 3000


def made_table(n: int = 800, seed: int = 0, *, side: int = SIDE) -> pa.Table:
    """Cells of all kinds: of every bin, unmeasured, other, excluded for reasons of every sort."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, side, (n, 2))
    od = rng.uniform(0, 1, (4, n)).astype(np.float32)
    od[:3][rng.random((3, n)) < 0.1] = np.nan
    od[3][rng.random(n) < 0.02] = np.nan
    # Some lie exactly on a threshold, which belongs to the upper bin.
    od[:, : n // 20] = np.float32(0.4)
    reasons = np.array([None, "qc: fold", "annotation: exclude", "annotation: control"], dtype=object)
    cells = make_cells(
        [tuple(center) for center in centers.tolist()],
        od[3].tolist(),
        tumor=[None if value < 0.1 else 0.0 if value < 0.3 else value for value in rng.random(n).tolist()],
        excluded=reasons[rng.choice(4, n, p=[0.85, 0.05, 0.05, 0.05])].tolist(),
        cell_outlines=[star(rng, 14) for _ in range(n)],
    )
    for name, values in zip(("nucleus", "cytoplasm", "membrane", "cell"), od, strict=True):
        cells = replace_column(cells, f"dab_od_{name}", pa.array(values, pa.float32(), from_pandas=True))
    return cells


def made_corrections(n: int, seed: int = 1) -> Corrections:
    rng = np.random.default_rng(seed)
    corrections = no_corrections(n)
    corrections.bins[rng.random(n) < 0.1] = rng.integers(0, 4)
    corrections.bins[rng.random(n) < 0.1] = 3
    corrections.tumor[:] = rng.choice([-1, 0, 1], n, p=[0.8, 0.1, 0.1])
    corrections.counted[:] = rng.choice([-1, 0, 1], n, p=[0.8, 0.1, 0.1])
    return corrections


def loaded(folder: Path, cells: pa.Table, mpp: float = 0.5) -> SlideCells:
    write_cells(folder, cells)
    return load_cells(folder, make_record(mpp), ASSAY)
