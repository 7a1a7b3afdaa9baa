"""The ledger of tiles: tiles.parquet, one row for every tile that holds tissue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from slidescore.pipeline.tile import HISTOGRAM_BINS, TileResult

HISTOGRAM = pa.list_(pa.int32(), HISTOGRAM_BINS)

TILE_SCHEMA = pa.schema(
    [
        pa.field("tile", pa.int32(), nullable=False),
        pa.field("x", pa.int64(), nullable=False),
        pa.field("y", pa.int64(), nullable=False),
        pa.field("width", pa.int64(), nullable=False),
        pa.field("height", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("tissue_fraction", pa.float32()),
        pa.field("tissue_um2", pa.float64()),
        pa.field("scored_um2", pa.float64()),
        pa.field("excluded_um2", pa.float64()),
        pa.field("missing_um2", pa.float64()),
        pa.field("background_dab_od", pa.float32()),
        pa.field("n_cells", pa.int32()),
        pa.field("dab_histogram", HISTOGRAM),
        pa.field("dab_histogram_hematoxylin", HISTOGRAM),
    ]
)
"""Columns of tiles.parquet: the core in level-0 px, what became of it, and two DAB histograms of its scored pixels."""


def tile_table(results: Sequence[TileResult], cells: pa.Table, l0_per_px: float) -> pa.Table:
    """Build the ledger.

    Parameters
    ----------
    results
        All tiles, by index.
    cells
        The slide's cells after the seam pass, to count them by tile.
    l0_per_px
        Level-0 pixels per analysis pixel.
    """
    index = np.array([result.spec.index for result in results], dtype=np.int32)
    owners, counts = np.unique(cells.column("tile").to_numpy(), return_counts=True)
    n_cells = dict(zip(owners.tolist(), counts.tolist(), strict=True))
    rows = []
    for result in results:
        spec = result.spec
        x, y = round(spec.x_px * l0_per_px), round(spec.y_px * l0_per_px)
        x_end, y_end = round((spec.x_px + spec.width_px) * l0_per_px), round((spec.y_px + spec.height_px) * l0_per_px)
        rows.append((x, y, x_end - x, y_end - y))
    corners = np.array(rows, dtype=np.int64).reshape(-1, 4)
    areas = np.array(
        [(r.areas.tissue_um2, r.areas.scored_um2, r.areas.excluded_um2, r.areas.missing_um2) for r in results]
    ).reshape(-1, 4)
    tile_um2 = np.array([_core_um2(result) for result in results])
    return pa.table(
        {
            "tile": index,
            "x": corners[:, 0],
            "y": corners[:, 1],
            "width": corners[:, 2],
            "height": corners[:, 3],
            "status": [result.status for result in results],
            "reason": [result.reason or None for result in results],
            "tissue_fraction": pa.array(areas[:, 0] / np.maximum(tile_um2, 1e-9), pa.float32()),
            "tissue_um2": areas[:, 0],
            "scored_um2": areas[:, 1],
            "excluded_um2": areas[:, 2],
            "missing_um2": areas[:, 3],
            "background_dab_od": pa.array([result.background_dab_od for result in results], pa.float32()),
            "n_cells": pa.array([n_cells.get(int(i), 0) for i in index], pa.int32()),
            "dab_histogram": pa.array([result.dab_histogram.tolist() for result in results], HISTOGRAM),
            "dab_histogram_hematoxylin": pa.array(
                [result.hematoxylin_histogram.tolist() for result in results], HISTOGRAM
            ),
        },
        schema=TILE_SCHEMA,
    )


def _core_um2(result: TileResult) -> float:
    return float(result.spec.width_px * result.spec.height_px) * result.pixel_um2
