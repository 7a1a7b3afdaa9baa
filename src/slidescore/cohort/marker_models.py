"""Regressions of an outcome on the marker, alone or with treatment and their product: logistic and Cox.

The statistics packages do the fitting; whatever would make their numbers meaningless (no event, a covariate that
separates the outcomes, a fit that does not converge) becomes the reason why there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.stats import chi2, norm

from slidescore.cohort.proportions import Z_95
from slidescore.cohort.quiet_fit import is_failure, quiet

Floats = NDArray[np.float64]

EVENTS_A_TERM: Final = 10
"""Fewer events (or non-events) a coefficient make a fit fragile (Peduzzi et al., J Clin Epidemiol 49 (1996) 1373)."""

LEAST_EVENTS_A_TERM: Final = 2
"""With fewer, Wald intervals span everything and a fit says nothing."""

_SEPARATES: Final = 1e-6
"""A separating direction longer than the tolerance of the linear program."""


@dataclass(frozen=True, slots=True)
class Term:
    """A coefficient as a ratio: odds ratio or hazard ratio, with its 95 % Wald interval and p."""

    name: str
    ratio: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class ModelFit:
    """A fitted regression.

    Attributes
    ----------
    model
        What was fitted, in words.
    n, n_events
        Patients, and responders or events among them.
    terms
        The terms of interest.
    adjustment
        The covariates of adjustment, each level against the first one.
    p_tested
        Likelihood-ratio p of the term asked about, the last of `terms`.
    p_proportional
        For Cox models, p of the test that its ratio does not change with time (scaled Schoenfeld residuals against the
        rank of time, Grambsch and Therneau 1994).
    notes
        What a reader must know of this fit.
    reason
        Why there are no numbers; empty where there are.
    """

    model: str
    n: int
    n_events: int
    terms: tuple[Term, ...] = ()
    adjustment: tuple[Term, ...] = ()
    p_tested: float | None = None
    p_proportional: float | None = None
    notes: tuple[str, ...] = ()
    reason: str = ""


def fit_logistic(
    outcome: NDArray[np.bool_], terms: Mapping[str, Floats], factors: Mapping[str, tuple[str, ...]] | None = None
) -> ModelFit:
    """Fit the log odds of an outcome.

    Parameters
    ----------
    outcome
        bool (N,).
    terms
        Columns of interest by name, float64 (N,); the last one is tested.
    factors
        Covariates of adjustment by name: each patient's level.

    Notes
    -----
    A level of a factor in which nobody, or everybody, has the outcome has no finite coefficient; its patients say
    nothing about the other terms, so they are left out and named. Any other separation is looked for with a linear
    program (Konis 2007) and ends the fit.
    """
    model = "logistic, adjusted" if factors else "logistic"
    keep, left_out = _informative(outcome, factors or {})
    outcome, terms = outcome[keep], {name: column[keep] for name, column in terms.items()}
    levels = {name: np.array(column)[keep] for name, column in (factors or {}).items()}
    n, n_events = len(outcome), int(outcome.sum())
    if reason := _no_contrast(outcome, terms, "responder"):
        return ModelFit(model, n, n_events, reason=reason)
    columns = {"intercept": np.ones(n), **terms, **_dummies(levels)}
    if reason := _too_few(min(n_events, n - n_events), len(columns) - 1):
        return ModelFit(model, n, n_events, notes=left_out, reason=reason)
    design = np.column_stack(list(columns.values()))
    if reason := _separated(outcome, design, list(columns)):
        return ModelFit(model, n, n_events, notes=left_out, reason=reason)
    tested = list(columns).index(list(terms)[-1])
    try:
        with quiet() as failures:
            from statsmodels.discrete.discrete_model import Logit

            full = Logit(outcome.astype(float), design).fit(disp=0, maxiter=100)
            reduced = Logit(outcome.astype(float), np.delete(design, tested, axis=1)).fit(disp=0, maxiter=100)
            estimate, spread = np.asarray(full.params), np.asarray(full.bse)
            gain = 2 * (float(full.llf) - float(reduced.llf))
    except np.linalg.LinAlgError:
        return ModelFit(model, n, n_events, notes=left_out, reason="two covariates say the same (singular matrix)")
    if failures or not (np.isfinite(estimate).all() and np.isfinite(spread).all()):
        return ModelFit(model, n, n_events, notes=left_out, reason="the fit does not converge")
    every = _terms(list(columns), estimate, spread)
    return ModelFit(
        model=model,
        n=n,
        n_events=n_events,
        terms=every[1 : 1 + len(terms)],
        adjustment=every[1 + len(terms) :],
        p_tested=float(chi2.sf(max(gain, 0.0), 1)),
        notes=(*left_out, *_fragile(min(n_events, n - n_events), len(columns) - 1)),
    )


def fit_cox(
    months: Floats, event: NDArray[np.bool_], terms: Mapping[str, Floats], stratum: NDArray[np.int64] | None = None
) -> ModelFit:
    """Fit the hazard of an event, with a baseline of its own in every stratum.

    Parameters
    ----------
    months, event
        float64 and bool (N,).
    terms
        Columns of interest by name, float64 (N,); the last one is tested.
    stratum
        int64 (N,).
    """
    model = "Cox" if stratum is None else "Cox, stratified"
    n, n_events = len(months), int(event.sum())
    if reason := _no_contrast(event, terms, "event", all_is_fine=True):
        return ModelFit(model, n, n_events, reason=reason)
    if reason := _too_few(n_events, len(terms)):
        return ModelFit(model, n, n_events, reason=reason)
    try:
        full, reduced, p_proportional, failures = _cox_pair(months, event, terms, stratum)
    except Exception as error:
        # lifelines has an error class of its own for every way not to converge; anything else is a fault.
        if not is_failure(type(error)):
            raise
        return ModelFit(model, n, n_events, reason="the fit does not converge")
    estimate, spread = np.asarray(full.params_, float), np.asarray(full.standard_errors_, float)
    if failures or not (np.isfinite(estimate).all() and np.isfinite(spread).all()):
        return ModelFit(model, n, n_events, reason="the fit does not converge: a term separates the event times")
    gain = 2 * (float(full.log_likelihood_) - reduced)
    return ModelFit(
        model=model,
        n=n,
        n_events=n_events,
        terms=_terms(list(terms), estimate, spread),
        p_tested=float(chi2.sf(max(gain, 0.0), 1)),
        p_proportional=p_proportional,
        notes=_fragile(n_events, len(terms)),
    )


def _cox_pair(
    months: Floats, event: NDArray[np.bool_], terms: Mapping[str, Floats], stratum: NDArray[np.int64] | None
) -> tuple[Any, float, float | None, list[str]]:
    """Fit with and without the tested term; gives the fit, the smaller log likelihood, p of the check, and failures."""
    with quiet() as failures:
        import pandas
        from lifelines import CoxPHFitter
        from lifelines.statistics import proportional_hazard_test

        frame = pandas.DataFrame({**terms, "_months": months, "_event": event.astype(float)})
        strata = None
        if stratum is not None:
            frame["_stratum"], strata = stratum, ["_stratum"]
        options = {"duration_col": "_months", "event_col": "_event", "strata": strata}
        full = CoxPHFitter().fit(frame, **options)
        tested = list(terms)[-1]
        if len(terms) > 1:
            reduced = float(CoxPHFitter().fit(frame.drop(columns=tested), **options).log_likelihood_)
        else:
            reduced = float(full.log_likelihood_) - float(full.log_likelihood_ratio_test().test_statistic) / 2
    with quiet():
        # Its warnings are about the check, which may have too few events where the fit has enough.
        try:
            check = proportional_hazard_test(full, frame, time_transform="rank")
            p_check = float(np.atleast_1d(check.p_value)[-1])
        except (np.linalg.LinAlgError, ValueError, ZeroDivisionError):
            p_check = np.nan
    return full, reduced, p_check if np.isfinite(p_check) else None, failures


def _informative(
    outcome: NDArray[np.bool_], factors: Mapping[str, tuple[str, ...]]
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Leave out levels whose patients all have the same outcome; bool (N,) of who stays, and the words for it."""
    keep, words = np.ones(len(outcome), bool), []
    changed = True
    while changed:
        changed = False
        for name, column in factors.items():
            levels = np.array(column)
            for level in np.unique(levels[keep]):
                inside = keep & (levels == level)
                if len(np.unique(levels[keep])) > 1 and len(np.unique(outcome[inside])) == 1:
                    same = "responds" if outcome[inside][0] else "does not respond"
                    words.append(f"{int(inside.sum())} patients of {name} {level} left out: every one {same}")
                    keep, changed = keep & ~inside, True
    return keep, tuple(words)


