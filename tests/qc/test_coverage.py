"""How much of the tissue a score stands for."""

from __future__ import annotations

import pyarrow as pa

from slidescore.qc.coverage import share_areas, slide_coverage
from slidescore.scoring import Coverage


def test_the_ledger_is_summed_and_failed_tissue_is_that_of_failed_tiles():
    tiles = pa.table(
        {
            "status": ["scored", "failed", "excluded"],
            "tissue_um2": [600.0, 300.0, 100.0],
            "scored_um2": [500.0, 0.0, 0.0],
            "excluded_um2": [90.0, 0.0, 100.0],
            "missing_um2": [10.0, 0.0, 0.0],
        }
    )
    assert slide_coverage(tiles) == Coverage(1000.0, 500.0, 0.19, 0.3, 0.01)


def test_shares_of_no_tissue_are_nothing():
    assert share_areas(0.0, scored_um2=0.0, excluded_um2=0.0, failed_um2=0.0, missing_um2=0.0) == Coverage(
        0, 0, 0, 0, 0
    )
