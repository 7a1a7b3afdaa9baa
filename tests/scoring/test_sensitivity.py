"""What the H-score would be had other cells been taken for tumor cells."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from slidescore.scoring.sensitivity import tumor_sensitivity

CHANGES = {
    "tumor.rule": "probability",
    "tumor.min_probability": 0.2,
    "tumor.sensitivity.probabilities": (0.1, 0.5, 0.9),
    "tumor.sensitivity.lymphocyte_fractions": (0.1, 0.5),
}


@pytest.fixture
def by_probability(assay, change):
    return change(assay, CHANGES)


@pytest.fixture
def mixture(make_cells):
    """Four tumor cells, from sure to doubtful, at 3+, 2+, 1+, 0; two lymphocytes, at 0 and 1+; one cell taken out."""

    def made(**changes):
        tumor = [0.95, 0.6, 0.5, 0.2, 0.05, 0.05, 0.95]
        columns = {
            "tumor_probability": tumor,
            "lymphocyte_probability": [0.02, 0.2, 0.2, 0.3, 0.9, 0.9, 0.01],
            "stromal_probability": [0.01, 0.1, 0.1, 0.2, 0.01, 0.01, 0.01],
            "excluded": [*[None] * 6, "qc: ink"],
        }
        return make_cells([0.7, 0.5, 0.3, 0.1, 0.1, 0.3, 0.7], **(columns | changes))

    return made


def test_h_and_n_at_other_limits_of_the_probability(mixture, by_probability):
    limits = tumor_sensitivity(mixture(), by_probability).limits
    assert [(each.probability, each.n, each.h) for each in limits] == [
        (0.1, 4, pytest.approx(150)),
        (0.5, 3, pytest.approx(200)),
        (0.9, 1, 300),
    ]


def test_a_limit_that_no_cell_reaches_has_no_score(mixture, by_probability, change):
    assay = change(by_probability, {"tumor.sensitivity.probabilities": (0.99,)})
    [only] = tumor_sensitivity(mixture(), assay).limits
    assert (only.n, only.h) == (0, None)


def test_lymphocytes_among_the_counted_cells_pull_h_towards_their_own(mixture, by_probability):
    found = tumor_sensitivity(mixture(), by_probability)
    assert (found.n_lymphocytes, found.h_lymphocytes) == (2, 50)
    assert [(each.fraction, each.h) for each in found.contaminated] == [
        (0.1, pytest.approx(0.9 * 150 + 0.1 * 50)),
        (0.5, pytest.approx(100)),
    ]


def test_without_a_lymphocyte_nothing_is_said_of_a_mixture(mixture, by_probability):
    found = tumor_sensitivity(mixture(lymphocyte_probability=[0.0] * 7), by_probability)
    assert (found.n_lymphocytes, found.h_lymphocytes) == (0, None)
    assert [each.h for each in found.contaminated] == [None, None]
    untold = tumor_sensitivity(mixture(lymphocyte_probability=pa.nulls(7, pa.float32())), by_probability)
    assert (untold.n_lymphocytes, untold.h_lymphocytes) == (None, None)
    assert len(untold.limits) == 3


@pytest.mark.parametrize("said", [[None] * 7, [0.0, 1.0, *[None] * 5]])
def test_nothing_is_said_where_nothing_but_an_annotation_tells_types(mixture, by_probability, change, said):
    cells = mixture(tumor_probability=pa.array(said, pa.float32()))
    assert tumor_sensitivity(cells, change(by_probability, {"tumor.rule": "all"})) is None


def test_rule_all_still_asks_what_the_probabilities_would_choose(mixture, by_probability, change):
    found = tumor_sensitivity(mixture(), change(by_probability, {"tumor.rule": "all"}))
    assert [each.n for each in found.limits] == [4, 3, 1]
    # Every cell counts; the doubtful one is likelier a lymphocyte, and the mixture begins at the H-score of the others.
    assert (found.n_lymphocytes, found.h_lymphocytes) == (3, pytest.approx(100 / 3))
    assert found.contaminated[0].h == pytest.approx(0.9 * 200 + 0.1 * 100 / 3)


def test_bins_that_reviewers_gave_count(mixture, by_probability):
    corrected = np.array([-1, -1, -1, 3, -1, -1, -1], np.int8)
    found = tumor_sensitivity(mixture(), by_probability, corrected)
    assert found.limits[0].h == pytest.approx(225)
