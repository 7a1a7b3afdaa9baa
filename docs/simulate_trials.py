"""Simulate the trials behind docs/cohort.md, and write its tables: python docs/simulate_trials.py --write.

Two questions: how often does a search for a cut-off find something where there is nothing, without and with the
correction; and does a trial of FORTRESS's size give back the interaction of treatment and marker planted in it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from slidescore.cohort.cutpoint import (
    NAIVE_CRITICAL,
    allowed_cuts,
    chi_square_at,
    exact_p,
    miller_siegmund,
    search_survival,
)
from slidescore.cohort.interaction import response_model, survival_model
from slidescore.cohort.proportions import clopper_pearson

PAGE = Path(__file__).with_name("cohort.md")
SEED = 20260
STEP = 50.0
SIGNIFICANT = 0.05

RESPONSE_RATE = 0.3
SIZES = (54, 100, 330)
SEARCH_TRIALS = 10_000
SURVIVAL_SIZE = 100
SURVIVAL_TRIALS = 2_000

PATIENTS = 432
"""Randomised in FORTRESS."""
THIRD_LINE = 348 / 432
"""In third line or later, of those (SABCS PD13-01)."""
HORMONE_RECEPTOR_POSITIVE = 1 - 0.356
"""35.6 % were triple-negative (SABCS PD13-01)."""
PRIOR_CDK46 = 0.7
"""Assumed, of the hormone-receptor positive; not published."""
VISCERAL = 0.75
"""Assumed; not published."""
BLOCK = 4
"""Patients of a block of the stratified randomisation; assumed."""
CONTROL_RESPONSE = 0.137
"""Response rate of the control arm (13.7 %)."""
CONTROL_PFS_MONTHS = 4.0
"""Median of the control arm."""
STRATUM_LOG_ODDS = {"line": -0.3, "hormone_receptor": 0.2, "prior_cdk46": -0.2, "visceral": -0.2}
"""How the strata change the response; the hazard changes by half of it, the other way. Assumed."""
MARKER_LOG_ODDS = 0.1
"""Of the marker in the control arm, per 50 H; assumed."""
LAST_MONTH = 9.0
"""Follow-up of those still without an event ends between 6 months and then; assumed."""
FIRST_MONTH = 6.0

PLANTED = (("response", 1.5, 2_000), ("response", 1.0, 2_000), ("pfs", 0.8, 500), ("pfs", 1.0, 500))
"""Endpoint, interaction per 50 H, and trials."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One simulated trial; arrays (N,)."""

    score: NDArray[np.float64]
    treated: NDArray[np.bool_]
    strata: dict[str, tuple[str, ...]]
    stratum: NDArray[np.int64]
    responder: NDArray[np.bool_]
    months: NDArray[np.float64]
    event: NDArray[np.bool_]


def draw_trial(generator: np.random.Generator, odds_ratio: float, hazard_ratio: float, n: int = PATIENTS) -> Trial:
    """Draw a trial with the interactions that are planted: ratios per 50 H, 1 for none."""
    receptor = generator.random(n) < HORMONE_RECEPTOR_POSITIVE
    flags = {
        "line": generator.random(n) < THIRD_LINE,
        "hormone_receptor": receptor,
        "prior_cdk46": receptor & (generator.random(n) < PRIOR_CDK46),
        "visceral": generator.random(n) < VISCERAL,
    }
    _, stratum = np.unique(np.column_stack(list(flags.values())), axis=0, return_inverse=True)
    treated = _randomise(generator, stratum)
    # Scores as a membrane marker has them: from 0 to 300, more low than high ones.
    score = 300 * generator.beta(1.2, 1.8, n)
    marker = (score - 120) / STEP
    strata_effect = sum(STRATUM_LOG_ODDS[name] * (flag - flag.mean()) for name, flag in flags.items())
    base = np.log(CONTROL_RESPONSE / (1 - CONTROL_RESPONSE))
    log_odds = base + strata_effect + MARKER_LOG_ODDS * marker + np.log(odds_ratio) * treated * marker
    log_hazard = -strata_effect / 2 - MARKER_LOG_ODDS / 2 * marker + np.log(hazard_ratio) * treated * marker
    time = generator.exponential(CONTROL_PFS_MONTHS / np.log(2) * np.exp(-log_hazard))
    followed = generator.uniform(FIRST_MONTH, LAST_MONTH, n)
    return Trial(
        score=score,
        treated=treated,
        strata={name: tuple(np.where(flag, "yes", "no").tolist()) for name, flag in flags.items()},
        stratum=stratum.ravel().astype(np.int64),
        responder=generator.random(n) < 1 / (1 + np.exp(-log_odds)),
        months=np.minimum(time, followed).round(2),
        event=time <= followed,
    )


