"""The parts of an assay as frozen, strict models.

Everything that can change a number is a field here and a line in `configs/*.yaml`; nothing has a default. What changes
only the time a run takes (workers, device) is an option of the command line instead. Blocks left of the wall
(`reading, tissue, tiles, stains, cells, artifacts`, in `left_of_wall.py`) decide the measurements; the rest, here,
decides what is made of them.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from slidescore.assay.block import Block, Fraction, NonNegative, Positive, Text
from slidescore.assay.left_of_wall import Artifacts, Cells, Reading, Stains, Tiles, Tissue
from slidescore.assay.tumor_model import TumorModel

Compartment = Literal["nucleus", "cytoplasm", "membrane", "cell"]
Scale = Literal["h_score", "percent_positive", "irs", "allred", "pixel_h_score"]
Operator = Literal[">=", ">"]

SCALE_RANGE: dict[str, tuple[float, float]] = {
    "h_score": (0.0, 300.0),
    "percent_positive": (0.0, 100.0),
    "irs": (0.0, 12.0),
    "allred": (0.0, 8.0),
    "pixel_h_score": (0.0, 300.0),
}
"""Attainable range of each score scale."""


class SensitivityOfTumor(Block):
    """What else the H-score is computed for, to show how much it hangs on the tumor rule.

    `probabilities` are other limits of tumor_probability; `lymphocyte_fractions` are shares of the counted cells that
    lymphocytes would have, had they been taken for tumor cells.
    """

    probabilities: tuple[Fraction, ...]
    lymphocyte_fractions: tuple[Annotated[float, Field(gt=0, lt=1)], ...]


class Tumor(Block):
    """Which cells are tumor cells; `strict_probability` gives the second opinion h_strict, whatever the rule.

    `model` holds the numbers of a study's tumor model, which then gives the probability instead of the network.
    """

    rule: Literal["all", "probability"]
    min_probability: Fraction
    strict_probability: Fraction
    sensitivity: SensitivityOfTumor
    model: TumorModel | None

    @model_validator(mode="after")
    def _model_is_asked(self) -> Self:
        if self.model is not None and self.rule != "probability":
            raise ValueError(f"model gives a probability, but rule is '{self.rule}'; take rule probability")
        return self

    @model_validator(mode="after")
    def _strict_is_stricter(self) -> Self:
        if self.strict_probability < self.min_probability:
            raise ValueError(
                f"strict_probability {self.strict_probability:g} is below min_probability {self.min_probability:g}"
            )
        return self


class Thresholds(Block):
    """DAB optical densities at which 1+, 2+ and 3+ begin; a value on a threshold belongs to the upper bin."""

    thresholds: tuple[Positive, Positive, Positive]
    source: Text

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        low, middle, high = self.thresholds
        if not low < middle < high:
            raise ValueError(f"thresholds must rise strictly, got {low}, {middle}, {high}")
        return self


class Bins(Block):
    """Thresholds of each compartment."""

    nucleus: Thresholds
    cytoplasm: Thresholds
    membrane: Thresholds
    cell: Thresholds

    def of(self, compartment: Compartment) -> tuple[float, float, float]:
        """Return the three thresholds (DAB OD) of one compartment."""
        thresholds: Thresholds = getattr(self, compartment)
        return thresholds.thresholds


class Score(Block):
    """The score that the call is made on.

    `irs_intensity` says which single intensity the immunoreactive score multiplies by: that of the commonest positive
    bin, or that which the mean of the positive cells comes to.
    """

    scheme: Scale
    compartment: Compartment
    irs_intensity: Literal["modal", "mean_of_positives"]


class Interval(Block):
    """How the interval of a score is made: squares of a fixed grid are drawn again, `replicates` times."""

    square_um: Annotated[float, Field(ge=64, le=4096)]
    min_squares: Annotated[int, Field(ge=5)]
    replicates: Annotated[int, Field(ge=200, le=100_000)]


class Cutoff(Block):
    """A cut-off is only meaningful on its own scale and compartment; `meaning` is what high stood for in its source."""

    scale: Scale
    compartment: Compartment
    operator: Operator
    value: NonNegative
    status: Literal["validated", "provisional", "unverified"]
    meaning: Text | None
    source: Text

    @property
    def text(self) -> str:
        """The rule in words, for example `h_score cytoplasm >= 150`."""
        return f"{self.scale} {self.compartment} {self.operator} {self.value:g}"

    @model_validator(mode="after")
    def _on_scale(self) -> Self:
        low, high = SCALE_RANGE[self.scale]
        if not low <= self.value <= high:
            raise ValueError(f"value {self.value:g} is outside the {self.scale} scale ({low:g} to {high:g})")
        return self


class CallBlock(Block):
    """How a score becomes HIGH, LOW or EQUIVOCAL; without a cut-off nothing is called.

    A score within `equivocal_margin` of the cut-off is equivocal whatever its interval; 0 asks for none.
    """

    cutoff: Cutoff | None
    equivocal_margin: NonNegative

    @property
    def cutoff_text(self) -> str | None:
        """The rule in words; None without one."""
        return None if self.cutoff is None else self.cutoff.text


class Patients(Block):
    """How the slides of a patient become one score."""

    rule: Literal["most_recent_metastatic", "pooled_cells", "mean", "max"]


class StainCheck(Block):
    """What a slide's colours may be like before its stain is taken for another one; angles across the arc of stains."""

    max_dark_fraction: Fraction
    min_density_od: NonNegative
    max_grey_fraction: Fraction
    max_red_fraction: Fraction
    min_pink_degrees: NonNegative
    min_pink_spread_degrees: NonNegative
    min_pale_pink_spread_degrees: NonNegative
    pale_stained_fraction: Fraction
    max_spread_ratio: NonNegative
    min_chromogen_fraction: Fraction
    max_chromogen_red_degrees: NonNegative
    doubtful_chromogen_red_degrees: NonNegative
    min_doubtful_along_degrees: NonNegative
    max_other_fraction: Fraction


