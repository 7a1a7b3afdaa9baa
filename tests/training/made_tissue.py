"""Made-up fields: nests of tumor cells among lymphocytes and stroma, with measurements that overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.cells import build_cells
from slidescore.cells.table import pack_outlines

MPP = 0.25
SIDE_UM = 600.0
KINDS = ("Tumor", "Lymphocyte", "Stroma")
NUCLEUS_UM2 = (52.0, 30.0, 38.0)
ECCENTRICITY = (0.55, 0.4, 0.75)


@dataclass(frozen=True)
class Field:
    """A cell table and the kind of each of its cells: an index into KINDS."""

    cells: pa.Table
    kind: NDArray[np.int64]

    @property
    def is_tumor(self) -> NDArray[np.bool_]:
        return self.kind == 0


def make_field(seed: int, *, n: int = 900, network: bool = True, side_um: float = SIDE_UM) -> Field:
    """A field whose network tells tumor from other cells only a little better than chance."""
    rng = np.random.default_rng(seed)
    # On a jittered grid, so that no two cells lie on top of each other.
    columns = int(np.ceil(np.sqrt(n)))
    step = side_um / columns
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(columns)), axis=-1).reshape(-1, 2)[:n]
    x_um, y_um = ((grid + 0.5 + rng.uniform(-0.3, 0.3, (n, 2))) * step).T
    nests = rng.uniform(0.15 * side_um, 0.85 * side_um, (3, 2))
    distance = np.hypot(x_um[:, None] - nests[:, 0], y_um[:, None] - nests[:, 1]).min(axis=1)
    tumor = rng.random(n) < np.where(distance < 0.2 * side_um, 0.85, 0.08)
    kind = np.where(tumor, 0, np.where(rng.random(n) < 0.6, 1, 2))
    # The scanner of each field sees nuclei a little larger or smaller.
    area = np.array(NUCLEUS_UM2)[kind] * rng.lognormal(rng.normal(0, 0.05), 0.3, n)
    columns_of: dict[str, object] = {
        "cell_id": np.arange(n, dtype=np.int64),
        "x": (x_um / MPP).astype(np.float32),
        "y": (y_um / MPP).astype(np.float32),
        "tile": np.zeros(n, np.int32),
        "nucleus_area_um2": area.astype(np.float32),
        "cell_area_um2": (2.5 * area + rng.normal(0, 10, n)).astype(np.float32),
        "nucleus_eccentricity": np.clip(np.array(ECCENTRICITY)[kind] + rng.normal(0, 0.15, n), 0, 0.98),
        "hematoxylin_od_nucleus": 0.3 + 0.05 * (kind == 1) + rng.normal(0, 0.06, n),
        "nucleus_outline": pack_outlines([square(10)] * n),
        "cell_outline": pack_outlines([square(20)] * n),
    }
    for compartment in ("nucleus", "cytoplasm", "membrane", "cell"):
        columns_of[f"dab_od_{compartment}"] = rng.uniform(0, 0.8, n).astype(np.float32)
    if network:
        probability = 1 / (1 + np.exp(-(np.where(kind == 0, 0.4, -0.4) + rng.normal(0.5, 1.2, n))))
        columns_of |= {
            "detection_probability": rng.uniform(0.5, 1, n).astype(np.float32),
            "tumor_probability": probability.astype(np.float32),
            "lymphocyte_probability": (0.6 * (1 - probability)).astype(np.float32),
            "stromal_probability": (0.3 * (1 - probability)).astype(np.float32),
        }
    return Field(build_cells(columns_of, n), kind)  # type: ignore[arg-type]


def square(half: int) -> NDArray[np.int16]:
    return np.array([(-half, -half), (half, -half), (half, half), (-half, half)], np.int16)


def pick(field: Field, seed: int, n_tumor: int, n_other: int) -> NDArray[np.int64]:
    """Rows that a person would label: so many of each kind, drawn at random."""
    rng = np.random.default_rng(seed)
    tumor = rng.choice(np.flatnonzero(field.is_tumor), n_tumor, replace=False)
    other = rng.choice(np.flatnonzero(~field.is_tumor), n_other, replace=False)
    return np.sort(np.concatenate([tumor, other]))
