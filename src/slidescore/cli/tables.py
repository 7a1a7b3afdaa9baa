"""Tables on the terminal: what a run came to."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from slidescore.cli.console import print_table
from slidescore.pipeline.events import RunSummary

NUMBERS = ("H-score", "95 %", "0 %", "1+ %", "2+ %", "3+ %", "cells", "mm2")
"""Heads of the columns that `_numbers` fills."""


def print_scores(summary: RunSummary) -> None:
    """Print one line a slide on standard output, and where to look next."""
    scale = _called_on(summary)
    numbers = NUMBERS if scale is None else (*NUMBERS, scale.replace("_", " "))
    rows = []
    for row in summary.rows:
        called = [] if scale is None else ["" if row[scale] is None else f"{row[scale]:.3g}"]
        rows.append((row["file"], *_numbers(row), *called, _call(row), _qc(row)))
    print_table(("slide", *numbers, "call", "QC"), rows, numbers=numbers)
    scored = [row for row in summary.rows if row["status"] == "scored"]
    status = scored[0]["call_status"] if scored else None
    if status in ("provisional", "unverified"):
        text = f"Calls are {status.upper()}: the cut-off ({scored[0]['cutoff']}) is not validated. Research use only."
        click.echo(text)
    click.echo(f"Tables: {summary.folder / 'scores.csv'}\nReport: {summary.folder / 'report.html'}")


def print_patients(summary: RunSummary) -> None:
    """Print what the patients of a run were called, and where their table is; nothing for a run without patients."""
    if not summary.patients:
        return
    calls = Counter(patient.call or "without a cut-off" for patient in summary.patients)
    n = len(summary.patients)
    words = ", ".join(f"{count} {call.replace('_', ' ')}" for call, count in sorted(calls.items()))
    click.echo(f"Patients: {n} by {summary.patients[0].rule}: {words}; {summary.folder / 'patients.csv'}")


def print_failures(summary: RunSummary) -> None:
    """Print the slides without a result on standard error."""
    click.echo(f"{len(summary.failed)} of {len(summary.rows)} slides failed:", err=True)
    for row in summary.failed:
        click.echo(f"  {row['file']}: {row['reason']}", err=True)


def _called_on(summary: RunSummary) -> str | None:
    """Return the column of the score that calls are made on, where it is not the H-score; None without a cut-off."""
    scales = {row["cutoff"].split()[0] for row in summary.rows if row["cutoff"]} - {"h_score"}
    return min(scales, default=None)


def _numbers(row: dict[str, Any]) -> list[str]:
    if row["n_tumor_cells"] is None:
        return [""] * len(NUMBERS)
    bins = [row["n0"], row["n1"], row["n2"], row["n3"]]
    total = sum(bins)
    shares = [f"{100 * n / total:.0f}" if total else "" for n in bins]
    h_score = "" if row["h_score"] is None else f"{row['h_score']:.0f}"
    known = row["h_score_low"] is not None
    interval = f"{row['h_score_low']:.0f}-{row['h_score_high']:.0f}" if known else ""
    return [h_score, interval, *shares, f"{row['n_tumor_cells']:,}", f"{row['scored_mm2']:.2f}"]


def _call(row: dict[str, Any]) -> str:
    if row["status"] == "failed":
        return f"failed: {row['reason']}"
    if row["status"] == "not_evaluable":
        return f"NOT EVALUABLE: {row['reason']}"
    return row["call"] or "no cut-off"


def _qc(row: dict[str, Any]) -> str:
    flags = (row["qc_flags"] or "").replace("_", " ").replace(";", ", ")
    return f"{row['qc'] or ''}{': ' if flags and row['qc'] else ''}{flags}"
