"""What every part of a cohort's report shares: the data, the declared plan, the comparisons, and what is said below."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slidescore.cohort.marker_groups import EQUIVOCAL, GROUPS, HIGH, LOW, MIDDLE, SCORED
from slidescore.cohort.trial_data import TrialData
from slidescore.cohort.trial_plan import MARKER_STEP, TrialPlan
from slidescore.report.analysis_page import ReportFigure, ReportTable, show_p
from slidescore.report.page import MINUS, SCALE_WORDS, show_number

Flags = NDArray[np.bool_]

_HEADS: Final = {
    "marker_status": "status",
    "response_unknown": "unknown",
    "response_ne": "NE",
    "rate_percent": "rate, %",
    "low_percent": "low",
    "high_percent": "high",
    "first_responders": "responders, first",
    "first_known": "of",
    "second_responders": "second",
    "second_known": "of",
    "difference_points": "difference, points",
    "low_points": "low",
    "high_points": "high",
    "fisher_p": "P",
    "n_strata": "strata",
    "n_informative": "informative",
    "odds_ratio": "odds ratio",
    "hazard_ratio": "hazard ratio",
    "estimate_ratio": "ratio",
    "low_ratio": "low",
    "high_ratio": "high",
    "cmh_p": "CMH P",
    "exact_p": "exact P",
    "homogeneity_p": "homogeneity P",
    "homogeneity": "by",
    "median_months": "median, months",
    "low_months": "low",
    "high_months": "high",
    "event_free_percent": "event-free, %",
    "log_rank_p": "log-rank P",
    "stratified_log_rank_p": "stratified P",
    "stratified_patients": "in strata",
    "proportional_p": "proportional P",
    "likelihood_ratio_p": "likelihood-ratio P",
    "p": "P",
    "p_adjusted": "adjusted P",
    "p_naive": "naive P",
    "kruskal_wallis_p": "P",
    "lower_quartile": "quartile 1",
    "upper_quartile": "quartile 3",
}
"""Heads of columns on the page; the CSV has the names."""

SEEDS: Final = 2**63
"""Seeds lie below it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two groups of patients to compare.

    Attributes
    ----------
    name, among
        What is compared, and among whom.
    first, second
        Names of the groups; effects are those of the first against the second.
    inside
        bool (N,), the patients of both groups.
    is_first
        bool (N,), those of the first; only of use `inside`.
    of_treatment
        Whether the groups are arms.
    """

    name: str
    among: str
    first: str
    second: str
    inside: Flags
    is_first: Flags
    of_treatment: bool

    def strata_in(self, data: TrialData) -> tuple[NDArray[np.int64], bool]:
        """Give the stratum of each patient, int64 (N,), and whether arms are strata as well as the declared ones.

        Over all arms HIGH and LOW are compared within each arm, so that an effect of treatment is not taken for one of
        the marker.
        """
        by_arm = not self.of_treatment and len(np.unique(data.arm[self.inside])) > 1
        if not by_arm:
            return data.stratum, False
        names, arm = np.unique(data.arm, return_inverse=True)
        return data.stratum * len(names) + arm, True


@dataclass(frozen=True, slots=True)
class Analysis:
    """The data and the plan of one report; `marker` is what the assay stains, such as CXCR4."""

    data: TrialData
    plan: TrialPlan
    marker: str

    @property
    def treated(self) -> Flags | None:
        """Who is in the experimental arm, bool (N,); None unless the arms were randomised."""
        return self.data.arm != self.data.arms[0] if self.plan.randomised else None

    @property
    def step(self) -> float:
        """Points of the score that ratios are stated for."""
        return MARKER_STEP[self.data.scale]

    @property
    def score_axis(self) -> str:
        """Name of the score, for axes."""
        return f"{SCALE_WORDS[self.data.scale]}, {self.data.compartment}"

    @property
    def scored(self) -> Flags:
        """Who has a score: bool (N,)."""
        return ~np.isnan(self.data.score)

    @property
    def groups(self) -> tuple[str, ...]:
        """The statuses that occur, in the order of tables."""
        return tuple(group for group in GROUPS if (self.data.group == group).any())

    def complete(self, endpoint: str) -> Flags:
        """Who has a score, the outcome and every declared stratum: bool (N,)."""
        return self.scored & self.data.known(endpoint) & self.data.in_stratum

    def seed(self, name: str) -> int:
        """Make the seed of an analysis from its name and the patients; no order of rows changes it."""
        text = "\n".join((name, *self.data.patient_id, *(f"{score:.7g}" for score in self.data.score)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big") % SEEDS

    def table(
        self, name: str, title: str, columns: tuple[str, ...], rows: Sequence[Mapping[str, Any]], note: str = ""
    ) -> ReportTable:
        """Make a table that says what HIGH means below it."""
        return ReportTable(
            name=name,
            title=title,
            columns=columns,
            rows=rows,
            note=" ".join(filter(None, (note, self.data.rule.note))),
            formats={column: write for column in columns if (write := _format(column)) is not None},
            heads={column: _HEADS[column] for column in columns if column in _HEADS},
        )

    def figure(self, name: str, title: str, caption: str, drawn: Any, data: ReportTable) -> ReportFigure:
        """Make a figure whose caption says what HIGH means."""
        return ReportFigure(name, title, f"{caption} {self.data.rule.note}", drawn, data)


def comparisons(analysis: Analysis) -> list[Comparison]:
    """List what is compared: arms where they were randomised, HIGH with LOW always; nothing else, whatever the data."""
    data, found = analysis.data, []
    everyone = np.ones(data.n, bool)
    if analysis.treated is not None:
        control, experimental = data.arms
        subsets = [("all patients", everyone)]
        subsets += [(g, data.group == g) for g in analysis.groups if g in (HIGH, MIDDLE, EQUIVOCAL, LOW, SCORED)]
        found += [
            Comparison(f"{experimental} against {control}", name, experimental, control, inside, analysis.treated, True)
            for name, inside in subsets
        ]
    called = (data.group == HIGH) | (data.group == LOW)
    if {HIGH, LOW} & set(analysis.groups):
        high = data.group == HIGH
        subsets = [("all patients", everyone)]
        if len(data.arms) > 1:
            subsets += [(f"arm {arm}", data.arm == arm) for arm in data.arms]
        found += [
            Comparison(f"{HIGH} against {LOW}", name, HIGH, LOW, called & inside, high, False)
            for name, inside in subsets
        ]
    return found


def missing_rows(analysis: Analysis, endpoints: Sequence[str], titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Count, for each analysis, the patients it rests on and what the others lack (the first thing that they lack)."""
    data, rows = analysis.data, []
    called = np.isin(data.group, (HIGH, LOW))
    for endpoint in endpoints:
        known = data.known(endpoint)
        kinds: list[tuple[str, list[tuple[str, Flags]]]] = [
            ("by marker status and arm", [("no_outcome", known)]),
            ("HIGH against LOW", [("no_outcome", known), ("no_score", analysis.scored), ("not_called", called)]),
            ("curve along the score", [("no_outcome", known), ("no_score", analysis.scored)]),
            ("model", [("no_outcome", known), ("no_score", analysis.scored), ("no_stratum", data.in_stratum)]),
        ]
        if data.levels:
            kinds.append(("all patients, over strata", [("no_outcome", known), ("no_stratum", data.in_stratum)]))
        for kind, needs in kinds:
            left, lost = np.ones(data.n, bool), {}
            for reason, has in needs:
                lost[reason] = int((left & ~has).sum())
                left &= has
            rows.append(
                {"endpoint": titles[endpoint], "analysis": kind, "patients": data.n, "used": int(left.sum())} | lost
            )
    return rows


def _format(column: str) -> Any:
    """Choose how a column is written on the page, by its name."""
    if column.startswith("p_") or column.endswith("_p") or column == "p":
        return show_p
    if column.endswith("_percent") or column.endswith("_points") or column.endswith("_months"):
        return lambda value: show_number(value, 1).replace("-", MINUS)
    if column.endswith("_ratio"):
        return lambda value: show_number(value, 2)
    return None
