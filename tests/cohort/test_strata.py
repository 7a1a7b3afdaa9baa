"""Comparisons over strata, held against R's example, scipy, and counting every table."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy.stats import fisher_exact
from scipy.stats.contingency import odds_ratio

from slidescore.cohort.strata import ZELEN_TABLES, _exact, _zelen, compare_over_strata

# Admissions at Berkeley in 1973 (Bickel, Hammel and O'Connell, Science 187 (1975) 398): department, sex, admitted.
BERKELEY = [
    [[512, 313], [89, 19]], [[353, 207], [17, 8]], [[120, 205], [202, 391]],
    [[138, 279], [131, 244]], [[53, 138], [94, 299]], [[22, 351], [24, 317]],
]  # fmt: skip


def patients_of(tables):
    rows = [
        (first == 0, outcome == 0, stratum)
        for stratum, table in enumerate(tables)
        for first, outcome in product((0, 1), (0, 1))
        for _ in range(table[first][outcome])
    ]
    first, outcome, stratum = (np.array(each) for each in zip(*rows, strict=True))
    return first, outcome, stratum


def test_the_berkeley_example_of_r():
    found = compare_over_strata(*patients_of(BERKELEY), seed=1)
    assert (found.n, found.n_strata, found.n_informative) == (4526, 6, 6)
    # mantelhaen.test(UCBAdmissions): common odds ratio 0.9046968, 95 % interval 0.7719074 to 1.0603298.
    assert (found.odds_ratio, found.low, found.high) == pytest.approx((0.9046968, 0.7719074, 1.0603298), abs=1e-6)
    assert found.method == "Mantel-Haenszel"
    assert found.p == found.p_cmh == pytest.approx(found.p_exact, abs=0.02)
    assert found.homogeneity == "Breslow-Day"
    assert found.p_homogeneity < 0.01


@pytest.mark.parametrize("table", [[[3, 7], [9, 2]], [[0, 8], [5, 5]], [[6, 0], [1, 4]], [[21, 141], [23, 145]]])
def test_one_stratum_is_the_exact_test_of_a_single_table(table):
    ratio, low, high, p = _exact(np.array([table]))
    expected = odds_ratio(table)
    interval = expected.confidence_interval(0.95)
    assert (ratio, low, high) == pytest.approx((expected.statistic, interval.low, interval.high), rel=1e-4)
    assert p == pytest.approx(fisher_exact(table).pvalue)


TWO = np.array([[[3, 1], [1, 4]], [[2, 2], [0, 5]]])


def every_table(tables):
    """All pairs of tables of the same margins, with their weights."""
    spans = [range(max(0, t[:, 0].sum() - t[1].sum()), min(t[0].sum(), t[:, 0].sum()) + 1) for t in tables]
    for counts in product(*spans):
        weight = 1
        for a, t in zip(counts, tables, strict=True):
            weight *= comb(t[0].sum(), a) * comb(t[1].sum(), t[:, 0].sum() - a)
        yield counts, weight


def test_the_exact_p_counts_every_pair_of_tables():
    every = list(every_table(TWO))
    total, observed = sum(weight for _, weight in every), int(TWO[:, 0, 0].sum())
    by_sum: dict[int, int] = {}
    for counts, weight in every:
        by_sum[sum(counts)] = by_sum.get(sum(counts), 0) + weight
    expected = sum(weight for weight in by_sum.values() if weight <= by_sum[observed]) / total
    assert _exact(TWO)[3] == pytest.approx(expected)


def test_zelens_p_counts_the_pairs_of_tables_of_the_same_sum():
    tables = np.array([[[5, 1], [1, 6]], [[2, 4], [5, 2]]])
    same = [(c, w) for c, w in every_table(tables) if sum(c) == tables[:, 0, 0].sum()]
    observed = next(weight for counts, weight in same if counts == tuple(tables[:, 0, 0]))
    expected = sum(weight for _, weight in same if weight <= observed) / sum(weight for _, weight in same)
    spread = (expected * (1 - expected) / ZELEN_TABLES) ** 0.5
    assert _zelen(tables, 3) == pytest.approx(expected, abs=4 * spread + 1e-3)
    assert _zelen(tables, 3) == _zelen(tables, 3)


def test_sparse_strata_get_the_exact_test():
    found = compare_over_strata(*patients_of(TWO.tolist()), seed=1)
    assert found.method == "exact conditional"
    assert found.p == found.p_exact
    assert found.low < found.odds_ratio < found.high
    assert found.homogeneity == "Zelen"


def test_a_separated_comparison_has_an_open_end():
    found = compare_over_strata(*patients_of([[[4, 0], [0, 4]], [[3, 0], [1, 2]]]), seed=1)
    assert found.odds_ratio == found.high == np.inf
    assert 1 < found.low < np.inf


def test_strata_that_say_nothing_are_counted_and_left_out():
    tables = [[[3, 7], [9, 2]], [[4, 4], [0, 0]], [[0, 5], [0, 6]]]
    found = compare_over_strata(*patients_of(tables), seed=1)
    assert (found.n, found.n_strata, found.n_informative) == (40, 3, 1)
    assert found.p_exact == pytest.approx(fisher_exact(tables[0]).pvalue)
    assert (found.p_homogeneity, found.homogeneity) == (None, "")


@pytest.mark.parametrize("tables", [[[[4, 4], [0, 0]]], [[[0, 5], [0, 6]]]])
def test_nothing_to_compare_gives_a_reason(tables):
    found = compare_over_strata(*patients_of(tables), seed=1)
    assert found.p is found.odds_ratio is None
    assert found.reason == "no stratum holds both groups and both outcomes"


def test_nobody_gives_a_reason():
    nobody = np.zeros(0)
    found = compare_over_strata(nobody.astype(bool), nobody.astype(bool), nobody.astype(np.int64), seed=1)
    assert (found.n, bool(found.reason)) == (0, True)
