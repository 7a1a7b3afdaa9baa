from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.report.plots.style import (
    PAGE_COLORS,
    counted,
    new_figure,
    png_bytes,
    short_label,
    spread,
    styled,
    svg_bytes,
)

PLACES = st.lists(st.floats(-100, 100), max_size=8)


@given(PLACES, st.floats(0.1, 10))
def test_places_are_moved_apart(places: list[float], gap: float) -> None:
    moved = spread(places, gap)
    ordered = sorted(moved)
    assert all(b - a >= gap * (1 - 1e-9) - 1e-9 for a, b in pairwise(ordered))
    # Never one over the other.
    assert [k for _, k in sorted(zip(places, range(len(places)), strict=True))] == [
        k for _, k in sorted(zip(moved, range(len(moved)), strict=True))
    ]


def test_places_that_are_apart_stay() -> None:
    assert spread([3.0, 1.0, 2.0], 0.5) == [3.0, 1.0, 2.0]
    assert spread([1.0, 1.0], 0.5) == [0.75, 1.25]
    assert spread([1.0, 1.0, 3.0], 0.5, low=1.0) == [1.0, 1.5, 3.0]


def test_words() -> None:
    assert counted(1, "slides") == "1 slide"
    assert counted(1200, "slides") == "1,200 slides"
    assert counted(1, "pairs") == "1 pair"
    assert short_label("a" * 20 + "b" * 20, 9) == "aaaa…bbbb"
    assert short_label("a\nb") == "a·b"


def test_a_figure_has_this_style_whatever_the_settings_are() -> None:
    @styled
    def draw() -> mpl.figure.Figure:
        figure = new_figure(80, 40)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, -1])
        axes.set_xlabel("a $ of_text^2 $")
        return figure

    expected = svg_bytes(draw(), "x"), png_bytes(draw())
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path", "text.usetex": False}):
        before = dict(mpl.rcParams)
        assert (svg_bytes(draw(), "x"), png_bytes(draw())) == expected
        assert dict(mpl.rcParams) == before
    assert b"a $ of_text^2 $" in expected[0]
    assert b"-1" not in expected[0].split(b"<text", 1)[1].split(b"</text")[0]


def test_names_inside_hang_on_the_figures_name() -> None:
    @styled
    def draw() -> mpl.figure.Figure:
        figure = new_figure(80, 40)
        figure.add_subplot().plot([0, 1], [0, 1], "o")
        return figure

    assert svg_bytes(draw(), "a") != svg_bytes(draw(), "b")


@pytest.mark.parametrize("name", PAGE_COLORS.values())
def test_the_page_has_these_colors(name: str) -> None:
    from slidescore.report.page import render_page

    page = render_page("analysis.html", title="t", subtitle="s", sections=[], facts=[], version="1")
    assert f"{name}:" in page
    (color,) = [color for color, own in PAGE_COLORS.items() if own == name]
    assert f"{name}: {color}" in page, "the light one"


def test_drawing_needs_no_pyplot_and_a_command_without_figures_no_matplotlib() -> None:
    code = (
        "import sys\n"
        "import slidescore.report.analysis_page, slidescore.report.user_tables\n"
        "assert not {'matplotlib', 'pandas'} & set(sys.modules)\n"
        "from slidescore.report.plots.style import new_figure, png_bytes, svg_bytes\n"
        "figure = new_figure()\n"
        "svg_bytes(figure, 'x'), png_bytes(figure)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
