"""Columns of a slide's cells.parquet, read so that little more is held than what is kept.

The table is one row group, and outlines are nine tenths of it: 160 MB a million cells. They are read a few thousand
rows at a time, and kept in bytes where they fit, as they do at 0.12 um/px and above.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from slidescore.cells.table import CELL_SCHEMA, floats
from slidescore.errors import RunFolderError
from slidescore.qc.cell_drawing import Outlines, prepare_outlines

Part = Literal["cell", "nucleus"]

MEASURED: Final = tuple(field.name for field in CELL_SCHEMA if field.type == pa.float32())
"""Columns of numbers."""
WORDS: Final = ("region", "excluded")
"""Columns of words."""
_BATCH_ROWS: Final = 16384
_BUFFER_BYTES: Final = 1 << 20
_BYTE: Final = np.iinfo(np.int8)


def read_measured(path: Path) -> pa.Table:
    """Read the numbers and words of all cells, NaN for what was not measured.

    Raises
    ------
    RunFolderError
        If the file is missing or damaged, or lacks a column.
    """
    try:
        table = pq.read_table(path, columns=[*MEASURED, *WORDS])
        columns = {name: pa.array(floats(table, name)) for name in MEASURED}
        columns |= {name: table.column(name).combine_chunks().cast(pa.string()) for name in WORDS}
        return pa.table(columns)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise _damaged(path) from error
    finally:
        pa.default_memory_pool().release_unused()


def read_outlines(path: Path, part: Part) -> Outlines:
    """Read the outlines of all cells.

    Raises
    ------
    RunFolderError
        If the file is missing or damaged, or lacks them.
    """
    name = f"{part}_outline"
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            starts, points = _read_lists(file, name)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise _damaged(path) from error
    finally:
        pa.default_memory_pool().release_unused()
    return prepare_outlines(starts, points)


def _read_lists(file: pq.ParquetFile, name: str) -> tuple[NDArray[np.int64], NDArray[np.int8] | NDArray[np.int16]]:
    """Read a column of lists of dx, dy: where each list of points begins, int64 (N + 1,), and the points, (M, 2)."""
    about = file.metadata
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    most = sum(chunk.num_values for chunk in chunks if chunk.path_in_schema.split(".")[0] == name)
    values: NDArray[np.int8] | NDArray[np.int16] = np.empty(most, np.int8)
    starts = np.zeros(about.num_rows + 1, np.int64)
    row, end = 0, 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=[name], use_threads=False):
        lists = batch.column(0)
        found = lists.flatten().to_numpy(zero_copy_only=False)
        if values.dtype == np.int8 and found.size and (found.min() < _BYTE.min or found.max() > _BYTE.max):
            values = values.astype(np.int16)
        values[end : end + len(found)] = found
        offsets = lists.offsets.to_numpy()
        starts[row + 1 : row + 1 + len(lists)] = end + (offsets[1:] - offsets[0])
        row, end = row + len(lists), end + len(found)
    # Lists without points count as values too, so that there is a little room left.
    return starts // 2, values[:end].reshape(-1, 2)


def _damaged(path: Path) -> RunFolderError:
    # Not the library's words: they can name the whole path.
    return RunFolderError("cannot be read", where=path.name, remedy="run 'slidescore verify' on the run")
