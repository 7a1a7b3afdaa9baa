"""The parts of a report that take the score as it is: regressions, effect curves, and the search for a cut-off."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from slidescore.cohort.analysis import Analysis
from slidescore.cohort.cut_resampling import FOLDS, REPEATS, RESAMPLES, NestedCut, nested_binary, nested_survival
from slidescore.cohort.cutpoint import NAIVE_CRITICAL, SEARCHED, CutpointSearch, search_binary, search_survival
from slidescore.cohort.effect_curve import LANDMARK_MONTHS, PERMUTATIONS, EffectCurve, response_curve, survival_curve
from slidescore.cohort.interaction import response_model, survival_model
from slidescore.cohort.marker_models import Term
from slidescore.cohort.trial_plan import ENDPOINT_TITLES
from slidescore.report.analysis_page import ReportFigure, ReportSection, ReportTable, show_p
from slidescore.report.plots.cutpoint import draw_cutpoint
from slidescore.report.plots.effect_curve import draw_effect_curve

EXPLORATORY: Final = "EXPLORATORY"

_MODEL_COLUMNS: Final = (
    "endpoint", "model", "patients", "left_out", "events", "term", "estimate_ratio", "low_ratio", "high_ratio", "p",
    "likelihood_ratio_p", "proportional_p", "notes",
)  # fmt: skip
_CURVE_COLUMNS: Final = ("score", "window_low", "window_high", "patients", "estimate", "low", "high")
_SEARCH_COLUMNS: Final = (
    "endpoint", "arm", "patients", "events", "cuts_tried", "best_cut", "chi_square", "p_adjusted", "p_naive", "method",
    "status", "reason",
)  # fmt: skip
_RESAMPLED_COLUMNS: Final = (
    "endpoint", "arm", "effect", "apparent", "held_out", "held_out_low", "held_out_high", "best_cut", "cut_low",
    "cut_median", "cut_high", "status",
)  # fmt: skip
_SEARCHED_COLUMNS: Final = ("cut", "chi_square")


def model_section(analysis: Analysis, endpoints: tuple[str, ...]) -> ReportSection:
    """Report the regressions on the continuous score, and the effect along it."""
    rows: list[dict[str, Any]] = []
    for endpoint in endpoints:
        rows += _model_rows(analysis, endpoint)
    strata = ", ".join(analysis.data.levels)
    adjusted = f"Logistic models are adjusted for, Cox models stratified by {strata}." if strata else "Not adjusted."
    table = analysis.table(
        "models",
        "Outcome by the continuous score",
        _MODEL_COLUMNS,
        rows,
        f"{adjusted} Ratios per {analysis.step:g} points of {analysis.score_axis}, 95 % Wald intervals; odds ratios of "
        "response, hazard ratios of survival. The likelihood-ratio P is that of the term beside which it stands.",
    )
    figures: list[ReportFigure] = []
    without: list[str] = []
    for endpoint in endpoints:
        curve = _curve(analysis, endpoint)
        if curve.reason:
            without.append(f"No curve of {ENDPOINT_TITLES[endpoint]} along the score: {curve.reason}.")
        else:
            figures.append(_curve_figure(analysis, endpoint, curve))
    if analysis.treated is None:
        words = [
            "The score enters as it is, not cut. These data show association: without a randomised comparison they "
            "cannot tell whether the marker changes what a treatment does."
        ]
    else:
        words = [
            "The score enters as it is, not cut. Only the term 'treatment x marker' speaks to a predictive marker: "
            "whether the effect of treatment changes with the score. The marker's own term is an association in the "
            "control arm."
        ]
    return ReportSection("The score as it is", words + without, [table], figures)


def _model_rows(analysis: Analysis, endpoint: str) -> list[dict[str, Any]]:
    data, inside = analysis.data, analysis.complete(endpoint)
    treated = None if analysis.treated is None else analysis.treated[inside]
    score = data.score[inside]
    if endpoint == "response":
        strata = {name: tuple(np.array(column)[inside].tolist()) for name, column in data.levels.items()}
        fit = response_model(score, data.responder[inside] == 1, analysis.step, treated, strata)
    else:
        stratum = data.stratum[inside] if data.levels else None
        months, event = data.months[endpoint][inside], data.event[endpoint][inside] == 1
        fit = survival_model(score, months, event, analysis.step, treated, stratum)
    first = {
        "endpoint": ENDPOINT_TITLES[endpoint],
        "model": fit.model,
        "patients": fit.n,
        "left_out": data.n - fit.n,
        "events": fit.n_events,
        "notes": "; ".join(filter(None, (fit.reason, *fit.notes))),
    }
    rows = [_term_row(term) for term in (*fit.terms, *fit.adjustment)] or [{}]
    if fit.terms:
        rows[len(fit.terms) - 1] |= {"likelihood_ratio_p": fit.p_tested, "proportional_p": fit.p_proportional}
    return [first | row for row in rows]


def _term_row(term: Term) -> dict[str, Any]:
    return {
        "term": term.name,
        "estimate_ratio": term.ratio,
        "low_ratio": term.low,
        "high_ratio": term.high,
        "p": term.p,
    }


def _curve(analysis: Analysis, endpoint: str) -> EffectCurve:
    data = analysis.data
    inside = analysis.scored & data.known(endpoint)
    treated = None if analysis.treated is None else analysis.treated[inside]
    seed = analysis.seed(f"curve {endpoint}")
    if endpoint == "response":
        return response_curve(data.score[inside], data.responder[inside] == 1, treated, seed)
    months, event = data.months[endpoint][inside], data.event[endpoint][inside] == 1
    return survival_curve(data.score[inside], months, event, treated, LANDMARK_MONTHS[endpoint], seed)


def _curve_figure(analysis: Analysis, endpoint: str, curve: EffectCurve) -> ReportFigure:
    data, title = analysis.data, ENDPOINT_TITLES[endpoint]
    inside = analysis.scored & data.known(endpoint)
    drawn = draw_effect_curve(
        curve.score,
        *(curve.percent * each for each in (curve.estimate, curve.low, curve.high)),
        axis=curve.axis,
        score_axis=analysis.score_axis,
        reference=curve.reference,
        log_axis=curve.log_axis,
        patients=data.score[inside],
        counts=curve.n.tolist(),
        overall=None if curve.overall is None else curve.percent * curve.overall,
        band_name="pointwise 95 % interval",
    )
    asked = (
        "the test of one common effect was not possible"
        if curve.p is None
        else f"P of one common effect along the score: {show_p(curve.p)} ({PERMUTATIONS:,} permutations)"
    )
    sizes = " to ".join(f"{size}" for size in sorted({int(curve.n.min()), int(curve.n.max())}))
    between = "" if analysis.treated is None else f" of {data.arms[1]} against {data.arms[0]}"
    caption = (
        f"n = {int(inside.sum())} patients, {int(data.n - inside.sum())} of {data.n} missing (no score or no outcome). "
        f"{curve.effect.capitalize()}{between} in {len(curve.n)} overlapping windows of {sizes} "
        f"patients (STEPP); bands are pointwise; {asked}."
    )
    rows = [
        dict(zip(_CURVE_COLUMNS, (*map(float, values[:3]), int(values[3]), *map(float, values[4:])), strict=True))
        for values in zip(
            curve.score,
            curve.window_low,
            curve.window_high,
            curve.n,
            curve.estimate,
            curve.low,
            curve.high,
            strict=True,
        )
    ]
    name = f"{endpoint}_along_score"
    data_table = ReportTable(name, title, _CURVE_COLUMNS, rows)
    return analysis.figure(name, f"{title.capitalize()} along the score", caption, drawn, data_table)


def cutpoint_section(analysis: Analysis, endpoints: tuple[str, ...]) -> ReportSection:
    """Report the corrected search for a cut-off, in each randomised arm apart, otherwise in all patients."""
    data, rows, figures = analysis.data, [], []
    arms = [("", np.ones(data.n, bool))]
    if analysis.treated is not None:
        arms = [(arm, data.arm == arm) for arm in data.arms]
    for endpoint in endpoints:
        for number, (arm, in_arm) in enumerate(arms):
            inside = in_arm & analysis.scored & data.known(endpoint)
            score, seed = data.score[inside], analysis.seed(f"search {endpoint} {arm}")
            if endpoint == "response":
                hit = data.responder[inside] == 1
                found, nested = search_binary(score, hit), nested_binary(score, hit, seed)
            else:
                months, event = data.months[endpoint][inside], data.event[endpoint][inside] == 1
                found, nested = search_survival(score, months, event, seed), nested_survival(score, months, event, seed)
            rows.append(_search_row(endpoint, arm, found, nested))
            if found.best is not None:
                figures.append(_search_figure(analysis, f"{endpoint}_cutoff_search_{number}", rows[-1], found, nested))
    table = analysis.table(
        "cutoff_search",
        f"{EXPLORATORY}: search for a cut-off",
        _SEARCH_COLUMNS,
        rows,
        f"The cut with the largest chi-square among those that leave {100 * SEARCHED:g} % of the patients on each "
        "side. The adjusted P is corrected for the search over cuts, not for "
        f"{len(rows)} searches; the naive one is what a cut declared beforehand would have had: it means nothing here.",
    )
    resampled = analysis.table(
        "cutoff_resampled",
        f"{EXPLORATORY}: what the cut is worth in other patients",
        _RESAMPLED_COLUMNS,
        [row for row in rows if "effect" in row],
        "Difference of response rates (high minus low, as shares) or hazard ratio of high against low. Apparent: in "
        f"the patients who chose the cut. Held out: median and 2.5 to 97.5 % range over {REPEATS} splits into {FOLDS} "
        f"folds, each judged at the cut that the others chose. Cut: percentiles over {RESAMPLES:,} bootstrap samples.",
    )
    words = [
        f"{EXPLORATORY}. A cut-off searched in a cohort fits that cohort; it must be judged in other patients before "
        "it means anything. The association of the marker with the outcome is searched, within each arm where arms "
        "were randomised; no cut-off is searched for the effect of treatment."
    ]
    return ReportSection(f"{EXPLORATORY}: cut-off search", words, [table, resampled], figures)


def _search_row(endpoint: str, arm: str, found: CutpointSearch, nested: NestedCut | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "endpoint": ENDPOINT_TITLES[endpoint],
        "arm": arm,
        "patients": found.n,
        "events": found.n_events,
        "cuts_tried": len(found.cuts),
        "best_cut": found.best,
        "chi_square": float(found.statistic.max()) if len(found.statistic) else None,
        "p_adjusted": found.p_adjusted,
        "p_naive": found.p_naive,
        "method": found.method,
        "status": EXPLORATORY,
        "reason": found.reason,
    }
    if nested is None or found.best is None:
        return row
    return row | {
        "effect": nested.effect,
        "apparent": nested.apparent,
        "held_out": nested.held_out,
        "held_out_low": nested.held_out_low,
        "held_out_high": nested.held_out_high,
        "cut_low": nested.cut_low,
        "cut_median": nested.cut_median,
        "cut_high": nested.cut_high,
    }


def _search_figure(
    analysis: Analysis, name: str, row: dict[str, Any], found: CutpointSearch, nested: NestedCut | None
) -> ReportFigure:
    drawn = draw_cutpoint(
        found.cuts,
        found.statistic,
        chosen=float(row["best_cut"]),
        statistic_axis="chi-square",
        score_axis=analysis.score_axis,
        naive_critical=NAIVE_CRITICAL,
        corrected_critical=found.critical,
        resampled=None if nested is None else nested.cuts,
    )
    arm = f", arm {row['arm']}" if row["arm"] else ""
    missing = int((analysis.data.arm == row["arm"]).sum() if row["arm"] else analysis.data.n) - found.n
    caption = (
        f"{EXPLORATORY}. n = {found.n} patients, {missing} missing (no score or no outcome). Adjusted P "
        f"{show_p(found.p_adjusted)}, naive P {show_p(found.p_naive)}; {found.method}; below, the cuts chosen in "
        "bootstrap samples."
    )
    rows = [
        {"cut": float(cut), "chi_square": float(value)} for cut, value in zip(found.cuts, found.statistic, strict=True)
    ]
    title = f"{EXPLORATORY}: cut-off search, {row['endpoint']}{arm}"
    return analysis.figure(name, title, caption, drawn, ReportTable(name, title, _SEARCHED_COLUMNS, rows))
