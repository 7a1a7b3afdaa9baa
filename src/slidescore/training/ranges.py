"""How far renderings vary: one field a range, the same object for training and for the fixed examination."""

from __future__ import annotations

from dataclasses import dataclass, replace

Span = tuple[float, float]
"""Lowest and highest value."""

PATTERNS = (
    "negative",
    "nuclear",
    "cytoplasm",
    "membrane",
    "cytoplasm_membrane",
    "sheet",
    "columnar",
    "immune",
    "mixture",
)
"""What a stain may pick out; `immune` is lymphocytes, stroma and vessels, `mixture` two of the others at once."""


@dataclass(frozen=True, slots=True)
class RenderRanges:
    """Ranges of everything a rendering draws by chance; optical densities are decadic and of unit stain vectors."""

    pattern_weights: tuple[tuple[str, float], ...] = (
        ("negative", 0.12),
        ("nuclear", 0.22),
        ("cytoplasm", 0.09),
        ("membrane", 0.12),
        ("cytoplasm_membrane", 0.12),
        ("sheet", 0.12),
        ("columnar", 0.10),
        ("immune", 0.05),
        ("mixture", 0.06),
    )
    """Pattern and how often it is drawn; any positive scale."""
    nuclear_hematoxylin_od: Span = (0.10, 0.75)
    """Mean hematoxylin OD of the nuclei of a field."""
    sheet_hematoxylin_od: Span = (0.11, 0.45)
    """The same under the sheet and columnar patterns, whose nuclei are pale."""
    hematoxylin_gamma: Span = (0.75, 1.5)
    """Exponent of hematoxylin OD relative to the nuclei; above 1 clears the cytoplasm."""
    vesicular_probability: float = 0.35
    """How often nuclei are vesicular, always a matter of the whole field."""
    pale_vesicular_probability: float = 0.7
    """The same under the sheet and columnar patterns."""
    vesicular_loss: Span = (0.15, 0.65)
    """Share of hematoxylin that the inside of a vesicular nucleus loses."""
    eosin_kept: Span = (0.0, 0.12)
    """Share of eosin OD that stays as a grey-blue background."""
    dab_level_od: Span = (0.05, 1.8)
    """DAB OD of a stained compartment, level of the field."""
    dab_level_skew: float = 1.9
    """Exponent of the uniform draw between the two; above 1 favours weak fields."""
    cell_spread: Span = (0.05, 0.55)
    """Standard deviation of the natural logarithm of the cells' levels within a field."""
    patch_spread: Span = (0.0, 0.6)
    """Standard deviation of the natural logarithm of the level of neighbourhoods."""
    patch_um: Span = (12.0, 70.0)
    """Size of neighbourhoods that stain alike."""
    all_cells_probability: float = 0.35
    """How often all eligible cells are stained, nuclear patterns."""
    whole_tumor_probability: float = 0.6
    """The same, other patterns: most markers of membrane and cytoplasm know a tissue, not a cell."""
    stained_fraction: Span = (0.03, 0.95)
    """Share of eligible cells that are stained otherwise."""
    cytoplasm_unevenness: Span = (0.0, 0.55)
    """Standard deviation of the logarithm of DAB within a cell, in lumps."""
    unevenness_um: Span = (1.5, 6.0)
    """Size of these lumps."""
    chromatin_share: Span = (0.1, 0.8)
    """How much nuclear DAB follows the chromatin that hematoxylin shows; the rest is even."""
    clustering: Span = (0.0, 0.9)
    """How much neighbourhood decides who is stained; 0 is each cell on its own."""
    bystander_fraction: Span = (0.0, 0.25)
    """Share of cells of other types that are stained too."""
    tumor_radius_um: Span = (3.0, 9.0)
    """How far cytoplasm reaches beyond the nucleus, tumor cells."""
    sheet_radius_um: Span = (5.0, 11.0)
    """The same under the sheet pattern, all cells."""
    other_radius_um: Span = (1.0, 4.0)
    """The same for lymphocytes, stroma and others."""
    columnar_reach_um: Span = (4.0, 18.0)
    """Length of the cell body on the luminal side of the nucleus."""
    border_jitter_um: Span = (0.3, 1.2)
    """How far cell borders stray from the middle between nuclei, standard deviation."""
    rounding_um: Span = (0.8, 4.0)
    """Width over which rims of cell groups are rounded and gaps closed."""
    membrane_width_um: Span = (0.5, 2.0)
    """Full width at half maximum of a cell's membrane, both sides together."""
    nuclear_haze: Span = (0.0, 0.45)
    """Share of the cytoplasm's DAB that is seen over the nucleus, out of focus."""
    granularity: Span = (0.08, 0.5)
    """Standard deviation of the logarithm of DAB texture."""
    vacuole_probability: float = 0.5
    """How often columnar and cytoplasmic patterns have vacuoles."""
    vacuole_radius_um: Span = (1.2, 5.0)
    """Radius of vacuoles."""
    hidden_hematoxylin: Span = (0.0, 0.85)
    """Share of hematoxylin that a nucleus with much DAB loses: DAB keeps it out."""
    background_dab_od: Span = (0.0, 0.15)
    """DAB everywhere on tissue."""
    clean_background_probability: float = 0.5
    """How often there is none."""
    artefact_probability: float = 0.15
    """How often each of: pigment, stromal DAB, red blood cells, edge effect."""
    vector_turn_degrees: Span = (0.0, 8.0)
    """How far each stain vector is turned from its kind's."""
    vector_turn_skew: float = 2.0
    """Exponent of the uniform draw of the turn; above 1 favours small turns."""
    white_point: Span = (220.0, 255.0)
    """Grey level of clear glass."""
    white_tint: float = 5.0
    """Largest difference of a channel from that level."""
    blur_sigma_um: Span = (0.0, 0.9)
    """Optical blur."""
    blur_skew: float = 2.0
    """Exponent of the uniform draw of blur; above 1 favours sharp pictures."""
    sharpen: Span = (0.0, 0.9)
    """Amount of unsharp masking, as many scanners do."""
    noise_levels: Span = (0.0, 4.0)
    """Sensor noise, standard deviation in grey levels."""
    gamma: Span = (0.88, 1.14)
    """Exponent of transmitted light."""
    saturation: Span = (0.75, 1.12)
    """Distance from grey."""
    brightness: Span = (0.94, 1.04)
    """Factor on the levels."""
    jpeg_quality: tuple[int, int] = (40, 98)
    """Quality of the JPEG pass."""
    no_jpeg_probability: float = 0.25
    """How often there is no JPEG pass."""


TRAINING = RenderRanges()
"""Ranges of training and of the `synthetic` examination."""

SHEET = replace(TRAINING, pattern_weights=(("sheet", 1.0),))
"""Every cell has cytoplasm and shared membranes, nuclei are pale; all else as in training."""

HEAVY = replace(
    TRAINING,
    pattern_weights=(("columnar", 0.45), ("sheet", 0.3), ("cytoplasm_membrane", 0.25)),
    dab_level_od=(1.2, 3.2),
    dab_level_skew=1.0,
    vacuole_probability=0.8,
    nuclear_haze=(0.0, 0.2),
    cell_spread=(0.2, 0.7),
    patch_spread=(0.2, 0.8),
)
"""Glands black with DAB: what is dark there is no nucleus, what is pale need not be one. Added after a first network
had taken black cytoplasm for nuclei; TRAINING, and with it the examination, stayed as they were."""

STRONG_NUCLEAR = replace(
    TRAINING,
    pattern_weights=(("nuclear", 1.0),),
    dab_level_od=(0.8, 2.6),
    dab_level_skew=1.0,
    hidden_hematoxylin=(0.2, 0.95),
)
"""Nuclei black with DAB, the counterpart of HEAVY, which alone would teach that whatever is black is no nucleus."""
