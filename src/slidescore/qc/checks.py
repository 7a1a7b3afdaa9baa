"""Checks of a slide: what a reader of its score must know, in words, and how bad it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.cells.table import floats
from slidescore.qc.artifacts import REASONS
from slidescore.qc.squares import MEASURES
from slidescore.scoring import Call, Coverage, Scores

Level = Literal["info", "warn", "fail"]


FAILURES = frozenset({"not_evaluable", "levels_differ"})
"""Names of the findings that speak against a score altogether."""
REMARKS = frozenset({"resolution_supplied", "decoded_exactly", "artifacts", "tumor_not_identified"})
"""Names of the findings that only say how it was made; all others are warnings."""


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
        What `measure_slide` found, and `pixel_divergence_h` where `pixel_divergence` has one.
    coverage, call
        What was scored and what came of it.
    assay
        The limits.
    """
    flags = [
        *_call_flags(call, coverage, assay),
        *_reading_flags(facts, assay),
        *_integrity_flags(facts.get("integrity") or {}, assay),
        *_stain_flags(facts["stains"], measures, assay),
        *_quality_flags(measures, assay),
        *_pixel_flags(measures, assay),
        *_selection_flags(facts, assay),
    ]
    return sort_flags(flags)


def sort_flags(flags: Sequence[Flag]) -> list[Flag]:
    """Put the worst first, and leave the order as it is otherwise."""
    order = {"fail": 0, "warn": 1, "info": 2}
    return sorted(flags, key=lambda flag: order[flag.level])


def usual_level(name: str) -> Level:
    """Return the level of a finding by its name, for tables that hold names only."""
    return "fail" if name in FAILURES else "info" if name in REMARKS else "warn"


def worst_level(flags: list[Flag]) -> str:
    """Return pass, warn or fail; an info flag leaves a pass a pass."""
    levels = {flag.level for flag in flags}
    return "fail" if "fail" in levels else "warn" if "warn" in levels else "pass"


def measure_slide(
    cells: pa.Table, tiles: pa.Table, colours: Mapping[str, float | int | None], assay: Assay
) -> dict[str, float | None]:
    """Return the QC measures of a slide that a limit or a page refers to; None where nothing could be measured.

    Parameters
    ----------
    cells, tiles
        The tables of the slide.
    colours
        The part `colours` of result.json.
    assay
        What counts as soft.
    """
    counterstain = floats(cells, "hematoxylin_od_nucleus")
    counterstain = counterstain[~np.isnan(counterstain)]
    measures: dict[str, float | None] = {
        "counterstain_od": float(np.median(counterstain)) if len(counterstain) else None,
        "background_dab_od": _mean(tiles.column("background_dab_od"), tiles.column("scored_um2")),
        "glass_dab_od": colours["glass_dab_od"],
        "glass_tint_od": colours["glass_tint_od"],
    }
    reasons, weight = _flat(tiles, "square_excluded"), _numbers(tiles, "square_tissue_um2")
    total = weight.sum()
    for name in MEASURES:
        measures[name] = _mean(_flat(tiles, f"square_{name}"), _flat(tiles, "square_tissue_um2"))
    out = ~pc.is_null(reasons).to_numpy(zero_copy_only=False)
    soft = _numbers(tiles, "square_sharpness") < assay.qc.warn_sharpness
    measures["soft_fraction"] = float(weight[soft & ~out].sum() / total) if total else None
    measures["artifact_fraction"] = float(weight[out].sum() / total) if total else None
    return measures


def pixel_divergence(scores: Scores) -> float | None:
    """Return the pixel H-score less the H-score of all cells, on the 0 to 300 scale; None without either.

    Cells of every kind are compared, for pixels are not told tumor from stroma.
    """
    pixel = scores.value("pixel_h_score")
    return None if pixel is None or scores.h_all_cells is None else pixel - scores.h_all_cells


def artifact_areas(tiles: pa.Table) -> dict[str, dict[str, float]]:
    """Return how many squares were excluded, and how much tissue to be scored they hold, by reason."""
    reasons, weight = _flat(tiles, "square_excluded").to_pylist(), _numbers(tiles, "square_tissue_um2")
    # Squares of control tissue are listed with no tissue to be scored.
    names = np.array([reason or "" for reason in reasons], dtype=object)
    names[weight == 0] = ""
    # A square that several tiles share counts once.
    number = _numbers(tiles, "square")
    return {
        reason: {
            "squares": len(np.unique(number[names == reason])),
            "tissue_um2": float(weight[names == reason].sum()),
        }
        for reason in REASONS
        if reason and (names == reason).any()
    }


def check_controls(rows: Sequence[Mapping[str, Any]], assay: Assay) -> list[Flag]:
    """Flag on-slide control tissue that did not react, where the assay says what is expected.

    Parameters
    ----------
    rows
        Rows of regions.csv about control tissue.
    assay
        The limit.
    """
    least = assay.qc.control_min_h
    weak = [row for row in rows if least is not None and row["h_score"] is not None and row["h_score"] < least]
    return [
        Flag(
            "control_missing",
            "warn",
            f"Control tissue '{row['region']}' has an H-score of {row['h_score']:.0f}, at least {least:g} expected.",
        )
        for row in weak
    ]


def _flat(tiles: pa.Table, name: str) -> pa.Array:
    """Return the entries of a list column, tile after tile."""
    return pc.list_flatten(tiles.column(name).combine_chunks())


