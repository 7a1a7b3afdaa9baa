"""The blocks of an assay that decide the measurements: a change of one of them needs the slides to be scored anew."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from slidescore.assay.block import Block, Fraction, NonNegative, Positive, Text, Vector

MAX_STAIN_COSINE = 0.985
"""Stains nearer than 10 degrees cannot be told apart; the shipped ones are 33 degrees apart."""


class Reading(Block):
    """How pixels are read: resolution in um/px and what is refused."""

    mpp: Positive
    snap_fraction: Annotated[float, Field(ge=0, le=0.2)]
    decode: Literal["exact", "half"]
    min_mpp: Positive
    max_mpp: Positive
    max_axis_difference: Fraction


class Annotations(Block):
    """Which QuPath classes mean what; a trailing `*` is part of QuPath's own class names."""

    include: tuple[Text, ...]
    exclude: tuple[Text, ...]
    control: tuple[Text, ...]
    tumor: tuple[Text, ...]
    other: tuple[Text, ...]

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        seen: dict[str, str] = {}
        for role, names in self:
            for name in names:
                if name in seen:
                    raise ValueError(f"class '{name}' is both {seen[name]} and {role}")
                seen[name] = role
        return self


class Tissue(Block):
    """How tissue is told from glass, at `mpp` um/px."""

    mpp: Positive
    min_optical_density: Positive
    min_texture_od: NonNegative
    smooth_um: Positive
    close_um: NonNegative
    min_area_um2: NonNegative
    max_hole_um2: NonNegative
    pen_min_chroma_od: Positive
    pen_min_degrees: Annotated[float, Field(gt=0, lt=90)]
    pen_max_texture: NonNegative
    annotations: Annotations


class Tiles(Block):
    """How tissue is cut into tiles: core in analysis pixels, halo and seam in um."""

    core_px: Annotated[int, Field(ge=128, le=8192)]
    halo_um: Positive
    seam_um: Positive
    duplicate_um: Positive


class Estimate(Block):
    """Limits inside which a per-slide stain estimate is believed."""

    min_od: Positive
    max_turn_degrees: Positive
    max_residual_od: Positive
    min_stained_pixels: Annotated[int, Field(ge=100)]


class Stains(Block):
    """White reference and stain vectors (unit optical-density vectors in R, G, B order)."""

    white: Literal["glass", "255"]
    min_glass_pixels: Annotated[int, Field(ge=1)]
    min_glass_intensity: Annotated[float, Field(ge=0, le=255)]
    vectors: Literal["fixed", "estimated"]
    hematoxylin: Vector
    dab: Vector
    hematoxylin_positive_od: Positive
    estimate: Estimate
    source: Text

    @model_validator(mode="after")
    def _separable(self) -> Self:
        length = math.dist((0, 0, 0), self.hematoxylin) * math.dist((0, 0, 0), self.dab)
        product = sum(h * d for h, d in zip(self.hematoxylin, self.dab, strict=True))
        if length == 0 or product / length > MAX_STAIN_COSINE:
            raise ValueError("hematoxylin and dab must be two different colours, neither of them all 0")
        return self


class Channel(Block):
    """Hematoxylin plus a share of DAB, and what a nucleus must look like in it.

    `min_open` is the share of a nucleus's surroundings that is paler, `min_solidity` its area over that of its hull,
    `max_elongation` its long over its short axis.
    """

    dab_weight: Annotated[float, Field(ge=-1, le=1)]
    max_dab_contrast_od: NonNegative
    min_open: Fraction
    min_solidity: Fraction
    max_elongation: Annotated[float, Field(ge=1)]


class Classical(Block):
    """Parameters of the classical segmenter; lengths in um, contrasts in optical density."""

    dab_leak: NonNegative
    leak_from_dab_od: Positive
    smooth_um: Positive
    seed_scales_um: Annotated[tuple[Positive, ...], Field(min_length=1)]
    min_seed_od: Positive
    min_seed_distance_um: Positive
    min_contrast_od: Positive
    min_hematoxylin_od: float
    min_hematoxylin_contrast_od: float
    noise_od: Positive
    min_strength: NonNegative
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    max_overlap: Fraction
    edge_fraction: Fraction
    max_radius_um: Positive
    min_area_um2: Positive
    max_area_um2: Positive


class Network(Block):
    """The trained network: the name of a shipped model, or a folder that holds weights.safetensors and card.yaml."""

    model: Text


class Cells(Block):
    """How cells are found and cut into compartments."""

    segmenter: Literal["network", "classical"]
    network: Network
    classical: Classical
    expansion_um: Positive
    guard_um: NonNegative
    min_fall_od: Positive
    keep_fraction: Fraction
    membrane_um: Positive
    min_compartment_px: Annotated[int, Field(ge=1)]
    membrane_percentile: Annotated[float, Field(ge=0, le=100)]


class Artifacts(Block):
    """What a square of tissue must look like to be scored; `max_` fractions of 1 exclude nothing.

    Densities in OD, angles in degrees off the arc of mixtures of the two stains.
    """

    square_um: Annotated[float, Field(ge=16, le=512)]
    min_tissue_fraction: Fraction
    min_sharpness: Fraction
    min_contrast_grey: Annotated[float, Field(gt=0, le=255)]
    fold_min_hematoxylin_od: Positive
    fold_max_sharpness: Fraction
    black_od: Positive
    max_black_fraction: Fraction
    ink_od: Positive
    ink_degrees: Annotated[float, Field(gt=0, lt=90)]
    max_ink_fraction: Fraction
    ink_min_hematoxylin_od: Positive
    pigment_od: Positive
    pigment_degrees: Annotated[float, Field(gt=0, lt=90)]
    max_pigment_fraction: Fraction
    grey_degrees: Annotated[float, Field(gt=0, lt=90)]
    grey_max_texture: Fraction
    max_grey_fraction: Fraction