class Qc(Block):
    """Limits on a slide: beyond `max_` or below `min_` it has no score; `warn_` only flags it."""

    min_tumor_cells: Annotated[int, Field(ge=1)]
    min_tissue_mm2: NonNegative
    max_excluded_fraction: Fraction
    max_failed_fraction: Fraction
    max_missing_fraction: Fraction
    warn_counterstain_od: NonNegative
    warn_stroma_dab_od: NonNegative
    warn_glass_dab_od: NonNegative
    warn_glass_tint_od: NonNegative
    warn_sharpness: Fraction
    warn_soft_fraction: Fraction
    warn_clipped_fraction: Fraction
    warn_pigment_fraction: Fraction
    warn_artifact_fraction: Fraction
    warn_pixel_divergence_h: NonNegative
    control_min_h: Annotated[float, Field(ge=0, le=300)] | None
    stain: StainCheck


LEFT_OF_WALL = ("reading", "tissue", "tiles", "stains", "cells", "artifacts")
"""Blocks that decide measurements; a change in them needs a new `score`, never only a `rescore`."""


class Assay(Block):
    """One assay: a marker, how it is measured, and what is made of the measurements."""

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: Text
    marker: Text
    notes: Text
    reading: Reading
    tissue: Tissue
    tiles: Tiles
    stains: Stains
    cells: Cells
    artifacts: Artifacts
    tumor: Tumor
    bins: Bins
    score: Score
    interval: Interval
    call: CallBlock
    patients: Patients
    qc: Qc

    @model_validator(mode="after")
    def _rule_has_probabilities(self) -> Self:
        if self.tumor.rule == "probability" and self.cells.segmenter == "classical" and self.tumor.model is None:
            raise ValueError(
                "tumor.rule is 'probability' but cells.segmenter is 'classical', which tells no types apart;"
                " take segmenter network, a tumor.model, or rule all"
            )
        return self

    @model_validator(mode="after")
    def _cutoff_fits_score(self) -> Self:
        cutoff = self.call.cutoff
        if cutoff is None:
            return self
        if cutoff.scale != self.score.scheme:
            raise ValueError(f"call.cutoff.scale is '{cutoff.scale}' but score.scheme is '{self.score.scheme}'")
        if cutoff.compartment != self.score.compartment:
            raise ValueError(
                f"call.cutoff.compartment is '{cutoff.compartment}' but score.compartment is '{self.score.compartment}'"
            )
        return self