def _randomise(generator: np.random.Generator, stratum: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Assign 1:1 in permuted blocks within each stratum."""
    treated = np.zeros(len(stratum), bool)
    for each in np.unique(stratum):
        inside = np.flatnonzero(stratum == each)
        blocks = [generator.permutation(BLOCK) < BLOCK / 2 for _ in range(-(-len(inside) // BLOCK))]
        treated[inside] = np.concatenate(blocks)[: len(inside)]
    return treated


def search_errors(n: int, trials: int, seed: int) -> tuple[int, int, int]:
    """Count the null trials in which a search finds p < 0.05: naive, exactly corrected, Miller-Siegmund."""
    generator = np.random.default_rng([seed, n])
    cuts = allowed_cuts(np.arange(n, dtype=float))
    known: dict[tuple[int, float], float] = {}
    naive = corrected = approximate = 0
    for _ in range(trials):
        # The marker says nothing, so any order of the patients will do; and continuous scores have no ties.
        outcome = generator.random(n) < RESPONSE_RATE
        k = int(outcome.sum())
        if k in (0, n):
            continue
        largest = float(chi_square_at(np.cumsum(outcome)[cuts - 1], cuts, n, k).max())
        key = (k, round(largest, 9))
        if key not in known:
            known[key] = exact_p(largest, n, k, cuts)
        naive += chi2.sf(largest, 1) < SIGNIFICANT
        corrected += known[key] < SIGNIFICANT
        approximate += largest > NAIVE_CRITICAL and miller_siegmund(largest**0.5) < SIGNIFICANT
    return naive, corrected, approximate


def survival_search_errors(n: int, trials: int, seed: int) -> tuple[int, int]:
    """Count the null trials in which a search over log-rank tests finds p < 0.05: naive, corrected by permutation."""
    generator = np.random.default_rng([seed, n, 1])
    naive = corrected = 0
    for number in range(trials):
        time, followed = generator.exponential(6.0, n), generator.uniform(3.0, 18.0, n)
        score = generator.random(n)
        found = search_survival(score, np.minimum(time, followed), time <= followed, seed + number)
        naive += found.p_naive is not None and found.p_naive < SIGNIFICANT
        corrected += found.p_adjusted is not None and found.p_adjusted < SIGNIFICANT
    return naive, corrected


@dataclass(frozen=True, slots=True)
class Recovery:
    """What simulated trials say about a planted interaction: its 95 % interval held it, its p was below 0.05."""

    planted: float
    trials: int
    unfitted: int
    covered: int
    found: int
    median: float


def recover(endpoint: str, planted: float, trials: int, seed: int, n: int = PATIENTS) -> Recovery:
    """Estimate the interaction in simulated trials, with the very functions of `slidescore cohort`."""
    covered = found = 0
    ratios = []
    for number in range(trials):
        generator = np.random.default_rng([seed, number])
        trial = draw_trial(generator, planted, planted, n)
        if endpoint == "response":
            fit = response_model(trial.score, trial.responder, STEP, trial.treated, trial.strata)
        else:
            fit = survival_model(trial.score, trial.months, trial.event, STEP, trial.treated, trial.stratum)
        if fit.reason or fit.p_tested is None:
            continue
        ratios.append(fit.terms[-1].ratio)
        covered += fit.terms[-1].low <= planted <= fit.terms[-1].high
        found += fit.p_tested < SIGNIFICANT
    return Recovery(planted, len(ratios), trials - len(ratios), covered, found, float(np.median(ratios)))


def _share(k: int, n: int) -> str:
    low, high = clopper_pearson(k, n)
    return f"{100 * k / n:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def search_table() -> Iterator[str]:
    """Give the lines of the table of cut-off searches."""
    yield _line("outcome", "patients", "null trials", "naive, %", "adjusted, %", "Miller and Siegmund, %")
    yield "|---|---|---|---|---|---|"
    for n in SIZES:
        counts = search_errors(n, SEARCH_TRIALS, SEED)
        yield _line("response", f"{n}", f"{SEARCH_TRIALS:,}", *(_share(count, SEARCH_TRIALS) for count in counts))
    counts = survival_search_errors(SURVIVAL_SIZE, SURVIVAL_TRIALS, SEED)
    shares = (_share(count, SURVIVAL_TRIALS) for count in counts)
    yield _line("survival", f"{SURVIVAL_SIZE}", f"{SURVIVAL_TRIALS:,}", *shares, "")


def recovery_table() -> Iterator[str]:
    """Give the lines of the table of planted interactions."""
    yield _line(
        "ratio per 50 H", "planted", "trials", "median found", "interval holds it, %", "p < 0.05, %", "not fitted"
    )
    yield "|---|---|---|---|---|---|---|"
    for endpoint, planted, trials in PLANTED:
        done = recover(endpoint, planted, trials, SEED)
        yield _line(
            "odds ratio of response" if endpoint == "response" else "hazard ratio of PFS",
            f"{planted:g}",
            f"{done.trials:,}",
            f"{done.median:.3f}",
            _share(done.covered, done.trials),
            _share(done.found, done.trials),
            f"{done.unfitted}",
        )


def main() -> None:
    """Run everything; a few minutes on one core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    write = parser.parse_args().write
    sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
    from page_tables import publish_tables

    tables = {"cut-off search": list(search_table()), "interaction": list(recovery_table())}
    publish_tables(tables, PAGE if write else None)


if __name__ == "__main__":
    main()
