"""All schemes: H-score and percent positive by hand, and what every scheme keeps to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.assay.model import SCALE_RANGE, Score
from slidescore.scoring import SCHEMES, BinCounts, score_counts

MODAL = Score(scheme="irs", compartment="cytoplasm", irs_intensity="modal")
MEAN = Score(scheme="irs", compartment="cytoplasm", irs_intensity="mean_of_positives")

HAND = [
    # n0, n1, n2, n3, H-score, percent positive
    ((10, 0, 0, 0), 0.0, 0.0),
    ((0, 10, 0, 0), 100.0, 100.0),
    ((0, 0, 10, 0), 200.0, 100.0),
    ((0, 0, 0, 10), 300.0, 100.0),
    ((25, 25, 25, 25), 150.0, 75.0),
    ((40, 30, 20, 10), 100.0, 60.0),
    ((1, 1, 0, 0), 50.0, 50.0),
    ((2, 0, 0, 1), 100.0, 100 / 3),
    ((50, 20, 20, 10), 90.0, 50.0),
    ((3, 2, 1, 1), 100.0, 400 / 7),
]


@pytest.mark.parametrize(("counts", "h", "percent"), HAND)
def test_h_score_and_percent_positive_by_hand(counts, h, percent):
    table = np.array(counts, float)
    assert score_counts("h_score", table, MEAN) == h == BinCounts(*counts).h_score
    assert score_counts("percent_positive", table, MEAN) == percent == BinCounts(*counts).percent_positive


def test_the_registry_lists_what_an_assay_can_name():
    assert {name: (scheme.low, scheme.high) for name, scheme in SCHEMES.items()} == SCALE_RANGE
    assert all(scheme.name == name and scheme.title for name, scheme in SCHEMES.items())


@pytest.mark.parametrize("scale", SCHEMES)
def test_many_counts_at_once_are_each_scored_alone(scale):
    counts = np.random.default_rng(3).integers(0, 40, (5, 7, 4)).astype(float)
    counts[2, 3] = 0
    together = score_counts(scale, counts, MODAL)
    alone = [[float(score_counts(scale, one, MODAL)) for one in row] for row in counts]
    assert together.shape == (5, 7)
    np.testing.assert_array_equal(together, alone)
    assert np.isnan(together).sum() == 1


@pytest.mark.parametrize("scale", SCHEMES)
def test_nothing_counted_is_no_score_and_no_warning(scale):
    assert np.isnan(score_counts(scale, np.zeros((3, 4)), MEAN)).all()


cells = st.lists(st.integers(0, 2000), min_size=4, max_size=4).filter(any)
scales = st.sampled_from(list(SCHEMES))
settings = st.sampled_from([MODAL, MEAN])


@given(scales, cells, settings)
def test_a_score_lies_on_its_scale(scale, counts, score):
    value = score_counts(scale, np.array(counts, float), score)
    assert SCHEMES[scale].low <= value <= SCHEMES[scale].high


@given(scales, cells, settings, st.integers(2, 1000))
def test_as_many_times_the_cells_have_the_same_score(scale, counts, score, times):
    once, often = (score_counts(scale, np.array(counts, float) * k, score) for k in (1, times))
    assert once == pytest.approx(often, rel=1e-14)
    if scale in ("irs", "allred"):
        assert once == often


@given(st.sampled_from(["h_score", "percent_positive", "pixel_h_score"]), cells, st.integers(0, 2))
def test_a_cell_that_gets_darker_lowers_no_sum(scale, counts, at):
    darker = list(counts)
    if darker[at]:
        darker[at] -= 1
        darker[at + 1] += 1
    assert score_counts(scale, np.array(darker, float), MEAN) >= score_counts(scale, np.array(counts, float), MEAN)


@given(st.sampled_from(["irs", "allred"]), cells, st.integers(1, 2))
def test_a_positive_cell_that_gets_darker_lowers_no_class(scale, counts, at):
    darker = list(counts)
    if darker[at]:
        darker[at] -= 1
        darker[at + 1] += 1
    assert score_counts(scale, np.array(darker, float), MEAN) >= score_counts(scale, np.array(counts, float), MEAN)
