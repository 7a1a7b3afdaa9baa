"""A run folder as large as they come, for `review_tiles.py`: many slides of 60,000 px with a million cells each.

A small piece of the slide is scored as any slide is. What was found there stands for all the rest: each of the million
cells has the measurements and the outlines of one of its cells, and a place of its own in the slide's tissue. The
slides of the run are one and the same file under many names, and so are their tables: what is read is read anew for
each of them, but the disk holds it once.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
from numpy.typing import NDArray

from slidescore.cells.table import join_cells, replace_column
from slidescore.report.digests import seal, write_digests
from slidescore.report.files import sha256_of, write_json, write_parquet
from slidescore.slide import fingerprint, open_slide, plan_thumbnail, read_thumbnail, slide_ids
from slidescore.slide.discover import SlideInput

TABLES = ("cells.parquet", "tiles.parquet", "thumbnail.png")
TISSUE_GREY = 215
"""Darker than this in some channel, a pixel of the drawn slide is tissue."""
MAP_PX = 1500
SMALL_PX = 2048
N_EXCLUDED = 300
SQUARE_PX = 128


def make_run(slide: Path, folder: Path, n_slides: int, n_cells: int) -> Path:
    """Make a run of many slides, unless it is there.

    Parameters
    ----------
    slide
        The slide that all of them are.
    folder
        Where slides and run are made.
    n_slides, n_cells
        How many slides, and how many cells each has.

    Returns
    -------
    Path
        The run folder.
    """
    run = folder / f"run-{n_slides}-{n_cells}"
    if (run / "digests.sha256").is_file():
        return run
    small, scored = folder / "small.tiff", folder / "small-run"
    if not (scored / "scores.csv").is_file():
        cut_tissue(slide, small)
        command = [sys.executable, "-m", "slidescore", "score", str(small), "--out", str(scored)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    [old_folder] = (scored / "slides").iterdir()
    old, made = json.loads((old_folder / "result.json").read_bytes()), folder / f"tables-{n_cells}"
    made.mkdir(exist_ok=True)
    write_parquet(made / "cells.parquet", spread_cells(pq.read_table(old_folder / "cells.parquet"), slide, n_cells))
    columns = square_columns(old, slide)
    write_parquet(made / "tiles.parquet", exclude_squares(pq.read_table(old_folder / "tiles.parquet"), columns))
    (made / "thumbnail.png").write_bytes((old_folder / "thumbnail.png").read_bytes())
    write_slides(run, scored, slide, old, made, n_slides)
    return run


def tissue_of(slide: Path) -> tuple[NDArray[np.bool_], float]:
    """Tell where a slide's tissue is: a coarse map, and level-0 px per pixel of it."""
    with open_slide(slide) as reader:
        grid = plan_thumbnail(reader, 1.0, MAP_PX)
        rgb, _ = read_thumbnail(reader, grid, threads=2)
    return rgb.min(axis=2) < TISSUE_GREY, grid.px_to_l0


def cut_tissue(slide: Path, small: Path) -> None:
    """Write the part of a slide that is fullest of tissue as a slide of its own."""
    tissue, scale = tissue_of(slide)
    side = max(1, round(SMALL_PX / scale))
    share = cv2.boxFilter(tissue.astype(np.float32), -1, (side, side), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    row, column = np.unravel_index(np.argmax(share), share.shape)
    with open_slide(slide) as reader:
        mpp = reader.mpp[0]
        rgba = reader.read_region((round(column * scale), round(row * scale)), 0, (SMALL_PX, SMALL_PX))
    tifffile.imwrite(
        small, rgba[..., :3], tile=(256, 256), photometric="ycbcr", compression="jpeg", subsampling=(2, 2),
        resolution=(1e4 / mpp, 1e4 / mpp), resolutionunit="CENTIMETER", metadata=None,
    )  # fmt: skip


def spread_cells(found: pa.Table, slide: Path, n_cells: int) -> pa.Table:
    """Give cells that were found somewhere places all over a slide's tissue."""
    rng = np.random.default_rng(0)
    tissue, scale = tissue_of(slide)
    rows, columns = np.nonzero(tissue)
    pixel = rng.integers(0, len(rows), n_cells)
    x, y = ((axis[pixel] + rng.random(n_cells)) * scale for axis in (columns, rows))
    cells = found.take(pa.array(rng.integers(0, found.num_rows, n_cells)))
    tile = (y // 4096).astype(np.int32) * 100 + (x // 4096).astype(np.int32)
    for name, values in (("x", x.astype(np.float32)), ("y", y.astype(np.float32)), ("tile", tile)):
        cells = replace_column(cells, name, pa.array(values))
    return join_cells([cells])


def square_columns(old: dict[str, Any], slide: Path) -> int:
    """Count the squares in a row of the large slide's grid."""
    with open_slide(slide) as reader:
        width = reader.dimensions[0]
    return int(np.ceil(width * old["slide"]["mpp"] / old["analysis"]["mpp"] / SQUARE_PX))


def exclude_squares(tiles: pa.Table, columns: int) -> pa.Table:
    """Have the first tile's list name excluded squares all over the slide."""
    numbers = np.unique(np.random.default_rng(1).integers(0, columns * columns, N_EXCLUDED)).tolist()
    for name, values in (("square", numbers), ("square_excluded", ["qc: fold"] * len(numbers))):
        index = tiles.schema.get_field_index(name)
        lists = [values, *tiles.column(name).to_pylist()[1:]]
        tiles = tiles.set_column(index, tiles.schema.field(index), pa.array(lists, tiles.schema.field(index).type))
    return tiles


def write_slides(run: Path, scored: Path, slide: Path, old: dict[str, Any], made: Path, n_slides: int) -> None:
    """Write the folder of each slide, and what names them all."""
    print_of_slide, digests = fingerprint(slide), {name: sha256_of(made / name) for name in TABLES}
    with open_slide(slide) as reader:
        width, height = reader.dimensions
    rows, paths = [], {}
    row = next(csv.DictReader(io.StringIO((scored / "scores.csv").read_text())))
    for number in range(n_slides):
        path = slide.with_name(f"copy-{number:02}.tiff")
        path.unlink(missing_ok=True)
        os.link(slide, path)
        [(slide_id, _)] = slide_ids([(SlideInput(path, path.name), print_of_slide)])
        folder = run / "slides" / slide_id
        folder.mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            (folder / name).unlink(missing_ok=True)
            os.link(made / name, folder / name)
        names = {"slide_id": slide_id, "file": path.name}
        record = old | names | {"scores": old["scores"] | names}
        record |= {"slide": old["slide"] | {"width": width, "height": height}}
        record |= {"analysis": old["analysis"] | {"square_columns": square_columns(old, slide)}}
        record |= {"key": old["key"] | names | {"fingerprint": print_of_slide}, "digests": digests}
        record.pop("seal")
        (folder / "result.json").write_bytes(seal(record))
        rows.append(row | names)
        paths[slide_id] = str(path)
    content = json.loads((scored / "run.json").read_bytes())
    write_json(run / "run.json", content | {"slides": paths, "inputs": sorted(paths.values())})
    with (run / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_digests(run)
