"""The columns p0 to p3 of tables that users bring: the percent of cells in bin 0, 1+, 2+ and 3+."""

from __future__ import annotations

from typing import Final

from slidescore.report.user_tables import UserRow, UserTable

PERCENT_COLUMNS: Final = ("p0", "p1", "p2", "p3")
"""Percent of the cells in bin 0, 1+, 2+ and 3+."""
ALL_CELLS: Final = 100.0

Percents = tuple[float, float, float, float]


def read_percents(table: UserTable, row: UserRow, slack: float) -> Percents | None:
    """Read the percents of a row, as they stand there; None where it has none.

    Parameters
    ----------
    table
        That the row is of.
    row
        Has all four or none.
    slack
        By how much their sum may miss 100, for they were rounded.

    Raises
    ------
    InputError
        Naming file, row and column: a percent that is no number from 0 to 100, only some of the four, another sum.
    """
    values = [row.optional_number(column, 0, ALL_CELLS) for column in PERCENT_COLUMNS]
    given = [column for column, value in zip(PERCENT_COLUMNS, values, strict=True) if value is not None]
    if not given:
        return None
    p0, p1, p2, p3 = values
    if p0 is None or p1 is None or p2 is None or p3 is None:
        missing = next(column for column in PERCENT_COLUMNS if column not in given)
        if not table.has(missing):
            raise table.error(f"has column {given[0]} but not {missing}", "give p0, p1, p2 and p3")
        raise row.error(missing, "is empty while other bins have a percent", "write 0 where there are no such cells")
    total = p0 + p1 + p2 + p3
    if abs(total - ALL_CELLS) > slack:
        raise row.error("p0", f"p0 to p3 add up to {total:g}, not to 100", f"they may miss it by {slack:g}")
    return p0, p1, p2, p3
