"""How much of the tissue a score stands for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from slidescore.scoring import Coverage


def slide_coverage(tiles: pa.Table) -> Coverage:
    """Sum the ledger up to the coverage of a slide.

    Parameters
    ----------
    tiles
        Rows of tiles.parquet.
    """
    tissue = tiles.column("tissue_um2").to_numpy()
    failed = np.array([status == "failed" for status in tiles.column("status").to_pylist()], dtype=bool)
    return share_areas(
        float(tissue.sum()),
        scored_um2=float(tiles.column("scored_um2").to_numpy().sum()),
        excluded_um2=float(tiles.column("excluded_um2").to_numpy().sum()),
        failed_um2=float(tissue[failed].sum()),
        missing_um2=float(tiles.column("missing_um2").to_numpy().sum()),
    )


def share_areas(
    tissue_um2: float, *, scored_um2: float, excluded_um2: float, failed_um2: float, missing_um2: float
) -> Coverage:
    """Put areas in um2 as shares of the tissue; all shares of no tissue are 0."""
    whole = tissue_um2 or 1.0
    return Coverage(tissue_um2, scored_um2, excluded_um2 / whole, failed_um2 / whole, missing_um2 / whole)
