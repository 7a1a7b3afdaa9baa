"""Writing files so that a reader sees a whole one or none: to a temporary name first, then moved into place."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from slidescore.errors import RunFolderError, SlidescoreError
from slidescore.report.storage import cannot_write, sync_folder

SIGNIFICANT_DIGITS = 7
"""Digits of a number in CSV tables: what float32 measurements carry."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it replaces `path` if the block succeeds, and is removed if not.

    Raises
    ------
    RunFolderError
        If the folder cannot be written to; DiskFullError where the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync_file(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if isinstance(error, SlidescoreError):
            raise
        raise cannot_write(error, path) from error
    finally:
        # Where the folder itself cannot be made or entered there is nothing to remove.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole."""
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, indented, keys in the order given."""
    write_bytes(path, orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    RunFolderError
        If the file is missing or damaged.
    """
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise RunFolderError(f"cannot be read: {error}", where=str(path)) from error
    if not isinstance(content, dict):
        raise RunFolderError("holds no object", where=str(path))
    return content


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table; the same table gives the same bytes."""
    with written_whole(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary, compression="zstd", store_schema=False)


def read_parquet(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a table and check that it has the expected columns.

    Raises
    ------
    RunFolderError
        If the file is missing, damaged, or has other columns.
    """
    try:
        table = pq.read_table(path)
        return table.select(schema.names).cast(schema)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise RunFolderError(f"cannot be read: {error}", where=str(path)) from error


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table of rows; None is empty, floats have seven significant digits."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell_text(row.get(column)) for column in columns] for row in rows)
    write_bytes(path, text.getvalue().encode("utf-8"))


def cell_text(value: Any) -> str:
    """Write a value as a CSV table has it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{SIGNIFICANT_DIGITS}g}"
    return str(value)


def sync_file(path: Path) -> None:
    """Have a file's content survive a loss of power."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
