"""Which slide is of which batch, and which are controls: the user's table, or one batch a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slidescore.errors import InputError, nearest_names
from slidescore.monitor.limits import MIN_BASELINE
from slidescore.report.user_row import UserRow
from slidescore.report.user_tables import match_slides, read_user_table

CONTROL_POSITIVE: Final = "control_positive"
CONTROL_NEGATIVE: Final = "control_negative"
SAMPLE: Final = "sample"
ROLES: Final = (CONTROL_POSITIVE, CONTROL_NEGATIVE, SAMPLE)

_DIGITS: Final = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A slide's place in the series: its batch and role; `order` is None where the table gives none."""

    slide_id: str
    batch: str
    role: str
    order: float | None


def read_batches(path: Path, files: Mapping[str, str]) -> tuple[BatchRow, ...]:
    """Read a table of batches, in the order of the series.

    Parameters
    ----------
    path
        Columns slide_id or file, batch, and if wanted role (control_positive, control_negative or sample, which an
        empty cell is) and order (a number, for every row or none).
    files
        File by slide_id of all slides of the runs.

    Returns
    -------
    tuple of BatchRow
        Batches by their lowest `order`; without it by name, numbers in names by their value. Slides of a batch by
        `order`, then by file. The order of the rows changes nothing.

    Raises
    ------
    InputError
        Naming file, row and column: an unknown slide, a slide twice, an unknown role, an order that is no number or
        that only some rows have, slides of one batch that another's stand between.
    """
    table = read_user_table(path, required=("batch",), optional=("slide_id", "file", "role", "order"))
    ids = match_slides(table, files)
    first: dict[str, UserRow] = {}
    rows: list[BatchRow] = []
    ordered = any(row.optional_text("order") for row in table.rows)
    for row, slide_id in zip(table.rows, ids, strict=True):
        if slide_id in first:
            raise row.error(row.slide_column, f"its slide is in row {first[slide_id].line} already", "one row each")
        first[slide_id] = row
        order = row.number("order") if ordered else None
        role = row.optional_choice("role", ROLES) or SAMPLE
        rows.append(BatchRow(slide_id, row.text("batch"), role, order))
    lowest = {batch: min(row.order or 0.0 for row in rows if row.batch == batch) for batch in {r.batch for r in rows}}
    rows.sort(key=lambda row: (lowest[row.batch], natural(row.batch), row.order or 0.0, files[row.slide_id]))
    if ordered:
        _refuse_mixed(rows, first)
    return tuple(rows)


def choose_baseline(
    batches: Sequence[tuple[str, int]], names: Sequence[str] = (), n_batches: int | None = None
) -> frozenset[str]:
    """Choose the batches of the baseline.

    Parameters
    ----------
    batches
        Name and number of slides with a result, in their order.
    names
        Those that the user names; None of them: the first `n_batches`, or without that the first ones that together
        have 20 slides.

    Raises
    ------
    InputError
        If a name is no batch, or there are fewer batches than asked for.
    """
    known = [name for name, _ in batches]
    for name in names:
        if name not in known:
            raise InputError(f"no batch '{name}'", where="--baseline", remedy=nearest_names(name, known))
    if names:
        return frozenset(names)
    if n_batches is not None:
        if n_batches > len(known):
            raise InputError(f"there are only {len(known)} batches", where="--baseline-batches")
        return frozenset(known[:n_batches])
    chosen: list[str] = []
    n_slides = 0
    for name, size in batches:
        if n_slides >= MIN_BASELINE:
            break
        chosen.append(name)
        n_slides += size
    return frozenset(chosen)


def natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Return a key that sorts names as people do: `batch 2` before `batch 10`."""
    parts = _DIGITS.split(name)
    return tuple((part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts if part)


def _refuse_mixed(rows: Sequence[BatchRow], first: Mapping[str, UserRow]) -> None:
    """Refuse batches that overlap: a chart needs the slides of a batch together."""
    ended: dict[str, BatchRow] = {}
    in_order = sorted(rows, key=lambda row: row.order or 0.0)
    for before, row in zip([None, *in_order], in_order, strict=False):
        if before is not None and before.batch != row.batch:
            ended[before.batch] = before
        if row.batch in ended and ended[row.batch].order != row.order:
            own = first[row.slide_id]
            raise own.error("order", f"slides of another batch stand between this one and the rest of '{row.batch}'")