def _numbers(tiles: pa.Table, name: str) -> NDArray[np.float64]:
    """Return the entries of a list column of numbers; float64, NaN for null."""
    values: NDArray[np.float64] = _flat(tiles, name).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _mean(values: pa.Array | pa.ChunkedArray, weight: pa.Array | pa.ChunkedArray) -> float | None:
    """Return the weighted mean of the known values."""
    numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
    weights = weight.to_numpy(zero_copy_only=False).astype(np.float64)
    known = ~np.isnan(numbers) & (weights > 0)
    return float(np.average(numbers[known], weights=weights[known])) if known.any() else None


def _call_flags(call: Call, coverage: Coverage, assay: Assay) -> list[Flag]:
    flags = []
    # Not its label: without a cut-off nothing is called.
    if call.reason:
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


def _reading_flags(facts: Mapping[str, Any], assay: Assay) -> list[Flag]:
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
    if assay.reading.decode == "half" and analysis.get("decode") == "exact":
        text = "The assay decodes at half the resolution, which this slide does not allow: it was decoded exactly."
        flags.append(Flag("decoded_exactly", "info", text))
    if notes := facts.get("notes"):
        flags += [Flag(note["name"], note["level"], note["text"]) for note in notes]
    return flags


def _integrity_flags(integrity: Mapping[str, Any], assay: Assay) -> list[Flag]:
    """Say what speaks against a slide's pixels: see `slidescore.pipeline.integrity`."""
    flags, levels = [], integrity.get("levels") or {}
    if n_tiles := levels.get("n_tiles_differ"):
        what = f"{n_tiles} tile{'s show' if n_tiles > 1 else ' shows'} other things on level {levels['scored']}"
        text = f"{what} than on level {levels['against']}, and {'were' if n_tiles > 1 else 'was'} left out."
        flags.append(Flag("levels_differ", "fail", text))
    elif n_glass := levels.get("n_glass_differ"):
        what = f"{n_glass} place{'s' if n_glass > 1 else ''} without tissue look{'' if n_glass > 1 else 's'} otherwise"
        text = f"{what} on level {levels['scored']} than from afar: tissue may be missed there."
        flags.append(Flag("levels_differ", "fail", text))
    if remarks := integrity.get("remarks"):
        flags.append(Flag("file_inconsistent", "warn", f"The file contradicts itself: {'; '.join(remarks)}."))
    share = integrity.get("gap_border_fraction") or 0.0
    if share > assay.qc.max_missing_fraction:
        text = f"{100 * share:.0f} % of the tissue's outline borders on places of which the file holds no pixels."
        flags.append(Flag("cut_off_by_gap", "warn", text))
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


def _quality_flags(measures: Mapping[str, float | None], assay: Assay) -> list[Flag]:
    """Flag what a limit of the assay says; what is unknown is no finding."""
    qc, known = assay.qc, {name: value for name, value in measures.items() if value is not None}
    flags = []
    out = known.get("artifact_fraction", 0.0)
    if out > qc.warn_artifact_fraction:
        flags.append(Flag("many_artifacts", "warn", f"{100 * out:.1f} % of the tissue lies in excluded squares."))
    elif out > 0:
        flags.append(Flag("artifacts", "info", f"{100 * out:.2f} % of the tissue lies in excluded squares."))
    if (soft := known.get("soft_fraction", 0.0)) > qc.warn_soft_fraction:
        flags.append(Flag("soft_focus", "warn", f"{100 * soft:.0f} % of the tissue that was scored is soft."))
    if (clipped := known.get("clipped_fraction", 0.0)) > qc.warn_clipped_fraction:
        flags.append(Flag("clipped_stain", "warn", f"{100 * clipped:.1f} % of the tissue is black in some channel."))
    if (pigment := known.get("pigment_fraction", 0.0)) > qc.warn_pigment_fraction:
        flags.append(Flag("pigment", "warn", f"{100 * pigment:.1f} % of the tissue is yellower than DAB."))
    if (tint := known.get("glass_tint_od", 0.0)) > qc.warn_glass_tint_od:
        flags.append(Flag("tinted_glass", "warn", f"The channels of clear glass differ by {tint:.3f} OD."))
    if (brown := known.get("glass_dab_od", 0.0)) > qc.warn_glass_dab_od:
        flags.append(Flag("dab_on_glass", "warn", f"Glass around the tissue holds {brown:.3f} OD of DAB."))
    return flags


def _pixel_flags(measures: Mapping[str, float | None], assay: Assay) -> list[Flag]:
    apart = measures.get("pixel_divergence_h")
    if apart is None or abs(apart) <= assay.qc.warn_pixel_divergence_h:
        return []
    text = f"The pixel H-score is {abs(apart):.0f} {'above' if apart > 0 else 'below'} the H-score of all cells."
    return [Flag("pixel_score_diverges", "warn", text)]


def _selection_flags(facts: Mapping[str, Any], assay: Assay) -> list[Flag]:
    drawn = (facts.get("annotations") or {}).get("counts", {})
    if assay.tumor.rule == "all" and not (drawn.get("include") or drawn.get("tumor")):
        text = "Tumor cells were not told from others: every cell counts. Draw a region or use a tumor model."
        return [Flag("tumor_not_identified", "info", text)]
    return []
