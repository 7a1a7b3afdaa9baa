"""What is drawn once for a whole field of glands: its layout, its kind of epithelium, how stroma looks.

All ranges are tuned by eye.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from slidescore.training.procedural_nuclei import Chromatin
from slidescore.training.ranges import Span

LAYOUT_CHANCE = {
    "tubules": 0.44,
    "branching": 0.20,
    "cribriform": 0.08,
    "sheet": 0.08,
    "nests": 0.07,
    "trabeculae": 0.06,
    "stroma": 0.07,
}
"""How often each layout is drawn; columnar glands most, because no labelled set holds them."""
BANDED_LAYOUTS = ("tubules", "branching")
"""A band of epithelium around a lumen."""
POLAR_LAYOUTS = (*BANDED_LAYOUTS, "cribriform", "trabeculae")
"""Cells stand across the border of the gland; elsewhere they lie in any direction."""
SOLID_LAYOUTS = ("sheet", "nests")
"""No lumen, no polarity."""


@dataclass(frozen=True, slots=True)
class NucleusShape:
    """Range of mean sizes of a field's epithelial nuclei."""

    minor_um: Span
    """Full minor axis."""
    aspect: Span
    """Major over minor axis."""


@dataclass(frozen=True, slots=True)
class GlandRanges:
    """Ranges of all that is drawn once for a field; ODs are decadic, of unit stain vectors."""

    atypia: tuple[float, ...] = (0.0, 0.35, 1.0)
    """Levels of atypia; it makes nuclei uneven in size, direction and chromatin, at 1 also large and round."""
    atypia_chance: tuple[float, ...] = (0.5, 0.25, 0.25)
    """How often each level is drawn."""
    columnar: NucleusShape = NucleusShape((3.8, 6.6), (1.5, 3.6))
    """Nuclei of columnar cells cut lengthwise."""
    plump: NucleusShape = NucleusShape((5.5, 8.5), (1.1, 1.6))
    """Nuclei of atypical or solid epithelium."""
    rounded: NucleusShape = NucleusShape((5.0, 6.8), (1.1, 1.5))
    """Nuclei of low columnar cells or of cells cut across."""
    round_chance: float = 0.25
    """Share of the other fields with such nuclei."""
    max_major_um: float = 17.5
    """Largest mean major axis."""
    layers: tuple[float, ...] = (1.0, 1.6, 2.4, 3.4)
    """Rows of nuclei in a band; above 1 is pseudostratified."""
    layers_chance: tuple[float, ...] = (0.2, 0.22, 0.3, 0.28)
    """How often each number of rows is drawn."""
    chromatin_chance: tuple[float, ...] = (0.45, 0.33, 0.22)
    """How often a field is granular, vesicular, hyperchromatic."""
    granular_od: Span = (0.3, 0.8)
    """Mean hematoxylin OD of the epithelial nuclei of a granular field."""
    vesicular_od: Span = (0.18, 0.5)
    """The same of a vesicular field."""
    hyperchromatic_od: Span = (0.55, 1.05)
    """The same of a hyperchromatic field."""
    band_per_major: float = 0.75
    """Height of the epithelium, in major axes: room of one row."""
    band_per_layer: float = 0.45
    """The same, added for each row."""
    cytoplasm_um: Span = (3.0, 16.0)
    """Height of the cytoplasm above the nuclei."""
    band_um: Span = (13.0, 46.0)
    """Limits of the height of the epithelium."""
    size_spread: Span = (0.07, 0.14)
    """Standard deviation of the logarithm of the size of nuclei."""
    size_spread_atypical: float = 0.1
    """Added to it for atypia 1."""
    angle_spread: Span = (0.08, 0.25)
    """Standard deviation of the direction of nuclei, radians."""
    angle_spread_atypical: float = 0.4
    """Added to it for atypia 1."""
    closeness: Span = (0.58, 0.88)
    """Least distance of epithelial nuclei, in the sum of their radii; below 1 they overlap."""
    cribriform_closeness: Span = (0.85, 1.15)
    """The same in cribriform glands."""
    solid_closeness: Span = (0.85, 1.3)
    """The same in sheets and nests."""
    od_spread: Span = (0.1, 0.28)
    """Standard deviation of the logarithm of the mean OD of epithelial nuclei."""
    few_goblets: Span = (0.1, 0.4)
    """Share of the apical epithelium taken by vacuoles, relative to what fits."""
    many_goblets: Span = (0.4, 1.0)
    """The same in goblet-rich fields."""
    goblet_chance: tuple[float, ...] = (0.6, 0.2, 0.2)
    """How often a field has none, few, many."""
    sparse_stroma: Span = (0.05, 0.25)
    """Stromal nuclei, relative to full stroma."""
    dense_stroma: Span = (0.25, 0.7)
    """The same in cellular stroma, which is as frequent."""
    few_lymphocytes: Span = (0.0, 0.05)
    """Lymphocytes in stroma, relative to a dense infiltrate."""
    some_lymphocytes: Span = (0.1, 0.4)
    """The same in an inflamed field."""
    lymphocyte_chance: tuple[float, ...] = (0.5, 0.35, 0.15)
    """How often a field has few, some, or is a dense infiltrate."""
    blurred: tuple[float, ...] = (0.03, 0.12, 0.3)
    """Share of nuclei out of focus."""
    blurred_chance: tuple[float, ...] = (0.4, 0.4, 0.2)
    """How often each share is drawn."""
    cytoplasm_eosin_od: Span = (0.05, 0.35)
    """Eosin OD of epithelial cytoplasm."""
    cytoplasm_hematoxylin_od: Span = (0.0, 0.12)
    """Hematoxylin OD of epithelial cytoplasm."""
    stroma_eosin_od: Span = (0.08, 0.4)
    """Eosin OD of fibres."""


