"""The report of a monitoring: batches and their state, one chart a measure, every number that was charted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from slidescore.monitor.batches import BASELINE, BatchState, Monitoring
from slidescore.monitor.charts import Alarm, Chart, MonitoredSlide
from slidescore.monitor.limits import CUSUM_ALLOWANCE, ENOUGH, FALSE_ALARM_A_BATCH, MIN_BASELINE
from slidescore.monitor.measures import FLOOR, MEASURES, share_of_degrees
from slidescore.report.analysis_page import ReportFigure, ReportSection, ReportTable, write_report
from slidescore.report.page import MINUS, show_number
from slidescore.version import slidescore_version

KINDS: Final = {"limits": "Levey-Jennings", "cusum": "CUSUM"}
SHOWN_DIGITS: Final = 4
"""Significant figures of a measure in a sentence."""


def write_monitor_report(out: Path, found: Monitoring, *, overwrite: bool = False) -> Path:
    """Write the report; returns the page."""
    held = found.held
    judged = [batch for batch in found.batches if batch.state != BASELINE]
    said = f"{len(held)} of {len(judged)} batches on hold" if judged else "no batch after the baseline yet"
    sections = [
        ReportSection("Batches", _paragraphs(found), [_batch_table(found), _alarm_table(found)]),
        ReportSection(
            "Charts",
            _limit_paragraphs(),
            [_chart_table(found), *_left_out(found)],
            [_figure(chart, found) for chart in found.charts],
        ),
        ReportSection("Every slide", [], [_value_table(found)]),
    ]
    n_batches = f"{len(found.batches)} {'batch' if len(found.batches) == 1 else 'batches'}"
    return write_report(
        out,
        title="Staining and scanning over batches",
        subtitle=f"{len(found.slides)} slides in {n_batches}: {said}",
        sections=sections,
        facts=_facts(found),
        overwrite=overwrite,
    )


def describe_alarm(alarm: Alarm, slides: tuple[MonitoredSlide, ...]) -> str:
    """Say what an alarm is about, in a line."""
    slide = slides[alarm.slide]
    value, mean = (f"{number:.{SHOWN_DIGITS}g}" for number in (alarm.value, alarm.mean))
    where = f"{alarm.n_slides} slides, first {slide.file}" if alarm.n_slides > 1 else slide.file
    return f"{alarm.measure.title}: {KINDS[alarm.kind]} {alarm.direction} at {where} ({value}, baseline mean {mean})"


def describe_batch(batch: BatchState, slides: tuple[MonitoredSlide, ...]) -> str:
    """Say why a batch is on hold, in a line; empty where it is not."""
    return "; ".join(describe_alarm(alarm, slides) for alarm in batch.alarms)


def _paragraphs(found: Monitoring) -> list[str]:
    names = ", ".join(batch.name for batch in found.batches if batch.state == BASELINE)
    n = sum(slide.baseline for slide in found.slides)
    paragraphs = [f"Baseline: {names} ({n} slides). Later batches are compared with it."]
    if found.held:
        paragraphs.append(
            f"On hold: {', '.join(batch.name for batch in found.held)}. A held batch is not wrong: something moved "
            "since the baseline. Look at its control tissue, reagents and scanner before its scores are used."
        )
    if found.left_out:
        paragraphs.append(f"Not charted: {', '.join(_title(name) for name in found.left_out)}; reasons below.")
    if found.n_unlisted:
        paragraphs.append(f"{found.n_unlisted} slides of the runs have no row in the table of batches: left out.")
    return paragraphs


def _limit_paragraphs() -> list[str]:
    return [
        f"All {len(MEASURES)} charts together hold at most {100 * FALSE_ALARM_A_BATCH:g} % of the batches in which "
        "nothing changed. Levey-Jennings limits are those of Student's distribution for one more slide: they carry "
        f"the uncertainty of the baseline. A baseline of fewer than {ENOUGH} slides is joined by batches that no chart "
        "holds. Bands are 1, 2 and 3 SD of what the last batch is compared with. The CUSUM sums what the deviates "
        f"of slides exceed {CUSUM_ALLOWANCE:g} SD, up and down, over slides and batches, and begins again after a "
        "held batch. Simulated rates of false alarms and delays are in docs/monitor.md."
    ]


def _batch_table(found: Monitoring) -> ReportTable:
    rows = [
        {
            "batch": batch.name, "slides": batch.n_slides, "measured": batch.n_measured, "state": batch.state,
            "alarms": len(batch.alarms), "why": describe_batch(batch, found.slides),
        }
        for batch in found.batches
    ]  # fmt: skip
    return ReportTable(
        "batches", "State of the batches", ("batch", "state", "slides", "measured", "alarms", "why"), rows,
        note="measured: slides with a result.",
    )  # fmt: skip


def _alarm_table(found: Monitoring) -> ReportTable:
    rows = [
        {
            "batch": batch.name, "measure": alarm.measure.name, "chart": KINDS[alarm.kind],
            "direction": alarm.direction, "first_file": found.slides[alarm.slide].file,
            "first_slide_id": found.slides[alarm.slide].slide_id, "value": alarm.value, "baseline_mean": alarm.mean,
            "slides": alarm.n_slides,
        }
        for batch in found.batches
        for alarm in batch.alarms
    ]  # fmt: skip
    columns = (
        "batch", "measure", "chart", "direction", "first_file", "first_slide_id", "value", "baseline_mean", "slides",
    )  # fmt: skip
    return ReportTable(
        "alarms", "Alarms", columns, rows, formats=dict.fromkeys(("value", "baseline_mean"), _figures),
        note="One row for each chart and batch; slides: those of the batch that are beyond the limit.",
    )  # fmt: skip


def _chart_table(found: Monitoring) -> ReportTable:
    rows = [
        {
            "measure": chart.measure.name, "n_baseline": chart.baseline.n,
            "n_reference": chart.reference.n, "mean": chart.reference.mean, "sd": chart.reference.sd,
            "limit_low": chart.limits.low, "limit_high": chart.limits.high, "cusum_limit": chart.limits.cusum,
            "n_later": int(np.isfinite(chart.up).sum()), "beyond_limits": int(chart.beyond.sum()),
            "beyond_cusum": int(chart.summed.sum()),
        }
        for chart in found.charts
    ]  # fmt: skip
    numbers = ("mean", "sd", "limit_low", "limit_high", "cusum_limit")
    return ReportTable(
        "charts", "Charts", tuple(rows[0]), rows, formats=dict.fromkeys(numbers, _figures),
        note="Mean, SD and limits are those that the last batch is compared with, of n reference slides. n later: "
        "slides after the baseline that have the measure. beyond: slides at which the chart alarms.",
    )  # fmt: skip


def _left_out(found: Monitoring) -> list[ReportTable]:
    rows = [{"measure": name, "why": why} for name, why in found.left_out.items()]
    note = f"A measure needs {MIN_BASELINE} slides of the baseline."
    return [ReportTable("not_charted", "Not charted", ("measure", "why"), rows, note=note)] if rows else []


def _value_table(found: Monitoring) -> ReportTable:
    rows = [
        {
            "batch": slide.batch, "run": slide.run, "slide_id": slide.slide_id, "file": slide.file,
            "role": slide.role, **{measure.name: slide.values.get(measure.name) for measure in MEASURES},
            "control_h": own.control_h, "floor_percent": own.floor_percent,
            "n_positive_control": own.n_positive_control, "n_negative_control": own.n_negative_control,
        }
        for slide, own in zip(found.slides, found.measures, strict=True)
    ]  # fmt: skip
    names = tuple(measure.name for measure in MEASURES)
    return ReportTable(
        "slides", "Measures of every slide", tuple(rows[0]), rows, formats=dict.fromkeys(names, _figures),
        note="In the order of the charts; – where a slide has none.",
    )  # fmt: skip


def _figure(chart: Chart, found: Monitoring) -> ReportFigure:
    slides = found.slides
    from slidescore.report.plots.control_chart import draw_control_chart

    baseline = np.array([slide.baseline for slide in slides])
    known, n = np.isfinite(chart.values), len(slides)
    figure = draw_control_chart(
        chart.values, [slide.batch for slide in slides], axis=chart.measure.axis, mean=chart.reference.mean,
        sd=chart.reference.sd, limit_low=chart.low, limit_high=chart.high, baseline=baseline,
        alarms=chart.alarms, cusum_up=chart.up, cusum_down=chart.down, cusum_limit=chart.limits.cusum,
    )  # fmt: skip
    reference = chart.reference
    caption = (
        f"{chart.measure.origin[0].upper()}{chart.measure.origin[1:]}. n = {int(known.sum())} slides, "
        f"{n - int(known.sum())} not measured. The last batch is compared with {reference.n} slides: mean "
        f"{_figures(reference.mean)}, SD {_figures(reference.sd)}. Levey-Jennings chart with the limits of one more "
        f"slide, and tabular CUSUM of the slides after the baseline.{_floor_note(chart)}"
    )
    rows = [
        {
            "number": number, "batch": slide.batch, "slide_id": slide.slide_id, "file": slide.file,
            "baseline": slide.baseline, "value": _known(chart.values[number - 1]),
            "limit_low": _known(chart.low[number - 1]), "limit_high": _known(chart.high[number - 1]),
            "cusum_up": _known(chart.up[number - 1]), "cusum_down": _known(chart.down[number - 1]),
            "beyond_limits": bool(chart.beyond[number - 1]), "beyond_cusum": bool(chart.summed[number - 1]),
        }
        for number, slide in enumerate(slides, start=1)
    ]  # fmt: skip
    return ReportFigure(
        chart.measure.name, chart.measure.title, caption, figure, ReportTable("", "", tuple(rows[0]), rows)
    )


def _floor_note(chart: Chart) -> str:
    if chart.measure is not FLOOR:
        return ""
    shares = (share_of_degrees(degrees) for degrees in (chart.reference.mean, chart.limits.high))
    return " In percent of cells, mean {:.2g} and upper limit {:.2g}.".format(*(100 * share for share in shares))


def _facts(found: Monitoring) -> list[tuple[str, str]]:
    first = found.runs[0]
    return [
        *((f"run {number}", _run_fact(found, number - 1)) for number in range(1, len(found.runs) + 1)),
        ("assay", f"{first.assay.name}, digest {first.assay_digest}"),
        ("model", first.model_digest),
        ("versions that scored", ", ".join(sorted({run.version for run in found.runs}))),
        ("version of this report", slidescore_version()),
    ]


def _run_fact(found: Monitoring, number: int) -> str:
    run = found.runs[number]
    return f"{run.path.resolve().name}, {len(run.slides)} slides, SHA-256 of digests.sha256 {run.digest}"


def _title(name: str) -> str:
    return next(measure.title for measure in MEASURES if measure.name == name)


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _figures(value: Any) -> str:
    return show_number(None) if value is None else f"{value:.{SHOWN_DIGITS}g}".replace("-", MINUS)
