"""Whether a slide is stained with DAB and hematoxylin at all: what its tissue's colours come to, and the verdict.

A slide of another stain gives a plausible H-score: an H&E reads as negative, fluorescence as positive. The measures are
kept with the result, so that `rescore` can judge them by other limits without a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slidescore.assay.model import StainCheck
from slidescore.qc.stain_counts import ColourCounts, angle_quantile, length_quantile
from slidescore.stain import HueFrame

Measures = Mapping[str, float | int | None]

DENSE_SHARE = 0.98
"""Quantile of density that stands for the nuclei of a slide; they cover far more than a fiftieth of tissue."""
LOW_SHARE, HIGH_SHARE = 0.05, 0.95
"""Between these quantiles of the angles lies the spread of a slide's colours."""
MIN_STAINED = 200
"""With fewer stained blocks (0.0008 mm2) no hue is told."""
EOSIN_ALONG_DEGREES = 27.0
"""Red hues up to here are eosin (published vectors lie at 6 to 22), beyond it red chromogens (AEC: 31 to 40)."""
PREFIX = "stain is not DAB with hematoxylin: "


def measure_stain(counts: ColourCounts, frame: HueFrame) -> dict[str, float | int | None]:
    """Reduce the colours of a slide's tissue to the measures that the verdict rests on; None where they are unknown.

    Returns
    -------
    dict
        `tissue_blocks`, `density_od` (98th percentile), `stained_fraction` of the blocks, and of the stained ones:
        `grey_fraction`, `red_fraction`, `red_along_degrees` (median), `other_fraction` (off the arc, not red),
        `across_low`, `across_high`, `along_low`, `along_high` (5th and 95th percentile, degrees), `chromogen_fraction`
        and `chromogen_across_degrees`, the hue of pure chromogen.
    """
    blocks, stained = int(counts.length.sum()), int(counts.singles[0])
    measures: dict[str, float | int | None] = {
        "tissue_blocks": blocks,
        "density_od": length_quantile(counts.length, DENSE_SHARE),
        "stained_fraction": stained / blocks if blocks else None,
    }
    told = stained >= MIN_STAINED
    _, grey, chromogen, other = (int(n) for n in counts.singles)
    red = int(counts.red_along.sum())
    for name, part in (("grey", grey), ("red", red), ("other", other), ("chromogen", chromogen)):
        measures[f"{name}_fraction"] = part / stained if told else None
    measures["red_along_degrees"] = angle_quantile(counts.red_along, 0.5) if told else None
    for name, angles in (("across", counts.across), ("along", counts.along)):
        for end, share in (("low", LOW_SHARE), ("high", HIGH_SHARE)):
            measures[f"{name}_{end}_degrees"] = angle_quantile(angles, share) if told else None
    measures["chromogen_across_degrees"] = _chromogen_across(counts, frame) if told and chromogen else None
    return measures


def wrong_stain(measures: Measures, limits: StainCheck) -> str:
    """Say why a slide's stain cannot be DAB with hematoxylin; empty when it can.

    Parameters
    ----------
    measures
        Those of `measure_stain`, and of `slidescore.qc.glass.measure_light`.
    limits
        From where on a slide is refused.
    """
    dark, light = measures["dark_fraction"], measures["light_fraction"]
    if dark is not None and light is not None and dark > limits.max_dark_fraction and light < dark:
        return PREFIX + "dark field, looks like fluorescence"
    if not measures["tissue_blocks"]:
        return ""
    density = measures["density_od"]
    if density is not None and density < limits.min_density_od:
        return PREFIX + "looks unstained"
    if measures["red_fraction"] is None:
        return ""
    colour = _wrong_colour({name: float(value) for name, value in measures.items() if value is not None}, limits)
    return PREFIX + colour if colour else ""


def _wrong_colour(known: Mapping[str, float], limits: StainCheck) -> str:
    if known["grey_fraction"] > limits.max_grey_fraction:
        return "a grey picture without colours"
    red_chromogen = "red chromogen, looks like AEC"
    if known["red_fraction"] > limits.max_red_fraction:
        return "looks like H&E" if known["red_along_degrees"] < EOSIN_ALONG_DEGREES else red_chromogen
    # Colours of DAB with hematoxylin vary along the arc between the two, those of H&E across it.
    across = known["across_high_degrees"] - known["across_low_degrees"]
    along = known["along_high_degrees"] - known["along_low_degrees"]
    # In pale tissue noise turns hues, and only a wide spread means something.
    pale = known["stained_fraction"] < limits.pale_stained_fraction
    wide = limits.min_pale_pink_spread_degrees if pale else limits.min_pink_spread_degrees
    if (
        known["across_low_degrees"] < -limits.min_pink_degrees
        and across > wide
        and across > limits.max_spread_ratio * along
    ):
        return "looks like H&E"
    if known["chromogen_fraction"] > limits.min_chromogen_fraction and _is_red(known, limits):
        return red_chromogen
    if known["other_fraction"] > limits.max_other_fraction:
        return "another chromogen or counterstain"
    return ""


def _is_red(known: Mapping[str, float], limits: StainCheck) -> bool:
    """Tell whether a chromogen lies too far to the red side of DAB, or less far and nearer to hematoxylin as well."""
    redness = -known["chromogen_across_degrees"]
    if redness > limits.max_chromogen_red_degrees:
        return True
    # AEC lies nearer to hematoxylin than DAB does, and so do its mixtures.
    near_hematoxylin = known["along_high_degrees"] < limits.min_doubtful_along_degrees
    return redness > limits.doubtful_chromogen_red_degrees and near_hematoxylin


def _chromogen_across(counts: ColourCounts, frame: HueFrame) -> float:
    """Return the hue of what is mixed with hematoxylin, where it is pure: angle across the arc, at the angle of DAB.

    All mixtures of two stains lie in a plane through the origin, so the plane of least squares tells the hue of the
    pure chromogen even where each block holds hematoxylin as well.
    """
    hh, dd, aa, hd, ha, da = (float(moment) for moment in counts.moments)
    _, axes = np.linalg.eigh(np.array([[hh, hd, ha], [hd, dd, da], [ha, da, aa]]))
    normal = axes[:, 0]
    angle = np.radians(frame.separation_degrees)
    in_plane = normal[0] * np.cos(angle) + normal[1] * np.sin(angle)
    return float(np.degrees(np.arctan2(-in_plane * np.sign(normal[2] or 1.0), abs(normal[2]))))
