"""Forty labels from two fields lift the rule on fields that were never labelled, and the accuracy told is honest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from slidescore.cells.table import floats
from slidescore.errors import InputError
from slidescore.scoring.cell_features import DAB_FEATURES, FEATURES, cell_features
from slidescore.scoring.tumor_model import model_probability
from slidescore.training.tumor_fit import LabelledCells, choose_folds, fit_tumor_model
from training.made_tissue import MPP, Field, make_field, pick

NAMES = tuple(name for name in FEATURES if name not in DAB_FEATURES)
HELD_OUT_SEEDS = (101, 102, 103)


def labelled(fields: list[Field], n_tumor: int = 10, n_other: int = 10) -> LabelledCells:
    """So many labels of each kind from every field."""
    parts = [(field, pick(field, number, n_tumor, n_other)) for number, field in enumerate(fields)]
    return LabelledCells(
        np.concatenate([cell_features(field.cells, MPP, NAMES)[rows] for field, rows in parts]),
        np.concatenate([field.is_tumor[rows] for field, rows in parts]),
        np.repeat(np.arange(len(parts)), [len(rows) for _, rows in parts]),
        np.concatenate([floats(field.cells, "tumor_probability")[rows].astype(float) for field, rows in parts]),
    )


def fitted(cells: LabelledCells):
    return fit_tumor_model(cells, NAMES, left_digest="left", segmenter_digest="segmenter")


@pytest.fixture(scope="module", params=[True, False], ids=["network", "classical"])
def network(request):
    return request.param


@pytest.fixture(scope="module")
def held_out(network):
    return [make_field(seed, network=network) for seed in HELD_OUT_SEEDS]


@pytest.mark.parametrize("seed", [0, 20, 40])
def test_forty_labels_from_two_fields_lift_the_rule_on_other_fields(seed, network, held_out):
    fields = [make_field(seed + k, network=network) for k in range(2)]
    model, _ = fitted(labelled(fields))
    truth = np.concatenate([field.is_tumor for field in held_out])
    probability = np.concatenate([model_probability(field.cells, model, MPP) for field in held_out])
    assert roc_auc_score(truth, probability) > 0.86
    assert (probability[truth] >= 0.5).mean() > 0.7
    assert (probability[~truth] < 0.5).mean() > 0.7
    if network:
        alone = np.concatenate([floats(field.cells, "tumor_probability") for field in held_out])
        assert roc_auc_score(truth, probability) > roc_auc_score(truth, alone) + 0.15
    else:
        assert not any(name.startswith("logit_") for name in model.features)


def test_the_accuracy_told_is_that_on_slides_not_seen_and_probabilities_are_shares():
    fields = [make_field(seed) for seed in range(200, 208)]
    model, right = fitted(labelled(fields, 25, 25))
    report = model.cross_validation
    assert (report.scheme, report.n_folds, report.n_slides, report.n_tumor, report.n_other) == ("slide", 8, 8, 200, 200)
    assert report.accuracy == right.mean()
    others = [make_field(seed) for seed in range(300, 312)]
    rows = [pick(field, 1, 100, 100) for field in others]
    truth = np.concatenate([field.is_tumor[chosen] for field, chosen in zip(others, rows, strict=True)])
    probability = np.concatenate([
        model_probability(field.cells, model, MPP)[chosen] for field, chosen in zip(others, rows, strict=True)
    ])  # fmt: skip
    assert report.auc == pytest.approx(roc_auc_score(truth, probability), abs=0.04)
    assert report.accuracy == pytest.approx(((probability >= 0.5) == truth).mean(), abs=0.05)
    # With as many of each kind as the calibration assumes, a probability is the share of tumor cells.
    tenth = np.minimum((10 * probability).astype(int), 9)
    gaps = [abs(truth[tenth == k].mean() - probability[tenth == k].mean()) * (tenth == k).mean() for k in range(10)]
    assert sum(gaps) < 0.06


def test_a_good_network_is_not_made_worse():
    fields = [make_field(seed) for seed in (60, 61, *HELD_OUT_SEEDS)]
    rng = np.random.default_rng(3)
    good = [1 / (1 + np.exp(-(np.where(field.is_tumor, 3.0, -3.0) + rng.normal(0, 1.5, 900)))) for field in fields]
    column = NAMES.index("logit_tumor")
    values = [cell_features(field.cells, MPP, NAMES) for field in fields]
    for each, probability in zip(values, good, strict=True):
        each[:, column] = np.log(probability / (1 - probability))
    rows = [pick(field, 0, 10, 10) for field in fields[:2]]
    cells = LabelledCells(
        np.concatenate([values[k][rows[k]] for k in range(2)]),
        np.concatenate([fields[k].is_tumor[rows[k]] for k in range(2)]),
        np.repeat([0, 1], 20),
        np.concatenate([good[k][rows[k]] for k in range(2)]),
    )
    model, _ = fitted(cells)
    use = [NAMES.index(name) for name in model.features]
    standard = (np.concatenate(values[2:])[:, use] - model.means) / np.array(model.scales)
    truth = np.concatenate([field.is_tumor for field in fields[2:]])
    with_model = roc_auc_score(truth, standard @ np.array(model.coefficients))
    assert with_model > roc_auc_score(truth, np.concatenate(good[2:])) - 0.01
    assert model.cross_validation.network_auc == pytest.approx(roc_auc_score(cells.is_tumor, cells.network))


def test_the_same_labels_give_the_same_model_and_their_slides_order_does_not_matter():
    cells = labelled([make_field(1), make_field(2)])
    assert fitted(cells)[0] == fitted(cells)[0]


def test_labels_that_mean_nothing_are_refused():
    cells = labelled([make_field(1), make_field(2)])
    upside_down = replace(cells, is_tumor=np.where(cells.slide == 0, cells.is_tumor, ~cells.is_tumor))
    with pytest.raises(InputError, match="cannot be told apart"):
        fitted(upside_down)
    with pytest.raises(InputError, match="nothing is measured that differs"):
        fitted(replace(cells, values=np.full_like(cells.values, np.nan)))


def test_a_constant_or_mostly_missing_feature_is_left_out():
    cells = labelled([make_field(1), make_field(2)])
    values = cells.values.copy()
    values[:, 0] = 3.0
    values[: len(values) // 2, 1] = np.nan
    values[0, 4] = np.nan
    model, _ = fitted(replace(cells, values=values))
    assert not {NAMES[0], NAMES[1]} & set(model.features)
    assert NAMES[4] in model.features


def test_folds_are_slides_where_the_others_can_teach_both_kinds():
    tumor = np.tile([True, False], 20)
    folds, scheme = choose_folds(tumor, np.repeat([0, 1, 2, 3], 10))
    assert scheme == "slide"
    assert [fold.tolist() for fold in folds] == [list(range(k, k + 10)) for k in (0, 10, 20, 30)]


@pytest.mark.parametrize(
    ("tumor", "slide"),
    [
        (np.tile([True, False], 10), np.zeros(20, int)),
        (np.repeat([True, False], 10), np.repeat([0, 1], 10)),
        (np.repeat([True, False], [5, 15]), np.repeat([0, 1], [6, 14])),
    ],
    ids=["one slide", "a kind on each", "nearly so"],
)
def test_else_folds_are_parts_of_both_kinds(tumor, slide):
    folds, scheme = choose_folds(tumor, slide)
    assert scheme == "stratified"
    assert sorted(np.concatenate(folds).tolist()) == list(range(20))
    assert all(0 < tumor[fold].sum() < len(fold) for fold in folds)


def test_five_of_each_kind_on_one_slide_are_enough_to_run():
    model, _ = fitted(labelled([make_field(5)], 5, 5))
    assert model.cross_validation.scheme == "stratified"
    assert (model.cross_validation.n_tumor, model.cross_validation.n_other) == (5, 5)
