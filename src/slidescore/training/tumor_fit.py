"""Fitting a tumor model: a small, calibrated classifier on labelled cells, and how well it does on slides not seen.

A logistic regression on standardised features, its strength chosen and its probabilities calibrated by
cross-validation, all of it repeated inside an outer cross-validation that gives the accuracy. Folds are slides where
that is possible: cells of one slide share stain and tissue, and a model tested on them promises too much.

Everything is deterministic: folds follow the order of slides and cells, and nothing is shuffled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from slidescore.assay.tumor_model import SCHEMA, UNSIGNED, CrossValidation, PlattScaling, TumorModel, sign
from slidescore.errors import InputError
from slidescore.version import slidescore_version

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

MIN_IN_TRAINING = 2
"""A fold is usable when the other folds hold at least this many cells of each kind."""
N_FOLDS = 5
"""Stratified folds, where slides cannot be the folds."""
STRENGTHS = tuple(float(value) for value in 10.0 ** np.arange(-3, 1.5, 0.5))
"""Inverse strengths of the L2 penalty that are tried (scikit-learn's C), strongest penalty first."""
NETWORK_TRUST = 3.0
"""How much more the network's own logit_tumor is trusted than another feature before any label is seen.

Made-up fields, 40 labels on two, AUC on three others (mean of 16): for a network of 0.666 / 0.837 / 0.958 / 0.998 alone
the model has 0.898 / 0.943 / 0.977 / 0.996 with trust 1, 0.897 / 0.945 / 0.982 / 0.999 with 3; 5 and 8 are as 3.
"""
MIN_KNOWN = 0.9
"""A feature is used when this share of the labelled cells has it."""
MIN_SPREAD = 1e-9
"""A feature that varies less over the labelled cells is constant."""
COIN = 0.5
"""The AUC of a guess."""
PROBABILITY = 0.5
"""Where accuracy is told; the assay's tumor.min_probability may lie elsewhere."""
MIN_SLOPE = 0.1
"""Least slope of the calibration curve: probabilities then hardly leave 0.5."""
MAX_ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class LabelledCells:
    """Labelled cells of several slides, sorted by slide and row.

    Attributes
    ----------
    values
        Features, float64, (N, F), NaN where missing.
    is_tumor
        bool, (N,).
    slide
        Number of the slide, int64, (N,).
    network
        The network's tumor_probability, float64, (N,), NaN where there is none.
    """

    values: Values
    is_tumor: Flags
    slide: Numbers
    network: Values


@dataclass(frozen=True, slots=True)
class _Classifier:
    """Means, scales and coefficients of the features, intercept, and calibration as slope and intercept."""

    means: Values
    scales: Values
    coefficients: Values
    intercept: float
    calibration: tuple[float, float]

    def decide(self, values: Values) -> Values:
        standard = (values - self.means) / self.scales
        decision: Values = np.where(np.isnan(standard), 0.0, standard) @ self.coefficients + self.intercept
        return decision

    def probability(self, values: Values) -> Values:
        slope, intercept = self.calibration
        probability: Values = expit(slope * self.decide(values) + intercept)
        return probability


def fit_tumor_model(
    cells: LabelledCells, names: Sequence[str], *, left_digest: str, segmenter_digest: str
) -> tuple[TumorModel, Flags]:
    """Fit a model; also returns which labels it foretold right without having seen them, bool, (N,).

    Parameters
    ----------
    cells
        At least `MIN_LABELS` of each kind.
    names
        Names of the columns of `cells.values`.
    left_digest, segmenter_digest
        What measured the cells.

    Raises
    ------
    InputError
        If no feature is known, or cross-validation finds the labels no better than by chance.
    """
    used = _usable(cells.values)
    if not used.any():
        raise InputError("nothing is measured that differs between the labelled cells", where="labels")
    values, is_tumor = cells.values[:, used], cells.is_tumor
    folds, scheme = choose_folds(is_tumor, cells.slide)
    features = [name for name, use in zip(names, used, strict=True) if use]
    trust = np.array([NETWORK_TRUST if name == "logit_tumor" else 1.0 for name in features])
    foretold = _foretell(values, is_tumor, folds, cells.slide, trust)
    auc = float(roc_auc_score(is_tumor, foretold))
    final = _fit(values, is_tumor, cells.slide, trust)
    if auc <= COIN:
        raise InputError(
            f"the labels cannot be told apart by these measurements (cross-validated AUC {auc:.2f})", where="labels",
            remedy="check classes and places of the labels, or label more cells",
        )  # fmt: skip
    right: Flags = (foretold >= PROBABILITY) == is_tumor
    report = CrossValidation(
        scheme=scheme,
        n_folds=len(folds),
        n_slides=len(np.unique(cells.slide)),
        n_tumor=int(is_tumor.sum()),
        n_other=int((~is_tumor).sum()),
        accuracy=float(right.mean()),
        auc=auc,
        tumor_kept=float(right[is_tumor].mean()),
        other_dropped=float(right[~is_tumor].mean()),
        network_auc=_network_auc(cells),
    )
    model = TumorModel(
        schema=SCHEMA,
        left_digest=left_digest,
        segmenter_digest=segmenter_digest,
        features=tuple(features),
        means=tuple(final.means.tolist()),
        scales=tuple(final.scales.tolist()),
        coefficients=tuple(final.coefficients.tolist()),
        intercept=final.intercept,
        calibration=PlattScaling(*final.calibration),
        classes=("Other", "Tumor"),
        cross_validation=report,
        slidescore_version=slidescore_version(),
        digest=UNSIGNED,
    )
    return sign(model), right


def choose_folds(is_tumor: Flags, slide: Numbers) -> tuple[list[Numbers], Literal["slide", "stratified"]]:
    """Return the cells of each fold and what a fold is: one slide, or a part of every class where slides cannot be.

    Slides cannot be where there is one only, or where one holds nearly all cells of a kind.
    """
    kinds = np.unique(slide)
    folds = [np.flatnonzero(slide == number) for number in kinds]
    if len(kinds) > 1 and all(_holds_both(np.delete(is_tumor, fold)) for fold in folds):
        return folds, "slide"
    n_rare = int(min(is_tumor.sum(), (~is_tumor).sum()))
    splitter = StratifiedKFold(min(N_FOLDS, n_rare))
    # Not shuffled: cells lie in the order of their tiles, so that neighbours tend to share a fold.
    return [test.astype(np.int64) for _, test in splitter.split(is_tumor, is_tumor)], "stratified"


def _holds_both(is_tumor: Flags) -> bool:
    return min(int(is_tumor.sum()), int((~is_tumor).sum())) >= MIN_IN_TRAINING


def _fit(values: Values, is_tumor: Flags, slide: Numbers, trust: Values) -> _Classifier:
    """Choose the strength, fit, and calibrate on decisions about cells that were not fitted."""
    folds, _ = choose_folds(is_tumor, slide)
    decisions = [_decide_held_out(values, is_tumor, folds, trust, strength) for strength in STRENGTHS]
    weights = _balance(is_tumor)
    best = int(np.argmin([log_loss(is_tumor, expit(held), sample_weight=weights) for held in decisions]))
    plain = _fit_plain(values, is_tumor, trust, STRENGTHS[best])
    return replace(plain, calibration=_calibrate(decisions[best], is_tumor))


def _fit_plain(values: Values, is_tumor: Flags, trust: Values, strength: float) -> _Classifier:
    """Fit a regression; a feature that is trusted more is stretched, so that the penalty weighs less on it."""
    means = np.nan_to_num(_over_known(np.nanmean, values), nan=0.0)
    scales = np.nan_to_num(_over_known(np.nanstd, values), nan=1.0)
    scales = np.where(scales > MIN_SPREAD, scales, 1.0) / trust
    standard = (values - means) / scales
    regression = LogisticRegression(
        C=strength, class_weight="balanced", solver="newton-cholesky", max_iter=MAX_ITERATIONS
    ).fit(np.where(np.isnan(standard), 0.0, standard), is_tumor)
    coefficients = regression.coef_[0].astype(np.float64)
    return _Classifier(means, scales, coefficients, float(regression.intercept_[0]), (1.0, 0.0))


def _over_known(function: Callable[..., Values], values: Values) -> Values:
    """Apply a NaN-blind function to each column; NaN where a column holds nothing else."""
    known = ~np.isnan(values).all(axis=0)
    result = np.full(values.shape[1], np.nan)
    if known.any():
        result[known] = function(values[:, known], axis=0)
    return result


def _calibrate(decision: Values, is_tumor: Flags) -> tuple[float, float]:
    """Fit slope and intercept of a logistic curve to decisions, the kinds weighted alike.

    Targets are drawn in from 0 and 1 as in Platt 1999: (n + 1) / (n + 2) for the n cells of a kind, so that a few
    perfectly separated labels make no certainty.
    """
    counts = np.where(is_tumor, is_tumor.sum(), (~is_tumor).sum())
    target = np.where(is_tumor, (counts + 1) / (counts + 2), 1 / (counts + 2))
    weight = _balance(is_tumor)
    # Every cell once as tumor and once as other, weighted by its target: that is a regression on shares.
    twice = np.concatenate([decision, decision])[:, None]
    kinds = np.repeat([True, False], len(decision))
    weights = np.concatenate([weight * target, weight * (1 - target)])
    curve = LogisticRegression(C=np.inf, solver="newton-cholesky", max_iter=MAX_ITERATIONS).fit(
        twice, kinds, sample_weight=weights
    )
    slope = float(curve.coef_[0, 0])
    # A falling curve would turn the model upside down; over so few labels it is noise.
    return (slope, float(curve.intercept_[0])) if slope >= MIN_SLOPE else (MIN_SLOPE, 0.0)


def _balance(is_tumor: Flags) -> Values:
    """Weights under which both kinds count alike, with mean 1."""
    share = is_tumor.mean()
    weights: Values = np.where(is_tumor, 0.5 / share, 0.5 / (1 - share))
    return weights


def _decide_held_out(values: Values, is_tumor: Flags, folds: list[Numbers], trust: Values, strength: float) -> Values:
    """Return for each cell the decision of a fit without its fold; float64, (N,)."""
    said = np.empty(len(is_tumor))
    for fold in folds:
        rest = np.delete(np.arange(len(is_tumor)), fold)
        said[fold] = _fit_plain(values[rest], is_tumor[rest], trust, strength).decide(values[fold])
    return said


def _foretell(values: Values, is_tumor: Flags, folds: list[Numbers], slide: Numbers, trust: Values) -> Values:
    """Return the probability of each cell by a whole training without its fold; float64, (N,)."""
    said = np.empty(len(is_tumor))
    for fold in folds:
        rest = np.delete(np.arange(len(is_tumor)), fold)
        said[fold] = _fit(values[rest], is_tumor[rest], slide[rest], trust).probability(values[fold])
    return said


def _usable(values: Values) -> Flags:
    known = (~np.isnan(values)).mean(axis=0) >= MIN_KNOWN
    usable: Flags = known & (np.nan_to_num(_over_known(np.nanstd, values)) > MIN_SPREAD)
    return usable


def _network_auc(cells: LabelledCells) -> float | None:
    if np.isnan(cells.network).any():
        return None
    return float(roc_auc_score(cells.is_tumor, cells.network))
