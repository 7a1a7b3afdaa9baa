"""Tables on the terminal: one look for all verbs, and a width where no screen gives one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

FILE_WIDTH = 140
"""Letters in a line where a table goes into a file or a pipe."""


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[str] = ()) -> None:
    """Print a table on standard output.

    Parameters
    ----------
    columns
        Heads.
    rows
        A text for each column. Names of files, arms and batches may hold brackets: no text is taken for a style.
    numbers
        Columns that stand on the right.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(Text(name), justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    (console if console.is_terminal else Console(width=FILE_WIDTH)).print(table)
