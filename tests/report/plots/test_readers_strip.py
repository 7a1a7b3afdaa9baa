"""The strip of machine and readers: whole with few and many slides, long names, and nothing to draw."""

from __future__ import annotations

import numpy as np
import pytest

from report.plots.drawn import check_figure
from slidescore.report.plots.readers_strip import SHAPES, draw_readers_strip
from slidescore.report.plots.style import svg_bytes

NAN = float("nan")


def strip(n: int, n_readers: int = 2, name: str = "Reader"):
    rng = np.random.default_rng(n)
    machine = rng.uniform(0, 300, n)
    machine[: n // 4] = NAN
    readers = {f"{name} {number}": np.round(rng.uniform(0, 300, n)) for number in range(n_readers)}
    labels = [f"slides/slide_{number:03d}.svs" for number in range(n)]
    return labels, machine, machine - 10, machine + 10, readers


@pytest.mark.parametrize("n", [1, 5, 40, 200])
def test_it_is_whole_and_says_n(n):
    texts = check_figure(draw_readers_strip(*strip(n), cutoff=150, axis="H-score"))
    assert any(text.startswith(f"n = {n} slide") for text in texts)
    assert any("cut-off 150" in text for text in texts)
    assert any("without a score of the machine" in text for text in texts) == (n >= 4)


def test_many_readers_with_long_names_fit():
    figure = draw_readers_strip(*strip(12, len(SHAPES) + 3, "Professor Doctor " + "A" * 60))
    check_figure(figure)
    [legend] = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert len(legend.get_texts()) == len(SHAPES) + 4


def test_slides_without_a_score_of_the_machine_stand_below():
    labels, machine, low, high, readers = strip(8)
    figure = draw_readers_strip(labels, machine, low, high, readers)
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    unscored = {label.split("/")[-1] for label, score in zip(labels, machine, strict=True) if np.isnan(score)}
    assert {name.split("/")[-1] for name in names[:2]} == unscored


def test_nothing_to_draw_is_said():
    nothing = np.full(3, NAN)
    texts = check_figure(draw_readers_strip(["a", "b", "c"], nothing, nothing, nothing, {"A": nothing}))
    assert texts == ["none of 3 slides has a score"]


def test_order_of_slides_changes_no_byte():
    labels, machine, low, high, readers = strip(9)
    order = np.random.default_rng(1).permutation(9)
    turned = {reader: scores[order] for reader, scores in readers.items()}
    other = draw_readers_strip([labels[k] for k in order], machine[order], low[order], high[order], turned)
    assert svg_bytes(draw_readers_strip(labels, machine, low, high, readers), "s") == svg_bytes(other, "s")
