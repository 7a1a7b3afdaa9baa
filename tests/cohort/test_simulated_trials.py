"""Small, seeded versions of the simulations behind docs/cohort.md; the script itself is what is tried."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from slidescore.cohort.proportions import clopper_pearson

SCRIPT = Path(__file__).parents[2] / "docs" / "simulate_trials.py"


@pytest.fixture(scope="module")
def simulate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulate_trials", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[spec.name]


@pytest.mark.parametrize(("n", "trials"), [(54, 1500), (100, 500)])
def test_the_naive_search_errs_often_and_the_corrected_one_as_stated(simulate, n, trials):
    naive, corrected, approximate = simulate.search_errors(n, trials, seed=2)
    assert 0.33 < naive / trials < 0.46
    assert 0.02 <= corrected / trials <= 0.07
    assert approximate / trials < 0.06


def test_the_corrected_search_of_survival_keeps_its_level(simulate, monkeypatch):
    monkeypatch.setattr("slidescore.cohort.cutpoint.PERMUTATIONS", 500)
    naive, corrected = simulate.survival_search_errors(60, 150, seed=1)
    assert naive / 150 > 0.25
    assert corrected / 150 < 0.1


def test_a_drawn_trial_is_of_fortresss_size_and_shape(simulate):
    trial = simulate.draw_trial(np.random.default_rng(1), 1.0, 1.0)
    assert len(trial.score) == 432
    assert abs(int(trial.treated.sum()) - 216) <= 16  # at most one open block a stratum
    for each in np.unique(trial.stratum):
        inside = trial.stratum == each
        assert abs(2 * int(trial.treated[inside].sum()) - int(inside.sum())) <= 2
    line = np.array(trial.strata["line"]) == "yes"
    assert line.mean() == pytest.approx(348 / 432, abs=0.06)
    assert 0 <= trial.score.min() <= trial.score.max() <= 300
    assert trial.responder.mean() == pytest.approx(0.137, abs=0.06)


def test_the_planted_interaction_comes_back(simulate):
    planted = simulate.recover("response", 1.5, 120, seed=3)
    assert planted.trials + planted.unfitted == 120
    assert planted.median == pytest.approx(1.5, abs=0.12)
    low, high = clopper_pearson(planted.covered, planted.trials)
    assert low <= 0.95 <= high
    assert planted.found > 40
    null = simulate.recover("response", 1.0, 120, seed=4)
    low, high = clopper_pearson(null.found, null.trials)
    assert low <= 0.05 <= high


def test_the_planted_hazard_ratio_comes_back(simulate):
    planted = simulate.recover("pfs", 0.8, 6, seed=5)
    assert planted.median == pytest.approx(0.8, abs=0.08)
    assert planted.covered >= 4
