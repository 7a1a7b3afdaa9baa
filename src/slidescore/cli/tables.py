"""Tables on the terminal: what a run came to."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slidescore.pipeline.events import RunSummary

NARROW = 100


def print_scores(summary: RunSummary) -> None:
    """Print one line a slide on standard output, and where to look next."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("slide", overflow="fold")
    for name in ("H-score", "0 %", "1+ %", "2+ %", "3+ %", "cells", "mm2"):
        table.add_column(name, justify="right")
    table.add_column("call")
    table.add_column("QC")
    for row in summary.rows:
        table.add_row(Text(row["file"]), *_numbers(row), Text(_call(row)), Text(_qc(row)))
    console.print(table)
    scored = [row for row in summary.rows if row["status"] == "scored"]
    if scored and scored[0]["call_status"] == "provisional":
        click.echo(f"Calls are PROVISIONAL: the cut-off ({scored[0]['cutoff']}) is not validated. Research use only.")
    click.echo(f"Tables: {summary.folder / 'scores.csv'}\nReport: {summary.folder / 'report.html'}")


def print_failures(summary: RunSummary) -> None:
    """Print the slides without a result on standard error."""
    click.echo(f"{len(summary.failed)} of {len(summary.rows)} slides failed:", err=True)
    for row in summary.failed:
        click.echo(f"  {row['file']}: {row['reason']}", err=True)


def _numbers(row: dict[str, Any]) -> list[str]:
    if row["n_tumor_cells"] is None:
        return [""] * 7
    bins = [row["n0"], row["n1"], row["n2"], row["n3"]]
    total = sum(bins)
    shares = [f"{100 * n / total:.0f}" if total else "" for n in bins]
    h_score = "" if row["h_score"] is None else f"{row['h_score']:.0f}"
    return [h_score, *shares, f"{row['n_tumor_cells']:,}", f"{row['scored_mm2']:.2f}"]


def _call(row: dict[str, Any]) -> str:
    if row["status"] == "failed":
        return f"failed: {row['reason']}"
    if row["call"] == "NOT_EVALUABLE":
        return f"NOT EVALUABLE: {row['reason']}"
    return str(row["call"])


def _qc(row: dict[str, Any]) -> str:
    flags = (row["qc_flags"] or "").replace("_", " ").replace(";", ", ")
    return f"{row['qc'] or ''}{': ' if flags and row['qc'] else ''}{flags}"
