"""How well cells are found and typed: one-to-one matches of centers, as every figure of docs/accuracy.md has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

MATCH_UM = 5.0
"""A cell is found when a center lies within 5 um, each used once."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Matches of one field or the sum over fields."""

    n_matched: int
    n_true: int
    n_found: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.n_matched + other.n_matched, self.n_true + other.n_true, self.n_found + other.n_found)

    @property
    def precision(self) -> float:
        """Share of what was found that is true; 1 where nothing was found."""
        return self.n_matched / self.n_found if self.n_found else 1.0

    @property
    def recall(self) -> float:
        """Share of what is true that was found; 1 where there is nothing."""
        return self.n_matched / self.n_true if self.n_true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there is nothing and nothing was found."""
        total = self.n_true + self.n_found
        return 2 * self.n_matched / total if total else 1.0


NO_COUNTS = Counts(0, 0, 0)


def match_centers(
    true_um: NDArray[np.float64], found_um: NDArray[np.float64], radius_um: float = MATCH_UM
) -> NDArray[np.intp]:
    """Match centers one to one, most pairs first, then the least total distance.

    Parameters
    ----------
    true_um, found_um
        float64, (n, 2) and (m, 2), um.

    Returns
    -------
    intp, (k, 2): rows of `true_um` and `found_um` that belong together.
    """
    if len(true_um) == 0 or len(found_um) == 0:
        return np.empty((0, 2), np.intp)
    near = cKDTree(true_um).sparse_distance_matrix(cKDTree(found_um), radius_um, output_type="coo_matrix")
    # Pairs in reach are worth far more than any distance, so that as many as possible are made.
    worth = np.zeros((len(true_um), len(found_um)))
    worth[near.row, near.col] = 2 * radius_um * min(worth.shape) + radius_um - near.data
    rows, columns = linear_sum_assignment(worth, maximize=True)
    paired = worth[rows, columns] > 0
    return np.stack([rows[paired], columns[paired]], axis=1)


def detection_counts(true_um: NDArray[np.float64], found_um: NDArray[np.float64]) -> Counts:
    """Count matches whatever the type."""
    return Counts(len(match_centers(true_um, found_um)), len(true_um), len(found_um))


def type_counts(
    true_um: NDArray[np.float64], true_types: NDArray[np.int8],
    found_um: NDArray[np.float64], found_types: NDArray[np.int8], kind: int,
) -> Counts:  # fmt: skip
    """Count matches among the cells of one type, as Abousamra et al. 2021 do: others do not take part."""
    return detection_counts(true_um[true_types == kind], found_um[found_types == kind])


def mask_counts(true: NDArray[np.int32], found: NDArray[np.int32], min_iou: float = 0.5) -> Counts:
    """Count nuclei whose masks overlap by at least `min_iou`, one to one; above 0.5 no pair is ambiguous."""
    n_true, n_found = int(true.max()), int(found.max())
    both = np.bincount(true.ravel().astype(np.int64) * (n_found + 1) + found.ravel(),
                       minlength=(n_true + 1) * (n_found + 1)).reshape(n_true + 1, n_found + 1)  # fmt: skip
    union = both.sum(axis=1)[1:, None] + both.sum(axis=0)[None, 1:] - both[1:, 1:]
    return Counts(int((both[1:, 1:] > min_iou * union).sum()), n_true, n_found)
