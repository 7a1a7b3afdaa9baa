"""Regressions: what they find, and every way in which there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest

from slidescore.cohort.interaction import PRODUCT, TREATMENT, marker_terms, response_model, survival_model
from slidescore.cohort.marker_models import fit_cox, fit_logistic
from slidescore.cohort.quiet_fit import quiet


def drawn(n=400, seed=1):
    draw = np.random.default_rng(seed)
    score, treated = draw.uniform(0, 300, n), draw.random(n) < 0.5
    marker = (score - 150) / 50
    responder = draw.random(n) < 1 / (1 + np.exp(1.2 - 0.6 * treated * marker))
    months = draw.exponential(6 * np.exp(0.4 * treated * marker))
    return score, treated, responder, np.minimum(months, 12).round(1), months <= 12


def test_terms_are_per_step_and_centred_with_the_product_last():
    score = np.array([0.0, 100.0, 150.0])
    terms = marker_terms(score, 50.0, np.array([True, False, True]))
    assert list(terms) == ["marker, per 50, control arm", TREATMENT, f"{PRODUCT}, per 50"]
    np.testing.assert_allclose(terms["marker, per 50, control arm"], [-2, 0, 1])
    np.testing.assert_allclose(terms[f"{PRODUCT}, per 50"], [-2, 0, 1])
    assert list(marker_terms(score, 2.0)) == ["marker, per 2"]


def test_a_single_binary_term_is_the_odds_ratio_of_the_table():
    group = np.repeat([1.0, 1.0, 0.0, 0.0], [34, 29, 21, 101])
    outcome = np.repeat([True, False, True, False], [34, 29, 21, 101])
    fit = fit_logistic(outcome, {"HIGH": group})
    assert fit.terms[0].ratio == pytest.approx(34 * 101 / (29 * 21), rel=1e-5)
    half = 1.959964 * np.sqrt(1 / 34 + 1 / 29 + 1 / 21 + 1 / 101)
    assert np.log(fit.terms[0].high / fit.terms[0].ratio) == pytest.approx(half, rel=1e-4)
    assert (fit.n, fit.n_events, fit.reason) == (185, 55, "")


def test_planted_interactions_are_found():
    score, treated, responder, months, event = drawn()
    response = response_model(score, responder, 50.0, treated, {})
    assert response.terms[-1].low < np.exp(0.6) < response.terms[-1].high
    assert response.p_tested < 0.01
    survival = survival_model(score, months, event, 50.0, treated, (score > 200).astype(np.int64))
    assert survival.model == "Cox, stratified"
    assert survival.terms[-1].low < np.exp(-0.4) < survival.terms[-1].high
    assert survival.p_tested < 0.001
    assert 0 < survival.p_proportional <= 1


def test_the_cox_fit_is_that_of_lifelines():
    score, _, _, months, event = drawn(120)
    with quiet():
        import pandas
        from lifelines import CoxPHFitter

        expected = CoxPHFitter().fit(pandas.DataFrame({"x": score / 50, "t": months, "e": event}), "t", "e")
        ratio = float(np.exp(expected.params_["x"]))
        p = float(expected.log_likelihood_ratio_test().p_value)
    fit = fit_cox(months, event, {"x": score / 50})
    assert (fit.terms[0].ratio, fit.p_tested) == (pytest.approx(ratio), pytest.approx(p))


def test_a_level_without_outcomes_is_left_out_and_named():
    score, treated, responder, _, _ = drawn()
    line = tuple(np.where(score > 250, "2nd", "3rd"))
    responder = responder & (score <= 250)
    fit = response_model(score, responder, 50.0, treated, {"line": line})
    assert fit.n == int((score <= 250).sum())
    assert f"{int((score > 250).sum())} patients of line 2nd left out: every one does not respond" in fit.notes
    assert not fit.adjustment


def test_levels_of_adjustment_are_listed():
    score, treated, responder, _, _ = drawn()
    fit = response_model(score, responder, 50.0, treated, {"line": tuple(np.where(score > 90, "2nd", "3rd"))})
    assert [term.name for term in fit.adjustment] == ["line 3rd"]


def test_separation_is_a_reason():
    score, treated, _, _, _ = drawn(60)
    fit = response_model(score, score > 150, 50.0, treated, {})
    assert fit.terms == ()
    assert "no finite estimate: responders are separated" in fit.reason
    fit = response_model(score, (score > 100) & treated, 50.0, treated, {})
    assert "no finite estimate" in fit.reason


def test_monotone_hazards_are_a_reason():
    score = np.arange(30.0)
    fit = fit_cox(np.where(score > 15, 1.0, 5.0) + score / 100, np.ones(30, bool), {"high": (score > 15).astype(float)})
    assert fit.terms == ()
    assert "does not converge" in fit.reason


@pytest.mark.parametrize("model", ["response", "survival"])
def test_too_little_is_a_reason(model):
    score, treated, responder, months, event = drawn(40)

    def fit(rows, outcome):
        if model == "response":
            return response_model(score[rows], outcome[rows], 50.0, treated[rows], {})
        return survival_model(score[rows], months[rows], outcome[rows], 50.0, treated[rows], None)

    outcome = responder if model == "response" else event
    assert "no patient" in fit(np.zeros(40, bool), outcome).reason
    assert fit(np.ones(40, bool), np.zeros(40, bool)).reason.startswith("there is no")
    assert fit(treated, outcome).reason == f"{TREATMENT} is the same in all patients"
    assert fit(treated, outcome).terms == ()


def test_covariates_that_say_the_same_are_a_reason():
    score, _, responder, months, event = drawn(60)
    assert "singular" in fit_logistic(responder, {"x": score, "y": score}).reason
    assert "does not converge" in fit_cox(months, event, {"x": score, "y": 2 * score}).reason


def test_few_events_are_said():
    score, treated, responder, _, _ = drawn(60)
    assert any("events a coefficient" in note for note in response_model(score, responder, 50.0, treated, {}).notes)


def test_too_few_events_for_the_terms_are_a_reason():
    score = np.array([10.0, 80.0, 150.0, 220.0])
    responder = np.array([True, False, True, False])
    assert response_model(score, responder, 50.0, None, {}).reason == ""
    fit = response_model(score[:3], responder[:3], 50.0, None, {})
    assert fit.reason == "1 events are too few for 1 coefficients (at least 2 each)"
    fit = survival_model(score[:3], np.array([1.0, 2.0, 3.0]), np.array([True, False, False]), 50.0, None, None)
    assert fit.reason == "1 events are too few for 1 coefficients (at least 2 each)"
