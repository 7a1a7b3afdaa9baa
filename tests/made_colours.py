"""The part `colours` of result.json, of a slide about which nothing speaks against its stain."""

from __future__ import annotations

from typing import Any

from slidescore.qc.stain_check import measure_stain
from slidescore.qc.stain_counts import no_colours
from slidescore.stain import StainVectors, hue_frame

FRAME = hue_frame(StainVectors((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), "fixed"))


def made_colours(**changes: Any) -> dict[str, Any]:
    light = {"dark_fraction": 0.0, "light_fraction": 1.0, "glass_tint_od": 0.01, "glass_dab_od": 0.0}
    return {**light, **measure_stain(no_colours(), FRAME), **changes}
