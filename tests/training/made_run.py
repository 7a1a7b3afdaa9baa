"""A small run folder made without a slide: fields as slides, as `score` would have left them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from made_colours import made_colours
from report.made_result import make_result, make_run
from slidescore.assay import LoadedAssay, assay_digest
from slidescore.pipeline.analysis import SlideAnalysis
from slidescore.pipeline.judge import SlideIdentity, judge_slide
from slidescore.pipeline.publish import write_slide_tables
from slidescore.pipeline.tile_table import TILE_SCHEMA
from slidescore.report.columns import SCORE_COLUMNS
from slidescore.report.files import write_csv, write_json
from slidescore.report.run_folder import RunFolder
from slidescore.stain.histograms import HISTOGRAM_BINS
from training.made_tissue import MPP, SIDE_UM, Field


@dataclass(frozen=True)
class MadeRun:
    """The folder and the fields of a run, by file name."""

    path: Path
    fields: Mapping[str, Field]

    def slide_id(self, file: str) -> str:
        return f"{Path(file).stem}-{list(self.fields).index(file):08x}"


def make_run_folder(path: Path, loaded: LoadedAssay, fields: Mapping[str, Field]) -> MadeRun:
    run, folder, rows = MadeRun(path, fields), RunFolder(path), []
    for file, field in fields.items():
        slide_id = run.slide_id(file)
        facts = make_result(field.cells, loaded.assay)
        fingerprint = hashlib.sha256(slide_id.encode()).hexdigest()
        size = {"width": int(SIDE_UM / MPP), "height": int(SIDE_UM / MPP), "mpp": MPP}
        facts["slide"] |= size | {"fingerprint": fingerprint}
        facts["analysis"]["upsampled"] = False
        parts = ("slide", "analysis", "stains", "degradations", "profile", "device", "model")
        known = {part: facts[part] for part in parts} | {"annotations": None, "integrity": {}, "notes": []}
        known |= {"colours": made_colours(), "control_areas": {}}
        analysis = SlideAnalysis(field.cells, _one_tile(field.cells.num_rows), known, {})
        result = judge_slide(analysis, loaded.assay, SlideIdentity(slide_id, file))
        slide = folder.slide(slide_id)
        slide.begin()
        write_slide_tables(slide.work, result)
        slide.finish(result.record, {"fingerprint": fingerprint})
        rows.append(result.row)
    content = make_run(loaded.assay) | {
        "assay": {"name": loaded.assay.name, "digest": assay_digest(loaded.assay), "text": loaded.text},
        "slides": {run.slide_id(file): f"/nowhere/{file}" for file in fields},
    }
    write_json(folder.run_json, content)
    write_csv(path / "scores.csv", SCORE_COLUMNS, rows)
    return run


def _one_tile(n_cells: int) -> pa.Table:
    nothing, area = [0] * HISTOGRAM_BINS, SIDE_UM**2
    side = int(SIDE_UM / MPP)
    row = {
        "tile": 0, "x": 0, "y": 0, "width": side, "height": side, "status": "scored", "reason": None,
        "tissue_fraction": 1.0, "tissue_um2": area, "scored_um2": area, "excluded_um2": 0.0, "missing_um2": 0.0,
        "background_dab_od": 0.02, "n_cells": n_cells, "dab_histogram": nothing, "dab_histogram_hematoxylin": nothing,
    }  # fmt: skip
    return pa.Table.from_pylist([row], schema=TILE_SCHEMA)
