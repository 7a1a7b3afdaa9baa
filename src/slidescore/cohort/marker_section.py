"""The part of a report about the marker itself: its distribution, and how it goes with arms and strata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kruskal

from slidescore.cohort.analysis import Analysis
from slidescore.cohort.marker_groups import GROUPS
from slidescore.report.analysis_page import ReportSection

Flags = NDArray[np.bool_]

_COLUMNS: Final = ("group", "level", "patients", "with_score", "median", "lower_quartile", "upper_quartile")


def marker_section(analysis: Analysis) -> ReportSection:
    """Report the score in all patients, by arm and by stratum."""
    statuses = tuple(name.lower() for name in GROUPS if name in analysis.groups)
    rows = [
        _row(analysis, group, level, inside, statuses) | {"kruskal_wallis_p": p}
        for group, level, inside, p in _subsets(analysis)
    ]
    table = analysis.table(
        "marker",
        f"{analysis.score_axis} by arm and stratum",
        (*_COLUMNS, *statuses, "kruskal_wallis_p"),
        rows,
        "Kruskal-Wallis P that the score is the same at all levels; beside the first level of each group.",
    )
    return ReportSection("The marker", [], [table])


def _subsets(analysis: Analysis) -> Iterator[tuple[str, str, Flags, float | None]]:
    data = analysis.data
    yield "all", "", np.ones(data.n, bool), None
    columns = {name: np.array([level or "" for level in levels]) for name, levels in data.levels.items()}
    if len(data.arms) > 1:
        columns = {"arm": data.arm, **columns}
    for name, column in columns.items():
        levels = [level for level in np.unique(column).tolist() if level]
        for number, level in enumerate(levels):
            yield name, level, column == level, _kruskal(analysis, column, levels) if number == 0 else None
        if (column == "").any():
            yield name, "unknown", column == "", None


def _kruskal(analysis: Analysis, column: NDArray[np.str_], levels: list[str]) -> float | None:
    scores = [analysis.data.score[(column == level) & analysis.scored] for level in levels]
    scores = [each for each in scores if len(each)]
    if len(scores) < 2 or np.ptp(np.concatenate(scores)) == 0:  # noqa: PLR2004 - a comparison needs two
        return None
    return float(kruskal(*scores).pvalue)


def _row(analysis: Analysis, group: str, level: str, inside: Flags, statuses: tuple[str, ...]) -> dict[str, Any]:
    data = analysis.data
    scores = data.score[inside & analysis.scored]
    row: dict[str, Any] = {"group": group, "level": level, "patients": int(inside.sum()), "with_score": len(scores)}
    if len(scores):
        low, median, high = np.quantile(scores, [0.25, 0.5, 0.75])
        row |= {"median": float(median), "lower_quartile": float(low), "upper_quartile": float(high)}
    return row | {name: int((inside & (data.group == name.upper())).sum()) for name in statuses}
