from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_squares import Clusters, Process, draw_squares

from slidescore.assay.model import Cutoff, Interval, Score
from slidescore.errors import InputError
from slidescore.scoring.intervals import (
    bootstrap,
    interval_of,
    replicate_counts,
    replicate_scores,
    seed_of,
    share_meeting,
    uncertainty,
    uncertainty_of,
)
from slidescore.scoring.replicates import mean_error
from slidescore.scoring.schemes import SCHEMES, score_counts
from slidescore.scoring.spatial import MAX_SQUARES, correlation_models, weigh_models
from slidescore.scoring.squares import SquareCounts

SCORE = Score(scheme="h_score", compartment="cytoplasm", irs_intensity="modal")
SETTINGS = Interval(square_um=512.0, min_squares=10, replicates=400)
SEED = seed_of("0f3a", "squares")


def field(side=6, seed=0, mean=40.0) -> SquareCounts:
    """Squares of a full field, every one with its own mixture."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    counts = [rng.multinomial(1 + rng.poisson(mean), rng.dirichlet([2, 1, 1, 1])) for _ in places]
    return SquareCounts(places.astype(np.int64), np.array(counts, np.float64))


def cut(value, operator=">=", scale="h_score") -> Cutoff:
    return Cutoff(
        scale=scale, compartment="cytoplasm", operator=operator, value=value, status="provisional", meaning=None,
        source="a test",
    )  # fmt: skip


def h_of(counts) -> float:
    return float(score_counts("h_score", np.asarray(counts, np.float64), SCORE))


# ---- what comes out ----


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), side=st.integers(4, 7), scale=st.sampled_from(sorted(SCHEMES)))
def test_an_interval_holds_its_score_and_stays_on_the_scale(seed, side, scale):
    squares = field(side, seed, mean=15)
    known = uncertainty(squares, scale, SCORE, SETTINGS, seed)
    value = float(score_counts(scale, squares.total, SCORE))
    assert SCHEMES[scale].low <= known.low <= round(value, 6) <= known.high <= SCHEMES[scale].high
    assert known.naive_low <= round(value, 6) <= known.naive_high
    assert 0 < known.n_eff <= squares.total.sum() + 1e-6
    assert (known.n_squares, known.reason, known.p_high) == (side**2, "", None)


@pytest.mark.parametrize(("scale", "steps"), [("irs", {0, 1, 2, 3, 4, 6, 8, 9, 12}), ("allred", {0, *range(2, 9)})])
def test_scores_that_move_in_steps_keep_to_them(scale, steps):
    for seed in range(10):
        known = uncertainty(field(seed=seed), scale, SCORE, SETTINGS, seed)
        assert {known.low, known.high, known.naive_low, known.naive_high} <= steps


def test_the_naive_interval_is_that_of_independent_cells():
    """10, 20, 30 and 40 cells: mean 2, variance 1, so H = 200 with a standard error of 100 / sqrt(100) = 10."""
    places = np.stack([np.arange(4), np.zeros(4)], axis=1).astype(np.int64)
    squares = SquareCounts(places, np.diag([10.0, 20, 30, 40]))
    few = SETTINGS.model_copy(update={"min_squares": 4})
    known = uncertainty(squares, "h_score", SCORE, few, SEED)
    assert (known.naive_low, known.naive_high) == pytest.approx((200 - 19.599640, 200 + 19.599640), abs=1e-5)
    percent = uncertainty(squares, "percent_positive", SCORE, few, SEED)
    assert (percent.naive_low, percent.naive_high) == pytest.approx((90 - 1.959964 * 3, 90 + 1.959964 * 3), abs=1e-5)


def test_n_eff_is_the_number_of_independent_cells_with_the_same_error():
    squares = field()
    drawn = bootstrap(squares, SETTINGS, SEED)
    error = mean_error(drawn, squares.counts, "h_score")
    value, n_cells = np.array([0.0, 1, 2, 3]), squares.total.sum()
    between = np.repeat(value, squares.total.astype(int)).var()
    assert error.independent == pytest.approx(between / n_cells)
    known = uncertainty_of(drawn, squares.counts, "h_score", SCORE)
    assert known.n_eff == pytest.approx(between / (error.weights @ error.variances), abs=1e-5)


def test_alike_cells_have_no_n_eff_and_no_width():
    squares = field()
    negative = squares.counts.sum(axis=1)[:, None] * [1.0, 0, 0, 0]
    known = uncertainty(SquareCounts(squares.places, negative), "h_score", SCORE, SETTINGS, SEED)
    assert (known.low, known.high, known.n_eff) == (0.0, 0.0, None)


def test_squares_more_alike_than_independent_cells_get_the_naive_interval():
    squares = field()
    rare = np.tile([100.0, 100, 100, 0], (squares.n_squares, 1))
    rare[0, 3] = 1
    for counts in (rare, np.tile([5.0, 5, 5, 5], (squares.n_squares, 1)), np.tile([0.1, 0.2, 0.3, 0.7], (36, 1)) * 30):
        known = uncertainty(SquareCounts(squares.places, counts), "h_score", SCORE, SETTINGS, SEED)
        assert known.n_eff == pytest.approx(counts.sum(), abs=1e-5)
        assert (known.low, known.high) == pytest.approx(
            (known.naive_low, known.naive_high), abs=0.4 * (known.naive_high - h_of(counts.sum(axis=0)))
        )


@pytest.mark.parametrize(
    ("n_squares", "reason"),
    [
        (0, "no square holds tumor cells"),
        (1, "only 1 square of 512 um holds tumor cells (at least 10)"),
        (9, "only 9 squares of 512 um hold tumor cells (at least 10)"),
    ],
)
def test_too_few_squares_have_a_reason_and_no_interval(n_squares, reason):
    squares = field()
    few = SquareCounts(squares.places[:n_squares], squares.counts[:n_squares])
    known = uncertainty(few, "h_score", SCORE, SETTINGS, SEED, cut(150))
    assert (known.n_squares, known.reason) == (n_squares, reason)
    assert {known.low, known.high, known.n_eff, known.naive_low, known.naive_high, known.p_high} == {None}
    with pytest.raises(InputError, match="no replicates"):
        replicate_counts(bootstrap(few, SETTINGS, SEED), few.counts, "h_score")


def test_ten_squares_are_enough():
    squares = field()
    assert uncertainty(SquareCounts(squares.places[:10], squares.counts[:10]), "irs", SCORE, SETTINGS, 1).reason == ""


# ---- p_high ----


def test_p_high_falls_as_the_cutoff_rises():
    squares = field()
    p_high = [uncertainty(squares, "h_score", SCORE, SETTINGS, SEED, cut(value)).p_high for value in range(0, 301, 10)]
    assert (p_high[0], p_high[-1]) == (1.0, 0.0)
    assert p_high == sorted(p_high, reverse=True)
    at_score = uncertainty(squares, "h_score", SCORE, SETTINGS, SEED, cut(h_of(squares.total))).p_high
    assert at_score == pytest.approx(0.5, abs=0.1)


def test_p_high_knows_the_operator_and_its_scale():
    steps = np.array([2.0, 2.0, 3.0, 4.0])
    assert share_meeting(steps, cut(2, scale="irs")) == 1.0
    assert share_meeting(steps, cut(2, ">", scale="irs")) == 0.5
    assert uncertainty(field(), "irs", SCORE, SETTINGS, SEED, cut(150)).p_high is None


def test_rounding_takes_nothing_from_p_high_at_the_end_of_a_scale():
    squares = field()
    squares.counts[:, 0] = 0
    known = uncertainty(squares, "percent_positive", SCORE, SETTINGS, SEED, cut(100, scale="percent_positive"))
    assert (known.low, known.high, known.p_high) == (100.0, 100.0, 1.0)
    above = uncertainty(squares, "percent_positive", SCORE, SETTINGS, SEED, cut(100, ">", scale="percent_positive"))
    assert above.p_high == 0.0


# ---- replicates ----


def test_replicates_of_counts_keep_the_cells_and_scatter_about_the_score():
    squares = field()
    drawn = bootstrap(squares, SETTINGS, SEED)
    counts = replicate_counts(drawn, squares.counts, "h_score")
    assert counts.shape == (400, 4)
    assert (counts >= 0).all()
    assert counts.sum(axis=1) == pytest.approx(np.full(400, squares.total.sum()))
    scores = replicate_scores(drawn, squares.counts, "h_score", SCORE)
    assert scores == pytest.approx(np.array([h_of(each) for each in counts]))
    assert scores.mean() == pytest.approx(h_of(squares.total), abs=0.2 * scores.std())
    assert drawn.weights.sum(axis=1).tolist() == [squares.n_squares] * 400


def test_bins_that_are_empty_stay_empty():
    squares = field()
    squares.counts[:, 3] = 0
    assert not replicate_counts(bootstrap(squares, SETTINGS, SEED), squares.counts, "irs")[:, 3].any()


def test_the_same_seed_gives_the_same_and_another_seed_another():
    squares = field()
    first, again, other = (uncertainty(squares, "h_score", SCORE, SETTINGS, seed) for seed in (SEED, SEED, SEED + 1))
    assert first == again
    assert first.low != other.low


def test_seeds_depend_on_every_part_and_its_borders():
    assert seed_of("a", "b") == 0x59B271AE1BBCB1D31D41929817F4B16F
    assert len({seed_of("a", "b"), seed_of("ab"), seed_of("a", "b", ""), seed_of("b", "a")}) == 4


def test_counts_of_other_squares_are_refused():
    squares = field()
    with pytest.raises(InputError, match="do not belong to 36 squares"):
        uncertainty_of(bootstrap(squares, SETTINGS, SEED), squares.counts[1:], "h_score", SCORE)


def test_ends_of_an_interval_are_replicates():
    assert interval_of(np.arange(1000.0)[::-1]) == (24.0, 974.0)


# ---- how squares hang together ----


def test_without_correlation_the_error_is_that_of_a_mean():
    squares = field()
    equal = np.full(squares.n_squares, 50.0)
    models = correlation_models(squares.places, equal)
    means = np.random.default_rng(1).normal(1.5, 0.3, squares.n_squares)
    weights, variances = weigh_models(models, means * equal)
    assert variances[0] == pytest.approx(means.var(ddof=1) / squares.n_squares)
    assert weights.sum() == pytest.approx(1)
    assert weights.argmax() == 0
    assert models.degrees_of_freedom == squares.n_squares - 1


def test_neighbours_that_agree_make_the_interval_wider():
    squares = field(8)
    strength = np.argsort(squares.counts @ [0.0, 1, 2, 3] / squares.counts.sum(axis=1))
    sorted_by_row = SquareCounts(squares.places, squares.counts[strength])
    mixed, sloped = (uncertainty(each, "h_score", SCORE, SETTINGS, SEED) for each in (squares, sorted_by_row))
    assert sloped.high - sloped.low > 1.5 * (mixed.high - mixed.low)
    assert sloped.n_eff < mixed.n_eff / 2


def test_many_squares_are_merged_and_the_interval_stays_near():
    squares = field(26, mean=8)
    assert squares.n_squares > MAX_SQUARES
    models = correlation_models(squares.places, squares.counts.sum(axis=1))
    assert models.degrees_of_freedom == 13 * 13 - 1
    known = uncertainty(squares, "h_score", SCORE, SETTINGS, SEED)
    means = squares.counts @ [0.0, 100, 200, 300] / squares.counts.sum(axis=1)
    assert (known.high - known.low) / 2 == pytest.approx(1.96 * means.std() / 26, rel=0.35)


def test_where_the_squares_lie_on_the_slide_does_not_matter():
    squares = field()
    moved = SquareCounts(squares.places + np.array([3, 40]), squares.counts)
    one, two = (uncertainty(each, "h_score", SCORE, SETTINGS, SEED) for each in (squares, moved))
    assert (one.low, one.high, one.n_eff) == pytest.approx((two.low, two.high, two.n_eff))


# ---- and whether it is true ----


def test_intervals_hold_the_process_and_naive_ones_do_not():
    """A small part of `benchmarks/intervals.py`, whose tables are in docs/intervals.md."""
    held, naive, below = [], [], []
    for number in range(240):
        rng = np.random.default_rng([7, number])
        clusters = (Clusters(float(rng.choice([100, 250, 500, 1000])), rng.uniform(0.1, 0.5)),)
        process = Process(0.0, rng.uniform(0.15, 0.3), clusters, cells_per_mm2=600.0).with_h_score(rng.uniform(20, 280))
        squares = draw_squares(rng, process, rng.uniform(8, 30))
        known = uncertainty(squares, "h_score", SCORE, SETTINGS, number)
        held.append(known.low <= process.h_score <= known.high)
        naive.append(known.naive_low <= process.h_score <= known.naive_high)
        below.append(h_of(squares.total) < process.h_score)
    assert 0.90 <= np.mean(held) <= 0.99
    assert np.mean(naive) < 0.8
    assert 0.4 < np.mean(below) < 0.6
