"""Scores of the drawn truth, and one-to-one matching of true with found cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from phantom import Phantom


def true_bins(
    phantom: Phantom,
    compartment: str = "cytoplasm",
    thresholds: tuple[float, float, float] = (0.2, 0.4, 0.6),
    class_name: str | None = "tumor",
) -> NDArray[np.int64]:
    """Bin 0..3 of each cell of a class (None: all) by the drawn mean OD; a null compartment falls back to the cell."""
    truth = phantom.truth
    od = getattr(truth, f"dab_od_{compartment}")
    od = np.where(np.isnan(od), truth.dab_od_cell, od)
    if class_name is not None:
        od = od[truth.class_name == class_name]
    return np.searchsorted(np.asarray(thresholds), od, side="right")


def bin_shares(phantom: Phantom, *choice: Any, **named: Any) -> NDArray[np.float64]:
    """Share of cells in each bin, (4,); arguments as for `true_bins`."""
    bins = true_bins(phantom, *choice, **named)
    return np.bincount(bins, minlength=4) / max(len(bins), 1)


def true_h_score(phantom: Phantom, *choice: Any, **named: Any) -> float:
    """H-score 0-300 of the drawn cells; arguments as for `true_bins`."""
    return float(bin_shares(phantom, *choice, **named) @ [0, 100, 200, 300])


@dataclass(frozen=True)
class Matches:
    """One-to-one matches: `pairs` int64 (tp, 2) of truth index and found index, and the counts of the rest."""

    pairs: NDArray[np.int64]
    fp: int
    fn: int

    @property
    def tp(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    @property
    def precision(self) -> float:
        """Share of found points that have a partner."""
        return self.tp / max(self.tp + self.fp, 1)

    @property
    def recall(self) -> float:
        """Share of true points that have a partner."""
        return self.tp / max(self.tp + self.fn, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.tp / max(2 * self.tp + self.fp + self.fn, 1)


def match_points(truth_xy: ArrayLike, found_xy: ArrayLike, max_distance_px: float) -> Matches:
    """Match points one to one: as many pairs within the distance as possible, then the shortest."""
    truth, found = (np.asarray(points, np.float64).reshape(-1, 2) for points in (truth_xy, found_xy))
    none = Matches(np.zeros((0, 2), np.int64), len(found), len(truth))
    if not len(truth) or not len(found):
        return none
    near = cKDTree(truth).sparse_distance_matrix(cKDTree(found), max_distance_px, output_type="ndarray")
    if not len(near):
        return none
    total = len(truth) + len(found)
    graph = coo_array((np.ones(len(near)), (near["i"], near["j"] + len(truth))), shape=(total, total))
    _, group = connected_components(graph, directed=False)
    order = np.argsort(group[near["i"]], kind="stable")
    near = near[order]
    cuts = np.flatnonzero(np.diff(group[near["i"]])) + 1
    pairs = []
    for part in np.split(near, cuts):
        rows, row = np.unique(part["i"], return_inverse=True)
        columns, column = np.unique(part["j"], return_inverse=True)
        forbidden = (max_distance_px + 1) * (len(rows) + len(columns))
        cost = np.full((len(rows), len(columns)), forbidden)
        cost[row, column] = part["v"]
        chosen = np.column_stack(linear_sum_assignment(cost))
        allowed = cost[chosen[:, 0], chosen[:, 1]] < forbidden
        pairs.extend((rows[i], columns[j]) for i, j in chosen[allowed])
    return Matches(np.array(sorted(pairs), np.int64), len(found) - len(pairs), len(truth) - len(pairs))
