"""Draw a big phantom slide for benchmarks: `python benchmarks/draw_big_slide.py big.tiff`.

Ragged islands of tissue on glass, as a tiled JPEG pyramid (levels 1, 4, 16) that OpenSlide opens. The tissue is put
together from a few phantom fields of 2048 x 2048 px, so that drawing takes minutes and never holds the slide in memory:
tiles wholly inside the tissue are encoded once a field, tiles on the edge of an island one by one. Each tile therefore
costs a reader what a real tile of that quality costs, but a field comes back many times over: not for training, and not
for measuring anything that could remember a tile. With --real the one field is the DAB-stained image of scikit-image
(512 x 512 px, FHL2), mirrored at its edges: real texture, no known truth. One JSON line about the slide goes to
standard output.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import tifffile
from imagecodecs import jpeg8_encode
from numpy.typing import NDArray
from skimage.data import immunohistochemistry

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from phantom import draw_phantom, slide_spec, true_h_score
from phantom_cells import smooth_noise

TILE = 256
FIELD = 2048
BAND = 4 * TILE
GRID = 32
RAGGED = 1000.0
QUALITY, NOISE_GRAY = 92, 3.0
"""Chosen so that tissue takes what real tissue takes: 1.8 bits a pixel; the real field takes 1.9 at quality 80."""
WEAK, STRONG = np.array([0.70, 0.20, 0.08, 0.02]), np.array([0.05, 0.15, 0.35, 0.45])


@dataclass
class Slide:
    """What is needed to draw any tile, and what the lower levels gather while level 0 is written.

    `height` is a map of hills on a grid of GRID px: tissue is where it lies above `shore`. `choice` names the field of
    each block of FIELD px. `level_1` holds encoded tiles, `level_2` rows of pixels.
    """

    size: int
    quality: int
    fields: list[NDArray[np.uint8]]
    glass: NDArray[np.uint8]
    height: NDArray[np.float32]
    shore: float
    ragged: NDArray[np.float32]
    choice: NDArray[np.intp]
    encoded: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    level_1: list[bytes] = field(default_factory=list)
    level_2: list[NDArray[np.uint8]] = field(default_factory=list)
    tissue_px: int = 0


def plan_slide(
    size: int, tissue: float, n_fields: int, seed: int, mpp: float, quality: int, *, real: bool = False
) -> tuple[Slide, float | None]:
    """Draw the fields and lay out the islands; return them with the mean drawn H-score of the fields, if known."""
    rng = np.random.default_rng(seed)
    fields, scores = [real_field()] if real else [], []
    n_fields = 1 if real else n_fields
    for number in range(len(fields), n_fields):
        strength = number / max(n_fields - 1, 1)
        spec = slide_spec(
            seed * 100 + number,
            mpp=mpp,
            side_px=FIELD,
            tissue="full",
            tissue_fraction=1.0,
            stroma_fraction=0.25,
            illumination=0.0,
            noise_gray=NOISE_GRAY,
            dab_od_shares=tuple((1 - strength) * WEAK + strength * STRONG),
        )
        phantom = draw_phantom(spec)
        fields.append(phantom.rgb)
        scores.append(true_h_score(phantom))
    clear = slide_spec(seed)
    glass = np.array(clear.white) + clear.noise_gray * rng.standard_normal((TILE, TILE, 3))
    rows = -(-size // BAND) * BAND // GRID + 2
    height = smooth_noise(rng, rows, rows, rows / 5, octaves=5)
    choice = rng.integers(0, n_fields, (-(-size // FIELD) + 1,) * 2)
    slide = Slide(
        size=size,
        quality=quality,
        fields=fields,
        glass=np.clip(np.rint(glass), 0, 255).astype(np.uint8),
        height=height,
        shore=float(np.quantile(height[: size // GRID, : size // GRID], 1 - tissue)),
        ragged=RAGGED / size * np.clip(smooth_noise(rng, TILE, TILE, 24, octaves=4), -1, 1).astype(np.float32),
        choice=choice,
    )
    return slide, float(np.mean(scores)) if scores else None


def real_field() -> NDArray[np.uint8]:
    """Return the real image, continued by its mirror images so that no seam shows; uint8, (FIELD, FIELD, 3)."""
    once = immunohistochemistry()
    twice = np.concatenate([once, once[:, ::-1]], axis=1)
    block = np.concatenate([twice, twice[::-1]], axis=0)
    return np.ascontiguousarray(np.tile(block, (FIELD // block.shape[0], FIELD // block.shape[1], 1)))


def draw_tile(slide: Slide, row: int, column: int, out: NDArray[np.uint8]) -> bytes:
    """Draw tile (row, column) of level 0 into `out`, uint8, (TILE, TILE, 3), and return it encoded."""
    step = TILE // GRID
    hills = slide.height[row * step : (row + 1) * step + 1, column * step : (column + 1) * step + 1]
    per_field = FIELD // TILE
    number = int(slide.choice[row // per_field, column // per_field])
    top, left = row % per_field, column % per_field
    tissue = slide.fields[number][top * TILE : (top + 1) * TILE, left * TILE : (left + 1) * TILE]
    rough = RAGGED / slide.size
    if hills.max() + rough < slide.shore:
        out[:] = slide.glass
        key = (-1, 0, 0)
    elif hills.min() - rough > slide.shore:
        out[:] = tissue
        key = (number, top, left)
        slide.tissue_px += TILE * TILE
    else:
        at = (np.arange(TILE, dtype=np.float32) + 0.5) / GRID
        x, y = np.meshgrid(at, at)
        inside = cv2.remap(hills, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) + slide.ragged > slide.shore
        slide.tissue_px += int(np.count_nonzero(inside))
        out[:] = np.where(inside[..., None], tissue, slide.glass)
        return encode(out, slide.quality)
    if key not in slide.encoded:
        slide.encoded[key] = encode(out, slide.quality)
    return slide.encoded[key]


def encode(tile: NDArray[np.uint8], quality: int) -> bytes:
    """Encode one tile as the scanner does: YCbCr, 4:2:0."""
    return jpeg8_encode(tile, level=quality, colorspace="RGB", outcolorspace="YCBCR", subsampling="420")


def draw_level_0(slide: Slide) -> Iterator[bytes]:
    """Yield the tiles of level 0 row by row; gather the lower levels on the way."""
    tiles = -(-slide.size // TILE)
    band = np.empty((BAND, -(-slide.size // BAND) * BAND, 3), np.uint8)
    for first_row in range(0, tiles, BAND // TILE):
        band[:] = 255
        ready = []
        for row in range(first_row, min(first_row + BAND // TILE, tiles)):
            for column in range(tiles):
                top, left = (row - first_row) * TILE, column * TILE
                ready.append(draw_tile(slide, row, column, band[top : top + TILE, left : left + TILE]))
        quarter = cv2.resize(band, (band.shape[1] // 4, TILE), interpolation=cv2.INTER_AREA)
        columns = -(-(slide.size // 4) // TILE)
        slide.level_1.extend(encode(np.ascontiguousarray(part), slide.quality) for part in _split(quarter, columns))
        slide.level_2.append(cv2.resize(quarter, (band.shape[1] // 16, TILE // 4), interpolation=cv2.INTER_AREA))
        print(f"{min(first_row + BAND // TILE, tiles)} of {tiles} tile rows", file=sys.stderr)
        yield from ready


def _split(rows: NDArray[np.uint8], columns: int) -> Iterator[NDArray[np.uint8]]:
    for column in range(columns):
        yield rows[:, column * TILE : (column + 1) * TILE]


def write_slide(path: Path, slide: Slide, mpp: float) -> None:
    """Write the pyramid; only one band of tile rows is held as pixels."""
    with tifffile.TiffWriter(path, bigtiff=True) as writer:

        def write(data: object, downsample: int) -> None:
            side = slide.size // downsample
            writer.write(
                data,
                shape=(side, side, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="ycbcr",
                compression="jpeg",
                subsampling=(2, 2),
                subfiletype=0 if downsample == 1 else 1,
                resolution=(1e4 / (mpp * downsample),) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
                software=False,
            )

        write(draw_level_0(slide), 1)
        rows = -(-(slide.size // 4) // TILE)
        columns = rows
        write(iter(slide.level_1[: rows * columns]), 4)
        small = np.concatenate(slide.level_2)
        tiles = -(-(slide.size // 16) // TILE)
        padded = np.full((tiles * TILE, tiles * TILE, 3), 255, np.uint8)
        padded[: small.shape[0], : small.shape[1]] = small[: padded.shape[0], : padded.shape[1]]
        parts = (part for top in range(tiles) for part in _split(padded[top * TILE : (top + 1) * TILE], tiles))
        write((encode(np.ascontiguousarray(part), slide.quality) for part in parts), 16)


def main() -> None:
    """Draw the slide that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="file to write (.tiff)")
    parser.add_argument("--size", type=int, default=40_000, help="side in px (default 40000)")
    parser.add_argument("--tissue", type=float, default=0.2, help="share of the slide that is tissue (default 0.2)")
    parser.add_argument("--mpp", type=float, default=0.25, help="um per px (default 0.25)")
    parser.add_argument("--fields", type=int, default=6, help="number of different fields (default 6)")
    parser.add_argument("--quality", type=int, default=QUALITY, help=f"JPEG quality (default {QUALITY})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", action="store_true", help="one real field instead of drawn ones")
    asked = parser.parse_args()
    start = time.perf_counter()
    slide, field_h = plan_slide(
        asked.size, asked.tissue, asked.fields, asked.seed, asked.mpp, asked.quality, real=asked.real
    )
    write_slide(asked.path, slide, asked.mpp)
    tissue_tiles = [len(data) for (number, _, _), data in slide.encoded.items() if number >= 0]
    print(
        json.dumps(
            {
                "file": asked.path.name,
                "size_px": asked.size,
                "mpp": asked.mpp,
                "tissue_fraction": round(slide.tissue_px / asked.size**2, 4),
                "field_h_score": None if field_h is None else round(field_h, 1),
                "file_mb": round(asked.path.stat().st_size / 1e6, 1),
                "tissue_bits_per_px": round(8 * float(np.mean(tissue_tiles or [0])) / TILE**2, 3),
                "seconds": round(time.perf_counter() - start, 1),
                "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )
    )


if __name__ == "__main__":
    main()
