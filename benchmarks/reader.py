"""The reader against the decoder it stands on and against other readers: `python benchmarks/reader.py SLIDE`.

The ceiling is simplejpeg alone: each tile of level 0 read with `pread` and decoded to RGB once, always to the same
place, nothing else. All do the same pixels on one thread, one row of windows after the other, turn and turn about; of
each row the best round counts, in seconds of the processor. Windows are as in a run: 1,024 px of core at 0.5 um a
pixel, 64 um of halo. A ratio is level-0 pixels of cores a second over those of the ceiling. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openslide
import simplejpeg
import tifffile

from slidescore.execute import keep_freed_memory
from slidescore.slide import AnalysisGrid, open_slide, plan_grid, read_analysis
from slidescore.slide.jpeg_codes import make_desk
from slidescore.slide.tile_cache import TileCache
from slidescore.slide.tiled_reader import TiledReader

CORE_PX, HALO_UM, MPP, SNAP = 1024, 64.0, 0.5, 0.03
"""As in configs/cxcr4.yaml."""
SIDE = 8192
RICH_PERCENTILE = 95
"""A tile is tissue when it takes at least half the bytes of this one, in percent of all tiles."""
CACHE_BYTES = 32 * 2**20
"""Less than a round decodes, so that each finds nothing kept of the one before, in memory that is used already: as on a
slide of many times the size with the cache that a run has."""
SQUARE = 1024
"""Side of the squares of the aligned sweep, in level-0 px."""

Row = tuple[int, int, int]
"""Top, height and width of a row of windows, in level-0 px."""


def main() -> None:
    """Time every way of reading on tissue alone, and the reader on the whole slide with its glass."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    keep_freed_memory()  # as every process of a run does
    with TemporaryDirectory() as folder:
        line = measure(write_tissue(arguments.slide, Path(folder) / "tissue.tiff"), arguments.rounds)
    whole = measure(arguments.slide, arguments.rounds)
    for name in ("reader_vs_ceiling", "reader_halo_vs_ceiling", "ceiling_mpx_per_second"):
        line[f"{name}_with_glass"] = whole[name]
    rounded = {name: round(each, 2) for name, each in line.items()}
    print(json.dumps({"benchmark": "reader", "slide": arguments.slide.name, **rounded, "device": "cpu, one thread"}))


def write_tissue(path: Path, out: Path) -> Path:
    """Put tiles of tissue of a slide side by side, as they are coded: what a run reads, without glass and borders."""
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0].aspage()
        counts, offsets = np.array(page.databytecounts), np.array(page.dataoffsets)
        rich = np.flatnonzero(counts > np.percentile(counts, RICH_PERCENTILE) / 2)
        side = SIDE // page.tilewidth
        chosen = np.resize(np.random.default_rng(0).permutation(rich), side * side)
        with tifffile.TiffWriter(out) as writer:
            writer.write(
                (content[offsets[n] : offsets[n] + counts[n]] for n in chosen.tolist()),
                shape=(side * page.tilelength, side * page.tilewidth, 3), dtype=np.uint8,
                tile=(page.tilelength, page.tilewidth), photometric="ycbcr", compression="jpeg",
                subsampling=page.subsampling, jpegtables=page.jpegtables, resolution=(1e4 / 0.25, 1e4 / 0.25),
                resolutionunit="CENTIMETER", metadata=None,
            )  # fmt: skip
    return out


