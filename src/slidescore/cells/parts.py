"""Which of many stretches hang together, noted as a forest: each points to an earlier one of its part, or to itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel


@kernel
def root(part: NDArray[np.int64], i: int) -> int:
    """Return the first stretch of the part that stretch `i` belongs to."""
    while part[i] != i:
        i = part[i]
    return i


@kernel
def unite(part: NDArray[np.int64], i: int, j: int) -> bool:
    """Note that stretches `i` and `j` hang together; False if that was known."""
    i, j = root(part, i), root(part, j)
    part[max(i, j)] = min(i, j)
    return i != j
