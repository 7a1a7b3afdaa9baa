"""Thresholds from labelled cells and from expected bin shares: they find what was planted, or say why not."""

from __future__ import annotations

import numpy as np
import pytest

from slidescore.scoring.threshold_fit import (
    ACROSS,
    MIN_LABELS,
    WITHIN,
    LabelledCells,
    NoFit,
    ShareControl,
    ThresholdFit,
    fit_labels,
    fit_shares,
    shares_of,
)

PLANTED = (0.25, 0.45, 0.7)


def labelled(seed: int = 0, n: int = 400, *, noise_od: float = 0.03, wrong: float = 0.0, slides: int = 3):
    """Cells with any density from 0 to 1, measured with noise and labelled by the planted thresholds."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 1, n)
    bins = np.searchsorted(PLANTED, true, side="right")
    bins = np.where(rng.random(n) < wrong, np.clip(bins + rng.choice([-1, 1], n), 0, 3), bins)
    return LabelledCells(true + rng.normal(0, noise_od, n), bins.astype(np.int64), rng.integers(0, slides, n))


def controls(seed: int = 0, n: int = 4000) -> list[ShareControl]:
    """Controls of low, middle and high staining with the shares that the planted thresholds cut."""
    rng = np.random.default_rng(seed)
    found = []
    for number, (a, b) in enumerate(((1.2, 4.0), (2.0, 2.0), (4.0, 1.5))):
        od = rng.beta(a, b, n)
        p0, p1, p2, p3 = shares_of(od, PLANTED).tolist()
        found.append(ShareControl(f"control {number}", od, (p0, p1, p2, p3)))
    return found


def fitted(found: ThresholdFit | NoFit) -> ThresholdFit:
    assert isinstance(found, ThresholdFit), found
    return found


def test_labels_find_the_planted_thresholds_within_their_intervals() -> None:
    fit = fitted(fit_labels(labelled(n=2000), seed=1, replicates=200))
    assert fit.thresholds == pytest.approx(PLANTED, abs=0.01)
    assert all(low <= value <= high for low, value, high in zip(fit.low, fit.thresholds, fit.high, strict=True))
    assert (fit.method, fit.n_cells, fit.n_slides, fit.resampled) == ("labels", 2000, 3, WITHIN)


def test_wrong_labels_to_both_sides_cancel() -> None:
    errors = [
        np.array(fitted(fit_labels(labelled(seed, wrong=0.1), seed=1, replicates=2)).thresholds) - PLANTED
        for seed in range(40)
    ]
    assert np.abs(np.mean(errors, axis=0)).max() < 0.01


def test_a_threshold_keeps_the_number_of_cells_above_it() -> None:
    cells = labelled(4, noise_od=0.1)
    fit = fitted(fit_labels(cells, seed=1, replicates=2))
    reached = np.bincount(np.searchsorted(fit.thresholds, cells.od, side="right"), minlength=4)
    assert reached.tolist() == np.bincount(cells.bins, minlength=4).tolist()


def test_the_interval_of_labels_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = []
    for seed in range(120):
        fit = fitted(fit_labels(labelled(seed, n=300), seed=seed, replicates=150))
        covered.append([low <= true <= high for low, true, high in zip(fit.low, PLANTED, fit.high, strict=True)])
    assert 0.90 <= np.mean(covered) <= 0.99


def test_many_slides_are_drawn_as_well() -> None:
    fit = fitted(fit_labels(labelled(n=600, slides=6), seed=1, replicates=50))
    assert fit.resampled == ACROSS
    # A slide of its own density is as uncertain as it is odd.
    cells = labelled(n=600, slides=6)
    shifted = LabelledCells(cells.od + np.where(cells.slides == 0, 0.15, 0.0), cells.bins, cells.slides)
    wide = fitted(fit_labels(shifted, seed=1, replicates=50))
    assert wide.high[0] - wide.low[0] > 1.5 * (fit.high[0] - fit.low[0])


def test_the_same_seed_gives_the_same_intervals() -> None:
    once, again, other = (fit_labels(labelled(), seed=seed, replicates=50) for seed in (7, 7, 8))
    assert once == again != other


def test_too_few_labels_of_a_bin_are_named() -> None:
    cells = labelled(n=2000)
    kept = np.flatnonzero(cells.bins < 3).tolist() + np.flatnonzero(cells.bins == 3)[: MIN_LABELS - 1].tolist()
    found = fit_labels(LabelledCells(cells.od[kept], cells.bins[kept], cells.slides[kept]), seed=1)
    assert isinstance(found, NoFit)
    assert not found.contradicts
    assert found.reason.endswith("29; each needs at least 30")


def test_labels_against_the_density_contradict_themselves() -> None:
    cells = labelled()
    found = fit_labels(LabelledCells(cells.od, 3 - cells.bins, cells.slides), seed=1)
    assert isinstance(found, NoFit)
    assert found.contradicts
    assert found.reason.startswith("thresholds would cross: cells labelled 1 have a median of")


def test_a_first_threshold_at_no_density_is_refused() -> None:
    cells = labelled(noise_od=0.0)
    found = fit_labels(LabelledCells(cells.od - 0.5, cells.bins, cells.slides), seed=1)
    assert isinstance(found, NoFit)
    assert found.reason.startswith("1+ would begin at no density at all")


def test_shares_find_the_planted_thresholds() -> None:
    fit = fitted(fit_shares(controls(), seed=1, replicates=100))
    assert fit.thresholds == pytest.approx(PLANTED, abs=0.003)
    assert (fit.method, fit.n_cells, fit.n_slides, fit.resampled) == ("shares", 12_000, 3, WITHIN)
    assert all(0 < high - low < 0.05 for low, high in zip(fit.low, fit.high, strict=True))


def test_shares_that_are_off_in_one_control_are_outvoted() -> None:
    several = [*controls(0), *controls(1)]
    odd = several[1]
    p0, p1, p2, p3 = odd.shares
    several[1] = ShareControl(odd.name, odd.od, (p0 + 0.06, p1 - 0.06, p2, p3))
    assert fitted(fit_shares(several, seed=1, replicates=5)).thresholds == pytest.approx(PLANTED, abs=0.02)


def test_a_gap_between_cells_is_cut_in_its_middle() -> None:
    od = np.repeat([0.1, 0.3, 0.5, 0.8], 50)
    three = [ShareControl("a", od, (0.25, 0.25, 0.25, 0.25))] * 3
    assert fitted(fit_shares(three, seed=1, replicates=5)).thresholds == pytest.approx((0.2, 0.4, 0.65), abs=0.002)


def test_two_controls_are_too_few() -> None:
    found = fit_shares(controls()[:2], seed=1)
    assert found == NoFit("2 controls have expected percents p0 to p3; at least 3 are needed")


def test_a_threshold_that_no_control_tells_is_named() -> None:
    rng = np.random.default_rng(0)
    three = [ShareControl(str(n), rng.uniform(0, 0.5, 100), (0.5, 0.5, 0.0, 0.0)) for n in range(3)]
    found = fit_shares(three, seed=1)
    assert found == NoFit("no control tells where 2+ begins: none expects cells on both sides of it")


def test_shares_that_contradict_each_other_are_refused() -> None:
    rng = np.random.default_rng(0)
    dark, pale = rng.uniform(0.6, 0.9, 200), rng.uniform(0.0, 0.3, 200)
    upside_down = [
        ShareControl("dark", dark, (0.5, 0.5, 0.0, 0.0)),
        ShareControl("pale", pale, (0.0, 0.0, 0.5, 0.5)),
        ShareControl("pale too", pale, (0.0, 0.5, 0.5, 0.0)),
    ]
    found = fit_shares(upside_down, seed=1)
    assert isinstance(found, NoFit)
    assert found.contradicts


def test_thresholds_that_cross_are_shown() -> None:
    flat = [ShareControl(str(n), np.linspace(0.1, 0.2, 50), (0.5, 0.0, 0.0, 0.5)) for n in range(3)]
    found = fit_shares(flat, seed=1)
    assert found == NoFit("thresholds would cross: 0.150, 0.150, 0.150 OD", contradicts=True)


def test_a_draw_that_tells_nothing_leaves_the_interval_alone() -> None:
    # Only one of six controls tells where 3+ begins: a third of the draws do without it.
    negative = [ShareControl("neg", np.linspace(0, 0.2, 400), (1.0, 0.0, 0.0, 0.0))] * 3
    fit = fitted(fit_shares([*negative, *controls()], seed=1, replicates=60))
    assert fit.resampled == ACROSS
    assert fit.high[2] - fit.low[2] < 0.1


def test_a_value_on_a_threshold_belongs_to_the_upper_bin() -> None:
    assert shares_of(np.array([0.25, 0.24, 0.7, 0.5]), PLANTED).tolist() == [0.25, 0.25, 0.25, 0.25]
