from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.report.charts import (
    SMALL_WIDTH,
    WIDTH,
    ReliabilityPoint,
    Series,
    Tick,
    draw_bin_bar,
    draw_compartments,
    draw_histogram,
    draw_lines,
    draw_reliability,
    draw_small_bin_bar,
    draw_small_interval,
    draw_strip,
)
from slidescore.scoring import bin_values

THRESHOLDS = (0.2, 0.4, 0.6)


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def widths(root: ET.Element, style: str) -> list[float]:
    return [float(rect.get("width", "0")) for rect in root.iter("rect") if rect.get("class") == style]


def words(root: ET.Element) -> str:
    return " ".join("".join(text.itertext()) for text in root.iter("text"))


class TestBinBar:
    @given(st.lists(st.integers(0, 10**7), min_size=4, max_size=4))
    def test_widths_are_shares(self, counts: list[int]) -> None:
        root = parsed(draw_small_bin_bar(counts))
        for number, count in enumerate(counts):
            expected = [pytest.approx(120 * count / sum(counts), abs=0.01)] if count else []
            assert widths(root, f"bin{number}") == expected

    def test_counts_percents_and_names_are_in_words(self) -> None:
        root = parsed(draw_bin_bar([6543, 2000, 1, 1456]))
        for text in ("Negative", "1+", "2+", "3+", "6,543 (65 %)", "2,000 (20 %)", "1 (<0.1 %)", "1,456 (15 %)"):
            assert text in words(root)
        assert root.findtext("title") == "Tumor cells by bin, n = 10,000"
        assert widths(root, "bin0")[0] == pytest.approx(WIDTH * 0.6543, abs=0.01)

    def test_no_cells(self) -> None:
        root = parsed(draw_bin_bar([0, 0, 0, 0]))
        assert "0 (–)" in words(root)
        assert len(widths(root, "empty")) == 1


class TestHistogram:
    @given(st.lists(st.floats(-0.5, 2.5, width=32), max_size=60))
    def test_bars_hold_every_cell_in_its_bins_colour(self, values: list[float]) -> None:
        array = np.array(values, np.float32)
        root = parsed(draw_histogram(array, THRESHOLDS, "cytoplasm", "mean"))
        counts = np.bincount(bin_values(array, THRESHOLDS), minlength=4)
        ticks = [int(t.text or "") for t in root.iter("text") if t.get("text-anchor") == "end" and t.text != "cells"]
        for number in range(4):
            heights = [
                float(rect.get("height", "0")) for rect in root.iter("rect") if rect.get("class") == f"bin{number}"
            ]
            assert sum(heights) / 130 * max(ticks) == pytest.approx(counts[number], abs=0.01 * max(1, len(heights)))

    def test_thresholds_axis_and_n_are_labelled(self) -> None:
        root = parsed(
            draw_histogram(np.array([0.1, 0.3, np.nan], np.float32), THRESHOLDS, "membrane", "75. percentile")
        )
        assert root.findtext("title") == "DAB optical density, membrane (75. percentile), n = 2 tumor cells"
        for text in ("1+ ≥ 0.2", "2+ ≥ 0.4", "3+ ≥ 0.6", "membrane (75. percentile)", "cells"):
            assert text in words(root)
        lines = [float(line.get("x1", "0")) for line in root.iter("line") if line.get("class") == "threshold"]
        scale = (WIDTH - 58) / 1.5
        assert lines == pytest.approx([48 + od * scale for od in THRESHOLDS], abs=0.01)

    def test_labels_of_close_thresholds_do_not_overlap(self) -> None:
        root = parsed(draw_histogram(np.array([0.1], np.float32), (0.2, 0.25, 0.3), "cell", "mean"))
        places = [(t.get("x"), t.get("y")) for t in root.iter("text") if "≥" in (t.text or "")]
        assert places[0][1] != places[1][1]


def test_compartments_mark_the_scored_one_and_its_cutoff() -> None:
    scores = {"nucleus": 12.34, "cytoplasm": 210.0, "membrane": None, "cell": 99.96}
    values = {name: (value, None, None) for name, value in scores.items()}
    root = parsed(draw_compartments(values, "cytoplasm", 150.0, "cut-off ≥ 150"))
    scale = WIDTH - 96 - 56
    assert widths(root, "bar-scored") == [pytest.approx(210 / 300 * scale, abs=0.01)]
    assert "12.3" in words(root)
    assert "210.0" in words(root)
    assert "–" in words(root)
    assert "100.0" in words(root)
    cutoffs = [line for line in root.iter("line") if line.get("class") == "cutoff"]
    assert [float(line.get("x1", "0")) for line in cutoffs] == [pytest.approx(96 + scale / 2)]
    assert not list(parsed(draw_compartments(values, "cytoplasm", None)).iterfind("line[@class='cutoff']"))


def test_intervals_of_compartments_are_lines_with_ends() -> None:
    root = parsed(draw_compartments({"nucleus": (90.0, None, None), "cell": (150.0, 120.0, 210.0)}, "cell", None))
    scale = WIDTH - 96 - 56
    lines = [line for line in root.iter("line") if line.get("class") == "whisker"]
    assert len(lines) == 3
    assert [float(lines[0].get(name, "0")) for name in ("x1", "x2")] == pytest.approx(
        [96 + 0.4 * scale, 96 + 0.7 * scale]
    )


