"""What result.json says about a slide and how it was analysed; JSON values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from slidescore.pipeline.survey import Survey
from slidescore.pipeline.tile_parts import TileResult
from slidescore.qc.glass import measure_glass, measure_light
from slidescore.qc.stain_check import measure_stain
from slidescore.qc.stain_counts import add_colours
from slidescore.slide import Resolution, SlideReader
from slidescore.slide.identify import name_library, name_scanner
from slidescore.stain import HueFrame


def slide_facts(reader: SlideReader, resolution: Resolution, fingerprint: str) -> dict[str, Any]:
    """Describe the slide and what reads it; its fingerprint is the seed of all its random numbers."""
    width, height = reader.dimensions
    return {
        "width": width,
        "height": height,
        "mpp_x": resolution.mpp_x,
        "mpp_y": resolution.mpp_y,
        "mpp": resolution.mpp,
        "mpp_source": resolution.source,
        "vendor": reader.vendor,
        "reader": reader.backend,
        "reader_library": name_library(reader),
        "level_count": reader.level_count,
        "scanner": name_scanner(reader),
        "icc_profile": reader.icc_profile,
        "fingerprint": fingerprint,
    }


def stain_facts(survey: Survey) -> dict[str, Any]:
    """Describe white reference and stain vectors, and where they come from."""
    white, vectors, estimate = survey.white, survey.vectors, survey.estimate
    source = "fixed" if estimate is None else "estimated" if estimate.used else "fallback"
    return {
        "white": list(white.rgb),
        "white_source": white.source,
        "n_glass_pixels": white.n_pixels,
        "hematoxylin": list(vectors.hematoxylin),
        "dab": list(vectors.dab),
        "vectors_source": source,
        "estimate": None
        if estimate is None
        else {key: value for key, value in asdict(estimate).items() if key != "vectors"},
    }


def colour_facts(survey: Survey, results: Sequence[TileResult], frame: HueFrame) -> dict[str, float | int | None]:
    """Measure light, glass and the hues of the tissue: what the verdict on the stain rests on."""
    return {
        **measure_light(survey.rgb, survey.valid),
        **measure_glass(survey.rgb, survey.valid, survey.tissue, survey.white, survey.fixed),
        **measure_stain(add_colours(result.colours for result in results), frame),
    }


def degradations(reader: SlideReader, results: Sequence[TileResult]) -> list[str]:
    """Say what went less well than it should."""
    said = [f"read by OpenSlide instead of a faster decoder: {reader.fallback}"] if reader.fallback else []
    failed = [result for result in results if result.status == "failed"]
    reasons = sorted({result.reason for result in failed})
    return [*said, f"{len(failed)} tiles could not be read: {'; '.join(reasons)}"] if failed else said
