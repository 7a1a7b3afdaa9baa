"""What the scoring code says about a slide with corrections that a test made, beside the app and its log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from review.browser.served import Served
from slidescore.assay import Assay, parse_assay
from slidescore.scoring import Scores
from slidescore.scoring.corrections import Corrections, corrected_cells, no_corrections
from slidescore.scoring.scores import cell_bins, score_cells, tumor_cells


@dataclass
class Truth:
    """A slide of the run, with the corrections made so far."""

    served: Served
    slide_id: str
    bins: dict[int, int] = field(default_factory=dict)
    tumor: dict[int, int] = field(default_factory=dict)
    counted: dict[int, int] = field(default_factory=dict)

    @cached_property
    def cells(self) -> pa.Table:
        return self.served.cells(self.slide_id)

    @cached_property
    def assay(self) -> Assay:
        text = json.loads((self.served.run / "run.json").read_text(encoding="utf-8"))["assay"]["text"]
        return parse_assay(text, where="run.json")

    @cached_property
    def places(self) -> NDArray[np.float64]:
        """float64 (N, 2), centroids in level-0 px."""
        return np.stack([self.cells["x"].to_numpy(), self.cells["y"].to_numpy()], axis=1).astype(float)

    @cached_property
    def automatic_bins(self) -> NDArray[np.int8]:
        return cell_bins(self.cells, self.assay, self.assay.score.compartment)[0]

    @cached_property
    def is_tumor(self) -> NDArray[np.bool_]:
        """Tumor cells that count, as the machine sees them."""
        return tumor_cells(self.cells, self.assay) & np.asarray(self.cells["excluded"].is_null())

    def nearest(self, x: float, y: float, n: int, among: NDArray[np.bool_]) -> list[int]:
        """Ids of the cells nearest to a place, nearest first; a cell's id is its row."""
        distance = np.where(among, np.hypot(*(self.places - [x, y]).T), np.inf)
        return [int(k) for k in np.argsort(distance)[:n]]

    def inside(self, left: float, top: float, right: float, bottom: float) -> list[int]:
        x, y = self.places.T
        return [int(k) for k in np.flatnonzero((x > left) & (x < right) & (y > top) & (y < bottom))]

    def expected(self, assay: Assay | None = None) -> Scores:
        """Scores of the corrected table."""
        corrections: Corrections = no_corrections(self.cells.num_rows)
        for values, column in ((self.bins, "bins"), (self.tumor, "tumor"), (self.counted, "counted")):
            for cell, value in values.items():
                getattr(corrections, column)[cell] = value
        table = corrected_cells(self.cells, corrections)
        return score_cells(table, assay or self.assay, corrected_bins=corrections.bins)


def box_around(places: NDArray[np.float64], ids: Iterable[int], margin: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of some cells' centroids with a margin."""
    chosen = places[list(ids)]
    left, top = chosen.min(axis=0) - margin
    right, bottom = chosen.max(axis=0) + margin
    return float(left), float(top), float(right), float(bottom)
