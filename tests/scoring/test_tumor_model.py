"""The model's probability is that of the regression it was fitted by, and annotations keep theirs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from assay.made_model import made_model
from slidescore.assay import with_tumor_model
from slidescore.assay.tumor_model import SCHEMA, UNSIGNED, PlattScaling, TumorModel, sign
from slidescore.cells.table import floats, replace_column
from slidescore.errors import AssayError
from slidescore.scoring import score_cells, tumor_cells
from slidescore.scoring.cell_features import DAB_FEATURES, FEATURES, cell_features
from slidescore.scoring.tumor_model import judged_cells, model_probability, refuse_other_cells
from training.made_tissue import MPP, make_field

NAMES = tuple(name for name in FEATURES if name not in DAB_FEATURES)


@pytest.fixture(scope="module")
def field():
    return make_field(7, n=400)


def test_it_equals_predict_proba_of_the_fitted_regression(field, assay):
    values = cell_features(field.cells, MPP, NAMES)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(values[:100], field.is_tumor[:100])
    scaler, regression = pipeline[0], pipeline[1]
    base = made_model(assay)
    model = sign(
        TumorModel(
            SCHEMA, "left", "segmenter", NAMES, tuple(scaler.mean_.tolist()),
            tuple(scaler.scale_.tolist()), tuple(regression.coef_[0].tolist()),
            float(regression.intercept_[0]), PlattScaling(1.0, 0.0), ("Other", "Tumor"), base.cross_validation, "0",
            UNSIGNED,
        )
    )  # fmt: skip
    probability = model_probability(field.cells, model, MPP)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, pipeline.predict_proba(values)[:, 1], rtol=1e-5, atol=1e-4)


def test_a_missing_value_counts_as_the_mean(assay, make_cells):
    model = made_model(assay, ("log_nucleus_area_um2",), (2.0,))
    cells = make_cells([0.1] * 2, nucleus_area_um2=[None, float(np.exp(3.7))])
    missing, mean = model_probability(cells, model, 1.0)
    assert missing == pytest.approx(1 / (1 + np.exp(-(0.75 * 0.125 - 0.25))))
    assert mean == pytest.approx(missing, rel=1e-5)


def test_the_order_of_the_cells_changes_no_bit(field, assay):
    model = made_model(assay, NAMES, np.linspace(-1, 1, len(NAMES)).tolist())
    order = np.random.default_rng(0).permutation(field.cells.num_rows)
    whole = model_probability(field.cells, model, MPP)
    assert np.array_equal(model_probability(field.cells.take(pa.array(order)), model, MPP), whole[order])


def test_a_feature_of_another_version_is_refused(field, assay):
    with pytest.raises(AssayError, match="no feature 'log_moon_um'"):
        model_probability(field.cells, made_model(assay, ("log_moon_um",), (1.0,)), MPP)


def test_probabilities_stay_between_those_that_annotations_settle(field, assay):
    probability = model_probability(field.cells, made_model(assay, coefficients=(1e6, 0.0)), MPP)
    assert 0 < probability.min() < probability.max() < 1


def test_without_a_model_the_cells_are_what_they_were(field, assay):
    assert judged_cells(field.cells, assay, MPP) is field.cells


def test_the_rule_sees_the_model_except_where_an_annotation_settled(field, loaded_assay):
    settled = np.where(np.arange(400) < 20, 1.0, np.where(np.arange(400) < 40, 0.0, np.nan))
    stored = np.where(np.isnan(settled), floats(field.cells, "tumor_probability"), settled)
    cells = replace_column(field.cells, "tumor_probability", pa.array(stored, pa.float32()))
    assay = with_tumor_model(loaded_assay, made_model(loaded_assay.assay)).assay
    judged = judged_cells(cells, assay, MPP)
    seen = floats(judged, "tumor_probability")
    assert seen[:20].tolist() == [1.0] * 20
    assert seen[20:40].tolist() == [0.0] * 20
    assert np.array_equal(seen[40:], model_probability(cells, assay.tumor.model, MPP)[40:])
    assert judged.drop_columns("tumor_probability").equals(cells.drop_columns("tumor_probability"))
    assert np.array_equal(tumor_cells(judged, assay), seen >= 0.5)
    assert score_cells(judged, assay).n_tumor_cells == (seen >= 0.5).sum()


def test_no_cells_no_trouble(loaded_assay, make_cells):
    assay = with_tumor_model(loaded_assay, made_model(loaded_assay.assay)).assay
    assert judged_cells(make_cells([]), assay, 0.5).num_rows == 0


def test_cells_of_another_segmenter_are_refused(loaded_assay):
    assay = with_tumor_model(loaded_assay, made_model(loaded_assay.assay, segmenter_digest="a")).assay
    refuse_other_cells(assay, "a")
    refuse_other_cells(loaded_assay.assay, "b")
    with pytest.raises(AssayError, match="segmenter a, and these are of b"):
        refuse_other_cells(assay, "b")