def measure(path: Path, rounds: int) -> dict[str, float]:
    """Time every way of reading on the same rows of a slide."""
    with open_slide(path) as reader:
        if not isinstance(reader, TiledReader):
            raise SystemExit(f"{path} is read by {reader.backend}: {reader.fallback or 'no tiled JPEG'}")
        keepers = [reader, open_slide(path), open_slide(path)]
        for keeper in keepers:
            keeper._cache = TileCache(CACHE_BYTES)
        ways, rows = list_ways(path, keepers), list_rows(reader)
        warm = rows[len(rows) // 2]
        for way in ways.values():
            way(warm)
        best = {name: [float("inf")] * len(rows) for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                for number, row in enumerate(rows):
                    start = time.process_time()
                    way(row)
                    best[name][number] = min(best[name][number], time.process_time() - start)
        seconds = {name: sum(times) for name, times in best.items()}
        n_pixels = sum(height * width for _, height, width in rows)
    against = {name: seconds["ceiling"] / each for name, each in seconds.items()}
    found = {
        "reader_vs_ceiling": against["aligned"],
        "reader_halo_vs_ceiling": against["halo"],
        "reader_half_halo_vs_ceiling": against["half halo"],
        "reader_vs_openslide": seconds["openslide"] / seconds["aligned"],
        "reader_halo_vs_openslide": seconds["openslide halo"] / seconds["halo"],
    }
    for name in sorted({"tifffile", "tiffslide"} & ways.keys()):
        found[f"reader_vs_{name}"] = seconds[name] / seconds["aligned"]
    return {**found, "ceiling_mpx_per_second": n_pixels / seconds["ceiling"] / 1e6}


def list_rows(reader: TiledReader) -> list[Row]:
    """Cut level 0 into rows of windows, without what is left over at the bottom and the right."""
    core = CORE_PX * round(MPP / reader.mpp[0])
    width, height = (side // core * core for side in reader.dimensions)
    return [(top, core, width) for top in range(0, height, core)]


def list_ways(path: Path, keepers: list[TiledReader]) -> dict[str, Callable[[Row], object]]:
    """Name all ways of reading a row; each gives RGB or, where a reader has its own form, RGBA.

    The readers in `keepers` are the same but for the tiles that they keep: for the aligned sweep, the windows with a
    halo, and those decoded at half the resolution.
    """
    reader, slow = keepers[0], openslide.OpenSlide(path)
    page = tifffile.TiffFile(path).pages[0]
    grid, half = (plan_grid(reader, reader.mpp[0], MPP, SNAP, decode) for decode in ("exact", "half"))
    halo = round(HALO_UM / grid.analysis_mpp)

    def windows(row: Row, margin: int) -> Iterator[tuple[int, int, int, int]]:
        top, side, width = row
        for left in range(0, width, side):
            yield left - margin, top - margin, side + 2 * margin, side + 2 * margin

    def squares(row: Row) -> Iterator[tuple[int, int]]:
        top, height, width = row
        yield from ((x, y) for y in range(top, top + height, SQUARE) for x in range(0, width, SQUARE))

    def aligned(row: Row) -> None:
        for corner in squares(row):
            reader.read_region(corner, 0, (SQUARE, SQUARE))

    def with_halo(wanted: AnalysisGrid, keeper: TiledReader) -> Callable[[Row], None]:
        def read(row: Row) -> None:
            for x, y, width, _ in windows(row, 0):
                corner, size = (round(x / grid.factor), round(y / grid.factor)), round(width / grid.factor) + 2 * halo
                read_analysis(keeper, wanted, corner[0] - halo, corner[1] - halo, size, size)

        return read

    def by_openslide(row: Row) -> None:
        for corner in squares(row):
            np.asarray(slow.read_region(corner, 0, (SQUARE, SQUARE)).convert("RGB"))

    def by_openslide_with_halo(row: Row) -> None:
        for x, y, width, height in windows(row, round(HALO_UM / reader.mpp[0])):
            np.asarray(slow.read_region((x, y), 0, (width, height)).convert("RGB"))

    def by_tifffile(row: Row) -> None:
        for number, piece in pieces(row):
            page.decode(piece, number, jpegtables=page.jpegtables)

    tiles = reader.levels[0]
    assert tiles is not None
    file = os.open(path, os.O_RDONLY)

    def pieces(row: Row) -> Iterator[tuple[int, bytes]]:
        top, height, width = row
        for line in range(top // tiles.tile_height, -(-(top + height) // tiles.tile_height)):
            for column in range(-(-width // tiles.tile_width)):
                number = line * tiles.columns + column
                if tiles.counts[number]:
                    yield number, os.pread(file, int(tiles.counts[number]), int(tiles.offsets[number]))

    desk = make_desk(tiles.tile_height, tiles.tile_width, 3)

    def ceiling(row: Row) -> None:
        for _, piece in pieces(row):
            simplejpeg.decode_jpeg(piece if page.jpegtables is None else tiles.head + piece[2:], "RGB", buffer=desk)

    ways = {
        "ceiling": ceiling,
        "aligned": aligned,
        "halo": with_halo(grid, keepers[1]),
        "half halo": with_halo(half, keepers[2]),
        "openslide": by_openslide,
        "openslide halo": by_openslide_with_halo,
        "tifffile": by_tifffile,
    }
    if importlib.util.find_spec("tiffslide"):
        import tiffslide

        other = tiffslide.TiffSlide(path)

        def by_tiffslide(row: Row) -> None:
            for corner in squares(row):
                other.read_region(corner, 0, (SQUARE, SQUARE), as_array=True)

        ways["tiffslide"] = by_tiffslide
    return ways


if __name__ == "__main__":
    main()
