"""The part of a report about objective response: rates, differences, and comparisons over the strata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slidescore.cohort.analysis import Analysis, Comparison, comparisons
from slidescore.cohort.proportions import difference, proportion
from slidescore.cohort.strata import ZELEN_TABLES, compare_over_strata
from slidescore.report.analysis_page import ReportFigure, ReportSection, ReportTable
from slidescore.report.plots.rates import draw_forest, draw_rates

Flags = NDArray[np.bool_]

_RATE_COLUMNS: Final = (
    "arm", "marker_status", "patients", "response_unknown", "response_ne", "known", "responders",
    "rate_percent", "low_percent", "high_percent",
)  # fmt: skip
_DIFFERENCE_COLUMNS: Final = (
    "comparison", "among", "first_responders", "first_known", "second_responders", "second_known",
    "difference_points", "low_points", "high_points", "fisher_p", "notes",
)  # fmt: skip
_STRATA_COLUMNS: Final = (
    "comparison", "among", "patients", "left_out", "n_strata", "n_informative", "odds_ratio", "low_ratio",
    "high_ratio", "method", "cmh_p", "exact_p", "homogeneity_p", "homogeneity", "notes",
)  # fmt: skip
_LEVEL_COLUMNS: Final = ("stratum", "level", *_DIFFERENCE_COLUMNS[2:])
_PERCENT: Final = 100.0
ALL: Final = "all"


def response_section(analysis: Analysis) -> ReportSection:
    """Report the response by CXCR4 status and arm."""
    data = analysis.data
    known = data.known("response")
    rates = analysis.table(
        "response_rates",
        f"Response rate by {analysis.marker} status",
        _RATE_COLUMNS,
        _rate_rows(analysis),
        "CR and PR are responses; NE counts as none; patients whose response is unknown are left out and counted. "
        "Intervals: Clopper-Pearson, 95 %.",
    )
    compared = comparisons(analysis)
    differences = analysis.table(
        "response_differences",
        "Differences of response rates",
        _DIFFERENCE_COLUMNS,
        [{"comparison": each.name, "among": each.among} | _difference_row(analysis, each, known) for each in compared],
        "Percentage points, first minus second; intervals: Newcombe, 95 %; P: Fisher's exact test, two-sided. Not "
        "adjusted for the number of comparisons.",
    )
    tables, figures = [rates, differences], [_rate_figure(analysis, rates)]
    if data.levels or len(data.arms) > 1:
        tables.append(_strata_table(analysis, compared))
    if data.levels and compared:
        levels = _level_table(analysis, compared[0])
        tables.append(levels)
        figures.append(_forest_figure(analysis, compared[0], levels))
    return ReportSection("Objective response", _paragraphs(analysis), tables, figures)


def _paragraphs(analysis: Analysis) -> list[str]:
    if analysis.treated is not None:
        return ["Differences between arms are effects of treatment; differences between HIGH and LOW are associations."]
    return ["What follows is association: without randomised arms, patients with HIGH and LOW may differ in much else."]


def _rate_rows(analysis: Analysis) -> list[dict[str, Any]]:
    data = analysis.data
    arms: list[tuple[str, Flags]] = [(ALL, np.ones(data.n, bool))]
    if len(data.arms) > 1:
        arms += [(arm, data.arm == arm) for arm in data.arms]
    rows = []
    for arm, in_arm in arms:
        for group in (ALL, *analysis.groups):
            inside = in_arm if group == ALL else in_arm & (data.group == group)
            known = inside & data.known("response")
            found = proportion(int(data.responder[known].sum()), int(known.sum()))
            rows.append(
                {
                    "arm": arm,
                    "marker_status": group,
                    "patients": int(inside.sum()),
                    "response_unknown": int(inside.sum() - known.sum()),
                    "response_ne": int((data.response[inside] == "NE").sum()),
                    "known": found.n,
                    "responders": found.k,
                    "rate_percent": _percent(found.share),
                    "low_percent": _percent(found.low),
                    "high_percent": _percent(found.high),
                }
            )
    return rows


def _difference_row(analysis: Analysis, compared: Comparison, inside: Flags) -> dict[str, Any]:
    hit = analysis.data.responder == 1
    first, second = compared.inside & inside & compared.is_first, compared.inside & inside & ~compared.is_first
    counts = [int(each.sum()) for each in (first & hit, first, second & hit, second)]
    found = difference(*counts)
    return {
        "first_responders": counts[0],
        "first_known": counts[1],
        "second_responders": counts[2],
        "second_known": counts[3],
        "difference_points": _percent(found.estimate),
        "low_points": _percent(found.low),
        "high_points": _percent(found.high),
        "fisher_p": found.p,
        "notes": found.reason,
    }


def _strata_table(analysis: Analysis, compared: Sequence[Comparison]) -> ReportTable:
    data, rows = analysis.data, []
    known = data.known("response") & data.in_stratum
    for each in compared:
        stratum, by_arm = each.strata_in(data)
        if not data.levels and not by_arm:
            continue
        inside = each.inside & known
        found = compare_over_strata(
            each.is_first[inside],
            data.responder[inside] == 1,
            stratum[inside],
            analysis.seed(f"{each.name}, {each.among}"),
        )
        rows.append(
            {
                "comparison": each.name,
                "among": each.among,
                "patients": found.n,
                "left_out": int(each.inside.sum()) - found.n,
                "n_strata": found.n_strata,
                "n_informative": found.n_informative,
                "odds_ratio": found.odds_ratio,
                "low_ratio": found.low,
                "high_ratio": found.high,
                "method": found.method,
                "cmh_p": found.p_cmh,
                "exact_p": found.p_exact,
                "homogeneity_p": found.p_homogeneity,
                "homogeneity": found.homogeneity,
                "notes": found.reason or ("arms are strata as well" if by_arm else ""),
            }
        )
    return analysis.table(
        "response_over_strata",
        "Response compared within strata",
        _STRATA_COLUMNS,
        rows,
        f"Strata: {', '.join(data.levels) or 'arms'}. Common odds ratio of the first group against the second, by the "
        "method named: Mantel-Haenszel, or exact conditional where the strata are sparse by the rule of Mantel and "
        "Fleiss; the P that goes with it stands under CMH or exact. An odds ratio, or an end of an exact interval, "
        "that is missing beside a P is infinite. Strata with one group or one outcome only say nothing and are "
        "left out. Homogeneity: Breslow-Day with Tarone's correction, or where strata are small Zelen's exact test "
        f"over {ZELEN_TABLES:,} random tables.",
    )


def _level_table(analysis: Analysis, compared: Comparison) -> ReportTable:
    data = analysis.data
    known = data.known("response")
    rows = [{"stratum": ALL, "level": ""} | _difference_row(analysis, compared, known)]
    for name, levels in data.levels.items():
        column = np.array([level or "" for level in levels])
        rows += [
            {"stratum": name, "level": level} | _difference_row(analysis, compared, known & (column == level))
            for level in np.unique(column[column != ""]).tolist()
        ]
    return analysis.table(
        "response_by_stratum",
        f"Response in each stratum: {compared.name}, {compared.among}",
        _LEVEL_COLUMNS,
        rows,
        "One stratum at a time; differences between strata are looked at, not tested.",
    )


def _rate_figure(analysis: Analysis, rates: ReportTable) -> ReportFigure:
    several = len(analysis.data.arms) > 1
    # Each patient in one row only, so that the rows add up to n.
    shown = [r for r in rates.rows if r["known"] and r["marker_status"] != ALL and (r["arm"] == ALL) != several]
    drawn = draw_rates(
        [f"{row['marker_status']}, {row['arm']}" if several else str(row["marker_status"]) for row in shown],
        [row["responders"] for row in shown],
        [row["known"] for row in shown],
        *(_floats(shown, name) for name in ("rate_percent", "low_percent", "high_percent")),
        axis="response rate, %",
        counts_head="responders/n",
    )
    known = analysis.data.known("response")
    caption = (
        f"n = {int(known.sum())} patients with a known response, {int((~known).sum())} missing. "
        "Clopper-Pearson 95 % intervals; NE counts as no response."
    )
    return analysis.figure("response_rates", f"Response rate by {analysis.marker} status", caption, drawn, rates)


def _forest_figure(analysis: Analysis, compared: Comparison, levels: ReportTable) -> ReportFigure:
    rows = levels.rows
    drawn = draw_forest(
        ["all patients" if row["stratum"] == ALL else f"{row['stratum']}: {row['level']}" for row in rows],
        *(_floats(rows, name) for name in ("difference_points", "low_points", "high_points")),
        axis="difference of response rates, first minus second, percentage points",
        reference=0.0,
        log_axis=False,
        counts=[
            f"{r['first_responders']}/{r['first_known']} vs {r['second_responders']}/{r['second_known']}" for r in rows
        ],
        counts_head="responders/n",
        digits=1,
        bold=[row["stratum"] == ALL for row in rows],
    )
    used = rows[0]["first_known"] + rows[0]["second_known"]
    caption = (
        f"n = {used} patients compared, {int(compared.inside.sum()) - used} of them missing a response left out. "
        "Newcombe 95 % intervals, one stratum at a time."
    )
    return analysis.figure(
        "response_by_stratum", f"Response in each stratum: {compared.name}, {compared.among}", caption, drawn, levels
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else _PERCENT * share


def _floats(rows: Sequence[Any], name: str) -> NDArray[np.float64]:
    return np.array([np.nan if row[name] is None else row[name] for row in rows], float)
