"""The part of a report about progression-free or overall survival: curves, medians, log-rank tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slidescore.cohort.analysis import Analysis, Comparison, comparisons
from slidescore.cohort.effect_curve import LANDMARK_MONTHS
from slidescore.cohort.marker_groups import WITH_SCORE
from slidescore.cohort.marker_models import fit_cox
from slidescore.cohort.survival import KaplanMeier, kaplan_meier, log_rank, number_at_risk
from slidescore.cohort.trial_plan import ENDPOINT_TITLES
from slidescore.report.analysis_page import ReportFigure, ReportSection, ReportTable, show_p
from slidescore.report.plots.kaplan_meier import SurvivalCurve, draw_kaplan_meier

Flags = NDArray[np.bool_]

RISK_TICKS: Final = 7
"""About so many times at which patients at risk are counted."""

_TICK_MONTHS: Final = (1.0, 2.0, 3.0, 6.0, 12.0, 24.0, 60.0, 120.0)
ALL: Final = "all"

_CURVE_COLUMNS: Final = (
    "arm", "marker_status", "patients", "unknown", "followed", "events", "median_months", "low_months", "high_months",
    "event_free_percent", "low_percent", "high_percent",
)  # fmt: skip
_TEST_COLUMNS: Final = (
    "comparison", "among", "patients", "left_out", "events", "hazard_ratio", "low_ratio", "high_ratio", "log_rank_p",
    "stratified_patients", "stratified_log_rank_p", "proportional_p", "notes",
)  # fmt: skip
_DRAWN_COLUMNS: Final = ("group", "months", "survival", "low", "high", "at_risk")


def survival_section(analysis: Analysis, endpoint: str) -> ReportSection:
    """Report one survival endpoint by CXCR4 status and arm.

    Parameters
    ----------
    analysis
        Data and plan.
    endpoint
        "pfs" or "os".
    """
    title = ENDPOINT_TITLES[endpoint]
    compared = comparisons(analysis)
    curves = analysis.table(
        f"{endpoint}_curves",
        f"{title.capitalize()} by {analysis.marker} status",
        _CURVE_COLUMNS,
        [_curve_row(analysis, endpoint, *each) for each in _groups(analysis)],
        f"Kaplan-Meier; median with Brookmeyer-Crowley 95 % interval (empty: not reached); share without an event at "
        f"{LANDMARK_MONTHS[endpoint]:g} months with its log-log 95 % interval.",
    )
    tests = analysis.table(
        f"{endpoint}_comparisons",
        f"{title.capitalize()} compared",
        _TEST_COLUMNS,
        [_test_row(analysis, endpoint, each) for each in compared],
        "Hazard ratio of the first group against the second (Cox, 95 % Wald interval), log-rank P, log-rank P within "
        "the declared strata (and within arms, where HIGH and LOW are compared over all arms), and P of the test that "
        "the hazard ratio does not change with time. Not adjusted for the number of comparisons.",
    )
    return ReportSection(
        title.capitalize(), [_follow_up(analysis, endpoint)], [curves, tests], list(_figures(analysis, endpoint))
    )


def _follow_up(analysis: Analysis, endpoint: str) -> str:
    data = analysis.data
    known = data.known(endpoint)
    event = data.event[endpoint][known] == 1
    # Reverse Kaplan-Meier (Schemper and Smith 1996): the end of follow-up is the event.
    median = kaplan_meier(data.months[endpoint][known], ~event).median[0] if known.any() else None
    followed = "not reached" if median is None else f"{median:.1f} months"
    return (
        f"{int(known.sum())} of {data.n} patients have follow-up, {int(event.sum())} of them an event. "
        f"Median follow-up (reverse Kaplan-Meier): {followed}."
    )


def _groups(analysis: Analysis) -> list[tuple[str, str, Flags]]:
    data = analysis.data
    arms: list[tuple[str, Flags]] = [(ALL, np.ones(data.n, bool))]
    if len(data.arms) > 1:
        arms += [(arm, data.arm == arm) for arm in data.arms]
    return [
        (arm, group, in_arm if group == ALL else in_arm & (data.group == group))
        for arm, in_arm in arms
        for group in (ALL, *analysis.groups)
    ]


def _curve(analysis: Analysis, endpoint: str, inside: Flags) -> KaplanMeier | None:
    known = inside & analysis.data.known(endpoint)
    if not known.any():
        return None
    return kaplan_meier(analysis.data.months[endpoint][known], analysis.data.event[endpoint][known] == 1)


def _curve_row(analysis: Analysis, endpoint: str, arm: str, group: str, inside: Flags) -> dict[str, Any]:
    curve = _curve(analysis, endpoint, inside)
    followed = curve.n if curve else 0
    row = {
        "arm": arm,
        "marker_status": group,
        "patients": int(inside.sum()),
        "unknown": int(inside.sum()) - followed,
        "followed": followed,
        "events": curve.n_events if curve else 0,
    }
    if curve is None:
        return row
    median, low, high = curve.median
    free = [100 * share if np.isfinite(share) else None for share in curve.at(LANDMARK_MONTHS[endpoint])]
    row |= {"median_months": median, "low_months": low, "high_months": high}
    return row | dict(zip(("event_free_percent", "low_percent", "high_percent"), free, strict=True))


def _test_row(analysis: Analysis, endpoint: str, compared: Comparison) -> dict[str, Any]:
    data = analysis.data
    inside = compared.inside & data.known(endpoint)
    first = compared.is_first
    months, event = data.months[endpoint], data.event[endpoint] == 1
    test = log_rank(first[inside].astype(np.int64), months[inside], event[inside])
    row: dict[str, Any] = {
        "comparison": compared.name,
        "among": compared.among,
        "patients": int(inside.sum()),
        "left_out": int(compared.inside.sum() - inside.sum()),
        "events": test.n_events,
        "log_rank_p": test.p,
        "notes": test.reason,
    }
    if test.reason:
        return row
    stratum, by_arm = compared.strata_in(data)
    if data.levels or by_arm:
        known = inside & data.in_stratum
        within = log_rank(first[known].astype(np.int64), months[known], event[known], stratum[known])
        row |= {"stratified_patients": within.n, "stratified_log_rank_p": within.p}
    fit = fit_cox(months[inside], event[inside], {compared.first: first[inside].astype(float)})
    if fit.reason:
        return row | {"notes": f"no hazard ratio: {fit.reason}"}
    term = fit.terms[-1]
    return row | {
        "hazard_ratio": term.ratio,
        "low_ratio": term.low,
        "high_ratio": term.high,
        "proportional_p": fit.p_proportional,
    }


def _figures(analysis: Analysis, endpoint: str) -> Iterator[ReportFigure]:
    """Draw the curves: by arm in all patients and within each status where arms were randomised, else by status."""
    data = analysis.data
    statuses = [(group, data.group == group) for group in analysis.groups if group in WITH_SCORE]
    if analysis.treated is None:
        yield from _figure(analysis, endpoint, f"by {analysis.marker} status", "by_status", statuses)
        return
    arms = [(arm, data.arm == arm) for arm in data.arms]
    yield from _figure(analysis, endpoint, "by arm, all patients", "by_arm", arms)
    for group, inside in statuses:
        within = [(arm, in_arm & inside) for arm, in_arm in arms]
        yield from _figure(analysis, endpoint, f"by arm, {group} patients", f"by_arm_{group.lower()}", within)


def _figure(
    analysis: Analysis, endpoint: str, words: str, name: str, groups: Sequence[tuple[str, Flags]]
) -> Iterator[ReportFigure]:
    """Draw the curves of some groups; nothing where no patient has follow-up."""
    data, title = analysis.data, ENDPOINT_TITLES[endpoint]
    drawn = [(label, inside, curve) for label, inside in groups if (curve := _curve(analysis, endpoint, inside))]
    if not drawn:
        return
    end = max(float(curve.months[-1]) for _, _, curve in drawn)
    step = next((months for months in _TICK_MONTHS if end / months <= RISK_TICKS), _TICK_MONTHS[-1])
    ticks = np.arange(0, end + step, step)
    curves, rows = [], []
    for label, inside, curve in drawn:
        months = data.months[endpoint][inside & data.known(endpoint)]
        at_risk = number_at_risk(months, ticks).tolist()
        curves.append(
            SurvivalCurve(label, curve.months, curve.survival, curve.low, curve.high, curve.censored_months, at_risk)
        )
        values = zip(curve.months, curve.survival, curve.low, curve.high, curve.at_risk, strict=True)
        rows += [dict(zip(_DRAWN_COLUMNS, (label, *map(float, row[:-1]), int(row[-1])), strict=True)) for row in values]
    everyone = np.any([inside for _, inside in groups], axis=0)
    n = int((everyone & data.known(endpoint)).sum())
    caption = (
        f"n = {n} patients, {int(everyone.sum()) - n} of {int(everyone.sum())} missing (no follow-up). Kaplan-Meier, "
        "pointwise 95 % bands (log-log); ticks are censored patients."
    )
    figure = draw_kaplan_meier(
        curves,
        risk_times=ticks.tolist(),
        time_axis="months",
        survival_axis=title,
        notes=_notes(analysis, endpoint, [inside for _, inside, _ in drawn]),
    )
    name, heading = f"{endpoint}_{name}", f"{title.capitalize()} {words}"
    yield analysis.figure(name, heading, caption, figure, ReportTable(name, heading, _DRAWN_COLUMNS, rows))


def _notes(analysis: Analysis, endpoint: str, groups: Sequence[Flags]) -> list[str]:
    data = analysis.data
    known = np.any(groups, axis=0) & data.known(endpoint)
    number = np.argmax(np.array(groups), axis=0)
    test = log_rank(number[known], data.months[endpoint][known], data.event[endpoint][known] == 1)
    if test.p is None:
        return [f"no log-rank test: {test.reason}"] if len(groups) > 1 else []
    p = show_p(test.p)
    return [f"log-rank: P {p if p[0] in '<>' else f'= {p}'}"]
