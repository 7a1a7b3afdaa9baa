"""Runs that were never scored: one small slide, copied with other controls, glass and stains."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from classical_assay import classical_loaded
from slidescore.report.columns import SCORE_COLUMNS
from slidescore.report.digests import seal, write_digests
from slidescore.report.files import read_json, sha256_of, write_bytes, write_csv, write_json, write_parquet
from slidescore.scoring.scores import CONTROL
from training.made_run import make_run_folder
from training.made_tissue import make_field

N_CELLS = 240
"""Half of them control tissue."""


@dataclass(frozen=True)
class Made:
    """One slide: the density of its controls (None: it has none), and what is known of its glass and stains."""

    file: str
    control_od: float | None = None
    negative_od: float | None = None
    white: tuple[float, float, float] | None = (238.0, 237.0, 233.0)
    hue: float | None = 0.0
    counterstain: float | None = 0.3
    failed: bool = False

    @property
    def slide_id(self) -> str:
        return f"{Path(self.file).stem}-00000000"


def make_template(folder: Path) -> Path:
    """A run of one slide, to be copied."""
    return make_run_folder(folder, classical_loaded(), {"a.svs": make_field(0, n=N_CELLS)}).path


def make_run(template: Path, path: Path, slides: Sequence[Made], **run: Any) -> Path:
    """A finished run of these slides; `run`: other values of run.json's assay and model digests."""
    content = read_json(template / "run.json")
    for part, digest in run.items():
        content[part]["digest"] = digest
    path.mkdir(parents=True)
    write_json(path / "run.json", content)
    rows = []
    for slide in slides:
        names = {"slide_id": slide.slide_id, "file": slide.file}
        if slide.failed:
            rows.append(dict.fromkeys(SCORE_COLUMNS) | names | {"status": "failed", "reason": "not reached"})
        else:
            rows.append(_make_slide(template, path, slide, names, run))
    write_csv(path / "scores.csv", SCORE_COLUMNS, rows)
    write_digests(path)
    return path


def change_result(run: Path, slide: Made, part: str, values: dict[str, Any]) -> None:
    """Change a part of a slide's result.json, and sign for it."""
    result = run / "slides" / slide.slide_id / "result.json"
    content = read_json(result)
    content[part] = {**content[part], **values}
    write_bytes(result, seal({key: value for key, value in content.items() if key != "seal"}))
    write_digests(run)


def _make_slide(template: Path, path: Path, slide: Made, names: dict[str, str], run: dict[str, Any]) -> dict[str, Any]:
    (source,) = (template / "slides").iterdir()
    folder = Path(shutil.copytree(source, path / "slides" / slide.slide_id))
    record = {key: value for key, value in read_json(source / "result.json").items() if key != "seal"}
    record |= names
    record["scores"] |= names
    record["slide"]["fingerprint"] = hashlib.sha256(slide.slide_id.encode()).hexdigest()
    record["stains"] |= {"white": list(slide.white or (255.0,) * 3), "white_source": "glass" if slide.white else "255"}
    record["colours"]["chromogen_across_degrees"] = slide.hue
    record["qc"]["measures"]["counterstain_od"] = slide.counterstain
    areas = {"Tonsil": slide.control_od, "Negative tonsil": slide.negative_od}
    record["control_areas"] = {name: [1.0, 1.0, 0.0, 0.0] for name, od in areas.items() if od is not None}
    for part, digest in run.items():
        record[part]["digest"] = digest
    table = _cells(template / "slides" / source.name / "cells.parquet", areas)
    write_parquet(folder / "cells.parquet", table)
    record["digests"]["cells.parquet"] = sha256_of(folder / "cells.parquet")
    write_bytes(folder / "result.json", seal(record))
    return dict(record["scores"])


def _cells(path: Path, areas: dict[str, float | None]) -> pa.Table:
    """The template's cells, a quarter of them in each of two control areas."""
    import pyarrow.parquet as pq

    cells = pq.read_table(path)
    region, excluded = np.full(cells.num_rows, None, object), np.full(cells.num_rows, None, object)
    density = cells.column("dab_od_cytoplasm").to_numpy().copy()
    quarter = cells.num_rows // 2
    for number, (name, od) in enumerate(areas.items()):
        own = slice(number * quarter, (number + 1) * quarter)
        if od is not None:
            region[own], excluded[own] = name, CONTROL
            density[own] = od + np.linspace(-0.1, 0.1, quarter)
    for name, values, kind in (
        ("region", region, pa.string()), ("excluded", excluded, pa.string()),
        ("dab_od_cytoplasm", density.astype(np.float32), pa.float32()),
    ):  # fmt: skip
        place = cells.column_names.index(name)
        cells = cells.set_column(place, name, pa.array(values, kind))
    return cells
