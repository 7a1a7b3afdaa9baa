"""What lies below a threshold in a histogram of optical density."""

from __future__ import annotations

import numpy as np
import pytest

from slidescore.stain.histograms import HISTOGRAM_BINS, HISTOGRAM_LOW_OD, HISTOGRAM_STEP_OD, count_below


def histogram(**counts: int) -> np.ndarray:
    """A histogram by the bin's number: `histogram(b70=4)`."""
    made = np.zeros(HISTOGRAM_BINS, np.int32)
    for name, count in counts.items():
        made[int(name[1:])] = count
    return made


def test_a_threshold_on_an_edge_cuts_no_bin():
    for number in range(HISTOGRAM_BINS):
        edge_od = HISTOGRAM_LOW_OD + number * HISTOGRAM_STEP_OD
        for written in (edge_od, float(f"{edge_od:.2f}")):
            assert count_below(np.arange(HISTOGRAM_BINS), written) == sum(range(number))


@pytest.mark.parametrize(("threshold_od", "below"), [(0.2, 3), (0.2025, 4), (0.205, 5), (0.2099, 6.96), (0.21, 7)])
def test_a_bin_that_a_threshold_cuts_is_cut_linearly(threshold_od, below):
    assert count_below(histogram(b0=3, b70=4, b71=9), threshold_od) == pytest.approx(below)


@pytest.mark.parametrize(("threshold_od", "below"), [(-9.0, 0), (9.0, 7), (3.5, 7)])
def test_beyond_the_ends_all_or_nothing_lies_below(threshold_od, below):
    assert count_below(histogram(b0=3, b399=4), threshold_od) == below


def test_many_histograms_are_cut_at_once():
    many = np.stack([histogram(b70=4), histogram(b10=2)]).reshape(2, 1, -1)
    np.testing.assert_allclose(count_below(many, 0.205), [[2.0], [2.0]])
