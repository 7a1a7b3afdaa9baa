"""What a cell and its neighbourhood look like, as numbers for a classifier; from the cell table alone.

Every feature is a function of the set of cells: the order of the rows changes no bit of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import logit

from slidescore.cells.table import floats

Values = NDArray[np.float64]

RADII_UM = (25.0, 50.0)
"""Radii of the neighbourhoods in um: the cells that touch a cell, and the nest or stroma it lies in."""
LEAST_PROBABILITY = 1e-4
"""Probabilities are held this far from 0 and 1 before their logit is taken: half precision tells no more."""
CHUNK_CELLS = 16384
"""Cells whose neighbours are listed at once; bounds memory, changes no number."""

PROBABILITIES = ("tumor", "lymphocyte", "stromal")
OWN_FEATURES = (
    "logit_tumor",
    "logit_lymphocyte",
    "logit_stromal",
    "logit_detection",
    "log_nucleus_area_um2",
    "log_cell_area_um2",
    "nucleus_eccentricity",
    "hematoxylin_od_nucleus",
)
"""Of the cell itself: logits of the network's probabilities, natural logarithms of areas, shape and counterstain."""
DAB_FEATURES = ("dab_od_nucleus", "dab_od_cytoplasm", "dab_od_membrane", "dab_od_cell")
"""DAB optical densities. A rule that looks at them picks the cells by what is then scored on them."""
AROUND = ("log_count", "logit_tumor", "logit_lymphocyte", "logit_stromal", "log_nucleus_area_um2", "hematoxylin_od")
"""Of a neighbourhood: logarithm of 1 + the number of other cells, and means over them (of probabilities: their logit).

Where a cell has no neighbour its own value stands."""
AROUND_FEATURES = (
    "log_nearest_um",
    *(f"{name}_{radius:g}um" for radius in RADII_UM for name in AROUND),
)
"""Of the neighbourhoods, and the logarithm of the distance to the nearest other cell, at most the largest radius."""
FEATURES = (*OWN_FEATURES, *DAB_FEATURES, *AROUND_FEATURES)
"""All features, in order."""


def cell_features(cells: pa.Table, mpp: float, names: Sequence[str] = FEATURES) -> Values:
    """Return the features of every cell; float64, (N, len(names)), NaN where a measurement is missing.

    Parameters
    ----------
    cells
        All cells of a slide, rows of `slidescore.cells.table.CELL_SCHEMA` in any order.
    mpp
        um per level-0 pixel, the unit of x and y.
    names
        Of `FEATURES`.

    Notes
    -----
    A tumor_probability of exactly 0 or 1 was settled by an annotation; the network's own is unknown, so it is missing.
    """
    measured = _measured(cells)
    x, y = (floats(cells, axis).astype(np.float64) * mpp for axis in ("x", "y"))
    # Sums round differently in another order, so they are taken in an order that only the cells decide.
    order = np.lexsort((*measured.values(), x, y))
    own = {name: values[order] for name, values in measured.items()}
    wanted: dict[str, Values] = {name: own[name] for name in names if name in own}
    if len(wanted) < len(names) and len(order):
        wanted |= _around(np.stack([x[order], y[order]], axis=1), own)
    features = np.full((len(order), len(names)), np.nan)
    for column, name in enumerate(names):
        if len(order):
            features[order, column] = wanted[name]
    return features


def settled_cells(cells: pa.Table) -> NDArray[np.bool_]:
    """Return the cells whose type an annotation settled: tumor_probability exactly 0 or 1; bool, (N,)."""
    probability = floats(cells, "tumor_probability")
    settled: NDArray[np.bool_] = (probability == 0) | (probability == 1)
    return settled


def _measured(cells: pa.Table) -> dict[str, Values]:
    columns = {name: floats(cells, f"{name}_probability").astype(np.float64) for name in (*PROBABILITIES, "detection")}
    columns["tumor"][settled_cells(cells)] = np.nan
    values = {f"logit_{name}": _logit(column) for name, column in columns.items()}
    for name in ("nucleus_area_um2", "cell_area_um2"):
        area = floats(cells, name).astype(np.float64)
        values[f"log_{name}"] = np.log(np.where(area > 0, area, np.nan))
    for name in ("nucleus_eccentricity", "hematoxylin_od_nucleus", *DAB_FEATURES):
        values[name] = floats(cells, name).astype(np.float64)
    return values


def _logit(probability: Values) -> Values:
    values: Values = logit(np.clip(probability, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    return values


def _around(points_um: Values, own: dict[str, Values]) -> dict[str, Values]:
    """Describe the neighbourhood of every point; float64 (N, 2), x and y in um."""
    tree = cKDTree(points_um)
    averaged = {
        **{f"logit_{name}": _probability(own[f"logit_{name}"]) for name in PROBABILITIES},
        "log_nucleus_area_um2": own["log_nucleus_area_um2"],
        "hematoxylin_od": own["hematoxylin_od_nucleus"],
    }
    found = {name: np.empty(len(points_um)) for name in AROUND_FEATURES}
    # Without a neighbour in reach the distance is the reach, so that no cell has an infinite one.
    nearest, _ = tree.query(points_um, k=[2], distance_upper_bound=RADII_UM[-1])
    found["log_nearest_um"] = np.log1p(np.minimum(nearest[:, 0], RADII_UM[-1]))
    for start in range(0, len(points_um), CHUNK_CELLS):
        rows = slice(start, min(start + CHUNK_CELLS, len(points_um)))
        pairs = cKDTree(points_um[rows]).sparse_distance_matrix(tree, RADII_UM[-1], output_type="ndarray")
        pairs = pairs[pairs["i"] + start != pairs["j"]]
        for radius in RADII_UM:
            near = pairs[pairs["v"] <= radius]
            for name, values in _sums(near, averaged, rows).items():
                found[f"{name}_{radius:g}um"][rows] = values
    return found


def _sums(pairs: NDArray[Any], averaged: dict[str, Values], rows: slice) -> dict[str, Values]:
    """Average over the pairs of each row; `pairs` has i (of `rows`), j (of all) and v (um)."""
    n = rows.stop - rows.start
    of, other = pairs["i"], pairs["j"]
    means: dict[str, Values] = {"log_count": np.log1p(np.bincount(of, minlength=n).astype(np.float64))}
    for name, values in averaged.items():
        known = ~np.isnan(values[other])
        counts = np.bincount(of[known], minlength=n)
        sums = np.bincount(of[known], weights=values[other][known], minlength=n)
        mean = np.where(counts > 0, sums / np.maximum(counts, 1), values[rows])
        means[name] = _logit(mean) if name.startswith("logit_") else mean
    return means


def _probability(logits: Values) -> Values:
    probability: Values = 1.0 / (1.0 + np.exp(-logits))
    return probability
