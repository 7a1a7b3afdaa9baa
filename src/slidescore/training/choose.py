"""Choosing what training leaves open: decode settings and calibration, on held-back fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from slidescore.cells.decode import DecodeSettings
from slidescore.cells.types import TUMOR
from slidescore.nn.card import Calibration
from slidescore.training.evaluate import Field, calibrate_types, count_fields, decode_field
from slidescore.training.metrics import match_centers
from slidescore.training.scenes import centroids

CANDIDATES = {
    "min_center": (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6),
    "min_distance_um": (1.5, 2.0, 2.5, 3.0, 3.5),
    "min_foreground": (0.3, 0.4, 0.5, 0.6),
    "min_mean_foreground": (0.0, 0.5, 0.6, 0.7),
    "min_solidity": (0.0, 0.6, 0.7, 0.75, 0.8),
}
"""Values of each decode setting, rising, settled one after the other: they hardly depend on one another."""
LOG_TEMPERATURES = (-1.5, 1.5)
LEAST = 1e-4
"""Probabilities are kept this far from 0 and 1 in the likelihood."""
TIE = 0.002
"""Scores of min_center this close are equal; then the higher one is taken: a false cell is worse than a missed one."""


def choose_decode(groups: Mapping[str, Sequence[Field]]) -> DecodeSettings:
    """Take the settings with the best mean F1 over groups, of detection and of masks; every group counts the same.

    Every cell found counts, labelled or not, or settings would win that find more than anybody would label.
    """
    best = DecodeSettings()
    for name, values in CANDIDATES.items():
        tried = [replace(best, **{name: value}) for value in values]
        scores = [_mean_f1(groups, settings) for settings in tried]
        equal = max(scores) - (TIE if name == "min_center" else 0.0)
        best = next(settings for settings, score in zip(tried[::-1], scores[::-1], strict=True) if score >= equal)
    return best


def _mean_f1(groups: Mapping[str, Sequence[Field]], settings: DecodeSettings) -> float:
    counts = [count_fields(fields, settings, strict=True) for fields in groups.values()]
    return float(np.mean([each.cells.f1 for each in counts] + [each.masks.f1 for each in counts if each.masks.n_true]))


def typed_cells(fields: Sequence[Field], settings: DecodeSettings) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Collect what was found of labelled cells: probabilities, float32 (n, 4), not calibrated, and true types."""
    probabilities, types = [np.empty((0, 4), np.float32)], [np.empty(0, np.int8)]
    for field in fields:
        found = decode_field(field, settings)
        assert found.type_probability is not None
        scene = field.scene
        pairs = match_centers(
            scene.centers_px.astype(np.float64) * scene.mpp, centroids(found.nuclei).astype(np.float64) * scene.mpp
        )
        pairs = pairs[scene.types[pairs[:, 0]] >= 0]
        types.append(scene.types[pairs[:, 0]])
        probabilities.append(found.type_probability[pairs[:, 1]])
    return np.concatenate(probabilities), np.concatenate(types)


def fit_calibration(probability: NDArray[np.float32], types: NDArray[np.int8]) -> Calibration:
    """Fit the temperature so that tumor against the rest is as likely as the network says (Guo et al. 2017).

    It minimises the negative log-likelihood. The shift stays 0: fitted to some held-back fields, it carried their mix
    of cells to all others, and cost up to 0.04 of a type's F1 there (docs/training.md).
    """
    is_tumor = types == TUMOR
    if not is_tumor.any() or is_tumor.all():
        return Calibration(type_temperature=1.0, tumor_shift=0.0)

    def loss(log_temperature: float) -> float:
        calibration = Calibration(type_temperature=float(np.exp(log_temperature)), tumor_shift=0.0)
        tumor = np.clip(calibrate_types(probability, calibration, axis=1)[:, TUMOR], LEAST, 1 - LEAST)
        return float(-np.log(np.where(is_tumor, tumor, 1 - tumor)).mean())

    found = float(minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded").x)
    return Calibration(type_temperature=round(float(np.exp(found)), 3), tumor_shift=0.0)
