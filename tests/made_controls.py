"""Control slides of a phantom laboratory: drawn once, scanned by any scanner, with their tables of controls and labels.

Bins of the truth are by 0.2 / 0.4 / 0.6 OD of the drawn tissue, so that a scanner whose DAB is `dab_scale` times as
dense has its thresholds at that many times these.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import phantom as ph
from phantom_scanner import Scanner

TRUE_THRESHOLDS = (0.2, 0.4, 0.6)
MPP = 0.5
QUALITY = 90


@dataclass(frozen=True)
class Field:
    """A slide to be scanned: its name, its drawn tissue, and whether it is a positive control."""

    name: str
    phantom: ph.Phantom
    positive: bool


def control_spec(seed: int, shares: Sequence[float] | None, *, side_px: int = 1024) -> ph.PhantomSpec:
    """Describe a small slide of tumour cells on glass, whose shares of cells in each bin are `shares`; None: no DAB."""
    spec = ph.PhantomSpec(
        seed=seed,
        width_px=side_px,
        height_px=side_px,
        mpp=MPP,
        tissue="irregular",
        tissue_fraction=0.6,
        touching_fraction=0.15,
        density_per_mm2=3500.0,
        jpeg_quality=None,
    )
    if shares is None:
        return replace(spec, staining="negative")
    return replace(spec, dab_od_shares=tuple(shares), dab_od_edges=(0.0, *TRUE_THRESHOLDS, 0.9))


def draw_fields(shares: Mapping[str, Sequence[float] | None], *, seed: int = 0, side_px: int = 1024) -> list[Field]:
    """Draw a field for each name."""
    return [
        Field(name, ph.draw_phantom(control_spec(1000 * seed + number, each, side_px=side_px)), each is not None)
        for number, (name, each) in enumerate(shares.items())
    ]


def scan_fields(folder: Path, fields: Iterable[Field], scanner: Scanner) -> list[Path]:
    """Write a slide of each field as the scanner stores it."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        ph.write_pyramid(
            folder / f"{field.name}.tiff", scanner.scan(field.phantom, number), MPP, levels=(1, 4), quality=QUALITY
        )
        for number, field in enumerate(fields)
    ]


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV table."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def write_controls(path: Path, fields: Sequence[Field], *, with_shares: bool) -> Path:
    """Write controls.csv; with shares, the drawn percents of cells in each bin."""
    columns = ("file", "role", *(("p0", "p1", "p2", "p3") if with_shares else ()))
    rows = []
    for field in fields:
        percents = (100 * ph.bin_shares(field.phantom, "cytoplasm", TRUE_THRESHOLDS)).tolist() if with_shares else []
        rows.append((f"{field.name}.tiff", "positive" if field.positive else "negative", *percents))
    return write_table(path, columns, rows)


def write_labels(path: Path, fields: Sequence[Field], a_bin: int, *, wrong: float = 0.0, seed: int = 0) -> Path:
    """Write labels.csv: so many cells of each true bin, drawn from all fields; a share of labels one bin off."""
    rng = np.random.default_rng([seed, 99])
    places = [
        (field.name, x, y, int(number))
        for field in fields
        for (x, y), number in zip(field.phantom.truth.xy, ph.true_bins(field.phantom, "cytoplasm"), strict=True)
    ]
    rows = []
    for number in range(4):
        own = [place for place in places if place[3] == number]
        for at in rng.choice(len(own), min(a_bin, len(own)), replace=False):
            name, x, y, said = own[at]
            if rng.random() < wrong:
                said = int(np.clip(said + rng.choice([-1, 1]), 0, 3))
            rows.append((f"{name}.tiff", f"{x:.1f}", f"{y:.1f}", said))
    return write_table(path, ("file", "x", "y", "bin"), rows)
