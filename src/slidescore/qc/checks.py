"""Checks of a slide: what a reader of its score must know, in words, and how bad it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from slidescore.assay import Assay
from slidescore.cells.table import floats
from slidescore.scoring import Call, CallLabel, Coverage

Level = Literal["info", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Flag:
    """One finding: a name for tables, a level, and a sentence for people."""

    name: str
    level: Level
    text: str


def check_slide(
    facts: Mapping[str, Any], measures: Mapping[str, float | None], coverage: Coverage, call: Call, assay: Assay
) -> list[Flag]:
    """List everything worth knowing about a slide's score, worst first.

    Parameters
    ----------
    facts
        The `slide`, `analysis`, `stains`, `annotations` and `notes` parts of result.json.
    measures
        What `measure_slide` found.
    coverage, call
        What was scored and what came of it.
    assay
        The limits.
    """
    flags = [
        *_call_flags(call, coverage, assay),
        *_reading_flags(facts),
        *_stain_flags(facts["stains"], measures, assay),
        *_selection_flags(facts, assay),
    ]
    order = {"fail": 0, "warn": 1, "info": 2}
    return sorted(flags, key=lambda flag: order[flag.level])


def worst_level(flags: list[Flag]) -> str:
    """Return pass, warn or fail; an info flag leaves a pass a pass."""
    levels = {flag.level for flag in flags}
    return "fail" if "fail" in levels else "warn" if "warn" in levels else "pass"


def measure_slide(cells: pa.Table, tiles: pa.Table) -> dict[str, float | None]:
    """Return the QC measures of a slide that a limit or a page refers to."""
    counterstain = floats(cells, "hematoxylin_od_nucleus")
    counterstain = counterstain[~np.isnan(counterstain)]
    background = tiles.column("background_dab_od").to_numpy(zero_copy_only=False).astype(float)
    weight = tiles.column("scored_um2").to_numpy()
    known = ~np.isnan(background) & (weight > 0)
    return {
        "counterstain_od": float(np.median(counterstain)) if len(counterstain) else None,
        "background_dab_od": float(np.average(background[known], weights=weight[known])) if known.any() else None,
    }


def _call_flags(call: Call, coverage: Coverage, assay: Assay) -> list[Flag]:
    flags = []
    if call.label is CallLabel.NOT_EVALUABLE:
        flags.append(Flag("not_evaluable", "fail", f"Not evaluable: {call.reason}."))
    if coverage.failed_fraction > 0:
        flags.append(
            Flag("failed_tiles", "warn", f"{100 * coverage.failed_fraction:.2f} % of the tissue could not be read.")
        )
    if coverage.missing_fraction > 0:
        flags.append(
            Flag("missing_pixels", "warn", f"{100 * coverage.missing_fraction:.2f} % of the tissue has no pixels.")
        )
    return flags


def _reading_flags(facts: Mapping[str, Any]) -> list[Flag]:
    flags = []
    slide, analysis = facts["slide"], facts["analysis"]
    if slide["mpp_source"] == "supplied":
        flags.append(
            Flag("resolution_supplied", "info", f"The resolution of {slide['mpp']:g} um/px was supplied by the user.")
        )
    if analysis["upsampled"]:
        flags.append(
            Flag("coarse_resolution", "warn", f"The slide ({slide['mpp']:g} um/px) is coarser than the analysis.")
        )
    if notes := facts.get("notes"):
        flags += [Flag(note["name"], note["level"], note["text"]) for note in notes]
    return flags


def _stain_flags(stains: Mapping[str, Any], measures: Mapping[str, float | None], assay: Assay) -> list[Flag]:
    flags = []
    if stains["white_source"] == "255" and assay.stains.white == "glass":
        flags.append(
            Flag("white_assumed", "warn", "Too little clear glass to measure white; 255 was taken, which adds OD.")
        )
    if stains["vectors_source"] == "fallback":
        flags.append(Flag("stain_estimate_rejected", "warn", f"Fixed stain vectors: {stains['estimate']['reason']}."))
    counterstain, background = measures["counterstain_od"], measures["background_dab_od"]
    if counterstain is not None and counterstain < assay.qc.warn_counterstain_od:
        flags.append(Flag("weak_counterstain", "warn", f"Median nuclear hematoxylin is only {counterstain:.3f} OD."))
    if background is not None and background > assay.qc.warn_stroma_dab_od:
        flags.append(Flag("dab_background", "warn", f"DAB between cells is {background:.3f} OD."))
    return flags


def _selection_flags(facts: Mapping[str, Any], assay: Assay) -> list[Flag]:
    drawn = (facts.get("annotations") or {}).get("counts", {})
    if assay.tumor.rule == "all" and not (drawn.get("include") or drawn.get("tumor")):
        text = "Tumor cells were not told from others: every cell counts. Draw a region or use a tumor model."
        return [Flag("tumor_not_identified", "info", text)]
    return []
