"""Runs in, charts and held batches out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from slidescore.cohort.run_scores import RunScores
from slidescore.errors import InputError
from slidescore.monitor.batch_table import CONTROL_POSITIVE, SAMPLE, BatchRow, choose_baseline, read_batches
from slidescore.monitor.charts import Alarm, Chart, MonitoredSlide, draw_up_charts, list_alarms
from slidescore.monitor.limits import MIN_BASELINE
from slidescore.monitor.read_slides import SlideMeasures, read_measures, run_name

BASELINE, IN_CONTROL, HOLD = "baseline", "in control", "HOLD"


@dataclass(frozen=True, slots=True)
class BatchState:
    """One batch: its slides, those of them with a result, and its state (baseline, in control or HOLD)."""

    name: str
    n_slides: int
    n_measured: int
    state: str
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Monitoring:
    """All that a call found.

    Attributes
    ----------
    runs
        The runs, in the order given.
    slides, measures
        In the order of the series, one for one.
    charts, left_out
        Charts, and why the other measures have none, by measure.
    batches
        In their order.
    n_unlisted
        Slides of the runs without a row in the table of batches.
    """

    runs: tuple[RunScores, ...]
    slides: tuple[MonitoredSlide, ...]
    measures: tuple[SlideMeasures, ...]
    charts: tuple[Chart, ...]
    left_out: Mapping[str, str]
    batches: tuple[BatchState, ...]
    n_unlisted: int

    @property
    def held(self) -> tuple[BatchState, ...]:
        """The batches on hold."""
        return tuple(batch for batch in self.batches if batch.state == HOLD)


def look_at(
    runs: Sequence[RunScores],
    batches: str | Path | None,
    baseline: Sequence[str] = (),
    baseline_batches: int | None = None,
) -> Monitoring:
    """Measure and chart the slides of runs.

    Parameters
    ----------
    runs
        Read runs, in the order of their batches where each is one.
    batches
        Table that says which slide is of which batch; None where a run is a batch.
    baseline, baseline_batches
        Names of the batches that the others are compared with, or how many of the first; see `choose_baseline`.

    Raises
    ------
    InputError
        If the table is wrong, or no measure has a baseline of 20 slides.
    RunFolderError
        If a file of a slide was changed.
    """
    by_id = {slide.slide_id: (run, slide) for run in runs for slide in run.slides}
    rows = _rows(runs, batches)
    sizes = [
        (name, sum(by_id[row.slide_id][1].status != "failed" for row in own))
        for name, own in groupby(rows, key=lambda row: row.batch)
    ]
    of_baseline = choose_baseline(sizes, baseline, baseline_batches)
    with_controls = any(row.role == CONTROL_POSITIVE for row in rows)
    measures = [
        read_measures(by_id[row.slide_id][0], row.slide_id, row.role, with_controls=with_controls) for row in rows
    ]
    slides = [
        MonitoredSlide(
            run_name(by_id[row.slide_id][0]), row.slide_id, by_id[row.slide_id][1].file, row.batch, row.role,
            row.batch in of_baseline, found.values, found.why,
        )
        for row, found in zip(rows, measures, strict=True)
    ]  # fmt: skip
    charts, left_out = draw_up_charts(slides)
    if not charts:
        raise InputError(
            f"the baseline has {sum(slide.baseline for slide in slides)} slides, and no measure that "
            f"{MIN_BASELINE} of them have",
            where="--baseline",
            remedy=f"name more batches; at least {MIN_BASELINE} slides of unchanged staining are needed",
        )
    states = _states(slides, sizes, of_baseline, list_alarms(charts, slides))
    return Monitoring(
        tuple(runs), tuple(slides), tuple(measures), tuple(charts), left_out, states, len(by_id) - len(rows)
    )


def _rows(runs: Sequence[RunScores], batches: str | Path | None) -> Sequence[BatchRow]:
    if batches is not None:
        return read_batches(Path(batches), {slide.slide_id: slide.file for run in runs for slide in run.slides})
    return [
        BatchRow(slide.slide_id, run_name(run), SAMPLE, None)
        for run in runs
        for slide in sorted(run.slides, key=lambda slide: (slide.file, slide.slide_id))
    ]


def _states(
    slides: Sequence[MonitoredSlide],
    sizes: Sequence[tuple[str, int]],
    of_baseline: frozenset[str],
    alarms: Sequence[Alarm],
) -> tuple[BatchState, ...]:
    states = []
    for name, n_measured in sizes:
        own = tuple(alarm for alarm in alarms if alarm.batch == name)
        state = BASELINE if name in of_baseline else HOLD if own else IN_CONTROL
        n_slides = sum(slide.batch == name for slide in slides)
        states.append(BatchState(name, n_slides, n_measured, state, own))
    return tuple(states)
