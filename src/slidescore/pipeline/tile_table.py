"""The ledger of tiles: tiles.parquet, one row for every tile that holds tissue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.pipeline.tile_parts import BlockHistograms, TileResult
from slidescore.qc.artifacts import REASONS, TileSquares
from slidescore.qc.squares import MEASURES
from slidescore.stain.histograms import HISTOGRAM_BINS

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
        *(pa.field(name, pa.float32()) for name in MEASURES),
        pa.field("n_cells", pa.int32()),
        pa.field("square", pa.list_(pa.int64())),
        pa.field("square_tissue_um2", pa.list_(pa.float32())),
        pa.field("square_excluded", pa.list_(pa.string())),
        *(pa.field(f"square_{name}", pa.list_(pa.float32())) for name in MEASURES),
        pa.field("dab_histogram", HISTOGRAM),
        pa.field("dab_histogram_hematoxylin", HISTOGRAM),
        pa.field("block_column", pa.list_(pa.int32())),
        pa.field("block_row", pa.list_(pa.int32())),
        pa.field("block_histograms", pa.list_(pa.int32())),
    ]
)
"""Columns of tiles.parquet: the core in level-0 px, what became of it, its quality, as a whole and square by square,
two DAB histograms of its scored pixels, and both by the blocks of the pixel score: 2 x 400 numbers a block."""


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
    totals = [result.blocks.total for result in results]
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
            **{
                name: pa.array([_mean(result.squares, k) for result in results], pa.float32())
                for k, name in enumerate(MEASURES)
            },
            "n_cells": pa.array([n_cells.get(int(i), 0) for i in index], pa.int32()),
            **_square_lists([result.squares for result in results]),
            "dab_histogram": pa.array([total[0].tolist() for total in totals], HISTOGRAM),
            "dab_histogram_hematoxylin": pa.array([total[1].tolist() for total in totals], HISTOGRAM),
            **_block_lists([result.blocks for result in results]),
        },
        schema=TILE_SCHEMA,
    )


def _mean(squares: TileSquares, measure: int) -> float | None:
    """Return the mean of a measure over a tile's squares, weighted by tissue; None where no square has it."""
    values = squares.measures[:, measure].astype(np.float64)
    known = ~np.isnan(values) & (squares.tissue_um2 > 0)
    return float(np.average(values[known], weights=squares.tissue_um2[known])) if known.any() else None


def _square_lists(tiles: Sequence[TileSquares]) -> dict[str, pa.Array]:
    """Build the columns that hold a list for each tile, with an entry for each of its squares."""
    lengths = [len(squares.number) for squares in tiles]

    def joined(parts: Sequence[NDArray[np.generic]], kind: pa.DataType) -> pa.Array:
        return _lists(lengths, pa.array(_join(parts), kind, from_pandas=True))

    reasons = [REASONS[code] or None for squares in tiles for code in squares.reason]
    return {
        "square": joined([squares.number for squares in tiles], pa.int64()),
        "square_tissue_um2": joined([squares.tissue_um2 for squares in tiles], pa.float32()),
        "square_excluded": _lists(lengths, pa.array(reasons, pa.string())),
        **{
            f"square_{name}": joined([squares.measures[:, k] for squares in tiles], pa.float32())
            for k, name in enumerate(MEASURES)
        },
    }


def _block_lists(tiles: Sequence[BlockHistograms]) -> dict[str, pa.Array]:
    """Build the columns that hold, for each tile, its blocks and their flattened histograms."""
    histograms = [blocks.histograms.reshape(-1) for blocks in tiles]
    lengths = [len(blocks.column) for blocks in tiles]
    return {
        "block_column": _lists(lengths, pa.array(_join([blocks.column for blocks in tiles]), pa.int32())),
        "block_row": _lists(lengths, pa.array(_join([blocks.row for blocks in tiles]), pa.int32())),
        "block_histograms": _lists([len(part) for part in histograms], pa.array(_join(histograms), pa.int32())),
    }


def _join(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0)


def _lists(lengths: Sequence[int], values: pa.Array) -> pa.Array:
    """Cut an array into lists, one after the other."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), values)


def _core_um2(result: TileResult) -> float:
    return float(result.spec.width_px * result.spec.height_px) * result.pixel_um2