RANGES = GlandRanges()
"""Ranges of training and of the held-back glands."""


@dataclass(frozen=True, slots=True)
class GlandStyle:
    """What is drawn once for a field.

    Attributes
    ----------
    layout
        A key of LAYOUT_CHANCE.
    band_um, layers
        Mean height of the epithelium; rows of nuclei in it.
    major_um, minor_um
        Mean full axes of epithelial nuclei.
    size_spread, angle_spread, od_spread
        Standard deviations of log size, direction (radians) and log OD of epithelial nuclei.
    closeness
        Least distance of epithelial nuclei in the sum of their radii.
    chromatin, epithelial_od
        Of most epithelial nuclei.
    goblet
        Share of the apical epithelium taken by vacuoles, relative to what fits.
    atypical
        0 to 1.
    stroma_density, lymphocyte_density
        Relative to full stroma and to a dense infiltrate.
    blurred
        Share of nuclei out of focus.
    cytoplasm_eosin_od, cytoplasm_hematoxylin_od, stroma_eosin_od
        Mean optical densities.
    """

    layout: str
    band_um: float
    layers: float
    major_um: float
    minor_um: float
    size_spread: float
    angle_spread: float
    closeness: float
    chromatin: Chromatin
    epithelial_od: float
    od_spread: float
    goblet: float
    atypical: float
    stroma_density: float
    lymphocyte_density: float
    blurred: float
    cytoplasm_eosin_od: float
    cytoplasm_hematoxylin_od: float
    stroma_eosin_od: float


def draw_style(rng: np.random.Generator, ranges: GlandRanges = RANGES) -> GlandStyle:
    """Draw the style of one field.

    Parameters
    ----------
    rng
        Source of all randomness.
    ranges
        What may be drawn.

    Returns
    -------
    GlandStyle
        Of one field.
    """
    layout = str(rng.choice(list(LAYOUT_CHANCE), p=list(LAYOUT_CHANCE.values())))
    atypical = float(rng.choice(ranges.atypia, p=ranges.atypia_chance))
    minor, aspect = _draw_shape(ranges.columnar, rng)
    if atypical == 1.0 or layout in SOLID_LAYOUTS:
        minor, aspect = _draw_shape(ranges.plump, rng)
    elif rng.random() < ranges.round_chance:
        minor, aspect = _draw_shape(ranges.rounded, rng)
    major = min(minor * aspect, ranges.max_major_um)
    layers = float(rng.choice(ranges.layers, p=ranges.layers_chance))
    chromatin = Chromatin(int(rng.choice(len(ranges.chromatin_chance), p=ranges.chromatin_chance)))
    od = {
        Chromatin.GRANULAR: ranges.granular_od,
        Chromatin.VESICULAR: ranges.vesicular_od,
        Chromatin.HYPERCHROMATIC: ranges.hyperchromatic_od,
    }[chromatin]
    rows_um = major * (ranges.band_per_major + ranges.band_per_layer * layers)
    style = GlandStyle(
        layout=layout,
        band_um=float(np.clip(rows_um + rng.uniform(*ranges.cytoplasm_um), *ranges.band_um)),
        layers=layers,
        major_um=major,
        minor_um=minor,
        size_spread=rng.uniform(*ranges.size_spread) + ranges.size_spread_atypical * atypical,
        angle_spread=rng.uniform(*ranges.angle_spread) + ranges.angle_spread_atypical * atypical,
        closeness=rng.uniform(*ranges.closeness),
        chromatin=chromatin,
        epithelial_od=rng.uniform(*od),
        od_spread=rng.uniform(*ranges.od_spread),
        goblet=float(
            rng.choice(
                [0.0, rng.uniform(*ranges.few_goblets), rng.uniform(*ranges.many_goblets)], p=ranges.goblet_chance
            )
        ),
        atypical=atypical,
        stroma_density=float(rng.choice([rng.uniform(*ranges.sparse_stroma), rng.uniform(*ranges.dense_stroma)])),
        lymphocyte_density=float(
            rng.choice(
                [rng.uniform(*ranges.few_lymphocytes), rng.uniform(*ranges.some_lymphocytes), 1.0],
                p=ranges.lymphocyte_chance,
            )
        ),
        blurred=float(rng.choice(ranges.blurred, p=ranges.blurred_chance)),
        cytoplasm_eosin_od=rng.uniform(*ranges.cytoplasm_eosin_od),
        cytoplasm_hematoxylin_od=rng.uniform(*ranges.cytoplasm_hematoxylin_od),
        stroma_eosin_od=rng.uniform(*ranges.stroma_eosin_od),
    )
    if layout == "cribriform":
        return replace(style, closeness=rng.uniform(*ranges.cribriform_closeness))
    if layout in SOLID_LAYOUTS:
        return replace(style, closeness=rng.uniform(*ranges.solid_closeness), goblet=0.0)
    return style


def _draw_shape(shape: NucleusShape, rng: np.random.Generator) -> tuple[float, float]:
    """Draw the mean minor axis, um, and the mean aspect."""
    minor = rng.uniform(*shape.minor_um)
    return minor, rng.uniform(*shape.aspect)
