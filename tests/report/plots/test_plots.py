"""Each plot with many groups, with one, and with nothing: whole, its n and its labels on it."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from report.plots.drawn import check_figure, overlaps
from slidescore.report.plots.agreement import draw_agreement
from slidescore.report.plots.bland_altman import draw_bland_altman
from slidescore.report.plots.confusion import draw_confusion
from slidescore.report.plots.control_chart import draw_control_chart
from slidescore.report.plots.cutpoint import draw_cutpoint
from slidescore.report.plots.effect_curve import draw_effect_curve
from slidescore.report.plots.kaplan_meier import KEY_PLACES, SurvivalCurve, draw_kaplan_meier
from slidescore.report.plots.patient_flow import FlowStep, draw_patient_flow
from slidescore.report.plots.rates import draw_forest, draw_rates
from slidescore.report.plots.threshold_fit import draw_threshold_fit

NAN = float("nan")
NONE = (NAN, NAN, NAN)


def _array(*values: float) -> np.ndarray:
    return np.array(values, float)


def _said(figure: Figure) -> str:
    return "\n".join(check_figure(figure))


class TestAgreement:
    first, second = _array(10, 120, 200, NAN), _array(30, 140, 210, 5)

    def test_pairs(self) -> None:
        said = _said(draw_agreement(
                self.first, self.second, first_name="readers", second_name="machine", cutoff=150.0,
                second_low=self.second - 5, second_high=self.second + 5, marked=np.array([False, True, False, False]),
                marked_name="EQUIVOCAL", notes=["ICC(2,1) 0.91 (0.84 to 0.95)", "CCC 0.9"],
            )
        )  # fmt: skip
        assert "n = 3 pairs, 1 incomplete, open: EQUIVOCAL (1)" in said
        assert "ICC(2,1) 0.91" in said
        assert "cut-off 150" in said

    def test_bland_altman(self) -> None:
        said = _said(draw_bland_altman(
                self.first, self.second, first_name="machine", second_name="reader 1", bias=(-16.7, -20, -13),
                lower=(-28.0, -35, -20), upper=(-5, -9, -1),
            )
        )  # fmt: skip
        assert "bias −16.7\n(−20.0 to −13.0)" in said
        assert "machine − reader 1, H-score" in said
        assert "n = 3 pairs, 1 incomplete" in said

    def test_lines_that_fall_together_keep_their_labels_apart(self) -> None:
        same, flat = _array(1, 2, 3), (0.0, 0.0, 0.0)
        figure = draw_bland_altman(same, same, first_name="a", second_name="b", bias=flat, lower=flat, upper=flat)
        check_figure(figure)
        assert overlaps(figure, ["bias", "limit"]) == []

    @pytest.mark.parametrize("n", [0, 1])
    def test_little(self, n: int) -> None:
        first = self.first[:n]
        names = {"first_name": "a", "second_name": "b"}
        said = _said(draw_bland_altman(first, first, **names, bias=NONE, lower=NONE, upper=NONE))
        assert ("n = 1 pair" if n else "none of 0 pairs is complete") in said
        assert ("n = 1 pair" if n else "none of 0 pairs is complete") in _said(draw_agreement(first, first, **names))


class TestConfusion:
    def test_counts(self) -> None:
        counts = np.array([[1200, 14, 1, 0], [18, 203, 31, 2], [0, 22, 98, 12], [0, 1, 999, 9000]])
        said = _said(draw_confusion(counts, row_name="machine", column_name="reader"))
        assert "n = 11,601 slides, 91 % alike" in said
        assert "<1 %" in said
        assert "10,000" in said

    def test_nothing(self) -> None:
        counts = np.zeros((2, 2), int)
        said = _said(draw_confusion(counts, row_name="machine", column_name="reader", labels=("low", "high")))
        assert "n = 0 slides" in said


class TestRates:
    def test_rates(self) -> None:
        low, high = _array(18.8, 40.6, NAN), _array(59.4, 81.2, NAN)
        said = _said(
            draw_rates(["HIGH, A", "HIGH, B", "EQUIVOCAL"], [9, 15, 0], [24, 24, 0], _array(37.5, 62.5, NAN), low, high)
        )
        assert "9/24" in said
        assert "37.5 (18.8 to 59.4)" in said
        assert "n = 48" in said
        assert "–" in said

    def test_many_strata(self) -> None:
        n = 33
        estimate, width = np.geomspace(0.3, 3, n), np.full(n, 1.5)
        width[4], estimate[5] = 1e6, NAN
        labels = [f"stratum {k}, a name that goes on for longer than there is room" for k in range(n)]

        figure = draw_forest(
            labels, estimate, estimate / width, estimate * width, axis="hazard ratio", counts=["400 (300)"] * n,
            counts_head="n (events)", bold=[False] * (n - 1) + [True], favours=("A better", "B better"),
        )  # fmt: skip
        said = _said(figure)
        assert "← A better    B better →" in said
        assert overlaps(figure, ["stratum", "400 (", " to "]) == []

    def test_one_and_none(self) -> None:
        one = _said(draw_forest(["All"], _array(1.2), _array(0.9), _array(1.6), axis="odds ratio"))
        assert "1.20 (0.90 to 1.60)" in one
        flat = _said(draw_forest(["A"], _array(0), _array(0), _array(0), axis="bias", reference=0, log_axis=False))
        assert "0.00 (0.00 to 0.00)" in flat
        empty = _array()
        assert _said(draw_forest([], empty, empty, empty, axis="x")) == "no stratum to show"
        assert _said(draw_rates([], [], [], empty, empty, empty)) == "no group to show"


def test_endpoints_of_a_patient_flow_branch_from_the_box_that_they_came_from() -> None:
    steps = [FlowStep("patients", 20), FlowStep("response", 12, ("8 without it",), after=0)]
    steps += [FlowStep("survival", 18, ("2 without it",), after=0)]
    figure = draw_patient_flow(steps)
    assert {"response\nn = 12", "survival\nn = 18", "2 without it"} <= set(check_figure(figure))
    branch = figure.axes[0].lines[-1]
    assert list(branch.get_ydata()) == [0, 0, 2]


class TestKaplanMeier:
    def curve(self, label: str, n: int = 40) -> SurvivalCurve:
        times, survival = np.arange(n, dtype=float), np.linspace(1, 0.1, n)
        band = np.clip(survival - 0.05, 0, 1), np.clip(survival + 0.05, 0, 1)
        return SurvivalCurve(label, times, survival, *band, _array(0, 3.5, 39), (n, n // 2, 1))

    @pytest.mark.parametrize("n", [1, 2, 6])
    def test_groups(self, n: int) -> None:
        curves = [self.curve(f"HIGH, arm {k}") for k in range(n)]

        figure = draw_kaplan_meier(
            curves, risk_times=(0, 20, 40), time_axis="months", survival_axis="survival", notes=["P = 0.03"]
        )
        said = _said(figure)
        assert f"n = {40 * n} patients" in said
        assert "at risk" in said
        assert "P = 0.03" in said
        assert overlaps(figure, ["HIGH", "40"]) == []

    def test_each_label_has_a_piece_of_its_own_line(self) -> None:
        curves = [self.curve("A"), self.curve("B")]
        figure = draw_kaplan_meier(curves, risk_times=(0, 20, 39), time_axis="t", survival_axis="s")
        keys = [line for line in figure.axes[0].lines if tuple(line.get_xdata()) == KEY_PLACES]
        assert len({(line.get_color(), line.get_linestyle()) for line in keys}) == 2
        assert len({line.get_linestyle() for line in keys}) == 2

    def test_too_many_and_none(self) -> None:
        with pytest.raises(ValueError, match="7 curves"):
            draw_kaplan_meier([self.curve("a")] * 7, risk_times=(0,), time_axis="t", survival_axis="s")
        assert _said(draw_kaplan_meier([], risk_times=(), time_axis="t", survival_axis="s")) == ("no group to show")


class TestCurves:
    score = np.linspace(20, 280, 30)

    def test_effect(self) -> None:
        effect = np.geomspace(2, 0.5, 30)
        effect[3] = NAN
        said = _said(draw_effect_curve(
                self.score, effect, effect / 1.5, effect * 1e4, axis="hazard ratio", reference=1.0, log_axis=True,
                patients=np.arange(300.0), counts=[80] * 30, overall=0.8,
            )
        )  # fmt: skip
        assert "n = 300 patients, one tick each; band: 95 % interval" in said
        assert "no effect" in said
        assert "all patients" in said

    def test_little_effect(self) -> None:
        one = _array(100)
        assert "band" in _said(draw_effect_curve(one, one, one - 1, one + 1, axis="difference"))
        nothing = _array(NAN)
        assert "no window" in _said(draw_effect_curve(one, nothing, nothing, nothing, axis="difference"))

    def test_cutpoint(self) -> None:
        statistic = np.abs(np.sin(self.score))
        said = _said(draw_cutpoint(
                self.score, statistic, chosen=154.5, statistic_axis="|z|", naive_critical=1.96, corrected_critical=2.0,
                resampled=self.score,
            )
        )  # fmt: skip
        assert "largest at 154.5" in said
        assert "5 %: best of all cuts" in said
        assert "n = 30 candidate cuts; exploratory" in said
        assert "30 resamples" in said

    def test_little_cutpoint(self) -> None:
        one = _array(100)
        assert "n = 1 candidate" in _said(draw_cutpoint(one, one, chosen=100, statistic_axis="|z|", resampled=one))
        assert "no candidate" in _said(draw_cutpoint(one, _array(NAN), chosen=NAN, statistic_axis="|z|"))


class TestControlChart:
    def draw(self, n: int, size: int = 10, limits: tuple[float, float] = (0.4, 0.6)) -> Figure:
        values = 0.5 + 0.02 * np.sin(np.arange(n))
        values[n // 2] = NAN
        values[-1] = 0.7
        baseline = np.arange(n) < 20
        sums = np.where(baseline, NAN, np.abs(np.sin(np.arange(n) / 7)))
        return draw_control_chart(
            values, [f"2026-{k // size:03}" for k in range(n)], axis="control DAB OD", mean=0.5, sd=0.02,
            limit_low=np.where(baseline, NAN, limits[0]), limit_high=np.where(baseline, NAN, limits[1]),
            baseline=baseline, alarms=values > 0.6, cusum_up=sums, cusum_down=sums, cusum_limit=5.0,
        )  # fmt: skip

    @pytest.mark.parametrize("n", [30, 400])
    def test_batches(self, n: int) -> None:
        said = _said(figure := self.draw(n))
        assert f"n = {n - 1}, 1 not measured, open: " in said
        assert "ringed: 1 with an alarm" in said
        assert "mean 0.5" in said
        assert "limit 0.6" in said
        assert overlaps(figure, ["2026-"]) == []
        assert overlaps(figure, ["limit", "SD", "mean", "up", "down"]) == []

    def test_no_limits(self) -> None:
        said = _said(self.draw(30, limits=(NAN, NAN)))
        assert said.count("limit") == 1, "of the sums"

    def test_nothing_measured(self) -> None:
        nothing = _array(NAN, NAN)
        none = np.zeros(2, bool)
        said = _said(draw_control_chart(
                nothing, ["a", "a"], axis="x", mean=NAN, sd=NAN, limit_low=nothing, limit_high=nothing, baseline=none,
                alarms=none, cusum_up=nothing, cusum_down=nothing, cusum_limit=5.0,
            )
        )  # fmt: skip
        assert said == "measured on no slide"


class TestThresholdFit:
    edges = np.linspace(0, 1.5, 31)

    def test_four_bins(self) -> None:
        counts = np.array([np.roll(np.arange(30), 5 * k) for k in range(4)])
        said = _said(draw_threshold_fit(
                self.edges, counts, thresholds=_array(0.2, 0.21, 0.6), low=_array(0.19, 0.2, NAN),
                high=_array(0.21, 0.22, NAN), old_thresholds=_array(0.2, 0.4, 0.6),
            )
        )  # fmt: skip
        assert "0.200\n(0.190 to 0.210)" in said
        assert "0.600" in said
        assert "1+\nn = 435" in said
        assert "dotted: before" in said

    def test_thresholds_close_together_keep_their_labels_apart(self) -> None:
        close = _array(0.2, 0.21, 0.22)
        figure = draw_threshold_fit(self.edges, np.ones((4, 30), int), thresholds=close, low=close, high=close)
        check_figure(figure)
        assert overlaps(figure, [" to "]) == []

    def test_cells_without_labels_and_none(self) -> None:
        empty = _array()
        counts = np.ones((1, 30), int)
        assert "cells\nn = 30" in _said(
            draw_threshold_fit(self.edges, counts, thresholds=empty, low=empty, high=empty, labels=("cells",))
        )
        assert "no cell" in _said(
            draw_threshold_fit(self.edges, 0 * counts, thresholds=empty, low=empty, high=empty, labels=("cells",))
        )
