"""Intervals by patient: against another library, their coverage, and what they refuse to say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from slidescore.cohort import bootstrap
from slidescore.cohort.agreement import bias, concordance, icc_2_1, spearman
from slidescore.cohort.bootstrap import MIN_PATIENTS, REPLICATES, bootstrap_estimates, patient_codes, patient_weights


def pairs(n, seed=0, per_patient=1):
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.normal(140, 60, n // per_patient), per_patient)
    return np.stack([truth + rng.normal(0, 20, n), truth + rng.normal(6, 25, n)], axis=1)


def names(n, per_patient=1):
    return [f"p{slide // per_patient:03d}" for slide in range(n)]


def bootstrap_estimate(statistic, ratings, patients, seed, replicates=REPLICATES):
    asked = [(statistic, "the scores do not vary")]
    [found] = bootstrap_estimates(asked, ratings, patients, seed, replicates=replicates)
    return found


def test_slides_of_a_patient_are_drawn_together():
    codes = patient_codes(["b", "a", "b", "c", "a", "b"])
    assert codes.tolist() == [1, 0, 1, 2, 0, 1]
    weights = patient_weights(codes, 400, 7)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(6), abs=0.15)
    assert (weights == patient_weights(codes, 400, 7)).all()
    assert (weights != patient_weights(codes, 400, 8)).any()


def test_ends_are_those_of_another_library_but_for_the_widening(monkeypatch):
    ratings = pairs(80)
    other = stats.bootstrap(
        (ratings[:, 0] - ratings[:, 1],), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    monkeypatch.setattr(bootstrap, "stdtrit", lambda _, share: stats.norm.ppf(share) * np.sqrt(79 / 80))
    found = bootstrap_estimate(bias, ratings, names(80), 5, replicates=4000)
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.35)


def test_widened_ends_of_a_mean_are_those_of_student():
    differences = pairs(12)[:, 0] - pairs(12)[:, 1]
    student = stats.t.interval(0.95, 11, differences.mean(), stats.sem(differences))
    found = bootstrap_estimate(bias, pairs(12), names(12), 5, replicates=20_000)
    assert found.high - found.low == pytest.approx(student[1] - student[0], rel=0.08)


def test_slides_of_one_patient_are_no_new_evidence():
    ratings = pairs(20)
    alone = bootstrap_estimate(icc_2_1, ratings, names(20), 5)
    thrice = bootstrap_estimate(icc_2_1, np.repeat(ratings, 3, axis=0), names(60, 3), 5)
    assert (thrice.n_slides, thrice.n_patients) == (60, 20)
    assert thrice.high - thrice.low == pytest.approx(alone.high - alone.low, rel=0.25)
    as_if_new = bootstrap_estimate(icc_2_1, np.repeat(ratings, 3, axis=0), names(60), 5)
    assert as_if_new.high - as_if_new.low < 0.75 * (alone.high - alone.low)


@pytest.mark.parametrize("statistic", [icc_2_1, concordance, spearman, bias])
def test_intervals_hold_the_truth(statistic):
    truth = float(statistic(pairs(200_000), np.ones((1, 200_000)))[0])
    found = [bootstrap_estimate(statistic, pairs(24, seed), names(24), seed, replicates=400) for seed in range(200)]
    held = sum(each.low <= truth <= each.high for each in found)
    assert stats.binomtest(held, 200).proportion_ci(0.99).high >= 0.94
    assert stats.binomtest(held, 200).proportion_ci(0.99).low <= 0.97


def test_same_seed_same_bytes_in_whatever_chunks(monkeypatch):
    one = bootstrap_estimate(icc_2_1, pairs(30), names(30), 5)
    assert one == bootstrap_estimate(icc_2_1, pairs(30), names(30), 5)
    monkeypatch.setattr(bootstrap, "_CHUNK", 100)
    assert one == bootstrap_estimate(icc_2_1, pairs(30), names(30), 5)


def test_statistics_share_their_resamples():
    both = bootstrap_estimates([(icc_2_1, ""), (bias, "")], pairs(30), names(30), 5)
    assert both == tuple(bootstrap_estimate(each, pairs(30), names(30), 5) for each in (icc_2_1, bias))


def test_too_little_to_say():
    def of(ratings, patients=None):
        found = bootstrap_estimate(
            icc_2_1, np.asarray(ratings, float).reshape(-1, 2), patients or names(len(ratings)), 1
        )
        return found.value, found.low, found.high, found.reason

    assert of([]) == (None, None, None, "no slide")
    assert of([[1, 2]]) == (None, None, None, "one slide only")
    assert of([[5, 5]] * 20) == (None, None, None, "the scores do not vary")
    value, *ends, reason = of(pairs(MIN_PATIENTS - 1))
    assert value is not None
    assert (ends, reason) == ([None, None], f"{MIN_PATIENTS - 1} patients, an interval needs {MIN_PATIENTS}")
    assert of(pairs(40), names(40, 8))[3] == f"5 patients, an interval needs {MIN_PATIENTS}"
    same = np.repeat(pairs(20)[:, :1], 2, axis=1)
    assert of(same) == (pytest.approx(1), None, None, "every resample has the same value")
    rare = np.array([[0, 0]] * 29 + [[3, 3]], float)
    assert of(rare)[0] == pytest.approx(1)
    assert "of 2000 resamples have no value: the scores do not vary" in of(rare)[3]