def test_a_score_in_a_row_has_its_interval_and_cutoff_on_its_own_axis() -> None:
    root = parsed(draw_small_interval(6.0, 3.0, 9.0, 7.0, 12.0, "Immunoreactive <score> 6 (3 to 9)"))
    assert root.findtext("title") == "Immunoreactive <score> 6 (3 to 9)"
    assert widths(root, "interval") == [pytest.approx((SMALL_WIDTH - 2) / 2)]
    places = {line.get("class"): float(line.get("x1", "0")) for line in root.iter("line")}
    assert places["tick"] == pytest.approx(1 + (SMALL_WIDTH - 2) / 2)
    assert places["cutoff"] == pytest.approx(1 + (SMALL_WIDTH - 2) * 7 / 12, abs=0.01)
    bare = parsed(draw_small_interval(6.0, None, None, None, 12.0, ""))
    assert {line.get("class") for line in bare.iter("line")} == {"axis", "tick"}
    assert widths(bare, "interval") == []


def test_strip_places_ticks_and_escapes_names() -> None:
    ticks = [Tick(0.0, None, None, "<b>&.svs"), Tick(300.0, 280.0, 300.0, "b"), Tick(150.0, None, None, "c")]
    svg = draw_strip(ticks, 150.0, "cut-off ≥ 150", "H-score", 300.0)
    assert "<b>" not in svg
    root = parsed(svg)
    lines = [line for line in root.iter("line") if line.get("class") == "tick"]
    assert [float(line.get("x1", "0")) for line in lines] == [10.0, 1190.0, 600.0]
    assert lines[0].findtext("title") == "<b>&.svs: 0.0"
    assert len(widths(root, "interval")) == 1
    assert re.search(r"n = 3 slides", svg)
    assert parsed(draw_strip([], None, "", "H-score", 300.0)) is not None


class TestLines:
    def places(self, root: ET.Element) -> list[list[tuple[float, float]]]:
        lines = [line.get("points", "").split() for line in root.iter("polyline")]
        return [[(float(x), float(y)) for x, y in (place.split(",") for place in line)] for line in lines]

    def labels(self, root: ET.Element) -> dict[str, float]:
        return {t.text or "": float(t.get("y", "0")) for t in root.iter("text") if t.get("class") == ""}

    def test_points_lie_where_the_axes_say(self) -> None:
        series = [Series("<a>", [(1, 0.0), (2, 0.5), (3, 1.0)]), Series("b", [(1, 1.0), (2, float("nan")), (3, 0.25)])]
        svg = draw_lines(series, x_axis="round", y_axis="F1", end=1.0)
        assert "<a>" not in svg
        root = parsed(svg)
        left, right, bottom, top = 40.0, WIDTH - 150.0, 234.0, 24.0
        middle = (left + right) / 2
        assert self.places(root) == [
            [(left, bottom), (middle, (top + bottom) / 2), (right, top)],
            [(left, top), (right, bottom - 0.25 * 210)],
        ]
        assert "&lt;a&gt; 1.00" in svg
        assert "b 0.25" in words(root)
        assert root.findtext("title") == "F1 by round; at the end <a> 1, b 0.25"

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
    def test_labels_keep_apart_and_above_the_axis(self, ends: list[float]) -> None:
        series = [Series(f"line {k}", [(1, 0.5), (2, end)]) for k, end in enumerate(ends)]
        root = parsed(draw_lines(series, x_axis="round", y_axis="loss", end=1.0))
        at = sorted(y for text, y in self.labels(root).items() if text.startswith("line"))
        assert len(at) == len(ends)
        assert all(below - above >= 14.9 for above, below in pairwise(at))
        assert at[-1] <= 238.1

    @given(st.floats(1e-6, 1e6))
    def test_axis_reaches_above_the_greatest_value(self, peak: float) -> None:
        root = parsed(draw_lines([Series("a", [(1, peak), (2, 0.0)])], x_axis="x", y_axis="y"))
        ticks = [float(t.text or "") for t in root.iter("text") if t.get("text-anchor") == "end"]
        assert ticks[0] == 0
        assert peak <= ticks[-1] * (1 + 1e-5) <= 6 * peak
        assert 2 <= len(ticks) <= 5
        assert min(y for _, y in self.places(root)[0]) >= 23.99

    def test_one_point_and_nothing(self) -> None:
        assert len(list(parsed(draw_lines([Series("a", [(4, 0.3)])], x_axis="x", y_axis="y")).iter("polyline"))) == 1
        empty = [Series("a", []), Series("b", [(1, float("nan"))])]
        assert "nothing" in draw_lines(empty, x_axis="x", y_axis="y")


def test_reliability_places_points_and_intervals() -> None:
    points = [ReliabilityPoint(0.1, 0.2, 0.15, 0.25, 40), ReliabilityPoint(0.9, 0.85, 0.8, 0.9, 60)]
    root = parsed(draw_reliability(points, "predicted", "observed"))
    squares = [rect for rect in root.iter("rect") if rect.get("class") == "bar-scored"]
    assert [float(rect.get("x", "0")) + 3.5 for rect in squares] == [48 + 30, 48 + 270]
    assert [float(rect.get("y", "0")) + 3.5 for rect in squares] == [324 - 60, 324 - 255]
    bars = [line for line in root.iter("line") if line.get("class") == "tick"]
    assert [(float(b.get("y1", "0")), float(b.get("y2", "0"))) for b in bars] == [(279, 249), (84, 54)]
    assert bars[0].findtext("title") == "predicted 0.10, observed 0.20, n = 40"
    assert root.findtext("title") == "observed by predicted, n = 100 cells"
