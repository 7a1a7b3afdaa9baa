"""A tumor model is the same numbers after any round trip, and a changed file is refused."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.made_model import made_model
from classical_assay import classical_loaded
from slidescore.assay import load_tumor_model, parse_assay, with_tumor_model
from slidescore.assay.tumor_model import (
    UNSIGNED,
    PlattScaling,
    TumorModel,
    content_digest,
    model_json,
    model_values,
    sign,
)
from slidescore.errors import AssayError

LOADED = classical_loaded()
MODEL = made_model(LOADED.assay)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(min_value=0, exclude_min=True, allow_nan=False, allow_infinity=False)


@st.composite
def models(draw: st.DrawFn) -> TumorModel:
    names = draw(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6, unique=True))
    n = len(names)
    return sign(
        replace(
            MODEL,
            features=tuple(names),
            means=tuple(draw(st.lists(FINITE, min_size=n, max_size=n))),
            scales=tuple(draw(st.lists(POSITIVE, min_size=n, max_size=n))),
            coefficients=tuple(draw(st.lists(FINITE, min_size=n, max_size=n))),
            intercept=draw(FINITE),
            calibration=PlattScaling(draw(POSITIVE), draw(FINITE)),
            digest=UNSIGNED,
        )
    )


@given(model=models())
def test_a_model_survives_its_file_and_an_assay_exactly(tmp_path_factory: pytest.TempPathFactory, model: TumorModel):
    path = tmp_path_factory.getbasetemp() / "model.json"
    path.write_bytes(model_json(model))
    assert load_tumor_model(path) == model
    assert model_json(load_tumor_model(path)) == path.read_bytes()
    in_assay = with_tumor_model(LOADED, model)
    assert in_assay.assay.tumor.model == model
    assert parse_assay(in_assay.text, where="again").tumor.model == model


def written(path: Path, old: str, new: str) -> Path:
    text = model_json(MODEL).decode()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"intercept": 0.125', '"intercept": 0.126', "the digest does not fit"),
        ('"accuracy": 0.875', '"accuracy": 0.975', "the digest does not fit"),
        ('"left_digest": "', '"left_digest": "0', "the digest does not fit"),
        ("slidescore-tumor-model-1", "slidescore-tumor-model-2", "schema: "),
        ('"intercept": 0.125', '"intercept": 1e999', "intercept: "),
        ('"intercept": 0.125', '"intercept": "0.125"', "intercept: "),
        ('"intercept": 0.125', '"intercept": null', "intercept: "),
        ('"slope": 0.75', '"slope": -0.75', "calibration.slope: "),
        ('"schema"', '"note": 1, "schema"', "note: "),
        ('"slidescore_version": "0.1.0",', "", "slidescore_version: "),
        ('"Tumor"\n', '"Stroma"\n', "classes.1: "),
        ("log_count_25um", "log_nucleus_area_um2", "a feature stands twice"),
        (f'"digest": "{MODEL.digest}"', '"digest": ""', "digest: "),
        ("}\n", "", "Invalid JSON"),
    ],
)
def test_a_changed_or_broken_file_is_refused_in_one_line(tmp_path, old, new, said):
    with pytest.raises(AssayError) as caught:
        load_tumor_model(written(tmp_path / "mine.json", old, new))
    line = str(caught.value)
    assert line.startswith("mine.json: is no tumor model: ")
    assert said in line
    assert "\n" not in line


def test_numbers_and_features_must_be_as_many(tmp_path):
    with pytest.raises(ValueError, match="2 features but 1 means"):
        replace(MODEL, means=(1.0,))
    with pytest.raises(AssayError, match="cannot be read"):
        load_tumor_model(tmp_path / "gone.json")


def test_the_digest_is_over_every_field_but_itself():
    assert content_digest(MODEL) == MODEL.digest
    assert len(MODEL.digest) == 64
    assert MODEL.digest.startswith(MODEL.short_digest)
    others = [replace(MODEL, **{name: value, "digest": UNSIGNED}) for name, value in (
        ("left_digest", "x"), ("segmenter_digest", "x"), ("features", ("a", "b")), ("means", (1.0, 2.0)),
        ("scales", (1.0, 2.0)), ("coefficients", (1.0, 2.0)), ("intercept", 0.0), ("slidescore_version", "9"),
        ("calibration", PlattScaling(1.0, 1.0)), ("cross_validation", replace(MODEL.cross_validation, accuracy=0.5)),
    )]  # fmt: skip
    digests = {sign(other).digest for other in others}
    assert len(digests) == len(others)
    assert MODEL.digest not in digests
    assert list(model_values(MODEL)) == [field.name for field in fields(TumorModel)]
