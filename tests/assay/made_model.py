"""A made-up tumor model that fits an assay."""

from __future__ import annotations

from collections.abc import Sequence

from slidescore.assay import Assay, TumorModel, left_digest
from slidescore.assay.tumor_model import SCHEMA, UNSIGNED, CrossValidation, PlattScaling, sign


def made_model(
    assay: Assay,
    features: Sequence[str] = ("log_nucleus_area_um2", "log_count_25um"),
    coefficients: Sequence[float] = (2.0, -0.5),
    *,
    segmenter_digest: str = "classical-1",
) -> TumorModel:
    n = len(features)
    report = CrossValidation("slide", 2, 2, 20, 21, 0.875, 0.9375, 0.9, 0.85, None)
    return sign(
        TumorModel(
            schema=SCHEMA, left_digest=left_digest(assay), segmenter_digest=segmenter_digest, features=tuple(features),
            means=(3.7,) * n, scales=(0.25,) * n, coefficients=tuple(coefficients), intercept=0.125,
            calibration=PlattScaling(0.75, -0.25), classes=("Other", "Tumor"), cross_validation=report,
            slidescore_version="0.1.0", digest=UNSIGNED,
        )
    )  # fmt: skip