def _dummies(levels: Mapping[str, NDArray[np.str_]]) -> dict[str, Floats]:
    """Make a column for each level of each factor but its first."""
    return {
        f"{name} {level}": (column == level).astype(float)
        for name, column in levels.items()
        for level in np.unique(column)[1:]
    }


def _no_contrast(
    outcome: NDArray[np.bool_], terms: Mapping[str, Floats], event: str, *, all_is_fine: bool = False
) -> str:
    if not outcome.any():
        return f"there is no {event}"
    if outcome.all() and not all_is_fine:
        return f"every patient is a {event}"
    for name, column in terms.items():
        if len(np.unique(column)) == 1:
            return f"{name} is the same in all patients"
    return ""


def _separated(outcome: NDArray[np.bool_], design: Floats, names: list[str]) -> str:
    """Say which columns tell the outcomes apart without error; empty where none do."""
    signed = np.where(outcome, 1.0, -1.0)[:, None] * design / np.maximum(np.abs(design).max(axis=0), 1e-300)
    found = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(signed)), bounds=(-1, 1), method="highs")
    if found.status != 0 or -found.fun < _SEPARATES:
        return ""
    guilty = [name for name, part in zip(names[1:], found.x[1:], strict=True) if abs(part) > _SEPARATES]
    return f"no finite estimate: responders are separated from the others by {', '.join(guilty)}"


def _terms(names: list[str], estimate: Floats, spread: Floats) -> tuple[Term, ...]:
    return tuple(
        Term(
            name=name,
            ratio=float(np.exp(b)),
            low=float(np.exp(b - Z_95 * s)),
            high=float(np.exp(b + Z_95 * s)),
            p=float(2 * norm.sf(abs(b / s))),
        )
        for name, b, s in zip(names, estimate, spread, strict=True)
    )


def _too_few(n_events: int, n_terms: int) -> str:
    if n_events >= LEAST_EVENTS_A_TERM * n_terms:
        return ""
    return f"{n_events} events are too few for {n_terms} coefficients (at least {LEAST_EVENTS_A_TERM} each)"


def _fragile(n_events: int, n_terms: int) -> tuple[str, ...]:
    if n_events >= EVENTS_A_TERM * n_terms:
        return ()
    return (f"only {n_events / n_terms:.1f} events a coefficient (at least {EVENTS_A_TERM} are advised)",)
