"""A study's tumor model: the numbers of a small classifier, as a value of the assay.

The numbers themselves are part of the assay (`tumor.model`), not a path to them: so the assay's digest changes with
every one of them, a run folder is whole without another file, and a worker needs nothing but its assay. The digest
inside tells a file that was edited or cut short from the one that was trained.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from slidescore.errors import AssayError

Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]

SCHEMA: Literal["slidescore-tumor-model-1"] = "slidescore-tumor-model-1"
"""Form of the file, and of the features it names; another one is refused."""
UNSIGNED = ""
"""Digest of a model that has not been signed yet; no file may hold it."""
SHA256_LENGTH = 64
"""Hex digits of a whole SHA-256."""


@dataclass(frozen=True, slots=True)
class PlattScaling:
    """From a decision value z to a probability: 1 / (1 + exp(-(slope z + intercept))), after Platt 1999."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    slope: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    intercept: Finite


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """How well labels were foretold by models that had not seen them.

    Attributes
    ----------
    scheme
        `slide`: each slide's labels by a model of the other slides; `stratified`: parts of the same slides, which
        promises too much for a new slide.
    n_folds, n_slides, n_tumor, n_other
        Parts, slides and labelled cells.
    accuracy
        Share of the labels that were right at probability 0.5.
    auc
        Area under the ROC curve, tumor against other.
    tumor_kept, other_dropped
        Shares of the tumor and of the other cells that were right at probability 0.5.
    network_auc
        The AUC of the network's own tumor_probability on the same labels; None where the segmenter gives none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    scheme: Literal["slide", "stratified"]
    n_folds: Annotated[int, Field(ge=2)]
    n_slides: Annotated[int, Field(ge=1)]
    n_tumor: Count
    n_other: Count
    accuracy: Share
    auc: Share
    tumor_kept: Share
    other_dropped: Share
    network_auc: Share | None


@dataclass(frozen=True, slots=True)
class TumorModel:
    """A logistic regression on cell features, with what it was trained on.

    Attributes
    ----------
    schema
        Form of the file.
    left_digest, segmenter_digest
        What measured the labelled cells: `left_digest` of the assay, digest of the segmenter. Cells measured otherwise
        are another population, and the model is refused for them.
    features
        Names from `slidescore.scoring.cell_features.FEATURES`.
    means, scales, coefficients
        One a feature: z = intercept + sum of coefficient (value - mean) / scale; a missing value counts as its mean.
    intercept
        Of the decision value z.
    calibration
        From z to the probability.
    classes
        What probability 0 and probability 1 mean.
    cross_validation
        Its accuracy.
    slidescore_version
        What trained it.
    digest
        SHA-256 of all the above, in hex.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    schema: Literal["slidescore-tumor-model-1"]
    left_digest: Name
    segmenter_digest: Name
    features: Annotated[tuple[Name, ...], Field(min_length=1)]
    means: tuple[Finite, ...]
    scales: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    coefficients: tuple[Finite, ...]
    intercept: Finite
    calibration: PlattScaling
    classes: tuple[Literal["Other"], Literal["Tumor"]]
    cross_validation: CrossValidation
    slidescore_version: Name
    digest: Annotated[str, Field(min_length=SHA256_LENGTH, max_length=SHA256_LENGTH)]

    def __post_init__(self) -> None:
        for name in ("means", "scales", "coefficients"):
            if len(getattr(self, name)) != len(self.features):
                raise ValueError(f"{len(self.features)} features but {len(getattr(self, name))} {name}")
        if len(set(self.features)) != len(self.features):
            raise ValueError("a feature stands twice")
        if self.digest not in (UNSIGNED, content_digest(self)):
            raise ValueError("the digest does not fit the numbers: the model was changed after training")

    @property
    def short_digest(self) -> str:
        """The first 16 hex digits of the digest, as tables carry it."""
        return self.digest[:16]


_READER = TypeAdapter(TumorModel)


def content_digest(model: TumorModel) -> str:
    """Return the SHA-256 in hex over the canonical JSON of all fields but the digest."""
    values = asdict(model)
    del values["digest"]
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()


def sign(model: TumorModel) -> TumorModel:
    """Return the model with its digest."""
    return replace(model, digest=content_digest(replace(model, digest=UNSIGNED)))


def model_values(model: TumorModel) -> dict[str, Any]:
    """Return the model as JSON values, in the order of its fields."""
    values: dict[str, Any] = orjson.loads(orjson.dumps(asdict(model)))
    return values


def model_json(model: TumorModel) -> bytes:
    """Return the content of a model file; the same model gives the same bytes."""
    return orjson.dumps(asdict(model), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def load_tumor_model(path: Path) -> TumorModel:
    """Read a model file.

    Raises
    ------
    AssayError
        If the file cannot be read, is no tumor model, or was changed after training.
    """
    try:
        return _READER.validate_json(path.read_bytes())
    except OSError as error:
        raise AssayError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        text = f"is no tumor model: {f'{key}: ' if key else ''}{message}"
        raise AssayError(text, where=path.name, remedy="make one with 'slidescore train tumor'") from None
