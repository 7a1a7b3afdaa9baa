"""Limit of blank: the 95th percentile by ranks, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from slidescore.scoring.blank import MIN_BLANKS, limit_of_blank


def test_twenty_blanks_give_the_mean_of_the_two_highest() -> None:
    # Rank 0.5 + 0.95 x 20 = 19.5: between the 19th and the 20th.
    found = limit_of_blank([float(n) for n in range(1, 21)])
    assert (found.n, found.value, found.mean, found.highest, found.reason) == (20, 19.5, 10.5, 20.0, "")


def test_sixty_blanks_as_in_ep17() -> None:
    # CLSI EP17's usual design: of 60 blanks the limit lies between rank 57 and 58.
    assert limit_of_blank([float(n) for n in range(60, 0, -1)]).value == 57.5


def test_an_outlier_moves_the_limit_no_farther_than_its_rank() -> None:
    calm = [1.0] * 99
    assert limit_of_blank([*calm, 250.0]).value == 1.0


def test_too_few_blanks_give_no_limit_but_are_described() -> None:
    found = limit_of_blank([0.0, 4.0] + [1.0] * (MIN_BLANKS - 3))
    assert found.value is None
    assert (found.n, found.highest) == (19, 4.0)
    assert found.reason == "not determined: 19 negative controls, at least 20"
    assert limit_of_blank([1.0]).reason == "not determined: 1 negative control, at least 20"


def test_no_blank_at_all() -> None:
    found = limit_of_blank([])
    assert (found.n, found.value, found.mean, found.highest) == (0, None, None, None)
    assert found.reason == "no negative control has a score"


def test_the_limit_holds_95_percent_of_new_blanks() -> None:
    rng = np.random.default_rng(3)
    held = []
    for _ in range(300):
        limit = limit_of_blank(rng.gamma(2.0, 1.5, 60).tolist()).value
        assert limit is not None
        held.append(np.mean(rng.gamma(2.0, 1.5, 400) <= limit))
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)
