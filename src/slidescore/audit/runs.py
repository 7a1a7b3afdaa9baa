"""Cell numbers and their values as short text: `5-9,12` for numbers that rise, `0*4,2` for values in a row."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slidescore.errors import InputError

MAX_CELLS: Final = 200_000
"""Cells of one edit; a region holds as many as it holds."""

_NUMBER = "(?:0|[1-9][0-9]{0,11})"
_RUNS = re.compile(f"{_NUMBER}(?:-{_NUMBER})?(?:,{_NUMBER}(?:-{_NUMBER})?)*")
_LENGTHS = re.compile(f"[0-9](?:[*]{_NUMBER})?(?:,[0-9](?:[*]{_NUMBER})?)*")
_ONCE = 1
"""How often a value stands that is followed by no count."""


def format_runs(ids: NDArray[np.int64]) -> str:
    """Write rising numbers, `5-9,12`; of two in a row too the first and the last are named."""
    if len(ids) == 0:
        return ""
    first = np.flatnonzero(np.diff(ids, prepend=ids[0] - 2) != 1)
    last = np.append(first[1:] - 1, len(ids) - 1)
    pairs = zip(ids[first].tolist(), ids[last].tolist(), strict=True)
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in pairs)


def parse_runs(text: str) -> NDArray[np.int64]:
    """Read what `format_runs` wrote, at most MAX_CELLS numbers; int64, rising.

    Raises
    ------
    InputError
        If it did not write it so.
    """
    if not _RUNS.fullmatch(text):
        raise InputError("are no runs of cell numbers", where="cells")
    low, high, is_run = _parse_pairs(text, "-")
    high = np.where(is_run, high, low)
    lengths = high - low + 1
    # A run of one is a number, and runs that touch are one.
    if (lengths[is_run] <= 1).any() or (low[1:] <= high[:-1] + 1).any():
        raise InputError("are not written in the one form that they have", where="cells")
    if int(lengths.sum()) > MAX_CELLS:
        raise InputError(f"are more than {MAX_CELLS:,} cells", where="cells")
    starts = np.cumsum(lengths) - lengths
    ids: NDArray[np.int64] = np.repeat(low - starts, lengths) + np.arange(lengths.sum())
    return ids


def count_runs(text: str) -> int:
    """Count the numbers of runs that are known to be written well."""
    low, high, is_run = _parse_pairs(text, "-")
    return len(low) + int((high - low)[is_run].sum())


def format_lengths(values: NDArray[np.int8]) -> str:
    """Write digits in a row, `0*4,2`: four times 0, then a 2."""
    if len(values) == 0:
        return ""
    first = np.flatnonzero(np.diff(values.astype(np.int64), prepend=-1) != 0)
    lengths = np.diff(np.append(first, len(values)))
    pairs = zip(values[first].tolist(), lengths.tolist(), strict=True)
    return ",".join(str(value) if n == 1 else f"{value}*{n}" for value, n in pairs)


def parse_lengths(text: str, n: int) -> NDArray[np.int8]:
    """Read what `format_lengths` wrote of `n` values; int8, (n,).

    Raises
    ------
    InputError
        If it did not write it so.
    """
    if not _LENGTHS.fullmatch(text):
        raise InputError("are no values in a row", where="old")
    values, counts, has_count = _parse_pairs(text, "*")
    counts = np.where(has_count, counts, _ONCE)
    if (counts[has_count] <= _ONCE).any() or (values[1:] == values[:-1]).any():
        raise InputError("are not written in the one form that they have", where="old")
    if int(counts.sum()) != n:
        raise InputError(f"are not {n:,} values", where="old")
    return np.repeat(values, counts).astype(np.int8)


def _parse_pairs(text: str, mark: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Read the parts of `a,b-c`: their first numbers, the second ones where there are, and where; each (parts,)."""
    numbers = np.fromstring(text.replace(mark, ","), dtype=np.int64, sep=",")
    letters = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    marks = letters[(letters == ord(mark)) | (letters == ord(","))]
    is_second = np.concatenate([[False], marks == ord(mark)])
    first = np.flatnonzero(~is_second)
    has_second = np.append(is_second[1:], False)[first]
    return numbers[first], numbers[np.minimum(first + 1, len(numbers) - 1)], has_second
