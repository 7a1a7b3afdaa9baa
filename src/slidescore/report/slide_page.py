"""report.html of one slide: the score, what it rests on, and what speaks against it, on one page.

The page is made from result.json, the cell table and two sets of pictures; it computes nothing that they do not hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from slidescore.assay import Assay
from slidescore.cells.table import floats
from slidescore.cells.types import CELL_TYPES, TUMOR
from slidescore.report.charts import draw_bin_bar, draw_compartments, draw_histogram, draw_small_bin_bar
from slidescore.report.gallery import GALLERY_RULE, GalleryCell
from slidescore.report.overlay_pyramid import small_jpeg
from slidescore.report.page import (
    NOTHING,
    as_number,
    data_uri,
    render_page,
    show_call,
    show_chance,
    show_cutoff,
    show_fraction,
    show_interval,
    show_number,
    show_percent,
    show_score,
)
from slidescore.report.score_tables import (
    cutoff_words,
    headline,
    pixel_words,
    rule_rows,
    scheme_rows,
    uncertainty_words,
)
from slidescore.scoring import (
    BIN_NAMES,
    COMPARTMENTS,
    cell_types,
    counted_cells,
    tumor_cells,
)

Pairs = list[tuple[str, str]]
Numbers = list[tuple[str, str, str]]

FLAG_MEANINGS: Final[dict[str, str]] = {
    "failed_tiles": "Cells there are unknown; the score stands on the rest. Check the file, then score it again.",
    "missing_pixels": "The file holds no pixels there, often because the scan or the copy was interrupted.",
    "resolution_supplied": "All lengths and areas rest on it.",
    "coarse_resolution": "Small nuclei merge and membranes blur; scores are less certain than at 0.5 um/px.",
    "white_assumed": "Optical densities are too high by what the glass absorbs, so bins may be too high.",
    "stain_estimate_rejected": "The slide's own stain colours could not be trusted.",
    "levels_differ": "The file was damaged after it was scanned. Copy it again from the scanner, then score it again.",
    "file_inconsistent": "Damage can look so. Compare the file with its original, or give a manifest of checksums.",
    "cut_off_by_gap": "There may be more tissue that was not scanned, or was lost.",
    "not_in_manifest": "Add it to the manifest if it is as the scanner wrote it.",
    "weak_counterstain": "Negative nuclei may be missed, which raises the H-score.",
    "dab_background": "Background adds to every cell; negative cells may read 1+.",
    "artifacts": "Cells there are measured and do not count. The picture shows the squares hatched.",
    "many_artifacts": "The score stands on the rest, which may not be all of the tumor. Look at the hatched squares.",
    "soft_focus": "Stain blurs over borders, which lowers the H-score. Scan the slide again if it is near the cut-off.",
    "clipped_stain": "Optical density is a lower bound there; 3+ stays 3+.",
    "pigment": "Hemosiderin and other yellow-brown pigments read as DAB. Draw an Exclude area where you see them.",
    "tinted_glass": "The scanner's white balance is off, or the slide is; it is corrected by the glass.",
    "dab_on_glass": "The reaction left a haze, which adds to every cell.",
    "control_missing": "The reaction may have failed; a negative score of this slide means little.",
    "pixel_score_diverges": "Stain may lie elsewhere than where cells are scored, or cells were cut wrongly.",
    "tumor_not_identified": "Stroma and immune cells count as well, which usually lowers the H-score.",
}
"""What a finding means for the score, by the name of its flag."""

MEASURE_NAMES: Final[dict[str, str]] = {
    "counterstain_od": "Nuclear hematoxylin, median OD",
    "background_dab_od": "DAB between cells, OD",
    "glass_dab_od": "DAB on glass, OD",
    "glass_tint_od": "Tint of clear glass, OD",
    "sharpness": "Sharpness, 0.3 and more in focus",
    "soft_fraction": "Soft tissue, share",
    "clipped_fraction": "Black in some channel, share",
    "black_fraction": "Black in all channels, share",
    "pigment_fraction": "Yellower than DAB, share",
    "ink_fraction": "Of another colour, share",
    "grey_fraction": "Grey and smooth, share",
    "hematoxylin_floor_od": "Hematoxylin where palest, OD",
    "artifact_fraction": "In excluded squares, share",
    "pixel_divergence_h": "Pixel H-score less that of all cells",
}

TYPE_NAMES: Final[tuple[str, ...]] = ("Tumor cells", "Lymphocytes", "Stromal cells", "Other cells")
"""Names of `slidescore.cells.types.CELL_TYPES` for readers."""
assert len(TYPE_NAMES) == len(CELL_TYPES)

CONTROL_ROLE: Final = "control"
"""Role of rows of regions.csv about on-slide control tissue."""
UM2_PER_MM2: Final = 1e6
_THUMBNAIL_PX: Final = 1024
_OTHER_SCORES: Final[tuple[tuple[str, str, str], ...]] = (
    ("h_all_cells", "H-score of all cells", "tumor or not"),
    ("h_without_exclusions", "H-score with excluded cells", "as if nothing had been excluded but by annotation"),
)


def render_slide_page(
    result: Mapping[str, Any],
    cells: pa.Table,
    tiles: pa.Table | None,
    assay: Assay,
    thumbnail_png: bytes | None,
    gallery: Sequence[GalleryCell] = (),
) -> str:
    """Render the page of one slide.

    Parameters
    ----------
    result
        Content of result.json.
    cells, tiles
        The slide's tables; without `tiles` the page leaves out why tiles were not scored.
    assay
        What the slide was scored under.
    thumbnail_png
        thumbnail.png, or None when the slide could not be read.
    gallery
        Example cells, see `slidescore.report.gallery.read_gallery`.

    Returns
    -------
    str
        A whole HTML page that needs no other file.
    """
    scores = result["scores"]
    compartment, cutoff = assay.score.compartment, assay.call.cutoff
    counts = [int(scores[f"n{k}"] or 0) for k in range(len(BIN_NAMES))]
    counted = tumor_cells(cells, assay) & counted_cells(cells)
    od = floats(cells, f"dab_od_{compartment}")
    od = np.where(np.isnan(od), floats(cells, "dab_od_cell"), od)
    statistic = f"{assay.cells.membrane_percentile:g}. percentile" if compartment == "membrane" else "mean"
    on_h = cutoff is not None and cutoff.scale == "h_score"
    rules = rule_rows(result, cells, assay)
    return render_page(
        "slide.html",
        file=result["file"],
        slide_id=result["slide_id"],
        headline=headline(result, assay),
        call=show_call(scores),
        cutoff=cutoff_words(cutoff),
        bin_names=BIN_NAMES,
        bin_bar=draw_bin_bar(counts),
        n_binned=show_number(sum(counts)),
        compartment=compartment,
        compartments=draw_compartments(
            {name: _estimate_of(result["schemes"]["h_score"][name]) for name in COMPARTMENTS},
            compartment,
            cutoff.value if cutoff is not None and on_h else None,
            show_cutoff(f"cut-off {cutoff.operator} {cutoff.value:g} ({cutoff.status})") if cutoff is not None else "",
        ),
        schemes=scheme_rows(result, assay),
        compartment_names=COMPARTMENTS,
        uncertainty=uncertainty_words(result, assay),
        pixel_score=pixel_words(result, assay),
        histogram=draw_histogram(od[counted], assay.bins.of(compartment), compartment, statistic),
        counts=count_rows(result, cells, assay),
        rules=rules,
        other_scores=_other_scores(scores, left_out={"h_all_cells"} if rules else set()),
        flags=[{**flag, "meaning": FLAG_MEANINGS.get(flag["name"], "")} for flag in result["qc"]["flags"]],
        measures=measure_rows(result),
        reasons=_tile_reasons(tiles),
        artifacts=_artifacts(result),
        regions=[_region(row) for row in result.get("regions") or [] if row.get("role") != CONTROL_ROLE],
        controls=[_region(row) for row in result.get("regions") or [] if row.get("role") == CONTROL_ROLE],
        # As JPEG it is a tenth of the size, and pages are mailed.
        thumbnail=data_uri(small_jpeg(thumbnail_png, _THUMBNAIL_PX), "image/jpeg") if thumbnail_png else "",
        gallery=_gallery_rows(gallery),
        gallery_rule=GALLERY_RULE,
        provenance=_provenance(result, assay),
        degradations=result.get("degradations") or [],
        version=result["versions"].get("slidescore", ""),
    )


def _estimate_of(found: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    return as_number(found["value"]), as_number(found["low"]), as_number(found["high"])


def _type_counts(cells: pa.Table, assay: Assay) -> Numbers:
    """Count the types of cells that are no tumor cells; nothing where no type was told.

    Where the rule counts every cell, all four types are counted, each cell by its highest probability.
    """
    if np.isnan(floats(cells, "lymphocyte_probability")).all():
        return []
    found = np.bincount(cell_types(cells, assay)[counted_cells(cells)], minlength=len(CELL_TYPES))
    numbers = dict(zip(TYPE_NAMES, map(show_number, found.tolist()), strict=True))
    n_tumor = numbers.pop(TYPE_NAMES[TUMOR])
    if assay.tumor.rule == "all":
        note = "by highest probability; the rule counts every cell"
        return [("Of the type tumor", n_tumor, note), *((name, n, note) for name, n in numbers.items())]
    return [(name, n, "") for name, n in numbers.items()]


def measure_rows(result: Mapping[str, Any]) -> Numbers:
    """List the QC measures of a result.json: name, value and note in words."""
    measures = result["qc"].get("measures") or {}
    return [
        # Of H-scores one decimal, of densities and shares three.
        (MEASURE_NAMES.get(name, name), show_number(value, 1 if name.endswith("_h") else 3), "")
        for name, value in measures.items()
    ]


def count_rows(result: Mapping[str, Any], cells: pa.Table, assay: Assay) -> Numbers:
    """List what was counted on a slide: name, number and note in words; arguments as for `render_slide_page`."""
    return _counts(result, _type_counts(cells, assay), int((~counted_cells(cells)).sum()))


def _counts(result: Mapping[str, Any], types: Numbers, n_excluded: int) -> Numbers:
    scores, ledger = result["scores"], result.get("ledger") or {}
    tiles = ", ".join(f"{show_number(n)} {status}" for status, n in ledger.items() if n) or NOTHING
    return [
        ("H-score", show_score(scores["h_score"], 1), "0 to 300"),
        ("Positive tumor cells", show_percent(scores["percent_positive"]), "1+ and above"),
        ("Cells", show_number(scores["n_cells"]), "not excluded"),
        (TYPE_NAMES[TUMOR], show_number(scores["n_tumor_cells"]), ""),
        *types,
        ("Cells excluded", show_number(n_excluded), "measured, not counted"),
        ("Binned by the whole cell", show_number(scores["n_fallback"]), "their own compartment was too small"),
        ("Tissue, mm²", show_number(scores["tissue_mm2"], 3), "within the regions where there are any"),
        ("Scored, mm²", show_number(scores["scored_mm2"], 3), ""),
        ("Excluded", show_fraction(scores["excluded_fraction"]), "of tissue area"),
        ("Could not be processed", show_fraction(scores["failed_fraction"]), "of tissue area"),
        ("Tiles", tiles, ""),
    ]


def _other_scores(scores: Mapping[str, Any], left_out: set[str]) -> Numbers:
    return [
        (name, show_number(scores[key], 1), note)
        for key, name, note in _OTHER_SCORES
        if key not in left_out and as_number(scores.get(key)) is not None
    ]


def _tile_reasons(tiles: pa.Table | None) -> list[dict[str, str]]:
    if tiles is None:
        return []
    pairs = zip(tiles.column("status").to_pylist(), tiles.column("reason").to_pylist(), strict=True)
    found = Counter((status, reason or "") for status, reason in pairs if status != "scored")
    return [{"status": status, "reason": reason, "n": show_number(n)} for (status, reason), n in sorted(found.items())]


def _artifacts(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """List why squares were excluded, and how much tissue they hold."""
    return [
        {
            "reason": reason.removeprefix("qc: "),
            "squares": show_number(found["squares"]),
            "mm2": show_number(found["tissue_um2"] / UM2_PER_MM2, 3),
        }
        for reason, found in (result["qc"].get("artifacts") or {}).items()
    ]


def _region(row: Mapping[str, Any]) -> dict[str, Any]:
    counts = [int(row[f"n{k}"] or 0) for k in range(len(BIN_NAMES))]
    return {
        **row,
        "name": row["region"],
        "call": show_call(row),
        "interval": show_interval("h_score", row["h_score_low"], row["h_score_high"]),
        "chance": show_chance(row["p_high"]),
        "counts": counts,
        "bar": draw_small_bin_bar(counts),
    }


def _gallery_rows(gallery: Sequence[GalleryCell]) -> list[dict[str, Any]]:
    if not gallery:
        return []
    return [
        {
            "name": name,
            "cells": [
                {
                    "cell_id": cell.cell_id,
                    "image": data_uri(cell.jpeg, "image/jpeg"),
                    "x": f"{cell.x_l0:.0f}",
                    "y": f"{cell.y_l0:.0f}",
                    "dab_od": [(part, show_number(od, 3)) for part, od in cell.dab_od.items()],
                }
                for cell in gallery
                if cell.bin == number
            ],
        }
        for number, name in enumerate(BIN_NAMES)
    ]


def _provenance(result: Mapping[str, Any], assay_of: Assay) -> tuple[Pairs, Pairs]:
    slide, analysis, stains, assay = (result[part] for part in ("slide", "analysis", "stains", "assay"))
    size = f"{show_number(slide['width'])} × {show_number(slide['height'])} px, {slide['level_count']} levels"
    resolution = f"{slide['mpp_x']:.4g} × {slide['mpp_y']:.4g} µm/px, {slide['mpp_source']}"
    profile = "ICC profile present, not applied" if slide["icc_profile"] else "no ICC profile"
    read = f"{analysis['mpp']:.4g} µm/px from level {analysis['level']}, factor {analysis['factor']:.4g}"
    seams = f"{analysis['n_seam_merged']} duplicates merged, {analysis['n_seam_restored']} cells restored"
    left = [
        ("Slide", f"{size}; {slide['vendor']}, read with {slide.get('reader_library') or slide['reader']}"),
        ("Scanner", f"{slide.get('scanner') or 'not stated'}; {profile}"),
        ("Resolution", resolution),
        ("Integrity", _integrity(result.get("integrity") or {})),
        ("Analysis", f"{read}; {show_number(analysis['n_tiles'])} tiles; at seams {seams}"),
        ("White", f"{_vector(stains['white'], 1)} ({stains['white_source']})"),
        ("Hematoxylin", _vector(stains["hematoxylin"], 3)),
        ("DAB", _vector(stains["dab"], 3)),
        ("Stain vectors", f"{stains['vectors_source']}{_estimate(stains.get('estimate'))}"),
    ]
    annotations, model = result.get("annotations"), result.get("model") or {}
    drawn = "none"
    if annotations:
        kinds = ", ".join(f"{n} {role}" for role, n in annotations["counts"].items())
        drawn = f"{annotations['file']} ({kinds}; {annotations['digest'][:16]})"
    right = [
        ("Assay", f"{assay['name']}, digest {assay['digest']}"),
        ("Measurements", f"assay digest {assay['left_digest']}"),
        ("Cut-off", _cutoff_source(assay_of)),
        ("Segmenter", f"{model.get('name', NOTHING)}, {model.get('digest', NOTHING)}"),
        ("Numeric profile", str(result["profile"])),
        ("Annotations", drawn),
        ("Versions", ", ".join(f"{name} {version}" for name, version in result["versions"].items())),
        *((f"SHA-256 {name}", digest) for name, digest in (result.get("digests") or {}).items()),
    ]
    return left, right


def _cutoff_source(assay: Assay) -> str:
    said = cutoff_words(assay.call.cutoff)
    return f"{said['text']}, {said['status']}; {said['source']}" if said["text"] else "none: nothing is called"


def _integrity(integrity: Mapping[str, Any]) -> str:
    """Say how far the pixels are known to be those that were scanned."""
    levels = integrity.get("levels") or {}
    witness = f"levels {levels.get('scored')} and {levels.get('against')} compared"
    if levels.get("verdict") != "compared":
        witness = f"levels not compared: {levels.get('verdict', 'not looked at')}"
    if integrity.get("status") == "verified":
        return f"verified by SHA-256; {witness}"
    return f"integrity unverified: no checksum vouches for the file; {witness}"


def _vector(values: Sequence[float], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def _estimate(estimate: Mapping[str, Any] | None) -> str:
    if not estimate:
        return ""
    facts = (
        ("turned by {:.1f}°", estimate.get("turn_degrees")),
        ("residual {:.3f} OD", estimate.get("residual_od")),
        ("from {:,.0f} pixels", estimate.get("n_pixels")),
    )
    words = [text.format(value) for text, value in facts if value is not None]
    if reason := estimate.get("reason"):
        words.append(str(reason))
    return f": {', '.join(words)}" if words else ""
