"""What a person sees while slides are scored: bars on a terminal, one plain line a slide elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from slidescore.pipeline.events import Listener, SlideEvent


@contextmanager
def show_progress() -> Iterator[Listener]:
    """Yield a listener that shows what happens on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _say_lines
        return
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(), console=console,
    )  # fmt: skip
    with progress:
        yield _bars(progress)


def describe(event: SlideEvent) -> str:
    """Say in one line what became of a slide."""
    head = f"[{event.number + 1}/{event.total}] {event.file}: "
    if event.kind == "failed":
        return f"{head}FAILED: {event.error.reason if event.error else ''}"
    row = event.row
    h_score = "H -" if row["h_score"] is None else f"H {row['h_score']:.1f}"
    tail = f" ({row['reason']})" if row["reason"] else ""
    done = " already done" if event.kind == "skipped" else f" in {event.seconds:.1f} s"
    return f"{head}{h_score} {row['call']}{tail}, {row['n_cells']} cells,{done}"


def _say_lines(event: SlideEvent) -> None:
    if event.kind != "progress":
        click.echo(describe(event), err=True)


def _bars(progress: Progress) -> Callable[[SlideEvent], None]:
    """Make a listener with one bar for the cohort and one for every slide being scored."""
    bars: dict[int, TaskID] = {}
    started: dict[int, float] = {}
    cohort: list[TaskID] = []

    def listen(event: SlideEvent) -> None:
        if not cohort:
            cohort.append(progress.add_task("slides", total=event.total, note=""))
        if event.kind == "progress":
            done, total, n_cells = event.progress
            if event.number not in bars:
                bars[event.number] = progress.add_task(event.file[-40:], total=total, note="")
                started[event.number] = time.monotonic()
            seconds = max(time.monotonic() - started[event.number], 1e-3)
            progress.update(bars[event.number], completed=done, total=total, note=f"{n_cells / seconds:,.0f} cells/s")
            return
        if event.number in bars:
            progress.remove_task(bars.pop(event.number))
        progress.console.print(describe(event), markup=False, highlight=False)
        progress.advance(cohort[0])

    return listen
