"""Reading a CSV table of a run folder back."""

from __future__ import annotations

import csv
from pathlib import Path

from slidescore.errors import RunFolderError


def read_rows(path: Path, columns: tuple[str, ...], *, optional: tuple[str, ...] = ()) -> list[dict[str, str | None]]:
    """Read the rows of a table as text; an empty cell is None.

    Parameters
    ----------
    path
        The table.
    columns
        Those that it must have, in their order.
    optional
        Those that may follow, all or none; without them the rows do not have them either.

    Raises
    ------
    RunFolderError
        If the file is missing or its columns are not those of this version.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            if tuple(reader.fieldnames or ()) not in (columns, columns + optional):
                raise RunFolderError("has other columns than this version writes", where=str(path))
            return [{key: value or None for key, value in row.items()} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        if isinstance(error, RunFolderError):
            raise
        raise RunFolderError(f"cannot be read: {error}", where=str(path)) from error
