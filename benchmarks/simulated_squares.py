"""Slides that exist only as counts on squares, from a process whose scores are known exactly.

The density of DAB in a cell is a mean, a random field or two, and the cell's own part. Thresholds cut it into bins, so
the bins' shares in the whole process follow from the normal distribution. Tissue is an irregular island; tumor nests
leave parts of it, and whole squares, without a cell; the density of cells varies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from slidescore.scoring.squares import SquareCounts, count_squares

SQUARE_UM = 512.0
PIECES = 8
"""A square is made of 8 x 8 pieces, 64 um wide; within one the field is constant."""
PIECE_UM = SQUARE_UM / PIECES
THRESHOLDS_OD = (0.2, 0.4, 0.6)
DECAY = 3.0
"""Correlation is exp(-3 d / range), 0.05 at the range, as geostatistics counts the range of an exponential."""


PATCH_SHARE = 0.3
"""Share of the tissue that is a patch, where a field makes patches."""


@dataclass(frozen=True)
class Clusters:
    """One random field that the density of DAB follows.

    Attributes
    ----------
    range_um
        Distance at which the correlation of two places has fallen to 0.05.
    share
        Of the variance between cells.
    kind
        `rough`: normal, correlation exp(-3 d / range). `smooth`: normal, exp(-3 (d / range)^2). `patches`: a smooth
        field above its 70th percentile or below, and nothing between.
    """

    range_um: float
    share: float
    kind: str = "rough"

    @property
    def patch_values(self) -> tuple[float, float]:
        """Value outside and inside a patch, mean 0 and variance 1 over the tissue."""
        odds = np.sqrt(PATCH_SHARE / (1 - PATCH_SHARE))
        return -float(odds), 1 / float(odds)


@dataclass(frozen=True)
class Process:
    """What makes a slide.

    Attributes
    ----------
    mean_od, sd_od
        Of the density of DAB over all cells of the process.
    clusters
        Fields that the density follows; the rest of its variance is each cell's own.
    nest_share
        Share of the tissue that holds tumor cells.
    cells_per_mm2, density_sd
        Tumor cells where there are any, and the standard deviation of the logarithm of their density.
    """

    mean_od: float
    sd_od: float
    clusters: tuple[Clusters, ...]
    nest_share: float = 0.6
    cells_per_mm2: float = 2500.0
    density_sd: float = 0.4

    @property
    def bin_shares(self) -> NDArray[np.float64]:
        """Share of each bin in the whole process; float64, (4,)."""
        weights, means, variance = np.ones(1), np.array([self.mean_od]), self.sd_od**2
        for each in self.clusters:
            if each.kind == "patches":
                variance -= each.share * self.sd_od**2
                steps = self.sd_od * np.sqrt(each.share) * np.array(each.patch_values)
                means = (means[:, None] + steps).ravel()
                weights = (weights[:, None] * [1 - PATCH_SHARE, PATCH_SHARE]).ravel()
        above = [weights @ ndtr((means - threshold) / np.sqrt(variance)) for threshold in THRESHOLDS_OD]
        return -np.diff([1.0, *above, 0.0])

    @property
    def h_score(self) -> float:
        """H-score of the process."""
        return float(self.bin_shares @ [0, 100, 200, 300])

    def with_h_score(self, h_score: float) -> Process:
        """Return the process with the mean density that gives it this H-score."""
        low, high = -3.0, 4.0
        for _ in range(50):
            middle = (low + high) / 2
            below = replace(self, mean_od=middle).h_score < h_score
            low, high = (middle, high) if below else (low, middle)
        return replace(self, mean_od=(low + high) / 2)


@lru_cache(maxsize=64)
def _amplitude(side: int, range_um: float, power: int) -> NDArray[np.float64]:
    """Square root of the spectrum of a field with correlation exp(-3 (d / range)^power) on a torus of pieces."""
    steps = np.minimum(np.arange(side), side - np.arange(side)) * PIECE_UM
    distance_um = np.hypot(steps[:, None], steps[None, :])
    return np.sqrt(np.maximum(np.fft.rfft2(np.exp(-DECAY * (distance_um / range_um) ** power)).real, 0))


def draw_field(rng: np.random.Generator, side: int, range_um: float, power: int = 1) -> NDArray[np.float64]:
    """Draw a normal field of mean 0 and variance 1 on side x side pieces; power 1 is rough, 2 is smooth."""
    wide = 1 << int(np.ceil(np.log2(side + 2 * range_um / PIECE_UM)))
    white = rng.standard_normal((wide, wide))
    return np.fft.irfft2(np.fft.rfft2(white) * _amplitude(wide, range_um, power), s=(wide, wide))[:side, :side]


def draw_clusters(rng: np.random.Generator, side: int, clusters: Clusters) -> NDArray[np.float64]:
    """Draw what one of a process's fields adds to the density of DAB, with variance 1."""
    field = draw_field(rng, side, clusters.range_um, 1 if clusters.kind == "rough" else 2)
    if clusters.kind != "patches":
        return field
    return np.where(field > ndtri(1 - PATCH_SHARE), clusters.patch_values[1], clusters.patch_values[0])


def draw_tissue(rng: np.random.Generator, n_squares: float, nest_share: float) -> NDArray[np.bool_]:
    """Draw where cells may lie, (side, side) pieces: an island of about `n_squares` squares' area, nests inside it."""
    side = int(np.ceil(np.sqrt(2.2 * n_squares))) * PIECES
    v, u = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    outline = np.hypot(u, v) + 0.25 * draw_field(rng, side, side * PIECE_UM / 2)
    island = outline <= np.partition(outline.ravel(), int(n_squares * PIECES**2))[int(n_squares * PIECES**2)]
    nests = draw_field(rng, side, 500.0)
    return island & (nests <= ndtri(nest_share))


def draw_squares(rng: np.random.Generator, process: Process, n_squares: float) -> SquareCounts:
    """Draw one slide of about `n_squares` squares of tissue."""
    where = draw_tissue(rng, n_squares, process.nest_share)
    side = len(where)
    mean = np.full((side, side), process.mean_od)
    for each in process.clusters:
        mean += process.sd_od * np.sqrt(each.share) * draw_clusters(rng, side, each)
    own_sd = process.sd_od * np.sqrt(1 - sum(each.share for each in process.clusters))
    density = process.cells_per_mm2 * np.exp(process.density_sd * draw_field(rng, side, 300.0))
    n_cells = rng.poisson(density * (PIECE_UM / 1000) ** 2) * where
    rows, columns = np.nonzero(n_cells)
    of = np.repeat(np.arange(len(rows)), n_cells[rows, columns])
    od = rng.normal(mean[rows, columns][of], own_sd)
    bins = np.searchsorted(THRESHOLDS_OD, od, side="right")
    return count_squares(
        (columns[of] + 0.5) * PIECE_UM, (rows[of] + 0.5) * PIECE_UM, bins, mpp=1.0, square_um=SQUARE_UM
    )
