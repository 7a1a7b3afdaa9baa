"""The cell table: one row a cell, continuous measurements only.

This is the wall of the design. Left of it pixels become measurements; right of it measurements become bins, scores and
calls. No bin and no class is stored here, so thresholds and rules can change without reading a pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

OUTLINE = pa.list_(pa.int16())

CELL_SCHEMA = pa.schema(
    [
        pa.field("cell_id", pa.int64(), nullable=False),
        pa.field("x", pa.float32(), nullable=False),
        pa.field("y", pa.float32(), nullable=False),
        pa.field("tile", pa.int32(), nullable=False),
        pa.field("nucleus_area_um2", pa.float32()),
        pa.field("cell_area_um2", pa.float32()),
        pa.field("nucleus_eccentricity", pa.float32()),
        pa.field("hematoxylin_od_nucleus", pa.float32()),
        pa.field("dab_od_nucleus", pa.float32()),
        pa.field("dab_od_cytoplasm", pa.float32()),
        pa.field("dab_od_membrane", pa.float32()),
        pa.field("dab_od_cell", pa.float32()),
        pa.field("detection_probability", pa.float32()),
        pa.field("tumor_probability", pa.float32()),
        pa.field("lymphocyte_probability", pa.float32()),
        pa.field("stromal_probability", pa.float32()),
        pa.field("region", pa.string()),
        pa.field("excluded", pa.string()),
        pa.field("nucleus_outline", OUTLINE),
        pa.field("cell_outline", OUTLINE),
    ]
)
"""Columns of cells.parquet, in order: x, y in level-0 px; outlines are dx, dy pairs in level-0 px from (x, y)."""


def empty_cells() -> pa.Table:
    """Return a cell table without rows."""
    return CELL_SCHEMA.empty_table()


def build_cells(columns: dict[str, pa.Array | NDArray[np.generic]], n: int) -> pa.Table:
    """Build a cell table of `n` rows; columns that are not given are null.

    Parameters
    ----------
    columns
        Arrays of length `n` by column name. NaN in a float column becomes null.
    """
    arrays = []
    for field in CELL_SCHEMA:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(n, field.type))
        elif isinstance(values, np.ndarray):
            arrays.append(pa.array(values, type=field.type, from_pandas=True))
        else:
            arrays.append(values.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=CELL_SCHEMA)


def join_cells(tables: Iterable[pa.Table], wanted: NDArray[np.bool_] | None = None) -> pa.Table:
    """Concatenate cell tables, sort by (tile, y, x) and number the cells from 0.

    Parameters
    ----------
    tables
        Cells of any number of tiles.
    wanted
        bool, (N,), which rows of all tables one after the other to take; None for all.
    """
    table = pa.concat_tables([empty_cells(), *tables])
    keys = table.select(["tile", "y", "x"])
    rows = np.arange(table.num_rows) if wanted is None else np.flatnonzero(wanted)
    order = pc.sort_indices(keys.take(rows), sort_keys=[(name, "ascending") for name in keys.column_names])
    order = pa.array(rows[order.to_numpy()])
    # Column by column: what taking needs besides is then a column's, not the table's.
    columns = [column.take(order).combine_chunks() for column in table.columns]
    table = pa.table(columns, schema=table.schema)
    return replace_column(table, "cell_id", pa.array(np.arange(table.num_rows, dtype=np.int64)))


def replace_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """Return `table` with one column replaced, the schema unchanged."""
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), values)


def floats(table: pa.Table, name: str) -> NDArray[np.float32]:
    """Return a float column as float32, (N,), with NaN for null."""
    column: NDArray[np.float32] = table.column(name).to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return column


def pack_outlines(outlines: Sequence[NDArray[np.int16]]) -> pa.Array:
    """Pack outlines, each int16 (K, 2) of dx, dy, into one list column."""
    lengths = np.array([outline.size for outline in outlines], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    flat = np.concatenate([outline.ravel() for outline in outlines]) if outlines else np.empty(0, np.int16)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat.astype(np.int16)))


def unpack_outlines(column: pa.ChunkedArray | pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Return offsets, int64 (N + 1,), into points, int16 (M, 2) of dx, dy; a null outline has no points."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], OUTLINE)
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    points = pc.list_flatten(array).to_numpy(zero_copy_only=False).astype(np.int16).reshape(-1, 2)
    return np.concatenate([[0], np.cumsum(lengths // 2)]).astype(np.int64), points
